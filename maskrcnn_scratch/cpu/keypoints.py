"""Keypoints, compiled: targets, loss, and points read from maps resized to their boxes.

Of the loss a map is a softmax over its bins. With x' = x - max x and s = sum e^x' it
costs log s - x'[bin]; max x and s are kept for the gradient, e^x' / s - [this bin].

No resized map is ever in memory: a map is widened to the box's columns, and its rows
are mixed one after the other, each forgotten once its best pixel is known.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from maskrcnn_scratch.cpu import threads
from maskrcnn_scratch.cpu.box_grid import corners
from maskrcnn_scratch.cpu.compiled import Array, compiled

MOST_PIXELS = 65536.0
"""A box that is wider or higher is none of an image; its keypoints are NaN."""


@compiled
def keypoint_targets(keypoints: Array, boxes: Array, size: int) -> tuple[Array, Array]:
    """(index, valid), both (n, points): the bin of each keypoint, and if there is one.

    ``keypoints`` (n, points, 3) are (x, y, v), ``boxes`` (n, 4) xyxy, both in pixels of
    the image. int64 and booleans; the index is 0 where there is none.
    """
    count, points, _ = keypoints.shape
    index = np.zeros((count, points), np.int64)
    valid = np.zeros((count, points), np.bool_)
    for n in range(count):
        x1, y1, x2, y2 = corners(boxes, n)
        for k in range(points):
            x, y = float(keypoints[n, k, 0]), float(keypoints[n, k, 1])
            column, row = bin_of(x, x1, x2, size), bin_of(y, y1, y2, size)
            if keypoints[n, k, 2] > 0 and column >= 0 and row >= 0:
                index[n, k] = row * size + column
                valid[n, k] = True
    return index, valid


@compiled
def bin_of(position: float, low: float, high: float, bins: int) -> int:
    """Which of the equal bins over low..high holds the position; -1 if none does."""
    if not (low <= position <= high and low < high):
        return -1
    return min(int((position - low) * bins / (high - low)), bins - 1)


def keypoint_loss(
    logits: Array, index: Array, valid: Array, workers: int = 1
) -> tuple[Array, Array, Array]:
    """The mean over valid points of -log softmax(map)[index], and for its gradient.

    ``logits`` (n, points, m, m), ``index`` (n, points) in 0..m*m-1, ``valid``
    (n, points). Returns arrays of the type of the logits: the loss, a scalar, 0 where
    no point is valid; max x and s of each map, (n * points, 2); 1 / number of valid
    points. What stands in maps of points that are not valid is not read.
    """
    maps, bins, counts = flat(logits, index, valid)
    stats, losses = np.zeros((len(maps), 2), maps.dtype), np.zeros(len(maps))
    tasks = [
        partial(loss_of_maps, maps, bins, counts, start, stop, stats, losses)
        for start, stop in threads.parts(len(maps), workers)
    ]
    threads.run(tasks, workers)
    scale = 1 / max(int(counts.sum()), 1)
    loss = losses.sum() * scale
    return np.array(loss, maps.dtype), stats, np.array(scale, maps.dtype)


def keypoint_loss_backward(
    factor: float,
    stats: Array,
    logits: Array,
    index: Array,
    valid: Array,
    workers: int = 1,
) -> Array:
    """The gradient by the logits; ``factor`` is that by the loss, times the scale."""
    maps, bins, counts = flat(logits, index, valid)
    out = np.zeros(maps.shape, maps.dtype)
    tasks = [
        partial(slopes_of_maps, factor, stats, maps, bins, counts, start, stop, out)
        for start, stop in threads.parts(len(maps), workers)
    ]
    threads.run(tasks, workers)
    return out.reshape(logits.shape)


def flat(logits: Array, index: Array, valid: Array) -> tuple[Array, Array, Array]:
    """Every map as a row, its bin, and whether it counts."""
    n, points, height, width = logits.shape
    return logits.reshape(n * points, height * width), index.ravel(), valid.ravel()


@compiled
def loss_of_maps(
    maps: Array,
    bins: Array,
    counts: Array,
    start: int,
    stop: int,
    stats: Array,
    losses: Array,
) -> None:
    """``keypoint_loss`` of the maps start..stop, each by itself; 0 was there before."""
    for i in range(start, stop):
        if not counts[i]:
            continue
        line = maps[i]
        peak, total = line[0], 0.0
        for x in line:
            peak = max(peak, x)
        for x in line:
            total += math.exp(x - peak)
        stats[i, 0], stats[i, 1] = peak, total
        losses[i] = math.log(total) - (line[bins[i]] - peak)


@compiled
def slopes_of_maps(
    factor: float,
    stats: Array,
    maps: Array,
    bins: Array,
    counts: Array,
    start: int,
    stop: int,
    out: Array,
) -> None:
    """``keypoint_loss_backward`` of the maps start..stop; 0 was there before."""
    for i in range(start, stop):
        if not counts[i]:
            continue
        peak, share = stats[i, 0], out.dtype.type(factor / stats[i, 1])
        for p in range(maps.shape[1]):
            out[i, p] = math.exp(maps[i, p] - peak) * share
        out[i, bins[i]] -= factor


def keypoint_readout_resized(logits: Array, boxes: Array, workers: int = 1) -> Array:
    """(x, y, logit) of the best pixel of each map, resized bicubically to its box.

    ``logits`` (n, points, size, size), ``boxes`` (n, 4) xyxy in pixels of the image:
    (n, points, 3) of the type of the logits.
    """
    out = np.empty((*logits.shape[:2], 3), logits.dtype)
    tasks = [
        partial(read_boxes, logits, boxes, start, stop, out)
        for start, stop in threads.parts(len(boxes), workers)
    ]
    threads.run(tasks, workers)
    return out


@compiled
def read_boxes(logits: Array, boxes: Array, start: int, stop: int, out: Array) -> None:
    """``keypoint_readout_resized`` for the boxes start..stop."""
    _, points, size, _ = logits.shape
    for n in range(start, stop):
        x1, y1, x2, y2 = corners(boxes, n)
        width, height = max(1.0, x2 - x1), max(1.0, y2 - y1)
        if not (x2 - x1 <= MOST_PIXELS and y2 - y1 <= MOST_PIXELS):
            out[n] = np.nan
            continue
        columns, rows = math.ceil(width), math.ceil(height)
        x_cells, x_weights = cubic_reads(columns, size, logits[n])
        y_cells, y_weights = cubic_reads(rows, size, logits[n])
        wide = np.empty((size, columns), logits.dtype)
        for point in range(points):
            widen(logits[n, point], x_cells, x_weights, wide)
            score, row, column = highest(wide, y_cells, y_weights)
            out[n, point, 0] = x1 + (column + 0.5) * width / columns
            out[n, point, 1] = y1 + (row + 0.5) * height / rows
            out[n, point, 2] = score


@compiled
def cubic_reads(pixels: int, size: int, like: Array) -> tuple[Array, Array]:
    """The four cells that each pixel of an axis reads, and their weights."""
    cells = np.empty((pixels, 4), np.int64)
    weights = np.empty((pixels, 4), like.dtype)
    for p in range(pixels):
        c = (p + 0.5) * size / pixels - 0.5
        low = math.floor(c)
        for k in range(4):
            cell = low - 1 + k
            cells[p, k] = min(max(cell, 0), size - 1)
            weights[p, k] = cubic_weight(c - cell)
    return cells, weights


@compiled
def cubic_weight(distance: float) -> float:
    """Keys' kernel with a = -3/4; see the reference."""
    a, d = -0.75, abs(distance)
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return a * (((d - 5) * d + 8) * d - 4)


@compiled
def widen(logits: Array, cells: Array, weights: Array, wide: Array) -> None:
    """The map (size, size) as ``wide`` (size, columns)."""
    for row in range(len(wide)):
        line, out = logits[row], wide[row]
        for c in range(len(out)):
            out[c] = (
                weights[c, 0] * line[cells[c, 0]]
                + weights[c, 1] * line[cells[c, 1]]
                + weights[c, 2] * line[cells[c, 2]]
                + weights[c, 3] * line[cells[c, 3]]
            )


@compiled
def highest(wide: Array, cells: Array, weights: Array) -> tuple[float, int, int]:
    """(value, row, column) of the first of the best pixels."""
    best, best_row, best_column = wide.dtype.type(-np.inf), 0, 0
    line = np.empty(wide.shape[1], wide.dtype)
    for row in range(len(cells)):
        a, b, c, d = weights[row]
        above, low = wide[cells[row, 0]], wide[cells[row, 1]]
        high, below = wide[cells[row, 2]], wide[cells[row, 3]]
        for column in range(len(line)):
            line[column] = (
                a * above[column]
                + b * low[column]
                + c * high[column]
                + d * below[column]
            )
        for column in range(len(line)):
            if line[column] > best:
                best, best_row, best_column = line[column], row, column
    return best, best_row, best_column
