"""Exercise 14.2: the loss of keypoint maps: one softmax over all places of a map."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.keypoints import keypoint_loss


def place_loss(logits: np.ndarray, index: np.ndarray) -> float:
    """The mean of -log p at the right bin, over the keypoints that have one.

    Args:
        logits: one map for each keypoint, (n, m, m), numbers of any size.
        index: of each keypoint's bin, row * m + column, or -1 for none, (n,).

    p is the softmax of a map over all its m * m bins. Without any bin the loss is 0.
    """
    valid = index >= 0
    if not valid.any():
        return 0.0
    maps = logits.reshape(len(logits), -1)[valid]
    shifted = maps - maps.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    right = shifted[np.arange(len(maps)), index[valid]]
    return float(np.mean(log_sums - right))


@st.composite
def maps_and_bins(draw: st.DrawFn, most: int = 4) -> Inputs:
    """A few small maps, one of which may be far above the others."""
    n, m = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    count = n * m * m
    values = draw(st.lists(st.integers(-most, most), min_size=count, max_size=count))
    lifted = draw(st.lists(st.sampled_from((0, 0, 3)), min_size=n, max_size=n))
    bins = st.integers(0, m * m - 1) | st.integers(-1, m * m - 1)
    index = draw(st.lists(bins, min_size=n, max_size=n))
    logits = np.array(values, np.float64).reshape(n, m, m)
    return {
        "logits": logits + np.array(lifted).reshape(n, 1, 1),
        "index": np.array(index, np.int64),
    }


def loss_of(logits: np.ndarray, index: np.ndarray) -> float:
    """The specification, the maps as those of one object."""
    clipped = np.maximum(index, 0)
    return keypoint_loss(logits[None], clipped[None], (index >= 0)[None])[0]


EXERCISE = Exercise(
    id="ex14_2",
    title="One place only",
    objective="Compute the softmax cross-entropy over the places of a keypoint's map.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `place_loss(logits, index)`: the keypoint head's loss. It must not "
        "overflow, however large the logits are."
    ),
    hints=(
        "Flatten each map: `logits.reshape(len(logits), -1)` has a row of m * m "
        "numbers for each keypoint. Then keep the rows with `index >= 0`.",
        "-log p = log(sum of exp of all logits of the row) - the logit at the right "
        "bin.",
        "Subtract each row's greatest logit first: it changes no p, and no exponential "
        "is more than 1.",
        "`shifted[np.arange(len(maps)), index[valid]]` picks one number of each row.",
    ),
    solution=place_loss,
    laws=(
        Law("The loss is that of the specification.", maps_and_bins(), loss_of),
        Law(
            "A number added to all of a map's logits changes nothing, even 5000.",
            maps_and_bins(),
            expected=loss_of,
            got=lambda f, logits, index: f(logits + 5000, index),
        ),
    ),
    mistakes=(
        Mistake(
            "sigmoid",
            "you took a sigmoid for each place: with it a map may say yes at many "
            "places, or at none. The softmax is over all places of a map.",
            """
            valid = index >= 0
            if not valid.any():
                return 0.0
            maps = logits.reshape(len(logits), -1)[valid]
            hot = np.arange(maps.shape[1]) == index[valid][:, None]
            losses = np.logaddexp(0, np.where(hot, -maps, maps))
            return float(losses.sum(axis=1).mean())
            """,
        ),
        Mistake(
            "mean of sigmoids",
            "you took the mean binary cross-entropy, as for masks: here it is one "
            "softmax over all places of a map.",
            """
            valid = index >= 0
            if not valid.any():
                return 0.0
            maps = logits.reshape(len(logits), -1)[valid]
            hot = np.arange(maps.shape[1]) == index[valid][:, None]
            return float(np.logaddexp(0, np.where(hot, -maps, maps)).mean())
            """,
        ),
        Mistake(
            "softmax of a row",
            "you took the softmax over the columns of one row: it is over all places "
            "of the map.",
            """
            losses = []
            for one, flat in zip(logits, index):
                if flat >= 0:
                    line = one[flat // len(one)]
                    line = line - line.max()
                    losses.append(np.log(np.exp(line).sum()) - line[flat % len(one)])
            return float(np.mean(losses)) if losses else 0.0
            """,
        ),
        Mistake(
            "softmax over the keypoints",
            "you let the keypoints compete for a place: the softmax is over the places "
            "of each keypoint's own map.",
            {
                "maps.max(axis=1, keepdims=True)": "maps.max(axis=0, keepdims=True)",
                "np.exp(shifted).sum(axis=1)": "np.exp(shifted).sum(axis=0)"
                "[index[valid]]",
            },
        ),
        Mistake(
            "softmax over everything",
            "you took one softmax over all maps together: each map has its own.",
            {
                "maps.max(axis=1, keepdims=True)": "maps.max()",
                "np.exp(shifted).sum(axis=1)": "np.exp(shifted).sum()",
            },
        ),
        Mistake(
            "mean over all keypoints",
            "you divide by the number of all keypoints: those without a bin do not "
            "count.",
            {"np.mean(log_sums - right)": "np.sum(log_sums - right) / len(index)"},
        ),
        Mistake(
            "sum",
            "you took the sum over the keypoints: it is the mean.",
            {"np.mean(": "np.sum("},
        ),
        Mistake(
            "-1 is the last bin",
            "you read an index of -1 as the last bin: it means that there is none.",
            {"index >= 0": "index >= -1"},
        ),
        Mistake(
            "overflow",
            "your exponentials overflow: subtract each map's greatest logit first.",
            {"maps - maps.max(axis=1, keepdims=True)": "maps"},
        ),
        Mistake(
            "no keypoint at all",
            "your loss is not a number where no keypoint has a bin: it is 0.",
            {"not valid.any()": "False"},
        ),
        Mistake(
            "x for y",
            "you exchanged rows and columns of the maps: the index is row * m + "
            "column.",
            {
                "logits.reshape(len(logits), -1)": "logits.transpose(0, 2, 1)"
                ".reshape(len(logits), -1)"
            },
        ),
        Mistake(
            "probability",
            "you returned the probability of the right bin: the loss is its negative "
            "logarithm.",
            {"log_sums - right": "np.exp(right - log_sums)"},
        ),
        Mistake(
            "sign",
            "you forgot the minus of -log p.",
            {"log_sums - right": "right - log_sums"},
        ),
        Mistake(
            "mean over the places",
            "you divide by the number of places as well: the mean is over the "
            "keypoints.",
            {"log_sums - right": "log_sums - right) / float(maps.shape[1]"},
        ),
    ),
)
