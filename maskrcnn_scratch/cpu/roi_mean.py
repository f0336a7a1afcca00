"""RoIAlign's mean, forward and backward, through the separable weights of ``taps``.

Forward, the rows that a line of bins reads are combined first, into one line of the
columns that the RoI reads; then each bin combines its columns. So no weight is computed
twice, and long runs of memory are added to one another.

Backward is the transpose, and gathers: a line of bins is spread over its columns, once;
then each row of features takes from the lines that read it. A row is written once a
RoI, in the order of the RoIs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maskrcnn_scratch.cpu.compiled import Array, compiled
from maskrcnn_scratch.cpu.layouts import (
    BLOCK,
    Bins,
    load_block,
    load_line,
    store_block,
    store_line,
)
from maskrcnn_scratch.cpu.numbers import new_sums, widen
from maskrcnn_scratch.cpu.taps import axis_taps, number_cells, runs_of, transposed


class Reading(NamedTuple):
    """Which RoIs are read, and how."""

    chosen: Array
    images: Array
    spans: Array
    sampling_ratio: int


@compiled
def mean_forward(features: Array, reading: Reading, bins: Bins, first: int) -> None:
    """The mean for the RoIs ``chosen``, written to their places in ``bins``.

    ``features`` (images, height, width, lanes) hold the channels from ``first`` on.
    """
    _, height, width, lanes = features.shape
    out_h, out_w = bins.grid
    chosen, images, spans, ratio = reading
    slot_of = np.full(width, -1, np.int64)
    line = new_sums(width * lanes, features)
    means = new_sums(out_w * lanes, features)
    for r in chosen:
        y, h, x, w = spans[r]
        y_first, rows, y_weight = axis_taps(y, h, out_h, ratio, height)
        x_first, cells, x_weight = axis_taps(x, w, out_w, ratio, width)
        columns, slots = number_cells(cells, slot_of)
        runs = runs_of(columns)
        rows *= width * lanes
        slots *= lanes
        image = features[images[r]].reshape(-1)
        for i in range(out_h):
            a, b = y_first[i], y_first[i + 1]
            for k in range(len(runs) - 1):
                place, size = runs[k] * lanes, (runs[k + 1] - runs[k]) * lanes
                base = columns[runs[k]] * lanes
                weighted_sum(line, place, size, image, base, rows, y_weight, a, b)
            for j in range(out_w):
                a, b = x_first[j], x_first[j + 1]
                place = j * lanes
                weighted_sum(means, place, lanes, line, 0, slots, x_weight, a, b)
            store_line(bins, r, i, first, means, lanes)


@compiled
def mean_forward_planar(
    planes: Array, reading: Reading, bins: Bins, first: int, step: int
) -> None:
    """The same for one image (channels, height, width), every ``step``-th block."""
    channels, height, width = planes.shape
    block = np.empty(height * width * BLOCK, planes.dtype)
    for begin in range(first * BLOCK, channels, step * BLOCK):
        lanes = min(BLOCK, channels - begin)
        maps = block[: height * width * lanes].reshape(1, height, width, lanes)
        load_block(planes, begin, maps[0])
        mean_forward(maps, reading, bins, begin)


@compiled
def mean_backward(
    bins: Bins, first: int, reading: Reading, top: int, bottom: int, d_features: Array
) -> None:
    """Add the gradients of the RoIs ``chosen`` to the rows top..bottom.

    ``bins`` hold the gradients, ``d_features`` the channels from ``first`` on. Rows are
    numbered through all images: image n begins at row n * height.
    """
    _, height, width, lanes = d_features.shape
    out_h, out_w = bins.grid
    chosen, images, spans, ratio = reading
    d_rows = d_features.reshape(-1, width * lanes)
    slot_of = np.full(max(height, width), -1, np.int64)
    lines = new_sums(out_h * width * lanes, d_features)
    means = new_sums(out_w * lanes, d_features)
    holds = np.full(out_h, -1, np.int64)  # which line of bins a line is spread from
    for r in chosen:
        y, h, x, w = spans[r]
        y_taps = axis_taps(y, h, out_h, ratio, height)
        x_taps = axis_taps(x, w, out_w, ratio, width)
        rows, y_first, y_bin, y_weight = transposed(y_taps, slot_of)
        columns, x_first, x_bin, x_weight = transposed(x_taps, slot_of)
        x_bin *= lanes
        runs = runs_of(columns)
        size = len(columns) * lanes
        # No row reads more lines than this, so no more need be kept: often two.
        room = (y_first[1:] - y_first[:-1]).max() if len(rows) > 0 else 0
        for m in range(len(rows)):
            d_row = images[r] * height + rows[m]
            if not top <= d_row < bottom:
                continue
            a, b = y_first[m], y_first[m + 1]
            for i in y_bin[a:b]:
                slot = i % room
                if holds[slot] != r * out_h + i:
                    load_line(bins, r, i, first, means, lanes)
                    spread(lines, slot * size, means, lanes, x_first, x_bin, x_weight)
                    holds[slot] = r * out_h + i
            row = d_rows[d_row]
            for k in range(len(runs) - 1):
                begin, base = columns[runs[k]] * lanes, runs[k] * lanes
                length = runs[k + 1] * lanes - base
                for t in range(a, b):
                    line = base + y_bin[t] % room * size
                    add_scaled(row, begin, length, lines, line, y_weight[t])


@compiled
def mean_backward_planar(
    bins: Bins, reading: Reading, first: int, step: int, d_planes: Array
) -> None:
    """The same for one image (channels, height, width), every ``step``-th block."""
    channels, height, width = d_planes.shape
    block = new_sums(height * width * BLOCK, d_planes)
    for begin in range(first * BLOCK, channels, step * BLOCK):
        lanes = min(BLOCK, channels - begin)
        d_maps = block[: height * width * lanes].reshape(1, height, width, lanes)
        d_maps[:] = 0
        mean_backward(bins, begin, reading, 0, height, d_maps)
        store_block(d_maps[0], begin, d_planes)


@compiled
def spread(
    lines: Array,
    begin: int,
    bins: Array,
    lanes: int,
    first: Array,
    index: Array,
    weight: Array,
) -> None:
    """Give each column of a line its share of every bin that reads it."""
    for n in range(len(first) - 1):
        a, b = first[n], first[n + 1]
        weighted_sum(lines, begin + n * lanes, lanes, bins, 0, index, weight, a, b)


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
            out[o + k] = wa * widen(source[a + k])
        return
    b = np.uint64(base + index[first + 1])
    wb = out.dtype.type(weight[first + 1])
    if count == 2:
        for k in range(n):
            out[o + k] = wa * widen(source[a + k]) + wb * widen(source[b + k])
        return
    c = np.uint64(base + index[first + 2])
    wc = out.dtype.type(weight[first + 2])
    if count == 3:
        for k in range(n):
            out[o + k] = (
                wa * widen(source[a + k])
                + wb * widen(source[b + k])
                + wc * widen(source[c + k])
            )
        return
    d = np.uint64(base + index[first + 3])
    wd = out.dtype.type(weight[first + 3])
    for k in range(n):
        out[o + k] = (
            wa * widen(source[a + k])
            + wb * widen(source[b + k])
            + wc * widen(source[c + k])
            + wd * widen(source[d + k])
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
        out[o + k] += w * widen(source[a + k])
