"""Laws of bilinear reading.

Faults tried -> the tests that caught them:

- 0 already below 0, not below -1: the border rule, no value beyond the neighbours
- 0 from size - 1 on: the border rule, a map of one cell
- 0 at size itself (< for <=): the border rule
- NaN let in (c < -1 or c > size): nan and infinity are outside
- not clamped at 0: the border rule, the two weights are shares
- round for floor of the coordinate: a hand table, a ramp is read exactly
- the two weights swapped: at a cell it is the cell, a ramp, flipping
- nearest neighbour: a hand table, a ramp, a small step makes a small change
- x for y: a hand table, transposing (every law with two coordinates)
- a slope's sign: the gradient by the coordinates is the slope ahead
- a slope where the coordinate is clamped: the same
- no slope at the first cell: the gradient where the coordinate is clamped
- one weight left out of the gradient by the map: the gradient by the map is the weights
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from floors import Floor, floors
from hypothesis import given
from hypothesis import strategies as st
from strategies import Array, feature_maps, sixteenths

from maskrcnn_scratch.reference.bilinear import bilinear_grad, bilinear_taps

EVERY_FLOOR = pytest.mark.parametrize("floor", floors("bilinear"), ids=str)
ANYWHERE = sixteenths(-2, 8)  # from outside of any map below to outside of it


def maps(largest: int = 5) -> st.SearchStrategy[Array]:
    """One map (height, width) of small whole numbers."""
    return feature_maps(largest=largest).map(lambda features: features[0, 0])


def inside(feature_map: Array, data: st.DataObject) -> tuple[float, float]:
    """A point among the cells' centres."""
    height, width = feature_map.shape
    return data.draw(sixteenths(0, height - 1)), data.draw(sixteenths(0, width - 1))


# What a read is


@EVERY_FLOOR
def test_a_hand_table(floor: Floor) -> None:
    feature_map = np.array([[1.0, 2.0], [3.0, 8.0]])
    table = {
        (0.0, 0.0): 1,
        (0.0, 1.0): 2,
        (1.0, 0.0): 3,
        (1.0, 1.0): 8,
        (0.5, 0.0): 2,
        (0.0, 0.25): 1.25,
        (0.5, 0.5): 3.5,  # the mean of all four
        (0.75, 0.5): 0.25 * 1.5 + 0.75 * 5.5,
    }
    for (y, x), value in table.items():
        assert floor.bilinear(feature_map, y, x) == pytest.approx(value), (y, x)


@EVERY_FLOOR
def test_the_border_rule(floor: Floor) -> None:
    feature_map = np.array([[1.0, 2.0], [3.0, 8.0]])
    table = {
        (-1.0, 0.0): 1,  # up to one cell outside, the border cell counts
        (-0.5, 1.0): 2,
        (2.0, 1.0): 8,
        (1.5, 0.5): 5.5,
        (0.5, -1.0): 2,
        (0.5, 2.0): 5,
        (-1.0625, 0.0): 0,  # beyond, nothing does
        (2.0625, 1.0): 0,
        (0.5, -1.0625): 0,
        (0.5, 2.0625): 0,
    }
    for (y, x), value in table.items():
        assert floor.bilinear(feature_map, y, x) == pytest.approx(value), (y, x)


@EVERY_FLOOR
@given(maps())
def test_at_a_cell_it_is_the_cell(floor: Floor, feature_map: Array) -> None:
    for row, column in np.ndindex(feature_map.shape):
        value = floor.bilinear(feature_map, float(row), float(column))
        floor.assert_close(value, feature_map[row, column])


@EVERY_FLOOR
@given(maps(), st.data(), *[st.integers(-4, 4)] * 3)
def test_a_ramp_is_read_exactly(
    floor: Floor, shape: Array, data: st.DataObject, a: int, b: int, c: int
) -> None:
    rows, columns = np.indices(shape.shape).astype(float)
    y, x = inside(shape, data)
    floor.assert_close(
        floor.bilinear(a + b * rows + c * columns, y, x), a + b * y + c * x
    )


@EVERY_FLOOR
@given(maps(), ANYWHERE, ANYWHERE)
def test_no_value_beyond_the_four_neighbours(
    floor: Floor, feature_map: Array, y: float, x: float
) -> None:
    height, width = feature_map.shape
    value = floor.bilinear(feature_map, y, x)
    if not (-1 <= y <= height and -1 <= x <= width):
        assert value == 0
        return
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    around = feature_map[
        math.floor(y) : math.ceil(y) + 1, math.floor(x) : math.ceil(x) + 1
    ]
    slack = 10 * floor.tolerance
    assert around.min() - slack <= value <= around.max() + slack


@EVERY_FLOOR
@given(maps(), ANYWHERE, ANYWHERE, st.integers(-3, 3))
def test_it_is_linear_in_the_map(
    floor: Floor, feature_map: Array, y: float, x: float, factor: int
) -> None:
    other = np.cos(np.arange(feature_map.size)).reshape(feature_map.shape)
    floor.assert_close(
        floor.bilinear(feature_map + factor * other, y, x),
        floor.bilinear(feature_map, y, x) + factor * floor.bilinear(other, y, x),
    )


@EVERY_FLOOR
@given(maps(), ANYWHERE, ANYWHERE)
def test_transposing_and_flipping_the_map_moves_the_point(
    floor: Floor, feature_map: Array, y: float, x: float
) -> None:
    value = floor.bilinear(feature_map, y, x)
    height, width = feature_map.shape
    floor.assert_close(floor.bilinear(feature_map.T.copy(), x, y), value)
    floor.assert_close(
        floor.bilinear(feature_map[::-1].copy(), height - 1 - y, x), value
    )
    floor.assert_close(
        floor.bilinear(feature_map[:, ::-1].copy(), y, width - 1 - x), value
    )


@EVERY_FLOOR
@given(maps(), st.data())
def test_x_then_y_equals_y_then_x(
    floor: Floor, feature_map: Array, data: st.DataObject
) -> None:
    """Two reads along one axis, then one along the other, in either order."""
    y, x = inside(feature_map, data)
    column = np.array(
        [[floor.bilinear(line[None], 0.0, x)] for line in feature_map], np.float64
    )
    row = np.array(
        [[floor.bilinear(line[:, None], y, 0.0) for line in feature_map.T]], np.float64
    )
    value = floor.bilinear(feature_map, y, x)
    floor.assert_close(floor.bilinear(column, y, 0.0), value)
    floor.assert_close(floor.bilinear(row, 0.0, x), value)


@EVERY_FLOOR
@given(maps(), st.data(), sixteenths(0, 0.5))
def test_a_small_step_makes_a_small_change(
    floor: Floor, feature_map: Array, data: st.DataObject, step: float
) -> None:
    y, x = inside(feature_map, data)
    steepest = np.abs(np.diff(feature_map, axis=1)).max(initial=0)
    change = floor.bilinear(feature_map, y, x + step) - floor.bilinear(
        feature_map, y, x
    )
    assert abs(change) <= step * steepest + 20 * floor.tolerance


@EVERY_FLOOR
@given(sixteenths(-2, 3), sixteenths(-2, 3))
def test_a_map_of_one_cell_is_flat_as_far_as_it_reaches(
    floor: Floor, y: float, x: float
) -> None:
    reached = max(abs(y), abs(x)) <= 1
    assert floor.bilinear(np.array([[7.0]]), y, x) == (7 if reached else 0)


@EVERY_FLOOR
def test_nan_and_infinity_are_outside(floor: Floor) -> None:
    feature_map = np.ones((3, 3))
    for far in (math.nan, math.inf, -math.inf):
        assert floor.bilinear(feature_map, far, 1.0) == 0
        assert floor.bilinear(feature_map, 1.0, far) == 0


@given(st.integers(1, 6), ANYWHERE)
def test_the_two_weights_are_shares(size: int, c: float) -> None:
    taps = bilinear_taps(size, c)
    if not -1 <= c <= size:
        assert taps == []
        return
    (low, low_weight), (high, high_weight) = taps
    assert 0 <= low <= high < size
    assert high - low <= 1
    assert low_weight >= 0
    assert high_weight >= 0
    assert low_weight + high_weight == 1
    assert low_weight * low + high_weight * high == min(max(c, 0), size - 1)


# Its gradient


@EVERY_FLOOR
@given(maps(), ANYWHERE, ANYWHERE)
def test_the_gradient_by_the_map_is_the_weights(
    floor: Floor, feature_map: Array, y: float, x: float
) -> None:
    """A linear function is its gradient times its argument, for any argument."""
    d_map, _, _ = floor.bilinear_grad(feature_map, y, x)
    for other in (feature_map, np.cos(np.arange(feature_map.size))):
        other = other.reshape(feature_map.shape)
        floor.assert_close((d_map * other).sum(), floor.bilinear(other, y, x))


@EVERY_FLOOR
@given(maps(), ANYWHERE, ANYWHERE)
def test_the_gradient_by_the_coordinates_is_the_slope_ahead(
    floor: Floor, feature_map: Array, y: float, x: float
) -> None:
    """Between two cells the value is linear, so a finite difference is exact.

    Steps of 1/32 towards larger coordinates stay within one pair of cells. The jumps
    at -1 and at size are no slopes.
    """
    height, width = feature_map.shape
    _, d_y, d_x = floor.bilinear_grad(feature_map, y, x)
    step = 1 / 32
    here = floor.bilinear(feature_map, y, x)
    if y != height:
        ahead = floor.bilinear(feature_map, y + step, x)
        jump = y < -1 <= y + step
        floor.assert_close(d_y, 0 if jump else (ahead - here) / step)
    if x != width:
        ahead = floor.bilinear(feature_map, y, x + step)
        jump = x < -1 <= x + step
        floor.assert_close(d_x, 0 if jump else (ahead - here) / step)


def test_the_gradient_where_the_coordinate_is_clamped() -> None:
    feature_map = np.array([[1.0, 4.0], [2.0, 9.0]])
    for c in (-1.0, -0.5, 1.0, 1.5, 2.0):
        assert bilinear_grad(feature_map, c, 0.5)[1] == 0
        assert bilinear_grad(feature_map, 0.5, c)[2] == 0
    assert bilinear_grad(feature_map, 0.0, 0.0)[1:] == (1, 3)


def test_the_gradient_of_a_nan_read_is_zero() -> None:
    d_map, d_y, d_x = bilinear_grad(np.ones((2, 2)), math.nan, 0.5)
    assert not d_map.any()
    assert (d_y, d_x) == (0, 0)
