"""Exercise 4.2: the deltas that move an anchor onto a box."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.exercises.ex04_1 import small_boxes
from maskrcnn_scratch.reference.boxes import encode_boxes

Weights = tuple[float, float, float, float]

INCLUSIVE = (
    "you counted x2 - x1 + 1. Coordinates are borders of pixels here: a box is "
    "x2 - x1 wide."
)


def encode(
    anchors: np.ndarray,
    boxes: np.ndarray,
    weights: tuple[float, float, float, float],
) -> np.ndarray:
    """The deltas (dx, dy, dw, dh) that move each anchor onto its box.

    ``anchors`` and ``boxes`` have the shape (n, 4); row i of the one belongs to row i
    of the other. They are (x1, y1, x2, y2) in continuous image pixels, and all have an
    area. With centres (x, y), (xa, ya) and sides w, h, wa, ha, before the weights:

        dx = (x - xa) / wa      dy = (y - ya) / ha
        dw = log(w / wa)        dh = log(h / ha)

    Each is then multiplied with its weight. Returns an array (n, 4).
    """
    wa, ha = anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    xa, ya = anchors[:, 0] + wa / 2, anchors[:, 1] + ha / 2
    x, y = boxes[:, 0] + w / 2, boxes[:, 1] + h / 2
    dx, dy = (x - xa) / wa, (y - ya) / ha
    dw, dh = np.log(w / wa), np.log(h / ha)
    deltas: np.ndarray = np.stack([dx, dy, dw, dh], axis=1) * np.array(weights)
    return deltas


def box_weights() -> st.SearchStrategy[Weights]:
    """None, those of the published box heads, and four different ones."""
    return st.sampled_from([(1.0,) * 4, (10.0, 10.0, 5.0, 5.0), (2.0, 3.0, 4.0, 5.0)])


@st.composite
def anchors_and_boxes(draw: st.DrawFn) -> Inputs:
    """Anchors, each with the box that it should become."""
    count = draw(st.integers(1, 3))
    return {
        "anchors": draw(small_boxes(count, smallest=1)),
        "boxes": draw(small_boxes(count, smallest=1)),
        "weights": draw(box_weights()),
    }


def deltas_of(anchors: np.ndarray, boxes: np.ndarray, weights: Weights) -> np.ndarray:
    """The specification."""
    return encode_boxes(anchors, boxes, weights)


EXERCISE = Exercise(
    id="ex04_2",
    title="From an anchor to a box",
    objective="Express a box by its difference to an anchor, as a network learns it.",
    difficulty=1,
    minutes=15,
    task=(
        "Write `encode(anchors, boxes, weights)`: the four numbers that the network "
        "is trained to predict, for each pair of an anchor and a box."
    ),
    hints=(
        "First bring both boxes to centre and sides: the centre is x1 + w / 2, with "
        "w = x2 - x1.",
        "The anchor is the measure: divide by **its** sides, x by the width and y by "
        "the height.",
        "`np.stack([dx, dy, dw, dh], axis=1) * np.array(weights)` puts the columns "
        "together.",
    ),
    solution=encode,
    laws=(
        Law("Deltas are those of the specification.", anchors_and_boxes(), deltas_of),
        Law(
            "Moving and enlarging both boxes together leaves the deltas as they are.",
            anchors_and_boxes(),
            expected=lambda anchors, boxes, weights: np.zeros(boxes.shape),
            got=lambda f, anchors, boxes, weights: (
                np.asarray(f(3 * anchors + 5, 3 * boxes + 5, weights))
                - np.asarray(f(anchors, boxes, weights))
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "corner for centre",
            "you took the distance of the upper left corners; dx and dy are those of "
            "the centres.",
            {
                "anchors[:, 0] + wa / 2, anchors[:, 1] + ha / 2": "anchors[:, 0], "
                "anchors[:, 1]",
                "boxes[:, 0] + w / 2, boxes[:, 1] + h / 2": "boxes[:, 0], boxes[:, 1]",
            },
        ),
        Mistake(
            "centre without the half",
            "you took x1 + w for the centre, which is x2; the centre is x1 + w / 2.",
            {
                "anchors[:, 0] + wa / 2, anchors[:, 1] + ha / 2": "anchors[:, 0] + wa, "
                "anchors[:, 1] + ha",
                "+ w / 2, boxes[:, 1] + h / 2": "+ w, boxes[:, 1] + h",
            },
        ),
        Mistake(
            "inclusive ends",
            INCLUSIVE,
            {
                "anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]": ""
                "anchors[:, 2] - anchors[:, 0] + 1, anchors[:, 3] - anchors[:, 1] + 1",
                "boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]": "boxes[:, 2] - "
                "boxes[:, 0] + 1, boxes[:, 3] - boxes[:, 1] + 1",
            },
        ),
        Mistake(
            "measured in the box's sides",
            "you divided dx and dy by the box's sides; the anchor's are the measure, "
            "since the box is not known when the deltas are decoded.",
            {"(x - xa) / wa, (y - ya) / ha": "(x - xa) / w, (y - ya) / h"},
        ),
        Mistake(
            "in pixels",
            "you left dx and dy in pixels: divide them by the anchor's sides.",
            {"(x - xa) / wa, (y - ya) / ha": "x - xa, y - ya"},
        ),
        Mistake(
            "width for height",
            "you divided dx by the height and dy by the width.",
            {"(x - xa) / wa, (y - ya) / ha": "(x - xa) / ha, (y - ya) / wa"},
        ),
        Mistake(
            "away from the box",
            "your dx and dy lead from the box to the anchor; they lead from the anchor "
            "to the box.",
            {"(x - xa) / wa, (y - ya) / ha": "(xa - x) / wa, (ya - y) / ha"},
        ),
        Mistake(
            "ratio upside down",
            "you took log(wa / w): that shrinks where it should stretch.",
            {"np.log(w / wa), np.log(h / ha)": "np.log(wa / w), np.log(ha / h)"},
        ),
        Mistake(
            "no logarithm",
            "you left the logarithm out: dw is log(w / wa), 0 for equal sides.",
            {"np.log(w / wa), np.log(h / ha)": "w / wa, h / ha"},
        ),
        Mistake(
            "logarithm to base 2",
            "you took the logarithm to base 2; decoding uses exp, so it is the natural "
            "one.",
            {"np.log(w / wa), np.log(h / ha)": "np.log2(w / wa), np.log2(h / ha)"},
        ),
        Mistake(
            "weights divided",
            "you divided by the weights: encoding multiplies, decoding divides.",
            {"axis=1) * np": "axis=1) / np"},
        ),
        Mistake(
            "weights forgotten",
            "you left the weights out.",
            {" * np.array(weights)": ""},
        ),
        Mistake(
            "order",
            "you returned (dx, dw, dy, dh); the order is (dx, dy, dw, dh).",
            {"[dx, dy, dw, dh]": "[dx, dw, dy, dh]"},
        ),
    ),
)
