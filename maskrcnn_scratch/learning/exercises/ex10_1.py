"""Exercise 10.1: the loss of the mask head."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.losses import mask_loss


def loss_of_masks(logits: np.ndarray, labels: np.ndarray, targets: np.ndarray) -> float:
    """L_mask: the mean binary cross-entropy of the true class's mask, in natural logs.

    ``logits`` (n, k, m, m): the masks of the classes 1..k, before the sigmoid; class c
    has the mask c - 1, for the background has none. ``labels`` (n,): the true class of
    each RoI, 1..k, or 0 for a background RoI, which does not count. ``targets``
    (n, m, m): 0 or 1. The mean is over all pixels of the RoIs that count; 0.0 where no
    RoI counts. Logits of any size give a finite loss.
    """
    losses = []
    for roi in range(len(labels)):
        if labels[roi] > 0:
            x, t = logits[roi, labels[roi] - 1], targets[roi]
            losses.append(t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x))
    return float(np.mean(losses)) if losses else 0.0


@st.composite
def sampled_rois(draw: st.DrawFn, background: bool = True) -> Inputs:
    """RoIs with logits of all classes, a class, and a target."""
    n = draw(st.integers(1, 3))
    k, m = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    return of_shape(draw, n, k, m, 0 if background else 1, 4)


def of_shape(
    draw: st.DrawFn, n: int, k: int, m: int, lowest: int, largest: int
) -> Inputs:
    """Whole logits up to ``largest``, labels from ``lowest`` on, targets 0 or 1."""
    logit = st.integers(-largest, largest)
    logits = draw(st.lists(logit, min_size=n * k * m * m, max_size=n * k * m * m))
    labels = draw(st.lists(st.integers(lowest, k), min_size=n, max_size=n))
    targets = draw(st.lists(st.integers(0, 1), min_size=n * m * m, max_size=n * m * m))
    return {
        "logits": np.array(logits, np.float64).reshape(n, k, m, m),
        "labels": np.array(labels, np.int64),
        "targets": np.array(targets, np.float64).reshape(n, m, m),
    }


@st.composite
def sure_rois(draw: st.DrawFn) -> Inputs:
    """One RoI whose logits are 1000 or -1000: e to their power is no number."""
    inputs = of_shape(draw, 1, 1, draw(st.integers(1, 2)), 1, 1)
    inputs["logits"] = np.where(inputs["logits"] < 0, -1000.0, 1000.0)
    return inputs


def loss_of(logits: np.ndarray, labels: np.ndarray, targets: np.ndarray) -> float:
    """The specification, which knows no background."""
    counts = labels > 0
    return mask_loss(logits[counts], labels[counts] - 1, targets[counts])[0]


def share_of_wrong(
    logits: np.ndarray, labels: np.ndarray, targets: np.ndarray
) -> float:
    """Who is sure loses 1000 a pixel where it is wrong, and nothing elsewhere."""
    return 1000 * float(np.mean((logits[:, 0] > 0) != (targets > 0)))


EXERCISE = Exercise(
    id="ex10_1",
    title="The loss of the mask head",
    objective="Compute the mask loss, to which only the true class's mask counts.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `loss_of_masks(logits, labels, targets)`: choose the mask of each RoI's "
        "true class, compare its sigmoid with the target at every pixel, and take the "
        "mean. Background RoIs have no mask and do not count."
    ),
    hints=(
        "Of RoI i only `logits[i, labels[i] - 1]` enters, and only where "
        "`labels[i] > 0`.",
        "With p = sigmoid(x), -log p = log(1 + e^-x) and -log(1 - p) = log(1 + e^x). "
        "`np.logaddexp(0, x)` is log(1 + e^x) for x of any size.",
        "A pixel costs `t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)`. "
        "Collect them of all RoIs that count and take one mean.",
    ),
    solution=loss_of_masks,
    laws=(
        Law("The loss is that of the specification.", sampled_rois(), loss_of),
        Law(
            "The loss does not depend on the masks of other classes.",
            sampled_rois(background=False),
            expected=loss_of,
            got=lambda f, logits, labels, targets: f(
                others_raised(logits, labels), labels, targets
            ),
        ),
        Law(
            "A logit of 1000 costs 1000 where it is wrong and nothing where right.",
            sure_rois(),
            share_of_wrong,
        ),
    ),
    mistakes=(
        Mistake(
            "mask of the next class",
            "you took the mask of the next class: there is none for the background, so "
            "class c has the mask c - 1.",
            {"labels[roi] - 1": "labels[roi]"},
        ),
        Mistake(
            "background counts",
            "you let background RoIs count. An index of 0 - 1 silently reads the last "
            "mask.",
            {"labels[roi] > 0": "True"},
        ),
        Mistake(
            "softmax",
            "you took a softmax over the classes: each class's mask has a sigmoid of "
            "its own, so that classes do not compete.",
            """
            losses = []
            for roi in range(len(labels)):
                if labels[roi] > 0:
                    x, t = logits[roi], targets[roi]
                    p = np.exp(x) / np.exp(x).sum(axis=0)
                    p = np.clip(p[labels[roi] - 1], 1e-12, 1 - 1e-12)
                    losses.append(-t * np.log(p) - (1 - t) * np.log(1 - p))
            return float(np.mean(losses)) if losses else 0.0
            """,
        ),
        Mistake(
            "all masks",
            "you let the masks of all classes count; only the true class's one does.",
            {"logits[roi, labels[roi] - 1], targets": "logits[roi], targets"},
        ),
        Mistake(
            "other masks empty",
            "you asked the masks of the other classes to be empty; they are not asked "
            "for anything.",
            """
            losses = []
            for roi in range(len(labels)):
                if labels[roi] > 0:
                    x, t = logits[roi], np.zeros(logits[roi].shape)
                    t[labels[roi] - 1] = targets[roi]
                    losses.append(t * np.logaddexp(0, -x)
                                  + (1 - t) * np.logaddexp(0, x))
            return float(np.mean(losses)) if losses else 0.0
            """,
        ),
        Mistake(
            "sum",
            "you took the sum over the pixels of a RoI: take their mean.",
            {"float(np.mean(losses)": "float(np.sum(losses) / len(losses)"},
        ),
        Mistake(
            "mean over all RoIs",
            "you divided by the pixels of all RoIs; background RoIs do not count.",
            {"float(np.mean(losses))": "float(np.sum(losses) / targets.size)"},
        ),
        Mistake(
            "only inside",
            "you left out the pixels outside of the object: they must learn to be "
            "outside.",
            {" + (1 - t) * np.logaddexp(0, x)": ""},
        ),
        Mistake(
            "target turned over",
            "you exchanged inside and outside: where the target is 1, -log p counts.",
            {"targets[roi]\n": "1 - targets[roi]\n"},
        ),
        Mistake(
            "no sigmoid",
            "you took the logits for probabilities: they must go through a sigmoid.",
            {
                "logits[roi, labels[roi] - 1], targets": "np.clip(logits[roi, "
                "labels[roi] - 1], 1e-7, 1 - 1e-7), targets",
                "t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)": "-t * "
                "np.log(x) - (1 - t) * np.log(1 - x)",
            },
        ),
        Mistake(
            "logs of a rounded sigmoid",
            "you took the logarithm of a sigmoid that was rounded to 0 or 1. "
            "`np.logaddexp` keeps its digits.",
            {
                "t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)": "-t * "
                "np.log(np.clip(1 / (1 + np.exp(-x)), 1e-12, 1)) - (1 - t) * "
                "np.log(np.clip(1 - 1 / (1 + np.exp(-x)), 1e-12, 1))",
            },
        ),
        Mistake(
            "nothing to learn from",
            "you took the mean of no pixels: where no RoI counts the loss is 0.0.",
            {" if losses else 0.0": ""},
        ),
    ),
)


def others_raised(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The same logits, those of all classes but the true one greater by 2."""
    raised = logits + 2
    rows = np.arange(len(labels))
    raised[rows, labels - 1] = logits[rows, labels - 1]
    return raised
