"""The picture of a wrong box: which one it shows, and that no answer breaks it.

Deliberate faults, and the test that caught each:

- the first row instead of the worst -> test_the_worst_row_is_shown
- expected and got exchanged -> test_the_worst_row_is_shown
- NaN taken for a small difference; the region of any size; limits of x for y
  -> test_any_answer_can_be_drawn
"""

from __future__ import annotations

from typing import Any

import numpy as np
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
