"""Exercise 0.2: what a prediction says."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake

NAMES = ("cat", "dog", "cow")


def read_prediction(
    scores: np.ndarray,
    labels: np.ndarray,
    masks: np.ndarray,
    names: tuple[str, ...],
    cut: float,
) -> list[tuple[str, int]]:
    """(name, pixels of the mask) of each object that is sure enough.

    Args:
        scores: (n,), 0 to 1.
        labels: (n,), 1..K; 0 would be the background, which is never predicted.
        masks: (n, height, width), each pixel's probability to be in the object.
        names: of the K classes, background left out: label 1 is ``names[0]``.
        cut: objects with a score of at least this are kept, in the order given.

    A pixel is in the mask where its probability is at least one half, whatever the cut.
    """
    found = []
    for score, label, mask in zip(scores, labels, masks, strict=True):
        if score >= cut:
            found.append((names[label - 1], int((mask >= 0.5).sum())))
    return found


@st.composite
def predictions(draw: st.DrawFn) -> Inputs:
    """Some objects over a few pixels; scores and probabilities are tenths."""
    n = draw(st.integers(0, 4))
    height, width = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    tenths = st.integers(0, 10).map(lambda k: k / 10)
    count = n * height * width
    masks = draw(st.lists(tenths, min_size=count, max_size=count))
    return {
        "scores": np.array(draw(st.lists(tenths, min_size=n, max_size=n))),
        "labels": np.array(
            draw(st.lists(st.integers(1, 3), min_size=n, max_size=n)), np.int64
        ),
        "masks": np.array(masks).reshape(n, height, width),
        "names": NAMES,
        "cut": draw(st.sampled_from([0.3, 0.5, 0.7])),
    }


def told_one_by_one(
    scores: np.ndarray,
    labels: np.ndarray,
    masks: np.ndarray,
    names: tuple[str, ...],
    cut: float,
) -> list[tuple[str, int]]:
    """With a background in front of the names, and pixels counted in a loop."""
    table = ("background", *names)
    rows = []
    for index in np.flatnonzero(np.asarray(scores) >= cut):
        inside = [p for p in masks[index].ravel().tolist() if p >= 0.5]
        rows.append((table[labels[index]], len(inside)))
    return rows


EXERCISE = Exercise(
    id="ex00_2",
    title="Reading a prediction",
    objective="Turn scores, labels and mask probabilities into named objects.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `read_prediction(scores, labels, masks, names, cut)`: a list of (name, "
        "number of mask pixels) of the objects whose score is at least `cut`."
    ),
    hints=(
        "Two thresholds, for two questions: the score's says whether there is an "
        "object, one half says which pixels are in it.",
        "`labels` count from 1, `names` from 0.",
        "`(mask >= 0.5).sum()` counts the pixels; keep an object where `score >= cut`.",
    ),
    solution=read_prediction,
    laws=(
        Law("The objects are those found one by one.", predictions(), told_one_by_one),
        Law(
            "With a cut of 0 every object is there.",
            predictions(),
            expected=lambda scores, labels, masks, names, cut: len(scores),
            got=lambda f, scores, labels, masks, names, cut: len(
                f(scores, labels, masks, names, 0.0)
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "one class further",
            "you looked the label up as it is: label 1 is the first name, `names[0]`.",
            {"names[label - 1]": "(*names, names[0])[label]"},
        ),
        Mistake(
            "index error",
            "you looked the label up as it is, and the last class has no name there: "
            "label 1 is `names[0]`.",
            {"names[label - 1]": "names[label]"},
        ),
        Mistake(
            "strict cut",
            "you left out objects whose score equals the cut: at least means >=.",
            {"score >= cut": "score > cut"},
        ),
        Mistake(
            "strict half",
            "you left out pixels with a probability of exactly one half.",
            {"mask >= 0.5": "mask > 0.5"},
        ),
        Mistake(
            "cut for pixels",
            "you cut the masks at the score's threshold: pixels have their own, one "
            "half.",
            {"mask >= 0.5": "mask >= cut"},
        ),
        Mistake(
            "half for scores",
            "you cut the scores at one half instead of at `cut`.",
            {"score >= cut": "score >= 0.5"},
        ),
        Mistake(
            "everything",
            "you kept all objects: those below the cut are left out.",
            {"score >= cut": "True"},
        ),
        Mistake(
            "sum of probabilities",
            "you added the probabilities up: count the pixels that are in the mask.",
            {"(mask >= 0.5).sum()": "mask.sum()"},
        ),
        Mistake(
            "whole picture",
            "you counted all pixels: only those of at least one half are in the mask.",
            {"int((mask >= 0.5).sum())": "mask.size"},
        ),
        Mistake(
            "score times probability",
            "you multiplied the probabilities with the score before the cut at one "
            "half: the mask does not depend on the score.",
            {"mask >= 0.5": "mask * score >= 0.5"},
        ),
        Mistake(
            "first class that fits",
            "you gave every object the name of the first one.",
            {"names[label - 1]": "names[labels[0] - 1]"},
        ),
    ),
)
