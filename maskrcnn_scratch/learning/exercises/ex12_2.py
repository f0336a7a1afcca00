"""Exercise 12.2: which detection is a hit."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.average_precision import match_detections


def match(iou: np.ndarray, crowd: np.ndarray, threshold: float) -> np.ndarray:
    """The object that each detection takes at an IoU threshold, or -1 for none.

    ``iou`` (d, g): of every detection, best score first, with every object. ``crowd``
    (g,), bool. The detections choose in their order. Each takes, of the single objects
    that are still free and whose IoU is at least ``threshold``, the one that it
    overlaps most; where there is none, the crowd that it overlaps most, if that
    reaches the threshold. A single object can be taken once, a crowd any number of
    times. No two objects have the same IoU with a detection, unless it is 0;
    ``threshold`` lies above 0 and below 1. Returns whole numbers (d,).
    """
    taken = np.zeros(len(crowd), bool)
    matches = np.full(len(iou), -1)
    for d in range(len(iou)):
        for group in (~crowd & ~taken, crowd):
            overlaps = np.where(group, iou[d], 0.0)
            if np.any(overlaps >= threshold):
                best = int(np.argmax(overlaps))
                matches[d] = best
                taken[best] = True
                break
    return matches


@st.composite
def overlaps(draw: st.DrawFn, crowds: bool = True) -> Inputs:
    """IoUs in sixteenths, many of them near the threshold."""
    d, g = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    row = st.lists(st.integers(0, 15), min_size=g, max_size=g, unique=True)
    iou = np.array([draw(row) for _ in range(d)], np.float64) / 16
    crowd = np.array([crowds and draw(st.booleans()) for _ in range(g)])
    return {"iou": iou, "crowd": crowd, "threshold": draw(st.integers(1, 12)) / 16}


def specified(iou: np.ndarray, crowd: np.ndarray, threshold: float) -> np.ndarray:
    """The specification, which calls a crowd ignored."""
    matches: np.ndarray = match_detections(iou, crowd, crowd, threshold)
    return matches


EXERCISE = Exercise(
    id="ex12_2",
    title="Hit or miss",
    objective="Match detections with objects as COCO does, crowds included.",
    difficulty=2,
    minutes=20,
    task=(
        "Write `match(iou, crowd, threshold)`: go through the detections, best score "
        "first, and let each take the free object that it overlaps most, if that is "
        "enough. What takes a single object is a true positive, what takes nothing a "
        "false positive, and what takes a crowd is not counted."
    ),
    hints=(
        "Keep a list of which objects are taken. It changes as you go down the "
        "detections, so this is a loop.",
        "First look among the single objects that are free. Only where none of them "
        "reaches the threshold look among the crowds.",
        "`np.where(group, iou[d], 0.0)` leaves out all objects that are not in the "
        "group; `np.argmax` then names the best of it.",
    ),
    solution=match,
    laws=(
        Law("The matches are those of the specification.", overlaps(), specified),
        Law(
            "Without crowds no object is taken twice.",
            overlaps(crowds=False),
            expected=lambda iou, crowd, threshold: 0,
            got=lambda f, iou, crowd, threshold: taken_again(f(iou, crowd, threshold)),
        ),
    ),
    mistakes=(
        Mistake(
            "strictly greater",
            "you asked for more than the threshold; exactly the threshold is enough.",
            {">= threshold": "> threshold"},
        ),
        Mistake(
            "best object, free or not",
            "you let a detection try its best object alone. That is Pascal VOC's rule; "
            "in COCO it takes the best of those that are still free.",
            """
            taken = np.zeros(len(crowd), bool)
            matches = np.full(len(iou), -1)
            for d in range(len(iou)):
                for group in (~crowd, crowd):
                    overlaps = np.where(group, iou[d], 0.0)
                    if np.any(overlaps >= threshold):
                        best = int(np.argmax(overlaps))
                        if crowd[best] or not taken[best]:
                            matches[d] = best
                        taken[best] = True
                        break
            return matches
            """,
        ),
        Mistake(
            "taken twice",
            "you let an object be taken more than once; a second detection of it is a "
            "false positive.",
            {"taken[best] = True": "pass"},
        ),
        Mistake(
            "crowd taken once",
            "you let a crowd be taken once; it holds many objects, so any number of "
            "detections may take it.",
            {"(~crowd & ~taken, crowd)": "(~crowd & ~taken, crowd & ~taken)"},
        ),
        Mistake(
            "crowd is no object",
            "you left the crowds out: a detection that takes a crowd must not become a "
            "false positive.",
            {"(~crowd & ~taken, crowd)": "(~crowd & ~taken,)"},
        ),
        Mistake(
            "crowds as equals",
            "you let crowds and single objects compete; a crowd is taken only where no "
            "single object will do.",
            {"(~crowd & ~taken, crowd)": "(~taken | crowd,)"},
        ),
        Mistake(
            "crowds as single objects",
            "you treated crowds as single objects: they come last, and can be taken "
            "any number of times.",
            {"(~crowd & ~taken, crowd)": "(~taken,)"},
        ),
        Mistake(
            "first object",
            "you took the first object that reaches the threshold; take the one of "
            "greatest IoU.",
            {"np.argmax(overlaps)": "np.argmax(overlaps >= threshold)"},
        ),
        Mistake(
            "no threshold",
            "you forgot the threshold: a detection that overlaps too little takes "
            "nothing.",
            {"overlaps >= threshold": "overlaps > 0"},
        ),
        Mistake(
            "worst first",
            "you began with the worst score; the best detection chooses first.",
            {"in range(len(iou))": "in reversed(range(len(iou)))"},
        ),
        Mistake(
            "objects choose",
            "you let every object choose its best detection; the detections choose, "
            "best score first.",
            """
            matches = np.full(len(iou), -1)
            for group in (~crowd, crowd):
                for g in np.flatnonzero(group):
                    free = np.where((matches < 0) | crowd[g], iou[:, g], 0.0)
                    if np.any(free >= threshold):
                        matches[np.argmax(free)] = g
            return matches
            """,
        ),
        Mistake(
            "greatest overlap first",
            "you went through the pairs by falling IoU; the scores say who chooses "
            "first.",
            """
            taken = np.zeros(len(crowd), bool)
            matches = np.full(len(iou), -1)
            for group in (~crowd, crowd):
                for place in np.argsort(-iou, axis=None, kind="stable"):
                    d, g = np.unravel_index(place, iou.shape)
                    free = group[g] and (crowd[g] or not taken[g])
                    if matches[d] < 0 and free and iou[d, g] >= threshold:
                        matches[d] = g
                        taken[g] = True
            return matches
            """,
        ),
        Mistake(
            "hits",
            "you returned whether something was taken; which object is asked for.",
            {"matches[d] = best": "matches[d] = 1"},
        ),
    ),
)


def taken_again(matches: np.ndarray) -> int:
    """How many detections took an object that had been taken."""
    taken = np.asarray(matches)[np.asarray(matches) >= 0]
    return len(taken) - len(np.unique(taken))
