"""Exercise 3.3: the gradient of RoIAlign, sent back to the cells."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.exercises.ex03_2 import align_by_reference, readings
from maskrcnn_scratch.reference.bilinear import bilinear_taps
from maskrcnn_scratch.reference.roi_align import roi_align_backward


def align_backward(
    gradient: np.ndarray,
    shape: tuple[int, int],
    box: np.ndarray,
    stride: int,
    samples: int,
) -> np.ndarray:
    """The gradient by the map, of RoIAlign (mean, aligned) of one box, one channel.

    ``gradient``, (rows, columns), is that of the loss by each bin; ``shape`` is the
    map's, (height, width), and that of what is returned. ``box`` is (x1, y1, x2, y2) in
    image pixels, of which ``stride`` make a cell. Forward, a bin is the mean of
    samples x samples readings; ``bilinear_taps(size, c)`` names the cells (index,
    weight) that a reading mixes on an axis.
    """
    x1, y1, x2, y2 = box / stride - 0.5
    rows, columns = gradient.shape
    high, wide = (y2 - y1) / rows, (x2 - x1) / columns
    cells = np.zeros(shape)
    for i, j, s, t in np.ndindex(rows, columns, samples, samples):
        y = y1 + (i + (s + 0.5) / samples) * high
        x = x1 + (j + (t + 0.5) / samples) * wide
        share = gradient[i, j] / samples**2
        for row, y_weight in bilinear_taps(shape[0], y):
            for column, x_weight in bilinear_taps(shape[1], x):
                cells[row, column] += share * y_weight * x_weight
    return cells


@st.composite
def gradients(draw: st.DrawFn) -> Inputs:
    """What comes back to the bins of a box, and the map that the box was read from."""
    read = draw(readings())
    count = int(np.prod(read["output_size"]))
    values = draw(st.lists(st.integers(-4, 4), min_size=count, max_size=count))
    return {
        "gradient": np.array(values, np.float64).reshape(read["output_size"]),
        "shape": read["feature_map"].shape,
        "box": read["box"],
        "stride": read["stride"],
        "samples": read["samples"],
    }


@st.composite
def pairs(draw: st.DrawFn) -> Inputs:
    """The same, and a map of that shape."""
    given = draw(gradients())
    count = int(np.prod(given["shape"]))
    values = draw(st.lists(st.integers(-4, 4), min_size=count, max_size=count))
    feature_map = np.array(values, np.float64).reshape(given["shape"])
    return {**given, "feature_map": feature_map}


def backward_by_reference(
    gradient: np.ndarray,
    shape: tuple[int, int],
    box: np.ndarray,
    stride: int,
    samples: int,
) -> np.ndarray:
    """The specification: whatever the map holds, so zeros will do."""
    features, rois = np.zeros((1, 1, *shape)), np.array([[0, *box]])
    back = roi_align_backward(gradient[None, None], features, rois, 1 / stride, samples)
    return np.asarray(back[0, 0])


def forward_product(
    gradient: np.ndarray,
    shape: tuple[int, int],
    box: np.ndarray,
    stride: int,
    samples: int,
    feature_map: np.ndarray,
) -> float:
    """<gradient, A map>: the forward specification, times the gradient, added up."""
    out = align_by_reference(feature_map, box, stride, gradient.shape, samples)
    return float((gradient * out).sum())


EXERCISE = Exercise(
    id="ex03_3",
    title="RoIAlign, backward",
    objective="Send the gradient of RoIAlign back, as the adjoint of the forward pass.",
    difficulty=3,
    minutes=20,
    task=(
        "RoIAlign is linear in the map: out = A map, where A holds the weights of the "
        "cells in each bin. So the gradient by the map is A transposed times the "
        "gradient by the output. Write `align_backward(gradient, shape, box, stride, "
        "samples)`. `bilinear_taps` of chapter 1 is already imported."
    ),
    hints=(
        "Take the forward pass and keep its loops: the same bins, the same points. "
        "Only the last step turns round: instead of reading cells, add to them.",
        "Each of a bin's samples x samples readings gets the bin's gradient divided by "
        "their number, and hands it to the cells that it mixed, by their weights.",
        "`for row, y_weight in bilinear_taps(shape[0], y)`, the same for the columns, "
        "then `cells[row, column] += gradient[i, j] / samples**2 * y_weight * "
        "x_weight`.",
    ),
    solution=align_backward,
    laws=(
        Law(
            "The gradient is that of the specification.",
            gradients(),
            backward_by_reference,
        ),
        Law(
            "It is the adjoint: <gradient, A map> = <A^T gradient, map>.",
            pairs(),
            expected=forward_product,
            got=lambda f, feature_map, **inputs: float(
                (np.asarray(f(*inputs.values())) * feature_map).sum()
            ),
        ),
        Law(
            "What comes back adds up to what came, as all weights add up to 1.",
            gradients(),
            expected=lambda gradient, **_: float(gradient.sum()),
            got=lambda f, **inputs: float(np.asarray(f(*inputs.values())).sum()),
        ),
    ),
    mistakes=(
        Mistake(
            "not divided",
            "you gave each reading the whole gradient of its bin; forward it counts "
            "1 / samples**2, and so it does backward.",
            {" / samples**2": ""},
        ),
        Mistake(
            "divided once",
            "you divided by `samples`; a bin has samples times samples readings.",
            {"samples**2": "samples"},
        ),
        Mistake(
            "overwriting",
            "you overwrote what stood in the cell: a cell is read many times, and gets "
            "the sum.",
            {"cells[row, column] +=": "cells[row, column] ="},
        ),
        Mistake(
            "half a cell forgotten",
            "you went half a cell too far to the right and down: the index coordinate "
            "is x / stride less 1/2.",
            {"box / stride - 0.5": "box / stride"},
        ),
        Mistake(
            "x for y in the box",
            "you took the box for (y1, x1, y2, x2); it is (x1, y1, x2, y2).",
            {"x1, y1, x2, y2 =": "y1, x1, y2, x2 ="},
        ),
        Mistake(
            "one reading",
            "you sent all of a bin's gradient through its centre; it was read at "
            "samples times samples points.",
            {"(s + 0.5) / samples": "0.5", "(t + 0.5) / samples": "0.5"},
        ),
        Mistake(
            "nearest cell",
            "you sent each reading's share to the nearest cell; all cells that it "
            "mixed get their weight's part.",
            {
                "bilinear_taps(shape[0], y)": "bilinear_taps(shape[0], round(y))",
                "bilinear_taps(shape[1], x)": "bilinear_taps(shape[1], round(x))",
            },
        ),
        Mistake(
            "equal parts",
            "you gave each of the four cells a quarter; a cell gets its weight's part.",
            {"share * y_weight * x_weight": "share / 4"},
        ),
        Mistake(
            "one weight",
            "you multiplied with the weight of the column alone; a cell's weight is "
            "row weight times column weight.",
            {"share * y_weight * x_weight": "share * x_weight"},
        ),
        Mistake(
            "gradient forgotten",
            "you added up weights; each is multiplied with the bin's gradient.",
            {"gradient[i, j]": "1.0"},
        ),
        Mistake(
            "RoI rounded",
            "you rounded the box to whole cells: that is RoIWarp. RoIAlign rounds "
            "nothing, forward or backward.",
            {"box / stride - 0.5": "np.floor(box / stride + 0.5) - 0.5"},
        ),
        Mistake(
            "transposed",
            "you exchanged rows and columns of the map.",
            {"    return cells": "    return cells.T"},
        ),
    ),
    imports=(
        "import numpy as np\n\n"
        "from maskrcnn_scratch.reference.bilinear import bilinear_taps"
    ),
)
