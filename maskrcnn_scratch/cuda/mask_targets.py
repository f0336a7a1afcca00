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

import math
from typing import Any

import numpy as np
import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.launch import ceil_div, launch

ROWS = 4  # of a target, that a block computes
MOST_THREADS = 64
WARP = 32
ENDLESS = 2.0**40
OUTSIDE = -1
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
    threads = WARP if max(size, masks.shape[2]) <= WARP else MOST_THREADS
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
def samples_of(bin_size: Any) -> Any:
    """Points a bin on one axis: one a pixel; 0 where there is no area.

    Nor are there any in a bin so large that hardly one of them would hit the mask.
    """
    return int(math.ceil(bin_size)) if 0 < bin_size < ENDLESS else 0  # noqa: RUF046


@device
def samples_near(start: Any, bin_size: Any, samples: Any, k: Any, length: Any) -> Any:
    """The range (first, stop) of bin k's points that may lie on an axis of ``length``.

    A few outside stay in at either end. So a box a million pixels wide costs no more
    than the mask's width.
    """
    if samples == 0:
        return 0, 0
    step = bin_size / samples
    before = start + k * bin_size + 0.5 * step
    low, high = (-1.0 - before) / step - 1.0, (length - before) / step + 2.0
    first = int(min(max(low, 0.0), float(samples)))
    stop = int(min(max(high, 0.0), float(samples)))
    return first, min(stop + 1, samples)


@device
def tap(start: Any, bin_size: Any, samples: Any, k: Any, s: Any, length: Any) -> Any:
    """(cell, weight of the next one) of point s of bin k; OUTSIDE if beyond the axis.

    The reference's order of operations, so that points on a border agree.
    """
    c = start + k * bin_size + (s + 0.5) * bin_size / samples
    if not -1 <= c <= length:
        return OUTSIDE, ZERO
    c = min(max(c, 0.0), length - 1.0)
    low = int(c)
    return low, np.float32(c - low)


@device
def mixed(weight: Any, low: Any, high: Any) -> Any:
    """Between two values, float32; between two of the same just that."""
    return np.float32(low) + weight * (np.float32(high) - np.float32(low))


@device
def finished(total: Any, samples: Any, known: Any, threshold: Any) -> Any:
    """The mean of the samples, cut at one half if asked to."""
    if not known:
        return NAN
    share = total / np.float32(max(samples, 1))
    if threshold:
        return ONE if share >= HALF else ZERO
    return share


@kernel
def target_cells(masks: Any, boxes: Any, index: Any, threshold: Any, out: Any) -> None:
    """Naive: one thread a cell of a target."""
    objects, height, width = masks.shape
    size = out.shape[1]
    place = cuda.grid(1)
    if place >= out.size:
        return
    n, i, j = place // (size * size), place // size % size, place % size
    x, y = float(boxes[n, 0]) - 0.5, float(boxes[n, 1]) - 0.5
    x_bin = (float(boxes[n, 2]) - float(boxes[n, 0])) / size
    y_bin = (float(boxes[n, 3]) - float(boxes[n, 1])) / size
    which = index[n]
    known = 0 <= which < objects
    y_samples = samples_of(y_bin) if known else 0
    x_samples = samples_of(x_bin)
    total = ZERO
    y_first, y_stop = samples_near(y, y_bin, y_samples, i, height)
    x_first, x_stop = samples_near(x, x_bin, x_samples, j, width)
    for t in range(y_first, y_stop):
        for s in range(x_first, x_stop):
            top, y_weight = tap(y, y_bin, y_samples, i, t, height)
            left, x_weight = tap(x, x_bin, x_samples, j, s, width)
            if top != OUTSIDE and left != OUTSIDE:
                bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
                above = mixed(
                    x_weight, masks[which, top, left], masks[which, top, right]
                )
                below = mixed(
                    x_weight, masks[which, bottom, left], masks[which, bottom, right]
                )
                total += mixed(y_weight, above, below)
    out[n, i, j] = finished(total, y_samples * x_samples, known, threshold)


@device
def most_near(bin_size: Any, samples: Any, length: Any) -> Any:
    """At least as many points as ``samples_near`` finds in any bin of an axis."""
    if samples == 0:
        return 0
    step = bin_size / samples
    return int(min(float(samples), (length + 1.0) / step + 6.0))


@device
def columns_under(start: Any, end: Any, width: Any) -> Any:
    """The range of columns that points between two index coordinates read."""
    first = int(min(max(start, 0.0), width - 1.0))
    last = int(min(max(end, 0.0), width - 1.0))
    return first, min(last + 2, width)


@device
def column_sum(mask: Any, column: Any, cells: Any, weights: Any, points: Any) -> Any:
    """One column of a mask, summed over the points of a row of bins."""
    total, last = ZERO, mask.shape[0] - 1
    for r in range(points):
        top = cells[r]
        if top != OUTSIDE:
            bottom = min(top + 1, last)
            total += mixed(weights[r], mask[top, column], mask[bottom, column])
    return total


@device
def add_columns(
    totals: Any, lines: Any, begin: Any, end: Any, axis: Any, s: Any, stop: Any
) -> Any:
    """Add a bin's points that lie on the columns begin..end to ROWS totals.

    Points come from left to right, from ``s`` on. Returns the one to go on with: where
    its right column belongs to the next chunk, it adds its other half there.
    """
    start, bin_size, samples, k, width = axis
    while s < stop:
        low, weight = tap(start, bin_size, samples, k, s, width)
        if low != OUTSIDE:
            high = min(low + 1, width - 1)
            if begin <= low < end:
                for g in range(ROWS):
                    totals[g] += (ONE - weight) * lines[g, low - begin]
            if begin <= high < end:
                for g in range(ROWS):
                    totals[g] += weight * lines[g, high - begin]
            if high >= end:
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
    x, y = float(boxes[n, 0]) - 0.5, float(boxes[n, 1]) - 0.5
    x_bin = (float(boxes[n, 2]) - float(boxes[n, 0])) / size
    y_bin = (float(boxes[n, 3]) - float(boxes[n, 1])) / size
    which = index[n]
    known = 0 <= which < masks.shape[0]
    x_samples = samples_of(x_bin) if known else 0
    y_samples = samples_of(y_bin) if known else 0
    points = most_near(y_bin, y_samples, height) if x_samples > 0 else 0
    first, stop = samples_near(x, x_bin, x_samples, j + t, width)
    axis = (x, x_bin, x_samples, j + t, width)
    for g in range(ROWS):
        totals[g] = ZERO
    for base in range(0, points, chunk):  # more than once where bins are very high
        here = min(chunk, points - base)
        if t < here:
            for g in range(ROWS):
                low, high = samples_near(y, y_bin, y_samples, i + g, height)
                s = low + base + t
                cells[g, t] = OUTSIDE
                if s < high:
                    cells[g, t], weights[g, t] = tap(
                        y, y_bin, y_samples, i + g, s, height
                    )
        cuda.syncthreads()
        left, right = columns_under(x + j * x_bin, x + (j + chunk) * x_bin, width)
        s = first
        for begin in range(left, right, chunk):
            column = begin + t
            if column < right:
                for g in range(ROWS):
                    lines[g, t] = column_sum(
                        masks[which], column, cells[g], weights[g], here
                    )
            cuda.syncthreads()
            s = add_columns(
                totals, lines, begin, min(begin + chunk, right), axis, s, stop
            )
            cuda.syncthreads()
    for g in range(ROWS):
        if i + g < size and j + t < size:
            out[n, i + g, j + t] = finished(
                totals[g], y_samples * x_samples, known, threshold
            )
