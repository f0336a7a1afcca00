"""RoIAlign, compiled: all levels of a pyramid in one call, channels last.

Equal to ``reference.roi_align`` up to rounding in the features' own dtype, float32 or
float64; coordinates and weights are float64. Features are a list of maps, one a level,
each (images, height, width, channels); RoIs (n, 5) = (image index, x1, y1, x2, y2) in
image pixels, each with the index of its level.

The mean goes through the separable weights of ``taps``: rows are combined first, into
one line of the columns that the RoI reads, then columns. The backward pass is the
transpose; its threads own blocks of channels, so no two write to one place and every
sum is taken in the order of the RoIs: the result does not depend on the threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from maskrcnn_scratch.cpu import roi_max, threads
from maskrcnn_scratch.cpu.compiled import Array, compiled
from maskrcnn_scratch.cpu.taps import axis_taps, number_cells

SMALLEST_CHANNEL_BLOCK = 16  # a cache line of float32
PARTS_PER_THREAD = 4  # RoIs differ in size: more parts than threads even that out


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
    kernel = mean_forward if mode == "mean" else roi_max.max_forward
    tasks = []
    for level, feature in enumerate(features):
        own = np.flatnonzero(levels == level)
        for start, stop in threads.parts(len(own), PARTS_PER_THREAD * workers):
            part = own[start:stop]
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
        blocks = threads.parts(grad.shape[3], workers, SMALLEST_CHANNEL_BLOCK)
        for block in blocks if len(own) else []:
            shared = (own, images, spans, sampling_ratio, *block, d_feature)
            if features is None:
                tasks.append(partial(mean_backward, grad, *shared))
            else:
                feature = features[level]
                tasks.append(partial(roi_max.max_backward, grad, feature, *shared))
    threads.run(tasks, workers)
    return d_features


@compiled
def mean_forward(
    features: Array,
    chosen: Array,
    images: Array,
    spans: Array,
    sampling_ratio: int,
    out: Array,
) -> None:
    """The mean for the RoIs ``chosen``, written to their places in ``out``."""
    _, height, width, channels = features.shape
    _, out_h, out_w, _ = out.shape
    slot_of = np.full(width, -1, np.int64)
    line = np.empty((min(width, 64), channels), out.dtype)
    for r in chosen:
        y, h, x, w = spans[r]
        y_first, rows, y_weight = axis_taps(y, h, out_h, sampling_ratio, height)
        x_first, x_cell, x_weight = axis_taps(x, w, out_w, sampling_ratio, width)
        columns, slots = number_cells(x_cell, slot_of)
        if len(columns) > len(line):
            line = np.empty((len(columns), channels), out.dtype)
        image = features[images[r]]
        for i in range(out_h):
            first, stop = y_first[i], y_first[i + 1]
            for k in range(len(columns)):
                weighted_sum(
                    line[k],
                    image[:, columns[k]],
                    rows[first:stop],
                    y_weight[first:stop],
                )
            for j in range(out_w):
                first, stop = x_first[j], x_first[j + 1]
                weighted_sum(
                    out[r, i, j], line, slots[first:stop], x_weight[first:stop]
                )


@compiled
def weighted_sum(out: Array, vectors: Array, index: Array, weight: Array) -> None:
    """out = sum_t weight[t] vectors[index[t]], over channels."""
    out[:] = 0
    for t in range(len(index)):
        w = out.dtype.type(weight[t])
        vector = vectors[index[t]]
        for c in range(len(out)):
            out[c] += w * vector[c]


@compiled
def mean_backward(
    grad: Array,
    chosen: Array,
    images: Array,
    spans: Array,
    sampling_ratio: int,
    low: int,
    high: int,
    d_features: Array,
) -> None:
    """Add the gradients of the RoIs ``chosen`` to channels low..high."""
    _, height, width, _ = d_features.shape
    _, out_h, out_w, _ = grad.shape
    slot_of = np.full(width, -1, np.int64)
    for r in chosen:
        y, h, x, w = spans[r]
        y_first, rows, y_weight = axis_taps(y, h, out_h, sampling_ratio, height)
        x_first, x_cell, x_weight = axis_taps(x, w, out_w, sampling_ratio, width)
        columns, slots = number_cells(x_cell, slot_of)
        line = np.empty((len(columns), high - low), grad.dtype)
        d_image = d_features[images[r]]
        for i in range(out_h):
            line[:] = 0
            for j in range(out_w):
                for t in range(x_first[j], x_first[j + 1]):
                    add_scaled(line[slots[t]], x_weight[t], grad[r, i, j, low:high])
            for t in range(y_first[i], y_first[i + 1]):
                for k in range(len(columns)):
                    add_scaled(
                        d_image[rows[t], columns[k], low:high], y_weight[t], line[k]
                    )


@compiled
def add_scaled(out: Array, weight: float, vector: Array) -> None:
    """out += weight * vector."""
    w = out.dtype.type(weight)
    for c in range(len(out)):
        out[c] += w * vector[c]
