"""Exercise 8.1: which anchors learn which object, and which learn nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.matching import match


def match_anchors(iou: np.ndarray, high: float, low: float) -> np.ndarray:
    """For each anchor the index of its object, -1 for background, -2 for ignored.

    Args:
        iou: of every object with every anchor, (objects, anchors); there is at least
            one anchor, and there may be no object.
        high, low: thresholds, low <= high.

    Returns whole numbers (anchors,). An anchor's own object is that of greatest IoU,
    the lowest index where several tie. An anchor gets

    - its own object, if that IoU is at least ``high``;
    - its own object too, if it has the greatest IoU of SOME object, and that IoU is
      above 0; of anchors that tie for it, each;
    - otherwise -1 where its greatest IoU is below ``low``, or -2 where it is not.

    Without objects every anchor is background.
    """
    matched = np.full(iou.shape[1], -1)
    if len(iou) == 0:
        return matched
    own, own_iou = iou.argmax(axis=0), iou.max(axis=0)
    best = (iou == iou.max(axis=1, keepdims=True)) & (iou > 0)
    positive = (own_iou >= high) | best.any(axis=0)
    matched[own_iou >= low] = -2
    matched[positive] = own[positive]
    return matched


@st.composite
def tables(draw: st.DrawFn) -> Inputs:
    """IoUs in eighths, so that ties and values at the thresholds are common."""
    objects, anchors = draw(st.integers(0, 3)), draw(st.integers(1, 5))
    count = objects * anchors
    values = draw(st.lists(st.integers(0, 8), min_size=count, max_size=count))
    low, high = draw(st.sampled_from(((2, 6), (2, 4), (4, 4))))
    return {
        "iou": np.array(values, np.float64).reshape(objects, anchors) / 8,
        "high": high / 8,
        "low": low / 8,
    }


def match_of(iou: np.ndarray, high: float, low: float) -> np.ndarray:
    """The specification, with low-quality matches."""
    return match(iou, high, low, allow_low_quality=True)


def weak_tables() -> st.SearchStrategy[Inputs]:
    """Tables in which no IoU reaches the upper threshold."""
    return tables().map(lambda case: case | {"iou": case["iou"] / 4})


def learned(iou: np.ndarray, high: float, low: float) -> np.ndarray:
    """An anchor learns something where it is the best that some object has."""
    best = [iou[:, a] == iou.max(axis=1) for a in range(iou.shape[1])]
    return np.array([any(b & (iou[:, a] > 0)) for a, b in enumerate(best)])


EXERCISE = Exercise(
    id="ex08_1",
    title="Which anchor learns what",
    objective="Match anchors with objects: positive, negative or ignored.",
    difficulty=3,
    minutes=20,
    task=(
        "Write `match_anchors(iou, high, low)`: the rule by which the RPN's anchors "
        "are matched. Low-quality matches belong to it, so that an object gets an "
        "anchor even where none fits well."
    ),
    hints=(
        "`iou` has a row for each object. `iou.argmax(axis=0)` goes down the columns: "
        "the own object of each anchor, the lowest index first.",
        "Begin with -1 everywhere, write -2 where the greatest IoU is at least `low`, "
        "and the own object over that, where an anchor is positive.",
        "The greatest IoU of each object is `iou.max(axis=1, keepdims=True)`. Compare "
        "the table with it: `True` stands at every best anchor, ties included.",
        "`best = (iou == iou.max(axis=1, keepdims=True)) & (iou > 0)`; an anchor is "
        "positive where `best.any(axis=0)` or its greatest IoU is at least `high`.",
    ),
    solution=match_anchors,
    laws=(
        Law("The matches are those of the specification.", tables(), match_of),
        Law(
            "Where no IoU reaches `high`, those anchors learn that are the best for "
            "some object.",
            weak_tables(),
            expected=learned,
            got=lambda f, iou, high, low: np.asarray(f(iou, high, low)) >= 0,
        ),
    ),
    mistakes=(
        Mistake(
            "no low-quality matches",
            "you left out the second rule: an object that no anchor fits well still "
            "gets its best ones.",
            {" | best.any(axis=0)": ""},
        ),
        Mistake(
            "the first best only",
            "you kept one best anchor for each object: of anchors that tie, all are "
            "matched.",
            {
                "& (iou > 0)": "& (iou > 0)\n    best &= np.arange(iou.shape[1]) == "
                "iou.argmax(axis=1)[:, None]"
            },
        ),
        Mistake(
            "object it is the best for",
            "you gave a best anchor the object that it is the best for; it keeps its "
            "own object, the one that it overlaps most.",
            {
                "    matched[positive] = own[positive]": "    matched[positive] = "
                "own[positive]\n    for i, row in enumerate(best):\n"
                "        matched[row] = i",
            },
        ),
        Mistake(
            "matched with IoU 0",
            "you matched anchors that do not touch their object: where an object's "
            "greatest IoU is 0, no anchor is the best.",
            {" & (iou > 0)": ""},
        ),
        Mistake(
            "strictly above high",
            "you ask for more than `high`: at least `high` is enough.",
            {"own_iou >= high": "own_iou > high"},
        ),
        Mistake(
            "background at low",
            "you made anchors of exactly `low` background: only those below are.",
            {"own_iou >= low": "own_iou > low"},
        ),
        Mistake(
            "nothing ignored",
            "you made all anchors that are not positive background; between the "
            "thresholds they are ignored.",
            {"    matched[own_iou >= low] = -2\n": ""},
        ),
        Mistake(
            "ignored is positive",
            "you made anchors between the thresholds positive; they are ignored.",
            {"own_iou >= high": "own_iou >= low"},
        ),
        Mistake(
            "all ignored",
            "you ignore anchors below `low`: they are background, which is to be "
            "learned as well.",
            {"own_iou >= low": "own_iou >= 0"},
        ),
        Mistake(
            "images without objects",
            "your function fails where there is no object: every anchor is background "
            "then.",
            {"len(iou) == 0": "False"},
        ),
        Mistake(
            "last of equals",
            "of objects that tie for an anchor you took the last: take the lowest "
            "index.",
            {"iou.argmax(axis=0)": "len(iou) - 1 - iou[::-1].argmax(axis=0)"},
        ),
        Mistake(
            "best of all",
            "you kept the best anchor of the whole table; each object has a best one "
            "of its own.",
            {"iou.max(axis=1, keepdims=True)": "iou.max()"},
        ),
        Mistake(
            "only what is not background",
            "you let only ignored anchors become low-quality matches: an object may "
            "have none but anchors below `low`, and then those.",
            {"best.any(axis=0)": "(best.any(axis=0) & (own_iou >= low))"},
        ),
    ),
)
