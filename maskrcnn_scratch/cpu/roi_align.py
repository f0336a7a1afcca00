"""RoIAlign, compiled: all levels of a pyramid in one call, channels last.

Equal to ``reference.roi_align`` up to rounding in the features' own dtype, float32 or
float64; coordinates and weights are float64. Features are a list of maps, one a level,
each (images, height, width, channels); RoIs (n, 5) = (image index, x1, y1, x2, y2) in
image pixels, each with the index of its level.

Forward, each thread takes some of the RoIs. Backward, each takes some rows of the
gradient, so no two write to one place, and every sum is taken in the order of the RoIs:
the result does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from maskrcnn_scratch.cpu import threads
from maskrcnn_scratch.cpu.compiled import Array
from maskrcnn_scratch.cpu.roi_max import max_backward, max_forward
from maskrcnn_scratch.cpu.roi_mean import mean_backward, mean_forward


def roi_align(
    features: Sequence[Array],
    rois: Array,
    levels: Array,
    output_size: tuple[int, int],
    spatial_scales: Sequence[float],
    sampling_ratio: int,
    aligned: bool,
    mode: str,
    workers: int = 1,
) -> Array:
    """Each RoI as a grid of bins: (n, out_h, out_w, channels)."""
    spans = roi_spans(rois, levels, spatial_scales, aligned)
    return read_spans(
        features, rois, levels, spans, output_size, sampling_ratio, mode, workers
    )


def roi_align_backward(
    grad: Array,
    features: Sequence[Array] | None,
    shapes: Sequence[tuple[int, int, int, int]],
    rois: Array,
    levels: Array,
    spatial_scales: Sequence[float],
    sampling_ratio: int,
    aligned: bool,
    workers: int = 1,
) -> list[Array]:
    """The gradients by the features of ``shapes``, given ``grad`` by the output.

    The mean's, which does not depend on features; or, given ``features``, the
    maximum's.
    """
    spans = roi_spans(rois, levels, spatial_scales, aligned)
    return read_spans_backward(
        grad, features, shapes, rois, levels, spans, sampling_ratio, workers
    )


def roi_spans(
    rois: Array, levels: Array, spatial_scales: Sequence[float], aligned: bool
) -> Array:
    """(y start, y size, x start, x size) of each RoI in cells of its level."""
    scale = np.asarray(spatial_scales, np.float64)[levels]
    x1, y1, x2, y2 = rois[:, 1:].T.astype(np.float64) * scale
    height, width = y2 - y1, x2 - x1
    if aligned:
        return np.stack([y1 - 0.5, height, x1 - 0.5, width], axis=1)
    # Written so that a NaN stays one, as in the reference.
    height, width = (np.where(size < 1, 1.0, size) for size in (height, width))
    return np.stack([y1, height, x1, width], axis=1)


def read_spans(
    features: Sequence[Array],
    rois: Array,
    levels: Array,
    spans: Array,
    output_size: tuple[int, int],
    sampling_ratio: int,
    mode: str,
    workers: int,
) -> Array:
    """The features at the sample points of every span, pooled bin by bin."""
    shape = (len(rois), *output_size, features[0].shape[3])
    out = np.empty(shape, features[0].dtype)
    images = rois[:, 0].astype(np.int64)
    kernel = mean_forward if mode == "mean" else max_forward
    tasks = []
    for level, feature in enumerate(features):
        own = np.flatnonzero(levels == level)
        for worker in range(min(workers, len(own))):  # every workers-th RoI each
            part = np.ascontiguousarray(own[worker::workers])
            tasks.append(
                partial(kernel, feature, part, images, spans, sampling_ratio, out)
            )
    threads.run(tasks, workers)
    return out


def read_spans_backward(
    grad: Array,
    features: Sequence[Array] | None,
    shapes: Sequence[tuple[int, int, int, int]],
    rois: Array,
    levels: Array,
    spans: Array,
    sampling_ratio: int,
    workers: int,
) -> list[Array]:
    """The transpose of ``read_spans``: of the maximum where ``features`` are given."""
    d_features = [np.zeros(shape, grad.dtype) for shape in shapes]
    images = rois[:, 0].astype(np.int64)
    tasks = []
    for level, d_feature in enumerate(d_features):
        own = np.flatnonzero(levels == level)
        image_count, height = d_feature.shape[:2]
        first, stop = rows_read(spans[own], height) + images[own] * height
        borders = even_shares(first, stop, image_count * height, workers)
        for top, bottom in pairwise(borders):
            chosen = own[(first < bottom) & (stop > top)]
            if len(chosen) == 0:
                continue
            shared = (chosen, images, spans, sampling_ratio, top, bottom, d_feature)
            if features is None:
                tasks.append(partial(mean_backward, grad, *shared))
            else:
                feature = features[level]
                tasks.append(partial(max_backward, grad, feature, *shared))
    threads.run(tasks, workers)
    return d_features


def rows_read(spans: Array, height: int) -> Array:
    """The rows (first, stop) of a map that each RoI may read: (2, n) integers."""
    start, end = spans[:, 0], spans[:, 0] + spans[:, 1]
    low, high = np.floor(np.minimum(start, end)), np.floor(np.maximum(start, end)) + 1
    placed = np.isfinite(low) & np.isfinite(high)  # others read nothing
    rows: Array = np.where(placed, [low, high], 0).clip(0, height - 1).astype(np.int64)
    rows[1] += 1
    return rows


def even_shares(first: Array, stop: Array, rows: int, shares: int) -> list[int]:
    """Borders that cut ``rows`` rows into shares of about equal work.

    A row's work is the number of RoIs that read it; RoI n reads first[n] .. stop[n].
    """
    ends = np.arange(rows + 1)
    begun = np.searchsorted(np.sort(first), ends, side="right")
    ended = np.searchsorted(np.sort(stop), ends, side="right")
    work = np.cumsum(begun - ended)
    borders = np.searchsorted(work, work[-1] * np.arange(1, shares) / shares)
    return [0, *borders.tolist(), rows]
