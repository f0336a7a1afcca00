"""Which level of the feature pyramid an RoI is read from (Lin et al. 2017, equation 1).

Boxes are (x1, y1, x2, y2) in image pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Rounding = Literal["floor", "round"]


def fpn_level(
    box: Float[np.ndarray, " 4"],
    k0: int = 4,
    canonical: float = 224.0,
    k_min: int = 2,
    k_max: int = 5,
    rounding: Rounding = "floor",
) -> int:
    """The level k of one RoI of w x h pixels:

        k = floor(k0 + log2(sqrt(w h) / 224)), no less than k_min, no more than k_max

    224 (``canonical``) is the side of ImageNet's training images: an RoI of that size
    is read from P4, as in a network without a pyramid, and half the side is one level
    finer. ``rounding="round"`` takes the nearest level instead, halves to the even
    one, as matterport/Mask_RCNN does: a box of 159 pixels then goes to P4, not P3.

    An empty box, or one with a NaN in it, goes to k_min. Raises ValueError for an
    unknown rounding.
    """
    if rounding not in ("floor", "round"):
        raise ValueError(f"rounding must be 'floor' or 'round', not {rounding!r}")
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    if not (w > 0 and h > 0):
        return k_min
    k = k0 + math.log2(math.sqrt(w * h) / canonical)
    whole = np.floor(k) if rounding == "floor" else np.round(k)
    return int(np.clip(whole, k_min, k_max))


def fpn_levels(
    boxes: Float[np.ndarray, "n 4"],
    k0: int = 4,
    canonical: float = 224.0,
    k_min: int = 2,
    k_max: int = 5,
    rounding: Rounding = "floor",
) -> Int[np.ndarray, " n"]:
    """The level of each of n RoIs, by ``fpn_level``."""
    levels = [fpn_level(box, k0, canonical, k_min, k_max, rounding) for box in boxes]
    return np.array(levels, np.int64)
