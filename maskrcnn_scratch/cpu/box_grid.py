"""Boxes filed by segment, size and place, to find those that overlap a given box.

An IoU above t says that the narrower of two boxes is more than t times as wide as the
wider one, likewise the heights, and that they start within (1 - t) of a side from each
other. So a box can be looked up in a hash table: about ten cells hold all the boxes
that can have such an IoU with it.

A grid is two arrays (latest, before): ``latest[cell]`` is the box filed last in a cell,
``before[box]`` the one filed there before it; -1 means none. Boxes are named by their
index. Only boxes of a positive, finite area can be filed or looked up.
"""

from __future__ import annotations

import math

import numpy as np

from maskrcnn_scratch.cpu.compiled import Array, compiled

Grid = tuple[Array, Array]

SLACK = 1 - 1e-9
"""The search aims a little below the threshold, so that no rounding hides a box."""


@compiled
def empty_grid(count: int) -> Grid:
    """Room for ``count`` boxes, in a table whose size is a power of two."""
    size = 16
    while size < count:
        size *= 2
    return np.full(size, -1, np.int32), np.empty(count, np.int32)


@compiled
def add_to_grid(
    grid: Grid, boxes: Array, segments: Array, i: int, iou_threshold: float
) -> None:
    """File box i, to be found by searches with this threshold."""
    latest, before = grid
    t = iou_threshold * SLACK
    x1, y1, x2, y2 = corners(boxes, i)
    wide, high = size_class(x2 - x1, t), size_class(y2 - y1, t)
    column, row = cell_of(x1, wide, t), cell_of(y1, high, t)
    cell = hashed(segments[i], wide, high, column, row, len(latest))
    before[i] = latest[cell]
    latest[cell] = i


@compiled
def overlaps_in_grid(
    grid: Grid, boxes: Array, segments: Array, i: int, iou_threshold: float
) -> bool:
    """Whether a filed box of i's segment has an IoU above the threshold with box i."""
    latest, before = grid
    t = iou_threshold * SLACK
    x1, y1, x2, y2 = corners(boxes, i)
    w, h = x2 - x1, y2 - y1
    for wide in range(size_class(t * w, t), size_class(w / t, t) + 1):
        left, right = cells_near(x1, w, wide, t)
        for high in range(size_class(t * h, t), size_class(h / t, t) + 1):
            top, bottom = cells_near(y1, h, high, t)
            for column in range(left, right + 1):
                for row in range(top, bottom + 1):
                    cell = hashed(segments[i], wide, high, column, row, len(latest))
                    newest = latest[cell]
                    if overlaps_in_chain(
                        newest, before, boxes, segments, i, iou_threshold
                    ):
                        return True
    return False


@compiled
def overlaps_in_chain(
    newest: int,
    before: Array,
    boxes: Array,
    segments: Array,
    i: int,
    iou_threshold: float,
) -> bool:
    """The same for one cell. Boxes of other cells may have been filed there as well.

    A product tells most boxes apart; the division, which is what the reference compares
    and takes several times as long, is left for those near the threshold and above.
    """
    x1, y1, x2, y2 = corners(boxes, i)
    area, nearly = (x2 - x1) * (y2 - y1), iou_threshold * SLACK
    while newest >= 0:
        left, top, right, bottom = corners(boxes, newest)
        width = smaller(x2, right) - larger(x1, left)
        height = smaller(y2, bottom) - larger(y1, top)
        shared = positive(width) * positive(height)
        union = area + (right - left) * (bottom - top) - shared
        near = shared > nearly * union and segments[newest] == segments[i]
        if near and shared / union > iou_threshold:
            return True
        newest = before[newest]
    return False


@compiled
def size_class(side: float, t: float) -> int:
    """The class of a side: one octave (x 2), or 2 or 4, the more the lower t is.

    The leading bits of a float are its exponent: a logarithm for nothing.
    """
    return int(np.float64(side).view(np.int64) >> class_bits(t))


@compiled
def longest(k: int, t: float) -> float:
    """The length that all sides of class k stay below."""
    return np.int64((k + 1) << class_bits(t)).view(np.float64)


@compiled
def class_bits(t: float) -> int:
    """Below the exponent are 52 bits; without its last one, a class is two octaves."""
    return 52 if t > 0.5 else 53 if t > 0.25 else 54


@compiled
def cell_of(start: float, k: int, t: float) -> int:
    """The cell, along one axis, of a box that starts there with a side of class k.

    A cell is as long as the search for the longest box of its class reaches.
    """
    return math.floor(start / (2 * (1 - t) * longest(k, t)))


@compiled
def cells_near(start: float, side: float, k: int, t: float) -> tuple[int, int]:
    """The first and last cell of class k with boxes that share t of this interval.

    Let two intervals share at least t of the longer one. Then the one that starts
    first has at most 1 - t of its length before the other.
    """
    other = smaller(longest(k, t), side / t)
    return (
        cell_of(start - (1 - t) * other, k, t),
        cell_of(start + (1 - t) * side, k, t),
    )


@compiled
def hashed(segment: int, wide: int, high: int, column: int, row: int, size: int) -> int:
    """A place in a table of ``size`` (a power of two), as if drawn at random."""
    value = np.uint64(segment)
    for part in (wide, high, column, row):
        value = (value ^ np.uint64(part)) * np.uint64(0x9E3779B97F4A7C15)
        value ^= value >> np.uint64(29)
    return int(value & np.uint64(size - 1))


@compiled
def corners(boxes: Array, i: int) -> tuple[float, float, float, float]:
    """(x1, y1, x2, y2) of box i in float64."""
    box, real = boxes[i], np.float64
    return real(box[0]), real(box[1]), real(box[2]), real(box[3])


@compiled
def positive(x: float) -> float:
    """x, but at least 0; a NaN stays one."""
    return 0.0 if x < 0 else x


@compiled
def smaller(a: float, b: float) -> float:
    """The minimum, as one instruction: Python's ``min`` takes care of NaN."""
    return a if a < b else b


@compiled
def larger(a: float, b: float) -> float:
    """The maximum, likewise."""
    return a if a > b else b
