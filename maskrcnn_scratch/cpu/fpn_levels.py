"""The level rule as borders of the area (Lin et al. 2017, equation 1).

floor(k0 + log2(sqrt(w h) / canonical)) depends on the area alone and grows with it: so
each level begins at one area, 112^2, 224^2 and 448^2 for P3 to P5. They are found once;
then a level is a few comparisons, which a kernel can make for itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

Borders = tuple[float, ...]
"""The areas in pixels from which on a RoI is on the next level, ascending."""


@lru_cache
def area_borders(
    k0: int = 4,
    canonical: float = 224.0,
    k_min: int = 2,
    k_max: int = 5,
    rounding: str = "floor",
    eps: float = 0.0,
) -> Borders:
    """The least areas of the levels k_min + 1 .. k_max, as the rule in float64 has it.

    ``rounding`` is "floor" or "round" (halves to the even level); ``eps`` is added to
    the level before.
    """
    if rounding not in ("floor", "round"):
        raise ValueError(f"rounding must be 'floor' or 'round', not {rounding!r}")
    whole = math.floor if rounding == "floor" else round

    def level(area: float) -> int:
        return whole(k0 + math.log2(math.sqrt(area) / canonical) + eps)

    return tuple(least(level, k, canonical, k0) for k in range(k_min + 1, k_max + 1))


def least(level: Callable[[float], int], k: int, canonical: float, k0: int) -> float:
    """The smallest float64 area whose level is k or more.

    The level never falls as the area grows, so halving finds it: in the bits, for those
    of positive numbers are ordered as the numbers are.
    """
    about = (canonical * 2.0 ** (k - k0)) ** 2
    ends = np.array([about / 9, about * 9])
    low, high = (int(bits) for bits in ends.view(np.int64))
    while high - low > 1:
        middle = (low + high) // 2
        if level(float(np.int64(middle).view(np.float64))) >= k:
            high = middle
        else:
            low = middle
    return float(np.int64(high).view(np.float64))
