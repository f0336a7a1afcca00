"""Pictures of bilinear reads, RoI layers and pyramid levels draw the numbers told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from maskrcnn_scratch.figures.bilinear import draw_profile, draw_read, follow_read
from maskrcnn_scratch.reference.bilinear import bilinear_grad

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


@pytest.mark.parametrize("y", [-1.5, 2.5])
def test_the_profile_above_and_below_the_map_is_0(y: float) -> None:
    assert set(draw_profile(new_axes(), FOUR, y, 0.5).values) == {0}
