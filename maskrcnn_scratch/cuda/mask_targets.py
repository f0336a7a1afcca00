"""Mask targets on a GPU: RoIAlign of bitmaps, straight from their bytes.

``reference.masks.mask_targets`` has the rule: aligned, one sample point a pixel, the
mean. Points are placed in float64, as there; sums are float32.

The ladder, for n RoIs of h x w pixels and targets of m x m cells:

naive: one thread a cell of a target. Each of its S x S points is placed anew on both
    axes, in float64, which most GPUs compute 32 or 64 times more slowly than float32,
    and reads four pixels: h w points a RoI, 4 h w reads.
fast: the points form a grid, so their mean is a sum over rows of sums over columns
    (``reference.roi_align.roi_align_separable``). A block has four rows of a target. It
    places their points once, in shared memory, then sums the mask's rows under them,
    one thread a column: neighbouring threads read neighbouring bytes. The sums wait in
    shared memory for the threads of the target's columns, which place a point once for
    all four rows. About m (h + w) / 2 points are placed a RoI and 2 h w pixels read.

At least n h w bytes are read, where boxes lie apart, and n m m 4 written. No mask is
ever copied to float.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.launch import WARP, block_size, ceil_div, launch
from maskrcnn_scratch.cuda.taps import (
    ALIGNED,
    NO_CELL,
    axis_of,
    locate,
    window_start,
)

ROWS = 4  # of a target, that a block computes
MOST_THREADS = 64
ADAPTIVE = 0
ZERO, HALF, ONE, NAN = (np.float32(x) for x in (0, 0.5, 1, np.nan))


def mask_targets(
    masks: Tensor, boxes: Tensor, index: Tensor, size: int, rule: str = "soft"
) -> Tensor:
    """The share of each cell of a size x size grid over a box that its mask covers.

    ``masks`` (objects, height, width) uint8 or bool, ``boxes`` (n, 4) xyxy in their
    pixels, ``index`` (n,) int64: the mask of each box. (n, size, size) float32;
    ``rule`` "threshold" makes shares of at least one half 1, others 0. NaN where
    ``index`` names no mask.
    """
    threads = block_size(max(size, masks.shape[2]), MOST_THREADS)
    blocks = (len(boxes), ceil_div(size, ROWS), ceil_div(size, threads))
    out = boxes.new_empty((len(boxes), size, size), dtype=torch.float32)
    bytes_ = masks.view(torch.uint8)
    launch(target_rows, blocks, threads, bytes_, boxes, index, rule == "threshold", out)
    return out


def mask_targets_naive(
    masks: Tensor, boxes: Tensor, index: Tensor, size: int, rule: str = "soft"
) -> Tensor:
    """The same, one thread a cell."""
    out = boxes.new_empty((len(boxes), size, size), dtype=torch.float32)
    blocks = ceil_div(out.numel(), WARP)
    bytes_ = masks.view(torch.uint8)
    launch(target_cells, blocks, WARP, bytes_, boxes, index, rule == "threshold", out)
    return out


@device
def axis_under(boxes: Any, n: Any, side: Any, bins: Any, length: Any) -> Any:
    """Where box n reads an axis of the masks: ``side`` 0 for columns, 1 for rows."""
    low, high = boxes[n, side], boxes[n, side + 2]
    return axis_of(low, high, 1.0, ALIGNED, bins, ADAPTIVE, length)


@device
def mixed(weight: Any, low: Any, high: Any) -> Any:
    """Between two values, float32; between two of the same just that."""
    return np.float32(low) + weight * (np.float32(high) - np.float32(low))


@device
def finished(total: Any, y: Any, x: Any, known: Any, threshold: Any) -> Any:
    """The mean of the points of a bin on two axes, cut at one half if asked to."""
    if not known:
        return NAN
    mean = total / np.float32(max(y[2] * x[2], 1.0))
    if threshold:
        return ONE if mean >= HALF else ZERO
    return mean


@kernel
def target_cells(masks: Any, boxes: Any, index: Any, threshold: Any, out: Any) -> None:
    """Naive: one thread a cell of a target."""
    objects, height, width = masks.shape
    size = out.shape[1]
    thread = cuda.grid(1)
    if thread >= out.size:
        return
    n, i, j = thread // (size * size), thread // size % size, thread % size
    y = axis_under(boxes, n, 1, size, height)
    x = axis_under(boxes, n, 0, size, width)
    which, total = index[n], ZERO
    known = 0 <= which < objects
    for t in range(y[3] if known else 0):
        for s in range(x[3]):
            top, y_weight = locate(y, i, window_start(y, i) + t)
            left, x_weight = locate(x, j, window_start(x, j) + s)
            if top != NO_CELL and left != NO_CELL:
                bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
                u, v = np.float32(x_weight), np.float32(y_weight)
                above = mixed(u, masks[which, top, left], masks[which, top, right])
                below = mixed(
                    u, masks[which, bottom, left], masks[which, bottom, right]
                )
                total += mixed(v, above, below)
    out[n, i, j] = finished(total, y, x, known, threshold)


@device
def columns_under(start: Any, end: Any, width: Any) -> Any:
    """The range of columns that points between two index coordinates read."""
    first = np.int64(min(max(start, 0.0), width - 1.0))
    last = np.int64(min(max(end, 0.0), width - 1.0))
    return first, min(last + 2, width)


@device
def place_rows(cells: Any, weights: Any, y: Any, i: Any, base: Any, t: Any) -> None:
    """Thread t places its point of each of ROWS rows of bins, from row i on."""
    for g in range(ROWS):
        s = window_start(y, i + g) + base + t
        cells[g, t], weights[g, t] = locate(y, i + g, s)


@device
def column_sum(mask: Any, column: Any, cells: Any, weights: Any, points: Any) -> Any:
    """One column of a mask, summed over the points of a row of bins."""
    total, last = ZERO, mask.shape[0] - 1
    for r in range(points):
        top = cells[r]
        if top != NO_CELL:
            bottom = min(top + 1, last)
            total += mixed(weights[r], mask[top, column], mask[bottom, column])
    return total


@device
def add_columns(
    totals: Any, lines: Any, begin: Any, end: Any, x: Any, j: Any, s: Any
) -> Any:
    """Add bin j's points on the columns begin..end, from point s on, to ROWS totals.

    Points come from left to right. Returns the one to go on with: where its right
    column belongs to the next chunk, its other half is added there.
    """
    first = window_start(x, j)
    while s < x[3]:
        left, fraction = locate(x, j, first + s)
        if left != NO_CELL:
            right, weight = min(left + 1, x[4] - 1), np.float32(fraction)
            for g in range(ROWS):
                if begin <= left < end:
                    totals[g] += (ONE - weight) * lines[g, left - begin]
                if begin <= right < end:
                    totals[g] += weight * lines[g, right - begin]
            if right >= end:
                break
        s += 1
    return s


@kernel
def target_rows(masks: Any, boxes: Any, index: Any, threshold: Any, out: Any) -> None:
    """Fast: a block has ROWS rows of one target, a thread one of its columns.

    The mask's columns pass by in chunks, a thread for each of a chunk.
    """
    cells = cuda.shared.array((ROWS, MOST_THREADS), np.int32)
    weights = cuda.shared.array((ROWS, MOST_THREADS), np.float32)
    lines = cuda.shared.array((ROWS, MOST_THREADS), np.float32)
    totals = cuda.local.array(ROWS, np.float32)
    _, height, width = masks.shape
    size, t, chunk = out.shape[1], cuda.threadIdx.x, cuda.blockDim.x
    n, i, j = cuda.blockIdx.x, cuda.blockIdx.y * ROWS, cuda.blockIdx.z * chunk
    y = axis_under(boxes, n, 1, size, height)
    x = axis_under(boxes, n, 0, size, width)
    which = index[n]
    known = 0 <= which < masks.shape[0]
    points = y[3] if known and x[3] > 0 else 0
    for g in range(ROWS):
        totals[g] = ZERO
    for base in range(0, points, chunk):  # more than once where bins are very high
        here = min(chunk, points - base)
        if t < here:
            place_rows(cells, weights, y, i, base, t)
        cuda.syncthreads()
        start, end = x[0] + j * x[1], x[0] + min(j + chunk, size) * x[1]
        left, right = columns_under(start, end, width)
        s = 0
        for begin in range(left, right, chunk):
            column = begin + t
            for g in range(ROWS):
                if column < right:
                    lines[g, t] = column_sum(
                        masks[which], column, cells[g], weights[g], here
                    )
            cuda.syncthreads()
            if j + t < size:
                stop = min(begin + chunk, right)
                s = add_columns(totals, lines, begin, stop, x, j + t, s)
            cuda.syncthreads()
    for g in range(ROWS):
        if i + g < size and j + t < size:
            out[n, i + g, j + t] = finished(totals[g], y, x, known, threshold)
