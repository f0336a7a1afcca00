"""Exercise 2.4: the gradient of a maximum, sent back to the cell that won."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.roi_pool import roi_pool_backward


def pool_backward(
    gradient: np.ndarray, argmax: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """The gradient by the map, of a pooling of one RoI.

    ``gradient`` and ``argmax`` have the shape (row bins, column bins): how the loss
    changes with each bin's maximum, and where that maximum stood, as a flat index
    ``row * width + column``; -1 where the bin had no cell. ``shape`` is the map's,
    (height, width), and that of what is returned. A cell that won several bins gets the
    sum of their gradients.
    """
    height, width = shape
    cells = np.zeros((height, width))
    for (i, j), place in np.ndenumerate(argmax):
        if place >= 0:
            row, column = place // width, place % width
            cells[row, column] += gradient[i, j]
    return cells


@st.composite
def poolings(draw: st.DrawFn) -> Inputs:
    """Bins whose winners coincide now and then, and bins without a winner."""
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    bins = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    count = bins[0] * bins[1]
    places = st.integers(-1, height * width - 1)
    argmax = draw(st.lists(places, min_size=count, max_size=count))
    steps = st.sampled_from([1, 2, 4, -1, -3, 8, 16])
    gradient = draw(st.lists(steps, min_size=count, max_size=count))
    return {
        "gradient": np.array(gradient, np.float64).reshape(bins),
        "argmax": np.array(argmax).reshape(bins),
        "shape": (height, width),
    }


def backward_by_reference(
    gradient: np.ndarray, argmax: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """The specification, for one RoI and one channel."""
    one = np.zeros((1, 5))
    size = (1, 1, *shape)
    back = roi_pool_backward(gradient[None, None], argmax[None, None], one, size)
    return np.asarray(back[0, 0])


EXERCISE = Exercise(
    id="ex02_4",
    title="Back to the winners",
    objective="Send a gradient back through a maximum.",
    difficulty=1,
    minutes=10,
    task=(
        "A maximum changes with the cell that won and with no other. Write "
        "`pool_backward(gradient, argmax, shape)`."
    ),
    hints=(
        "Start with zeros of the map's shape; each bin adds its gradient at one cell.",
        "The cell of a flat index is `divmod(index, width)`: row and column.",
        "Leave out the bins with index -1: in NumPy `cells[-1]` is the last row. And "
        "add with `+=` in a loop, since several bins may name one cell "
        "(`cells.flat[argmax] += gradient` keeps one of them; `np.add.at` adds all).",
    ),
    solution=pool_backward,
    laws=(
        Law(
            "The gradient is that of the specification.",
            poolings(),
            backward_by_reference,
        ),
        Law(
            "What comes back adds up to the gradients of the bins that have a cell.",
            poolings(),
            expected=lambda gradient, argmax, shape: gradient[argmax >= 0].sum(),
            got=lambda f, gradient, argmax, shape: float(
                np.asarray(f(gradient, argmax, shape)).sum()
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "overwriting",
            "you overwrote what stood there: a cell that won several bins gets the sum "
            "of their gradients.",
            {"cells[row, column] +=": "cells[row, column] ="},
        ),
        Mistake(
            "index array",
            "you added with an index array. That counts a cell once, however often it "
            "won, and takes the index -1 of an empty bin for the last cell.",
            """
            cells = np.zeros(shape)
            cells.flat[argmax] += gradient
            return cells
            """,
        ),
        Mistake(
            "empty bins",
            "you sent the gradient of a bin without cells somewhere: index -1 means "
            "nowhere, and NumPy takes it for the last cell.",
            {"if place >= 0": "if True"},
        ),
        Mistake(
            "cell 0 forgotten",
            "you left out index 0, which is the first cell of the map; only -1 means "
            "that there is none.",
            {"place >= 0": "place > 0"},
        ),
        Mistake(
            "height for width",
            "you divided the index by the height: each row has `width` cells.",
            {
                "place // width, place % width": "place // height % height, "
                "place % height % width"
            },
        ),
        Mistake(
            "transposed",
            "you exchanged rows and columns: `place // width` is the row.",
            {"    return cells": "    return cells.T"},
        ),
        Mistake(
            "to all cells",
            "you shared the gradient among all cells, as a mean would; a maximum gives "
            "all of it to the winner.",
            {
                "cells[row, column] += gradient[i, j]": (
                    "cells += gradient[i, j] / cells.size"
                )
            },
        ),
        Mistake(
            "gradient forgotten",
            "you counted how often a cell won; add up the gradients.",
            {"gradient[i, j]": "1.0"},
        ),
        Mistake(
            "sign",
            "you turned the sign round: what grows with the maximum grows with the "
            "winner.",
            {"+= gradient[i, j]": "-= gradient[i, j]"},
        ),
        Mistake(
            "mean of several",
            "you took the mean where a cell won several bins; gradients add up.",
            {"+= gradient[i, j]": "+= gradient[i, j] / np.sum(argmax == place)"},
        ),
        Mistake(
            "bins transposed",
            "you read the gradient of another bin than the index: both arrays have the "
            "shape (row bins, column bins).",
            {"gradient[i, j]": "gradient.reshape(gradient.shape[::-1]).T[i, j]"},
        ),
    ),
)
