"""Exercise 14.3: from a map back to a point in the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Function, Inputs, Law, Mistake
from maskrcnn_scratch.reference.keypoints import keypoint_readout, keypoint_targets


def read_point(logits: np.ndarray, box: np.ndarray) -> tuple[float, float]:
    """(x, y) of the centre of a map's best bin, in image pixels.

    ``logits`` has the shape (m, m), row by row, and no two equal values. ``box`` is
    (x1, y1, x2, y2) in image pixels; the map's m x m equal bins cover it.
    """
    size = len(logits)
    x1, y1, x2, y2 = box
    row, column = divmod(int(logits.argmax()), size)
    x = x1 + (column + 0.5) * (x2 - x1) / size
    y = y1 + (row + 0.5) * (y2 - y1) / size
    return float(x), float(y)


@st.composite
def maps_and_boxes(draw: st.DrawFn) -> Inputs:
    """A map of different whole numbers, and a box of whole pixels."""
    size = draw(st.integers(1, 4))
    values = draw(st.permutations(range(size * size)))
    x1, y1 = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    w, h = draw(st.integers(1, 16)), draw(st.integers(1, 16))
    return {
        "logits": np.array(values, np.float64).reshape(size, size) - 4,
        "box": np.array([x1, y1, x1 + w, y1 + h], np.float64),
    }


def point_of(logits: np.ndarray, box: np.ndarray) -> tuple[float, float]:
    """The specification, of one map."""
    x, y, _ = keypoint_readout(logits[None, None], box[None])[0, 0]
    return float(x), float(y)


def bin_of_point(function: Function, logits: np.ndarray, box: np.ndarray) -> Any:
    """The bin, as training would make it, of the point that was read."""
    x, y = function(logits, box)
    keypoint = np.array([[[float(x), float(y), 2.0]]])
    index, valid = keypoint_targets(keypoint, box[None], len(logits))
    return int(index[0, 0]) if valid[0, 0] else -1


EXERCISE = Exercise(
    id="ex14_3",
    title="Back to the image",
    objective="Read a keypoint from its map, without losing half a bin.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `read_point(logits, box)`: where in the image the best bin of a map has "
        "its centre."
    ),
    hints=(
        "`logits.argmax()` is a flat index; `divmod(flat, size)` gives row and column.",
        "A bin is (x2 - x1) / size pixels wide, and column c of them lie before bin c.",
        "The centre is half a bin further: x1 + (column + 0.5) * (x2 - x1) / size.",
    ),
    solution=read_point,
    laws=(
        Law("The point is that of the specification.", maps_and_boxes(), point_of),
        Law(
            "Made a target again, the point gives the best bin.",
            maps_and_boxes(),
            expected=lambda logits, box: int(logits.argmax()),
            got=bin_of_point,
        ),
    ),
    mistakes=(
        Mistake(
            "corner of the bin",
            "you returned the bin's upper left corner: its centre is half a bin "
            "further, or all points move to the upper left.",
            {"(column + 0.5)": "column", "(row + 0.5)": "row"},
        ),
        Mistake(
            "far corner",
            "you returned the bin's lower right corner: its centre is half a bin back.",
            {"(column + 0.5)": "(column + 1)", "(row + 0.5)": "(row + 1)"},
        ),
        Mistake(
            "half a pixel",
            "you added half a pixel: half a bin is (x2 - x1) / size / 2 pixels.",
            {
                "(column + 0.5) * (x2 - x1) / size": "column * (x2 - x1) / size + 0.5",
                "(row + 0.5) * (y2 - y1) / size": "row * (y2 - y1) / size + 0.5",
            },
        ),
        Mistake(
            "x for y",
            "you exchanged rows and columns: the flat index is row * m + column.",
            {"row, column = divmod": "column, row = divmod"},
        ),
        Mistake(
            "y before x",
            "you returned (y, x): (x, y) is wanted.",
            {"float(x), float(y)": "float(y), float(x)"},
        ),
        Mistake(
            "in the box",
            "you counted from the box's corner: add x1 and y1.",
            {"x = x1 + ": "x = ", "y = y1 + ": "y = "},
        ),
        Mistake(
            "corners aligned",
            "you spread the bins' centres from edge to edge of the box: they begin "
            "half a bin inside.",
            {
                "(column + 0.5) * (x2 - x1) / size": "column * (x2 - x1) / "
                "max(size - 1, 1)",
                "(row + 0.5) * (y2 - y1) / size": "row * (y2 - y1) / max(size - 1, 1)",
            },
        ),
        Mistake(
            "width for height",
            "you exchanged the width and the height of the box.",
            {
                "(column + 0.5) * (x2 - x1)": "(column + 0.5) * (y2 - y1)",
                "(row + 0.5) * (y2 - y1)": "(row + 0.5) * (x2 - x1)",
            },
        ),
        Mistake(
            "side with + 1",
            "you gave the box x2 - x1 + 1 pixels: it is x2 - x1 wide.",
            {"(x2 - x1)": "(x2 - x1 + 1)", "(y2 - y1)": "(y2 - y1 + 1)"},
        ),
        Mistake(
            "the mean place",
            "you took the mean place under the softmax: the read-out is the best bin.",
            {
                "row, column = divmod(int(logits.argmax()), size)": "p = "
                "np.exp(logits) / np.exp(logits).sum()\n"
                "    row = (p.sum(axis=1) * np.arange(size)).sum()\n"
                "    column = (p.sum(axis=0) * np.arange(size)).sum()"
            },
        ),
        Mistake(
            "worst bin",
            "you took the least logit: the greatest is the best.",
            {"argmax": "argmin"},
        ),
        Mistake(
            "whole pixels",
            "you rounded the point down to whole pixels.",
            {"float(x), float(y)": "float(int(x)), float(int(y))"},
        ),
    ),
)
