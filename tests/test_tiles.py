"""Large images in tiles: cut with their ground truth, predicted and put together.

Deliberate faults, and the test that caught each:

- no last tile, or one past the end -> test_tiles_cover_an_axis
- tiles glued with x and y mixed up -> test_cut_and_glued_is_the_same
- boxes left in the tile's frame -> test_every_object_is_found_once_and_where_it_is
- no NMS over the tiles -> the same
- cut boxes kept -> the same
- boxes at the image's own border taken for cut -> the same
- keypoints not moved -> test_keypoints_move_with_their_tile
- masks pasted into a tile, not the image -> test_masks_are_in_the_frame_of_the_image
- category numbers of tiles counted from 1, crowds forgotten -> test_a_folder_is_cut
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_training import tiny_config

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.data import CocoDataset, check_dataset, read_image, write_shapes
from maskrcnn_scratch.data.shapes import draw_scene, to_sample
from maskrcnn_scratch.data.tiles import cut_tiles, glue_tiles, tile_starts
from maskrcnn_scratch.data.transforms import boxes_around
from maskrcnn_scratch.inference import InTiles, Predictor
from maskrcnn_scratch.inference.tiles import BORDER
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.ops import box_iou
from maskrcnn_scratch.structures import Detections
from maskrcnn_scratch.weights.lesson import lesson_file, lesson_model


@given(st.data())
def test_tiles_cover_an_axis(data: st.DataObject) -> None:
    """From 0 to the end, in steps that leave the overlap, and no more than it takes."""
    tile = data.draw(st.integers(1, 12))
    overlap = data.draw(st.integers(0, tile - 1))
    size = data.draw(st.integers(1, 60))
    starts = tile_starts(size, tile, overlap)
    covered = {pixel for start in starts for pixel in range(start, start + tile)}
    assert covered >= set(range(size))
    assert starts[0] == 0
    assert max(covered) == max(size, tile) - 1
    steps = [after - before for before, after in pairwise(starts)]
    assert all(0 < step <= tile - overlap for step in steps)
    assert steps[:-1] == [tile - overlap] * len(steps[:-1])


def test_tiles_of_1024() -> None:
    assert tile_starts(3000, 1024, 256) == [0, 768, 1536, 1976]
    assert tile_starts(1024, 1024, 256) == [0]
    assert tile_starts(1025, 1024, 256) == [0, 1]


@pytest.mark.parametrize("overlap", [-1, 8, 9])
def test_an_overlap_must_leave_a_step(overlap: int) -> None:
    with pytest.raises(ValueError, match=f"overlap is {overlap}; expected from 0"):
        tile_starts(20, 8, overlap)


@given(st.data())
def test_cut_and_glued_is_the_same(data: st.DataObject) -> None:
    """Image and masks; boxes are those of what each tile holds."""
    scene = draw_scene(64, np.random.default_rng(data.draw(st.integers(0, 99))))
    image, target = to_sample(scene, 1)
    height, width = data.draw(st.integers(20, 64)), data.draw(st.integers(20, 64))
    image = image[:, :height, :width]
    assert target.masks is not None
    masks = target.masks[:, :height, :width]
    target = replace(target, masks=masks, labels=torch.arange(1, len(masks) + 1))
    tile = data.draw(st.integers(8, 70))
    tiles = cut_tiles((image, target), tile, data.draw(st.integers(0, tile - 1)))
    images = [(corner, one) for corner, (one, _) in tiles]
    assert torch.equal(glue_tiles(images, (height, width)), image)
    whole = []
    for corner, (one, part) in tiles:
        assert part.masks is not None
        assert one.shape[1:] == part.masks.shape[1:]
        assert torch.equal(part.boxes, boxes_around(part.masks))
        own = torch.zeros(len(masks), *one.shape[1:], dtype=torch.uint8)
        own[part.labels - 1] = part.masks
        whole.append((corner, own))
    assert torch.equal(glue_tiles(whole, (height, width)), masks)


class ByBrightness(Predictor):
    """Finds a rectangle for each shade of grey, the brightest with the best score."""

    def __init__(self) -> None:
        super().__init__(MaskRCNN(tiny_config().model), ["a", "b", "c", "d"])

    def __call__(
        self,
        image: torch.Tensor,
        score_threshold: float = 0.0,
        proposals: torch.Tensor | None = None,
    ) -> Detections:
        shades = image[0].unique(sorted=True).flip(0)
        shades = shades[shades > 0]
        masks = (image[0] == shades[:, None, None]).byte()
        boxes = boxes_around(masks)
        found = Detections(
            boxes=boxes,
            scores=shades,
            labels=torch.ones(len(shades), dtype=torch.int64),
            mask_probabilities=torch.ones(len(shades), 14, 14),
            keypoints=torch.cat([boxes[:, :2], shades[:, None]], 1)[:, None],
        )
        return replace(found, masks=self.paste(found, (image.shape[1], image.shape[2])))


BRIGHT = ByBrightness()


def rectangles(
    boxes: list[tuple[int, int, int, int]], size: tuple[int, int]
) -> torch.Tensor:
    """Each in a shade of its own, the first the brightest."""
    image = torch.zeros(3, *size)
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        image[:, y1:y2, x1:x2] = 1 - number / 10
    return image


@given(st.data())
def test_every_object_is_found_once_and_where_it_is(data: st.DataObject) -> None:
    """Wherever it lies, if the overlap is wider than it by two borders."""
    overlap = data.draw(st.integers(7, 12))
    tile = overlap + data.draw(st.integers(8, 14))
    height, width = data.draw(st.integers(20, 50)), data.draw(st.integers(20, 50))
    most = overlap - 2 * int(BORDER)
    x1, y1 = data.draw(st.integers(0, width - 2)), data.draw(st.integers(0, height - 2))
    box = (
        x1,
        y1,
        min(x1 + data.draw(st.integers(1, most)), width),
        min(y1 + data.draw(st.integers(1, most)), height),
    )
    found = InTiles(BRIGHT, tile, overlap)(rectangles([box], (height, width)))
    assert found.boxes.tolist() == [list(box)]
    assert found.labels.tolist() == [1]


def test_what_a_border_cuts_is_left_out() -> None:
    """28 pixels wide, in tiles of 32 that share 16: 12 pixels fit in neither."""
    image = rectangles([(8, 4, 40, 12), (2, 20, 10, 28)], (32, 64))
    found = InTiles(BRIGHT, 32, 16)(image)
    assert found.boxes.tolist() == [[2, 20, 10, 28]]


def test_masks_are_in_the_frame_of_the_image() -> None:
    """Best score first, though tiles come row by row."""
    boxes = [(50, 30, 58, 38), (3, 4, 11, 12)]
    found = InTiles(BRIGHT, 32, 12)(rectangles(boxes, (48, 64)))
    assert found.masks is not None
    assert found.masks.shape == (2, 48, 64)
    assert torch.equal(boxes_around(found.masks.byte()), found.boxes)
    assert found.boxes.tolist() == [list(box) for box in boxes]


def test_keypoints_move_with_their_tile() -> None:
    found = InTiles(BRIGHT, 32, 12)(rectangles([(50, 30, 58, 38)], (48, 64)))
    assert found.keypoints is not None
    assert found.keypoints.tolist() == [[[50, 30, 1]]]


def test_an_image_of_one_tile_is_predicted_as_it_is() -> None:
    predictor = Predictor(*lesson_model("shapes"))
    scene = draw_scene(128, np.random.default_rng(4))
    image, _ = to_sample(scene, 1)
    plain, tiled = predictor(image), InTiles(predictor, 128, 64)(image)
    assert len(plain)
    for name, value in vars(plain).items():
        if value is None:
            assert getattr(tiled, name) is None
        else:
            assert torch.equal(getattr(tiled, name), value), name


def test_a_trained_model_finds_more_in_tiles() -> None:
    """Four scenes of the size it knows, side by side."""
    scenes = [draw_scene(128, np.random.default_rng([5, i])) for i in range(4)]
    image = torch.cat([to_sample(scene, 1)[0] for scene in scenes], dim=2)
    truth = torch.cat(
        [
            to_sample(scene, 1)[1].boxes + torch.tensor([128.0 * i, 0, 128 * i, 0])
            for i, scene in enumerate(scenes)
        ]
    )
    predictor = Predictor(*lesson_model("shapes"))
    found = InTiles(predictor, 128, 64)(image, 0.5)
    hit = (box_iou(truth, found.boxes) >= 0.5).any(1).float().mean()
    whole = predictor(image, 0.5)
    assert hit > 0.8 > (box_iou(truth, whole.boxes) >= 0.5).any(1).float().mean()


def test_the_command_predicts_in_tiles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.hstack(
        [draw_scene(128, np.random.default_rng([6, i])).pixels for i in range(3)]
    )
    photo = tmp_path / "photo.png"
    Image.fromarray(pixels).save(photo)
    words = ["predict", str(lesson_file("shapes")), str(photo), "--out"]
    assert (
        main([*words, str(tmp_path / "out"), "--tile", "128", "--overlap", "64"]) == 0
    )
    table = (tmp_path / "out" / "objects.csv").read_text("utf-8").splitlines()
    expected = InTiles(Predictor(*lesson_model("shapes")), 128, 64)(
        read_image(photo), 0.5
    )
    rows = list(csv.DictReader(table))
    assert len(rows) == len(expected) > 3
    left = sorted(float(row["x"]) for row in rows)
    assert np.allclose(left, sorted(expected.boxes[:, 0].tolist()), atol=0.1)
    capsys.readouterr()
    assert main([*words, str(tmp_path / "no"), "--overlap", "64"]) == 1
    assert "--overlap needs --tile" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "no"), "--tile", "8", "--overlap", "8"]) == 1
    assert "overlap is 8; expected from 0 to below 8" in capsys.readouterr().err


def test_a_folder_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Images glued from the files are the images, and all annotations are sound."""
    folder = write_shapes(tmp_path / "shapes", train=2, val=1, size=96)
    for path in (folder / "annotations").iterdir():  # categories 10, 20, ...
        contents = json.loads(path.read_text("utf-8"))
        for category in contents["categories"]:
            category["id"] *= 10
        for one in contents["annotations"]:
            one["category_id"] *= 10
            one["iscrowd"] = one["id"] % 2
        path.write_text(json.dumps(contents), "utf-8")
    words = ["data", "tile", str(folder), "--out", str(tmp_path / "tiles")]
    assert main([*words, "--tile", "40"]) == 0
    said = capsys.readouterr().out
    assert "train: 18 tiles" in said  # at 0, 30 and 56
    assert "val: 9 tiles" in said
    tiles, whole = CocoDataset(tmp_path / "tiles", "val"), CocoDataset(folder, "val")
    assert tiles.class_names == whole.class_names
    assert tiles.category_ids == whole.category_ids == [10, 20, 30, 40]
    expected = [one for _, one in cut_tiles(whole[0], 40, 10)]
    assert any(target.crowd.any() for _, target in expected)
    for index, (image, target) in enumerate(expected):
        written, read = tiles[index]
        assert torch.equal(written, image)
        assert torch.equal(read.boxes, target.boxes)
        assert torch.equal(read.labels, target.labels)
        assert torch.equal(read.crowd, target.crowd)
        assert read.masks is not None
        assert target.masks is not None
        assert torch.equal(read.masks, target.masks)
    found = check_dataset(tmp_path / "tiles")
    assert not [one for one in found if one.severity == "error"]
    assert main([*words, "--tile", "40"]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert main(["data", "tile", str(tmp_path), "--out", str(tmp_path / "x")]) == 1
    assert "no annotations/instances_SPLIT.json" in capsys.readouterr().err
