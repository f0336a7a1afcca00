"""Exercise 5.1: the anchors of one cell."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.box_answers import draw_box_answer
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.anchors import cell_anchors


def anchors_of_a_cell(sizes: list[float], ratios: list[float]) -> np.ndarray:
    """The anchors of one cell, centred at (0, 0), as (x1, y1, x2, y2) in image pixels.

    For each size and each ratio one anchor, ``len(sizes) * len(ratios)`` in all:
    those of the first size first, in the order of the ratios. A size is the square
    root of the anchor's area, a ratio its height divided by its width. Nothing is
    rounded.

    Returns an array (anchors, 4).
    """
    anchors = []
    for size in sizes:
        for ratio in ratios:
            w = size / np.sqrt(ratio)
            h = size * np.sqrt(ratio)
            anchors.append((-w / 2, -h / 2, w / 2, h / 2))
    return np.array(anchors)


@st.composite
def sizes_and_ratios(draw: st.DrawFn) -> Inputs:
    """Up to three of each, in any order; ratios with roots that are easy to read."""
    size = st.integers(1, 24).map(float)
    ratio = st.sampled_from([1.0, 4.0, 0.25, 2.0, 0.5, 9.0])
    return {
        "sizes": draw(st.lists(size, min_size=1, max_size=3, unique=True)),
        "ratios": draw(st.lists(ratio, min_size=1, max_size=3, unique=True)),
    }


def areas_and_ratios(sizes: list[float], ratios: list[float]) -> np.ndarray:
    """Area, h / w and the centre of each anchor: (anchors, 4)."""
    return np.array([(s * s, r, 0, 0) for s in sizes for r in ratios])


def measured(f: Any, sizes: list[float], ratios: list[float]) -> np.ndarray:
    """The same numbers, of what a function returns."""
    x1, y1, x2, y2 = np.asarray(f(sizes, ratios), np.float64).T
    w, h = x2 - x1, y2 - y1
    return np.stack([w * h, h / w, (x1 + x2) / 2, (y1 + y2) / 2], axis=1)


def draw_wrong_anchor(inputs: Inputs, expected: Any, got: Any) -> Figure | None:
    """The anchor that is most wrong."""
    mine = np.asarray(got, float)
    if mine.shape != np.shape(expected):
        return None
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    draw_box_answer(figure.subplots(), np.asarray(expected, float), mine)
    return figure


HALF = "(-w / 2, -h / 2, w / 2, h / 2)"

EXERCISE = Exercise(
    id="ex05_1",
    title="The anchors of one cell",
    objective="Make boxes of given areas and ratios.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `anchors_of_a_cell(sizes, ratios)`: the boxes that the network starts "
        "from at one cell. A ratio changes the form of an anchor and keeps its area."
    ),
    hints=(
        "Two equations for w and h: w h = size^2, and h = ratio w.",
        "Put the second into the first: ratio w^2 = size^2, so w = size / sqrt(ratio). "
        "Then h = ratio w = size sqrt(ratio).",
        "A box of w x h that is centred at (0, 0) is "
        "(-w / 2, -h / 2, w / 2, h / 2). Two loops, sizes outside, ratios inside.",
    ),
    solution=anchors_of_a_cell,
    laws=(
        Law(
            "The anchors are those of the specification.",
            sizes_and_ratios(),
            cell_anchors,
        ),
        Law(
            "The area is the size squared, h / w is the ratio, the centre is (0, 0).",
            sizes_and_ratios(),
            expected=areas_and_ratios,
            got=measured,
        ),
    ),
    mistakes=(
        Mistake(
            "ratio as width by height",
            "you took the ratio for w / h; here it is h / w, so a ratio above 1 makes "
            "an anchor high.",
            {"size / np.sqrt(ratio)": "size * np.sqrt(ratio)"}
            | {"h = size * np.sqrt(ratio)": "h = size / np.sqrt(ratio)"},
        ),
        Mistake(
            "no square root",
            "you multiplied and divided by the ratio itself: then h / w is its square. "
            "The square root belongs to each side.",
            {"size / np.sqrt(ratio)": "size / ratio"}
            | {"size * np.sqrt(ratio)": "size * ratio"},
        ),
        Mistake(
            "height alone",
            "you stretched the height by the ratio and left the width: the area grows "
            "with it. Both sides change, by the square root.",
            {"size / np.sqrt(ratio)": "size"}
            | {"size * np.sqrt(ratio)": "size * ratio"},
        ),
        Mistake(
            "width alone",
            "you divided the width by the ratio and left the height: the area changes. "
            "Both sides change, by the square root.",
            {"size / np.sqrt(ratio)": "size / ratio"}
            | {"size * np.sqrt(ratio)": "size"},
        ),
        Mistake(
            "size as area",
            "you took the size for the area; it is the area's square root, the side of "
            "the square anchor.",
            {"size / np.sqrt(ratio)": "np.sqrt(size / ratio)"}
            | {"size * np.sqrt(ratio)": "np.sqrt(size * ratio)"},
        ),
        Mistake(
            "whole sides",
            "you went a whole side to the left and to the right of the centre; go half "
            "of it each way.",
            {HALF: "(-w, -h, w, h)"},
        ),
        Mistake(
            "corner at the origin",
            "you put the upper left corner at (0, 0); the centre belongs there.",
            {HALF: "(0, 0, w, h)"},
        ),
        Mistake(
            "ratios outside",
            "you looped over the ratios outside and the sizes inside. The anchors of "
            "the first size come first; the order is that of the network's channels.",
            {
                "for size in sizes:\n        for ratio in ratios:": "for ratio in "
                "ratios:\n        for size in sizes:"
            },
        ),
        Mistake(
            "one ratio for each size",
            "you paired the first size with the first ratio and so on; every size is "
            "to be combined with every ratio.",
            """
            anchors = []
            for size, ratio in zip(sizes, ratios):
                w = size / np.sqrt(ratio)
                h = size * np.sqrt(ratio)
                anchors.append((-w / 2, -h / 2, w / 2, h / 2))
            return np.array(anchors)
            """,
        ),
        Mistake(
            "as in SSD",
            "you used the other ratios with the first size alone, as SSD does; here "
            "every size is combined with every ratio.",
            """
            pairs = [(sizes[0], ratio) for ratio in ratios]
            pairs += [(size, ratios[0]) for size in sizes[1:]]
            anchors = []
            for size, ratio in pairs:
                w = size / np.sqrt(ratio)
                h = size * np.sqrt(ratio)
                anchors.append((-w / 2, -h / 2, w / 2, h / 2))
            return np.array(anchors)
            """,
        ),
        Mistake(
            "rounded",
            "you rounded the corners. Some systems do, but then area and ratio are "
            "only about right, and here they are exact.",
            {"np.array(anchors)": "np.round(anchors)"},
        ),
        Mistake(
            "inclusive ends",
            "you went (w - 1) / 2 from the centre, as for pixels counted inclusively. "
            "Coordinates are borders of pixels: half a side is w / 2.",
            {HALF: "((1 - w) / 2, (1 - h) / 2, (w - 1) / 2, (h - 1) / 2)"},
        ),
    ),
    draw=draw_wrong_anchor,
)
