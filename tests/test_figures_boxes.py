"""Pictures of boxes, anchors, NMS, masks and average precision.

Each returns the numbers that it draws: these against values worked out by hand, and
what is on the axes against these.

Deliberate faults, and the test that caught each:

- the intersection counted twice in the union -> test_overlap_by_hand
- the grid through the middle of pixels -> test_the_grid_lines_are_the_borders_of_pixels
- y growing upwards; width for height -> test_overlap_draws_what_it_tells
- dy's arrow from the old x; left for right -> test_coding_by_hand
- row for column of a cell -> test_anchors_of_a_cell_by_hand
- a cell that the image covers in part left out -> test_the_anchors_of_a_level
- IoU at the threshold dropped -> test_an_overlap_at_the_threshold_stays
- the soft target drawn twice -> test_mask_target_by_hand
- colours from the least to the largest value, not 0 to 1 -> test_pasted_mask_by_hand
- steps after, not before, a recall -> test_the_curve_draws_what_it_tells
- recall by the number of detections -> test_average_precision_by_hand
- hits in the colour of false positives -> test_hits_have_the_colour_of_objects
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.quiver import Quiver
from matplotlib.table import Table
from matplotlib.text import Text
from strategies import boxes as some_boxes

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.anchors import draw_cell_anchors, draw_level_anchors
from maskrcnn_scratch.figures.average_precision import (
    draw_average_precision,
    tell_average_precision,
)
from maskrcnn_scratch.figures.boxes import draw_coding, draw_overlap
from maskrcnn_scratch.figures.masks import draw_mask_target, draw_pasted_mask
from maskrcnn_scratch.figures.nms import draw_nms, nms_steps
from maskrcnn_scratch.reference.average_precision import (
    Annotation,
    Detection,
    average_precision,
)
from maskrcnn_scratch.reference.nms import nms

Array = np.ndarray[Any, np.dtype[Any]]


def box(*corners: float) -> Array:
    return np.array(corners, np.float64)


def new_axes() -> Axes:
    return Figure(figsize=(8, 5), layout="constrained").subplots()


def drawn(axes: Axes, gid: str) -> Array:
    """The rectangles of a kind as boxes (n, 4), in the order they were drawn."""
    rectangles = [p for p in axes.patches if p.get_gid() == gid]
    assert all(isinstance(p, Rectangle) for p in rectangles)
    corners = [(*p.get_xy(), p.get_width(), p.get_height()) for p in rectangles]
    return np.array([(x, y, x + w, y + h) for x, y, w, h in corners]).reshape(-1, 4)


def collection(axes: Axes, gid: str) -> Any:
    (found,) = [c for c in axes.collections if c.get_gid() == gid]
    return found


def legend(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def as_in_images(axes: Axes, *inside: Array) -> bool:
    """y grows downwards, a pixel is square, and the boxes are in view."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    low, high = np.array([left, top]), np.array([right, bottom])
    return axes.get_aspect() == 1 and all(
        np.all(low <= b[:2]) and np.all(b[2:] <= high) for b in inside
    )


# Two boxes


def test_overlap_by_hand() -> None:
    """6 x 5 and 7 x 5 pixels share 3 x 3; 9 / (30 + 35 - 9)."""
    axes = new_axes()
    told = draw_overlap(axes, box(2, 1, 8, 6), box(5, 3, 12, 8))
    assert (told.area_a, told.area_b, told.intersection, told.union) == (30, 35, 9, 56)
    assert told.iou == 9 / 56
    assert np.array_equal(told.shared, (5, 3, 8, 6))
    assert axes.get_title() == "IoU = 9 / (30 + 35 - 9) = 9 / 56 = 0.1607"
    assert legend(axes) == ["A: 6 x 5 = 30", "B: 7 x 5 = 35", "intersection: 3 x 3 = 9"]


@given(some_boxes(count=2, smallest=0.0625))
def test_overlap_draws_what_it_tells(pair: Array) -> None:
    axes = new_axes()
    told = draw_overlap(axes, *pair)
    assert np.array_equal(drawn(axes, "a"), pair[:1])
    assert np.array_equal(drawn(axes, "b"), pair[1:])
    assert as_in_images(axes, *pair)
    shared = drawn(axes, "intersection")
    assert len(shared) == (told.intersection > 0)
    for x1, y1, x2, y2 in shared:
        assert (x2 - x1) * (y2 - y1) == told.intersection
        assert told.shared is not None
        assert np.array_equal(told.shared, (x1, y1, x2, y2))
    assert told.union == told.area_a + told.area_b - told.intersection
    assert told.iou == told.intersection / told.union


def test_the_grid_lines_are_the_borders_of_pixels() -> None:
    axes = new_axes()
    draw_overlap(axes, box(0.5, 1, 2, 2), box(1, 1, 3, 2.25))
    lines = [c for c in axes.collections if isinstance(c, LineCollection)]
    upright, level = (np.array(grid.get_segments()) for grid in lines)
    assert np.array_equal(np.unique(upright[..., 0]), np.arange(-1, 5))
    assert np.array_equal(np.unique(level[..., 1]), np.arange(0, 5))
    assert np.array_equal(np.diff(upright[..., 0]), np.zeros((6, 1)))
    far = new_axes()
    draw_overlap(far, box(0, 0, 900, 10), box(0, 0, 10, 10))
    assert [len(c.get_segments()) for c in far.collections] == [13]


def test_coding_by_hand() -> None:
    """Centre (6, 5) of 8 x 6 to centre (11, 7.5) of 12 x 9."""
    axes = new_axes()
    told = draw_coding(axes, box(2, 2, 10, 8), box(5, 3, 17, 12))
    expected = (5 / 8, 2.5 / 6, math.log(1.5), math.log(1.5))
    assert np.allclose(told.deltas, expected)
    assert np.allclose(told.moved, (7, 4.5, 15, 10.5))
    assert np.allclose(told.decoded, (5, 3, 17, 12))
    assert axes.get_title().split("\n") == [
        "dx = (11 - 6) / 8 = 0.625      dy = (7.5 - 5) / 6 = 0.4167",
        "dw = log(12 / 8) = 0.4055      dh = log(9 / 6) = 0.4055",
    ]
    right = [(6, 5, 5, 0), (11, 5, 0, 2.5), (15, 7.5, 2, 0), (7, 7.5, -2, 0)]
    assert np.allclose(told.arrows, [*right, (11, 10.5, 0, 1.5), (11, 4.5, 0, -1.5)])
    assert [text.get_text() for text in axes.texts] == ["dx", "dy", "dw", "dh"]


@given(some_boxes(count=2, smallest=1))
def test_coding_draws_what_it_tells(pair: Array) -> None:
    """The arrows lead from the reference box to the box, centre first, then edges."""
    axes = new_axes()
    told = draw_coding(axes, *pair)
    assert np.allclose(drawn(axes, "reference"), pair[:1], rtol=0, atol=1e-12)
    assert np.allclose(drawn(axes, "moved"), told.moved[None], rtol=0, atol=1e-12)
    assert np.allclose(drawn(axes, "decoded"), told.decoded[None], rtol=0, atol=1e-12)
    assert as_in_images(axes, *pair, told.moved)
    assert np.allclose(told.decoded, pair[1])
    quiver: Quiver = collection(axes, "arrows")
    arrows = np.stack([quiver.X, quiver.Y, quiver.U, quiver.V], axis=1)
    assert np.array_equal(arrows, told.arrows)
    assert quiver.scale == 1
    assert quiver.angles == quiver.scale_units == "xy"
    ends = arrows[:, :2] + arrows[:, 2:]
    middle = (pair[1, :2] + pair[1, 2:]) / 2
    assert np.allclose(arrows[0, :2], (pair[0, :2] + pair[0, 2:]) / 2)
    assert np.allclose(ends[0], arrows[1, :2])
    assert np.allclose(ends[1], middle)
    x1, y1, x2, y2 = pair[1]
    at_edges = [(x2, middle[1]), (x1, middle[1]), (middle[0], y2), (middle[0], y1)]
    assert np.allclose(ends[2:], at_edges)


def test_an_arrow_of_no_length_has_no_name() -> None:
    axes = new_axes()
    draw_coding(axes, box(2, 2, 6, 6), box(3, 2, 7, 6))
    assert [text.get_text() for text in axes.texts] == ["dx"]


@pytest.mark.parametrize(("right", "down"), [(2, 1), (2, -1), (-2, 1), (-2, -1)])
def test_the_names_of_dx_and_dy_stand_outside_their_corner(
    right: int, down: int
) -> None:
    """dx above an arrow from which dy goes down; dy to the side that dx points to."""
    axes = new_axes()
    moved = box(4 + right, 4 + down, 8 + right, 8 + down)
    draw_coding(axes, box(4, 4, 8, 8), moved)
    points = {text.get_text(): text.get_position() for text in axes.texts}
    assert points == {"dx": (0, 6 * down), "dy": (3 * right, 0)}


# Anchors


def test_anchors_of_a_cell_by_hand() -> None:
    """w = size / sqrt(ratio), h = size sqrt(ratio), about (2, 1) strides of 16."""
    axes = new_axes()
    told = draw_cell_anchors(axes, [16, 32], [1, 4], 16, (1, 2))
    assert told.centre == (32, 16)
    expected = [(24, 8, 40, 24), (28, 0, 36, 32), (16, 0, 48, 32), (24, -16, 40, 48)]
    assert np.array_equal(told.anchors, expected)
    assert np.array_equal(told.areas, (256, 256, 1024, 1024))
    assert np.array_equal(told.ratios, (1, 4, 1, 4))
    assert np.allclose(drawn(axes, "anchor"), told.anchors, rtol=0, atol=1e-9)
    assert len(drawn(axes, "exact")) == 0
    assert np.array_equal(drawn(axes, "cell"), [(32, 16, 48, 32)])
    (mark,) = axes.lines
    assert np.array_equal(mark.get_xydata(), [told.centre])
    assert as_in_images(axes, *told.anchors)
    assert legend(axes)[1] == "16, 4: 8 x 32 = 256, 4"


def test_rounded_anchors_stand_over_the_exact_ones() -> None:
    """22.63 x 11.31 pixels become 22 x 12: -11.31 rounds to -11, -5.66 to -6."""
    axes = new_axes()
    told = draw_cell_anchors(axes, [16], [0.5], 16, (1, 1), rounded=True)
    assert np.allclose(
        told.exact - 16, np.array([[-1, -0.5, 1, 0.5]]) * 8 * math.sqrt(2)
    )
    assert np.array_equal(told.anchors - 16, [(-11, -6, 11, 6)])
    assert (told.areas[0], told.ratios[0]) == (264, 12 / 22)
    assert np.allclose(drawn(axes, "exact"), told.exact, rtol=0, atol=1e-9)
    assert np.allclose(drawn(axes, "anchor"), told.anchors, rtol=0, atol=1e-9)


def test_the_anchors_of_a_level() -> None:
    """40 x 50 pixels at stride 16 are 3 x 4 cells, the last ones covered in part.

    Anchors of 8 x 8 about the centres 0, 16, 32, 48 leave the image at x = 0 and 48 and
    at y = 0: 2 x 2 are inside.
    """
    axes = new_axes()
    image = np.zeros((40, 50, 3), np.uint8)
    told = draw_level_anchors(axes, image, [8], [1], 16, (2, 1))
    assert (told.grid_size, told.count, told.inside) == ((3, 4), 12, 4)
    rows = [(x, y) for y in (0, 16, 32) for x in (0, 16, 32, 48)]
    assert np.array_equal(told.centres, rows)
    assert np.array_equal(collection(axes, "centres").get_offsets(), told.centres)
    assert np.array_equal(told.shown.anchors, [(12, 28, 20, 36)])
    assert np.allclose(drawn(axes, "anchor"), told.shown.anchors, rtol=0, atol=1e-9)
    assert as_in_images(axes, box(0, 0, 50, 40))
    (picture,) = axes.images
    assert tuple(picture.get_extent()) == (0, 50, 40, 0)
    segments = collection(axes, "cells").get_segments()
    assert {(x1, x2) for (x1, y1), (x2, y2) in segments if (y1, y2) == (0, 48)} == {
        (x, x) for x in (0, 16, 32, 48, 64)
    }
    assert {(y1, y2) for (x1, y1), (x2, y2) in segments if (x1, x2) == (0, 64)} == {
        (y, y) for y in (0, 16, 32, 48)
    }
    assert axes.get_title() == (
        "stride 16: 3 x 4 cells x 1 anchors = 12, of them 4 within the image"
    )
    with pytest.raises(
        ValueError, match=r"cell \(3, 0\) is not on a level of \(3, 4\)"
    ):
        draw_level_anchors(axes, image, [8], [1], 16, (3, 0))


def test_anchors_within_the_image_are_counted_after_rounding() -> None:
    """About (16, 16) and (32, 16) in 20 x 50 pixels: 20.5 is beyond the image, 20 not.

    Halves round to even, so 9 x 9 pixels become 8 x 8.
    """
    image = np.zeros((20, 50, 3), np.uint8)
    exact, rounded = (
        draw_level_anchors(new_axes(), image, [9], [1], 16, (0, 0), rounded)
        for rounded in (False, True)
    )
    assert (exact.inside, rounded.inside) == (0, 2)


def test_the_anchors_of_a_cell_are_those_of_its_level() -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    told = draw_level_anchors(new_axes(), image, [20], [0.5, 1, 2], 16, (3, 4), True)
    assert told.count == 4 * 6 * 3
    assert tuple(told.centres[3 * 6 + 4]) == told.shown.centre == (64, 48)
    assert np.array_equal(told.shown.anchors, np.round(told.shown.anchors))


# Non-maximum suppression

CROWDED = np.array(
    [
        (2, 2, 10, 10),
        (3, 3, 11, 11),
        (2.5, 3, 10.5, 10),
        (13, 4, 19, 12),
        (2, 3, 10, 11),
    ]
)
SCORES = np.arange(5.0, 0, -1)
"""Four boxes in the same place, and one alone; 17 pixels wide in all."""

ROW = np.array([(10.0 * k, 0, 10.0 * k + 20, 10) for k in range(4)])
"""Neighbours share a half: IoU 100 / 300."""


def test_nms_by_hand() -> None:
    """1 is best and drops its neighbours 0 and 2; the dropped 2 does not drop 3."""
    scores = box(0.7, 0.9, 0.8, 0.1)
    figure, steps = draw_nms(ROW, scores, 0.25)
    assert [step.keeps for step in steps] == [1, 3]
    assert steps[0].dropped == {0: 1 / 3, 2: 1 / 3}
    assert steps[0].waiting == {3: 0}
    assert (steps[0].kept, steps[1].kept) == ([], [1])
    assert steps[1].dropped == steps[1].waiting == {}
    first, second = figure.axes
    assert first.get_title(loc="left").split("\n") == [
        "1. keep 1, score 0.9",
        "drop 0: IoU 0.333 > 0.25",
        "drop 2: IoU 0.333 > 0.25",
    ]
    assert second.get_title(loc="left") == "2. keep 3, score 0.1"


def test_an_overlap_at_the_threshold_stays() -> None:
    steps = nms_steps(ROW[:2], box(0.9, 0.8), 1 / 3)
    assert [step.keeps for step in steps] == [0, 1]
    assert steps[0].waiting == {1: 1 / 3}


@given(some_boxes(extent=12, smallest=1), st.data())
def test_nms_draws_its_steps(boxes: Array, data: st.DataObject) -> None:
    """What is kept is the reference's; what one step decides is gone in the next."""
    order = data.draw(st.permutations(range(len(boxes))))
    scores = np.array(order) / 8
    threshold = data.draw(st.sampled_from([0.0, 0.25, 0.5]))
    if not len(boxes):
        with pytest.raises(ValueError, match="no boxes"):
            draw_nms(boxes, scores, threshold)
        return
    figure, steps = draw_nms(boxes, scores, threshold)
    assert [step.keeps for step in steps] == list(nms(boxes, scores, threshold))
    open_ = set(range(len(boxes)))
    for axes, step in zip(figure.axes, steps, strict=False):
        assert as_in_images(axes, *boxes)
        assert open_ == {step.keeps, *step.dropped, *step.waiting}
        assert all(iou > threshold for iou in step.dropped.values())
        assert all(iou <= threshold for iou in step.waiting.values())
        assert scores[step.keeps] == scores[list(open_)].max()
        for gid, indices in (
            ("keeps", [step.keeps]),
            ("kept", step.kept),
            ("dropped", list(step.dropped)),
            ("waiting", list(step.waiting)),
        ):
            assert np.array_equal(drawn(axes, gid), boxes[indices])
            numbers = [t for t in axes.texts if t.get_gid() == gid]
            assert [t.get_text() for t in numbers] == [str(i) for i in indices]
            for text, index in zip(numbers, indices, strict=True):
                x1, y1, x2, y2 = boxes[index]
                assert text.get_position()[0] in (x1, x2)
                assert text.get_position()[1] in (y1, y2)
        open_ = set(step.waiting)
    assert open_ == set()


def test_numbers_stand_where_no_other_box_has_a_corner() -> None:
    figure, _ = draw_nms(np.array([(0.0, 0, 4, 4), (0, 0, 4, 8)]), box(1, 0.5), 0.25)
    (axes,) = figure.axes
    places = {t.get_text(): t.get_position() for t in axes.texts}
    assert (places["0"], places["1"]) == ((0, 4), (0, 8))


def test_numbers_of_boxes_that_nearly_coincide_stand_apart() -> None:
    figure, _ = draw_nms(CROWDED, SCORES, 0.5)
    places = np.array([text.get_position() for text in figure.axes[0].texts])
    apart = np.linalg.norm(places[:, None] - places, axis=2) + 99 * np.eye(len(places))
    assert apart.min() >= 0.15 * 17


# Masks


def test_mask_target_by_hand() -> None:
    """Two columns of an object; a RoI of 2 x 2 bins of 2 x 2 pixels, half a pixel on.

    Its points x = 1, 2 | 3, 4 are borders of pixels and read the mean of both sides:
    columns (0, 1), (1, 2) | (2, 3), (3, 4) of 0, 1, 1, 0, 0: 1/2, 1 | 1/2, 0.
    """
    mask = np.zeros((6, 6), np.uint8)
    mask[:, 1:3] = 1
    figure, told = draw_mask_target(mask, box(0.5, 1, 4.5, 5), 2)
    assert np.allclose(told.soft, [[0.75, 0.25], [0.75, 0.25]])
    assert np.array_equal(told.threshold, [[1, 0], [1, 0]])
    image, soft, cut = figure.axes
    assert np.array_equal(pixels(image), mask)
    assert np.array_equal(drawn(image, "roi"), [told.roi])
    borders = np.array(collection(image, "bins").get_segments())
    assert np.array_equal(borders, [[(2.5, 1), (2.5, 5)], [(0.5, 3), (4.5, 3)]])
    assert as_in_images(image, box(0, 0, 6, 6))
    assert np.array_equal(pixels(soft), told.soft)
    assert np.array_equal(pixels(cut), told.threshold)
    assert written(soft) == {
        (0, 0): "0.75",
        (0, 1): "0.25",
        (1, 0): "0.75",
        (1, 1): "0.25",
    }
    assert written(cut)[0, 1] == "0"


def pixels(axes: Axes) -> Array:
    """The values of the picture, which covers [0, width) x [0, height)."""
    (picture,) = axes.images
    values = np.asarray(picture.get_array())
    height, width = values.shape
    assert tuple(picture.get_extent()) == (0, width, height, 0)
    assert picture.get_clim() == (0, 1)
    return values


def written(axes: Axes) -> dict[tuple[int, int], str]:
    """The numbers in the cells, by (row, column)."""
    places = {text.get_position(): text.get_text() for text in axes.texts}
    return {(int(y - 0.5), int(x - 0.5)): text for (x, y), text in places.items()}


def test_pasted_mask_by_hand() -> None:
    """A map of 2 x 2 cells over 4 x 4 pixels: a cell's centre is a pixel's corner.

    The pixels left and right of a centre read 3/4 of it and 1/4 of its neighbour, or
    of the zeros around the map.
    """
    probability = np.array([[1.0, 0.0], [1.0, 0.0]])
    figure, told = draw_pasted_mask(probability, box(1, 1, 5, 5), (6, 7))
    across = [0.25, 0.75, 0.75, 0.25, 0, 0]
    assert np.allclose(told.values[3], [*across, 0])
    assert np.allclose(told.values[:, 1], [0.1875, 0.5625, 0.75, 0.75, 0.5625, 0.1875])
    assert np.array_equal(np.flatnonzero(told.mask.any(axis=0)), [1, 2])
    assert np.array_equal(np.flatnonzero(told.mask.any(axis=1)), [1, 2, 3, 4])
    cells, read, cut = figure.axes
    assert np.array_equal(pixels(cells), probability)
    assert np.array_equal(pixels(read), told.values)
    assert np.array_equal(pixels(cut), told.mask)
    assert np.array_equal(drawn(read, "roi"), [told.box])
    assert np.array_equal(drawn(cut, "roi"), [told.box])
    assert cut.get_title() == "0.5 or more: 8 pixels"


def test_a_roi_beyond_the_image_is_in_view() -> None:
    figure, told = draw_mask_target(np.ones((4, 5), np.uint8), box(-1.5, 1, 7, 3), 3)
    assert as_in_images(figure.axes[0], told.roi, box(0, 0, 5, 4))


def test_many_cells_have_no_numbers() -> None:
    figure, told = draw_mask_target(np.ones((9, 9), np.uint8), box(0, 0, 9, 9), 9)
    assert written(figure.axes[1]) == {}
    assert list(figure.axes[1].get_xticks()) == [0.5, 2.5, 4.5, 6.5, 8.5]
    labels = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert labels == ["0", "2", "4", "6", "8"]
    assert np.array_equal(pixels(figure.axes[1]), told.soft)


# Average precision


def scene(*found: tuple[int, float, float]) -> tuple[list[Annotation], list[Detection]]:
    """Four objects 8 pixels wide in a row; (object, pixels beside it, score)."""
    rows = [box(20 * k, 0, 20 * k + 8, 8) for k in range(4)]
    objects = [Annotation(k % 2, 1, row, 64.0) for k, row in enumerate(rows)]
    moved = [(k, rows[k] + (off, 0, off, 0), score) for k, off, score in found]
    return objects, [Detection(k % 2, 1, row, score) for k, row, score in moved]


HAND = scene((0, 0, 0.9), (1, 6, 0.8), (2, 1, 0.7), (0, 0, 0.6), (3, 0, 0.5))
"""Hit, too far off, hit, the same object again, hit: three of four are found."""


def test_average_precision_by_hand() -> None:
    """Best precision 1 up to recall 1/4, 2/3 up to 1/2, 3/5 up to 3/4, then 0.

    Of the levels 0, 0.01, ... 1 these are 26, 25, 25 and 25.
    """
    told = tell_average_precision(*HAND)
    assert told.objects == 4
    assert np.array_equal(told.scores, (0.9, 0.8, 0.7, 0.6, 0.5))
    assert np.array_equal(told.hits, (True, False, True, False, True))
    assert np.array_equal(told.true, (1, 1, 2, 2, 3))
    assert np.array_equal(told.false, (0, 1, 1, 2, 2))
    assert np.allclose(told.precision, (1, 1 / 2, 2 / 3, 1 / 2, 3 / 5))
    assert np.allclose(told.recall, (0.25, 0.25, 0.5, 0.5, 0.75))
    assert np.allclose(told.best, (1, 2 / 3, 2 / 3, 3 / 5, 3 / 5))
    assert math.isclose(told.ap, (26 + 25 * 2 / 3 + 25 * 3 / 5) / 101)
    assert math.isclose(told.ap, average_precision(*HAND)["ap50"])


def test_a_higher_threshold_and_a_crowd() -> None:
    """One pixel of eight beside it: IoU 7 / 9. What takes a crowd is left out."""
    assert tell_average_precision(*HAND, iou_threshold=0.8).hits.sum() == 2
    objects, detections = HAND
    crowd = Annotation(1, 1, box(20, 0, 60, 8), 320.0, crowd=True)
    told = tell_average_precision([*objects, crowd], detections)
    assert (told.objects, len(told.hits), told.false[-1]) == (4, 4, 1)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 6]), st.integers(0, 9)),
        min_size=1,
        max_size=8,
    )
)
def test_the_curve_draws_what_it_tells(found: list[tuple[int, int, int]]) -> None:
    """The 101 reads lie on the envelope, and all is where the numbers say."""
    told = tell_average_precision(*scene(*found))
    assert math.isclose(told.ap, average_precision(*scene(*found))["ap50"])
    table, axes = draw_average_precision(told).axes
    lines = {line.get_gid(): np.asarray(line.get_xydata()) for line in axes.lines}
    points = np.stack([told.recall, told.precision], axis=1)
    assert np.array_equal(lines["list"], points)
    for gid, kind in (("hits", told.hits), ("false", ~told.hits)):
        offsets = collection(axes, gid).get_offsets()
        assert np.array_equal(np.asarray(offsets).reshape(-1, 2), points[kind])
    levels: PathCollection = collection(axes, "levels")
    reads = np.asarray(levels.get_offsets())
    (envelope,) = [line for line in axes.lines if line.get_gid() == "best"]
    assert envelope.get_drawstyle() == "steps-pre"
    assert np.array_equal(reads, np.stack([np.linspace(0, 1, 101), told.curve], 1))
    # Such a step has at a level the height of the first corner at it or beyond.
    for recall, value in reads:
        beyond = lines["best"][lines["best"][:, 0] >= recall - 1e-12]
        assert any(math.isclose(value, y) for y in beyond[:2, 1])
    assert np.array_equal(lines["best"][1 : len(points) + 1, 1], told.best)
    assert axes.get_title().endswith(f"= {told.ap:.4f}")
    cells = table_of(table)
    assert len(cells) == len(found) + 1
    assert [row[1] for row in cells[1:]] == ["yes" if h else "no" for h in told.hits]


def table_of(axes: Axes) -> list[list[str]]:
    """The texts of the table, row by row."""
    (table,) = [child for child in axes.get_children() if isinstance(child, Table)]
    cells = table.get_celld()
    rows, columns = (1 + max(place[k] for place in cells) for k in (0, 1))
    return [
        [cells[i, j].get_text().get_text() for j in range(columns)] for i in range(rows)
    ]


def test_the_table_by_hand() -> None:
    head, *rows = table_of(
        draw_average_precision(tell_average_precision(*HAND)).axes[0]
    )
    assert head == ["score", "hit", "TP", "FP", "precision", "recall"]
    assert rows[0] == ["0.9", "yes", "1", "0", "1/1 = 1.000", "1/4 = 0.250"]
    assert rows[3] == ["0.6", "no", "2", "2", "2/4 = 0.500", "2/4 = 0.500"]
    assert rows[4] == ["0.5", "yes", "3", "2", "3/5 = 0.600", "3/4 = 0.750"]


def test_hits_have_the_colour_of_objects() -> None:
    table, axes = draw_average_precision(tell_average_precision(*HAND)).axes
    for gid, color in (("hits", palette.OBJECT), ("false", palette.FAULT)):
        assert same_color(collection(axes, gid).get_facecolor()[0], color)
    (found,) = [child for child in table.get_children() if isinstance(child, Table)]
    first, second = (found.get_celld()[row, 0].get_facecolor() for row in (1, 2))
    assert same_color(first, palette.OBJECT, 0.35)
    assert same_color(second, "white")


def same_color(found: object, color: str, alpha: float = 1.0) -> bool:
    return np.allclose(np.array(found), to_rgba(color, alpha))


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: tell_average_precision([], HAND[1]), "0 objects and 5 detections"),
        (lambda: tell_average_precision(HAND[0], []), "4 objects and 0 detections"),
        (
            lambda: draw_average_precision(
                tell_average_precision(*scene(*[(0, 0, 0.5)] * 17))
            ),
            "17 detections; a table that can be read holds 16",
        ),
    ],
)
def test_what_has_no_curve_or_no_room(draw: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


# What a reader sees


def on_axes(draw: Callable[..., object], *arguments: Any) -> Figure:
    """What a function draws, on axes of the size that a notebook shows."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    draw(figure.subplots(), *arguments)
    return figure


GREY = np.full((120, 170, 3), 128, np.uint8)
DIAGONAL = np.eye(8, dtype=np.uint8)
SIZES, RATIOS = [32, 64, 128], [0.5, 1, 2]
PICTURES: dict[str, Callable[[], Figure]] = {
    "overlap": lambda: on_axes(draw_overlap, box(2, 1, 8, 6), box(5, 3, 12, 8)),
    "coding": lambda: on_axes(draw_coding, box(2, 2, 18, 14), box(5, 3, 12, 12)),
    "cell": lambda: on_axes(draw_cell_anchors, SIZES, RATIOS, 16, (4, 5)),
    "rounded": lambda: on_axes(draw_cell_anchors, [16], RATIOS, 16, (1, 1), True),
    "level": lambda: on_axes(draw_level_anchors, GREY, [32], RATIOS, 16, (3, 5)),
    "nms, 1 panel": lambda: draw_nms(ROW[:1], box(1), 0.25)[0],
    "nms, 2 panels": lambda: draw_nms(ROW, box(0.7, 0.9, 0.8, 0.1), 0.25)[0],
    "nms, 3 panels": lambda: draw_nms(ROW[:3], box(1, 0.9, 0.8), 0.5)[0],
    "nms, 4 panels": lambda: draw_nms(ROW, box(1, 0.9, 0.8, 0.7), 0.5)[0],
    "nms, long titles": lambda: draw_nms(CROWDED, SCORES, 0.5)[0],
    "nms, two rows": lambda: draw_nms(CROWDED, SCORES, 0.8)[0],
    "nms, flat": lambda: draw_nms(CROWDED * (2, 1, 2, 1), SCORES, 0.5)[0],
    "nms, tall": lambda: draw_nms(CROWDED * (1, 4, 1, 4), SCORES, 0.5)[0],
    "target": lambda: draw_mask_target(DIAGONAL, box(1, 1, 7, 7), 5)[0],
    "paste": lambda: draw_pasted_mask(np.eye(8), box(1, 1, 7, 7), (9, 9))[0],
    "ap": lambda: draw_average_precision(tell_average_precision(*HAND)),
}


def words_of(figure: Figure) -> list[Text]:
    """All that is written, but the numbers at the ticks."""
    ticks = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for label in axis.get_ticklabels(which="both")
    }
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [t for t in texts if t.get_visible() and t.get_text() and id(t) not in ticks]


@pytest.mark.parametrize("name", PICTURES)
def test_all_words_are_on_the_paper_and_apart(name: str) -> None:
    figure = PICTURES[name]()
    figure.draw_without_rendering()
    paper = figure.bbox.padded(1)
    extents = [(text.get_window_extent(), text.get_text()) for text in words_of(figure)]
    assert len(extents) >= 4
    for number, (one, text) in enumerate(extents):
        assert paper.x0 <= one.x0 <= one.x1 <= paper.x1, text
        assert paper.y0 <= one.y0 <= one.y1 <= paper.y1, text
        for other, neighbour in extents[:number]:
            assert not one.overlaps(other), f"{text!r} lies on {neighbour!r}"


@pytest.mark.parametrize(
    ("name", "kind", "color"),
    [
        ("overlap", "a", palette.ROI),
        ("overlap", "b", palette.OBJECT),
        ("coding", "reference", palette.ANCHOR),
        ("coding", "decoded", palette.OBJECT),
        ("cell", "anchor", palette.ANCHOR),
        ("rounded", "anchor", palette.QUANTISED),
        ("rounded", "exact", palette.ANCHOR),
        ("level", "anchor", palette.ANCHOR),
        ("nms, 2 panels", "keeps", palette.ROI),
        ("nms, 2 panels", "dropped", palette.FAULT),
        ("target", "roi", palette.ROI),
        ("paste", "roi", palette.ROI),
    ],
)
def test_one_colour_for_one_thing(name: str, kind: str, color: str) -> None:
    patches = [p for axes in PICTURES[name]().axes for p in axes.patches]
    found = [p.get_edgecolor() for p in patches if p.get_gid() == kind]
    assert found
    assert all(same_color(one, color) for one in found)
