"""Exercise 1.3: the gradient of a reading, sent back to the cells."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.strategies import sixteenths
from maskrcnn_scratch.reference.bilinear import (
    bilinear_grad,
)


def spread(shape: tuple[int, int], y: float, x: float, gradient: float) -> np.ndarray:
    """The gradient by the map of one reading at (y, x), times ``gradient``.

    Args:
        shape: (height, width) of the map that was read.
        y, x: where, in index coordinates, with 0 <= y <= height - 1 and the same for x.
        gradient: of the loss by the value that was read.

    Returns the gradient of the loss by each cell, (height, width).
    """
    height, width = shape
    cells = np.zeros(shape)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, along = y - top, x - left
    cells[top, left] += (1 - down) * (1 - along) * gradient
    cells[top, right] += (1 - down) * along * gradient
    cells[bottom, left] += down * (1 - along) * gradient
    cells[bottom, right] += down * along * gradient
    return cells


@st.composite
def readings(draw: st.DrawFn) -> Inputs:
    """A place between the cells of a map, and the gradient that comes back to it."""
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return {
        "shape": (height, width),
        "y": draw(sixteenths(0, height - 1)),
        "x": draw(sixteenths(0, width - 1)),
        "gradient": float(draw(st.integers(-4, 4))),
    }


def spread_of(
    shape: tuple[int, int], y: float, x: float, gradient: float
) -> np.ndarray:
    """The specification: whatever the map holds, so zeros will do."""
    return gradient * bilinear_grad(np.zeros(shape), y, x)[0]


EXERCISE = Exercise(
    id="ex01_3",
    title="The way back",
    objective="Send a gradient back through bilinear interpolation to the cells.",
    difficulty=2,
    minutes=15,
    task=(
        "Reading a map at (y, x) is a weighted sum of four cells. Write "
        "`spread(shape, y, x, gradient)`: how the loss changes with each cell, if it "
        "changes with the value that was read by `gradient`."
    ),
    hints=(
        "value = sum of weight times cell, so the derivative by a cell is its weight.",
        "Cells that were not read get 0; the four others `gradient` times their "
        "weight, the product of a part along y and a part along x.",
        "At the last row or column two of the four are the same cell: add, do not "
        "overwrite.",
    ),
    solution=spread,
    laws=(
        Law("The gradient is that of the specification.", readings(), spread_of),
        Law(
            "What is sent back adds up to what came: the weights sum to 1.",
            readings(),
            expected=lambda shape, y, x, gradient: gradient,
            got=lambda f, *a, **k: float(np.sum(f(*k.values()))),
        ),
    ),
    mistakes=(
        Mistake(
            "overwriting",
            "you wrote with `=` where two of the four cells are the same: add with "
            "`+=`, or the second write wipes out the first.",
            {
                "cells[top, right] +=": "cells[top, right] =",
                "cells[bottom, left] +=": "cells[bottom, left] =",
                "cells[bottom, right] +=": "cells[bottom, right] =",
            },
        ),
        Mistake(
            "nearest cell",
            "you sent all of it to one cell, as reading the nearest cell would.",
            {"y - top, x - left": "float(y - top >= 0.5), float(x - left >= 0.5)"},
        ),
        Mistake(
            "equal parts",
            "you gave each of the four cells a quarter: a cell's part is its weight.",
            {"y - top, x - left": "0.5, 0.5"},
        ),
        Mistake(
            "x for y",
            "you exchanged y and x: the first index of a map is its row, y.",
            {"y - top, x - left": "x - left, y - top"},
        ),
        Mistake(
            "weights exchanged",
            "you gave the cells the weights of those opposite.",
            {"y - top, x - left": "1 - (y - top), 1 - (x - left)"},
        ),
        Mistake(
            "gradient forgotten",
            "you returned the weights: multiply them with the gradient that came.",
            {"cells = np.zeros(shape)": "cells, gradient = np.zeros(shape), 1.0"},
        ),
        Mistake(
            "past the end",
            "you wrote to a row or column after the last one.",
            {"min(top + 1, height - 1), min(left + 1, width - 1)": "top + 1, left + 1"},
        ),
        Mistake(
            "three cells",
            "you left out the cell at the lower right.",
            {"cells[bottom, right] += down * along * gradient": "pass"},
        ),
        Mistake(
            "summed weights",
            "you added a cell's weights along y and x; its weight is their product.",
            {
                "(1 - down) * (1 - along)": "((1 - down) + (1 - along)) / 4",
                "(1 - down) * along": "((1 - down) + along) / 4",
                "down * (1 - along)": "(down + (1 - along)) / 4",
                "down * along *": "(down + along) / 4 *",
            },
        ),
    ),
)
