"""RoIPool, compiled: the largest feature in each bin of a RoI rounded to whole cells.

Equal to ``reference.roi_pool`` under both of its rounding rules. RoIs (n, 5) = (image
index, x1, y1, x2, y2) in image pixels are rounded in their own dtype, so float32 RoIs
land where published layers put them. Features are (images, height, width, channels) or,
``planar``, (images, channels, height, width); bfloat16 is seen by its bits.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from maskrcnn_scratch.cpu import threads
from maskrcnn_scratch.cpu.compiled import Array
from maskrcnn_scratch.cpu.layouts import BLOCK, flat_bins
from maskrcnn_scratch.cpu.numbers import sums_dtype
from maskrcnn_scratch.cpu.roi_largest import (
    Cells,
    add_to_winners,
    add_to_winners_planar,
    largest,
    largest_planar,
)


def roi_pool(
    features: Array,
    rois: Array,
    output_size: tuple[int, int],
    spatial_scale: float,
    rounding: str,
    workers: int = 1,
    planar: bool = False,
    with_argmax: bool = True,
) -> tuple[Array, Array | None]:
    """The maximum of each bin and where it is: (n, out_h, out_w, channels), or planes.

    Where: the flat index ``row * width + column`` (int32), -1 for an empty bin. Only
    the gradient asks for it; without, half as much is written.
    """
    channels = features.shape[1 if planar else 3]
    grid = (channels, *output_size) if planar else (*output_size, channels)
    out = np.empty((len(rois), *grid), features.dtype)
    argmax = np.empty(out.shape, np.int32) if with_argmax else None
    bins = flat_bins(out, planar)
    winners = None if argmax is None else flat_bins(argmax, planar)
    map_h, map_w = features.shape[2:] if planar else features.shape[1:3]
    x1, y1, x2, y2 = rois[:, 1:].T * rois.dtype.type(spatial_scale)
    rows = cells_of_bins(y1, y2, output_size[0], map_h, rounding)
    columns = cells_of_bins(x1, x2, output_size[1], map_w, rounding)
    images = rois[:, 0].astype(np.int64)
    tasks: list[threads.Task] = []
    if not planar:
        for start, stop in threads.parts(len(rois), workers):
            cells = Cells(np.arange(start, stop), images, rows, columns)
            tasks.append(partial(largest, features, cells, bins, winners, 0))
    else:
        for image in np.unique(images):
            chosen = np.flatnonzero(images == image)
            cells = Cells(chosen, np.zeros_like(images), rows, columns)
            for worker in range(min(workers, -(-channels // BLOCK))):
                shared = (features[image], cells, bins, winners, worker, workers)
                tasks.append(partial(largest_planar, *shared))
    threads.run(tasks, workers)
    return out, argmax


def roi_pool_backward(
    grad: Array,
    argmax: Array,
    rois: Array,
    shape: tuple[int, int, int, int],
    workers: int = 1,
    planar: bool = False,
) -> Array:
    """The gradient by features of ``shape``: each bin's goes to the cell that won.

    ``grad`` and ``argmax`` are in the memory format of ``shape``.
    """
    d_features = np.zeros(shape, sums_dtype(grad.dtype))
    images = rois[:, 0].astype(np.int64)
    channels = shape[1 if planar else 3]
    bins, winners = flat_bins(grad, planar), flat_bins(argmax, planar)
    kernel = add_to_winners_planar if planar else add_to_winners
    tasks = [
        partial(kernel, bins, winners, images, low, high, d_features)
        for low, high in threads.parts(channels, min(workers, -(-channels // BLOCK)))
    ]
    threads.run(tasks, workers)
    return d_features


def round_half_away(c: Array) -> Array:
    """The nearest whole numbers, halves away from zero, as C's ``round``."""
    whole = np.trunc(c)
    return np.where(np.abs(c - whole) >= 0.5, whole + np.copysign(1, c), whole)


def at_least_one(size: Array) -> Array:
    """Sizes below 1 stretched to 1; a NaN stays one, and so does the dtype."""
    return np.where(size < 1, size.dtype.type(1), size)


def cells_of_bins(
    start: Array, end: Array, bins: int, length: int, rounding: str
) -> Array:
    """The cells (first, stop) of every bin on one axis of the map: (n, bins, 2).

    ``start`` and ``end`` are the RoIs' borders in cells. "round" and "floor" are the
    two rules of the reference, quantising corners and then bins.
    """
    k = np.arange(bins, dtype=start.dtype)
    with np.errstate(invalid="ignore"):  # infinite corners make NaN, NaN no cells
        if rounding == "round":
            start, end = round_half_away(start), round_half_away(end) + 1
            size = at_least_one(end - start)[:, None] / bins
            low, high = np.floor(k * size), np.ceil((k + 1) * size)
        else:
            start, end = np.floor(start), np.floor(end)
            size = at_least_one(np.floor(at_least_one(end - start) / bins))[:, None]
            low, high = k * size, (k + 1) * size
        cells = np.stack([start[:, None] + low, start[:, None] + high], axis=2)
    cells[np.isnan(cells).any(axis=2)] = 0
    clipped: Array = np.clip(cells, 0, length).astype(np.int64)
    return clipped
