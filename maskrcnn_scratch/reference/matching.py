"""What each anchor or RoI has to learn, and which of them to learn from.

Anchors: positive from IoU 0.7 and where they are the best for some box, negative below
0.3, the rest left out (Ren et al. 2015, section 3.1.2). RoIs: positive from IoU 0.5,
negative below (He et al. 2017, section 3.1). Anchors and RoIs are candidates here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

BACKGROUND = -1
"""Matched to nothing: a negative."""
IGNORED = -2
"""Neither positive nor negative: takes no part in the loss."""


def match(
    iou: Float[np.ndarray, "gt candidates"],
    high: float,
    low: float,
    allow_low_quality: bool,
) -> Int[np.ndarray, " candidates"]:
    """For each candidate the index of its ground-truth box, BACKGROUND or IGNORED.

    A candidate's own box is the one of greatest IoU, the lowest index where several
    tie. It is matched when that IoU >= ``high``, BACKGROUND when < ``low``, IGNORED
    between. An image without ground truth makes every candidate BACKGROUND.

    ``allow_low_quality`` sees to boxes that no candidate fits well: every candidate
    that has the greatest IoU (> 0) of some box, ties included, is matched too. It
    keeps its OWN box, which may be another than the one it is the best for: so do all
    published systems, and a box may still end up with no candidate. (Those systems
    match a box of IoU 0 with everything; here 0 matches nothing.)

    A NaN IoU counts as less than any number. Raises ValueError unless low <= high.
    """
    if not low <= high:
        raise ValueError(f"low must be at most high, but low = {low}, high = {high}")
    matched = np.full(iou.shape[1], BACKGROUND, np.int64)
    if len(iou) == 0:
        return matched
    best_ious = [_greatest(row)[1] for row in iou]
    for candidate, ious in enumerate(iou.T):
        own, own_iou = _greatest(ious)
        is_best_for_some_box = np.any((ious == best_ious) & (ious > 0))
        if own_iou >= high or (allow_low_quality and is_best_for_some_box):
            matched[candidate] = own
        elif own_iou >= low:
            matched[candidate] = IGNORED
    return matched


def _greatest(values: Float[np.ndarray, " n"]) -> tuple[int, float]:
    """(index, value) of the first greatest value, (0, 0.0) if none is above 0."""
    best, greatest = 0, 0.0
    for index, value in enumerate(values):
        if value > greatest:
            best, greatest = index, float(value)
    return best, greatest


def sample(
    matched: Int[np.ndarray, " n"],
    count: int,
    positive_fraction: float,
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, " positives"], Int[np.ndarray, " negatives"]]:
    """Indices of the candidates to learn from: (positives, negatives), each ascending.

    At most ``count`` in all, at most ``count * positive_fraction`` (rounded down) of
    them positive. Where there are fewer positives, negatives take their places; where
    there are fewer negatives, the sample is smaller. Each is drawn without
    replacement, all candidates of a kind with equal chance. IGNORED is never drawn.

    Raises ValueError for a negative count or a fraction outside [0, 1].
    """
    if count < 0 or not 0 <= positive_fraction <= 1:
        raise ValueError(
            "count must be at least 0 and positive_fraction in [0, 1], "
            f"not {count} and {positive_fraction}"
        )
    positives = np.flatnonzero(matched >= 0)
    negatives = np.flatnonzero(matched == BACKGROUND)
    n_positive = min(int(count * positive_fraction), len(positives))
    n_negative = min(count - n_positive, len(negatives))
    return (
        np.sort(rng.choice(positives, n_positive, replace=False)),
        np.sort(rng.choice(negatives, n_negative, replace=False)),
    )
