"""Which level of the feature pyramid each RoI is read from (Lin et al. 2017, eq. 1).

The level is floor(k0 + log2(sqrt(w h) / canonical)), so it depends on the area alone
and grows with it: each level begins at one area. These areas, 112^2, 224^2 and 448^2
for P3 to P5, are found once, on the host. A kernel compares with them, and the layers
that read a pyramid call the same comparison for themselves: no logarithm, no tensor of
levels, no launch before theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.launch import block_size, ceil_div, launch

NO_LEVEL = -1

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


@device
def level_of(width: Any, height: Any, borders: Any) -> Any:
    """The number of borders at or below the area; 0 for a box without area, or NaN."""
    level = np.int64(0)
    if width > 0 and height > 0:
        area = np.float64(width) * np.float64(height)
        for border in borders:
            if area >= border:
                level += 1
    return level


@device
def level_of_roi(rois: Any, r: Any, levels: Any, borders: Any, count: Any) -> Any:
    """The level that RoI r is read from: as ``levels`` says, or by its area.

    ``levels`` may be empty: then the borders decide. NO_LEVEL stands for a level that
    is none of ``count``.
    """
    if levels.shape[0] == 0:
        level = level_of(rois[r, 3] - rois[r, 1], rois[r, 4] - rois[r, 2], borders)
    else:
        level = np.int64(levels[r])
    return level if 0 <= level < count else np.int64(NO_LEVEL)


@kernel
def fpn_levels_kernel(boxes: Any, borders: Any, k_min: Any, levels: Any) -> None:
    """One thread a box."""
    i = cuda.grid(1)
    if i < boxes.shape[0]:
        width, height = boxes[i, 2] - boxes[i, 0], boxes[i, 3] - boxes[i, 1]
        levels[i] = k_min + level_of(width, height, borders)


def fpn_levels(
    boxes: Tensor,
    k0: int = 4,
    canonical: float = 224.0,
    k_min: int = 2,
    k_max: int = 5,
    rounding: str = "floor",
    eps: float = 0.0,
) -> Tensor:
    """k = floor(k0 + log2(sqrt(w h) / canonical) + eps), within k_min..k_max.

    ``boxes`` are (n, 4) xyxy in image pixels; returns (n,) int64. A box without area,
    or with a NaN, goes to k_min. Sides are differences in the boxes' own type, as in
    ``ops``; all else is float64.

    Moves 16 + 8 bytes a box: the launch takes longer than the work.
    """
    levels = torch.empty(len(boxes), dtype=torch.int64, device=boxes.device)
    borders = at_least_one(area_borders(k0, canonical, k_min, k_max, rounding, eps))
    threads = block_size(len(boxes))
    blocks = ceil_div(len(boxes), threads)
    launch(fpn_levels_kernel, blocks, threads, boxes, borders, k_min, levels)
    return levels


def at_least_one(borders: Borders) -> Borders:
    """The borders as a kernel's argument: never an empty tuple, which has no type.

    No area reaches a NaN.
    """
    return borders or (math.nan,)
