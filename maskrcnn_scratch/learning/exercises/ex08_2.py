"""Exercise 8.2: the anchors that one image is learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Function, Inputs, Law, Mistake

DRAWS = 40  # in which every one of at most three candidates appears


def sample_anchors(
    matched: np.ndarray, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the anchors to learn from: (positives, negatives).

    Args:
        matched: of each anchor, (n,): the index of its object, 0 or more; -1 for
            background; -2 for ignored.
        count: how many to draw, if there are enough.
        seed: of the random numbers; the same seed gives the same anchors.

    Both are drawn at random, none twice, and are in ascending order. At most half of
    ``count``, rounded down, are positives. Negatives fill up to ``count``, also where
    positives are missing; where negatives are missing, fewer are drawn in all.
    """
    rng = np.random.default_rng(seed)
    positives = np.flatnonzero(matched >= 0)
    negatives = np.flatnonzero(matched == -1)
    most = min(count // 2, len(positives))
    rest = min(count - most, len(negatives))
    chosen = rng.choice(positives, most, replace=False)
    others = rng.choice(negatives, rest, replace=False)
    return np.sort(chosen), np.sort(others)


@st.composite
def matched_anchors(draw: st.DrawFn) -> Inputs:
    """Anchors of all three kinds."""
    kinds = st.lists(st.sampled_from((-1, -2, 0, 1)), min_size=1, max_size=9)
    return {
        "matched": np.array(draw(kinds), np.int64),
        "count": draw(st.integers(1, 8)),
        "seed": draw(st.integers(0, 9)),
    }


@st.composite
def few_candidates(draw: st.DrawFn) -> Inputs:
    """Up to three positives and negatives, of which one each is drawn."""
    positives, negatives = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kinds = draw(st.permutations([0] * positives + [-1] * negatives))
    return {"matched": np.array(kinds, np.int64), "count": 2, "seed": 0}


def kinds_wanted(matched: np.ndarray, count: int, seed: int) -> dict[str, Any]:
    """How many of each kind there have to be, and that nothing is wrong with them."""
    positives, negatives = int((matched >= 0).sum()), int((matched == -1).sum())
    while positives > count / 2:
        positives -= 1
    while positives + negatives > count:
        negatives -= 1
    told: dict[str, Any] = {"positives": positives, "negatives": negatives}
    return told | {"of a wrong kind": [], "drawn twice": [], "ascending": True}


def kinds_drawn(
    function: Function, matched: np.ndarray, count: int, seed: int
) -> dict[str, Any]:
    """The same of what a function drew."""
    positives, negatives = (
        np.asarray(some).astype(np.int64).tolist()
        for some in function(matched, count, seed)
    )
    wrong = [i for i in positives if not (0 <= i < len(matched) and matched[i] >= 0)]
    wrong += [i for i in negatives if not (0 <= i < len(matched) and matched[i] == -1)]
    both = positives + negatives
    told: dict[str, Any] = {"positives": len(positives), "negatives": len(negatives)}
    return told | {
        "of a wrong kind": wrong,
        "drawn twice": sorted({i for i in both if both.count(i) > 1}),
        "ascending": positives == sorted(positives) and negatives == sorted(negatives),
    }


def ever_drawn(
    function: Function, matched: np.ndarray, count: int, seed: int
) -> list[int]:
    """Which anchors some seeds draw."""
    seen: set[int] = set()
    for other in range(DRAWS):
        for some in function(matched, count, seed + other):
            seen.update(int(index) for index in some)
    return sorted(seen)


EXERCISE = Exercise(
    id="ex08_2",
    title="256 of 261,888",
    objective="Draw the anchors to learn from, with not too many negatives.",
    difficulty=2,
    minutes=15,
    task=(
        "Nearly all anchors are background. Write "
        "`sample_anchors(matched, count, seed)`: a random sample in which at most half "
        "are positive."
    ),
    hints=(
        "`np.flatnonzero(matched >= 0)` are the indices of the positives. Background "
        "is -1 exactly: -2 is to be left alone.",
        "Count the positives first, then let negatives take all places that are left: "
        "`count - most`, not `count // 2`.",
        "`rng = np.random.default_rng(seed)` and "
        "`rng.choice(indices, how_many, replace=False)` draw none twice.",
    ),
    solution=sample_anchors,
    laws=(
        Law(
            "As many as the rule says, each of its kind, none twice.",
            matched_anchors(),
            kinds_wanted,
            kinds_drawn,
        ),
        Law(
            f"Of few candidates each is drawn by some of {DRAWS} seeds.",
            few_candidates(),
            expected=lambda matched, count, seed: list(range(len(matched))),
            got=ever_drawn,
            examples=20,
        ),
    ),
    mistakes=(
        Mistake(
            "the first ones",
            "you take the first candidates: at random, or the upper left of every "
            "image would be all that is learned.",
            {
                "rng.choice(positives, most, replace=False)": "positives[:most]",
                "rng.choice(negatives, rest, replace=False)": "negatives[:rest]",
            },
        ),
        Mistake(
            "more than half positive",
            "you let positives fill the sample: at most half of it.",
            {"count // 2": "count"},
        ),
        Mistake(
            "half negative",
            "you draw at most half as negatives: they take the places of missing "
            "positives too.",
            {"count - most": "count // 2"},
        ),
        Mistake(
            "as many negatives as positives",
            "you draw as many negatives as positives: negatives fill up to `count`.",
            {"count - most": "most"},
        ),
        Mistake(
            "ignored drawn",
            "you draw ignored anchors as negatives: background is -1 alone.",
            {"matched == -1": "matched < 0"},
        ),
        Mistake(
            "object 0 left out",
            "you leave out the anchors of object 0: an index of 0 is a match.",
            {"matched >= 0": "matched > 0"},
        ),
        Mistake(
            "with replacement",
            "you draw some anchors twice: draw without replacement.",
            {
                "rng.choice(positives, most, replace=False)": "rng.choice(positives, "
                "most)",
                "rng.choice(negatives, rest, replace=False)": "rng.choice(negatives, "
                "rest)",
            },
        ),
        Mistake(
            "half rounded up",
            "you round half of an odd number up: with `count` 3 one may be positive.",
            {"count // 2": "(count + 1) // 2"},
        ),
        Mistake(
            "too few to draw from",
            "your function fails where there are fewer candidates than it wants: draw "
            "those that there are.",
            {
                "min(count // 2, len(positives))": "count // 2",
                "min(count - most, len(negatives))": "count - most",
            },
        ),
        Mistake(
            "places within the kind",
            "you return places in the list of positives or negatives: indices of "
            "anchors are wanted.",
            {
                "np.sort(chosen)": "np.arange(most)",
                "np.sort(others)": "np.arange(rest)",
            },
        ),
        Mistake(
            "exchanged",
            "you returned negatives before positives.",
            {"np.sort(chosen), np.sort(others)": "np.sort(others), np.sort(chosen)"},
        ),
    ),
)
