# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 16 Your own images
#
# A few dozen images with outlined objects are enough to train a useful model, if it
# starts from weights that have seen something else. What goes wrong is seldom the
# network: it is boxes in the wrong order, masks one pixel off, anchors of the wrong
# size. This chapter goes the whole way, from a mask to a trained model, on a small set
# that is made on the spot and stands for yours.
#
# **After this chapter you can**
#
# - lay out a data set as COCO does, and write annotations from masks and polygons;
# - find its faults before training does;
# - choose the image size and anchors from the objects' sizes;
# - train from given weights, evaluate, predict, and cut large images into tiles;
# - say what to look at first when the result is poor.
#
# **Before:** chapter 5, 11, 12.
# **Minutes:** 115, of which 50 for the exercises.

# %%
import io
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from pycocotools import mask as mask_utils
from rich.console import Console

from maskrcnn_scratch import ops
from maskrcnn_scratch.data import CocoDataset, check_dataset, report
from maskrcnn_scratch.data.annotations import decode_masks, to_rle
from maskrcnn_scratch.data.images import to_float
from maskrcnn_scratch.data.layout import annotation_file
from maskrcnn_scratch.data.shapes import CLASS_NAMES, draw_scene, to_sample
from maskrcnn_scratch.data.tiles import cut_tiles, glue_tiles, tile_corners
from maskrcnn_scratch.inference import InTiles, Predictor, evaluate_run
from maskrcnn_scratch.inference.overlay import draw_comparison
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.reference.anchors import pyramid_anchors
from maskrcnn_scratch.training import load_config, train
from maskrcnn_scratch.training.metrics import read_metrics
from maskrcnn_scratch.weights.lesson import lesson_file, lesson_model

# %% [markdown]
# ## From a mask to an annotation
#
# COCO describes an object by a **box**, an **area** and a **segmentation**. Take a mask
# of 3 x 4 pixels:
#
# ```
# 0 1 1 0
# 0 1 0 0
# 0 0 0 0
# ```
#
# - `bbox` is `[x, y, width, height]`, not two corners. Pixel j covers $[j, j + 1)$,
#   so from column 1 to column 2 it is 2 wide: last + 1 - first.
# - `area` is the number of pixels.
# - `segmentation` as **run lengths**: pixels are read *down the columns*, and the
#   counts tell how many zeros, how many ones, how many zeros, and so on, **zeros
#   first**. Here 000 11 0 1 00000: 3, 2, 1, 1, 5.

# %%
mask = np.array([[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], np.uint8)
rle = mask_utils.encode(np.asfortranarray(mask))
assert mask_utils.toBbox(rle).tolist() == [1, 0, 2, 2]
assert mask_utils.area(rle) == mask.sum() == 3

uncompressed = {"size": [3, 4], "counts": [3, 2, 1, 1, 5]}
assert sum(uncompressed["counts"]) == 3 * 4
assert np.array_equal(decode_masks([to_rle(uncompressed, (3, 4))], (3, 4))[0], mask)

# %% [markdown]
# Outlining tools write **polygons** instead: `[[x1, y1, x2, y2, ...]]`, a list of
# lists, since an object may have several parts. The area of one is the shoelace sum
#
# $$A = \tfrac12 \Big| \sum_i x_i\, y_{i+1} - x_{i+1}\, y_i \Big|$$
#
# over all edges, the last corner joined to the first. For the triangle (0, 0), (4, 0),
# (0, 3) the terms are 0, 12 and 0, so the area is 6.

# %%
terms = [0 * 0 - 4 * 0, 4 * 3 - 0 * 0, 0 * 0 - 0 * 3]
assert terms == [0, 12, 0]
assert abs(sum(terms)) / 2 == 4 * 3 / 2 == 6

# %% [markdown]
# Corners lie at the **borders** of pixels. An object of columns 10 to 13 and rows 20 to
# 22, 12 pixels, has corners at 10, 14 and 20, 23. A tool that draws through the pixels'
# indices, 10, 13 and 20, 22, loses a row and a column, half of this object: the half
# pixel of chapter 3 once more.


# %%
def pixels_of(polygon: list[float]) -> int:
    """How many pixels COCO fills."""
    return int(mask_utils.area(to_rle([polygon], (40, 40))))


assert pixels_of([10, 20, 14, 20, 14, 23, 10, 23]) == 12
assert pixels_of([10, 20, 13, 20, 13, 22, 10, 22]) == 6

# %% [markdown]
# COCO's files hold three forms: polygons, plain run lengths and compressed ones. The
# package brings all to the last, which is small and quick to decode.

# %%
show(to_rle)

# %% [markdown]
# ## The folder
#
# ```
# mine/
#   annotations/instances_train.json   instances_val.json
#   train/001.png ...                  val/061.png ...
# ```
#
# A file of annotations holds three lists: `images`, `annotations`, `categories`. Our
# task shall be *stars*, among other shapes that count as background. 60 images to train
# on, 20 to validate, each with the masks that a labelling tool would give.


# %%
def annotation(mask: np.ndarray, number: int, image_id: int) -> dict[str, object]:
    """One object in COCO's words."""
    rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "bbox": mask_utils.toBbox(rle).tolist(),
        "area": int(mask.sum()),
        "segmentation": {**rle, "counts": rle["counts"].decode("ascii")},
        "iscrowd": 0,
    }


def write_split(folder: Path, split: str, numbers: range) -> None:
    """Images and annotations of one split."""
    (folder / split).mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for number in numbers:
        scene = draw_scene(128, np.random.default_rng([16, number]))
        name = f"{number:03d}.png"
        Image.fromarray(scene.pixels).save(folder / split / name)
        images.append({"id": number, "file_name": name, "width": 128, "height": 128})
        for mask, label in zip(scene.masks, scene.labels, strict=True):
            if CLASS_NAMES[label - 1] == "star":
                annotations.append(annotation(mask, len(annotations) + 1, number))
    categories = [{"id": 1, "name": "star"}]
    contents = {"images": images, "annotations": annotations, "categories": categories}
    path = folder / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(contents))


workshop = tempfile.TemporaryDirectory()
mine = Path(workshop.name) / "mine"
write_split(mine, "train", range(1, 61))
write_split(mine, "val", range(61, 81))
dataset = CocoDataset(mine, "train")
stars = sum(len(target) for _, target in (dataset[i] for i in range(len(dataset))))
print(f"{len(dataset)} images, {stars} stars")
assert dataset.class_names == ["star"]

# %% [markdown]
# ## Check it
#
# `maskrcnn-scratch data check mine` opens every image, looks at every annotation, and
# says what to do about what it finds. A note is no fault: images without objects teach
# what background is.

# %%
print(report(check_dataset(mine)))

# %% [markdown]
# Now plant some common faults: boxes written as corners, a category that is not in the
# list, run lengths without the last run.

# %%
path = annotation_file(mine, "val")
good = path.read_text()


def faults(change) -> list[str]:
    """The errors that the check finds after a change of all annotations, undone."""
    contents = json.loads(good)
    for one in contents["annotations"]:
        change(one)
    path.write_text(json.dumps(contents))
    found = check_dataset(mine, "val")
    path.write_text(good)
    return [str(finding) for finding in found if finding.severity == "error"]


def as_corners(one: dict) -> None:
    x, y, width, height = one["bbox"]
    one["bbox"] = [x, y, x + width, y + height]


def other_category(one: dict) -> None:
    one["category_id"] = 7


def last_run_lost(one: dict) -> None:
    one["segmentation"] = {"size": [128, 128], "counts": [40, 16000]}


for change in (as_corners, other_category, last_run_lost):
    first, *others = faults(change)
    print(first, f"({len(others)} more of this kind)\n")
assert not faults(lambda one: None)

# %% [markdown]
# ## Image size and anchors, from the objects
#
# Two questions decide most. **How large are the objects in what the network sees?** It
# sees the image scaled to `model.image_short`. The finest map, P2, has a stride of 4;
# an object of 8 pixels is 2 cells wide there, and much less cannot be told from noise.
# Enlarge images with small objects. **Does every object have an anchor like it?** An
# anchor is positive from an IoU of 0.7 on (chapter 8). So take all boxes, and the best
# IoU that any anchor has with each.

# %%
boxes = torch.cat([dataset[i][1].boxes for i in range(len(dataset))])
sides = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt()
print(f"sides from {sides.min():.0f} to {sides.max():.0f} pixels of 128")


def best_iou(sizes: list[int]) -> torch.Tensor:
    """For each star the IoU of the best anchor, one size a level."""
    strides = [4, 8, 16, 32, 64]
    grids = [(128 // stride, 128 // stride) for stride in strides]
    levels = pyramid_anchors(sizes, [0.5, 1.0, 2.0], strides, grids)
    anchors = torch.from_numpy(np.concatenate(levels)).float()
    return ops.box_iou(boxes, anchors).amax(dim=1)


covered = {}
for sizes in ([32, 64, 128, 256, 512], [16, 32, 64, 128, 256], [32, 45, 64, 90, 128]):
    best = best_iou(sizes)
    covered[tuple(sizes)] = (best >= 0.7).float().mean()
    print(f"anchors {sizes}: {covered[tuple(sizes)]:.0%} of the stars reach IoU 0.7")
assert max(covered, key=covered.__getitem__) == (32, 45, 64, 90, 128)

# %% [markdown]
# The first two lists double from level to level. Of two squares, one in the other, the
# IoU is the ratio of areas, so an object half-way between two sizes, $\sqrt2$ times the
# smaller, has an IoU of 1/2 with both. Steps of $\sqrt2$ where the objects are leave
# $1 / \sqrt2 = 0.71$. Objects below 0.7 are not lost, since each object's best anchor
# is positive too, but they learn from one anchor instead of many.

# %%
half_way = torch.tensor([[0, 0, 32 * 2**0.5, 32 * 2**0.5]])
squares = torch.tensor([[0, 0, 32.0, 32.0], [0, 0, 64.0, 64.0]])
assert torch.allclose(ops.box_iou(half_way, squares), torch.tensor(0.5))
assert 2**-0.5 > 0.7

# %% [markdown]
# Other settings to go through, in `maskrcnn_scratch/configs/` and in `--set KEY=VALUE`:
#
# | the objects or images | the setting |
# | --- | --- |
# | long and thin | `model.anchor_ratios` |
# | read from too coarse a level | `model.level_canonical` (chapter 7) |
# | more than 100 in an image | `model.max_detections` |
# | no up or down | `data.transform.quarter_turns`, `data.transform.vertical_flip` |
# | dark, or not photographs | `model.pixel_mean`, `model.pixel_std` |
# | images too large for the memory | `data.transform.crop`: a random tile each time |
#
# ## Train, from weights that know something
#
# As a command this is
#
# ```
# maskrcnn-scratch train shapes-tiny --data mine --out runs/mine \
#     --set train.initial_weights=model.safetensors --set train.iterations=60
# ```
#
# The weights here are those that the chapters before used, trained on four classes of
# shapes. Ours has one. All tensors that fit are taken over; the last layers, whose size
# is the number of classes, start afresh, and the report says so. (Anchors belong to the
# weights: with others the RPN has to learn anew. So they stay as they are here.)

# %%
settings = [
    "model.stem_width=16",  # a model must have the shapes of its weights
    "model.fpn_channels=48",
    "model.box_head_width=128",
    "model.mask_head_width=48",
    f"train.initial_weights={lesson_file('shapes')}",
    "train.iterations=60",
    "train.warmup_iterations=10",
    "train.learning_rate=0.0005",
    "data.workers=0",
]
config = load_config("shapes-tiny", settings)
told = io.StringIO()
listener = Console(file=told, force_jupyter=False, force_terminal=False)
run = train(config, mine, Path(workshop.name) / "run", console=listener)
lines = told.getvalue().splitlines()
afresh = next(line for line in lines if "of another shape" in line)
print("start afresh:", *afresh.partition(": ")[2].split(", "), sep="\n    ")
losses = [row["loss"] for row in read_metrics(run / "metrics.jsonl")]
print("mean loss of 20 iterations each:", np.reshape(losses, (3, 20)).mean(axis=1))
assert afresh.count(".weight") == 3

# %% [markdown]
# ## Evaluate, predict
#
# ```
# maskrcnn-scratch evaluate runs/mine --data mine
# maskrcnn-scratch predict runs/mine photo.png folder --out found
# ```

# %%
scores = evaluate_run(run, mine, console=listener)
for kind, score in scores.items():
    print(f"{kind}: AP {score.ap:.2f}, AP50 {score.ap50:.2f}")
assert scores["segm"].ap50 > 0.4

# %%
predictor = Predictor.load(run)
validation = CocoDataset(mine, "val")
busiest = sorted(range(len(validation)), key=lambda i: -len(validation[i][1]))
figure, axes = plt.subplots(2, 1, figsize=(7, 7.6), layout="constrained")
for panel, index in zip(axes, busiest, strict=False):
    image, target = validation[index]
    found = predictor(image, score_threshold=0.5)
    panel.imshow(draw_comparison(image, target, found, validation.class_names))
    panel.set_axis_off()

# %% [markdown]
# Seconds of training, a few dozen stars, and a model that finds most of them; where
# they hide each other it errs first. What to expect of real images, trained for minutes
# on two cores (commands in `docs/training-runs.md`): mask AP 0.59 for nuclei in 268
# microscope images, from random weights; 0.50 for balloons in 61 photographs, from a
# part of ImageNet's weights, with 0.89 for large ones and 0.10 for small ones. Size
# decides before everything else.
#
# ## Tiles
#
# An image of 10,000 pixels does not fit into a network that wants 800, and scaled down
# its objects vanish. Cut it into **tiles** of the size that the model knows, which
# overlap, predict each, and put the results together:
#
# 1. move each tile's boxes and masks by the tile's corner;
# 2. leave out boxes that end at a tile's inner border: they are cut, and whole in the
#    next tile if the overlap is wider than the objects;
# 3. NMS over all tiles, class by class, since objects in the overlap are found twice.
#
# `InTiles` does that around any predictor. As a command it is
#
# ```
# maskrcnn-scratch predict runs/mine slide.png --out found --tile 1024 --overlap 256
# ```

# %%
show(InTiles)

# %% [markdown]
# Here 256 pixels with four of our scenes, and tiles of 128 that overlap by 64: starts
# at 0, 64 and 128 on each axis.

# %%
scenes = [draw_scene(128, np.random.default_rng([16, 900 + i])) for i in range(4)]
pixels = [scene.pixels for scene in scenes]
large = to_float(np.vstack([np.hstack(pixels[:2]), np.hstack(pixels[2:])]))
corners = [(0, 0), (128, 0), (0, 128), (128, 128)]
boxes_of = [to_sample(scene, 1)[1].boxes.numpy() for scene in scenes]
truth = np.concatenate(
    [boxes + np.tile(c, 2) for boxes, c in zip(boxes_of, corners, strict=True)]
)
labels = np.concatenate([scene.labels for scene in scenes])
shapes_predictor = Predictor(*lesson_model("shapes"))


def right_ones(boxes: np.ndarray, found_labels: np.ndarray) -> int:
    """How many objects have a detection of their class at IoU 0.5."""
    iou = ops.box_iou(torch.tensor(truth), torch.tensor(boxes).double()).numpy()
    return int(((iou >= 0.5) & (labels[:, None] == found_labels)).any(axis=1).sum())


whole = shapes_predictor(large, 0.5)
of_whole = right_ones(whole.boxes.numpy(), whole.labels.numpy())

# %%
assert len(tile_corners((256, 256), tile=128, overlap=64)) == 9
tiled = InTiles(shapes_predictor, tile=128, overlap=64)(large, 0.5)
of_tiles = right_ones(tiled.boxes.numpy(), tiled.labels.numpy())

print(f"{len(truth)} objects: {of_whole} found in the whole, {of_tiles} in tiles")
print(f"{len(tiled)} detections, of which {len(tiled) - of_tiles} are false or double")
assert of_tiles > of_whole

# %% [markdown]
# Shown the whole, the model scales it to 128 pixels and sees objects of half the size
# that it was trained on. In tiles all are found; what is kept beyond their number is
# false.
#
# For training the same holds, and the ground truth must be cut along with the image.
# `data.transform.crop` cuts another random tile out of each image in every epoch;
# `maskrcnn-scratch data tile mine --out tiles --tile 1024` writes all of them once, as
# a folder to train and evaluate on. Either way an object that a border cuts is in each
# tile with what lies there.

# %%
show(cut_tiles)
sample = validation[busiest[0]]
tiles = cut_tiles(sample, tile=64, overlap=16)
print(len(tiles), "tiles, with", [len(target) for _, (_, target) in tiles], "stars")
images = [(corner, image) for corner, (image, _) in tiles]
assert torch.equal(glue_tiles(images, (128, 128)), sample[0])

# %% [markdown]
# ## When the result is poor
#
# | you see | look at |
# | --- | --- |
# | a loss that is no number | the learning rate, then `data check` |
# | AP 0, or -1 | ids of another file; no objects in the split |
# | AP50 good, AP75 poor | masks or boxes half a pixel off; too coarse a map |
# | small objects missed | the image size, and the smallest anchors |
# | two boxes on one object | `model.nms_iou`, or objects outlined twice |
# | validation far below training | more images, more augmentation, fewer iterations |
# | masks without details | a longer training: masks come last |
#
# The learning rate is for `train.reference_batch` images and scaled to your batch; the
# first line that a training prints says what came of it.
#
# Draw the ground truth first (`evaluate` does, beside what was found). Most faults can
# be seen.

# %%
workshop.cleanup()

# %% [markdown]
# ## Exercises
#
# What an exporter of annotations consists of, and the layout of tiles.

# %% exercise="ex16_1"
exercise("ex16_1")

# %% exercise="ex16_2"
exercise("ex16_2")

# %% exercise="ex16_3"
exercise("ex16_3")

# %% exercise="ex16_4"
exercise("ex16_4")

# %% [markdown]
# ## Summary
#
# - COCO: boxes as x, y, width, height; run lengths down the columns, zeros first;
#   polygon corners at pixel borders.
# - `maskrcnn-scratch data check` before every training.
# - Scale images so that the smallest objects have a few cells of P2; let each object
#   have an anchor at IoU 0.7.
# - Start from weights; all that fits is used, the last layers start afresh.
# - Large images: overlapping tiles, cut boxes left out, NMS over all.
#
# ## To read
#
# - Lin et al., *Microsoft COCO: Common Objects in Context*, 2014.
# - `docs/training-runs.md`, and the presets in `maskrcnn_scratch/configs/`.
# - `maskrcnn_scratch/data/annotations.py` and `check_objects.py`.
