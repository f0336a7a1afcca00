"""Exercise 6.3: which box dropped which."""

from __future__ import annotations

import numpy as np

from maskrcnn_scratch.figures.nms import nms_steps
from maskrcnn_scratch.learning.exercise import Exercise, Law, Mistake
from maskrcnn_scratch.learning.exercises.ex06_1 import (
    CHAIN,
    STRICT,
    TIES,
    WORST_FIRST,
    kept_of,
    scored_boxes,
)
from maskrcnn_scratch.reference.boxes import box_iou


def dropped_by(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """For each box the box that drops it in NMS, or -1 where it is kept.

    ``boxes`` has the shape (n, 4), as (x1, y1, x2, y2); ``scores`` (n,); n is at least
    1. NMS is that of exercise 6.1. A box is dropped by the kept box of the best score
    among those whose IoU with it is strictly greater than ``threshold``; of equal
    scores the lower index counts as the better one.

    Returns indices into ``boxes``, whole numbers (n,).
    """
    iou = box_iou(boxes, boxes)
    by = np.full(len(boxes), -1)
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        above = [k for k in kept if iou[k, index] > threshold]
        if above:
            by[index] = above[0]
        else:
            kept.append(int(index))
    return by


def droppers(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """From the steps of the specification."""
    by = np.full(len(boxes), -1)
    for step in nms_steps(boxes, scores, threshold):
        by[list(step.dropped)] = step.keeps
    return by


ORDER = 'np.argsort(-scores, kind="stable")'

EXERCISE = Exercise(
    id="ex06_3",
    title="Who dropped it?",
    objective="Trace a box that is missing to the one that dropped it.",
    difficulty=2,
    minutes=15,
    task=(
        "An object was found, but NMS dropped it: by which box? Write "
        "`dropped_by(boxes, scores, threshold)`. `box_iou(a, b)` is there."
    ),
    hints=(
        "Begin with your `nms`. Where it drops a box, note which kept box overlaps it.",
        "The kept boxes are in the list by falling score, so the first that overlaps "
        "enough is the one.",
        "`above = [k for k in kept if iou[k, index] > threshold]`: if it is empty, "
        "keep the box, else write down `above[0]`.",
    ),
    imports=(
        "import numpy as np\n\nfrom maskrcnn_scratch.reference.boxes import box_iou"
    ),
    solution=dropped_by,
    laws=(
        Law(
            "Each box is dropped by the box that the steps of NMS name.",
            scored_boxes(fewest=1),
            droppers,
            examples=150,
        ),
        Law(
            "The boxes with -1 are those that NMS keeps.",
            scored_boxes(fewest=1),
            expected=lambda **inputs: np.sort(kept_of(**inputs)),
            got=lambda f, **inputs: np.flatnonzero(
                np.asarray(f(*inputs.values())) == -1
            ),
        ),
    ),
    mistakes=(
        Mistake("not strict", STRICT, {"> threshold": ">= threshold"}),
        Mistake("worst first", WORST_FIRST, {"-scores": "scores"}),
        Mistake("ties", TIES, {ORDER: 'np.argsort(scores, kind="stable")[::-1]'}),
        Mistake(
            "dropped boxes drop",
            CHAIN,
            {
                "by[index] = above[0]\n        else:\n            kept": "by[index] = "
                "above[0]\n        if True:\n            kept"
            },
        ),
        Mistake(
            "the largest overlap",
            "you named the kept box that overlaps most. The best one drops first, and "
            "what is dropped is gone.",
            {"above[0]": "max(above, key=lambda k: iou[k, index])"},
        ),
        Mistake(
            "the last",
            "you named the last kept box that overlaps: each one wrote over the one "
            "before. The best one drops first.",
            {"above[0]": "above[-1]"},
        ),
        Mistake(
            "kept boxes name themselves",
            "you gave kept boxes their own index; they are not dropped, so -1.",
            {"np.full(len(boxes), -1)": "np.arange(len(boxes))"},
        ),
        Mistake(
            "0 for none",
            "you wrote 0 for kept boxes, but 0 is the first box; -1 means none.",
            {"np.full(len(boxes), -1)": "np.zeros(len(boxes), dtype=int)"},
        ),
        Mistake(
            "scores not looked at",
            "you went through the boxes in their order and not by their scores.",
            {ORDER: "range(len(scores))"},
        ),
        Mistake(
            "places in the sorted list",
            "you named places in the sorted list; wanted are indices of `boxes`.",
            """
            order = np.argsort(-scores, kind="stable")
            iou = box_iou(boxes[order], boxes[order])
            by = np.full(len(boxes), -1)
            kept = []
            for place in range(len(order)):
                above = [k for k in kept if iou[k, place] > threshold]
                if above:
                    by[place] = above[0]
                else:
                    kept.append(place)
            return by
            """,
        ),
        Mistake(
            "the other way round",
            "you wrote at the kept box which one it drops; write at the dropped box "
            "which one dropped it.",
            {"by[index] = above[0]": "by[above[0]] = index"},
        ),
        Mistake(
            "its place among the kept",
            "you wrote which of the kept boxes it was, counted among them; wanted is "
            "its index in `boxes`.",
            {"= above[0]": "= kept.index(above[0])"},
        ),
    ),
)
