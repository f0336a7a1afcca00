"""RoIAlign's mean, forward and backward, through the separable weights of ``taps``.

Forward, the rows that a line of bins reads are combined first, into one line of the
columns that the RoI reads; then each bin combines its columns. So no weight is computed
twice, and long runs of memory are added to one another.

Backward is the transpose, and gathers: a line of bins is spread over its columns, once;
then each row of features takes from the lines that read it. A row is written once a
RoI, in the order of the RoIs.
"""

from __future__ import annotations

import numpy as np

from maskrcnn_scratch.cpu.compiled import Array, compiled
from maskrcnn_scratch.cpu.taps import axis_taps, number_cells, runs_of, transposed


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
    line = np.empty(width * channels, out.dtype)
    for r in chosen:
        y, h, x, w = spans[r]
        y_first, rows, y_weight = axis_taps(y, h, out_h, sampling_ratio, height)
        x_first, cells, x_weight = axis_taps(x, w, out_w, sampling_ratio, width)
        columns, slots = number_cells(cells, slot_of)
        runs = runs_of(columns)
        rows *= width * channels
        slots *= channels
        image = features[images[r]].reshape(-1)
        bins = out[r].reshape(-1)
        for i in range(out_h):
            first, stop = y_first[i], y_first[i + 1]
            for k in range(len(runs) - 1):
                place, size = runs[k] * channels, (runs[k + 1] - runs[k]) * channels
                begin = columns[runs[k]] * channels
                weighted_sum(
                    line, place, size, image, begin, rows, y_weight, first, stop
                )
            for j in range(out_w):
                first, stop = x_first[j], x_first[j + 1]
                weighted_sum(
                    bins,
                    (i * out_w + j) * channels,
                    channels,
                    line,
                    0,
                    slots,
                    x_weight,
                    first,
                    stop,
                )


@compiled
def mean_backward(
    grad: Array,
    chosen: Array,
    images: Array,
    spans: Array,
    sampling_ratio: int,
    top: int,
    bottom: int,
    d_features: Array,
) -> None:
    """Add the gradients of the RoIs ``chosen`` to the rows top..bottom.

    Rows are numbered through all images: image n begins at row n * height.
    """
    _, height, width, channels = d_features.shape
    _, out_h, out_w, _ = grad.shape
    d_rows = d_features.reshape(-1, width * channels)
    slot_of = np.full(max(height, width), -1, np.int64)
    lines = np.empty(out_h * width * channels, grad.dtype)
    holds = np.full(out_h, -1, np.int64)  # the RoI whose bins a line is spread from
    for r in chosen:
        y, h, x, w = spans[r]
        y_taps = axis_taps(y, h, out_h, sampling_ratio, height)
        x_taps = axis_taps(x, w, out_w, sampling_ratio, width)
        rows, y_first, y_bin, y_weight = transposed(y_taps, slot_of)
        columns, x_first, x_bin, x_weight = transposed(x_taps, slot_of)
        x_bin *= channels
        runs = runs_of(columns)
        size = len(columns) * channels
        for m in range(len(rows)):
            d_row = images[r] * height + rows[m]
            if not top <= d_row < bottom:
                continue
            first, stop = y_first[m], y_first[m + 1]
            for i in y_bin[first:stop]:
                if holds[i] != r:
                    bins = grad[r, i].reshape(-1)
                    spread_bins(
                        lines, i * size, bins, channels, x_first, x_bin, x_weight
                    )
                    holds[i] = r
            for k in range(len(runs) - 1):
                begin, base = columns[runs[k]] * channels, runs[k] * channels
                length = runs[k + 1] * channels - base
                row = d_rows[d_row]
                for t in range(first, stop):
                    add_scaled(
                        row, begin, length, lines, base + y_bin[t] * size, y_weight[t]
                    )


@compiled
def spread_bins(
    lines: Array,
    begin: int,
    bins: Array,
    channels: int,
    first: Array,
    index: Array,
    weight: Array,
) -> None:
    """Give each column of a line its share of every bin that reads it."""
    for n in range(len(first) - 1):
        weighted_sum(
            lines,
            begin + n * channels,
            channels,
            bins,
            0,
            index,
            weight,
            first[n],
            first[n + 1],
        )


@compiled
def weighted_sum(
    out: Array,
    begin: int,
    size: int,
    source: Array,
    base: int,
    index: Array,
    weight: Array,
    first: int,
    stop: int,
) -> None:
    """out[begin + k] = sum_t weight[t] source[base + index[t] + k], k = 0..size-1.

    The sum goes over the taps first..stop. Up to four of them, the usual count with a
    sampling ratio of 2, go through the memory of ``out`` once. Offsets are unsigned,
    for of signed ones numba tests at every step whether they count from the end.
    """
    o, n, count = np.uint64(begin), np.uint64(size), stop - first
    if count == 0:
        zero = out.dtype.type(0)
        for k in range(n):
            out[o + k] = zero
        return
    a = np.uint64(base + index[first])
    wa = out.dtype.type(weight[first])
    if count == 1:
        for k in range(n):
            out[o + k] = wa * source[a + k]
        return
    b = np.uint64(base + index[first + 1])
    wb = out.dtype.type(weight[first + 1])
    if count == 2:
        for k in range(n):
            out[o + k] = wa * source[a + k] + wb * source[b + k]
        return
    c = np.uint64(base + index[first + 2])
    wc = out.dtype.type(weight[first + 2])
    if count == 3:
        for k in range(n):
            out[o + k] = wa * source[a + k] + wb * source[b + k] + wc * source[c + k]
        return
    d = np.uint64(base + index[first + 3])
    wd = out.dtype.type(weight[first + 3])
    for k in range(n):
        out[o + k] = (
            wa * source[a + k]
            + wb * source[b + k]
            + wc * source[c + k]
            + wd * source[d + k]
        )
    for t in range(first + 4, stop):
        add_scaled(out, begin, size, source, base + index[t], weight[t])


@compiled
def add_scaled(
    out: Array, begin: int, size: int, source: Array, base: int, weight: float
) -> None:
    """out[begin + k] += weight source[base + k], k = 0..size-1."""
    o, a, w = np.uint64(begin), np.uint64(base), out.dtype.type(weight)
    for k in range(np.uint64(size)):
        out[o + k] += w * source[a + k]
