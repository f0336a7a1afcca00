"""Exercise 1.1: a row of cells, read between two of them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.strategies import sixteenths
from maskrcnn_scratch.reference.bilinear import (
    bilinear_taps,
)

HALF_PIXEL = (
    "you read half a cell away. In index coordinates the value of cell i sits at i, "
    "so nothing is added or taken away before the cells are found."
)


def read_line(values: np.ndarray, c: float) -> float:
    """The value of a row of cells at the index coordinate ``c``.

    ``values`` has the shape (size,); cell i sits at c = i. Between two cells the value
    changes linearly. From -1 to 0 it is that of the first cell, from size - 1 to size
    that of the last, and further out it is 0.
    """
    size = len(values)
    if c < -1 or c > size:
        return 0.0
    c = min(max(c, 0.0), size - 1.0)
    low = int(c)
    high = min(low + 1, size - 1)
    part = c - low
    return float((1 - part) * values[low] + part * values[high])


def line_of(values: np.ndarray, c: float) -> float:
    """The specification, on one axis."""
    return sum(weight * float(values[i]) for i, weight in bilinear_taps(len(values), c))


@st.composite
def rows_and_places(draw: st.DrawFn) -> Inputs:
    """A row of cells, and a place on it or a little outside."""
    values = draw(st.lists(st.integers(-9, 9), min_size=1, max_size=5))
    c = draw(sixteenths(-2, len(values) + 1))
    return {"values": np.array(values, np.float64), "c": c}


EXERCISE = Exercise(
    id="ex01_1",
    title="Between two cells",
    objective="Read a row of cells at a real coordinate, with the border's rule.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `read_line(values, c)`: the value of a row of cells at the index "
        "coordinate `c`. It is what bilinear interpolation does on each axis."
    ),
    hints=(
        "First the border: return 0 where `c` lies outside [-1, size]. Then clamp `c` "
        "to [0, size - 1]; what is left is the plain case.",
        "The cells around `c` are `low = int(c)` and `low + 1`; how far `c` lies "
        "beyond `low` is the weight of the second.",
        "At the last cell there is no `low + 1`. Use "
        "`high = min(low + 1, size - 1)`: its weight is 0 there.",
    ),
    solution=read_line,
    laws=(
        Law("The value is that of the specification.", rows_and_places(), line_of),
        Law(
            "At a cell's own coordinate stands the cell's value.",
            rows_and_places(),
            expected=lambda values, c: values,
            got=lambda f, values, c: [f(values, float(i)) for i in range(len(values))],
        ),
    ),
    mistakes=(
        Mistake(
            "half a cell", HALF_PIXEL, {"    c = min(": "    c -= 0.5\n    c = min("}
        ),
        Mistake(
            "weights exchanged",
            "you gave the near cell the far cell's weight: the weight of a cell falls "
            "with its distance.",
            {"(1 - part) * values[low] + part": "part * values[low] + (1 - part)"},
        ),
        Mistake(
            "floor",
            "you took the cell before `c` alone: that is rounding down, not mixing.",
            {"part = c - low": "part = 0.0"},
        ),
        Mistake(
            "nearest cell",
            "you took the nearest cell alone: that is rounding, not mixing.",
            {"part = c - low": "part = float(c - low >= 0.5)"},
        ),
        Mistake(
            "no clamp before the first cell",
            "you did not clamp `c` to the first cell: between -1 and 0 an index of -1 "
            "silently reads the last cell.",
            {"max(c, 0.0)": "c", "int(c)": "int(np.floor(c))"},
        ),
        Mistake(
            "past the end",
            "you read a cell after the last one: clamp the second index too.",
            {"min(low + 1, size - 1)": "low + 1"},
        ),
        Mistake(
            "no border",
            "you return the border cell's value however far outside `c` lies; beyond "
            "-1 and size the value is 0.",
            {"c < -1 or c > size": "False"},
        ),
        Mistake(
            "zero outside of the cells",
            "you return 0 as soon as `c` leaves [0, size - 1]; the border cell still "
            "reaches one cell further.",
            {"c < -1 or c > size": "c < 0 or c > size - 1"},
        ),
        Mistake(
            "the mean",
            "you took the mean of the two cells: the weights depend on `c`.",
            {"part = c - low": "part = 0.5"},
        ),
    ),
)
