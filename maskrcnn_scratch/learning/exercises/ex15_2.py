"""Exercise 15.2: what one pixel asks of each class."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.losses import mask_loss, softmax_mask_loss


def pixel_gradients(
    logits: np.ndarray, own: int, inside: int
) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of the loss of one mask pixel by each logit, in two systems.

    Args:
        logits: (K + 1,): that of the background, then those of the classes 1..K.
        own: the RoI's true class, 1..K.
        inside: 1 if the pixel is in the object, else 0.

    Returns (sigmoid, softmax), each (K + 1,). The sigmoid system has no map for the
    background (gradient 0) and learns the true class's logit by binary cross-entropy
    alone. The softmax system learns by cross-entropy which of the K + 1 the pixel
    shows: class ``own`` inside of the object, the background outside.
    """
    sigmoid = np.zeros(len(logits))
    sigmoid[own] = 1 / (1 + np.exp(-logits[own])) - inside
    powers = np.exp(logits - logits.max())
    softmax = powers / powers.sum()
    softmax[own if inside else 0] -= 1
    return sigmoid, softmax


@st.composite
def pixels(draw: st.DrawFn) -> Inputs:
    """Two to four classes with small logits."""
    k = draw(st.integers(2, 4))
    halves = st.integers(-6, 6).map(lambda n: n / 2)
    return {
        "logits": np.array(draw(st.lists(halves, min_size=k + 1, max_size=k + 1))),
        "own": draw(st.integers(1, k)),
        "inside": draw(st.integers(0, 1)),
    }


def by_the_specification(
    logits: np.ndarray, own: int, inside: int
) -> tuple[np.ndarray, np.ndarray]:
    """The losses of a mask of one pixel."""
    label, target = np.array([own - 1]), np.full((1, 1, 1), float(inside))
    columns = logits.reshape(1, -1, 1, 1)
    _, sigmoid = mask_loss(columns[:, 1:], label, target)
    _, softmax = softmax_mask_loss(columns, label, target)
    return np.concatenate([[0.0], sigmoid.ravel()]), softmax.ravel()


EXERCISE = Exercise(
    id="ex15_2",
    title="What a pixel asks of each class",
    objective="Derive why classes compete under softmax and not under sigmoid.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `pixel_gradients(logits, own, inside)`: how the loss of one pixel of a "
        "mask changes with each logit, with a sigmoid for the true class and with a "
        "softmax over all."
    ),
    hints=(
        "Binary cross-entropy of a sigmoid has the derivative p - t, with p the "
        "sigmoid of the logit and t the target.",
        "Cross-entropy of a softmax has the derivative p_c - [c is the true one] for "
        "every c: all of them.",
        "Outside of the object the true one is 0, the background.",
    ),
    solution=pixel_gradients,
    laws=(
        Law(
            "The gradients are those of the specification.",
            pixels(),
            by_the_specification,
        ),
        Law(
            "Under softmax the gradients of a pixel sum to 0: what one class gains the "
            "others lose.",
            pixels(),
            expected=lambda logits, own, inside: 0.0,
            got=lambda f, logits, own, inside: float(np.sum(f(logits, own, inside)[1])),
        ),
    ),
    mistakes=(
        Mistake(
            "all sigmoids",
            "you gave every class's sigmoid a gradient: only the true class's map is "
            "in the loss.",
            {
                "sigmoid[own] = 1 / (1 + np.exp(-logits[own])) - inside": "sigmoid = 1 "
                "/ (1 + np.exp(-logits))\n    sigmoid[own] -= inside\n    "
                "sigmoid[0] = 0"
            },
        ),
        Mistake(
            "softmax of the own class alone",
            "you gave the softmax's other classes no gradient: all of them stand in "
            "its denominator.",
            {
                "return sigmoid, softmax": "softmax[np.arange(len(logits)) != own] = 0"
                "\n    return sigmoid, softmax"
            },
        ),
        Mistake(
            "no background",
            "you asked for the object's class outside of the object too: there the "
            "softmax should say background.",
            {"own if inside else 0": "own"},
        ),
        Mistake(
            "nothing outside",
            "you took no 1 away outside of the object: there the background is the "
            "true one.",
            {"softmax[own if inside else 0] -= 1": "softmax[own] -= inside"},
        ),
        Mistake(
            "sign",
            "you returned target minus probability: the gradient of the loss is "
            "probability minus target.",
            {"return sigmoid, softmax": "return -sigmoid, -softmax"},
        ),
        Mistake(
            "probabilities",
            "you returned the softmax's probabilities: take 1 away at the true one.",
            {"softmax[own if inside else 0] -= 1": "pass"},
        ),
        Mistake(
            "slope of the sigmoid",
            "you multiplied with the sigmoid's slope p (1 - p): in the cross-entropy "
            "it cancels.",
            {
                "return sigmoid, softmax": "p = 1 / (1 + np.exp(-logits))\n    "
                "return sigmoid * p * (1 - p), softmax"
            },
        ),
        Mistake(
            "classes from 0",
            "you counted the classes from 0: logit 0 is the background's, class k's is "
            "logit k.",
            {
                "sigmoid[own] = 1 / (1 + np.exp(-logits[own]))": "own -= 1\n    "
                "sigmoid[own] = 1 / (1 + np.exp(-logits[own]))"
            },
        ),
        Mistake(
            "target forgotten",
            "you left the target out of the sigmoid's gradient: it is p - t.",
            {"(1 + np.exp(-logits[own])) - inside": "(1 + np.exp(-logits[own]))"},
        ),
        Mistake(
            "systems exchanged",
            "you returned softmax first: the order is (sigmoid, softmax).",
            {"return sigmoid, softmax": "return softmax, sigmoid"},
        ),
        Mistake(
            "softmax without the background",
            "you left the background out of the softmax: it is one of the K + 1.",
            {
                "softmax = powers / powers.sum()": "softmax = powers / "
                "powers[1:].sum()\n    softmax[0] = 0"
            },
        ),
    ),
)
