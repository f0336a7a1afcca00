"""RoIAlign as one would write it first: a thread an output, as the reference does.

The first rung of the ladder. Every thread finds its RoI's level, place and bin, and
reads the bin's sample points one by one: four features each, whichever its neighbours
read. Backward, it adds to the four cells of each point, atomically, for other threads
add to the same. What this wastes is told where ``roi_mean`` and ``roi_spread`` save it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda

from maskrcnn_scratch.cuda.bilinear import add_at, read_at
from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.fpn_levels import level_of_roi
from maskrcnn_scratch.cuda.numbers import assign, to_float32
from maskrcnn_scratch.cuda.roi_tables import fits
from maskrcnn_scratch.cuda.taps import axis_of, image_of, locate, window_start

NAN = np.float32(math.nan)
ZERO = np.float32(0)


@device
def point(axis: Any, k: Any, n: Any) -> Any:
    """(cell, fraction) of the n-th point of bin k that is looked at."""
    cell, fraction = locate(axis, k, window_start(axis, k) + n)
    return cell, np.float32(fraction)


@device
def bin_mean(image: Any, y: Any, x: Any, i: Any, j: Any, c: Any) -> Any:
    """The mean over the points of bin (i, j)."""
    total = ZERO
    for m in range(y[3]):
        row, y_weight = point(y, i, m)
        for n in range(x[3]):
            column, x_weight = point(x, j, n)
            total += read_at(image, row, y_weight, column, x_weight, c)
    return total * np.float32(1.0 / max(y[2] * x[2], 1.0))


@device
def bin_max(image: Any, y: Any, x: Any, i: Any, j: Any, c: Any) -> Any:
    """(maximum, m, n) over the points of bin (i, j); of equal ones the first."""
    best = ZERO
    winner = np.int64(-1), np.int64(-1)
    for m in range(y[3]):
        row, y_weight = point(y, i, m)
        for n in range(x[3]):
            column, x_weight = point(x, j, n)
            value = read_at(image, row, y_weight, column, x_weight, c)
            if winner[0] < 0 or value > best:
                best = value
                winner = np.int64(m), np.int64(n)
    return best, winner[0], winner[1]


@device
def axes_of(where: Any, r: Any, level: Any, bins: Any, image: Any) -> Any:
    """Both axes of RoI r; ``bins`` has the shape of the output."""
    rois, scales, _, _, ratio, placement = where
    height, width, _ = image.shape
    _, bins_y, bins_x, _ = bins.shape
    scale = scales[level]
    y = axis_of(rois[r, 2], rois[r, 4], scale, placement, bins_y, ratio, height)
    x = axis_of(rois[r, 1], rois[r, 3], scale, placement, bins_x, ratio, width)
    return y, x


@kernel
def naive_kernel(
    maps: Any,
    rois: Any,
    scales: Any,
    levels: Any,
    borders: Any,
    sampling_ratio: Any,
    placement: Any,
    maximum: Any,
    spared: Any,
    out: Any,
) -> None:
    """Thread n: output n of (n, out_h, out_w, channels), the channel running fastest.

    ``spared`` rows of bins: leaves out what the fast kernel's tables hold; 0: nothing.
    """
    _, bins_y, bins_x, channels = out.shape
    n = cuda.grid(1)
    c, j = n % channels, n // channels % bins_x
    i, r = n // channels // bins_x % bins_y, n // channels // bins_x // bins_y
    if r >= out.shape[0]:
        return
    level = level_of_roi(rois, r, levels, borders, len(maps))
    image = image_of(rois, r, maps[0].shape[0])
    if level < 0 or image < 0:
        assign(out, (r, i, j, c), NAN)
        return
    features = maps[level][image]
    where = rois, scales, levels, borders, sampling_ratio, placement
    y, x = axes_of(where, r, level, out, features)
    if spared > 0 and fits(spared, y[3], bins_x, x[3]):
        return
    if maximum:
        value = bin_max(features, y, x, i, j, c)[0]
    else:
        value = bin_mean(features, y, x, i, j, c)
    assign(out, (r, i, j, c), value)


@kernel
def naive_backward_kernel(
    grad: Any,
    maps: Any,
    rois: Any,
    scales: Any,
    levels: Any,
    borders: Any,
    sampling_ratio: Any,
    placement: Any,
    maximum: Any,
    spared: Any,
    d_maps: Any,
) -> None:
    """Thread n: sends gradient n to the cells that output n was read from.

    ``maps`` are read for the maximum alone: whoever won is found anew.
    """
    _, bins_y, bins_x, channels = grad.shape
    n = cuda.grid(1)
    c, j = n % channels, n // channels % bins_x
    i, r = n // channels // bins_x % bins_y, n // channels // bins_x // bins_y
    if r >= grad.shape[0]:
        return
    level = level_of_roi(rois, r, levels, borders, len(d_maps))
    image = image_of(rois, r, d_maps[0].shape[0])
    if level < 0 or image < 0:
        return
    d_map = d_maps[level][image]
    where = rois, scales, levels, borders, sampling_ratio, placement
    y, x = axes_of(where, r, level, grad, d_map)
    if spared > 0 and fits(spared, y[3], bins_x, x[3]):
        return
    value = to_float32(grad[r, i, j, c])
    if maximum:
        _, m, n = bin_max(maps[level][image], y, x, i, j, c)
        if m >= 0:
            row, y_weight = point(y, i, m)
            column, x_weight = point(x, j, n)
            add_at(d_map, row, y_weight, column, x_weight, c, value)
        return
    value *= np.float32(1.0 / max(y[2] * x[2], 1.0))
    for m in range(y[3]):
        row, y_weight = point(y, i, m)
        for n in range(x[3]):
            column, x_weight = point(x, j, n)
            add_at(d_map, row, y_weight, column, x_weight, c, value)
