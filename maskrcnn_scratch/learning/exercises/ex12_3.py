"""Exercise 12.3: average precision from scores and hits."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.average_precision import (
    RECALL_LEVELS,
    precision_curve,
)


def ap_of_list(scores: np.ndarray, hits: np.ndarray, objects: int) -> float:
    """COCO's AP of one class at one IoU threshold, in 0..1.

    ``scores`` (n,) of the detections that count, in any order; of equal scores the
    first in the list comes first. ``hits`` (n,), bool: which are true positives.
    ``objects``: how many there were to find, at least 1. At each of the recall levels
    0.00, 0.01, ..., 1.00 the best precision at that recall or a greater one counts, 0
    where it is never reached. AP is the mean over these 101 levels. Without
    detections it is 0.0.
    """
    order = np.argsort(-scores, kind="stable")
    true = np.cumsum(hits[order])
    precision = true / np.arange(1, len(true) + 1)
    recall = true / objects
    total = 0.0
    for level in np.linspace(0, 1, 101):
        reached = precision[recall >= level]
        total += reached.max() if len(reached) else 0.0
    return float(total / 101)


@st.composite
def judged(draw: st.DrawFn) -> Inputs:
    """Detections with scores, hits among them, of 1, 3 or 7 objects.

    With these numbers of objects no recall but 0 and 1 lies on a level, where rounding
    would decide.
    """
    objects = draw(st.sampled_from([1, 3, 7]))
    n = draw(st.integers(0, 6))
    scores = draw(st.lists(st.integers(1, 15), min_size=n, max_size=n))
    hits = np.zeros(n, bool)
    for place in range(n):
        hits[place] = hits.sum() < objects and draw(st.booleans())
    return {"scores": np.array(scores) / 16, "hits": hits, "objects": objects}


def specified(scores: np.ndarray, hits: np.ndarray, objects: int) -> float:
    """The specification, given the hits by falling score."""
    order = np.argsort(-scores, kind="stable")
    return float(precision_curve(hits[order], objects)[0].mean())


@st.composite
def perfect(draw: st.DrawFn) -> Inputs:
    """All objects found; the false alarms have lower scores than the hits."""
    objects, alarms = draw(st.integers(1, 5)), draw(st.integers(0, 3))
    hits = np.array([True] * objects + [False] * alarms)
    order = np.array(draw(st.permutations(range(len(hits)))))
    scores = np.linspace(1, 0.5, len(hits))
    return {"scores": scores[order], "hits": hits[order], "objects": objects}


def draw_list(inputs: Inputs, expected: Any, got: Any) -> Figure:
    """Precision over recall down the list, and what counts at the levels."""
    order = np.argsort(-inputs["scores"], kind="stable")
    hits, objects = inputs["hits"][order], inputs["objects"]
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    true = np.cumsum(hits)
    precision = true / np.arange(1, len(hits) + 1)
    axes.plot(
        true / objects, precision, "o--", color=palette.CELL, label="down the list"
    )
    curve, _ = precision_curve(hits, objects)
    axes.plot(
        RECALL_LEVELS, curve, ".", color=palette.SAMPLE, label="at the 101 levels"
    )
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(0, 1.05))
    axes.set_title(f"expected AP {expected:.4f}, got {float(got):.4f}")
    axes.legend()
    return figure


EXERCISE = Exercise(
    id="ex12_3",
    title="Average precision",
    objective="Compute COCO's AP from a list of detections that have been judged.",
    difficulty=2,
    minutes=20,
    task=(
        "Write `ap_of_list(scores, hits, objects)`: sort by falling score, "
        "count true positives on the way down, and take the mean of the best precision "
        "at 101 levels of recall."
    ),
    hints=(
        '`np.argsort(-scores, kind="stable")` sorts by falling score and keeps the '
        "order of equal ones. `np.cumsum` of the sorted hits counts the true positives "
        "down the list.",
        "After k detections with t true ones the precision is t / k and the recall "
        "t / objects.",
        "At a level of recall take the greatest precision among all places of the list "
        "whose recall is at least that level; 0 where there is none.",
    ),
    solution=ap_of_list,
    laws=(
        Law("The value is that of the specification.", judged(), specified),
        Law(
            "Only the order of the scores matters, not their size.",
            judged(),
            specified,
            got=lambda f, scores, hits, objects: f(scores**2 / 4, hits, objects),
        ),
        Law(
            "It is 1 where all is found before the first false alarm.",
            perfect(),
            expected=lambda scores, hits, objects: 1.0,
        ),
    ),
    mistakes=(
        Mistake(
            "not sorted",
            "you took the detections in the order of the list; the best score comes "
            "first.",
            {'np.argsort(-scores, kind="stable")': "np.arange(len(scores))"},
        ),
        Mistake(
            "worst first",
            "you sorted by rising score; the best score comes first.",
            {"np.argsort(-scores,": "np.argsort(scores,"},
        ),
        Mistake(
            "equal scores turned round",
            "you turned a rising order round, and with it the order of equal scores: "
            "of these the first in the list comes first.",
            {
                'np.argsort(-scores, kind="stable")': "np.argsort(scores, "
                'kind="stable")[::-1]'
            },
        ),
        Mistake(
            "no best from there on",
            "you took the precision at the first place that reaches the level; the "
            "best from there on counts.",
            {"reached.max()": "reached[0]"},
        ),
        Mistake(
            "best up to there",
            "you took the best precision at that recall or a smaller one; it is that "
            "recall or a greater one.",
            {
                "precision = true": "precision = np.maximum.accumulate(true",
                "len(true) + 1)": "len(true) + 1))",
                "reached.max()": "reached[0]",
            },
        ),
        Mistake(
            "area under the curve",
            "you took the area under the curve, which is Pascal VOC's AP from 2010 on; "
            "COCO reads it at 101 levels.",
            """
            order = np.argsort(-scores, kind="stable")
            true = np.cumsum(hits[order])
            precision = true / np.arange(1, len(true) + 1)
            best = np.maximum.accumulate(precision[::-1])[::-1]
            return float(np.sum(best[hits[order]]) / objects)
            """,
        ),
        Mistake(
            "mean over the hits",
            "you took the mean of the precisions at the hits; it is the mean over 101 "
            "levels of recall, and 0 counts at those that are not reached.",
            """
            order = np.argsort(-scores, kind="stable")
            true = np.cumsum(hits[order])
            precision = true / np.arange(1, len(true) + 1)
            at_hits = precision[hits[order]]
            return float(at_hits.mean()) if len(at_hits) else 0.0
            """,
        ),
        Mistake(
            "eleven levels",
            "you read the curve at 11 levels, as Pascal VOC did up to 2007; COCO has "
            "101.",
            {"np.linspace(0, 1, 101)": "np.linspace(0, 1, 11)", "/ 101": "/ 11"},
        ),
        Mistake(
            "a hundred levels",
            "you forgot the level 0.00: with 1.00 there are 101.",
            {"np.linspace(0, 1, 101)": "np.linspace(0.01, 1, 100)", "/ 101": "/ 100"},
        ),
        Mistake(
            "reached levels alone",
            "you took the mean over the levels that are reached; at the others 0 "
            "counts.",
            {
                "total / 101": "total / max(1, np.sum(np.linspace(0, 1, 101) <= "
                "recall.max(initial=0.0)))"
            },
        ),
        Mistake(
            "recall of the hits",
            "you divided by the number of hits; recall is about all objects, found or "
            "not.",
            {"true / objects": "true / max(1, hits.sum())"},
        ),
        Mistake(
            "precision of the whole list",
            "you divided by the number of all detections; the precision at a place "
            "counts the list up to there.",
            {"true / np.arange(1, len(true) + 1)": "true / max(1, len(true))"},
        ),
        Mistake(
            "one place off",
            "you counted the list from 0: after k detections the precision is t / k.",
            {"np.arange(1, len(true) + 1)": "np.maximum(np.arange(len(true)), 1)"},
        ),
    ),
    draw=draw_list,
)
