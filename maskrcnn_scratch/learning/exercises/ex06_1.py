"""Exercise 6.1: greedy non-maximum suppression."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.interactive.suppression import Suppression, draw_boxes
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference import nms as reference
from maskrcnn_scratch.reference.boxes import box_iou

STRICT = (
    "you also dropped boxes whose IoU is exactly the threshold. They stay: the IoU "
    "must be strictly greater."
)
TIES = (
    "you put the later one of two equal scores first. Reversing an ascending order "
    'turns ties round: use np.argsort(-scores, kind="stable").'
)
CHAIN = (
    "you let a box that was itself dropped drop others. Only boxes that are kept do."
)
WORST_FIRST = "you began with the lowest score; the highest comes first."


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """The boxes that survive greedy non-maximum suppression.

    ``boxes`` has the shape (n, 4), as (x1, y1, x2, y2); ``scores`` (n,); n may be 0.
    From the best score down a box is kept, unless its IoU with a box that is already
    kept is strictly greater than ``threshold``. Of equal scores the lower index comes
    first.

    Returns the indices of the kept boxes by falling score, whole numbers (kept,).
    """
    iou = box_iou(boxes, boxes)
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if not np.any(iou[index, kept] > threshold):
            kept.append(int(index))
    return np.array(kept, dtype=int)


@st.composite
def scored_boxes(draw: st.DrawFn, fewest: int = 0) -> Inputs:
    """Boxes in a row, so that chains are frequent; equal scores, IoUs of just 1/2."""
    count = max(fewest, draw(st.sampled_from([0, 1, 2, 3, 4, 4, 5, 5, 6, 6])))
    x, y = st.integers(0, 5), st.sampled_from([0, 0, 0, 1])
    w, h = st.sampled_from([4, 3, 6]), st.sampled_from([4, 4, 4, 2])
    rows = [draw(st.tuples(x, y, w, h)) for _ in range(count)]
    xyxy = [(x, y, x + w, y + h) for x, y, w, h in rows]
    scores = [draw(st.integers(1, 6)) / 8 for _ in range(count)]
    return {
        "boxes": np.array(xyxy, np.float64).reshape(-1, 4),
        "scores": np.array(scores, np.float64),
        "threshold": draw(st.sampled_from([0.5, 0.25])),
    }


def kept_of(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """The specification."""
    return reference.nms(boxes, scores, threshold)


def overlaps_of_kept(f: Any, **inputs: Any) -> bool:
    """Whether two boxes that were kept overlap by more than the threshold."""
    kept = np.asarray(f(*inputs.values())).astype(int)
    iou = box_iou(inputs["boxes"][kept], inputs["boxes"][kept])
    np.fill_diagonal(iou, 0)
    return bool(np.any(iou > inputs["threshold"]))


def draw_kept(inputs: Inputs, expected: Any, got: Any) -> Figure | None:
    """Which boxes should be kept, and which are."""
    boxes, lists = inputs["boxes"], (expected, got)
    if not len(boxes) or any(np.ndim(kept) != 1 for kept in lists):
        return None
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    for axes, kept, name in zip(
        figure.subplots(1, 2), lists, ("expected", "got"), strict=True
    ):
        indices = tuple(np.asarray(kept).tolist())
        draw_boxes(axes, boxes, Suppression(inputs["threshold"], indices, {}, {}))
        axes.set_title(f"{name}: keep {', '.join(map(str, indices)) or 'none'}")
    return figure


ORDER = 'np.argsort(-scores, kind="stable")'

EXERCISE = Exercise(
    id="ex06_1",
    title="Greedy suppression",
    objective="Keep the best of boxes that cover the same object.",
    difficulty=2,
    minutes=20,
    task=(
        "Write `nms(boxes, scores, threshold)`. `box_iou(a, b)` is there; it returns "
        "the IoU of every box of `a` with every box of `b`."
    ),
    hints=(
        "Go through the boxes by falling score, with a list of the kept ones, which "
        "is empty at first.",
        "A box is judged by the **kept** boxes alone. Those before it that were "
        "dropped have no say.",
        "With `iou = box_iou(boxes, boxes)`: keep `index` unless "
        "`np.any(iou[index, kept] > threshold)`.",
        '`np.argsort(-scores, kind="stable")` sorts by falling score and leaves equal '
        "scores in their order.",
    ),
    imports=(
        "import numpy as np\n\nfrom maskrcnn_scratch.reference.boxes import box_iou"
    ),
    solution=nms,
    laws=(
        Law(
            "The kept boxes are those of the specification.",
            scored_boxes(),
            kept_of,
            examples=150,
        ),
        Law(
            "No two kept boxes overlap by more than the threshold.",
            scored_boxes(),
            expected=lambda boxes, scores, threshold: False,
            got=overlaps_of_kept,
        ),
    ),
    mistakes=(
        Mistake("not strict", STRICT, {"] > threshold": "] >= threshold"}),
        Mistake("worst first", WORST_FIRST, {"-scores": "scores"}),
        Mistake("ties", TIES, {ORDER: 'np.argsort(scores, kind="stable")[::-1]'}),
        Mistake(
            "dropped boxes drop",
            CHAIN,
            """
            iou = box_iou(boxes, boxes)
            order = np.argsort(-scores, kind="stable")
            return np.array([index for n, index in enumerate(order)
                             if not np.any(iou[index, order[:n]] > threshold)], int)
            """,
        ),
        Mistake(
            "the last kept alone",
            "you compared with the last kept box alone; every kept box counts.",
            {"iou[index, kept]": "iou[index, kept[-1:]]"},
        ),
        Mistake(
            "the best alone",
            "you compared with the best box alone; every kept box counts.",
            {"iou[index, kept]": "iou[index, kept[:1]]"},
        ),
        Mistake(
            "in their old order",
            "you returned the kept boxes by index; they are wanted by falling score.",
            {"np.array(kept": "np.array(sorted(kept)"},
        ),
        Mistake(
            "scores not looked at",
            "you went through the boxes in their order and not by their scores.",
            {ORDER: "range(len(scores))"},
        ),
        Mistake(
            "places in the sorted list",
            "you returned places in the sorted list; wanted are indices of `boxes`.",
            """
            order = np.argsort(-scores, kind="stable")
            iou = box_iou(boxes[order], boxes[order])
            kept = []
            for place in range(len(order)):
                if not np.any(iou[place, kept] > threshold):
                    kept.append(place)
            return np.array(kept, dtype=int)
            """,
        ),
        Mistake(
            "a mask",
            "you returned for each box whether it is kept; wanted are the indices of "
            "the kept ones, the best first.",
            {"np.array(kept, dtype=int)": "np.isin(np.arange(len(boxes)), kept)"},
        ),
        Mistake(
            "the boxes",
            "you returned the kept boxes; their indices are wanted.",
            {"return np.array(kept, dtype=int)": "return boxes[kept]"},
        ),
        Mistake(
            "IoU beyond which boxes stay",
            "you kept the boxes that overlap: an IoU above the threshold is what "
            "drops a box.",
            {"] > threshold": "] <= threshold"},
        ),
    ),
    draw=draw_kept,
)
