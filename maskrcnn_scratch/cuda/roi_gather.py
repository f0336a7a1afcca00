"""The gradient of RoIAlign without atomic additions: the same bits in every run.

Additions by atomics come in any order, and a float32 sum depends on it. Here a block
owns a run of cells in one row of one image, and a thread a channel of them: it goes
through the RoIs in order and takes what reaches its cells. Nothing is written twice, or
by two; each RoI is looked at by every run of cells, most of which turn it away after
comparing its borders.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda

from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.fpn_levels import level_of_roi
from maskrcnn_scratch.cuda.numbers import to_float32
from maskrcnn_scratch.cuda.roi_align_naive import axes_of, bin_max, point
from maskrcnn_scratch.cuda.roi_tables import ONE, axis_at, place_roi
from maskrcnn_scratch.cuda.taps import image_of, place, share

RUN = 16  # cells that a block owns
BINS = 16  # of an axis, in a table at a time
THREADS = 256  # of a block at most: RoIs looked at together
ZERO = np.float32(0)


@device
def may_touch(
    low: Any, high: Any, scale: Any, placement: Any, first: Any, stop: Any, length: Any
) -> Any:
    """Whether a RoI may read the cells first..stop of an axis of ``length`` cells.

    At the ends of the axis the first cell and the last are read from one cell out.
    """
    start, size = place(low, high, scale, placement)
    least, most = min(start, start + size), max(start, start + size)
    if not most - least < math.inf:
        return False
    return most >= first - 1.0 and least <= min(stop, length) * 1.0


@device
def may_reach(where: Any, r: Any, level: Any, run: Any, d_map: Any) -> Any:
    """Whether RoI r may read some of a run of cells (image, row, column)."""
    rois, scales, levels, borders, _, placement = where
    image, row, column = run
    images, height, width, _ = d_map.shape
    if image_of(rois, r, images) != image:
        return False
    if level_of_roi(rois, r, levels, borders, len(scales)) != level:
        return False
    scale = scales[level]
    y1, y2, x1, x2 = rois[r, 2], rois[r, 4], rois[r, 1], rois[r, 3]
    if not may_touch(y1, y2, scale, placement, row, row + 1, height):
        return False
    return may_touch(x1, x2, scale, placement, column, column + RUN, width)


@device
def fill_shares(
    axes: Any, run: Any, i: Any, j: Any, bins: Any, cells: Any, tables: Any
) -> None:
    """The shares of a run's cells in some bins of a RoI, found by all threads.

    ``tables`` are for the bins from (i, j) on: how much the row counts in each row of
    bins, and each cell in each column of bins.
    """
    row_shares, shares = tables
    _, row, column = run
    rows, columns = min(BINS, bins[1] - i), min(BINS, bins[2] - j)
    for n in range(cuda.threadIdx.x, rows + columns * cells, cuda.blockDim.x):
        if n < rows:
            row_shares[n] = share(axis_at(axes, 0), i + n, row)
        else:
            k, cell = (n - rows) // cells, (n - rows) % cells
            shares[k, cell] = share(axis_at(axes, 1), j + k, column + cell)


@device
def take(
    grad: Any, r: Any, i: Any, j: Any, c: Any, cells: Any, tables: Any, sums: Any
) -> None:
    """Add what the bins from (i, j) on send to a run of cells, for one channel."""
    row_shares, shares = tables
    rows, columns = min(BINS, grad.shape[1] - i), min(BINS, grad.shape[2] - j)
    for k in range(columns):
        total = ZERO
        for n in range(rows):
            if row_shares[n] != ZERO:
                total += row_shares[n] * to_float32(grad[r, i + n, j + k, c])
        for cell in range(cells):
            if shares[k, cell] != ZERO:
                sums[cell, cuda.threadIdx.x] += shares[k, cell] * total


@kernel
def gather_kernel(
    grad: Any,
    rois: Any,
    scales: Any,
    levels: Any,
    borders: Any,
    sampling_ratio: Any,
    placement: Any,
    level: Any,
    d_map: Any,
) -> None:
    """The mean's gradient by a level. Block (x, y): the x-th run, the y-th channels."""
    row_shares = cuda.shared.array(BINS, np.float32)
    shares = cuda.shared.array((BINS, RUN), np.float32)
    sums = cuda.shared.array((RUN, THREADS), np.float32)
    reached = cuda.shared.array(THREADS, np.int32)
    axes = cuda.shared.array((2, 5), np.float64)
    where = rois, scales, levels, borders, sampling_ratio, placement
    tables = row_shares, shares
    _, height, width, channels = d_map.shape
    thread, threads = cuda.threadIdx.x, cuda.blockDim.x
    c = cuda.blockIdx.y * threads + thread
    run = run_of(cuda.blockIdx.x, height, width)
    image, row, column = run
    cells = min(RUN, width - column)
    for n in range(cells):
        sums[n, thread] = ZERO
    for begin in range(0, rois.shape[0], threads):
        r = begin + thread
        found = r < rois.shape[0] and may_reach(where, r, level, run, d_map)
        reached[thread] = 1 if found else 0
        cuda.syncthreads()
        for r in range(begin, min(begin + threads, rois.shape[0])):
            if reached[r - begin] == 0:
                continue
            place_roi(where, r, level, grad, d_map[image], axes)
            for i in range(0, grad.shape[1], BINS):
                for j in range(0, grad.shape[2], BINS):
                    fill_shares(axes, run, i, j, grad.shape, cells, tables)
                    cuda.syncthreads()
                    if c < channels:
                        take(grad, r, i, j, c, cells, tables, sums)
                    cuda.syncthreads()
        cuda.syncthreads()
    if c < channels:
        for n in range(cells):
            d_map[image, row, column + n, c] = sums[n, thread]


@device
def run_of(n: Any, height: Any, width: Any) -> Any:
    """(image, row, first column) of the n-th run of cells."""
    runs = (width + RUN - 1) // RUN
    return n // runs // height, n // runs % height, n % runs * RUN


@device
def weight_in(cell: Any, fraction: Any, wanted: Any) -> Any:
    """How much a read of ``cell`` and the next counts the cell ``wanted``."""
    if cell == wanted:
        return ONE - fraction
    return fraction if cell >= 0 and cell + 1 == wanted else ZERO


@kernel
def max_gather_kernel(
    grad: Any,
    features: Any,
    rois: Any,
    scales: Any,
    levels: Any,
    borders: Any,
    sampling_ratio: Any,
    placement: Any,
    level: Any,
    d_map: Any,
) -> None:
    """The maximum's gradient by one level; blocks as in ``gather_kernel``.

    Each bin that reaches the run finds its winner anew, as the naive kernel does.
    """
    sums = cuda.shared.array((RUN, THREADS), np.float32)
    where = rois, scales, levels, borders, sampling_ratio, placement
    _, height, width, channels = d_map.shape
    thread = cuda.threadIdx.x
    c = cuda.blockIdx.y * cuda.blockDim.x + thread
    run = run_of(cuda.blockIdx.x, height, width)
    image, row, column = run
    cells = min(RUN, width - column)
    if c >= channels:
        return
    for n in range(cells):
        sums[n, thread] = ZERO
    for r in range(rois.shape[0]):
        if not may_reach(where, r, level, run, d_map):
            continue
        y, x = axes_of(where, r, level, grad, d_map[image])
        for i in range(grad.shape[1]):
            if share(y, i, row) == ZERO:
                continue
            for j in range(grad.shape[2]):
                _, m, n = bin_max(features[image], y, x, i, j, c)
                if m < 0:
                    continue
                top, down = point(y, i, m)
                left, right = point(x, j, n)
                value = weight_in(top, down, row) * to_float32(grad[r, i, j, c])
                if left >= 0 and value != ZERO:
                    for n in range(2):
                        weight = right if n else ONE - right
                        if weight != ZERO and 0 <= left + n - column < cells:
                            sums[left + n - column, thread] += weight * value
    for n in range(cells):
        d_map[image, row, column + n, c] = sums[n, thread]
