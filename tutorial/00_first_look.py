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
# # 0 A first look
#
# Mask R-CNN takes a picture and names every object in it: what it is, where it is, and
# which pixels belong to it. This chapter starts from a trained model, looks at what it
# says, and follows one picture through it. The chapters that come after build each of
# the parts that you meet here.
#
# **After this chapter you can**
#
# - read a prediction: boxes, labels, scores and masks;
# - name the parts of Mask R-CNN in their order, and what each hands to the next;
# - tell the size of every feature map for an image of any size;
# - say what a model of this kind can be expected to find, and what not.
#
# **Before:** Python, NumPy, and having seen a convolution.
# **Minutes:** 50, of which 20 for the exercises.

# %%
import numpy as np
import torch

from maskrcnn_scratch.data import generate_shapes
from maskrcnn_scratch.data.stick_figures import generate_figures
from maskrcnn_scratch.figures.model_walk import draw_model_walk
from maskrcnn_scratch.figures.pictures import draw_pictures
from maskrcnn_scratch.inference import Predictor
from maskrcnn_scratch.inference.overlay import draw_objects
from maskrcnn_scratch.learning import check, exercise, hint, show
from maskrcnn_scratch.models.anatomy import anatomy, count_parameters
from maskrcnn_scratch.models.mask_rcnn import image_sizes
from maskrcnn_scratch.models.presets import PAPER
from maskrcnn_scratch.weights.lesson import lesson_model

# %% [markdown]
# ## A trained model
#
# The package carries a small Mask R-CNN that was trained on generated pictures:
# overlapping rectangles, ellipses, triangles and stars on textured ground. It has a
# fortieth of the paper's parameters and all of the paper's parts. The pictures below
# are new to it: in each pair the truth is at the left, and at the right what it finds.

# %%
model, class_names = lesson_model("shapes")
predictor = Predictor(model, class_names)
samples = generate_shapes(24, seed=11)
pictures, titles = [], []
for image, target in samples[:4]:
    found = predictor(image, score_threshold=0.5)
    for objects, title in ((target, "the truth"), (found, "found")):
        no_captions = [""] * len(objects)
        pictures.append(draw_objects(image, objects.boxes, objects.masks, no_captions))
        names = [class_names[label - 1] for label in objects.labels]
        titles.append(f"{title}\n{', '.join(names)}")
show(draw_pictures(pictures, titles))

# %% [markdown]
# Each object has its own colour, for the model keeps objects apart: two stars that
# touch are two stars. That is **instance segmentation**. Object detection gives boxes
# without masks; semantic segmentation gives a class for every pixel, and would make one
# region of the two.
#
# ## What a prediction is
#
# For one picture the model returns as many rows as it finds objects, best score first.

# %%
image, target = samples[1]
found = predictor(image, score_threshold=0.5)
for name, value in vars(found).items():
    if value is not None:
        print(f"{name:20} {tuple(value.shape)}")
for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
    sides = ", ".join(f"{side:.1f}" for side in box.tolist())
    print(f"{class_names[label - 1]:10} {score:.3f}  box ({sides})")

# %% [markdown]
# - **boxes** are `(x1, y1, x2, y2)` in pixels, with fractions. The pixel in row i and
#   column j covers the square from (j, i) to (j + 1, i + 1).
# - **labels** count from 1; 0 is the background, which is never returned.
# - **scores** lie between 0 and 1. There is no right threshold: a low one finds more
#   objects and more that are none. Chapter 12 measures all thresholds at once.
# - **mask_probabilities** are small maps of 28 x 28, stretched over the box. What many
#   write-ups call the m x m output has m = 28 here, as in the paper's FPN models, and
#   14 in its C4 models; 7 is the size of the box head's features.
# - **masks** are the same, pasted into the picture and cut at one half.

# %%
n = len(found)
assert found.boxes.shape == (n, 4)
assert found.mask_probabilities.shape == (n, 28, 28)
assert found.masks.shape == (n, 128, 128)
assert (found.scores[:-1] >= found.scores[1:]).all()
assert found.labels.min() >= 1

# %% [markdown]
# How good is a mask? The usual measure is **intersection over union**: the pixels in
# both masks over the pixels in either,
#
# $$\mathrm{IoU}(A, B) = \frac{|A \cap B|}{|A \cup B|}$$
#
# It is 1 for equal masks and 0 for masks that do not meet. Chapter 4 builds it.


# %%
def mask_iou(a: torch.Tensor, b: torch.Tensor) -> float:
    return int((a & b).sum()) / int((a | b).sum())


square = torch.zeros(4, 4, dtype=torch.bool)
square[:2, :2] = True
lower = square.roll(1, dims=0)  # 2 pixels in both, 6 in either
assert mask_iou(square, square) == 1
assert mask_iou(square, lower) == 2 / 6

best = []
for image, target in samples:
    masks = predictor(image, 0.5).masks
    for true in target.masks.bool():
        best.append(max((mask_iou(true, mask) for mask in masks), default=0.0))
best = np.array(best)
print(f"{len(best)} objects; IoU with the best mask: mean {best.mean():.2f}")
print(f"found with IoU of at least one half: {(best >= 0.5).mean():.0%}")
assert best.mean() > 0.7

# %% [markdown]
# ## Through the model
#
# Now one picture, step by step. The model is a chain: each part takes what the one
# before it made.
#
# 1. The **backbone** and the **FPN** turn the picture into feature maps, one for each
#    of several strides. At stride 8 one cell stands for 8 x 8 pixels.
# 2. The **RPN** looks at boxes of fixed shapes around every cell, the **anchors**, and
#    proposes those that may hold an object, of whatever class.
# 3. **RoIAlign** reads the feature map under each proposal into a grid of fixed size.
# 4. The **box head** says which class it is, and moves the box onto the object.
# 5. The **mask head** draws the mask of each box that is left.
#
# Parts 1 to 4 were known as Faster R-CNN. The mask head, and RoIAlign without which
# it works poorly, made it Mask R-CNN.

# %%
show(type(model).forward, type(model).detect)

# %%
image, target = samples[1]
with torch.no_grad():
    sizes = image_sizes([image])
    maps = model.feature_maps(model.batch([image]))
    (proposals,) = model.proposals(maps, sizes, given=None)
    (detected,) = model.detect(maps, [proposals], sizes)

best_name = class_names[detected.labels[0] - 1]
figure, told = draw_model_walk(
    image.permute(1, 2, 0).numpy(),
    {f"P{level}": maps[level][0].numpy() for level in (2, 3, 4)},
    proposals.boxes.numpy(),
    best_name,
    detected.boxes[0].numpy(),
    detected.mask_probabilities[0].numpy(),
    predictor(image).masks[0].numpy(),
)
assert told.cells == {"P2": (32, 32), "P3": (16, 16), "P4": (8, 8)}  # 128 / 4, ...
show(figure)

# %% [markdown]
# The proposals are many and overlap, for the RPN would rather say one thing twice than
# miss it. Sorting that out is the business of **non-maximum suppression** (chapter 6).
#
# ## Anatomy
#
# The same walk as a list of tensors, this time for the paper's model and an image of
# 1024 x 1024. Nothing is computed here: the model runs on tensors that have a shape and
# no values.

# %%
entries = anatomy(PAPER, (1024, 1024))
for one in entries:
    shape = " x ".join(map(str, one.shape))
    print(f"{one.part:10} {one.tensor:20} {shape:22} {one.note}")

# %% [markdown]
# Two of these numbers are quoted often. At strides 4 to 64 the image of 1024 pixels has
# maps of 256, 128, 64, 32 and 16 cells a side, each cell three anchors:
#
# $$3 \cdot (256^2 + 128^2 + 64^2 + 32^2 + 16^2) = 261{,}888$$
#
# A level of stride $s$ has $\lceil \mathrm{side} / s \rceil$ cells a side, where the
# image was first padded so that 32 divides its sides. 800 x 1333 becomes 800 x 1344.

# %%
shapes = {one.tensor: one.shape for one in entries}
assert 3 * sum((1024 // stride) ** 2 for stride in (4, 8, 16, 32, 64)) == 261888
assert shapes["all anchors"] == (261888, 4)
assert shapes["class logits"] == (1000, 81)
assert shapes["mask logits"] == ("n", 80, 28, 28)

wide = {one.tensor: one.shape for one in anatomy(PAPER, (800, 1333))}
assert wide["batch"] == (1, 3, 800, 1344)
assert wide["P5"][2:] == (800 // 32, 1344 // 32) == (25, 42)
assert wide["P6"][2:] == (13, 21)  # half of 25 is 12.5: the last row is kept

# %% [markdown]
# Where do the parameters sit? Of the paper's model, half in the backbone and a third in
# the two fully connected layers of the box head. The mask head is small.

# %%
for config, name in ((PAPER, "the paper's, ResNet-50-FPN"), (model.config, "ours")):
    parts = count_parameters(config)
    total = sum(part.total for part in parts)
    print(f"{name}: {total / 1e6:.1f} million")
    for part in parts:
        print(f"    {part.part:10} {part.total:>12,} {part.total / total:6.1%}")

# %% [markdown]
# ## What it cannot know
#
# The model has seen four kinds of shapes. Show it stick figures, and it finds shapes
# all the same, with scores that are not always low: it has no word for anything else,
# and nothing taught it that a head is no ellipse. A score is a comparison with what was
# in the training, not a probability of being right about the world.

# %%
pictures, titles = [], []
for image, _ in generate_figures(4, seed=3):
    found = predictor(image, 0.5)
    pictures.append(draw_objects(image, found.boxes, found.masks, [""] * len(found)))
    names = [
        f"{class_names[label - 1]} {score:.2f}"
        for label, score in zip(found.labels, found.scores, strict=True)
    ]
    titles.append("\n".join(names) or "nothing")
show(draw_pictures(pictures, titles))

# %% [markdown]
# ## The road ahead
#
# | chapter | part |
# | --- | --- |
# | 1, 2, 3 | reading a feature map: bilinear interpolation, RoIPool, RoIAlign |
# | 4, 5, 6 | boxes: IoU, anchors, non-maximum suppression |
# | 7, 8, 9, 10 | the parts: FPN, RPN, box head, mask head |
# | 11 | all of it together, trained |
# | 12 | how good it is: average precision |
# | 13 | how to make it fast: kernels |
# | 14, 15, 16 | people with keypoints, the paper's ablations, your own images |
#
# Every chapter shows the package's own code, runs it on numbers that you can check by
# hand, and asserts what it claims.
#
# ## Exercises
#
# Each `check` runs your function on many small inputs. If it fails, you are shown the
# smallest input that was found.

# %% exercise="ex00_1"
exercise("ex00_1")

# %% exercise="ex00_2"
exercise("ex00_2")

# %% [markdown]
# ## Summary
#
# - A prediction is a list of objects: box, label, score, mask. Labels count from 1.
# - Two thresholds: the score's chooses objects, one half chooses a mask's pixels.
# - Image, backbone, FPN, RPN, proposals, RoIAlign, box head, detections, mask head.
# - A level of stride s has ceil(side / s) cells a side, after padding to a multiple of
#   32.
# - A model names what it was trained on, and calls everything else one of that.
#
# ## To read
#
# - He et al., *Mask R-CNN*, 2017, sections 1 to 3 and figure 4.
# - Ren et al., *Faster R-CNN*, 2015, section 3, for what was there before.
# - `maskrcnn_scratch/models/mask_rcnn.py`; `maskrcnn-scratch anatomy --help`.
