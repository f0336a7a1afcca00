"""Exercise 8.3: the RPN's box loss: smooth-L1 with its switch, and what it is over."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Function, Inputs, Law, Mistake
from maskrcnn_scratch.learning.strategies import sixteenths
from maskrcnn_scratch.reference.losses import smooth_l1


def box_loss(
    deltas: np.ndarray, goals: np.ndarray, positive: np.ndarray, beta: float
) -> float:
    """The RPN's box loss over the sampled anchors of an image.

    Args:
        deltas: what was predicted for each sampled anchor, (n, 4), n at least 1.
        goals: what is right, (n, 4).
        positive: whether an anchor has an object, booleans (n,).
        beta: where smooth-L1 changes from a parabola to a line, 0 or more.

    With d = delta - goal, smooth-L1 is d^2 / (2 beta) where abs(d) < beta, and
    abs(d) - beta / 2 elsewhere; for beta = 0 it is abs(d). The loss is its sum over the
    four numbers of all positive anchors, divided by n.
    """
    d = np.abs(deltas - goals)[positive]
    loss = np.maximum(d - beta / 2, 0)
    near = d < beta
    loss[near] = d[near] ** 2 / (2 * beta)
    return float(loss.sum() / len(deltas))


@st.composite
def sampled(draw: st.DrawFn) -> Inputs:
    """A few anchors whose deltas are off by less and by more than beta."""
    n = draw(st.integers(1, 3))
    numbers = st.lists(sixteenths(-3, 3), min_size=4 * n, max_size=4 * n)
    goals = np.array(draw(numbers)).reshape(n, 4)
    some = st.just(0.0) | sixteenths(-3, 3)
    errors = draw(st.lists(some, min_size=4 * n, max_size=4 * n))
    return {
        "deltas": goals + np.array(errors).reshape(n, 4),
        "goals": goals,
        "positive": np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))),
        "beta": draw(st.sampled_from((1.0, 0.0, 2.0, 0.5))),
    }


def loss_of(
    deltas: np.ndarray, goals: np.ndarray, positive: np.ndarray, beta: float
) -> float:
    """The specification's sum, over the number of anchors."""
    return smooth_l1(deltas[positive], goals[positive], beta)[0] / len(deltas)


def beyond_twice(
    function: Function,
    deltas: np.ndarray,
    goals: np.ndarray,
    positive: np.ndarray,
    beta: float,
) -> float:
    """How far the loss of everything doubled is from twice the loss."""
    doubled = function(2 * deltas, 2 * goals, positive, 2 * beta)
    return float(doubled) - 2 * float(function(deltas, goals, positive, beta))


EXERCISE = Exercise(
    id="ex08_3",
    title="How far off the boxes are",
    objective="Compute the RPN's box loss for any beta, and divide it by the sample.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `box_loss(deltas, goals, positive, beta)`. Published systems differ in "
        "`beta`: 1, 1/9, and 0, which must not divide by zero."
    ),
    hints=(
        "Only positive anchors have a box to learn: select their rows first.",
        "Where `beta` is 0 no error is below it, so the parabola is never needed. "
        "Compute it only for those elements with `d < beta`.",
        "Sum over everything that is left, and divide by `len(deltas)`: all sampled "
        "anchors, not only the positive ones.",
    ),
    solution=box_loss,
    laws=(
        Law(
            "The loss is the specification's smooth-L1 of the positives, over the "
            "sample.",
            sampled(),
            loss_of,
        ),
        Law(
            "Errors and beta twice as large make the loss twice as large.",
            sampled(),
            expected=lambda deltas, goals, positive, beta: 0.0,
            got=beyond_twice,
        ),
    ),
    mistakes=(
        Mistake(
            "over the positives",
            "you divide by the number of positives: it is that of all sampled anchors, "
            "as for the objectness loss.",
            {"len(deltas)": "max(int(positive.sum()), 1)"},
        ),
        Mistake(
            "mean of all numbers",
            "you divide by four times the number of anchors: the four numbers of a box "
            "are summed.",
            {"len(deltas)": "deltas.size"},
        ),
        Mistake(
            "sum alone",
            "you did not divide by the number of sampled anchors.",
            {" / len(deltas)": ""},
        ),
        Mistake(
            "negatives too",
            "you count the negatives' deltas: they have no box, so there is nothing to "
            "learn for them.",
            {"[positive]": ""},
        ),
        Mistake(
            "division by zero",
            "your loss is not a number where `beta` and an error are both 0: there the "
            "line applies, and the loss is 0.",
            {"d < beta": "d <= beta"},
        ),
        Mistake(
            "a jump",
            "you left `- beta / 2` out of the line: without it the loss jumps at "
            "`beta`.",
            {"d - beta / 2": "d"},
        ),
        Mistake(
            "beta is 1",
            "you switch at 1 whatever `beta` is.",
            {"    d = np": "    beta = 1.0\n    d = np"},
        ),
        Mistake(
            "Huber",
            "yours is the Huber loss, `beta` times smooth-L1: its slope is `beta` far "
            "out, where that of smooth-L1 is 1.",
            {
                "np.maximum(d - beta / 2, 0)": "beta * np.maximum(d - beta / 2, 0)",
                "(2 * beta)": "2",
            },
        ),
        Mistake(
            "parabola without beta",
            "your parabola is d^2 / 2: it has to be divided by `beta`, to meet the "
            "line with the same slope.",
            {"(2 * beta)": "2"},
        ),
        Mistake(
            "parabola without 2",
            "your parabola is d^2 / beta: at `beta` it is twice as high as the line.",
            {"(2 * beta)": "beta"},
        ),
        Mistake(
            "parabola everywhere",
            "you never change to the line: one wild error then rules the gradient.",
            {"near = d < beta": "near = np.full(d.shape, beta > 0)"},
        ),
        Mistake(
            "L1 everywhere",
            "you took abs(d) everywhere: near zero it is a parabola, unless `beta` is "
            "0.",
            {"    d = np": "    beta = 0.0\n    d = np"},
        ),
        Mistake(
            "sign kept",
            "you did not take the absolute value: an error to the left counts as much "
            "as one to the right.",
            {"np.abs(deltas - goals)": "(deltas - goals)"},
        ),
    ),
)
