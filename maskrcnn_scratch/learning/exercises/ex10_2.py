"""Exercise 10.2: what the mask loss tells the masks of all classes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.exercises.ex10_1 import of_shape
from maskrcnn_scratch.reference.losses import mask_loss


def gradient_of_masks(logits: np.ndarray, label: int, target: np.ndarray) -> np.ndarray:
    """The gradient of one RoI's mask loss by the logits of all classes.

    ``logits`` (k, m, m): the masks of the classes 1..k, before the sigmoid; class c has
    the mask c - 1. ``label``: the true class, 1..k. ``target`` (m, m): 0 or 1. The loss
    is the mean over the m x m pixels of the binary cross-entropy of the true class's
    mask. Returns (k, m, m).
    """
    gradient = np.zeros(logits.shape)
    p = 1 / (1 + np.exp(-logits[label - 1]))
    gradient[label - 1] = (p - target) / target.size
    return gradient


@st.composite
def rois(draw: st.DrawFn) -> Inputs:
    """One RoI with masks of one to three classes."""
    k, m = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    inputs = of_shape(draw, 1, k, m, 1, 4)
    return {
        "logits": inputs["logits"][0],
        "label": int(inputs["labels"][0]),
        "target": inputs["targets"][0],
    }


def gradient_of(logits: np.ndarray, label: int, target: np.ndarray) -> np.ndarray:
    """The specification, for the one RoI."""
    _, gradient = mask_loss(logits[None], np.array([label - 1]), target[None])
    return gradient.reshape(logits.shape)


def slopes(logits: np.ndarray, label: int, target: np.ndarray) -> np.ndarray:
    """How much the loss grows with each logit, tried out."""
    step, slope = 1e-3, np.zeros(logits.shape)
    for place in np.ndindex(logits.shape):
        nudge = np.zeros(logits.shape)
        nudge[place] = step
        one, other = (
            mask_loss(values[None], np.array([label - 1]), target[None])[0]
            for values in (logits + nudge, logits - nudge)
        )
        slope[place] = (one - other) / (2 * step)
    return slope


EXERCISE = Exercise(
    id="ex10_2",
    title="No class competes",
    objective="Derive the gradient of the mask loss, and see whom it leaves alone.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `gradient_of_masks(logits, label, target)`: the derivative of one RoI's "
        "mask loss by every logit of every class's mask."
    ),
    hints=(
        "The loss does not depend on the masks of the other classes. What is the "
        "derivative by something that is not there?",
        "At one pixel: d/dx log(1 + e^-x) = p - 1 and d/dx log(1 + e^x) = p, with "
        "p = sigmoid(x). Put in the target t: t (p - 1) + (1 - t) p.",
        "That is p - t. The loss is a mean over m x m pixels, so divide by their "
        "number; all else stays 0.",
    ),
    solution=gradient_of_masks,
    laws=(
        Law("The gradient is that of the specification.", rois(), gradient_of),
        Law(
            "It is how much the loss changes when one logit is nudged.",
            rois(),
            slopes,
            tolerance=1e-4,
        ),
    ),
    mistakes=(
        Mistake(
            "softmax",
            "you let the classes compete: p - t with a softmax over the classes gives "
            "every mask a gradient, a sigmoid for each class only the true one's.",
            """
            p = np.exp(logits) / np.exp(logits).sum(axis=0)
            wanted = np.zeros(logits.shape)
            wanted[label - 1] = target
            return (p - wanted) / target.size
            """,
        ),
        Mistake(
            "other masks empty",
            "you asked the masks of the other classes to be empty: their gradient is "
            "exactly 0.",
            """
            wanted = np.zeros(logits.shape)
            wanted[label - 1] = target
            return (1 / (1 + np.exp(-logits)) - wanted) / target.size
            """,
        ),
        Mistake(
            "all masks",
            "you gave every class's mask the object's target; only the true class's "
            "mask learns from it.",
            "return (1 / (1 + np.exp(-logits)) - target) / target.size",
        ),
        Mistake(
            "mask of the next class",
            "you took the mask of the next class: class c has the mask c - 1.",
            {
                "-logits[label - 1]": "-logits[label]",
                "    gradient[label - 1]": "    gradient[label]",
            },
        ),
        Mistake(
            "read from the next class",
            "you gave the gradient to the right mask, but read the logits of the next "
            "class.",
            {"-logits[label - 1]": "-logits[label]"},
        ),
        Mistake(
            "sign",
            "you returned the direction in which the loss falls; the gradient is the "
            "one in which it grows.",
            {"(p - target)": "(target - p)"},
        ),
        Mistake(
            "sum over the pixels",
            "you forgot that the loss is a mean: divide by the number of pixels.",
            {" / target.size": ""},
        ),
        Mistake(
            "mean over all classes",
            "you divided by the pixels of all classes' masks; the mean is over those "
            "of one mask.",
            {"target.size": "logits.size"},
        ),
        Mistake(
            "mean over a row",
            "you divided by the side of the mask; it has m x m pixels.",
            {"target.size": "len(target)"},
        ),
        Mistake(
            "squared error",
            "you took the derivative of (p - t)^2 / 2: of the cross-entropy the factor "
            "p (1 - p) cancels.",
            {"(p - target)": "(p - target) * p * (1 - p)"},
        ),
        Mistake(
            "no sigmoid",
            "you subtracted the target from the logits, not yet probabilities.",
            {"1 / (1 + np.exp(-logits[label - 1]))": "logits[label - 1]"},
        ),
        Mistake(
            "only inside",
            "you left out the pixels outside of the object, where p - t = p.",
            {"(p - target)": "(p - 1) * target"},
        ),
    ),
)
