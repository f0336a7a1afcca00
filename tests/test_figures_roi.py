"""Pictures of bilinear reads, RoI layers and pyramid levels draw the numbers told.

Deliberate faults, and the test that caught each:

- width and height of a part swapped, or its centre half a cell off
  -> test_a_read_by_hand
- x and y swapped in the arrow of a clamped read
  -> test_a_read_left_of_the_first_cell_is_clamped
- the map's end at its last centre; x for y along the profile; the grey of clamped
  places one cell off -> test_the_profile_by_hand
- points drawn at their index, not half a cell further -> test_the_seeds_strip,
  test_the_layers_are_drawn_as_told
- rows for columns of bins, points or values -> test_the_layers_are_drawn_as_told
- floor for round, RoIAlign for RoIWarp, aligned for legacy -> test_each_layer_by_hand
- ``samples`` forgotten -> test_samples_are_counted_in_each_bin
- the shift in cells, not in pixels -> test_the_seeds_strip
- "in no bin" where the used RoI ends -> test_the_strips_are_drawn_as_told
- panels of strips with axes of their own, or cut at the shortest
  -> test_the_strips_are_drawn_as_told
- the size of the first bin told for all -> test_bins_of_two_sizes_are_both_named
- a border one level off; the longer side for sqrt(w h); cells by the other rule; a box
  on every level below its own -> test_the_borders_of_both_rules,
  test_boxes_on_their_levels_by_hand
- the order of the two steps, or a point past the last cell
  -> test_two_steps_in_either_order_by_hand, test_two_steps_need_cells_on_both_sides
- P6 of the floor of half the cells, or M with the channels of C
  -> test_the_pyramid_told_is_that_of_the_model
- arrows that start at the far side of a block -> test_the_pyramid_is_drawn_as_told
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from maskrcnn_scratch.figures.bilinear import draw_profile, draw_read, follow_read
from maskrcnn_scratch.figures.bilinear_order import draw_two_steps
from maskrcnn_scratch.figures.feature_pyramid import (
    draw_feature_pyramid,
    follow_pyramid,
)
from maskrcnn_scratch.figures.fpn_levels import draw_fpn_levels, follow_rule
from maskrcnn_scratch.figures.misalignment import Misalignment, follow
from maskrcnn_scratch.figures.roi_steps import (
    draw_layers,
    draw_strips,
    follow_layers,
)
from maskrcnn_scratch.models.fpn import FPN
from maskrcnn_scratch.reference.bilinear import bilinear_grad
from maskrcnn_scratch.reference.fpn_levels import Rounding, fpn_level
from maskrcnn_scratch.reference.roi_steps import Span

FOUR = np.array([[10.0, 20.0], [30.0, 40.0]])
SIXTEENTHS = st.integers(-3 * 16, 6 * 16).map(lambda n: n / 16)
SIDES = st.integers(1, 4)
Box = tuple[float, float, float, float]


def new_axes() -> Axes:
    return Figure().subplots()


def rectangles(axes: Axes, kind: str) -> list[Box]:
    """(x, y, width, height) of the rectangles of a kind."""
    return [
        (*patch.get_xy(), patch.get_width(), patch.get_height())
        for patch in axes.patches
        if isinstance(patch, Rectangle) and patch.get_gid() == kind
    ]


def texts(axes: Axes, kind: str) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_gid() == kind]


def lines(axes: Axes, kind: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_gid() == kind]


def points(axes: Axes, kind: str) -> list[list[float]]:
    """(x, y) of the scattered points of a kind."""
    found = [c for c in axes.collections if c.get_gid() == kind]
    return [list(map(float, p)) for c in found for p in np.asarray(c.get_offsets())]


def test_a_read_by_hand() -> None:
    """A quarter down, three quarters to the right: 3/16, 9/16, 1/16 and 3/16."""
    axes = new_axes()
    told = draw_read(axes, FOUR, 0.25, 0.75)
    assert told.place == (0.25, 0.75)
    assert told.weights == {(0, 0): 3 / 16, (0, 1): 9 / 16, (1, 0): 1 / 16} | {
        (1, 1): 3 / 16
    }
    assert told.value == (3 * 10 + 9 * 20 + 1 * 30 + 3 * 40) / 16 == 22.5
    assert told.parts[0, 0] == (0.25, -0.25, 0.25, 0.75)
    assert told.parts[1, 1] == (0.5, 0.5, 0.75, 0.25)

    assert rectangles(axes, "part") == list(told.parts.values())
    cells = [(-0.5, -0.5, 1, 1), (0.5, -0.5, 1, 1), (-0.5, 0.5, 1, 1), (0.5, 0.5, 1, 1)]
    assert rectangles(axes, "cell") == cells
    assert points(axes, "centre") == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert points(axes, "point") == [[0.75, 0.25]]
    times = "\N{MULTIPLICATION SIGN}"
    assert texts(axes, "value")[:2] == [f"10\n{times} 0.1875", f"20\n{times} 0.5625"]
    assert axes.get_xlabel().endswith(
        f"at y = 0.25, x = 0.75:\n0.1875 {times} 10 + 0.5625 {times} 20\n"
        f"+ 0.0625 {times} 30 + 0.1875 {times} 40 = 22.5"
    )
    assert texts(axes, "clamped") == []
    assert axes.yaxis_inverted()


def test_a_read_left_of_the_first_cell_is_clamped() -> None:
    axes = new_axes()
    told = draw_read(axes, FOUR, 0.5, -0.75)
    assert told.place == (0.5, 0)
    assert told.weights == {(0, 0): 0.5, (1, 0): 0.5}
    assert told.parts == {(0, 0): (-0.5, 0, 1, 0.5), (1, 0): (-0.5, 0.5, 1, 0.5)}
    (arrow,) = [text for text in axes.texts if text.get_gid() == "clamped"]
    assert (arrow.xy, arrow.xyann) == ((0, 0.5), (-0.75, 0.5))
    assert points(axes, "point") == [[-0.75, 0.5]]
    assert axes.get_xlim()[0] < -0.75


def test_a_read_outside_is_0_and_has_no_parts() -> None:
    axes = new_axes()
    told = draw_read(axes, FOUR, 0.5, 2.25)
    assert (told.place, told.weights, told.parts, told.value) == (None, {}, {}, 0)
    assert rectangles(axes, "part") == []
    assert axes.get_xlabel().endswith("at y = 0.5, x = 2.25: outside, so 0")


@given(SIDES, SIDES, SIXTEENTHS, SIXTEENTHS)
def test_the_area_of_a_part_is_the_weight(
    height: int, width: int, y: float, x: float
) -> None:
    """And the weights are the derivative by the map; parts lie in their cells."""
    feature_map = np.arange(1.0, height * width + 1).reshape(height, width)
    told = follow_read(feature_map, y, x)
    by_map, _, _ = bilinear_grad(feature_map, y, x)
    assert {tuple(map(int, cell)) for cell in np.argwhere(by_map)} == set(told.weights)
    for (row, column), weight in told.weights.items():
        left, top, wide, high = told.parts[row, column]
        assert np.isclose(wide * high, weight)
        assert np.isclose(weight, by_map[row, column])
        assert column - 0.5 <= left < left + wide <= column + 0.5
        assert row - 0.5 <= top < top + high <= row + 0.5


def test_the_profile_by_hand() -> None:
    """0, jump at -1, level to cell 0, up to cell 1, level to 2, jump to 0."""
    axes = new_axes()
    told = draw_profile(axes, FOUR, 0.25, 0.75)
    found = dict(zip(told.x, told.values, strict=True))
    by_hand = {-1.5: 0, -1: 15, 0: 15, 0.5: 20, 0.75: 22.5, 1: 25, 2: 25, 2.5: 0}
    assert {place: found[place] for place in by_hand} == by_hand
    assert found[np.nextafter(-1, -2)] == found[np.nextafter(2, 3)] == 0
    assert told.inside.tolist() == [-1, 2]

    left, middle, right = axes.lines[:3]
    assert set(left.get_ydata()) == set(right.get_ydata()) == {0}
    drawn = [np.concatenate([line.get_xdata() for line in (left, middle, right)])]
    drawn += [np.concatenate([line.get_ydata() for line in (left, middle, right)])]
    assert np.array_equal(drawn, [told.x, told.values])
    assert (middle.get_xdata()[0], middle.get_xdata()[-1]) == (-1, 2)
    (cells,) = lines(axes, "cells")
    assert cells.get_xydata().tolist() == [[0, 15], [1, 25]]
    (point,) = lines(axes, "point")
    assert point.get_xydata().tolist() == [[0.75, 22.5]]
    full, empty = lines(axes, "end")
    assert full.get_xydata().tolist() == [[-1, 15], [2, 25]]
    assert empty.get_ydata().tolist() == [0, 0]
    bands = [(p.get_x(), p.get_width()) for p in axes.patches]
    assert bands == [(-1, 1), (1, 1)]


def test_two_steps_in_either_order_by_hand() -> None:
    """In x first 17.5 and 37.5, in y first 15 and 25: both give 22.5."""
    axes = new_axes()
    told = draw_two_steps(axes, FOUR, 0.25, 0.75)
    assert told.between == ((0, 0.75, 17.5), (1, 0.75, 37.5))
    assert told.value == 17.5 + 0.25 * (37.5 - 17.5) == 22.5
    first = [line.get_xydata().tolist() for line in lines(axes, "first")]
    assert first == [[[0, 0], [1, 0]], [[0, 1], [1, 1]]]
    (second,) = lines(axes, "second")
    assert second.get_xydata().tolist() == [[0.75, 0], [0.75, 1]]
    between = [line.get_xydata().tolist() for line in lines(axes, "between")]
    assert between == [[[0.75, 0]], [[0.75, 1]]]
    assert texts(axes, "between value") == ["17.5", "37.5"]
    assert texts(axes, "centre value") == ["10", "20", "30", "40"]
    assert texts(axes, "point value") == ["22.5"]

    axes = new_axes()
    told = draw_two_steps(axes, FOUR, 0.25, 0.75, "y")
    assert told.between == ((0.25, 0, 15), (0.25, 1, 25))
    assert told.value == 15 + 0.75 * (25 - 15) == 22.5
    first = [line.get_xydata().tolist() for line in lines(axes, "first")]
    assert first == [[[0, 0], [0, 1]], [[1, 0], [1, 1]]]
    (second,) = lines(axes, "second")
    assert second.get_xydata().tolist() == [[0, 0.25], [1, 0.25]]
    (point,) = lines(axes, "point")
    assert point.get_xydata().tolist() == [[0.75, 0.25]]


@pytest.mark.parametrize(("y", "x"), [(-0.1, 0), (1.1, 0), (0, -0.1), (0, 1.1)])
def test_two_steps_need_cells_on_both_sides(y: float, x: float) -> None:
    with pytest.raises(ValueError, match="is not between the cells' centres"):
        draw_two_steps(new_axes(), FOUR, y, x)


@pytest.mark.parametrize("y", [-1.5, 2.5])
def test_the_profile_above_and_below_the_map_is_0(y: float) -> None:
    assert set(draw_profile(new_axes(), FOUR, y, 0.5).values) == {0}


RAMP = np.arange(64.0).reshape(8, 8)  # 8 * row + column
BOX = np.array([20.0, 28.0, 90.0, 106.0])  # at stride 16: 1.25, 1.75, 5.625, 6.625
FIVE = ["RoIPool floor", "RoIPool round", "RoIWarp", "RoIAlign", "RoIAlign legacy"]


def test_each_layer_by_hand() -> None:
    """On a ramp the mean of a bin is the value at its centre."""
    told = follow_layers(RAMP, BOX, (2, 2), 16)
    assert list(told) == FIVE

    floor = told["RoIPool floor"]  # cells 1 to 4 and 1 to 5: bins of 2 x 2
    assert floor.steps.x.bins == ((1, 3), (3, 5))
    assert floor.steps.y.bins == ((1, 3), (3, 5))
    assert floor.out.tolist() == [[18, 20], [34, 36]]
    layer = told["RoIPool round"]  # cells 1 to 6 and 2 to 7: bins of 3 x 3
    assert layer.steps.x.bins == ((1, 4), (4, 7))
    assert layer.steps.y.bins == ((2, 5), (5, 8))
    assert layer.out.tolist() == [[35, 38], [59, 62]]
    warp = told["RoIWarp"]  # x from 1 to 6, y from 2 to 7: bins of 2.5 x 2.5
    assert warp.steps.x.bins == ((1, 3.5), (3.5, 6))
    assert warp.out.tolist() == [[23.75, 26.25], [43.75, 46.25]]
    align = told["RoIAlign"]  # the first centre is at x 2.34375, y 2.96875
    assert align.out[0, 0] == 8 * (2.96875 - 0.5) + 2.34375 - 0.5
    assert align.out[0, 1] - align.out[0, 0] == 4.375 / 2
    assert align.out[1, 0] - align.out[0, 0] == 8 * 4.875 / 2
    legacy = told["RoIAlign legacy"]  # half a cell further on both axes
    assert np.allclose(legacy.out, align.out + 0.5 + 8 * 0.5)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_samples_are_counted_in_each_bin(rows: int, columns: int, samples: int) -> None:
    """Rows are not columns, and RoIPool reads cells whatever the samples are."""
    told = follow_layers(RAMP, BOX, (rows, columns), 16, samples)
    for name, read in told.items():
        assert read.out.shape == (rows, columns)
        if "Pool" not in name:
            assert len(read.steps.points(0, 0)) == samples**2
    assert told["RoIPool floor"].steps.x.roi == Span(1.25, 5.625)
    assert told["RoIPool floor"].steps.y.roi == Span(1.75, 6.625)


@pytest.mark.parametrize("names", [("RoIPool round", "RoIWarp", "RoIAlign"), FIVE])
def test_the_layers_are_drawn_as_told(names: list[str]) -> None:
    box = np.array([-20.0, 28.0, 150.0, 90.0])
    figure, told = draw_layers(RAMP[:6], box, (3, 2), 16, names=names)
    assert list(told) == list(names)
    above, below = np.reshape(figure.axes, (2, len(names)))
    for panel, values, (name, read) in zip(above, below, told.items(), strict=True):
        x, y = read.steps.x, read.steps.y
        assert panel.get_title().startswith(name)
        assert f"{x.roi.size:.4g}" in panel.get_title()
        assert f"{x.quantised.size:.4g} cells wide" in panel.get_title()
        assert rectangles(panel, "roi") == [box_of(x.roi, y.roi)]
        assert rectangles(panel, "quantised") == [box_of(x.quantised, y.quantised)]
        bins = [box_of(column, row) for row in y.bins for column in x.bins]
        assert rectangles(panel, "bin") == bins
        assert len(rectangles(panel, "cell")) == 48
        assert rectangles(panel, "cell")[9] == (1, 1, 1, 1)
        assert texts(panel, "value") == [f"{n}" for n in range(48)]
        drawn = {tuple(place) for place in points(panel, "point")}
        assert drawn == {
            (column + 0.5, row + 0.5)
            for i, j in np.ndindex(3, 2)
            for row, column in read.steps.points(i, j)
        }
        everything = [*bins, *rectangles(panel, "roi"), *rectangles(panel, "quantised")]
        assert within_limits(panel, everything)
        assert panel.yaxis_inverted()
        assert values.yaxis_inverted()
        assert texts(values, "out") == [f"{v:.3g}" for v in read.out.flat]
        places = [t.get_position() for t in values.texts]
        assert places[:3] == [(0.5, 0.5), (1.5, 0.5), (0.5, 1.5)]


def test_values_of_a_large_map_are_left_out() -> None:
    figure, told = draw_layers(
        np.ones((25, 25)), np.array([0, 0, 665, 665.0]), (7, 7), 32
    )
    assert texts(figure.axes[0], "value") == []
    assert texts(figure.axes[3], "out") == ["1"] * 49
    assert told["RoIAlign"].steps.x.roi.size == 20.78125


def box_of(columns: Span, rows: Span) -> Box:
    return (columns.start, rows.start, columns.size, rows.size)


def within_limits(axes: Axes, boxes: list[Box]) -> bool:
    """Whether all of the boxes are in the panel."""
    (left, right), (top, bottom) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    return all(
        left <= x and x + wide <= right and top <= y and y + high <= bottom
        for x, y, wide, high in boxes
    )


def test_the_seeds_strip() -> None:
    """665 pixels at stride 32 into 7 bins: 20.78 -> 20, and 2.857 -> 2 (CLAIMS 1)."""
    told = follow(800, 665.0, 32, 7)
    floor, layer, align = draw_strips(told, ["RoIPool floor", *FIVE[1::2]]).axes
    start = "RoIPool floor: 20.78 → 20 cells; bins of 20 / 7 = 2.857 → 2; "
    assert floor.get_title("left") == start + "off by at most 201.5 pixels"
    start = "RoIPool round: 20.78 → 22 cells; bins of 22 / 7 = 3.143 → 4; "
    assert layer.get_title("left") == start + "off by at most 22.5 pixels"
    start = "RoIAlign: 20.78 cells; bins of 20.78 / 7 = 2.969; "
    assert align.get_title("left") == start + "off by at most 0 pixels"

    spans = [(x, wide) for x, _, wide, _ in rectangles(floor, "bin")]
    assert spans == [(0, 2), (2, 2), (4, 2), (6, 2), (8, 2), (10, 2), (12, 2)]
    assert [x for x, _ in points(floor, "point")] == [k + 0.5 for k in range(14)]
    ((start_, _, size, _),) = rectangles(floor, "in no bin")
    assert (start_, size) == (14, 6.78125)
    assert "in no bin" in [text.get_text() for text in floor.texts]
    assert rectangles(layer, "in no bin") == rectangles(align, "in no bin") == []


WHOLE_BINS = follow(800, 14.5 * 32, 32, 7)  # 14.5 -> 14 cells, and all 14 are read
SMALL = follow(16, 16.0, 16, 3)  # one cell for three bins


@pytest.mark.parametrize(
    "told", [follow(), follow(400, 133.0, 16, 3, 70.5), WHOLE_BINS, SMALL]
)
def test_the_strips_are_drawn_as_told(told: Misalignment) -> None:
    panels = draw_strips(told, FIVE).axes
    assert len({panel.get_xlim() for panel in panels}) == 1
    for panel, name in zip(panels, FIVE, strict=True):
        steps = told.layers[name]
        assert panel.get_title("left").startswith(f"{name}: ")
        for kind, span in (("roi", steps.roi), ("quantised", steps.quantised)):
            ((x, _, wide, _),) = rectangles(panel, kind)
            assert (x, wide) == (span.start, span.size)
        bins = rectangles(panel, "bin")
        assert [(x, wide) for x, _, wide, _ in bins] == [
            (span.start, span.size) for span in steps.bins
        ]
        # A point lies in the lane of its bin.
        drawn = [
            (point + 0.5, y + high / 2)
            for (_, y, _, high), some in zip(bins, steps.points, strict=True)
            for point in some
        ]
        assert np.allclose(points(panel, "point"), drawn)
        lanes = [y for _, y, _, _ in bins]
        assert all(a != b for a, b in pairwise(lanes))
        assert within_limits(panel, bins)
        rest = [(x, wide) for x, _, wide, _ in rectangles(panel, "in no bin")]
        gap = steps.roi.end - steps.bins[-1].end
        assert rest == ([(steps.bins[-1].end, gap)] if gap > 0 else [])
        ends = [line.get_xdata()[0] for line in lines(panel, "end")]
        assert ends == [steps.roi.start, steps.roi.end]
        off = float(panel.get_title("left").split("at most ")[1].split()[0])
        assert np.isclose(off, np.abs(steps.shift).max() * told.stride, rtol=1e-3)


def test_bins_of_two_sizes_are_both_named() -> None:
    """20 cells in 7: 20 / 7 ends at 2.86, 5.71, ..., so bins have 3 or 4 cells."""
    panel, *_ = draw_strips(follow(800, 19.0 * 32, 32, 7), ["RoIPool round"]).axes
    assert "19 → 20 cells; bins of 20 / 7 = 2.857 → 3 or 4;" in panel.get_title("left")


SEEN = np.array(
    [
        [20.0, 30.0, 70.0, 94.0],  # 50 x 64 pixels: 40 * sqrt 2 = 56.57
        [60.0, 300.0, 219.0, 459.0],  # 159 x 159, where floor and round differ
        [300.0, 60.0, 748.0, 172.0],  # 448 x 112: 224, as a square of 224
        [250.0, 300.0, 700.0, 720.0],  # 450 x 420: 434.7
        [20.0, 20.0, 780.0, 780.0],
    ]
)


def test_the_borders_of_both_rules() -> None:
    """Floor: 112, 224 and 448. Round: half a level, a factor of sqrt 2, earlier."""
    floor, rounded = follow_rule("floor"), follow_rule("round")
    assert floor.levels == rounded.levels == (2, 3, 4, 5)
    assert np.allclose(floor.borders, [112, 224, 448], rtol=1e-12)
    assert np.allclose(rounded.borders, np.array([112, 224, 448]) / np.sqrt(2))


def test_boxes_on_their_levels_by_hand() -> None:
    figure, told = draw_fpn_levels(SEEN, (760, 900))
    assert np.allclose(told.sides, [40 * 2**0.5, 159, 224, (450 * 420) ** 0.5, 760])
    assert told.levels == {"floor": (2, 3, 4, 4, 5), "round": (2, 4, 4, 5, 5)}
    assert told.cells[1].tolist() == [7.5, 37.5, 27.375, 57.375]  # stride 8
    rule, *maps = figure.axes

    assert told.rules == {name: follow_rule(name) for name in ("floor", "round")}
    for line, name in zip(lines(rule, "rule"), ("floor", "round"), strict=True):
        b1, b2, b3 = told.rules[name].borders
        assert line.get_label() == name
        assert line.get_xdata().tolist() == [28, b1, b1, b2, b2, b3, b3, 1120]
        assert line.get_ydata().tolist() == [2, 2, 3, 3, 4, 4, 5, 5]
        assert rule.get_xscale() == "log"
    marked = [text.get_text() for text in rule.get_xticklabels()]
    assert {"112", "224", "448", "79.2", "158.4", "316.8"} < set(marked)
    full = [line.get_xydata()[0] for line in lines(rule, "box")]
    assert np.allclose(full, np.transpose([told.sides, [2, 3, 4, 4, 5]]))
    empty = [line.get_xydata()[0] for line in lines(rule, "rounded")]
    assert np.allclose(empty, [[159, 4], [told.sides[3], 5]])
    assert texts(rule, "number") == ["0", "1", "2", "3", "4"]

    titles = ["P2, stride 4", "P3, stride 8", "P4, stride 16", "P5, stride 32"]
    assert [panel.get_title() for panel in maps] == titles
    for panel, level in zip(maps, (2, 3, 4, 5), strict=True):
        here = [n for n, own in enumerate(told.levels["floor"]) if own == level]
        x1, y1, x2, y2 = told.cells[here].T
        found = np.array(rectangles(panel, "here"))
        assert np.allclose(found, np.transpose([x1, y1, x2 - x1, y2 - y1]))
        assert len(rectangles(panel, "elsewhere")) == 5 - len(here)
        assert texts(panel, "number") == [str(n) for n in here]
        assert panel.get_xlim() == (0, math.ceil(900 / 2**level))
        assert panel.get_ylim() == (math.ceil(760 / 2**level), 0)
    times = "\N{MULTIPLICATION SIGN}"
    listed = f"2: 28 {times} 7 cells\n3: 28.1 {times} 26.2 cells"
    assert maps[2].get_xlabel() == listed


@given(st.integers(28, 1119), st.sampled_from(["floor", "round"]))
def test_the_steps_drawn_are_the_rule(pixels: int, rounding: Rounding) -> None:
    rule = follow_rule(rounding)
    side = pixels + 0.5  # no border
    step = int(np.searchsorted(rule.borders, side, side="right"))
    box = np.array([0, 0, side, side])
    assert rule.levels[step] == fpn_level(box, rounding=rounding)


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [5, 9, 9, 5], [0, 0, np.nan, 4]])
def test_an_empty_box_has_no_place(box: list[float]) -> None:
    with pytest.raises(ValueError, match=r"box 1, .* is empty"):
        draw_fpn_levels(np.array([[0, 0, 4, 4], box]))


@given(st.integers(1, 70), st.integers(1, 70), st.integers(2, 4))
def test_the_pyramid_told_is_that_of_the_model(
    height: int, width: int, levels: int
) -> None:
    maps = [
        (level + 1, math.ceil(height / 2**level), math.ceil(width / 2**level))
        for level in range(levels)
    ]
    found = FPN([c for c, _, _ in maps], 6)([torch.zeros(1, *shape) for shape in maps])
    shapes = follow_pyramid(maps, 6).shapes
    expected = {f"P{k}": tuple(p.shape[1:]) for k, p in enumerate(found, start=2)}
    assert {n: shape for n, shape in shapes.items() if n[0] == "P"} == expected
    assert {n: s for n, s in shapes.items() if n[0] == "C"} == {
        f"C{k}": shape for k, shape in enumerate(maps, start=2)
    }


def test_the_pyramid_is_drawn_as_told() -> None:
    """That of a ResNet-50 on an image of 1024 x 1024 pixels."""
    maps = [(256, 256, 256), (512, 128, 128), (1024, 64, 64), (2048, 32, 32)]
    axes = new_axes()
    told = draw_feature_pyramid(axes, maps)
    assert told.shapes["M5"] == told.shapes["P5"] == (256, 32, 32)
    assert told.shapes["P6"] == (256, 16, 16)
    assert len(told.steps) == 3 + 4 + 3 + 4 + 1  # up, across, down, out, P6
    assert ("M5", "M4", "nearest, added") in told.steps
    assert ("C4", "C5", "stage") in told.steps
    times = "\N{MULTIPLICATION SIGN}"
    assert f"C5\n2048 {times} 32 {times} 32" in texts(axes, "shape")
    assert texts(axes, "operation") == [operation for *_, operation in told.steps]

    blocks = {patch.get_gid(): patch for patch in axes.patches}
    arrows = {text.get_gid(): text for text in axes.texts}
    assert blocks.keys() == told.shapes.keys()
    for start, end, _ in told.steps:
        arrow = arrows[f"{start} {end}"]
        assert on_border(arrow.xyann, blocks[start])
        assert on_border(arrow.xy, blocks[end])
        centres = [blocks[name].get_center() for name in (start, end)]
        assert math.dist(arrow.xyann, arrow.xy) < math.dist(*centres)
    heights = {name: block.get_y() for name, block in blocks.items()}
    assert heights["P2"] == heights["C2"] < heights["M3"] < heights["P6"]


def on_border(point: tuple[float, float], block: Rectangle) -> bool:
    """Whether a point is in the middle of a side."""
    x, y = block.get_center()
    aside, up = abs(point[0] - x), abs(point[1] - y)
    sides = [(block.get_width() / 2, 0), (0, block.get_height() / 2)]
    return any(np.allclose((aside, up), side) for side in sides)
