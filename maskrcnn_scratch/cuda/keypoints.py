"""Keypoint targets, and keypoints read from resized maps, on a GPU.

``reference.keypoints`` has the rules. Places are float64, as there; values float32.

Targets are one thread a keypoint: there is nothing to share. The read-out's ladder, for
n boxes of w x h pixels, K points each, maps of m x m cells:

naive: one thread a map; to resize it, each of its w h pixels reads 16 cells and
    computes their weights anew. n K threads at most, 1,700 for 100 persons.
fast: a block a map, a thread a column of the box. Going down it, the thread keeps the
    four rows of cells that it mixes, each already mixed along the row: a new one is
    read, 4 cells, only where the next row of cells comes in, m times instead of h
    times. The rows' weights are computed once a block, in shared memory. The resized
    map is in no memory: each thread keeps its best pixel, and the block the best of
    these.

At least n K m m values are read, and n K 3 written.
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
from maskrcnn_scratch.cuda.numbers import to_float32

WARP, THREADS = 32, 64
ROWS = 64  # whose weights a block has at a time
MOST_PIXELS = 65536.0
NO_ROW = -8  # not next to any
NOWHERE = 1 << 40  # behind every pixel
LOWEST, NAN, A = np.float32(-np.inf), np.float32(np.nan), np.float32(-0.75)
ZERO, ONE, TWO, FOUR, FIVE, EIGHT = (np.float32(x) for x in (0, 1, 2, 4, 5, 8))


def keypoint_targets(
    keypoints: Tensor, boxes: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """(index, valid), both (n, points): the bin of each keypoint, and if there is one.

    ``keypoints`` (n, points, 3) are (x, y, v), ``boxes`` (n, 4) xyxy, both in pixels of
    the image. int64 and booleans; the index is 0 where there is none.
    """
    n, points, _ = keypoints.shape
    index = boxes.new_empty((n, points), dtype=torch.int64)
    valid = boxes.new_empty((n, points), dtype=torch.bool)
    outputs = index, valid.view(torch.uint8)
    blocks = ceil_div(n * points, WARP)
    launch(target_bins, blocks, WARP, keypoints, boxes, size, *outputs)
    return index, valid


def keypoint_readout_resized(logits: Tensor, boxes: Tensor) -> Tensor:
    """(x, y, logit) of the best pixel of each map, resized bicubically to its box.

    ``logits`` (n, points, m, m) of any type, ``boxes`` (n, 4) xyxy in pixels of the
    image: (n, points, 3) float32. NaN for a box of more than 65,536 pixels a side,
    which is none of an image.
    """
    n, points = logits.shape[:2]
    out = logits.new_empty((n, points, 3), dtype=torch.float32)
    launch(best_pixels, (n, points if n else 0), THREADS, logits, boxes, out)
    return out


def keypoint_readout_resized_naive(logits: Tensor, boxes: Tensor) -> Tensor:
    """The same, one thread a map."""
    n, points = logits.shape[:2]
    out = logits.new_empty((n, points, 3), dtype=torch.float32)
    launch(naive_pixels, ceil_div(n * points, WARP), WARP, logits, boxes, out)
    return out


@device
def bin_of(position: Any, low: Any, high: Any, bins: Any) -> Any:
    """Which of the equal bins over low..high holds the position; -1 if none does."""
    if not (low <= position <= high and low < high):
        return -1
    return min(int((position - low) * bins / (high - low)), bins - 1)


@kernel
def target_bins(keypoints: Any, boxes: Any, size: Any, index: Any, valid: Any) -> None:
    """One thread a keypoint."""
    place = cuda.grid(1)
    points = keypoints.shape[1]
    if place < keypoints.shape[0] * points:
        n, k = place // points, place % points
        x, y = float(keypoints[n, k, 0]), float(keypoints[n, k, 1])
        column = bin_of(x, float(boxes[n, 0]), float(boxes[n, 2]), size)
        row = bin_of(y, float(boxes[n, 1]), float(boxes[n, 3]), size)
        there = keypoints[n, k, 2] > 0 and column >= 0 and row >= 0
        index[n, k] = row * size + column if there else 0
        valid[n, k] = 1 if there else 0


@device
def side_of(low: Any, high: Any) -> Any:
    """A box's side, at least a pixel, and in whole pixels; 0 of them if too many."""
    side = float(high) - float(low)
    if not side <= MOST_PIXELS:
        return side, 0
    side = max(side, 1.0)
    return side, np.int64(math.ceil(side))


@device
def cubic(pixel: Any, pixels: Any, cells: Any) -> Any:
    """(low, weights of the cells low - 1 to low + 2) of a pixel of a resized axis.

    Keys' kernel with a = -3/4, at the distances 1 + t, t, 1 - t and 2 - t.
    """
    c = (pixel + 0.5) * cells / pixels - 0.5
    low = np.int64(math.floor(c))
    t = np.float32(c - low)
    u = ONE - t
    return low, outer(ONE + t), inner(t), inner(u), outer(ONE + u)


@device
def inner(d: Any) -> Any:
    """Keys' kernel up to a distance of 1."""
    return ((A + TWO) * d - (A + TWO + ONE)) * d * d + ONE


@device
def outer(d: Any) -> Any:
    """Keys' kernel from a distance of 1 to 2."""
    return A * (((d - FIVE) * d + EIGHT) * d - FOUR)


@device
def within(cell: Any, cells: Any) -> Any:
    """The cell, or the end one that goes on beyond its end."""
    return min(max(cell, 0), cells - 1)


@device
def in_row(maps: Any, n: Any, k: Any, row: Any, x: Any) -> Any:
    """A row of cells of a map, mixed at the place ``x`` that ``cubic`` gave."""
    cells = maps.shape[3]
    low, a, b, c, d = x
    line = maps[n, k, within(row, maps.shape[2])]
    return (
        a * to_float32(line[within(low - 1, cells)])
        + b * to_float32(line[within(low, cells)])
        + c * to_float32(line[within(low + 1, cells)])
        + d * to_float32(line[within(low + 2, cells)])
    )


@device
def write(
    out: Any, n: Any, k: Any, boxes: Any, width: Any, height: Any, best: Any, place: Any
) -> None:
    """The centre of the pixel ``place`` of a resized map, in the image, and its logit.

    ``width`` and ``height`` are those of ``side_of``.
    """
    columns, rows = width[1], height[1]
    if columns == 0 or rows == 0 or place == NOWHERE:
        for axis in range(3):
            out[n, k, axis] = NAN
        return
    row, column = place // columns, place % columns
    out[n, k, 0] = float(boxes[n, 0]) + (column + 0.5) * width[0] / columns
    out[n, k, 1] = float(boxes[n, 1]) + (row + 0.5) * height[0] / rows
    out[n, k, 2] = best


@kernel
def naive_pixels(maps: Any, boxes: Any, out: Any) -> None:
    """Naive: one thread a map."""
    thread = cuda.grid(1)
    points = maps.shape[1]
    if thread >= maps.shape[0] * points:
        return
    n, k = thread // points, thread % points
    width = side_of(boxes[n, 0], boxes[n, 2])
    height = side_of(boxes[n, 1], boxes[n, 3])
    best, place = LOWEST, NOWHERE
    for row in range(height[1] if width[1] > 0 else 0):
        for column in range(width[1]):
            x = cubic(column, width[1], maps.shape[3])
            low, a, b, c, d = cubic(row, height[1], maps.shape[2])
            value = a * in_row(maps, n, k, low - 1, x) + b * in_row(maps, n, k, low, x)
            value += c * in_row(maps, n, k, low + 1, x)
            value += d * in_row(maps, n, k, low + 2, x)
            if value > best:
                best, place = value, row * width[1] + column
    write(out, n, k, boxes, width, height, best, place)


@device
def first_best(values: Any, places: Any, best: Any, place: Any) -> None:
    """Leaves the greatest of all threads' values, and its place, in the first cells.

    Of equal values the one that comes first.
    """
    t = cuda.threadIdx.x
    values[t], places[t] = best, place
    half = cuda.blockDim.x // 2
    while half > 0:
        cuda.syncthreads()
        if t < half:
            other, there = values[t + half], places[t + half]
            if other > values[t] or (other == values[t] and there < places[t]):
                values[t], places[t] = other, there
        half //= 2


@kernel
def best_pixels(maps: Any, boxes: Any, out: Any) -> None:
    """Fast: a block a map, a thread a column."""
    lows = cuda.shared.array(ROWS, np.int32)
    weights = cuda.shared.array((ROWS, 4), np.float32)
    values = cuda.shared.array(THREADS, np.float32)
    places = cuda.shared.array(THREADS, np.int64)
    n, k, t = cuda.blockIdx.x, cuda.blockIdx.y, cuda.threadIdx.x
    width = side_of(boxes[n, 0], boxes[n, 2])
    height = side_of(boxes[n, 1], boxes[n, 3])
    best, place = LOWEST, NOWHERE
    for base in range(0, height[1] if width[1] > 0 else 0, ROWS):
        here = min(ROWS, height[1] - base)
        for r in range(t, here, cuda.blockDim.x):
            low, a, b, c, d = cubic(base + r, height[1], maps.shape[2])
            lows[r] = low
            weights[r, 0], weights[r, 1], weights[r, 2], weights[r, 3] = a, b, c, d
        cuda.syncthreads()
        for column in range(t, width[1], cuda.blockDim.x):
            x = cubic(column, width[1], maps.shape[3])
            kept = NO_ROW
            above = upper = lower = below = ZERO
            for r in range(here):
                low = lows[r]
                if low == kept + 1:
                    above, upper, lower = upper, lower, below
                    below = in_row(maps, n, k, low + 2, x)
                elif low != kept:
                    above = in_row(maps, n, k, low - 1, x)
                    upper = in_row(maps, n, k, low, x)
                    lower = in_row(maps, n, k, low + 1, x)
                    below = in_row(maps, n, k, low + 2, x)
                kept = low
                value = weights[r, 0] * above + weights[r, 1] * upper
                value += weights[r, 2] * lower
                value += weights[r, 3] * below
                pixel = (base + r) * width[1] + column
                if value > best or (value == best and pixel < place):
                    best, place = value, pixel
        cuda.syncthreads()
    first_best(values, places, best, place)
    if t == 0:
        write(out, n, k, boxes, width, height, values[0], places[0])
