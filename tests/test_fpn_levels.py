"""Laws of the FPN level of an RoI.

Faults tried on the reference, and a test that caught each:
- ceil, no square root, natural logarithm, a side with + 1 ->
  test_whole_levels_are_the_same_with_either_rounding, test_where_floor_and_round_differ
- floor and round mixed up; an epsilon of 1e-4 -> test_where_floor_and_round_differ
- halves up, or down -> test_half_levels_round_to_the_even_one
- the width, the longer side or the mean side for sqrt(w h) ->
  test_a_level_begins_at_the_area_of_112_224_and_448_pixels
- x2 and y2 for w and h -> test_only_the_area_matters (alone)
- towards zero for down -> test_doubling_the_sides_raises_the_level_by_one (alone)
- clamped before rounding, or on one side only -> test_the_level_is_clamped_last
- k0 or the canonical size not looked at -> test_other_pyramids (alone)
- w h > 0 passes an inverted box; NaN passes -> test_a_box_without_area_goes_to_...
- the list forgets the settings -> test_many_levels_are_one_by_one
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import strategies
from floors import Floor, floors
from hypothesis import assume, given
from hypothesis import strategies as st

from maskrcnn_scratch.reference import fpn_levels as reference

every_floor = pytest.mark.parametrize("floor", floors("fpn_levels"), ids=str)
both_roundings = pytest.mark.parametrize("rounding", ["floor", "round"])

UNCLAMPED = {"k_min": -50, "k_max": 50}

# Sides in pixels, those where a level begins among them.
sides = st.sampled_from([56.0, 112.0, 224.0, 448.0]) | strategies.sixteenths(1, 1024)


def box(width: float, height: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    return np.array([x, y, x + width, y + height])


# --- the table


@every_floor
@both_roundings
@pytest.mark.parametrize(
    ("side", "level"),
    [(224, 4), (112, 3), (448, 5), (56, 2), (1, 2), (896, 5), (4000, 5)],
)
def test_whole_levels_are_the_same_with_either_rounding(
    floor: Floor, rounding: str, side: float, level: int
) -> None:
    assert floor.fpn_level(box(side, side), rounding=rounding) == level


@every_floor
@pytest.mark.parametrize(
    ("side", "floored", "rounded"),
    [
        (111.999, 2, 3),
        (223.999, 3, 4),
        (447.999, 4, 5),
        (158, 3, 3),  # 224 / sqrt(2) is 158.39
        (159, 3, 4),
    ],
)
def test_where_floor_and_round_differ(
    floor: Floor, side: float, floored: int, rounded: int
) -> None:
    square = box(side, side)
    assert floor.fpn_level(square) == floored
    assert floor.fpn_level(square, rounding="round") == rounded


@every_floor
def test_half_levels_round_to_the_even_one(floor: Floor) -> None:
    """A box twice as wide as high can lie exactly between two levels."""
    halves = {2.5: box(56, 112), 3.5: box(112, 224), 4.5: box(224, 448)}
    levels = [floor.fpn_level(b, rounding="round") for b in halves.values()]
    assert levels == [round(k) for k in halves] == [2, 4, 4]


@every_floor
def test_other_pyramids(floor: Floor) -> None:
    """A small network: canonical side 64 on P3, levels P2 to P4."""
    levels = [floor.fpn_level(box(s, s), 3, 64.0, 2, 4) for s in (8, 63, 64, 127, 128)]
    assert levels == [2, 2, 3, 3, 4]


# --- laws


@every_floor
@given(width=sides, height=sides)
def test_a_level_begins_at_the_area_of_112_224_and_448_pixels(
    floor: Floor, width: float, height: float
) -> None:
    """Comparing areas tells the level without a logarithm."""
    area = width * height
    level = 2 + (area >= 112**2) + (area >= 224**2) + (area >= 448**2)
    assert floor.fpn_level(box(width, height)) == level


@every_floor
@given(width=sides, height=sides)
def test_rounded_levels_begin_at_areas_between(
    floor: Floor, width: float, height: float
) -> None:
    """At 2.5, 3.5, 4.5: areas 224^2 / 8, / 2 and * 2; halves go to the even level."""
    area = width * height
    level = 2 + (area > 224**2 / 8) + (area >= 224**2 / 2) + (area > 224**2 * 2)
    assert floor.fpn_level(box(width, height), rounding="round") == level


@every_floor
@both_roundings
@given(pairs=st.lists(st.tuples(sides, sides), min_size=2, max_size=6))
def test_the_level_never_falls_as_the_area_grows(
    floor: Floor, rounding: str, pairs: list[tuple[float, float]]
) -> None:
    pairs = sorted(pairs, key=math.prod)
    boxes = np.array([box(*pair) for pair in pairs])
    levels = floor.fpn_levels(boxes, rounding=rounding, **UNCLAMPED)
    assert np.all(np.diff(levels) >= 0)


@every_floor
@both_roundings
@given(width=sides, height=sides)
def test_doubling_the_sides_raises_the_level_by_one(
    floor: Floor, rounding: str, width: float, height: float
) -> None:
    half_way = math.log2(width * height / 224**2) % 2 == 1
    assume(not (half_way and rounding == "round"))  # 2.5 goes to 2, but 3.5 to 4
    small = floor.fpn_level(box(width, height), rounding=rounding, **UNCLAMPED)
    large = floor.fpn_level(box(2 * width, 2 * height), rounding=rounding, **UNCLAMPED)
    assert large == small + 1


@every_floor
@both_roundings
@given(width=sides, height=sides, x=strategies.sixteenths(-99, 99))
def test_only_the_area_matters(
    floor: Floor, rounding: str, width: float, height: float, x: float
) -> None:
    level = floor.fpn_level(box(width, height), rounding=rounding)
    assert floor.fpn_level(box(height, width), rounding=rounding) == level
    assert floor.fpn_level(box(4 * width, height / 4), rounding=rounding) == level
    assert floor.fpn_level(box(width, height, x, -x), rounding=rounding) == level


@every_floor
@both_roundings
@given(
    width=sides,
    height=sides,
    limits=st.tuples(st.integers(-2, 8), st.integers(-2, 8)).map(sorted),
)
def test_the_level_is_clamped_last(
    floor: Floor, rounding: str, width: float, height: float, limits: list[int]
) -> None:
    one = box(width, height)
    free = floor.fpn_level(one, rounding=rounding, **UNCLAMPED)
    k_min, k_max = limits
    clamped = floor.fpn_level(one, rounding=rounding, k_min=k_min, k_max=k_max)
    assert clamped == min(max(free, k_min), k_max)


# --- no area, no boxes, wrong words, other implementations


@every_floor
@both_roundings
@pytest.mark.parametrize(
    "nothing",
    [(5, 5, 5, 5), (0, 5, 500, 5), (500, 500, 0, 0), (0, 0, math.nan, 500)],
    ids=["point", "line", "inverted", "nan"],
)
def test_a_box_without_area_goes_to_the_finest_level(
    floor: Floor, rounding: str, nothing: tuple[float, float, float, float]
) -> None:
    assert floor.fpn_level(np.array(nothing, float), rounding=rounding) == 2


@every_floor
def test_no_boxes_are_no_accident(floor: Floor) -> None:
    levels = floor.fpn_levels(np.zeros((0, 4)))
    assert levels.shape == (0,)
    assert levels.dtype == np.int64


@every_floor
@given(pairs=st.lists(st.tuples(sides, sides), min_size=1, max_size=6))
def test_many_levels_are_one_by_one(
    floor: Floor, pairs: list[tuple[float, float]]
) -> None:
    boxes = np.array([box(*pair) for pair in pairs])
    for settings in [(), (5, 100.0, 1, 7, "round")]:
        one_by_one = [reference.fpn_level(b, *settings) for b in boxes]
        assert floor.fpn_levels(boxes, *settings).tolist() == one_by_one


def test_an_unknown_rounding_is_refused_by_name() -> None:
    without_type_check = reference.fpn_level.__wrapped__
    with pytest.raises(ValueError, match="'floor' or 'round', not 'ceil'"):
        without_type_check(box(9, 9), rounding="ceil")


@given(pairs=st.lists(st.tuples(sides, sides), min_size=1, max_size=6))
def test_torchvision_reads_the_same_levels(pairs: list[tuple[float, float]]) -> None:
    poolers = pytest.importorskip("torchvision.ops.poolers")
    from torch import from_numpy

    boxes = np.array([box(*pair) for pair in pairs])
    theirs = poolers.initLevelMapper(2, 5)([from_numpy(boxes)])
    assert reference.fpn_levels(boxes).tolist() == (theirs + 2).tolist()
