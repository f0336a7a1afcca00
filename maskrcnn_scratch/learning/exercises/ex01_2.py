"""Exercise 1.2: a feature map, read between four cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.bilinear import draw_read
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.exercises.ex01_1 import HALF_PIXEL
from maskrcnn_scratch.learning.strategies import maps, sixteenths
from maskrcnn_scratch.reference.bilinear import (
    bilinear,
)


def read_map(feature_map: np.ndarray, y: float, x: float) -> float:
    """The value of a feature map at row coordinate ``y`` and column coordinate ``x``.

    ``feature_map`` has the shape (height, width); cell (i, j) sits at y = i, x = j.
    On both axes the border's rule is that of ``read_line``: outside of [-1, size] the
    value is 0, and up to there the border cell's coordinate stands for ``y`` or ``x``.
    """
    height, width = feature_map.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y = min(max(y, 0.0), height - 1.0)
    x = min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, along = y - top, x - left
    upper = (1 - along) * feature_map[top, left] + along * feature_map[top, right]
    lower = (1 - along) * feature_map[bottom, left] + along * feature_map[bottom, right]
    return float((1 - down) * upper + down * lower)


@st.composite
def maps_and_places(draw: st.DrawFn) -> Inputs:
    """A small map, and a place on it or a little outside."""
    feature_map = draw(maps(largest=4))
    height, width = feature_map.shape
    y = draw(sixteenths(-2, height + 1))
    x = draw(sixteenths(-2, width + 1))
    return {"feature_map": feature_map, "y": y, "x": x}


@st.composite
def ramps(draw: st.DrawFn) -> Inputs:
    """The map a + b y + c x, and a place between its cells."""
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    a, b, c = (draw(st.integers(-5, 5)) for _ in range(3))
    rows, columns = np.mgrid[:height, :width]
    return {
        "feature_map": a + b * rows + c * columns.astype(np.float64),
        "y": draw(sixteenths(0, height - 1)),
        "x": draw(sixteenths(0, width - 1)),
    }


def ramp_at(feature_map: np.ndarray, y: float, x: float) -> float:
    """A ramp's value at a place, from its slopes."""
    down = feature_map[1, 0] - feature_map[0, 0] if len(feature_map) > 1 else 0.0
    along = feature_map[0, 1] - feature_map[0, 0] if feature_map.shape[1] > 1 else 0.0
    return float(feature_map[0, 0] + down * y + along * x)


def draw_reading(inputs: Inputs, expected: Any, got: Any) -> Figure:
    """The right reading, weights as areas, and what came in the title."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    draw_read(axes, inputs["feature_map"], inputs["y"], inputs["x"])
    axes.set_title(f"expected {expected:.6g}, got {float(got):.6g}")
    return figure


EXERCISE = Exercise(
    id="ex01_2",
    title="Between four cells",
    objective="Read a feature map at a real point, as RoIAlign does.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `read_map(feature_map, y, x)`: bilinear interpolation with the border's "
        "rule of the published RoIAlign."
    ),
    hints=(
        "Treat `y` and `x` alike, and one after the other: border, clamp, the cell "
        "before and the cell after, the part beyond it.",
        "Mix along x twice, in the row above and in the row below; then mix these two "
        "along y.",
        "With `down = y - top` the row below has the weight `down`, the row above "
        "`1 - down`.",
    ),
    solution=read_map,
    laws=(
        Law("The value is that of the specification.", maps_and_places(), bilinear),
        Law("On a ramp a + b y + c x it is exact between the cells.", ramps(), ramp_at),
    ),
    mistakes=(
        Mistake(
            "half a cell",
            HALF_PIXEL,
            {
                "    top, left": "    y, x = max(y - 0.5, 0), max(x - 0.5, 0)\n"
                "    top, left"
            },
        ),
        Mistake(
            "x for y",
            "you exchanged y and x: the first index of a map is its row, y.",
            {
                "    height, width = feature_map.shape\n": "    feature_map = "
                "feature_map.T\n    height, width = feature_map.shape\n"
            },
        ),
        Mistake(
            "weights exchanged",
            "you gave the cells the weights of those opposite: the weight of a cell "
            "falls with its distance.",
            {"y - top, x - left": "1 - (y - top), 1 - (x - left)"},
        ),
        Mistake(
            "floor",
            "you took the cell above and to the left alone: that is rounding down.",
            {"y - top, x - left": "0.0, 0.0"},
        ),
        Mistake(
            "nearest cell",
            "you took the nearest cell alone: that is rounding, not mixing.",
            {"y - top, x - left": "float(y - top >= 0.5), float(x - left >= 0.5)"},
        ),
        Mistake(
            "past the end",
            "you read a row or column after the last one: clamp the second index too.",
            {"min(top + 1, height - 1), min(left + 1, width - 1)": "top + 1, left + 1"},
        ),
        Mistake(
            "no border",
            "you return the border cell's value however far outside the point lies; "
            "beyond -1 and the size the value is 0.",
            {"y < -1 or y > height or x < -1 or x > width": "False"},
        ),
        Mistake(
            "border of the other axis",
            "you compared y with the width and x with the height.",
            {"y > height or x < -1 or x > width": "y > width or x < -1 or x > height"},
        ),
        Mistake(
            "zero outside of the cells",
            "you return 0 as soon as the point leaves the cells' centres; the border "
            "cells still reach one cell further.",
            {
                "y < -1 or y > height or x < -1 or x > width": "y < 0 or y > height - 1"
                " or x < 0 or x > width - 1"
            },
        ),
        Mistake(
            "one axis",
            "you mixed along x alone: the rows above and below must be mixed too.",
            {"(1 - down) * upper + down * lower": "upper"},
        ),
    ),
    draw=draw_reading,
)
