"""Exercise 9.2: the box loss, of the true class and of positive RoIs alone."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.strategies import sixteenths
from maskrcnn_scratch.reference.losses import smooth_l1


def own_box_loss(deltas: np.ndarray, labels: np.ndarray, goals: np.ndarray) -> float:
    """L_box of the sampled RoIs, with the switch of smooth-L1 at 1.

    ``deltas`` (n, k, 4): what was predicted for each of the classes 1..k; class c has
    the place c - 1, for the background has no box. ``labels`` (n,): the true class of
    each RoI, 1..k, or 0 for background. ``goals`` (n, 4): the right deltas; those of
    background RoIs mean nothing. n is at least 1.

    With d = delta - goal, smooth-L1 is d^2 / 2 where abs(d) < 1, and abs(d) - 1/2
    elsewhere. The loss is its sum over the four numbers of the true class's box, over
    all RoIs that have an object, divided by the number n of all sampled RoIs.
    """
    loss = 0.0
    for roi in range(len(labels)):
        if labels[roi] > 0:
            d = np.abs(deltas[roi, labels[roi] - 1] - goals[roi])
            loss += np.sum(np.where(d < 1, d**2 / 2, d - 0.5))
    return float(loss / len(labels))


@st.composite
def sampled_rois(draw: st.DrawFn) -> Inputs:
    """RoIs with a box for each class, off by less and by more than 1."""
    n, k = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    count = 4 * n * k
    numbers = st.lists(sixteenths(-2, 2), min_size=count, max_size=count)
    goals = st.lists(st.integers(-2, 2), min_size=4 * n, max_size=4 * n)
    labels = draw(st.lists(st.integers(0, k), min_size=n, max_size=n))
    return {
        "deltas": np.array(draw(numbers)).reshape(n, k, 4),
        "labels": np.array(labels, np.int64),
        "goals": np.array(draw(goals), np.float64).reshape(n, 4),
    }


def loss_of(deltas: np.ndarray, labels: np.ndarray, goals: np.ndarray) -> float:
    """The specification's sum over chosen boxes, divided by all RoIs."""
    (positive,) = np.nonzero(labels)
    own = deltas[positive, labels[positive] - 1]
    return smooth_l1(own, goals[positive], beta=1.0)[0] / len(labels)


def others_moved(deltas: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The same boxes for the true classes, all others elsewhere."""
    moved = deltas + 1
    (positive,) = np.nonzero(labels)
    own = labels[positive] - 1
    moved[positive, own] = deltas[positive, own]
    return moved


EXERCISE = Exercise(
    id="ex09_2",
    title="The box of the true class",
    objective="Compute the box loss, to which one box of each positive RoI counts.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `own_box_loss(deltas, labels, goals)`: the head predicts a box for "
        "every class; choose that of the true class, leave out background RoIs, sum "
        "smooth-L1 and divide by the number of all sampled RoIs."
    ),
    hints=(
        "For a RoI with the label c > 0 the box is `deltas[roi, c - 1]`.",
        "`np.where(d < 1, d**2 / 2, d - 0.5)` with `d = np.abs(delta - goal)` is "
        "smooth-L1; sum its four numbers.",
        "Background RoIs add nothing to the sum, but they do count in the number by "
        "which it is divided.",
    ),
    solution=own_box_loss,
    laws=(
        Law("The loss is that of the specification.", sampled_rois(), loss_of),
        Law(
            "The boxes of other classes do not matter.",
            sampled_rois(),
            loss_of,
            got=lambda f, deltas, labels, goals: f(
                others_moved(deltas, labels), labels, goals
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "box of the next class",
            "you took the box of the next class: the background has none, so class c "
            "has the place c - 1.",
            {"labels[roi] - 1": "labels[roi]"},
        ),
        Mistake(
            "background counts",
            "you let background RoIs have a box loss. An index of 0 - 1 silently reads "
            "the last class's box.",
            {"labels[roi] > 0": "True"},
        ),
        Mistake(
            "all classes",
            "you let the boxes of all classes count; only that of the true class does.",
            {"deltas[roi, labels[roi] - 1] - goals": "deltas[roi] - goals"},
        ),
        Mistake(
            "first class",
            "you took the same class's box for every RoI; take that of its label.",
            {"deltas[roi, labels[roi] - 1]": "deltas[roi, 0]"},
        ),
        Mistake(
            "nearest box",
            "you took the box that lies nearest to the goal; it must be that of the "
            "true class.",
            {
                "deltas[roi, labels[roi] - 1]": "deltas[roi, np.argmin(np.abs("
                "deltas[roi] - goals[roi]).sum(axis=1))]"
            },
        ),
        Mistake(
            "mean over the positives",
            "you divided by the number of positive RoIs; here all sampled ones count, "
            "so that each positive weighs the same in every image.",
            {"loss / len(labels)": "loss / np.sum(labels > 0)"},
        ),
        Mistake(
            "mean over the numbers",
            "you divided by all 4 n numbers; the four of a box are summed.",
            {"loss / len(labels)": "loss / goals.size"},
        ),
        Mistake(
            "sum",
            "you forgot to divide by the number of sampled RoIs.",
            {"loss / len(labels)": "loss"},
        ),
        Mistake(
            "no half",
            "you wrote abs(d) for the line; it is abs(d) - 1/2, so that it meets the "
            "parabola at 1.",
            {"d - 0.5": "d"},
        ),
        Mistake(
            "parabola without half",
            "you wrote d^2 for the parabola; it is d^2 / 2.",
            {"d**2 / 2": "d**2"},
        ),
        Mistake(
            "squared error",
            "you took d^2 / 2 everywhere; beyond 1 the loss grows only linearly.",
            {"np.where(d < 1, d**2 / 2, d - 0.5)": "d**2 / 2"},
        ),
        Mistake(
            "L1",
            "you took abs(d) everywhere; within 1 it is d^2 / 2.",
            {"np.where(d < 1, d**2 / 2, d - 0.5)": "d"},
        ),
        Mistake(
            "switched by the sign",
            "you forgot the absolute value: a great negative difference is far off, "
            "too.",
            {
                "np.abs(deltas[roi, labels[roi] - 1] - goals[roi])": "deltas[roi, "
                "labels[roi] - 1] - goals[roi]"
            },
        ),
    ),
)
