"""RoIAlign's maximum over a bin's points, fast: forward, and backward to the winner.

A maximum does not factor into rows and columns: every point is read. What is saved over
the naive kernel is the same float64 coordinates for each channel (a block finds them
once), scattered reads (neighbouring threads read neighbouring channels), and cells read
anew for the next point to the right, which shares one or both of its columns.

Backward finds the winners anew: to save them would cost four bytes an output in every
forward, as much as the output itself, for a mode that few train with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from maskrcnn_scratch.cuda.bilinear import add_at, mix
from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.fpn_levels import level_of_roi
from maskrcnn_scratch.cuda.numbers import assign, to_float32
from maskrcnn_scratch.cuda.roi_tables import (
    POINTS,
    fill_points,
    fill_with_nan,
    fits,
    place_roi,
)
from maskrcnn_scratch.cuda.taps import image_of

ZERO = np.float32(0)
NOTHING = np.int32(-9)


@device
def read_column(image: Any, row: Any, fraction: Any, column: Any, c: Any) -> Any:
    """The map between two rows, at a whole column; beyond the last column, the last."""
    below = min(row + 1, image.shape[0] - 1)
    at = min(column, image.shape[1] - 1)
    return mix(to_float32(image[row, at, c]), to_float32(image[below, at, c]), fraction)


@device
def best_point(
    image: Any,
    cells: Any,
    fractions: Any,
    y_first: Any,
    y_stop: Any,
    x_first: Any,
    x_stop: Any,
    c: Any,
) -> Any:
    """(maximum, m, n): the first largest of some points, m and n its places.

    Points outside the map read 0. m is -1 where there are no points.
    """
    best, best_m, best_n = ZERO, np.int32(-1), np.int32(-1)
    for m in range(y_first, y_stop):
        row = cells[0, m]
        held, left, right = NOTHING, ZERO, ZERO
        for n in range(x_first, x_stop):
            cell = cells[1, n]
            value = ZERO
            if row >= 0 and cell >= 0:
                if cell != held:
                    column = cell if cell != held + 1 else cell + 1
                    while column <= cell + 1:
                        left = right
                        right = read_column(image, row, fractions[0, m], column, c)
                        column += 1
                    held = cell
                value = mix(left, right, fractions[1, n])
            if best_m < 0 or value > best:
                best, best_m, best_n = value, np.int32(m), np.int32(n)
    return best, best_m, best_n


@kernel
def max_kernel(
    maps: Any,
    rois: Any,
    scales: Any,
    levels: Any,
    borders: Any,
    sampling_ratio: Any,
    placement: Any,
    rows_a_block: Any,
    out: Any,
) -> None:
    """Block (x, y): the x-th stretch of rows of bins, the y-th of channels.

    Leaves out RoIs with more points than the tables hold.
    """
    cells = cuda.shared.array((2, POINTS), np.int32)
    fractions = cuda.shared.array((2, POINTS), np.float32)
    axes = cuda.shared.array((2, 5), np.float64)
    _, bins_y, bins_x, channels = out.shape
    stretches = (bins_y + rows_a_block - 1) // rows_a_block
    r, stretch = cuda.blockIdx.x // stretches, cuda.blockIdx.x % stretches
    first = stretch * rows_a_block
    stop = min(first + rows_a_block, bins_y)
    c = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    level = level_of_roi(rois, r, levels, borders, len(maps))
    image = image_of(rois, r, maps[0].shape[0])
    if level < 0 or image < 0:
        fill_with_nan(out, r, first, stop, c)
        return
    features = maps[level][image]
    where = rois, scales, levels, borders, sampling_ratio, placement
    place_roi(where, r, level, out, features, axes)
    y_count, x_count = np.int32(axes[0, 3]), np.int32(axes[1, 3])
    if not fits(rows_a_block, y_count, bins_x, x_count):
        return
    fill_points(axes, first, stop, bins_x, cells, fractions)
    cuda.syncthreads()
    if c >= channels:
        return
    for i in range(first, stop):
        y = (i - first) * y_count
        for j in range(bins_x):
            x = j * x_count
            best, _, _ = best_point(
                features, cells, fractions, y, y + y_count, x, x + x_count, c
            )
            assign(out, (r, i, j, c), best)


@kernel
def max_spread_kernel(
    grad: Any,
    maps: Any,
    rois: Any,
    scales: Any,
    levels: Any,
    borders: Any,
    sampling_ratio: Any,
    placement: Any,
    rows_a_block: Any,
    d_maps: Any,
) -> None:
    """Each bin's gradient to the four cells of its winner; blocks as in ``max_kernel``.

    Four atomic additions an output; they are the work that cannot be saved here.
    """
    cells = cuda.shared.array((2, POINTS), np.int32)
    fractions = cuda.shared.array((2, POINTS), np.float32)
    axes = cuda.shared.array((2, 5), np.float64)
    _, bins_y, bins_x, channels = grad.shape
    stretches = (bins_y + rows_a_block - 1) // rows_a_block
    r, stretch = cuda.blockIdx.x // stretches, cuda.blockIdx.x % stretches
    first = stretch * rows_a_block
    stop = min(first + rows_a_block, bins_y)
    c = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    level = level_of_roi(rois, r, levels, borders, len(maps))
    image = image_of(rois, r, maps[0].shape[0])
    if level < 0 or image < 0:
        return
    features, d_map = maps[level][image], d_maps[level][image]
    where = rois, scales, levels, borders, sampling_ratio, placement
    place_roi(where, r, level, grad, features, axes)
    y_count, x_count = np.int32(axes[0, 3]), np.int32(axes[1, 3])
    if not fits(rows_a_block, y_count, bins_x, x_count):
        return
    fill_points(axes, first, stop, bins_x, cells, fractions)
    cuda.syncthreads()
    if c >= channels:
        return
    for i in range(first, stop):
        y = (i - first) * y_count
        for j in range(bins_x):
            x = j * x_count
            _, m, n = best_point(
                features, cells, fractions, y, y + y_count, x, x + x_count, c
            )
            if m >= 0:
                value = to_float32(grad[r, i, j, c])
                row, column = cells[0, m], cells[1, n]
                add_at(d_map, row, fractions[0, m], column, fractions[1, n], c, value)
