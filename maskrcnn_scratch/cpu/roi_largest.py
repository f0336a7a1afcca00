"""The kernels of RoIPool: the largest feature of each bin, and where it was.

A maximum over a rectangle is separable, like RoIAlign's mean: the rows that a line of
bins covers are combined first, into one line of the RoI's columns; then each bin takes
the largest of its columns. Of equal features the first in reading order wins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maskrcnn_scratch.cpu.compiled import Array, compiled
from maskrcnn_scratch.cpu.layouts import BLOCK, Bins, load_block, load_line, store_line
from maskrcnn_scratch.cpu.numbers import new_sums, widen

EMPTY = -1  # the argmax of a bin without cells

Line = tuple[Array, Array]
"""Maxima, and where they are from."""


class Cells(NamedTuple):
    """Which RoIs are read, and the cells of their bins, (first, stop) on each axis."""

    chosen: Array
    images: Array
    rows: Array
    columns: Array


@compiled
def largest(
    features: Array, cells: Cells, bins: Bins, winners: Bins | None, first: int
) -> None:
    """The maximum for the RoIs ``chosen``, written to their places in ``bins``.

    ``features`` (images, height, width, lanes) hold the channels from ``first`` on.
    Flat indices of the maxima go to ``winners``, where they are wanted.
    """
    _, _, width, lanes = features.shape
    out_h, out_w = bins.grid
    chosen, images, rows, columns = cells
    line = new_sums(width * lanes, features), np.empty(width * lanes, np.int32)
    best = new_sums(out_w * lanes, features), np.empty(out_w * lanes, np.int32)
    for r in chosen:
        image = features[images[r]].reshape(-1)
        left, right = columns[r, :, 0].min(), columns[r, :, 1].max()
        begin, size = left * lanes, (right - left) * lanes
        for i in range(out_h):
            top, bottom = rows[r, i]
            for row in range(top, bottom):
                source, fresh = row * width * lanes + begin, row == top
                if winners is None:
                    larger(line[0], begin, size, image, source, fresh)
                else:
                    larger_row(line, begin, size, image, source, row, fresh)
            for j in range(out_w):
                low, high = columns[r, j]
                if top >= bottom or low >= high:
                    best[0][j * lanes : (j + 1) * lanes] = 0
                    best[1][j * lanes : (j + 1) * lanes] = EMPTY
                    continue
                for x in range(low, high):
                    here, there, fresh = j * lanes, x * lanes, x == low
                    if winners is None:
                        larger(best[0], here, lanes, line[0], there, fresh)
                    else:
                        larger_column(best, here, lanes, line, there, x, width, fresh)
            store_line(bins, r, i, first, best[0], lanes)
            if winners is not None:
                store_line(winners, r, i, first, best[1], lanes)


@compiled
def larger(
    best: Array, begin: int, size: int, source: Array, base: int, fresh: bool
) -> None:
    """best[begin + k] = max(best[begin + k], source[base + k]); ``fresh``: replace.

    No branches here and below: these loops run on many channels at once.
    """
    b, s = np.uint64(begin), np.uint64(base)
    for k in range(np.uint64(size)):
        value = widen(source[s + k])
        best[b + k] = value if fresh or value > best[b + k] else best[b + k]


@compiled
def larger_row(
    line: Line, begin: int, size: int, source: Array, base: int, row: int, fresh: bool
) -> None:
    """Take a row into a line: the maxima, and the rows that they are from."""
    best, row_of = line
    b, s, new = np.uint64(begin), np.uint64(base), np.int32(row)
    for k in range(np.uint64(size)):
        value = widen(source[s + k])
        better = fresh or value > best[b + k]
        best[b + k] = value if better else best[b + k]
        row_of[b + k] = new if better else row_of[b + k]


@compiled
def larger_column(
    bins: Line,
    begin: int,
    size: int,
    line: Line,
    base: int,
    column: int,
    width: int,
    fresh: bool,
) -> None:
    """Take a column of a line into a bin: the maxima, and their flat indices.

    Columns come from left to right. So of equal maxima the one in a higher row is the
    first in reading order, and in one row the one that is there already.
    """
    best, index_of = bins
    values, rows = line
    b, s, x, w = np.uint64(begin), np.uint64(base), np.int32(column), np.int32(width)
    for k in range(np.uint64(size)):
        value, index = values[s + k], np.int32(rows[s + k] * w + x)
        better = fresh or value > best[b + k]
        better |= value == best[b + k] and index < index_of[b + k]
        best[b + k] = value if better else best[b + k]
        index_of[b + k] = index if better else index_of[b + k]


@compiled
def largest_planar(
    planes: Array, cells: Cells, bins: Bins, winners: Bins | None, first: int, step: int
) -> None:
    """``largest`` for one image (channels, height, width), every ``step``-th block."""
    channels, height, width = planes.shape
    block = np.empty(height * width * BLOCK, planes.dtype)
    for begin in range(first * BLOCK, channels, step * BLOCK):
        lanes = min(BLOCK, channels - begin)
        maps = block[: height * width * lanes].reshape(1, height, width, lanes)
        load_block(planes, begin, maps[0])
        largest(maps, cells, bins, winners, begin)


@compiled
def add_to_winners(
    bins: Bins, winners: Bins, images: Array, low: int, high: int, d_features: Array
) -> None:
    """Send the gradients ``bins`` of the channels low..high to the cells that won.

    RoI after RoI, so sums have one order. A line of bins is copied first: in one sweep
    the processor waits for all its cells of memory at once, in the loop that scatters
    them for each alone.
    """
    _, height, width, channels = d_features.shape
    out_h, out_w = bins.grid
    lanes = np.uint64(high - low)
    line = new_sums(out_w * (high - low), d_features)
    line_at = np.empty(out_w * (high - low), np.int32)
    flat = d_features.reshape(-1)
    for r in range(len(images)):
        image = images[r] * height * width
        for i in range(out_h):
            load_line(bins, r, i, low, line, high - low)
            load_line(winners, r, i, low, line_at, high - low)
            for j in range(np.uint64(out_w)):
                for c in range(lanes):
                    winner = line_at[j * lanes + c]
                    if winner >= 0:
                        cell = np.uint64((image + winner) * channels + low)
                        flat[cell + c] += line[j * lanes + c]


@compiled
def add_to_winners_planar(
    bins: Bins, winners: Bins, images: Array, low: int, high: int, d_planes: Array
) -> None:
    """The same for planes (images, channels, height, width)."""
    _, channels, height, width = d_planes.shape
    size = height * width
    cells = bins.grid[0] * bins.grid[1]
    flat = d_planes.reshape(-1)
    for r in range(len(images)):
        grad, argmax = bins.values[r], winners.values[r]
        for c in range(low, high):
            plane = (images[r] * channels + c) * size
            for at in range(np.uint64(c * cells), np.uint64((c + 1) * cells)):
                winner = argmax[at]
                if winner >= 0:
                    flat[np.uint64(plane + winner)] += widen(grad[at])
