"""RoIAlign, compiled: all levels of a pyramid in one call.

Equal to ``reference.roi_align`` up to rounding: features are summed in their own dtype,
float32 or float64 (bfloat16, seen by its bits, in float32), and RoIs are placed in
theirs. Features are a list of maps, one a level, each (images, height, width, channels)
or, ``planar``, (images, channels, height, width); RoIs (n, 5) = (image index, x1, y1,
x2, y2) in image pixels, each with the index of its level.

Forward, each thread takes some of the RoIs. Backward, each takes some rows of the
gradient, so no two write to one place, and every sum is taken in the order of the RoIs:
the result does not depend on the number of threads. Planar maps are shared out by
blocks of channels instead (``layouts``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from maskrcnn_scratch.cpu import threads
from maskrcnn_scratch.cpu.compiled import Array
from maskrcnn_scratch.cpu.layouts import BLOCK, flat_bins
from maskrcnn_scratch.cpu.numbers import sums_dtype
from maskrcnn_scratch.cpu.roi_max import max_backward, max_forward
from maskrcnn_scratch.cpu.roi_mean import (
    Reading,
    mean_backward,
    mean_backward_planar,
    mean_forward,
    mean_forward_planar,
)


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
    planar: bool = False,
) -> Array:
    """Each RoI as a grid of bins: (n, out_h, out_w, channels), or as planes.

    The maximum (``mode`` "max") is served channels last alone, in float32 or float64.
    """
    spans = roi_spans(rois, levels, spatial_scales, aligned)
    return read_spans(
        features,
        rois,
        levels,
        spans,
        output_size,
        sampling_ratio,
        mode,
        workers,
        planar,
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
    planar: bool = False,
) -> list[Array]:
    """The gradients by the features of ``shapes``, given ``grad`` by the output.

    The mean's, which does not depend on features; or, given ``features``, the
    maximum's.
    """
    spans = roi_spans(rois, levels, spatial_scales, aligned)
    return read_spans_backward(
        grad, features, shapes, rois, levels, spans, sampling_ratio, workers, planar
    )


def roi_spans(
    rois: Array, levels: Array, spatial_scales: Sequence[float], aligned: bool
) -> Array:
    """(y start, y size, x start, x size) of each RoI in cells of its level."""
    scale = np.asarray(spatial_scales, rois.dtype)[levels]
    offset = rois.dtype.type(0.5 if aligned else 0)
    x1, y1, x2, y2 = rois[:, 1:].T * scale - offset
    height, width = y2 - y1, x2 - x1
    if not aligned:  # written so that a NaN stays one, as in the reference
        one = rois.dtype.type(1)
        height, width = (np.where(size < 1, one, size) for size in (height, width))
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
    planar: bool,
) -> Array:
    """The features at the sample points of every span, pooled bin by bin."""
    channels = features[0].shape[1 if planar else 3]
    grid = (channels, *output_size) if planar else (*output_size, channels)
    # NumPy asks for large pages, torch does not: first touched, they cost a fifth.
    out = np.empty((len(rois), *grid), features[0].dtype)
    bins = flat_bins(out, planar)
    images = rois[:, 0].astype(np.int64)
    tasks: list[threads.Task] = []
    for level, feature in enumerate(features):
        own = np.flatnonzero(levels == level)
        if planar:
            for planes, worker, reading in by_image_and_worker(
                feature, own, images, spans, sampling_ratio, workers
            ):
                shared = (planes, reading, bins, worker, workers)
                tasks.append(partial(mean_forward_planar, *shared))
            continue
        for worker in range(min(workers, len(own))):  # every workers-th RoI each
            part = np.ascontiguousarray(own[worker::workers])
            if mode == "mean":
                reading = Reading(part, images, spans, sampling_ratio)
                tasks.append(partial(mean_forward, feature, reading, bins, 0))
            else:
                places = (part, images, spans, sampling_ratio)
                tasks.append(partial(max_forward, feature, *places, out))
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
    planar: bool,
) -> list[Array]:
    """The transpose of ``read_spans``: of the maximum where ``features`` are given."""
    dtype = sums_dtype(grad.dtype)
    d_features = [np.zeros(shape, dtype) for shape in shapes]
    bins = flat_bins(grad, planar)
    images = rois[:, 0].astype(np.int64)
    tasks: list[threads.Task] = []
    for level, d_feature in enumerate(d_features):
        own = np.flatnonzero(levels == level)
        if planar:
            for d_planes, worker, reading in by_image_and_worker(
                d_feature, own, images, spans, sampling_ratio, workers
            ):
                shared = (bins, reading, worker, workers, d_planes)
                tasks.append(partial(mean_backward_planar, *shared))
            continue
        for top, bottom, chosen in by_rows(d_feature, own, images, spans, workers):
            if features is None:
                reading = Reading(chosen, images, spans, sampling_ratio)
                band = (bins, 0, reading, top, bottom, d_feature)
                tasks.append(partial(mean_backward, *band))
            else:
                places = (chosen, images, spans, sampling_ratio, top, bottom)
                feature = features[level]
                tasks.append(partial(max_backward, grad, feature, *places, d_feature))
    threads.run(tasks, workers)
    return d_features


def by_image_and_worker(
    planes: Array,
    own: Array,
    images: Array,
    spans: Array,
    sampling_ratio: int,
    workers: int,
) -> Iterator[tuple[Array, int, Reading]]:
    """Shares of the work on planar maps: (an image's maps, a worker, its RoIs)."""
    alone = np.zeros_like(images)
    for image in np.unique(images[own]):
        chosen = np.ascontiguousarray(own[images[own] == image])
        reading = Reading(chosen, alone, spans, sampling_ratio)
        for worker in range(min(workers, -(-planes.shape[1] // BLOCK))):
            yield planes[image], worker, reading


def by_rows(
    maps: Array, own: Array, images: Array, spans: Array, workers: int
) -> Iterator[tuple[int, int, Array]]:
    """Shares of the work on channels-last maps: (first row, stop, RoIs that reach it).

    Rows are numbered through all images.
    """
    image_count, height = maps.shape[:2]
    first, stop = rows_read(spans[own], height) + images[own] * height
    borders = even_shares(first, stop, image_count * height, workers)
    for top, bottom in pairwise(borders):
        chosen = own[(first < bottom) & (stop > top)]
        if len(chosen) > 0:
            yield top, bottom, chosen


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
