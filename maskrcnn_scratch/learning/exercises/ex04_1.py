"""Exercise 4.1: how much boxes overlap, every one with every other."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.boxes import draw_overlap
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.boxes import box_area, box_iou


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of ``a`` with every box of ``b``.

    ``a`` has the shape (n, 4), ``b`` (m, 4), and n or m may be 0. A box is
    (x1, y1, x2, y2) in continuous image pixels, x1 <= x2 and y1 <= y2, so it is
    x2 - x1 wide. A side may be 0. Boxes that share no area have the IoU 0, also two
    boxes without any area.

    Returns an array (n, m); row i belongs to ``a[i]``, column j to ``b[j]``.
    """
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(high - low, 0)
    shared = sides[..., 0] * sides[..., 1]
    union = area_a[:, None] + area_b[None, :] - shared
    iou: np.ndarray = shared / np.where(union > 0, union, 1)
    return iou


@st.composite
def small_boxes(draw: st.DrawFn, count: int, smallest: int = 0) -> np.ndarray:
    """Boxes (count, 4) with corners on whole and half pixels, and sides up to 4."""
    corner, side = st.integers(0, 8), st.integers(2 * smallest, 8)
    rows = [draw(st.tuples(corner, corner, side, side)) for _ in range(count)]
    xyxy = [(x, y, x + w, y + h) for x, y, w, h in rows]
    return np.array(xyxy, np.float64).reshape(-1, 4) / 2


@st.composite
def two_lists(draw: st.DrawFn) -> Inputs:
    """Boxes on a small field, so that many overlap; some have no area."""
    n, m = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    return {"a": draw(small_boxes(n)), "b": draw(small_boxes(m))}


@st.composite
def equal_lists(draw: st.DrawFn) -> Inputs:
    """The same boxes in both places, none without area."""
    some = draw(small_boxes(draw(st.integers(1, 3)), smallest=1))
    return {"a": some, "b": some.copy()}


def draw_pair(inputs: Inputs, expected: Any, got: Any) -> Figure | None:
    """The pair whose IoU is most wrong, if it has an area."""
    right, mine = np.asarray(expected, float), np.asarray(got, float)
    a, b = inputs["a"], inputs["b"]
    if right.shape != (len(a), len(b)) or mine.shape != right.shape:
        return None
    apart = np.nan_to_num(np.abs(right - mine), nan=np.inf)
    row, column = np.unravel_index(np.argmax(apart), apart.shape)
    if not box_area(np.stack([a[row], b[column]])).any():
        return None  # nothing to be seen
    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    axes = figure.subplots()
    draw_overlap(axes, a[row], b[column])
    axes.set_title(
        f"A = a[{row}], B = b[{column}]: expected {right[row, column]:.4g},"
        f" got {mine[row, column]:.4g}"
    )
    return figure


EXERCISE = Exercise(
    id="ex04_1",
    title="Intersection over union",
    objective="Compare every box of one list with every box of another.",
    difficulty=1,
    minutes=15,
    task=(
        "Write `iou_matrix(a, b)`: for each pair of boxes the area that both cover, "
        "divided by the area that at least one of them covers. Mind boxes that lie "
        "apart, and boxes without area."
    ),
    hints=(
        "Begin with one pair. What two boxes share is a box again: its upper left "
        "corner is the maximum of the two, its lower right corner the minimum.",
        "Where the boxes lie apart, that width or height comes out negative: "
        "`max(0, ...)`, for each of the two sides by itself.",
        "union = area of a + area of b - intersection, since the sum counts what is "
        "shared twice. Where the union is 0, the IoU is 0: test before you divide.",
        "All pairs: two loops, or `a[:, None]` against `b[None, :]`, which NumPy "
        "broadcasts to (n, m, 4).",
    ),
    solution=iou_matrix,
    laws=(
        Law("The IoU is that of the specification.", two_lists(), box_iou),
        Law(
            "A box with an area has the IoU 1 with itself.",
            equal_lists(),
            expected=lambda a, b: np.ones(len(a)),
            got=lambda f, a, b: np.diagonal(np.asarray(f(a, b))),
        ),
    ),
    mistakes=(
        Mistake(
            "inclusive ends",
            "you counted x2 - x1 + 1. Coordinates are borders of pixels here, not "
            "numbers of pixels: a box is x2 - x1 wide.",
            {
                "(a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])": "(a[:, 2] - a[:, 0] + 1) "
                "* (a[:, 3] - a[:, 1] + 1)",
                "(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])": "(b[:, 2] - b[:, 0] + 1) "
                "* (b[:, 3] - b[:, 1] + 1)",
                "high - low": "high - low + 1",
            },
        ),
        Mistake(
            "no clamp",
            "you did not clamp the sides of the intersection to 0. For boxes that lie "
            "apart they are negative, and the product of two negative sides is an area "
            "that nobody shares.",
            {"np.maximum(high - low, 0)": "high - low"},
        ),
        Mistake(
            "product clamped",
            "you clamped the product of the two sides, but two negative sides have a "
            "positive product: clamp each side.",
            {
                "np.maximum(high - low, 0)": "high - low",
                "sides[..., 0] * sides[..., 1]": "np.maximum(sides[..., 0] * "
                "sides[..., 1], 0)",
            },
        ),
        Mistake(
            "shared area counted twice",
            "you took the sum of the areas for the union: it counts what both cover "
            "twice, so subtract the intersection once.",
            {" - shared": ""},
        ),
        Mistake(
            "xywh",
            "you took the last two numbers for width and height; they are x2 and y2.",
            """
            a = np.concatenate([a[:, :2], a[:, :2] + a[:, 2:]], axis=1)
            b = np.concatenate([b[:, :2], b[:, :2] + b[:, 2:]], axis=1)
            area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
            area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
            low = np.maximum(a[:, None, :2], b[None, :, :2])
            high = np.minimum(a[:, None, 2:], b[None, :, 2:])
            sides = np.maximum(high - low, 0)
            shared = sides[..., 0] * sides[..., 1]
            union = area_a[:, None] + area_b[None, :] - shared
            return shared / np.where(union > 0, union, 1)
            """,
        ),
        Mistake(
            "0 / 0",
            "you divided 0 by 0 for two boxes without area; their IoU is 0.",
            {"np.where(union > 0, union, 1)": "union"},
        ),
        Mistake(
            "1 for boxes without area",
            "you gave two boxes without area the IoU 1. They share no area, so it is "
            "0, even if they are equal.",
            {
                "shared / np.where(union > 0, union, 1)": "np.where(union > 0, "
                "shared / np.where(union > 0, union, 1), 1.0)"
            },
        ),
        Mistake(
            "over the smaller box",
            "you divided by the smaller of the two areas; IoU divides by the union.",
            {
                "area_a[:, None] + area_b[None, :] - shared": "np.minimum("
                "area_a[:, None], area_b[None, :])"
            },
        ),
        Mistake(
            "over the first box",
            "you divided by the area of the first box; IoU divides by the union.",
            {
                "area_a[:, None] + area_b[None, :] - shared": "area_a[:, None] + 0 * "
                "area_b[None, :]"
            },
        ),
        Mistake(
            "the hull for the union",
            "you divided by the box around both boxes: it covers more than the two do.",
            {
                "area_a[:, None] + area_b[None, :] - shared": "np.prod(np.maximum("
                "a[:, None, 2:], b[None, :, 2:]) - np.minimum(a[:, None, :2], "
                "b[None, :, :2]), axis=-1)"
            },
        ),
        Mistake(
            "Dice",
            "you computed the Dice coefficient, twice the intersection over the sum of "
            "the areas.",
            {
                "iou: np.ndarray = shared": "union = union + shared\n"
                "    iou: np.ndarray = 2 * shared"
            },
        ),
        Mistake(
            "transposed",
            "you returned the matrix with the boxes of b along its rows: row i belongs "
            "to a[i].",
            {"return iou": "return iou.T"},
        ),
    ),
    draw=draw_pair,
)
