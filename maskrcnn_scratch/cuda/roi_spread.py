"""The gradient of RoIAlign's mean, fast: ``roi_mean`` transposed.

The naive kernel adds each gradient to four cells for each of its points: 16 atomic
additions an output with two points a bin, most of them to cells that the neighbouring
outputs add to as well. Here a block owns a RoI, or every so many rows of its cells, and
a thread a channel. A row of cells takes its share of the rows of bins that read it, and
walks along the columns, with the sums of two neighbouring cells in registers: so each
cell gets one atomic addition a channel and RoI, and neighbouring threads add to
neighbouring addresses.

At least every gradient must be read once and every cell that a RoI reaches be added to
once: for 1000 RoIs of 7 x 7 bins and 256 channels 50 MB, and up to 800 MB of additions
in the L2 cache, 28 x 28 cells for the largest RoI that a level gets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.fpn_levels import level_of_roi
from maskrcnn_scratch.cuda.numbers import to_float32
from maskrcnn_scratch.cuda.roi_tables import (
    ONE,
    POINTS,
    fill_points,
    fits,
    place_roi,
)
from maskrcnn_scratch.cuda.taps import image_of

ZERO = np.float32(0)
NOTHING = np.int32(-9)


@device
def reach(cells: Any, count: Any, length: Any) -> Any:
    """(first, stop) of the cells that the points of an axis touch.

    Points run in one direction, so those outside the map are at the ends.
    """
    low, high = 0, count - 1
    while low < count and cells[low] < 0:
        low += 1
    while high > low and cells[high] < 0:
        high -= 1
    if low >= count:
        return np.int32(0), np.int32(0)
    first, last = min(cells[low], cells[high]), max(cells[low], cells[high])
    return np.int32(first), np.int32(min(last + 2, length))


@device
def share_of(cells: Any, fractions: Any, first: Any, count: Any, cell: Any) -> Any:
    """The weight of one cell in the sum of a bin's points, at first in the table."""
    total = ZERO
    for p in range(first, first + count):
        if cells[p] == cell:
            total += ONE - fractions[p]
        elif cells[p] >= 0 and cells[p] + 1 == cell:
            total += fractions[p]
    return total


@device
def combined(
    grad: Any, r: Any, j: Any, c: Any, shares: Any, first: Any, stop: Any
) -> Any:
    """What one row of cells takes of the bins of column j."""
    total = ZERO
    for i in range(first, stop):
        total += shares[i] * to_float32(grad[r, i, j, c])
    return total


@device
def drop(d_map: Any, row: Any, column: Any, c: Any, value: Any) -> None:
    """Add to one cell; nothing where there is nothing to add, or no cell."""
    if value != ZERO and column < d_map.shape[1]:
        cuda.atomic.add(d_map, (row, column, c), value)


@device
def spread_row(
    grad: Any,
    r: Any,
    row: Any,
    c: Any,
    shares: Any,
    first: Any,
    stop: Any,
    cells: Any,
    fractions: Any,
    count: Any,
    scale: Any,
    d_map: Any,
) -> None:
    """One row of cells for one channel, walking from point to point.

    ``left`` and ``right`` are what the cells ``held`` and held + 1 have got so far.
    """
    held, left, right = NOTHING, ZERO, ZERO
    for j in range(grad.shape[2]):
        g = combined(grad, r, j, c, shares, first, stop) * scale
        for p in range(j * count, (j + 1) * count):
            cell = cells[p]
            if cell < 0:
                continue
            if cell != held:
                for n in range(1 if cell == held + 1 else 2):
                    drop(d_map, row, held + n, c, left)
                    left, right = right, ZERO
                held = cell
            left += (ONE - fractions[p]) * g
            right += fractions[p] * g
    drop(d_map, row, held, c, left)
    drop(d_map, row, held + 1, c, right)


@kernel
def spread_kernel(
    grad: Any,
    rois: Any,
    scales: Any,
    levels: Any,
    borders: Any,
    sampling_ratio: Any,
    placement: Any,
    blocks_a_roi: Any,
    d_maps: Any,
) -> None:
    """Block (x, y): every ``blocks_a_roi``-th row of cells, part y of the channels."""
    cells = cuda.shared.array((2, POINTS), np.int32)
    fractions = cuda.shared.array((2, POINTS), np.float32)
    shares = cuda.shared.array(POINTS, np.float32)
    axes = cuda.shared.array((2, 5), np.float64)
    _, bins_y, bins_x, channels = grad.shape
    r, slot = cuda.blockIdx.x // blocks_a_roi, cuda.blockIdx.x % blocks_a_roi
    c = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    level = level_of_roi(rois, r, levels, borders, len(d_maps))
    image = image_of(rois, r, d_maps[0].shape[0])
    if level < 0 or image < 0:
        return
    d_map = d_maps[level][image]
    where = rois, scales, levels, borders, sampling_ratio, placement
    place_roi(where, r, level, grad, d_map, axes)
    y_count, x_count = np.int32(axes[0, 3]), np.int32(axes[1, 3])
    if not fits(bins_y, y_count, bins_x, x_count) or bins_y > POINTS:
        return  # the naive kernel does it
    fill_points(axes, 0, bins_y, bins_x, cells, fractions)
    cuda.syncthreads()
    scale = np.float32(1.0 / max(axes[0, 2] * axes[1, 2], 1.0))
    top, bottom = reach(cells[0], bins_y * y_count, d_map.shape[0])
    for row in range(top + slot, bottom, blocks_a_roi):
        for i in range(cuda.threadIdx.x, bins_y, cuda.blockDim.x):
            shares[i] = share_of(cells[0], fractions[0], i * y_count, y_count, row)
        cuda.syncthreads()
        first, stop = 0, bins_y
        while first < stop and shares[first] == ZERO:
            first += 1
        while stop > first and shares[stop - 1] == ZERO:
            stop -= 1
        if c < channels and first < stop:
            spread_row(
                grad,
                r,
                row,
                c,
                shares,
                first,
                stop,
                cells[1],
                fractions[1],
                x_count,
                scale,
                d_map,
            )
        cuda.syncthreads()
