"""Masks between their two frames, compiled: the image's pixels and a box's m x m grid.

``mask_targets`` reads the image's mask inside each box alone, and ``paste_masks``
writes booleans at once, so neither makes a float copy of a full-size mask.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from maskrcnn_scratch.cpu import threads
from maskrcnn_scratch.cpu.compiled import Array, compiled
from maskrcnn_scratch.cpu.taps import axis_taps, number_cells


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

    Read at the pixels' centres, 0 outside the map: (n, height, width) booleans.
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
    """``mask_targets`` for the boxes start..stop."""
    _, height, width = masks.shape
    size = out.shape[1]
    slot_of = np.full(width, -1, np.int64)
    for n in range(start, stop):
        x1, y1, x2, y2 = boxes[n]
        y_first, rows, y_weight = axis_taps(y1 - 0.5, y2 - y1, size, 0, height)
        x_first, x_cell, x_weight = axis_taps(x1 - 0.5, x2 - x1, size, 0, width)
        columns, slots = number_cells(x_cell, slot_of)
        line = np.empty(len(columns))
        mask = masks[index[n]]
        for i in range(size):
            line[:] = 0
            for t in range(y_first[i], y_first[i + 1]):
                row, weight = mask[rows[t]], y_weight[t]
                for k in range(len(columns)):
                    line[k] += weight * row[columns[k]]
            for j in range(size):
                value = 0.0
                for t in range(x_first[j], x_first[j + 1]):
                    value += x_weight[t] * line[slots[t]]
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
    """``paste_masks`` for the boxes start..stop."""
    _, height, width = out.shape
    m = probabilities.shape[1]
    line = np.empty(m)
    for n in range(start, stop):
        x1, y1, x2, y2 = boxes[n]
        if not (x2 > x1 and y2 > y1):
            continue
        top, bottom = pixels_reached(y1, y2, m, height)
        left, right = pixels_reached(x1, x2, m, width)
        for i in range(top, bottom):
            y = (i + 0.5 - y1) / (y2 - y1) * m - 0.5
            low = math.floor(y)
            for k in range(m):
                line[k] = 0.0
                if 0 <= low < m:
                    line[k] += (low + 1 - y) * probabilities[n, low, k]
                if 0 <= low + 1 < m:
                    line[k] += (y - low) * probabilities[n, low + 1, k]
            for j in range(left, right):
                x = (j + 0.5 - x1) / (x2 - x1) * m - 0.5
                low_x = math.floor(x)
                value = 0.0
                if 0 <= low_x < m:
                    value += (low_x + 1 - x) * line[low_x]
                if 0 <= low_x + 1 < m:
                    value += (x - low_x) * line[low_x + 1]
                out[n, i, j] = value >= threshold


@compiled
def pixels_reached(start: float, end: float, m: int, length: int) -> tuple[int, int]:
    """The pixels of an axis that a map of m cells reaches: half a cell past its box."""
    margin = (end - start) / m / 2
    first = min(max(math.floor(start - margin), 0.0), length)
    stop = min(max(math.ceil(end + margin), 0.0), length)
    return int(first), int(stop)
