"""Exercise 9.1: the loss of the class."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.losses import softmax_cross_entropy


def class_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """L_cls: the mean over all RoIs of -log p_u, in natural logarithms.

    ``logits`` (n, k + 1): of the background, column 0, and of the classes 1..k.
    ``labels`` (n,): the true class u of each RoI, 0..k. n is at least 1. p is the
    softmax over a RoI's logits, p_c = exp(x_c) / sum of exp(x_j). Logits of any size
    give a finite loss.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-np.mean(log_p[np.arange(len(labels)), labels]))


@st.composite
def sampled_rois(draw: st.DrawFn) -> Inputs:
    """A few RoIs with whole logits, some of them of the background."""
    n, k = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    count = n * (k + 1)
    logits = draw(st.lists(st.integers(-5, 5), min_size=count, max_size=count))
    labels = draw(st.lists(st.integers(0, k), min_size=n, max_size=n))
    return {
        "logits": np.array(logits, np.float64).reshape(n, k + 1),
        "labels": np.array(labels, np.int64),
    }


def loss_of(logits: np.ndarray, labels: np.ndarray) -> float:
    """The specification's loss, without its gradient."""
    return softmax_cross_entropy(logits, labels)[0]


EXERCISE = Exercise(
    id="ex09_1",
    title="The loss of the class",
    objective="Compute a softmax cross-entropy that no logit can overflow.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `class_loss(logits, labels)`: minus the logarithm of the probability "
        "that the softmax gives to the true class, as a mean over the RoIs. A logit of "
        "1000 must not break it."
    ),
    hints=(
        "`logits[np.arange(len(labels)), labels]` takes of each row the one of its "
        "label.",
        "The softmax does not change when the same number is subtracted from all "
        "logits of a RoI. Subtract their greatest: then no exponential exceeds 1.",
        "log p_u = x_u - log(sum of exp(x_j)). Computed so, no logarithm of 0 is ever "
        "taken.",
    ),
    solution=class_loss,
    laws=(
        Law("The loss is that of the specification.", sampled_rois(), loss_of),
        Law(
            "A thousand more on all logits of a RoI changes nothing.",
            sampled_rois(),
            loss_of,
            got=lambda f, logits, labels: f(logits + 1000, labels),
        ),
        Law(
            "Who is sure and wrong loses the difference of the logits.",
            sampled_rois(),
            expected=lambda logits, labels: 1000.0,
            got=lambda f, logits, labels: f(
                1000.0 * np.eye(len(logits[0]))[(labels + 1) % len(logits[0])], labels
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "logarithm of nothing",
            "you took the logarithm of a probability that was rounded to 0. Take it "
            "before you divide: x_u - log(sum).",
            """
            e = np.exp(logits - logits.max(axis=1, keepdims=True))
            p = e / e.sum(axis=1, keepdims=True)
            return float(-np.mean(np.log(p[np.arange(len(labels)), labels])))
            """,
        ),
        Mistake(
            "overflow",
            "you took exponentials of the logits as they are. Of 1000 that is no "
            "number: subtract the greatest logit of each RoI first.",
            {"logits - logits.max(axis=1, keepdims=True)": "logits"},
        ),
        Mistake(
            "sum",
            "you took the sum over the RoIs; it is their mean.",
            {"-np.mean(": "-np.sum("},
        ),
        Mistake(
            "sign",
            "you forgot the minus: the logarithm of a probability is negative.",
            {"-np.mean(": "np.mean("},
        ),
        Mistake(
            "only positives",
            "you left out the RoIs of background: they teach what is no object.",
            {
                "float(-np.mean(log_p[np.arange(len(labels)), labels]))": "float("
                "-np.sum(log_p[np.arange(len(labels)), labels][labels > 0])"
                " / max(1, np.sum(labels > 0)))"
            },
        ),
        Mistake(
            "background free",
            "you gave the RoIs of background a loss of 0 but counted them.",
            {"labels]))": "labels] * (labels > 0)))"},
        ),
        Mistake(
            "background is last",
            "you took column u - 1, as if the background had no column or the last "
            "one; it is column 0 here.",
            {", labels]))": ", labels - 1]))"},
        ),
        Mistake(
            "over the RoIs",
            "you took the softmax over the RoIs of a class; it is over the classes of "
            "a RoI.",
            {
                "logits.max(axis=1, keepdims=True)": "logits.max(axis=0)",
                "np.exp(shifted).sum(axis=1, keepdims=True)": "np.exp(shifted).sum("
                "axis=0)",
            },
        ),
        Mistake(
            "over all numbers",
            "you divided by the sum over all RoIs; every RoI has its own.",
            {
                "logits.max(axis=1, keepdims=True)": "logits.max()",
                "np.exp(shifted).sum(axis=1, keepdims=True)": "np.exp(shifted).sum()",
            },
        ),
        Mistake(
            "sigmoid",
            "you took a sigmoid of the true class's logit: the box head's classes "
            "compete, so it is a softmax.",
            "own = logits[np.arange(len(labels)), labels]\n"
            "return float(np.mean(np.logaddexp(0, -own)))",
        ),
        Mistake(
            "binary logarithm",
            "you took the logarithm to the base 2; it is the natural one.",
            {"float(-np.mean(": "float(-1 / np.log(2) * np.mean("},
        ),
        Mistake(
            "no logarithm",
            "you returned the probability of the true class; its logarithm is missing.",
            {"float(-np.mean(log_p[": "float(np.mean(np.exp(log_p)["},
        ),
    ),
)
