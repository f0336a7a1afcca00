"""Figures with controls: the numbers they draw, and what is shown where.

Deliberate faults, and the test that caught each:

- the slope at cells' corners; legacy RoIAlign; the wrong bin followed
  -> test_a_moved_roi_by_hand
- RoIPool by "round" where "floor" is asked for
  -> test_a_bin_on_a_slope_reads_its_centre
- the trace's RoI moving down as well -> test_roi_align_glides
- jumps a pixel early, or those of rows
  -> test_roi_pool_jumps_where_it_rounds_and_nowhere_else
- values upside down; rows for columns of values or points
  -> test_the_map_and_the_points_are_drawn_where_they_are,
  test_values_stand_in_their_columns
- points counted by columns, not from the first again, or in the wrong bin; the ring at
  its index, not half a cell further -> test_a_chosen_point_by_hand,
  test_a_bin_is_the_mean_of_its_points
- ``aligned`` forgotten -> test_the_hand_case_of_detectron2
- x for y of the cell; sizes an octave apart -> test_anchors_by_hand
- the dropped and those that wait confused; IoU of another box; rows of IoU in the order
  of boxes -> test_suppression_by_hand, test_who_drops_whom
- ``k0`` forgotten in the level or its borders; w for h; the cells of the other rounding
  -> test_levels_by_hand, test_borders_for_every_k0
- controls that nobody watches; a picture or words that stay
  -> test_moving_a_control_redraws
- an error that goes through -> test_an_error_is_one_sentence
- words that break the page -> test_moving_a_control_redraws
- controls asked for without ipywidgets -> test_without_ipywidgets_a_picture_is_left
- shown in scripts, or not in kernels -> test_a_script_gets_the_numbers_alone,
  test_a_kernel_shows_one_output
"""

from __future__ import annotations

import asyncio
import base64
import math
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import ipywidgets
import nbformat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from nbclient import NotebookClient
from PIL import Image

from maskrcnn_scratch.figures import interactive
from maskrcnn_scratch.figures.interactive.anchor_places import draw_anchor_places
from maskrcnn_scratch.figures.interactive.explore import (
    INSTALL,
    WIDGET_VIEW,
    Choice,
    Control,
    Slider,
    bundle,
    explore,
    live,
    png_of,
)
from maskrcnn_scratch.figures.interactive.level_choice import (
    draw_chosen_level,
    follow_size,
)
from maskrcnn_scratch.figures.interactive.quick_map import draw_cells
from maskrcnn_scratch.figures.interactive.roi_motion import (
    MovedRoi,
    draw_moved_roi,
    follow_bin,
    follow_motion,
    slope,
)
from maskrcnn_scratch.figures.interactive.roi_samples import (
    draw_roi_samples,
    follow_samples,
    numbered_cells,
)
from maskrcnn_scratch.figures.interactive.suppression import (
    BOXES,
    SCORES,
    draw_suppression,
)
from maskrcnn_scratch.reference.boxes import box_iou
from maskrcnn_scratch.reference.fpn_levels import fpn_level
from maskrcnn_scratch.reference.nms import nms
from maskrcnn_scratch.reference.roi_steps import Span

ROUNDINGS = st.sampled_from(["round", "floor"])
STRIDES = st.sampled_from([16, 32])


def drawn(axes: Axes, kind: str) -> list[Any]:
    """The artists of a kind."""
    return [artist for artist in axes.get_children() if artist.get_gid() == kind]


def corners(rectangle: Rectangle) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2."""
    x, y = rectangle.get_xy()
    return x, y, x + rectangle.get_width(), y + rectangle.get_height()


# The RoI that moves -------------------------------------------------------------------


def test_a_moved_roi_by_hand() -> None:
    """x from 20 / 16 = 1.25 to 4.75, y from 1.75 to 5.25, three bins a side.

    RoIPool rounds to columns 1 to 5 and rows 2 to 5, ends included. The middle bin has
    columns 1 + floor(5/3) to 1 + ceil(10/3), rows 2 + floor(4/3) to 2 + ceil(8/3), and
    the largest of row + column in it is 4 + 4. RoIAlign reads the slope at the centre,
    (48 + 56) / 16 - 1.
    """
    figure, told = draw_moved_roi(20, 28, 56, 16, 3, "round")
    assert told.pool.steps.x.roi == (1.25, 4.75)
    assert told.pool.steps.x.quantised == (1, 6)
    assert told.pool.steps.x.bins[1] == (2, 5)
    assert told.pool.steps.y.bins[1] == (3, 5)
    assert told.pool.out[1, 1] == 8
    assert told.align.steps.x.quantised == (1.25, 4.75)
    assert told.align.out[1, 1] == pytest.approx(5.5)
    assert told.bin == (1, 1)
    assert told.sentence() == (
        "The RoI spans 1.25 to 4.75 cells along x. RoIPool takes 1 to 6 and reads 8 in"
        " the bin of row 1, column 1; RoIAlign keeps the RoI and reads 5.5."
    )

    pool, pool_out, align, align_out, trace = figure.axes
    assert pool.get_title().startswith("RoIPool: x 1.25 to 4.75")
    assert corners(drawn(pool, "roi")[0]) == (1.25, 1.75, 4.75, 5.25)
    assert corners(drawn(pool, "quantised")[0]) == (1, 2, 6, 6)
    assert corners(drawn(pool, "followed")[0]) == (2, 3, 5, 5)
    assert corners(drawn(align, "quantised")[0]) == (1.25, 1.75, 4.75, 5.25)
    assert [text.get_text() for text in pool_out.texts][4] == "8"
    assert [text.get_text() for text in align_out.texts][4] == "5.5"
    assert corners(drawn(align_out, "followed")[0]) == (1, 1, 2, 2)
    (steps,) = drawn(trace, "pool")
    assert steps.get_drawstyle() == "steps-post"
    np.testing.assert_array_equal(steps.get_xydata()[:, 1], told.trace.pool)
    (line,) = drawn(trace, "align")
    np.testing.assert_array_equal(line.get_xydata()[:, 1], told.trace.align)
    assert drawn(trace, "now")[0].get_xdata()[0] == 20
    assert [j.get_xdata()[0] for j in drawn(trace, "jump")] == list(told.trace.jumps)


def test_the_map_and_the_points_are_drawn_where_they_are() -> None:
    """The value of row 2, column 5 has its outline in the corner of that cell."""
    figure, _ = draw_moved_roi(20, 28, 56, 16, 3, "round")
    pool, _, align, *_ = figure.axes
    (points,) = drawn(pool, "points")
    middles = {
        (column + 0.5, row + 0.5) for column in range(1, 6) for row in range(2, 6)
    }
    assert set(map(tuple, points.get_xydata())) == middles
    (points,) = drawn(align, "points")
    assert len(points.get_xydata()) == 36
    assert points.get_xydata().min(axis=0) == pytest.approx(
        (1.25 + 7 / 24, 1.75 + 7 / 24)
    )
    (values,) = drawn(pool, "values")
    vertices = values.get_path().vertices
    inside = np.all((vertices > (5, 2)) & (vertices < (6, 3)), axis=1)
    assert inside.any()
    assert vertices[inside].max(axis=0) == pytest.approx((5.24, 2.3), abs=0.01)


def test_values_stand_in_their_columns() -> None:
    """8 is wider than 1, and stands in the last of three cells of one row."""
    axes = Figure().subplots()
    draw_cells(axes, np.array([[1.0, 1, 8]]))
    vertices = drawn(axes, "values")[0].get_path().vertices
    wide = [np.ptp(vertices[vertices[:, 0] // 1 == column, 0]) for column in range(3)]
    assert wide[0] == pytest.approx(wide[1])
    assert wide[2] > wide[1]
    assert np.all((vertices[:, 1] > 0) & (vertices[:, 1] < 1))


@given(st.integers(0, 64), st.integers(8, 64), STRIDES, st.integers(1, 4), ROUNDINGS)
@settings(max_examples=15)
def test_roi_pool_jumps_where_it_rounds_and_nowhere_else(
    y: int, size: int, stride: int, out_size: int, rounding: str
) -> None:
    """The corners pass a border of rounding: half-way of a cell, or its start."""
    trace = follow_bin(y, size, stride, out_size, rounding)
    shift = stride / 2 if rounding == "round" else 0
    used = [
        (math.floor((x + shift) / stride), math.floor((x + size + shift) / stride))
        for x in trace.x
    ]
    if rounding == "floor":  # of less than a cell one cell is made
        used = [(start, max(end, start + 1)) for start, end in used]
    changes = [
        x for x, (a, b) in zip(trace.x[1:], pairwise(used), strict=True) if a != b
    ]
    assert list(trace.jumps) == changes
    still = ~np.isin(trace.x[1:], trace.jumps)
    assert np.all(np.diff(trace.pool)[still] == 0)
    assert np.all(trace.pool == np.round(trace.pool))  # values of whole cells
    assert np.any(np.diff(trace.pool) > 0)


@given(st.integers(0, 64), st.integers(8, 64), STRIDES, st.integers(1, 4), ROUNDINGS)
@settings(max_examples=15)
def test_roi_align_glides(
    y: int, size: int, stride: int, out_size: int, rounding: str
) -> None:
    """By a pixel it changes no more than the slope does: 1 / 16."""
    steps = np.diff(follow_bin(y, size, stride, out_size, rounding).align)
    assert np.all((steps > -1e-12) & (steps < 1 / 16 + 1e-12))
    assert np.any(steps > 1 / 17)


@given(
    *(st.integers(16, 48), st.integers(16, 48), st.integers(8, 48)),
    *(STRIDES, st.integers(1, 4), ROUNDINGS),
)
@settings(max_examples=15)
def test_a_bin_on_a_slope_reads_its_centre(
    x: int, y: int, size: int, stride: int, out_size: int, rounding: str
) -> None:
    """And the trace passes through what the figure shows now."""
    told = follow_motion(x, y, size, stride, out_size, rounding)
    middles = (np.arange(out_size) + 0.5) * size / out_size
    expected = (y + middles[:, None] + x + middles) / 16 - 1
    np.testing.assert_allclose(told.align.out, expected, atol=1e-9)
    assert told.trace.pool[x] == told.pool.out[told.bin]
    assert told.trace.align[x] == pytest.approx(told.align.out[told.bin])
    assert told.pool.steps.x.roi == Span(x / stride, (x + size) / stride)


def test_the_slope_by_hand() -> None:
    rows, columns = np.indices((8, 8))
    np.testing.assert_array_equal(slope(16), rows + columns)
    np.testing.assert_array_equal(slope(32)[0], [1, 3, 5, 7])


# Sample points ------------------------------------------------------------------------


@pytest.mark.parametrize(("aligned", "first"), [(True, 4.5), (False, 7.5)])
def test_the_hand_case_of_detectron2(aligned: bool, first: float) -> None:
    _, told = draw_roi_samples(1, 1, 2, 4, 1, aligned, 0)
    rows, columns = np.indices((4, 4))
    np.testing.assert_allclose(told.read.out, first + 2.5 * rows + 0.5 * columns)
    assert told.grid == (4, 4)


def test_a_chosen_point_by_hand() -> None:
    """2 x 2 bins of 2 x 2 points; point 6 of 16 is in row 1, column 2 of them."""
    figure, told = draw_roi_samples(1, 1, 2, 2, 2, True, 6)
    assert (told.grid, told.point, told.bin) == ((4, 4), (1, 2), (0, 1))
    assert (told.chosen.y, told.chosen.x) == (1.25, 1.75)
    assert told.chosen.weights == {(1, 1): 3 / 16, (1, 2): 9 / 16, (2, 1): 1 / 16} | {
        (2, 2): 3 / 16
    }
    assert told.chosen.value == 5 * 1.25 + 1.75
    assert told.read.out[0, 1] == 7
    assert told.sentence() == (
        "RoIAlign reads 4 x 4 points. Point 6, in the bin of row 0, column 1, lies at"
        " index y = 1.25, x = 1.75 and mixes 4 cells to 8; the bin's mean is 7."
    )
    on_map, out, read = figure.axes
    assert [text.get_text() for text in out.texts] == ["6", "7", "11", "12"]
    ((x, y),) = drawn(on_map, "chosen")[0].get_xydata()
    assert (x, y) == (2.25, 1.75)
    ((x, y),) = drawn(read, "point")[0].get_offsets()
    assert (x, y) == (1.75, 1.25)


@given(
    *(st.integers(0, 24).map(lambda n: n / 8) for _ in range(2)),
    *(st.integers(2, 40).map(lambda n: n / 8), st.integers(1, 4), st.integers(0, 3)),
    *(st.booleans(), st.integers(0, 143)),
)
@settings(max_examples=20)
def test_a_bin_is_the_mean_of_its_points(
    x: float, y: float, size: float, out: int, samples: int, aligned: bool, point: int
) -> None:
    """Each of which mixes cells by weights that sum to 1, or is outside and reads 0."""
    settings = (x, y, size, out, samples, aligned)
    told = follow_samples(*settings, point)
    rows, columns = told.grid
    assert rows == columns == out * (samples or math.ceil(size / out))
    assert told == pytest.approx(told)
    every = [follow_samples(*settings, number) for number in range(rows * columns)]
    assert [other.point for other in every] == list(np.ndindex(rows, columns))
    number = point % (rows * columns)
    assert every[number].chosen == told.chosen
    values = [other.chosen.value for other in every if other.bin == told.bin]
    assert len(values) == (rows // out) ** 2
    assert np.mean(values) == pytest.approx(told.read.out[told.bin])
    total = sum(told.chosen.weights.values())
    assert total == pytest.approx(1) or (total == 0 and told.chosen.value == 0)
    mixed = [w * numbered_cells()[cell] for cell, w in told.chosen.weights.items()]
    assert sum(mixed) == pytest.approx(told.chosen.value)


# Anchors ------------------------------------------------------------------------------


def canvas(height: int, width: int) -> Any:
    return np.full((height, width, 3), 255, np.uint8)


def test_anchors_by_hand() -> None:
    """P4 of 96 x 160 pixels: 6 x 10 cells; pixel (x, y) = (70, 40) is in (2, 4)."""
    figure, told = draw_anchor_places(canvas(96, 160), 4, 2, 2, (0.25, 1.0), 70, 40)
    assert (told.stride, told.cell) == (16, (2, 4))
    assert told.sizes == (32, pytest.approx(32 * math.sqrt(2)))
    assert told.anchors.grid_size == (6, 10)
    assert told.anchors.count == 6 * 10 * 4
    assert told.anchors.shown.centre == (64, 32)
    np.testing.assert_allclose(told.anchors.shown.anchors[0], [32, 24, 96, 40])
    np.testing.assert_allclose(told.anchors.shown.anchors[1], [48, 16, 80, 48])
    np.testing.assert_allclose(told.anchors.shown.areas, [1024, 1024, 2048, 2048])
    boxes = [corners(box) for box in drawn(figure.axes[0], "anchor")]
    np.testing.assert_allclose(boxes, told.anchors.shown.anchors)
    assert told.sentence() == (
        "P4 has 6 x 10 cells of 16 pixels and 240 anchors,"
        f" {told.anchors.inside} of them within the picture; those drawn are centred at"
        " x = 64, y = 32, of sizes 32, 45.25."
    )


def test_sizes_of_the_pyramid() -> None:
    """8 strides: 32 pixels on P2 to 512 on P6; a pixel must be in the picture."""
    sizes = [
        draw_anchor_places(canvas(64, 64), level, 8, 1, (1.0,), 0, 0)[1].sizes
        for level in range(2, 7)
    ]
    assert sizes == [(32,), (64,), (128,), (256,), (512,)]
    with pytest.raises(ValueError, match="is not on a level"):
        draw_anchor_places(canvas(64, 64), 2, 8, 1, (1.0,), 0, 64)


# NMS ----------------------------------------------------------------------------------


def test_suppression_by_hand() -> None:
    """Box 1 overlaps 0 and 2 with IoU 1500 / 2500 = 0.6, and is gone before 2."""
    boxes = np.array([[0.0, 0, 40, 50], [10, 0, 50, 50], [20, 0, 60, 50]])
    scores = np.array([0.9, 0.8, 0.7])
    figure, told = draw_suppression(boxes, scores, 0.5)
    assert (told.kept, told.dropped_by) == ((0, 2), {1: 0})
    assert told.iou == {0: 0, 1: 0.6, 2: pytest.approx(1 / 3)}
    assert told.sentence() == (
        "At an IoU above 0.5 boxes are dropped: of 3 stay 0, 2; dropped are 1 by 0."
    )
    picture, rows = figure.axes
    assert [corners(box) for box in drawn(picture, "kept")] == [
        (0, 0, 40, 50),
        (20, 0, 60, 50),
    ]
    assert [corners(box) for box in drawn(picture, "dropped")] == [(10, 0, 50, 50)]
    names = [label.get_text() for label in rows.get_yticklabels()]
    assert names[1] == "1, score 0.80: dropped by 0"
    places = [tuple(mark.get_xydata()[0]) for mark in drawn(rows, "iou")]
    assert places == [(0, 0), (0.6, 1), (pytest.approx(1 / 3), 2)]
    assert [mark.get_marker() for mark in drawn(rows, "iou")] == ["o", "X", "o"]
    assert drawn(rows, "threshold")[0].get_xdata()[0] == 0.5

    # Rows are by score, whatever the order of the boxes.
    figure, told = draw_suppression(boxes[::-1], scores[::-1], 0.4)
    assert told.dropped_by == {1: 2}
    rows = figure.axes[1]
    assert rows.get_yticklabels()[0].get_text() == "2, score 0.90: kept"
    assert [tuple(m.get_xydata()[0]) for m in drawn(rows, "iou")] == places

    assert draw_suppression(boxes, scores, 0.6)[1].kept == (0, 1, 2)
    assert draw_suppression(boxes, scores, 0.3)[1].dropped_by == {1: 0, 2: 0}


@pytest.mark.parametrize("threshold", np.arange(21) / 20)
def test_who_drops_whom(threshold: float) -> None:
    """Each dropped box by a kept one of better score; kept ones leave each other."""
    told = draw_suppression(BOXES, SCORES, threshold)[1]
    iou = box_iou(BOXES, BOXES)
    assert list(told.kept) == nms(BOXES, SCORES, threshold).tolist()
    assert told.dropped_by.keys() == set(range(len(BOXES))) - set(told.kept)
    for box, by in told.dropped_by.items():
        assert by in told.kept
        assert SCORES[by] > SCORES[box]
        assert told.iou[box] == iou[by, box] > threshold
    for box in told.kept:
        before = [iou[box, other] for other in told.kept if SCORES[other] > SCORES[box]]
        assert told.iou[box] == max(before, default=0) <= threshold


def test_no_boxes() -> None:
    with pytest.raises(ValueError, match="no boxes"):
        draw_suppression(np.zeros((0, 4)), np.zeros(0), 0.5)


# The level rule -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "height", "k0", "floor", "rounded"),
    [
        (224, 224, 4, 4, 4),
        (448, 112, 4, 4, 4),  # the same area
        (223, 224, 4, 3, 4),
        (112, 112, 4, 3, 3),
        (159, 159, 4, 3, 4),
        (158, 158, 4, 3, 3),
        (800, 800, 4, 5, 5),  # 5.84 before the limits
        (28, 28, 4, 2, 2),  # 1 before the limits
        (224, 224, 5, 5, 5),
        (224, 224, 3, 3, 3),
    ],
)
def test_levels_by_hand(
    width: int, height: int, k0: int, floor: int, rounded: int
) -> None:
    figure, told = draw_chosen_level(width, height, k0)
    assert told.levels == {"floor": floor, "round": rounded}
    assert told.exact == pytest.approx(k0 + math.log2(math.sqrt(width * height) / 224))
    assert told.cells["floor"] == (width / 2**floor, height / 2**floor)
    assert told.cells["round"] == (width / 2**rounded, height / 2**rounded)

    rule, *grids = figure.axes
    for rounding, level in told.levels.items():
        ((side, at),) = drawn(rule, rounding)[0].get_xydata()
        assert (side, at) == (pytest.approx(math.sqrt(width * height)), level)
    for axes, level in zip(grids, told.levels.values(), strict=True):
        assert corners(drawn(axes, "roi")[0]) == (0, 0, width, height)
        (cells,) = drawn(axes, "cells")
        xs = [line[0, 0] for line in cells.get_segments() if line[0, 0] == line[1, 0]]
        assert xs == list(range(0, width + 1, 2**level))
        assert f"P{level}, stride {2**level}" in axes.get_title()


@given(st.integers(3, 5), st.floats(28, 800))
def test_borders_for_every_k0(k0: int, side: float) -> None:
    """A level starts at 224 x 2^(k - k0) under floor; round is half a level ahead."""
    told = follow_size(side, side, k0)
    for rounding, ahead in (("floor", 0), ("round", 0.5)):
        rule = told.rules[rounding]
        starts = [224 * 2 ** (k - k0 - ahead) for k in rule.levels[1:]]
        np.testing.assert_allclose(rule.borders, starts, rtol=1e-9)
        passed = sum(side >= start for start in rule.borders)
        assert told.levels[rounding] == rule.levels[passed]
    box = np.array([3, 5, 3 + side, 5 + side])
    assert told.levels["floor"] == fpn_level(box, k0)


def test_the_sentence_of_a_level() -> None:
    assert draw_chosen_level(180, 140, 4)[1].sentence() == (
        "A RoI of 180 x 140 pixels has a side of 158.7 and k = 3.503 before rounding:"
        " floor reads it from P3, where it has 22.5 x 17.5 cells; round from P4."
    )


# What is shown where ------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A small figure's number."""

    slope: float

    def sentence(self) -> str:
        return f"A line of slope {self.slope:g} & more."


def draw_line(slope: float, way: str) -> tuple[Figure, Line]:
    if slope == 3:
        raise ValueError("slope 3 is <forbidden>")
    figure = Figure(figsize=(2, 1))
    axes = figure.add_axes((0, 0, 1, 1), ylim=(-5, 5))
    axes.plot([0, 1], [0, slope if way == "up" else -slope])
    return figure, Line(slope)


def controls() -> dict[str, Control]:
    ways = {"upwards": "up", "downwards": "down"}
    return {
        "slope": Slider("slope", 1, 0, 5),
        "way": Choice("direction", "up", ways),
    }


def shown() -> tuple[dict[str, Any], dict[str, Any]]:
    figure, told = draw_line(1, "up")
    return bundle(draw_line, controls(), figure, told)


def picture_in(html: str) -> bytes:
    """The PNG in an image tag."""
    (source,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return base64.b64decode(source)


def open_widgets() -> dict[str, Any]:
    """All ipywidgets that were made and not closed, by id."""
    widgets: dict[str, Any] = ipywidgets.widgets.widget._instances
    return widgets


@pytest.fixture
def panel() -> Iterator[Any]:
    figure, told = draw_line(1, "up")
    yield live(draw_line, controls(), png_of(figure), told.sentence())
    ipywidgets.Widget.close_all()


def test_one_output_holds_picture_words_and_controls() -> None:
    data, metadata = shown()
    assert data.keys() == {"image/png", "text/plain", WIDGET_VIEW}
    assert data["text/plain"] == "A line of slope 1 & more."
    assert metadata == {"image/png": {"alt": "A line of slope 1 & more."}}
    picture = Image.open(BytesIO(base64.b64decode(data["image/png"])))
    assert (picture.format, picture.size) == ("PNG", (200, 100))
    assert len(picture.convert("RGB").getcolors()) > 2  # not a blank sheet
    box = open_widgets()[data[WIDGET_VIEW]["model_id"]]
    assert picture_in(box.children[1].value) == base64.b64decode(data["image/png"])
    ipywidgets.Widget.close_all()


def test_moving_a_control_redraws(panel: Any) -> None:
    """Of a whole slider and of a list of words."""
    inputs, picture, caption = panel.children
    slope, way = inputs.children
    assert isinstance(slope, ipywidgets.IntSlider)
    assert isinstance(way, ipywidgets.Dropdown)
    first = picture.value
    slope.value = 2
    assert picture_in(picture.value) == png_of(draw_line(2, "up")[0])
    assert picture_in(picture.value) != picture_in(first)
    assert 'alt="A line of slope 2 &amp; more."' in picture.value
    assert ">A line of slope 2 &amp; more.<" in caption.value
    way.value = "down"
    assert picture_in(picture.value) == png_of(draw_line(2, "down")[0])


def test_an_error_is_one_sentence(
    panel: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the picture before, and gone with the next good value."""
    inputs, picture, caption = panel.children
    before = picture.value
    inputs.children[0].value = 3
    assert "cannot be drawn: slope 3 is &lt;forbidden&gt;." in caption.value
    assert "Traceback" not in caption.value
    assert picture.value == before
    inputs.children[0].value = 4
    assert ">A line of slope 4 &amp; more.<" in caption.value
    assert capsys.readouterr() == ("", "")


def test_controls_have_labels_and_limits(panel: Any) -> None:
    slope, way = panel.children[0].children
    assert (slope.description, slope.value) == ("slope", 1)
    assert (slope.min, slope.max, slope.step, slope.readout) == (0, 5, 1, True)
    assert (way.description, way.value) == ("direction", "up")
    assert [words for words, _ in way.options] == ["upwards", "downwards"]
    fine = Slider("x", 0.5, 0.0, 1.0, 0.125).widget()
    assert isinstance(fine, ipywidgets.FloatSlider)
    assert (fine.step, fine.value) == (0.125, 0.5)


def test_a_start_outside_of_a_control_is_told() -> None:
    with pytest.raises(ValueError, match="x is 9; it must be from 0 to 8"):
        Slider("x", 9, 0, 8)
    with pytest.raises(ValueError, match="way is 'in'; it must be one of 'up'"):
        Choice("way", "in", {"upwards": "up"})


def test_without_ipywidgets_a_picture_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And words that say what to install, which pyproject.toml offers."""
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    data, metadata = shown()
    assert data.keys() == {"image/png", "text/plain"}
    assert data["text/plain"] == f"A line of slope 1 & more.\n{INSTALL}"
    assert metadata == {"image/png": {"alt": "A line of slope 1 & more."}}
    monkeypatch.undo()
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    (extra,) = re.findall(r"maskrcnn-scratch\[(\w+)\]", INSTALL)
    assert any(line.startswith("ipywidgets") for line in extras[extra])


def test_a_script_gets_the_numbers_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = set(open_widgets())
    assert explore(draw_line, **controls()) == Line(1)
    assert set(open_widgets()) == before
    assert capsys.readouterr() == ("", "")


def test_lessons_get_the_numbers_of_the_start() -> None:
    """Every figure that lessons use, by its arguments."""
    moved = interactive.move_roi(x=24, stride=32, rounding="floor")
    assert isinstance(moved, MovedRoi)
    assert (moved.box[0], moved.stride) == (24, 32)
    assert moved.pool.steps.x.quantised == (0, 2)
    assert interactive.place_samples(out_size=3, samples=0).grid == (3, 3)
    anchors = interactive.place_anchors(canvas(64, 96), level=4, ratios="1:1")
    assert (anchors.cell, anchors.anchors.count) == ((2, 3), 24)
    assert interactive.place_anchors(canvas(64, 96), level=4, x=0, y=17).cell == (1, 0)
    assert interactive.suppress_boxes(0.5).kept == (0, 2, 4, 6, 7)
    assert interactive.choose_level(448, 448).levels["floor"] == 5


def test_every_control_of_every_figure_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other goes to its far end; none is idle, and none errs there.

    Nor does a figure where all are at their first values.
    """
    shown = []

    def watch(draw: Any, /, **controls: Control) -> None:
        figure, told = draw(**{name: c.value for name, c in controls.items()})
        panel = live(draw, controls, png_of(figure), told.sentence())
        shown.append((draw, list(controls), panel))

    modules = ("anchor_places", "level_choice", "roi_motion", "roi_samples")
    for module in (*modules, "suppression"):
        path = f"maskrcnn_scratch.figures.interactive.{module}.explore"
        monkeypatch.setattr(path, watch)
    interactive.move_roi()
    interactive.place_samples()
    interactive.place_anchors(canvas(96, 96))
    interactive.suppress_boxes()
    interactive.choose_level()
    assert len(shown) == 5
    for draw, names, panel in shown:
        inputs, picture, caption = panel.children
        for control in inputs.children:
            before, (first, last) = picture.value, extremes(control)
            control.value = last if control.value != last else first
            assert "cannot be drawn" not in caption.value, control.description
            assert picture.value != before, control.description
        firsts = [extremes(control)[0] for control in inputs.children]
        assert png_of(draw(**dict(zip(names, firsts, strict=True)))[0])
    ipywidgets.Widget.close_all()


def extremes(control: Any) -> tuple[Any, Any]:
    """The first and the last value of a control."""
    if isinstance(control, ipywidgets.Dropdown):
        values = [value for _, value in control.options]
        return values[0], values[-1]
    return control.min, control.max


def test_a_kernel_shows_one_output() -> None:
    """In a real kernel, with what a viewer of any kind can show."""
    source = (
        "from maskrcnn_scratch.figures.interactive import choose_level\n"
        "told = choose_level(300, 200)\n"
        "assert told.levels['floor'] == 4"
    )
    cell = nbformat.v4.new_code_cell(source)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    # Of the kernels named python3, that of the Python that runs this.
    specs = KernelSpecManager(kernel_dirs=[])
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
    client = NotebookClient(notebook, timeout=120, km=kernel)
    asyncio.run(client.async_execute(cleanup_kc=True))
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "display_data"
    assert output.data.keys() == {"image/png", "text/plain", WIDGET_VIEW}
    words = draw_chosen_level(300, 200, 4)[1].sentence()
    assert output.data["text/plain"] == words
    assert output.metadata == {"image/png": {"alt": words}}
    assert output.data["image/png"].startswith("iVBORw0KGgo")
