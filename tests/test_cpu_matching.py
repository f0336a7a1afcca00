"""The compiled matcher: blocks of candidates, threads, memory, types.

The laws of matching are in test_matching.py, over every floor.

Faults tried on it, and a test that caught each:
- ties to the last box; a box's greatest IoU replaced by that of its last candidate ->
  test_boxes_are_matched_as_by_their_iou
"""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import torch
from floors import Floor, floors
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch import ops
from maskrcnn_scratch.cpu import matching as cpu
from maskrcnn_scratch.reference import matching as reference
from maskrcnn_scratch.reference.boxes import box_iou
from maskrcnn_scratch.reference.matching import BACKGROUND, IGNORED

every_fused = pytest.mark.parametrize(
    "floor", floors("matching", "match_boxes"), ids=str
)
either_quality = pytest.mark.parametrize("low_quality", [False, True])


@st.composite
def crowded_boxes(draw: st.DrawFn, most: int = 6) -> np.ndarray:
    """Boxes on a coarse lattice, so with ties; flat, inside out and NaN among them."""
    coordinate = st.sampled_from([0.0, 1, 2, 3, 4, 6])
    row = st.tuples(*[coordinate] * 4)
    boxes = np.array(draw(st.lists(row, max_size=most)), np.float64).reshape(-1, 4)
    for broken in draw(st.lists(st.integers(0, most - 1), max_size=1)):
        boxes[broken : broken + 1, draw(st.integers(0, 3))] = math.nan
    return boxes


def anchor_grid(rng: np.random.Generator) -> np.ndarray:
    """3 anchors at each of 40 x 30 places, neighbours in the list, some moved."""
    y, x = np.mgrid[0:30, 0:40] * 8.0
    centres = np.stack([x, y], axis=2)[:, :, None]
    halves = np.array([[11.0, 22], [16, 16], [22, 11]])
    anchors = np.concatenate([centres - halves, centres + halves], axis=3)
    flat = anchors.reshape(-1, 4)
    moved = rng.integers(0, len(flat), 50)
    flat[moved] += rng.normal(0, 40, (50, 4))  # a few of them inside out
    return flat


def whole_iou(boxes_gt: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """``reference.boxes.box_iou`` without loops, 0 where it is NaN, for many boxes."""
    width, height = (
        np.minimum(boxes_gt[:, None, k + 2], boxes[:, k + 2])
        - np.maximum(boxes_gt[:, None, k], boxes[:, k])
        for k in (0, 1)
    )
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    areas = [
        np.maximum(b[:, 2] - b[:, 0], 0) * np.maximum(b[:, 3] - b[:, 1], 0)
        for b in (boxes_gt, boxes)
    ]
    union = areas[0][:, None] + areas[1] - shared
    return np.where(shared > 0, shared / np.where(union > 0, union, 1), 0)


@every_fused
@either_quality
@given(
    boxes_gt=crowded_boxes(),
    boxes=crowded_boxes(),
    limits=st.sampled_from([(0.7, 0.3), (0.5, 0.5), (0.5, 0.0), (0.0, 0.0)]),
)
def test_boxes_are_matched_as_by_their_iou(
    floor: Floor,
    low_quality: bool,
    boxes_gt: np.ndarray,
    boxes: np.ndarray,
    limits: tuple[float, float],
) -> None:
    matched = floor.match_boxes(boxes_gt, boxes, *limits, low_quality)
    iou = box_iou(boxes_gt, boxes)
    assert matched.tolist() == reference.match(iou, *limits, low_quality).tolist()
    assert matched.dtype == np.int64


@either_quality
@pytest.mark.parametrize("count", [0, 1, 7, 60])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_thousands_of_anchors_are_matched_as_by_their_iou(
    rng: np.random.Generator, low_quality: bool, count: int, workers: int
) -> None:
    """3,600 anchors in their order are 29 blocks, most of them far from any box.

    Among the boxes are anchors, moved or not, so there are ties, and some out of reach.
    """
    anchors = anchor_grid(rng)
    boxes_gt = anchors[rng.integers(0, 3600, count)]
    boxes_gt[::3] += rng.integers(-64, 64, boxes_gt[::3].shape) / 8
    boxes_gt[::7] += 1000
    matched = cpu.match(boxes_gt, anchors, 0.7, 0.3, low_quality, workers)
    iou = torch.from_numpy(whole_iou(boxes_gt, anchors))
    expected = ops.match_iou(iou, 0.7, 0.3, low_quality).numpy()
    assert matched.tolist() == expected.tolist()
    assert (len(set(expected[expected >= 0])) > count / 3) or count < 7


def test_a_box_may_have_its_best_anchors_on_both_sides_of_a_cut() -> None:
    """Two equal anchors, in blocks of two threads, both the best for box 1."""
    anchors = np.tile([[50.0, 50, 60, 60]], (1000, 1))
    anchors[[3, 997]] = [0, 0, 4, 4]
    anchors[500] = [0, 0, 4, 5]  # fits less, seen between them
    boxes_gt = np.array([[80.0, 80, 90, 90], [0, 0, 8, 2]])
    for workers in (1, 2, 4):
        matched = cpu.match(boxes_gt, anchors, 0.7, 0.3, True, workers)
        assert np.flatnonzero(matched != BACKGROUND).tolist() == [3, 997]
        assert matched[[3, 997]].tolist() == [1, 1]


def test_matching_takes_no_matrix() -> None:
    """50 boxes and 100,000 anchors: their IoU would be 40 MB in float64."""
    anchors = np.zeros((100_000, 4))
    anchors[:, 2:] = 1 + np.arange(100_000)[:, None] % 10
    boxes_gt = anchors[:50] + 0.25
    cpu.match(boxes_gt, anchors[:10], 0.7, 0.3, True)  # compiles
    tracemalloc.start()
    matched = cpu.match(boxes_gt, anchors, 0.7, 0.3, True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (matched >= 0).any()
    assert peak < 32 * len(anchors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_boxes_of_fewer_bits_are_matched_exactly(dtype: torch.dtype) -> None:
    """IoU in float64, whatever the boxes' type: 0.7 of the box, and a little less."""
    boxes_gt = torch.tensor([[0, 0, 10, 64]]).to(dtype)
    boxes = torch.tensor([[0, 0, 7, 64], [0, 0, 6.96875, 64], [0, 0, 3, 64]]).to(dtype)
    matched = ops.match(boxes_gt, boxes, 0.7, 0.3, False)
    assert matched.tolist() == [0, IGNORED, IGNORED]
