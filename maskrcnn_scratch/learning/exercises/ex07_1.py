"""Exercise 7.1: the level of the pyramid that a RoI is read from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.fpn_levels import draw_fpn_levels
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.fpn_levels import fpn_level


def level_of(box: np.ndarray) -> int:
    """The level k of the pyramid, 2 to 5, that a RoI is read from.

    ``box`` is (x1, y1, x2, y2) in image pixels, with x2 > x1 and y2 > y1. With w and h
    its width and height, without + 1, k is 4 + log2(sqrt(w h) / 224), rounded down to a
    whole number; below 2 it is 2, above 5 it is 5.
    """
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    side = math.sqrt(w * h)
    k = math.floor(4 + math.log2(side / 224))
    return max(2, min(k, 5))


@st.composite
def boxes_of_all_levels(draw: st.DrawFn, low: int = 16, high: int = 3000) -> Inputs:
    """A box whose level is in no doubt: its side is not that at which one begins.

    Its sides are whole pixels within a factor of four of each other.
    """
    octaves = st.floats(math.log2(low), math.log2(high))
    octave, stretch = draw(octaves), draw(st.sampled_from((0.0, -0.5, 0.5, -1, 1)))
    w, h = round(2 ** (octave - stretch)), round(2 ** (octave + stretch))
    k = math.log2(math.sqrt(w * h) / 224)
    assume(abs(k - round(k)) > 1e-3)
    x, y = draw(st.integers(0, 300)), draw(st.integers(0, 300))
    return {"box": np.array([x, y, x + w, y + h], np.float64)}


def draw_levels(inputs: Inputs, expected: Any, got: Any) -> Figure:
    """The box on the rule, and on the maps of all levels."""
    box = inputs["box"]
    largest = math.ceil(max(box[2:].max(), 800) / 32) * 32
    figure, _ = draw_fpn_levels(box[None], (largest, largest))
    figure.suptitle(f"expected P{expected}, got {got}")
    return figure


EXERCISE = Exercise(
    id="ex07_1",
    title="The level of a RoI",
    objective="Choose the level of the pyramid that a RoI is read from.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `level_of(box)`: equation 1 of the FPN paper with $k_0 = 4$, for the "
        "levels P2 to P5."
    ),
    hints=(
        "`math.sqrt`, `math.log2` and `math.floor` are all that the formula needs.",
        "Only the area of the box counts: `side = math.sqrt(w * h)`.",
        "Round down first, then keep the result between 2 and 5 with `max` and `min`.",
    ),
    solution=level_of,
    imports="import math\n\nimport numpy as np",
    laws=(
        Law(
            "The level is that of the specification.", boxes_of_all_levels(), fpn_level
        ),
        Law(
            "A box twice as wide and twice as high is read one level higher.",
            boxes_of_all_levels(low=60, high=200),
            expected=lambda box: 1,
            got=lambda f, box: f(2 * box) - f(box),
        ),
    ),
    mistakes=(
        Mistake(
            "round",
            "you took the nearest whole number, as matterport's code does; the paper "
            "rounds down, so a box of 159 to 223 pixels stays on P3.",
            {"math.floor(": "round("},
        ),
        Mistake(
            "ceil",
            "you are one level too high: the paper rounds down, and k0 = 4.",
            {"floor": "ceil"},
        ),
        Mistake(
            "not rounded",
            "you did not round k to a whole number: round it down.",
            {"math.floor(4 + math.log2(side / 224))": "4 + math.log2(side / 224)"},
        ),
        Mistake(
            "area for side",
            "you put the area w h into the logarithm: take its square root first.",
            {"math.sqrt(w * h)": "w * h"},
        ),
        Mistake(
            "natural logarithm",
            "you took the natural logarithm; levels differ by a factor of two, so the "
            "base is 2.",
            {"math.log2": "math.log"},
        ),
        Mistake(
            "no least level",
            "you let small boxes go below P2, where there is no map: clamp k to 2.",
            {"max(2, min(k, 5))": "min(k, 5)"},
        ),
        Mistake(
            "no greatest level",
            "you let large boxes go above P5, where RoIs are not read: clamp k to 5.",
            {"max(2, min(k, 5))": "max(2, k)"},
        ),
        Mistake(
            "P6",
            "you let RoIs go to P6; that level is for the RPN's largest anchors alone.",
            {"min(k, 5)": "min(k, 6)"},
        ),
        Mistake(
            "corners for sides",
            "you took x2 and y2 for the width and the height: where a box stands must "
            "not change its level.",
            {"w, h = x2 - x1, y2 - y1": "w, h = x2, y2"},
        ),
        Mistake(
            "longer side",
            "you took the longer side; the level depends on sqrt(w h).",
            {"math.sqrt(w * h)": "max(w, h)"},
        ),
        Mistake(
            "shorter side",
            "you took the shorter side; the level depends on sqrt(w h).",
            {"math.sqrt(w * h)": "min(w, h)"},
        ),
        Mistake(
            "24 x 224",
            "you took the root of 24 x 224, as one write-up prints it; a box of "
            "224 x 224 is meant, whose side is 224.",
            {"side / 224": "side / math.sqrt(24 * 224)"},
        ),
        Mistake(
            "wrong way",
            "you gave large boxes the fine levels: k grows with the box.",
            {"4 + math": "4 - math"},
        ),
    ),
    draw=draw_levels,
)
