"""Which level of the feature pyramid each RoI is read from (Lin et al. 2017, eq. 1).

The level is floor(k0 + log2(sqrt(w h) / canonical)), so it depends on the area alone
and grows with it: each level begins at one area. These areas, 112^2, 224^2 and 448^2
for P3 to P5, are found once, on the host. A kernel compares with them, and the layers
that read a pyramid call the same comparison for themselves: no logarithm, no tensor of
levels, no launch before theirs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cpu.fpn_levels import Borders, area_borders
from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.launch import block_size, ceil_div, launch

NO_LEVEL = -1


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
