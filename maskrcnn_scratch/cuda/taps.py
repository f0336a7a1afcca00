"""Where a RoI reads one axis of a feature map, as functions that kernels call.

The sample points of a bin form a grid, and a bilinear weight is a product, row weight
times column weight: rows and columns never mix, so everything here is about one axis.
All of it is float64, in the reference's order of operations, so that which cell a point
falls on never differs from the reference.

An axis is (start, bin_size, samples, count, length): the index coordinate where the RoI
starts, already moved by the half cell of ``aligned``; the side of a bin, in cells; the
sample points a bin, and how many of them are looked at; the cells of the map. Point s
of bin k lies at start + (k + (s + 1/2) / samples) * bin_size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from maskrcnn_scratch.cuda.compiled import device

# How a RoI's borders are placed; the RoI layers differ in nothing else.
LEGACY = 0  # where the box says, stretched to a cell, without the half cell
ALIGNED = 1  # where the box says
WARPED = 2  # RoIWarp: rounded to whole cells, stretched to a cell

NO_CELL = -1  # the cell of a point outside the map
NO_IMAGE = -1
ALL_WHOLE = 4503599627370496.0  # 2^52: float64 from here on has no fractions


@device
def floor(x: Any) -> Any:
    """The whole number at or below x; NaN and infinity stay what they are."""
    if not abs(x) < ALL_WHOLE:
        return x
    return np.float64(math.floor(x))


@device
def ceil(x: Any) -> Any:
    """The whole number at or above x."""
    return -floor(-x)


@device
def round_half_away(x: Any) -> Any:
    """The nearest whole number, halves away from zero, as C's ``round``."""
    size = abs(x)
    if not size < ALL_WHOLE:
        return x
    whole = floor(size)
    if size - whole >= 0.5:
        whole += 1.0
    return -whole if x < 0 else whole


@device
def image_of(rois: Any, r: Any, images: Any) -> Any:
    """The image that RoI r belongs to, NO_IMAGE where it belongs to none of them."""
    number = rois[r, 0]
    if not 0 <= number < images:
        return np.int64(NO_IMAGE)
    image = np.int64(number)
    return image if image == number else np.int64(NO_IMAGE)


@device
def place(low: Any, high: Any, scale: Any, placement: Any) -> Any:
    """(start, size) of a RoI whose borders are ``low`` and ``high`` image pixels."""
    first, last = np.float64(low) * scale, np.float64(high) * scale
    if placement == WARPED:
        first, last = round_half_away(first), round_half_away(last)
    size = last - first
    if placement != ALIGNED and size < 1.0:  # a NaN is not less, and stays
        size = 1.0
    return first if placement == LEGACY else first - 0.5, size


@device
def samples_of(bin_size: Any, sampling_ratio: Any) -> Any:
    """Points a bin; as float64, for that of a wild box may not fit an integer."""
    if sampling_ratio > 0:
        return np.float64(sampling_ratio)
    return ceil(bin_size) if 0.0 < bin_size < math.inf else 0.0


@device
def axis_of(
    low: Any,
    high: Any,
    scale: Any,
    placement: Any,
    bins: Any,
    sampling_ratio: Any,
    length: Any,
) -> Any:
    """The axis of a RoI from ``low`` to ``high``, on a map of ``length`` cells.

    ``scale`` is 1 / stride, ``sampling_ratio`` the points a bin, adaptive if 0 or less.
    """
    start, size = place(low, high, scale, placement)
    bin_size = size / bins
    samples = samples_of(bin_size, sampling_ratio)
    count = window_size(bin_size, samples, length)
    return start, bin_size, samples, count, np.int64(length)


@device
def window_size(bin_size: Any, samples: Any, length: Any) -> Any:
    """How many of a bin's points must be looked at: all, or those near the map.

    So a box a million pixels wide costs no more than the map's width. The window holds
    every point on the map and, where there are more, some outside at both ends: they
    count as 0 in a maximum.
    """
    if not abs(bin_size) < math.inf:
        return np.int64(0)
    step = abs(bin_size) / max(samples, 1.0)
    if samples * step <= length + 1.0 + 4.0 * step:
        return np.int64(samples)
    return np.int64(floor((length + 1.0) / step) + 4.0)


@device
def window_start(axis: Any, k: Any) -> Any:
    """The first point of bin k that is looked at."""
    start, bin_size, samples, count, length = axis
    if count == samples:
        return 0.0
    step = bin_size / samples
    before = start + k * bin_size + 0.5 * step
    border = -1.0 if step > 0.0 else np.float64(length)
    return min(max(floor((border - before) / step) - 1.0, 0.0), samples - count)


@device
def cell_at(coordinate: Any, length: Any) -> Any:
    """(cell, fraction) of a read: it mixes this cell and the next.

    The next counts with ``fraction``, this one with the rest. Before the first cell and
    after the last, up to one cell out, that cell is read; further out none is.
    """
    c = np.float64(coordinate)
    if not -1.0 <= c <= length:
        return np.int64(NO_CELL), 0.0
    c = min(max(c, 0.0), length - 1.0)
    cell = np.int64(c)
    return cell, c - cell


@device
def locate(axis: Any, k: Any, s: Any) -> Any:
    """(cell, fraction) of point s of bin k."""
    start, bin_size, samples, _, length = axis
    return cell_at(start + k * bin_size + (s + 0.5) * bin_size / samples, length)


@device
def share(axis: Any, k: Any, cell: Any) -> Any:
    """The share of one cell of the axis in the mean of bin k."""
    _, _, samples, count, _ = axis
    first = window_start(axis, k)
    total = 0.0
    for t in range(count):
        low, fraction = locate(axis, k, first + t)
        if low == cell:
            total += 1.0 - fraction
        elif low >= 0 and low + 1 == cell:
            total += fraction
    return np.float32(total / max(samples, 1.0))
