"""What the fast RoI kernels share: the tables that a block keeps in shared memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda

from maskrcnn_scratch.cuda.compiled import device
from maskrcnn_scratch.cuda.numbers import assign
from maskrcnn_scratch.cuda.taps import axis_of, locate, window_start

POINTS = 256  # of an axis that a table holds
ONE = np.float32(1)
NAN = np.float32(math.nan)


@device
def fits(bins_y: Any, y_count: Any, bins_x: Any, x_count: Any) -> Any:
    """Whether the tables hold the points of so many rows and columns of bins.

    What does not fit, 256 points on an axis, is left to the naive kernels.
    """
    return bins_y * y_count <= POINTS and bins_x * x_count <= POINTS


@device
def place_roi(
    where: Any, r: Any, level: Any, bins: Any, features: Any, axes: Any
) -> None:
    """Both axes of RoI r into ``axes``, by two threads of the block; then a barrier.

    ``bins`` has the shape of the output, ``features`` that of the map.
    """
    rois, scales, _, _, sampling_ratio, placement = where
    axis = cuda.threadIdx.x  # 0 for rows, 1 for columns
    if axis < 2:
        start, bin_size, samples, count, length = axis_of(
            rois[r, 2 - axis],
            rois[r, 4 - axis],
            scales[level],
            placement,
            bins.shape[1] if axis == 0 else bins.shape[2],
            sampling_ratio,
            features.shape[0] if axis == 0 else features.shape[1],
        )
        axes[axis, 0], axes[axis, 1], axes[axis, 2] = start, bin_size, samples
        axes[axis, 3], axes[axis, 4] = count, length
    cuda.syncthreads()


@device
def axis_at(axes: Any, axis: Any) -> Any:
    """One of the axes that ``place_roi`` has left."""
    start, bin_size, samples = axes[axis, 0], axes[axis, 1], axes[axis, 2]
    return start, bin_size, samples, np.int64(axes[axis, 3]), np.int64(axes[axis, 4])


@device
def fill_points(
    axes: Any, first: Any, stop: Any, columns: Any, cells: Any, fractions: Any
) -> None:
    """Locate the points of the bins first..stop of the rows and of all the columns.

    The block's threads share them out. Point n of row k comes to (0, (k - first) *
    count + n), of column k to (1, k * count + n).
    """
    row_points = (stop - first) * np.int32(axes[0, 3])
    points = row_points + columns * np.int32(axes[1, 3])
    for n in range(cuda.threadIdx.x, points, cuda.blockDim.x):
        axis = 0 if n < row_points else 1
        place = n if n < row_points else n - row_points
        count = np.int32(axes[axis, 3])
        k = place // count if axis else first + place // count
        table = axis_at(axes, axis)
        s = window_start(table, k) + place % count
        cells[axis, place], fractions[axis, place] = locate(table, k, s)


@device
def merge_taps(
    cells: Any, fractions: Any, count: Any, samples: Any, taps: Any, weights: Any
) -> Any:
    """Each cell that a bin's points read, once, with its share in the mean; how many.

    Points mix cells n and n + 1, and neighbouring points share cells: so a cell that is
    there already is one of the last two.
    """
    n = 0
    scale = np.float32(1.0 / max(samples, 1.0))
    for p in range(count):
        if cells[p] < 0:
            continue
        for side in range(2):
            cell = cells[p] + side
            weight = fractions[p] if side else ONE - fractions[p]
            if weight == 0:
                continue
            weight *= scale
            if n > 1 and taps[n - 2] == cell:
                weights[n - 2] += weight
            elif n > 0 and taps[n - 1] == cell:
                weights[n - 1] += weight
            else:
                taps[n], weights[n] = cell, weight
                n += 1
    return n


@device
def fill_with_nan(out: Any, r: Any, first: Any, stop: Any, c: Any) -> None:
    """Some rows of bins of a RoI that is of no image or level."""
    if c < out.shape[3]:
        for i in range(first, stop):
            for j in range(out.shape[2]):
                assign(out, (r, i, j, c), NAN)
