"""Between the two memory formats: channels last, and planes of one channel each (NCHW).

Kernels compute channels last: what one tap needs stands in one stretch of memory, for
all channels. NCHW maps are served in blocks of ``BLOCK`` channels, each copied channels
last into a thread's own scratch, where all RoIs read it: a block fits the processor's
cache, as a copy of the whole map would not.

The bins of a RoI are a flat array, (out_h, out_w, channels) or, ``planar``, (channels,
out_h, out_w). A kernel works on one line of bins at a time, channels last.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from maskrcnn_scratch.cpu.compiled import Array, compiled
from maskrcnn_scratch.cpu.numbers import narrow, widen

BLOCK = 32
"""Channels of a block: two cache lines of float32."""


class Bins(NamedTuple):
    """The bins of all RoIs: ``values[r]`` are those of RoI r, flat."""

    values: Array
    grid: tuple[int, int]
    planar: bool


def flat_bins(bins: Array, planar: bool) -> Bins:
    """``bins`` (n, out_h, out_w, channels), or as planes, as kernels take them."""
    grid = bins.shape[2:] if planar else bins.shape[1:3]
    return Bins(bins.reshape(len(bins), math.prod(bins.shape[1:])), grid, planar)


@compiled
def load_block(planes: Array, first: int, block: Array) -> None:
    """Copy some of the planes (channels, height, width) into (height, width, lanes)."""
    cells = planes.shape[1] * planes.shape[2]
    lanes = block.shape[2]
    source, target = planes.reshape(-1), block.reshape(-1)
    for n in range(cells):
        for c in range(lanes):
            target[n * lanes + c] = source[(first + c) * cells + n]


@compiled
def store_block(block: Array, first: int, planes: Array) -> None:
    """The way back."""
    cells = planes.shape[1] * planes.shape[2]
    lanes = block.shape[2]
    source, target = block.reshape(-1), planes.reshape(-1)
    for n in range(cells):
        for c in range(lanes):
            target[(first + c) * cells + n] = source[n * lanes + c]


@compiled
def load_line(bins: Bins, r: int, i: int, first: int, line: Array, lanes: int) -> None:
    """Read line i of RoI r's bins, ``lanes`` channels from ``first`` on."""
    values, place, bin_step, lane_step = line_of(bins, r, i, first)
    out_w, n = np.uint64(bins.grid[1]), np.uint64(lanes)
    if bins.planar:
        for c in range(n):
            for j in range(out_w):
                line[j * n + c] = widen(values[place + c * lane_step + j])
    else:
        for j in range(out_w):
            for c in range(n):
                line[j * n + c] = widen(values[place + j * bin_step + c])


@compiled
def store_line(bins: Bins, r: int, i: int, first: int, line: Array, lanes: int) -> None:
    """The way back."""
    values, place, bin_step, lane_step = line_of(bins, r, i, first)
    out_w, n = np.uint64(bins.grid[1]), np.uint64(lanes)
    if bins.planar:
        for c in range(n):
            for j in range(out_w):
                values[place + c * lane_step + j] = narrow(line[j * n + c], values)
    else:
        for j in range(out_w):
            for c in range(n):
                values[place + j * bin_step + c] = narrow(line[j * n + c], values)


@compiled
def line_of(
    bins: Bins, r: int, i: int, first: int
) -> tuple[Array, np.uint64, np.uint64, np.uint64]:
    """(values, place, bin step, channel step) of line i of RoI r's bins.

    Unsigned: of signed offsets numba tests each whether it counts from the end.
    """
    out_h, out_w = bins.grid
    values = bins.values[r]
    cells = out_h * out_w
    channels = len(values) // cells
    if bins.planar:
        place, steps = first * cells + i * out_w, (1, cells)
    else:
        place, steps = i * out_w * channels + first, (channels, 1)
    return values, np.uint64(place), np.uint64(steps[0]), np.uint64(steps[1])
