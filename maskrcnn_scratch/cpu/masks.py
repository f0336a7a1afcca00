"""Masks between their two frames, compiled: the image's pixels and a box's m x m grid.

``mask_targets`` reads the image's mask inside each box alone, and ``paste_masks``
writes booleans at once, so neither makes a float copy of a full-size mask.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from maskrcnn_scratch.cpu import threads
from maskrcnn_scratch.cpu.box_grid import corners
from maskrcnn_scratch.cpu.compiled import Array, compiled
from maskrcnn_scratch.cpu.taps import axis_taps


def mask_targets(
    masks: Array, boxes: Array, index: Array, size: int, workers: int = 1
) -> Array:
    """The fraction of each cell of a size x size grid over a box that its mask covers.

    RoIAlign (aligned, adaptive, mean) of the bitmap ``masks[index[n]]`` over
    ``boxes[n]``: (n, size, size) float64. Boxes are xyxy in pixels of the masks.
    """
    out = np.empty((len(boxes), size, size))
    tasks = [
        partial(read_masks, masks, boxes, index, start, stop, out)
        for start, stop in threads.parts(len(boxes), workers)
    ]
    threads.run(tasks, workers)
    return out


def paste_masks(
    probabilities: Array,
    boxes: Array,
    image_size: tuple[int, int],
    threshold: float,
    workers: int = 1,
) -> Array:
    """Where each m x m map, stretched over its box, reaches the threshold.

    Read at the pixels' centres, 0 outside the map: (n, height, width) booleans. What is
    not set is never written: the system hands out memory that is zero already.
    """
    out = np.zeros((len(boxes), *image_size), bool)
    tasks = [
        partial(paste, probabilities, boxes, threshold, start, stop, out)
        for start, stop in threads.parts(len(boxes), workers)
    ]
    threads.run(tasks, workers)
    return out


@compiled
def read_masks(
    masks: Array, boxes: Array, index: Array, start: int, stop: int, out: Array
) -> None:
    """``mask_targets`` for the boxes start..stop.

    Adaptive samples are less than a pixel apart, so the columns that a box reads are
    all those from the first to the last: a row goes by in one stretch.
    """
    _, height, width = masks.shape
    size = out.shape[1]
    line = np.empty(width)
    for n in range(start, stop):
        x1, y1, x2, y2 = corners(boxes, n)
        y_first, rows, y_weight = axis_taps(y1 - 0.5, y2 - y1, size, 0, height)
        x_first, columns, x_weight = axis_taps(x1 - 0.5, x2 - x1, size, 0, width)
        if len(rows) == 0 or len(columns) == 0:
            out[n] = 0
            continue
        left, right = columns[0], columns[-1] + 1
        mask, sums = masks[index[n]], line[: right - left]
        for i in range(size):
            sums[:] = 0
            for t in range(y_first[i], y_first[i + 1]):
                row, weight = mask[rows[t]][left:right], y_weight[t]
                for k in range(len(sums)):
                    sums[k] += weight * row[k]
            for j in range(size):
                value = 0.0
                for t in range(x_first[j], x_first[j + 1]):
                    value += x_weight[t] * sums[columns[t] - left]
                out[n, i, j] = value


@compiled
def paste(
    probabilities: Array,
    boxes: Array,
    threshold: float,
    start: int,
    stop: int,
    out: Array,
) -> None:
    """``paste_masks`` for the boxes start..stop.

    A ring of zeros around a map makes it fade beyond its outer cells.
    """
    _, height, width = out.shape
    m = probabilities.shape[1]
    ringed = np.zeros((m + 2, m + 2))
    line = np.empty(m + 2)
    for n in range(start, stop):
        x1, y1, x2, y2 = corners(boxes, n)
        if not (x2 > x1 and y2 > y1):
            continue
        for i in range(m):
            for j in range(m):
                ringed[i + 1, j + 1] = probabilities[n, i, j]
        top, rows, y_weight = pixel_reads(y1, y2, m, height)
        left, columns, x_weight = pixel_reads(x1, x2, m, width)
        first = pixels_between(columns, m)
        for i in range(len(rows)):
            upper, lower, weight = ringed[rows[i]], ringed[rows[i] + 1], y_weight[i]
            for k in range(m + 2):
                line[k] = (1 - weight) * upper[k] + weight * lower[k]
            paste_row(line, first, x_weight, threshold, out[n, top + i][left:])


@compiled
def paste_row(
    line: Array, first: Array, weight: Array, threshold: float, pixels: Array
) -> None:
    """Set the pixels of a row that reach the threshold; ``line`` is the map there.

    A value between two cells is between theirs. So most stretches of pixels are decided
    at once, and only where the outline runs through are they computed.
    """
    for k in range(len(line) - 1):
        before, after = line[k], line[k + 1]
        if before < threshold and after < threshold:
            continue
        if before >= threshold and after >= threshold:
            pixels[first[k] : first[k + 1]] = True
            continue
        for j in range(first[k], first[k + 1]):
            value = (1 - weight[j]) * before + weight[j] * after
            pixels[j] = value >= threshold


@compiled
def pixels_between(low: Array, m: int) -> Array:
    """Where the pixels between cells k and k + 1 begin; at last, their number."""
    first = np.zeros(m + 2, np.int64)
    for k in low:
        first[k + 1] += 1
    return first.cumsum()


@compiled
def pixel_reads(
    start: float, end: float, m: int, length: int
) -> tuple[int, Array, Array]:
    """The pixels of an axis that a ringed map of m cells over start..end reaches.

    Returns (first pixel, low, weight): each pixel's centre lies between the cells low
    and low + 1 of the m + 2 cells, ``weight`` of the way.
    """
    margin = (end - start) / m
    first = int(min(max(math.floor(start - margin), 0.0), length))
    stop = int(min(max(math.ceil(end + margin), 0.0), length))
    low = np.empty(stop - first, np.int64)
    weight = np.empty(stop - first)
    count, begin = 0, first
    for pixel in range(first, stop):
        c = (pixel + 0.5 - start) / (end - start) * m + 0.5
        if not 0 <= c < m + 1:
            continue
        if count == 0:
            begin = pixel
        low[count] = int(c)
        weight[count] = c - low[count]
        count += 1
    return begin, low[:count], weight[:count]
