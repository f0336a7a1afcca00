"""Exercise 6.2: suppression within each class."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.exercises.ex06_1 import TIES, draw_kept, scored_boxes
from maskrcnn_scratch.reference.nms import nms, segmented_nms


def class_nms(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, threshold: float
) -> np.ndarray:
    """The boxes that survive NMS among the boxes of their own class.

    ``boxes`` has the shape (n, 4), as (x1, y1, x2, y2), without negative coordinates;
    ``scores`` and ``labels`` (n,); n may be 0. Labels are whole numbers from 0 on,
    with gaps, and none of them is special. Boxes of different classes do not see each
    other.

    Returns the indices of the kept boxes of all classes by falling score, whole
    numbers (kept,). Of equal scores the lower index comes first.
    """
    keep = np.zeros(len(boxes), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        kept = nms(boxes[members], scores[members], threshold)
        keep[members[kept]] = True
    order = np.argsort(-scores, kind="stable")
    return order[keep[order]]


@st.composite
def labelled_boxes(draw: st.DrawFn) -> Inputs:
    """Crowded boxes of a few classes, 0 among them, with gaps between."""
    given = draw(scored_boxes())
    threshold = given.pop("threshold")
    label = st.sampled_from([0, 1, 3, 7])
    labels = [draw(label) for _ in given["scores"]]
    return {**given, "labels": np.array(labels, dtype=int), "threshold": threshold}


def kept_of(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, threshold: float
) -> np.ndarray:
    """The specification, with a class as a segment."""
    return segmented_nms(boxes, scores, labels, threshold)


def draw_labelled(inputs: Inputs, expected: Any, got: Any) -> Figure | None:
    """Which boxes should be kept and which are, with their classes."""
    figure = draw_kept(inputs, expected, got)
    if figure is not None:
        classes = [
            f"{n} is of class {label}" for n, label in enumerate(inputs["labels"])
        ]
        figure.supxlabel(", ".join(classes), fontsize=9)
    return figure


EXERCISE = Exercise(
    id="ex06_2",
    title="Each class by itself",
    objective="Suppress within classes, so that a rider does not drop the horse.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `class_nms(boxes, scores, labels, threshold)`. The function "
        "`nms(boxes, scores, threshold)` of exercise 6.1 is there."
    ),
    hints=(
        "For each label in `np.unique(labels)`: its boxes are "
        "`members = np.flatnonzero(labels == label)`.",
        "`nms(boxes[members], scores[members], threshold)` returns indices into "
        "`members`, so `members[...]` turns them back into indices of `boxes`.",
        "Mark the survivors of all classes in one array of bool. At the end go through "
        "all boxes by falling score, and return those that are marked.",
    ),
    imports="import numpy as np\n\nfrom maskrcnn_scratch.reference.nms import nms",
    solution=class_nms,
    laws=(
        Law(
            "The kept boxes are those of the specification.", labelled_boxes(), kept_of
        ),
        Law(
            "With a class of its own every box is kept.",
            labelled_boxes(),
            expected=lambda boxes, scores, labels, threshold: len(boxes),
            got=lambda f, boxes, scores, labels, threshold: len(
                f(boxes, scores, np.arange(len(boxes)), threshold)
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "classes not looked at",
            "you let boxes of all classes drop each other.",
            {"np.unique(labels)": "range(1)", "labels == label": "labels >= 0"},
        ),
        Mistake(
            "class after class",
            "you returned the classes one after the other; wanted are the kept boxes "
            "of all classes by falling score.",
            """
            kept = [np.zeros(0, dtype=int)]
            for label in np.unique(labels):
                members = np.flatnonzero(labels == label)
                kept.append(members[nms(boxes[members], scores[members], threshold)])
            return np.concatenate(kept)
            """,
        ),
        Mistake(
            "places within the class",
            "you took places within the class for indices of `boxes`: "
            "`members[kept]` translates them.",
            {"keep[members[kept]]": "keep[kept]"},
        ),
        Mistake(
            "labels without gaps",
            "you counted the labels off from 0; they have gaps, so that some classes "
            "were never looked at.",
            {"np.unique(labels)": "range(len(np.unique(labels)))"},
        ),
        Mistake(
            "class 0 left out",
            "you left class 0 out as if it were the background; here it is a class "
            "like any other.",
            {"np.unique(labels)": "np.unique(labels[labels > 0])"},
        ),
        Mistake(
            "too small an offset",
            "you moved the classes apart by a pixel a class. Boxes are larger than "
            "that, so they still overlap: the offset must exceed the image.",
            "return nms(boxes + labels[:, None], scores, threshold)",
        ),
        Mistake(
            "one corner moved",
            "you moved the upper left corner alone: that makes another box. "
            "The offset belongs to both corners.",
            """
            moved = boxes.copy()
            moved[:, :2] -= 100 * labels[:, None]
            return nms(moved, scores, threshold)
            """,
        ),
        Mistake(
            "other classes alone",
            "you let boxes drop those of other classes; they drop those of their own.",
            """
            from maskrcnn_scratch.reference.boxes import box_iou
            iou = box_iou(boxes, boxes)
            kept = []
            for index in np.argsort(-scores, kind="stable"):
                others = [k for k in kept if labels[k] != labels[index]]
                if not np.any(iou[index, others] > threshold):
                    kept.append(int(index))
            return np.array(kept, dtype=int)
            """,
        ),
        Mistake(
            "in their old order",
            "you returned the kept boxes by index; they are wanted by falling score.",
            {"order[keep[order]]": "np.flatnonzero(keep)"},
        ),
        Mistake(
            "ties",
            TIES,
            {
                'np.argsort(-scores, kind="stable")': "np.argsort(scores, "
                'kind="stable")[::-1]'
            },
        ),
        Mistake(
            "the best of each class",
            "you kept one box a class; a class can have many objects.",
            {"members[kept]": "members[kept[:1]]"},
        ),
        Mistake(
            "one class alone",
            "you returned after the first class: the others come too.",
            {"np.unique(labels)": "np.unique(labels)[:1]"},
        ),
    ),
    draw=draw_labelled,
)
