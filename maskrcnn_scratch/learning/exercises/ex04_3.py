"""Exercise 4.3: from an anchor and its deltas back to a box."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.box_answers import draw_box_answer
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.exercises.ex04_1 import small_boxes
from maskrcnn_scratch.learning.exercises.ex04_2 import (
    Weights,
    anchors_and_boxes,
    box_weights,
)
from maskrcnn_scratch.reference.boxes import decode_boxes, encode_boxes

PIXEL = 1e-3  # boxes of hundreds of pixels, also from float32


def decode(
    anchors: np.ndarray,
    deltas: np.ndarray,
    weights: tuple[float, float, float, float],
) -> np.ndarray:
    """The boxes that the deltas (dx, dy, dw, dh) make of the anchors.

    ``anchors`` has the shape (n, 4), (x1, y1, x2, y2) in continuous image pixels;
    ``deltas`` (n, 4) is as ``encode`` returns it, so it is divided by ``weights``
    first. Then dw and dh are cut to at most log(1000 / 16); downwards they are not
    limited, and dx and dy not at all. With centres (x, y), (xa, ya) and sides w, h,
    wa, ha:

        x = xa + dx wa      y = ya + dy ha
        w = wa exp(dw)      h = ha exp(dh)

    Returns the boxes (x1, y1, x2, y2), an array (n, 4).
    """
    wa, ha = anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]
    xa, ya = anchors[:, 0] + wa / 2, anchors[:, 1] + ha / 2
    dx, dy, dw, dh = (deltas / np.array(weights)).T
    largest = math.log(1000 / 16)
    dw, dh = np.minimum(dw, largest), np.minimum(dh, largest)
    x, y = xa + dx * wa, ya + dy * ha
    w, h = wa * np.exp(dw), ha * np.exp(dh)
    return np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)


@st.composite
def anchors_and_deltas(draw: st.DrawFn) -> Inputs:
    """Anchors and deltas, some so large that the clamp must hold them."""
    count = draw(st.integers(1, 3))
    shift = st.integers(-8, 8).map(lambda n: n / 4)
    stretch = st.sampled_from([0.0, 0.5, 1.0, -0.5, -1.0, -5.0, 2.0, 4.5, 8.0])
    weights = draw(box_weights())
    rows = [draw(st.tuples(shift, shift, stretch, stretch)) for _ in range(count)]
    return {
        "anchors": draw(small_boxes(count, smallest=1)),
        "deltas": np.array(rows) * np.array(weights),
        "weights": weights,
    }


def boxes_of(anchors: np.ndarray, deltas: np.ndarray, weights: Weights) -> np.ndarray:
    """The specification."""
    return decode_boxes(anchors, deltas, weights)


def draw_decoded(inputs: Inputs, expected: Any, got: Any) -> Figure | None:
    """The box that is most wrong, with its anchor."""
    right, mine = np.asarray(expected, float), np.asarray(got, float)
    if mine.shape != right.shape:
        return None
    figure = Figure(figsize=(6, 4.8), layout="constrained")
    draw_box_answer(figure.subplots(), right, mine, inputs["anchors"])
    return figure


EXERCISE = Exercise(
    id="ex04_3",
    title="From deltas to a box",
    objective="Turn what the network predicts into boxes, safely.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `decode(anchors, deltas, weights)`, the inverse of `encode`. A network "
        "early in training predicts wild numbers, and `exp` makes them wilder, so "
        "the logarithms dw and dh are clamped."
    ),
    hints=(
        "Turn each step of `encode` round, the last one first: divide by the weights, "
        "then clamp, then solve the four formulas for x, y, w and h.",
        "`dx, dy, dw, dh = (deltas / np.array(weights)).T` takes the columns apart; "
        "the clamp is `np.minimum(dw, math.log(1000 / 16))`.",
        "The deltas move the centre. The corners follow from it: x - w / 2 and "
        "x + w / 2, with the new w.",
    ),
    imports="import math\n\nimport numpy as np",
    solution=decode,
    laws=(
        Law(
            "The boxes are those of the specification.",
            anchors_and_deltas(),
            boxes_of,
            tolerance=PIXEL,
        ),
        Law(
            "Decoding is the inverse of encoding.",
            anchors_and_boxes(),
            expected=lambda anchors, boxes, weights: boxes,
            got=lambda f, anchors, boxes, weights: f(
                anchors, encode_boxes(anchors, boxes, weights), weights
            ),
            tolerance=PIXEL,
        ),
    ),
    mistakes=(
        Mistake(
            "no clamp",
            "you did not clamp dw and dh, so one wild prediction gives a box of "
            "thousands of pixels, and in float32 soon an infinite one.",
            {"np.minimum(dw, largest), np.minimum(dh, largest)": "dw, dh"},
        ),
        Mistake(
            "clamped on both sides",
            "you clamped dw and dh from below too; a side may shrink as far as it "
            "likes.",
            {
                "np.minimum(dw, largest), np.minimum(dh, largest)": "np.clip(dw, "
                "-largest, largest), np.clip(dh, -largest, largest)"
            },
        ),
        Mistake(
            "all four clamped",
            "you clamped dx and dy as well; only the two that go through exp are.",
            {
                "np.minimum(dw, largest), np.minimum(dh, largest)": "np.minimum(dw, "
                "largest), np.minimum(dh, largest)\n    dx, dy = np.clip(dx, -1, 1), "
                "np.clip(dy, -1, 1)"
            },
        ),
        Mistake(
            "sides of 1000 pixels",
            "you limited the sides to 1000 pixels; it is the factor by which a side "
            "grows that is limited, to 1000 / 16.",
            {
                "np.minimum(dw, largest), np.minimum(dh, largest)": "dw, dh",
                "wa * np.exp(dw), ha * np.exp(dh)": "np.minimum(wa * np.exp(dw), 1000),"
                " np.minimum(ha * np.exp(dh), 1000)",
            },
        ),
        Mistake(
            "clamped before the weights",
            "you clamped before you divided by the weights: the limit holds for the "
            "deltas without weights.",
            {
                "(deltas / np.array(weights)).T": "deltas.T",
                "np.minimum(dw, largest), np.minimum(dh, largest)": "np.minimum(dw, "
                "largest), np.minimum(dh, largest)\n"
                "    dx, dy, dw, dh = np.stack([dx, dy, dw, dh]) / np.array(weights)"
                "[:, None]",
            },
        ),
        Mistake(
            "weights multiplied",
            "you multiplied with the weights; encoding multiplies, decoding divides.",
            {"deltas / np": "deltas * np"},
        ),
        Mistake(
            "weights forgotten",
            "you left the weights out: divide the deltas by them first.",
            {"(deltas / np.array(weights)).T": "deltas.T"},
        ),
        Mistake(
            "no exponential",
            "you took dw for the relative growth, w = wa (1 + dw); it is a logarithm: "
            "w = wa exp(dw).",
            {"wa * np.exp(dw), ha * np.exp(dh)": "wa * (1 + dw), ha * (1 + dh)"},
        ),
        Mistake(
            "in pixels",
            "you added dx and dy as pixels; they are measured in the anchor's sides.",
            {"xa + dx * wa, ya + dy * ha": "xa + dx, ya + dy"},
        ),
        Mistake(
            "corner for centre",
            "you moved the upper left corner; dx and dy move the centre.",
            {
                "anchors[:, 0] + wa / 2, anchors[:, 1] + ha / 2": "anchors[:, 0], "
                "anchors[:, 1]",
                "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]": "[x, y, x + w, y + h]",
            },
        ),
        Mistake(
            "centre for corner",
            "you took the centre for the upper left corner of the box: go w / 2 to the "
            "left and to the right of it.",
            {"[x - w / 2, y - h / 2, x + w / 2, y + h / 2]": "[x, y, x + w, y + h]"},
        ),
        Mistake(
            "xywh",
            "you returned centre and sides; the corners are wanted.",
            {"[x - w / 2, y - h / 2, x + w / 2, y + h / 2]": "[x, y, w, h]"},
        ),
        Mistake(
            "the anchor's half",
            "you went half of the anchor's sides from the centre; the box has its own.",
            {
                "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]": "[x - wa / 2, "
                "y - ha / 2, x + wa / 2, y + ha / 2]"
            },
        ),
    ),
    draw=draw_decoded,
)
