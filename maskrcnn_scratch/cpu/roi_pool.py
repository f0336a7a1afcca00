"""RoIPool, compiled: the largest feature in each bin of a RoI rounded to whole cells.

Equal to ``reference.roi_pool`` under both of its rounding rules. Features are (images,
height, width, channels), RoIs (n, 5) = (image index, x1, y1, x2, y2) in image pixels.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from maskrcnn_scratch.cpu import threads
from maskrcnn_scratch.cpu.compiled import Array, compiled

CACHE_LINE = 16  # channels in float32: threads should not share one
EMPTY = -1  # the argmax of a bin without cells


def roi_pool(
    features: Array,
    rois: Array,
    output_size: tuple[int, int],
    spatial_scale: float,
    rounding: str,
    workers: int = 1,
) -> tuple[Array, Array]:
    """The maximum of each bin and where it is, both (n, out_h, out_w, channels).

    Where: the flat index ``row * width + column`` (int32), -1 for an empty bin.
    """
    _, map_h, map_w, channels = features.shape
    x1, y1, x2, y2 = rois[:, 1:].T.astype(np.float64) * spatial_scale
    rows = cells_of_bins(y1, y2, output_size[0], map_h, rounding)
    columns = cells_of_bins(x1, x2, output_size[1], map_w, rounding)
    out = np.empty((len(rois), *output_size, channels), features.dtype)
    argmax = np.empty(out.shape, np.int32)
    images = rois[:, 0].astype(np.int64)
    tasks = [
        partial(largest, features, start, stop, images, rows, columns, out, argmax)
        for start, stop in threads.parts(len(rois), workers)
    ]
    threads.run(tasks, workers)
    return out, argmax


def roi_pool_backward(
    grad: Array,
    argmax: Array,
    rois: Array,
    shape: tuple[int, int, int, int],
    workers: int = 1,
) -> Array:
    """The gradient by features of ``shape``: each bin's goes to the cell that won."""
    images, height, width, channels = shape
    d_features = np.zeros((images, height * width, channels), grad.dtype)
    own = rois[:, 0].astype(np.int64)
    tasks = [
        partial(add_to_winners, grad, argmax, own, low, high, d_features)
        for low, high in threads.parts(
            channels, min(workers, -(-channels // CACHE_LINE))
        )
    ]
    threads.run(tasks, workers)
    return d_features.reshape(shape)


def round_half_away(c: Array) -> Array:
    """The nearest whole numbers, halves away from zero, as C's ``round``."""
    whole = np.trunc(c)
    return np.where(np.abs(c - whole) >= 0.5, whole + np.copysign(1, c), whole)


def cells_of_bins(
    start: Array, end: Array, bins: int, length: int, rounding: str
) -> Array:
    """The cells (first, stop) of every bin on one axis of the map: (n, bins, 2).

    ``start`` and ``end`` are the RoIs' borders in cells. "round" and "floor" are the
    two rules of the reference, quantising corners and then bins.
    """
    k = np.arange(bins)
    with np.errstate(invalid="ignore"):  # infinite corners make NaN, NaN no cells
        if rounding == "round":
            start, end = round_half_away(start), round_half_away(end) + 1
            size = np.where(end - start < 1, 1.0, end - start)[:, None] / bins
            low, high = np.floor(k * size), np.ceil((k + 1) * size)
        else:
            start, end = np.floor(start), np.floor(end)
            size = np.floor(np.where(end - start < 1, 1.0, end - start) / bins)
            size = np.where(size < 1, 1.0, size)[:, None]
            low, high = k * size, (k + 1) * size
        cells = np.stack([start[:, None] + low, start[:, None] + high], axis=2)
    cells[np.isnan(cells).any(axis=2)] = 0
    clipped: Array = np.clip(cells, 0, length).astype(np.int64)
    return clipped


@compiled
def largest(
    features: Array,
    start: int,
    stop: int,
    images: Array,
    rows: Array,
    columns: Array,
    out: Array,
    argmax: Array,
) -> None:
    """``roi_pool`` for the RoIs start..stop."""
    width = features.shape[2]
    _, out_h, out_w, channels = out.shape
    for r in range(start, stop):
        image = features[images[r]]
        for i in range(out_h):
            for j in range(out_w):
                best, winner = out[r, i, j], argmax[r, i, j]
                best[:] = 0
                winner[:] = EMPTY
                for row in range(rows[r, i, 0], rows[r, i, 1]):
                    for column in range(columns[r, j, 0], columns[r, j, 1]):
                        cell = image[row, column]
                        for c in range(channels):
                            if winner[c] < 0 or cell[c] > best[c]:
                                best[c] = cell[c]
                                winner[c] = row * width + column


@compiled
def add_to_winners(
    grad: Array, argmax: Array, images: Array, low: int, high: int, d_features: Array
) -> None:
    """``roi_pool_backward`` for the channels low..high, in the order of the RoIs."""
    n, out_h, out_w, _ = grad.shape
    for r in range(n):
        d_image = d_features[images[r]]
        for i in range(out_h):
            for j in range(out_w):
                for c in range(low, high):
                    winner = argmax[r, i, j, c]
                    if winner >= 0:
                        d_image[winner, c] += grad[r, i, j, c]
