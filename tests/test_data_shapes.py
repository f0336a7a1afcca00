"""The generated shapes: exact, repeatable, written whole or not at all.

Faults tried -> the test that caught them:
- masks of what is hidden too -> test_masks_do_not_overlap
- image i depends on the count -> test_an_image_depends_on_its_number_alone
- shapes may be hidden wholly, masks of every touched pixel
  -> test_masks_are_half_covered_pixels_and_half_visible
- image or annotation ids from 0, one class for all, val as train
  -> test_the_folder_holds_what_is_generated
- shape equations off (angle, tips) -> test_outlines_of_known_area
- the window takes no account of stretching
  -> test_looking_farther_finds_no_more_of_a_shape
- any folder replaced -> test_foreign_folders_are_left_alone
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch.data import (
    CocoDataset,
    check_dataset,
    generate_shapes,
    shapes,
    write_shapes,
)
from maskrcnn_scratch.data.transforms import boxes_around


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@given(seed=st.integers(0, 10**6), size=st.integers(32, 140))
def test_masks_do_not_overlap(seed: int, size: int) -> None:
    [(image, target)] = generate_shapes(1, size, seed)
    assert image.shape == (3, size, size)
    assert 1 <= len(target) <= shapes.MOST_OBJECTS
    assert target.masks.sum(0).max() == 1
    assert target.masks.sum((1, 2)).min() >= shapes.LEAST_PIXELS
    assert torch.equal(target.boxes, boxes_around(target.masks))
    assert 1 <= target.labels.min() <= target.labels.max() <= len(shapes.CLASS_NAMES)


@given(seed=st.integers(0, 10**6))
def test_masks_are_half_covered_pixels_and_half_visible(seed: int) -> None:
    """Of each shape at least half is left, and no more than the shape."""
    covers = []

    def recorded(*args: Any) -> Any:
        covers.append(shape_cover(*args))
        return covers[-1]

    shape_cover = shapes.shape_cover
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "shape_cover", recorded)
        scene = shapes.draw_scene(128, np.random.default_rng(seed))
    whole = [cover >= 0.5 for cover in covers]
    for mask in scene.masks:
        assert any(
            not (mask & ~shape).any() and mask.sum() >= 0.5 * shape.sum()
            for shape in whole
        )


def test_small_images_hold_something_too() -> None:
    assert min(len(target) for _, target in generate_shapes(300, size=32)) == 1


def test_an_image_depends_on_its_number_alone() -> None:
    few, many = generate_shapes(2, seed=4), generate_shapes(5, seed=4)
    for (image, target), (same, again) in zip(few, many[:2], strict=True):
        assert torch.equal(image, same)
        assert torch.equal(target.masks, again.masks)
    assert not torch.equal(many[0][0], many[1][0])
    assert not torch.equal(many[0][0], generate_shapes(1, seed=5)[0][0])


def test_shapes_stand_out_and_overlap() -> None:
    """The set is learnable, and yet objects hide parts of one another."""
    touching, contrast, counts, labels = [], [], [], []
    for image, target in generate_shapes(60, seed=1):
        ground = image[:, target.masks.sum(0) == 0].mean(1)
        for mask in target.masks.bool():
            contrast.append(float((image[:, mask].mean(1) - ground).abs().max()))
        boxes = target.boxes
        low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
        high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
        touching.append(int((low < high).all(-1).sum()) - len(target))
        counts.append(len(target))
        labels += target.labels.tolist()
    assert min(contrast) > 0.1
    assert np.mean([pairs > 0 for pairs in touching]) > 0.3
    assert set(counts) == set(range(1, shapes.MOST_OBJECTS + 1))
    assert min(np.bincount(labels)[1:]) > 0.15 * len(labels)


@pytest.mark.parametrize(
    ("inside", "area"),
    [
        (shapes.in_rectangle, 1.7**2),
        (shapes.in_ellipse, math.pi),
        (shapes.in_triangle, 1.3**2 * 3 * math.sqrt(3) / 4),
        (shapes.in_star, 5 * 1.3 * 0.6 * math.sin(math.pi / 5)),
    ],
)
def test_outlines_of_known_area(inside: object, area: float) -> None:
    fine = np.arange(-2, 2, 0.005) + 0.0025
    u, v = np.meshgrid(fine, fine)
    filled = inside(u, v)  # type: ignore[operator]
    assert filled.sum() * 0.005**2 == pytest.approx(area, rel=2e-3)
    assert np.hypot(u, v)[filled].max() <= shapes.FARTHEST
    assert filled[len(fine) // 2, len(fine) // 2]


@given(seed=st.integers(0, 10**6), label=st.integers(0, 3))
def test_looking_farther_finds_no_more_of_a_shape(seed: int, label: int) -> None:
    near = shapes.shape_cover(label, 64, np.random.default_rng(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "FARTHEST", 4.0)
        far = shapes.shape_cover(label, 64, np.random.default_rng(seed))
    assert np.array_equal(near, far)
    assert near.min() >= 0
    assert near.max() <= 1


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first = files(write_shapes(tmp_path / "a", 3, 2, size=48, seed=9))
    assert first == files(write_shapes(tmp_path / "b", 3, 2, size=48, seed=9))
    assert first != files(write_shapes(tmp_path / "c", 3, 2, size=48, seed=8))
    assert len(first) == 7


def test_the_folder_holds_what_is_generated(tmp_path: Path) -> None:
    write_shapes(tmp_path / "set", 3, 2, size=64, seed=2)
    samples = generate_shapes(5, size=64, seed=2)
    train, val = (CocoDataset(tmp_path / "set", split) for split in ("train", "val"))
    assert train.class_names == list(shapes.CLASS_NAMES)
    for (image, target), (expected, truth) in zip([*train, *val], samples, strict=True):
        assert torch.equal(image, expected)
        for field in ("boxes", "labels", "masks", "crowd"):
            assert torch.equal(getattr(target, field), getattr(truth, field))
        assert target.image_id == truth.image_id
    findings = [f for f in check_dataset(tmp_path / "set") if f.severity != "note"]
    assert findings == []


def test_an_earlier_shapes_folder_is_replaced(tmp_path: Path) -> None:
    write_shapes(tmp_path / "set", 4, 1, size=32)
    write_shapes(tmp_path / "set", 1, 1, size=32)
    assert len(CocoDataset(tmp_path / "set", "train")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    (tmp_path / "empty").mkdir()
    write_shapes(tmp_path / "empty", 1, 1, size=32)


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="mine is there and is no shapes folder"):
        write_shapes(tmp_path / "mine", 1, 1, size=32)
    write_shapes(tmp_path / "set", 1, 1, size=32)
    (tmp_path / "set/notes.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="set is there"):
        write_shapes(tmp_path / "set", 1, 1, size=32)
    path = tmp_path / "other/annotations/instances_train.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"images": [], "info": {"description": "other"}}))
    with pytest.raises(FileExistsError, match="other is there"):
        write_shapes(tmp_path / "other", 1, 1, size=32)
    (tmp_path / "file").write_text("dear")
    with pytest.raises(FileExistsError, match="file is there"):
        write_shapes(tmp_path / "file", 1, 1, size=32)


def test_failure_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maskrcnn_scratch.data import shapes_folder

    before = files(write_shapes(tmp_path / "set", 1, 1, size=32))

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(shapes_folder, "annotate", fail)
    with pytest.raises(OSError, match="disk full"):
        write_shapes(tmp_path / "set", 2, 2, size=32, seed=1)
    assert files(tmp_path / "set") == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_bad_numbers_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size is 8 pixels; shapes need 32"):
        generate_shapes(1, size=8)
    with pytest.raises(ValueError, match="train is 0 and val is 1"):
        write_shapes(tmp_path / "set", 0, 1)
    with pytest.raises(ValueError, match="size is 8"):
        write_shapes(tmp_path / "set", 1, 1, size=8)
    assert list(tmp_path.iterdir()) == []
