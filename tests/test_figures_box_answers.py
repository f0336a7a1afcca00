"""The picture of a wrong box: which one it shows, and that no answer breaks it.

Deliberate faults, and the test that caught each:

- the first row instead of the worst, for the boxes or for the start; expected and got
  exchanged; width for height -> test_the_worst_row_is_shown
- NaN taken for a small difference; a region of any size, or not square; a rectangle of
  infinite size -> test_any_answer_can_be_drawn
- a box beside the picture, or an infinite one, called shown; a region that does not
  follow the wrong box -> test_a_box_that_is_not_in_the_picture_is_named
- limits of y for x -> test_the_picture_follows_a_box_up_to_its_limit
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from strategies import boxes

from maskrcnn_scratch.figures.box_answers import draw_box_answer

Array = np.ndarray[Any, np.dtype[Any]]

numbers = st.one_of(
    st.integers(-40, 40).map(float),
    st.sampled_from([np.nan, np.inf, -np.inf, 1e12, -1e12]),
)
answers = st.lists(numbers, min_size=8, max_size=8).map(
    lambda values: np.reshape(values, (2, 4))
)


def new_axes() -> Axes:
    return Figure(figsize=(5, 5), layout="constrained").subplots()


def drawn(axes: Axes) -> dict[str, tuple[float, float, float, float]]:
    """The corners of each rectangle by its name."""
    return {
        str(patch.get_gid()): tuple(patch.get_bbox().extents)  # type: ignore[attr-defined]
        for patch in axes.patches
    }


def test_the_worst_row_is_shown() -> None:
    axes = new_axes()
    expected = np.array([[0.0, 0, 4, 4], [2, 1, 6, 3]])
    got = np.array([[0.0, 0, 4, 5], [2, 1, 8, 3]])
    start = np.array([[0.0, 0, 1, 1], [1, 1, 5, 2]])
    told = draw_box_answer(axes, expected, got, start)
    assert (told.row, told.shown) == (1, True)
    assert np.array_equal(told.expected, expected[1])
    assert np.array_equal(told.got, got[1])
    assert drawn(axes) == {
        "start": (1, 1, 5, 2),
        "expected": (2, 1, 6, 3),
        "got": (2, 1, 8, 3),
    }
    assert axes.get_title() == "row 1"
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["from", "expected", "got"]


@given(boxes(count=2, smallest=1), answers)
def test_any_answer_can_be_drawn(expected: Array, got: Array) -> None:
    """The region is square, holds what is right, and stays near it."""
    axes = new_axes()
    told = draw_box_answer(axes, expected, got)
    wrong = np.nan_to_num(np.abs(expected - got), nan=np.inf).max(axis=1)
    assert wrong[told.row] == wrong.max()
    assert ("got" in drawn(axes)) == bool(np.isfinite(got[told.row]).all())
    (x1, x2), (y2, y1) = axes.get_xlim(), axes.get_ylim()
    right = expected[told.row]
    assert x1 < right[0] < right[2] < x2
    assert y1 < right[1] < right[3] < y2
    assert np.isclose(x2 - x1, y2 - y1)
    assert x2 - x1 <= 8 * max(right[2] - right[0], right[3] - right[1]) + 40
    assert axes.get_title().endswith("outside") != told.shown


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        ((2, 3, 9, 5), True),
        ((5, 4, 1, 2), True),  # inside out
        ((-900, -900, 900, 900), True),  # around the picture
        ((900, 0, 904, 4), False),
        ((0, -900, 4, -896), False),
        ((0, 0, np.inf, 4), False),
    ],
)
def test_a_box_that_is_not_in_the_picture_is_named(wrong: Any, shown: bool) -> None:
    axes = new_axes()
    told = draw_box_answer(axes, np.array([[0.0, 0, 4, 6]]), np.array([wrong], float))
    assert told.shown == shown
    (x1, x2), (y2, y1) = axes.get_xlim(), axes.get_ylim()
    if shown and np.abs(wrong).max() < 10:
        assert x1 < min(wrong[::2]) < max(wrong[::2]) < x2
        assert y1 < min(wrong[1::2]) < max(wrong[1::2]) < y2


def test_the_picture_follows_a_box_up_to_its_limit() -> None:
    """Expected is 2 x 4 with a pixel around, 4 x 6; so 12 and 18 pixels further."""
    axes = new_axes()
    expected = np.array([[10.0, 0, 12, 4]])
    draw_box_answer(axes, expected, np.array([[10.0, 0, 900, 4]]))
    assert axes.get_xlim() == (9, 26)  # 13 + 12, and a pixel
    axes = new_axes()
    draw_box_answer(axes, expected, np.array([[10.0, -900, 12, 4]]))
    assert axes.get_ylim() == (5, -20)  # -1 - 18, and a pixel
