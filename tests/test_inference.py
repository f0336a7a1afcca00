"""Inference: what is found comes back in the frame of the image that was given.

The model is replaced by one that finds every bright rectangle exactly, so that whatever
is off comes from the way there and back.

Faults tried, and the test that caught each:
- boxes left in the frame of the resized image -> test_what_is_found_lies_where_it_is
- x scaled by the ratio of heights -> test_the_whole_image_stays_the_whole_image
- masks pasted at the resized size -> test_what_is_found_lies_where_it_is
- boxes not cut to the image -> test_boxes_end_with_the_image
- threshold on scores > for >= -> test_the_score_threshold_is_the_least_score_kept
- threshold not applied to masks or labels -> the same
- model left in training mode -> test_a_predictor_is_loaded_as_it_was_trained
- evaluation's image size left at its default -> the same
- overlay draws all objects in one colour -> test_colors_of_neighbours_differ
- mask painted one pixel aside, or over everything -> test_paint_stays_on_the_objects
- last object on top -> test_the_best_object_is_on_top
- overlays of two folders overwrite each other -> test_files_in_two_folders_share_a_name
- files written in place -> test_a_broken_image_leaves_nothing_behind
- label taken for category id -> test_a_perfect_model_is_perfect
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from rich.console import Console
from tiny_training import tiny_config
from torch import Tensor, nn

from maskrcnn_scratch.data import CocoDataset, write_shapes
from maskrcnn_scratch.data.resize import resize_image
from maskrcnn_scratch.inference import Predictor, evaluate, evaluate_run, predict_files
from maskrcnn_scratch.inference.files import image_files
from maskrcnn_scratch.inference.overlay import (
    SHOWN_SIDE,
    TITLE_HEIGHT,
    distinct_colors,
    draw_comparison,
    draw_detections,
    draw_objects,
)
from maskrcnn_scratch.inference.predict import scale_boxes
from maskrcnn_scratch.inference.settings import prediction_settings, resize_rule
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.ops import paste_masks
from maskrcnn_scratch.structures import Detections, Target
from maskrcnn_scratch.weights.model_file import write_model_file

FILTERS: tuple[Literal["antialias", "bilinear"], ...] = ("antialias", "bilinear")
RULES: tuple[Literal["centres", "integer"], ...] = ("centres", "integer")


class BrightBoxes(MaskRCNN):
    """Finds the one bright rectangle of each image; scores .9, .5, .2 for classes."""

    def __init__(
        self,
        scores: Sequence[float] = (0.9,),
        spill: float = 0.0,
        config: ModelConfig = tiny_config().model,  # noqa: B008
    ) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.unused = nn.Parameter(torch.zeros(1))
        self.scores = torch.tensor(scores)
        self.spill = spill  # pixels by which boxes are too large on every side
        self.sizes: list[tuple[int, ...]] = []
        self.seen: list[Tensor] = []

    def forward(
        self,
        images: list[Tensor],
        targets: list[Target] | None = None,
        proposals: list[Tensor] | None = None,
    ) -> list[Detections]:
        self.sizes += [tuple(image.shape) for image in images]
        self.seen += images
        return [self.find(image) for image in images]

    def find(self, image: Tensor) -> Detections:
        light = image.mean(0).double()
        # Where brightness starts and ends, to a part of a pixel: resizing blurs edges.
        rows, columns = light.amax(1), light.amax(0)
        x1, y1 = first_edge(columns), first_edge(rows)
        x2 = len(columns) - first_edge(columns.flip(0))
        y2 = len(rows) - first_edge(rows.flip(0))
        s = self.spill
        box = torch.tensor([x1 - s, y1 - s, x2 + s, y2 + s], dtype=torch.float32)
        n = len(self.scores)
        return Detections(
            boxes=box.repeat(n, 1),
            scores=self.scores,
            labels=torch.arange(1, n + 1),
            mask_probabilities=torch.ones(n, 28, 28),
        )


def first_edge(line: Tensor) -> float:
    """Where a line of pixels crosses one half, reading between pixel centres."""
    index = int((line >= 0.5).int().argmax())
    if index == 0:
        return 0.0
    low, high = float(line[index - 1]), float(line[index])
    return index - 0.5 + (0.5 - low) / (high - low)


def image_with_box(size: tuple[int, int], box: tuple[int, int, int, int]) -> Tensor:
    """Black with one white rectangle; size (height, width)."""
    image = torch.zeros(3, *size)
    x1, y1, x2, y2 = box
    image[:, y1:y2, x1:x2] = 1
    return image


@given(st.data())
def test_what_is_found_lies_where_it_is(data: st.DataObject) -> None:
    """For any image, box and size in between: box and mask are the rectangle's."""
    height, width = data.draw(st.integers(24, 60)), data.draw(st.integers(24, 60))
    x1, y1 = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 8))
    x2, y2 = (data.draw(st.integers(15, side)) for side in (width, height))
    config = ModelConfig(
        image_short=data.draw(st.integers(24, 96)),
        image_long=data.draw(st.integers(48, 96)),
    )
    image = image_with_box((height, width), (x1, y1, x2, y2))
    model = BrightBoxes(config=config)
    found = Predictor(model, ["thing"])(image)
    expected = torch.tensor([[x1, y1, x2, y2]], dtype=torch.float32)
    torch.testing.assert_close(found.boxes, expected, atol=0.6, rtol=0)
    assert found.masks is not None
    assert found.masks.shape == (1, height, width)
    truth = image[0] > 0
    both, either = (found.masks[0] & truth).sum(), (found.masks[0] | truth).sum()
    assert both / either > 0.8
    (seen,) = model.sizes
    assert seen[1:] == resize_rule(config).size((height, width))
    assert max(seen[1:]) == config.image_long or min(seen[1:]) == config.image_short


sides = st.integers(1, 40)


@given(sides, sides, sides, sides)
def test_the_whole_image_stays_the_whole_image(
    height: int, width: int, new_height: int, new_width: int
) -> None:
    """Each axis by its own ratio, to the last bit but rounding."""
    whole = torch.tensor([[0.0, 0.0, width, height]])
    scaled = scale_boxes(whole, (height, width), (new_height, new_width))
    expected = torch.tensor([[0.0, 0.0, new_width, new_height]])
    torch.testing.assert_close(scaled, expected)


def test_boxes_end_with_the_image() -> None:
    image = image_with_box((30, 40), (0, 0, 40, 30))
    found = Predictor(BrightBoxes(spill=9), ["thing"])(image)
    assert found.boxes.tolist() == [[0, 0, 40, 30]]
    assert found.masks is not None
    assert found.masks.all()


@pytest.mark.parametrize("chosen", ["antialias", "bilinear"])
def test_images_are_scaled_as_the_model_says(
    chosen: Literal["antialias", "bilinear"],
) -> None:
    config = ModelConfig(image_short=16, image_long=16, resize_filter=chosen)
    model = BrightBoxes(config=config)
    image = torch.rand(3, 64, 64)
    Predictor(model, ["thing"])(image)
    ways = {name: resize_image(image, (16, 16), name) for name in FILTERS}
    same = [name for name, way in ways.items() if torch.equal(way, model.seen[0])]
    assert same == [chosen]


@pytest.mark.parametrize("chosen", ["centres", "integer"])
def test_masks_are_pasted_as_the_model_says(
    chosen: Literal["centres", "integer"],
) -> None:
    config = ModelConfig(image_short=40, mask_paste=chosen)
    image = image_with_box((40, 40), (10, 10, 20, 20))
    found = Predictor(BrightBoxes(spill=0.3, config=config), ["thing"])(image)
    assert found.mask_probabilities is not None
    given = found.mask_probabilities, found.boxes, (40, 40), 0.5
    ways = {rule: paste_masks(*given, rule) for rule in RULES}
    assert not torch.equal(ways["centres"], ways["integer"])
    assert found.masks is not None
    assert torch.equal(found.masks, ways[chosen])


def test_the_score_threshold_is_the_least_score_kept() -> None:
    image = image_with_box((32, 32), (4, 4, 20, 20))
    predictor = Predictor(BrightBoxes((0.75, 0.5, 0.25)), ["a", "b", "c"])
    for threshold, count in ((0.0, 3), (0.25, 3), (0.5, 2), (0.8, 0)):
        found = predictor(image, threshold)
        assert found.masks is not None
        assert found.mask_probabilities is not None
        assert found.scores.tolist() == [0.75, 0.5, 0.25][:count]
        assert found.labels.tolist() == [1, 2, 3][:count]
        lengths = {len(found), len(found.masks), len(found.mask_probabilities)}
        assert lengths == {count}


def test_a_predictor_is_loaded_as_it_was_trained(tmp_path: Path) -> None:
    config = tiny_config()
    model = MaskRCNN(config.model).train()
    path = tmp_path / "model.safetensors"
    write_model_file(path, model, config.model_dump(mode="json"), ["x"] * 80)
    predictor = Predictor.load(tmp_path)
    assert predictor.settings == config.evaluate
    assert predictor.model.config == config.model
    assert not predictor.model.training
    torch.testing.assert_close(
        predictor.model.state_dict(), model.state_dict(), rtol=0, atol=0
    )
    found = predictor(torch.rand(3, 50, 80))
    assert found.masks is not None
    assert found.masks.shape[1:] == (50, 80)


def test_settings_of_another_version_are_refused() -> None:
    assert prediction_settings({"mask_threshold": 0.4}).mask_threshold == 0.4
    with pytest.raises(ValueError, match="another version: its settings max_size, min"):
        prediction_settings({"mask_threshold": 0.4, "min_size": 64, "max_size": 99})


# Pictures -----------------------------------------------------------------------------


def detections(boxes: list[list[float]], size: tuple[int, int]) -> Detections:
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = True
    return Detections(
        boxes=torch.tensor(boxes).reshape(-1, 4).float(),
        scores=torch.linspace(0.9, 0.5, len(boxes)),
        labels=torch.ones(len(boxes), dtype=torch.int64),
        masks=masks,
    )


def test_paint_stays_on_the_objects() -> None:
    """Every painted pixel lies in the box, every pixel of the mask is tinted."""
    side = SHOWN_SIDE  # shown as it is, not enlarged
    image = torch.full((3, side, side), 0.7)
    found = detections([[100, 200, 300, 260]], (side, side))
    picture = np.asarray(draw_objects(image, found.boxes, found.masks, [""]))
    changed = (picture != picture[0, 0]).any(2)
    expected = np.zeros((side, side), bool)
    expected[200:260, 100:300] = True
    assert (changed == expected).all()


@pytest.mark.parametrize("size", [(20, 30), (64, 64), (300, 500), (900, 700)])
def test_small_images_are_enlarged(size: tuple[int, int]) -> None:
    image = torch.rand(3, *size)
    found = detections([[2, 3, 12, 15], [5, 5, 19, 19]], size)
    picture = draw_detections(image, found, ["a", "b"])
    factor = picture.width / size[1]
    assert factor == int(factor) >= 1
    assert picture.height == size[0] * factor
    assert max(picture.size) >= min(SHOWN_SIDE, 500)


def test_the_best_object_is_on_top() -> None:
    side = SHOWN_SIDE
    found = detections([[100, 100, 300, 300], [200, 200, 400, 400]], (side, side))
    image = torch.full((3, side, side), 0.7)
    both = np.asarray(draw_objects(image, found.boxes, found.masks, ["", ""]))
    # Seen through both paints, the overlap is nearer to the first colour.
    overlap = both[250, 250].astype(int)
    first, second = (np.array(color) for color in distinct_colors(2))
    assert np.abs(overlap - first).sum() < np.abs(overlap - second).sum()


def test_colors_of_neighbours_differ() -> None:
    colors = np.array(distinct_colors(200), int)
    for step in (1, 2, 3, 4):
        apart = np.abs(colors[step:] - colors[:-step]).sum(1)
        assert apart.min() > 60
    assert len({tuple(color) for color in colors[:50]}) == 50


def test_nothing_found_is_the_image_itself() -> None:
    image = torch.rand(3, SHOWN_SIDE, 40)
    picture = draw_detections(image, detections([], (SHOWN_SIDE, 40)), ["a"])
    expected = (image * 255).round().byte().permute(1, 2, 0).numpy()
    assert (np.asarray(picture) == expected).all()


def test_dark_images_are_brightened() -> None:
    dark = torch.rand(3, 64, 64) * 0.05
    picture = np.asarray(draw_detections(dark, detections([], (64, 64)), ["a"]))
    assert 0.4 * 255 < picture.max() <= 255


def test_a_comparison_is_two_panels() -> None:
    image = torch.full((3, SHOWN_SIDE, SHOWN_SIDE), 0.7)
    found = detections([[100, 200, 300, 260]], (SHOWN_SIDE, SHOWN_SIDE))
    target = Target(
        image_id=1,
        boxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.int64),
        masks=torch.zeros(0, SHOWN_SIDE, SHOWN_SIDE, dtype=torch.uint8),
        crowd=torch.zeros(0, dtype=torch.bool),
    )
    picture = np.asarray(draw_comparison(image, target, found, ["a"]))
    panels = picture[TITLE_HEIGHT:]
    left, right = panels[:, :SHOWN_SIDE], panels[:, -SHOWN_SIDE:]
    assert (left == left[0, 0]).all()
    assert (right == np.asarray(draw_detections(image, found, ["a"]))).all()


def test_captions_stay_inside_the_picture() -> None:
    """At every border, also for boxes smaller than the text."""
    size = (SHOWN_SIDE, SHOWN_SIDE)
    edge = SHOWN_SIDE - 4
    boxes = [[0, 0, 4, 4], [edge, 0, edge + 4, 4], [edge, edge, edge + 4, edge + 4]]
    image = torch.full((3, *size), 0.7)
    found = detections(boxes, size)
    bare = np.asarray(draw_objects(image, found.boxes, found.masks, [""] * 3))
    written = np.asarray(draw_detections(image, found, ["thing", "other"]))
    changed = (bare != written).any(2)
    parts = changed[:40, :120], changed[:40, -120:], changed[-40:, -120:]
    for part in parts:
        assert part.sum() > 800  # all of the caption's ground


# Files --------------------------------------------------------------------------------


def save(path: Path, image: Tensor) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (image * 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path)
    return path


def read_json(path: Path) -> object:
    return json.loads(path.read_text())


def test_prediction_writes_pictures_results_and_a_table(tmp_path: Path) -> None:
    save(tmp_path / "in" / "b.png", image_with_box((40, 60), (10, 5, 30, 25)))
    save(tmp_path / "in" / "a.png", image_with_box((30, 30), (3, 3, 23, 13)))
    (tmp_path / "in" / "notes.txt").write_text("no image")
    predictor = Predictor(BrightBoxes((0.75, 0.5, 0.25)), ["one", "two", "three"])
    out = predict_files(predictor, [tmp_path / "in"], tmp_path / "out", 0.5)
    assert sorted(path.name for path in out.iterdir()) == [
        "a.png",
        "b.png",
        "images.json",
        "objects.csv",
        "results.json",
    ]
    coco = COCO(out / "images.json")
    found = coco.loadRes(str(out / "results.json"))
    assert len(found.anns) == 4
    names = {coco.imgs[a["image_id"]]["file_name"]: a for a in found.anns.values()}
    assert {Path(name).name for name in names} == {"a.png", "b.png"}
    with (out / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(Path(r["file"]).name, r["object"], r["class"]) for r in rows] == [
        ("a.png", "1", "one"),
        ("a.png", "2", "two"),
        ("b.png", "1", "one"),
        ("b.png", "2", "two"),
    ]
    last = rows[-1]
    assert float(last["score"]) == 0.5
    box = [float(last[key]) for key in ("x", "y", "width", "height")]
    assert box == pytest.approx([10, 5, 20, 20], abs=0.3)
    assert int(last["mask_area"]) == pytest.approx(400, abs=45)
    area = mask_utils.area(found.annToRLE(names[last["file"]]))
    assert area == int(last["mask_area"])


def test_files_in_two_folders_share_a_name(tmp_path: Path) -> None:
    image = image_with_box((32, 32), (4, 4, 20, 20))
    sources = [save(tmp_path / folder / "x.png", image) for folder in "ab"]
    predictor = Predictor(BrightBoxes(), ["thing"])
    out = predict_files(predictor, sources, tmp_path / "out")
    assert {path.name for path in out.glob("*.png")} == {"x.png", "x-2.png"}


def test_a_broken_image_leaves_nothing_behind(tmp_path: Path) -> None:
    """All or none: an earlier prediction stays as it was."""
    good = save(tmp_path / "a.png", image_with_box((32, 32), (4, 4, 20, 20)))
    broken = tmp_path / "b.png"
    broken.write_bytes(good.read_bytes()[:60])
    predictor = Predictor(BrightBoxes(), ["thing"])
    with pytest.raises(ValueError, match=r"b\.png"):
        predict_files(predictor, [good, broken], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
    predict_files(predictor, [good], tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with pytest.raises(ValueError, match=r"b\.png"):
        predict_files(predictor, [good, broken], tmp_path / "out", 0.99)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no image or folder at .*nowhere"):
        image_files([tmp_path / "nowhere"])
    with pytest.raises(FileNotFoundError, match="no image files in"):
        image_files([tmp_path])


# Evaluation ---------------------------------------------------------------------------


class Oracle(MaskRCNN):
    """Answers with the ground truth of the image it is shown, its size unchanged."""

    def __init__(self, dataset: CocoDataset) -> None:
        nn.Module.__init__(self)
        self.unused = nn.Parameter(torch.zeros(1))
        self.config = tiny_config().model
        self.dataset = dataset

    def forward(
        self,
        images: list[Tensor],
        targets: list[Target] | None = None,
        proposals: list[Tensor] | None = None,
    ) -> list[Detections]:
        (image,) = images
        for known, target in self.dataset:
            if torch.equal(known, image):
                return [self.answer(target)]
        raise AssertionError("an image that is not in the data set, or was changed")

    def answer(self, target: Target) -> Detections:
        crops = []
        for mask, box in zip(target.masks, target.boxes.int().tolist(), strict=True):
            x1, y1, x2, y2 = box
            part = mask[None, None, y1:y2, x1:x2].float()
            crops.append(nn.functional.interpolate(part, (28, 28), mode="bilinear"))
        return Detections(
            boxes=target.boxes,
            scores=torch.linspace(0.9, 0.6, len(target)),
            labels=target.labels,
            mask_probabilities=torch.cat(crops)[:, 0],
        )


@pytest.fixture
def holes(tmp_path: Path) -> Path:
    """Shapes whose category ids are 11, 21, 31, 41, out of order in the file."""
    folder = write_shapes(tmp_path / "shapes", 1, 4, size=64)
    for path in (folder / "annotations").iterdir():
        contents = json.loads(path.read_text())
        for category in contents["categories"]:
            category["id"] = 10 * category["id"] + 1
        contents["categories"].reverse()
        for annotation in contents["annotations"]:
            annotation["category_id"] = 10 * annotation["category_id"] + 1
        path.write_text(json.dumps(contents))
    return folder


def test_a_perfect_model_is_perfect(
    holes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Box AP 1 and all AP50 1, through files, frames, ids and pycocotools."""
    dataset = CocoDataset(holes, "val")
    oracle = Predictor(Oracle(dataset), dataset.class_names)
    monkeypatch.setattr(evaluate.Predictor, "load", lambda run: oracle)
    out = io.StringIO()
    scores = evaluate_run(
        tmp_path / "run", holes, tmp_path / "out", "val", 2, Console(file=out)
    )
    assert scores["bbox"].ap == pytest.approx(1)
    assert scores["segm"].ap50 == pytest.approx(1)
    assert scores["segm"].ap > 0.7
    names = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = {f"{Path(im['file_name']).stem}.png" for im in dataset.images[:2]}
    assert names == {"metrics.json", "results.json", "pr_curves.png", *pictures}
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["bbox"]["ap"] == scores["bbox"].ap
    assert metrics["segm"]["max_detections"] == 10
    assert metrics["mean_iou"]["per_object"] > 0.8
    assert (metrics["split"], metrics["images"]) == ("val", 4)
    assert "star" in out.getvalue()


def test_other_classes_are_refused(holes: Path, tmp_path: Path) -> None:
    config = tiny_config()
    path = tmp_path / "run" / "model.safetensors"
    model = MaskRCNN(config.model)
    write_model_file(path, model, config.model_dump(mode="json"), ["cat", "dog"])
    with pytest.raises(ValueError, match=r"knows the classes cat, dog; .* rectangle"):
        evaluate_run(tmp_path / "run", holes)
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"model.safetensors"}
