"""Kernels without a fault, of every kind that teaching and this package use."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda, float32, int32

from maskrcnn_scratch.learning.recorder import uninitialised

THREADS, TILE = 64, 8
Arrays = tuple[Any, ...]


@cuda.jit(device=True)
def block_sum(cells, value):  # type: ignore[no-untyped-def]
    """The sum of a value over the block, in a device function with barriers."""
    i = cuda.threadIdx.x
    cells[i] = value
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if i < half:
            cells[i] += cells[i + half]
        cuda.syncthreads()
        half //= 2
    return cells[0]


@cuda.jit
def reduction(a, out):  # type: ignore[no-untyped-def]
    """Shared memory is reused by two sums, after a barrier."""
    cells = cuda.shared.array(THREADS, float32)
    i = cuda.grid(1)
    value = a[i] if i < a.size else float32(0)
    total = block_sum(cells, value)
    cuda.syncthreads()
    squares = block_sum(cells, value * value)
    if cuda.threadIdx.x == 0:
        out[cuda.blockIdx.x, 0] = total
        out[cuda.blockIdx.x, 1] = squares


@cuda.jit
def transpose(a, out):  # type: ignore[no-untyped-def]
    """In tiles, so that reads and writes are both coalesced."""
    tile = cuda.shared.array((TILE, TILE + 1), float32)
    x, y = cuda.grid(2)
    if y < a.shape[0] and x < a.shape[1]:
        tile[cuda.threadIdx.y, cuda.threadIdx.x] = a[y, x]
    cuda.syncthreads()
    x = cuda.blockIdx.y * TILE + cuda.threadIdx.x
    y = cuda.blockIdx.x * TILE + cuda.threadIdx.y
    if y < out.shape[0] and x < out.shape[1]:
        out[y, x] = tile[cuda.threadIdx.x, cuda.threadIdx.y]


@cuda.jit
def stencil(a, b, steps):  # type: ignore[no-untyped-def]
    """Two buffers take turns, a barrier between the turns."""
    i = cuda.threadIdx.x
    source, target = a, b
    for _ in range(steps):
        left = source[i - 1] if i > 0 else float32(0)
        right = source[i + 1] if i < a.size - 1 else float32(0)
        target[i] = (left + source[i] + right) / float32(4)
        cuda.syncthreads()
        source, target = target, source


@cuda.jit
def histogram(bins, counts):  # type: ignore[no-untyped-def]
    """Counts in shared memory first, then added to the global ones."""
    mine = cuda.shared.array(4, int32)
    i = cuda.grid(1)
    if cuda.threadIdx.x < 4:
        mine[cuda.threadIdx.x] = 0
    cuda.syncthreads()
    if i < bins.size:
        cuda.atomic.add(mine, bins[i], 1)
    cuda.syncthreads()
    if cuda.threadIdx.x < 4:
        cuda.atomic.add(counts, cuda.threadIdx.x, mine[cuda.threadIdx.x])


@cuda.jit
def matmul(a, b, out):  # type: ignore[no-untyped-def]
    """Tiles of both factors in shared memory."""
    left = cuda.shared.array((TILE, TILE), float32)
    right = cuda.shared.array((TILE, TILE), float32)
    column, row = cuda.grid(2)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    total = float32(0)
    for k in range(0, a.shape[1], TILE):
        inside = row < a.shape[0] and k + x < a.shape[1]
        left[y, x] = a[row, k + x] if inside else float32(0)
        inside = k + y < b.shape[0] and column < b.shape[1]
        right[y, x] = b[k + y, column] if inside else float32(0)
        cuda.syncthreads()
        for m in range(TILE):
            total += left[y, m] * right[m, x]
        cuda.syncthreads()
    if row < out.shape[0] and column < out.shape[1]:
        out[row, column] = total


@cuda.jit
def scan(a, out):  # type: ignore[no-untyped-def]
    """Running sums: read, barrier, write, barrier."""
    cells = cuda.shared.array(THREADS, float32)
    i = cuda.threadIdx.x
    cells[i] = a[i]
    cuda.syncthreads()
    step = 1
    while step < THREADS:
        before = cells[i - step] if i >= step else float32(0)
        cuda.syncthreads()
        cells[i] += before
        cuda.syncthreads()
        step *= 2
    out[i] = cells[i]


@cuda.jit
def warp_sums(a, out):  # type: ignore[no-untyped-def]
    """Shuffles within a warp, then one atomic for each."""
    i = cuda.grid(1)
    value = a[i]
    step = 16
    while step > 0:
        value += cuda.shfl_down_sync(0xFFFFFFFF, value, step)
        step //= 2
    if cuda.laneid == 0:
        cuda.atomic.add(out, 0, value)


@cuda.jit
def warp_reverse(a, out):  # type: ignore[no-untyped-def]
    """syncwarp orders the lanes of a warp; the tile is reused."""
    tile = cuda.shared.array(THREADS, float32)
    i = cuda.threadIdx.x
    first = i - cuda.laneid
    for row in range(a.shape[0]):
        tile[i] = a[row, i]
        cuda.syncwarp()
        out[row, i] = tile[first + 31 - cuda.laneid]
        cuda.syncwarp()


@cuda.jit
def warp_relay(a, out):  # type: ignore[no-untyped-def]
    """Pairs of lanes wait for each other in turn, so lane 3 sees what lane 0 wrote."""
    cell = cuda.shared.array(1, float32)
    i = cuda.threadIdx.x
    if i == 0:
        cell[0] = a[0]
    for k in range(3):
        if i in (k, k + 1):
            cuda.syncwarp(3 << k)
    if i == 3:
        out[0] = cell[0]


@cuda.jit
def compact(a, out, count):  # type: ignore[no-untyped-def]
    """A warp's positive numbers in order: a vote, then a place for each."""
    i = cuda.threadIdx.x
    keep = a[i] > 0
    votes = cuda.ballot_sync(0xFFFFFFFF, keep)
    before = cuda.popc(votes & ((1 << cuda.laneid) - 1))
    if keep:
        out[before] = a[i]
    if i == 0:
        count[0] = cuda.popc(votes)


@cuda.jit
def levels(maps, level_of, out):  # type: ignore[no-untyped-def]
    """A tuple of arrays, views of rows, local memory, and grid strides."""
    taps = cuda.local.array(2, float32)
    for i in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        level = maps[level_of[i]]
        row = level[i % level.shape[0]]
        taps[0] = row[0]
        taps[1] = row[-1 + row.shape[0]]
        out[i] = math.sqrt(max(taps[0], taps[1]))


@dataclass(frozen=True)
class Good:
    """A kernel, how to launch it, its arguments, and what its outputs must be."""

    kernel: Any
    blocks: int | tuple[int, int]
    threads: int | tuple[int, int]
    arguments: Callable[[], Arrays]
    result: Callable[..., Any]
    """Of the arguments as they were, the array that the last float argument becomes."""

    def __str__(self) -> str:
        return str(getattr(self.kernel, "py_func", self.kernel).__name__)


def numbers(*shape: int) -> np.ndarray[Any, Any]:
    """Whole numbers, so that sums are exact in any order."""
    return np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32)


def zeros(*shape: int) -> Any:
    """What an output holds before: nothing to rely on."""
    return uninitialised(np.full(shape, 777, np.float32))


def stencil_steps(a: Any, b: Any, steps: int) -> Any:
    """Where the last step of an odd number lands."""
    for _ in range(steps):
        padded = np.pad(a, 1)
        a = (padded[:-2] + a + padded[2:]) / np.float32(4)
    return a


GOOD = [
    Good(
        *(reduction, 2, THREADS, lambda: (numbers(100), zeros(2, 2))),
        lambda a, _: np.stack(
            [
                np.add.reduceat(a, [0, THREADS]),
                np.add.reduceat(a * a, [0, THREADS]),
            ],
            axis=1,
        ),
    ),
    Good(
        *(transpose, (3, 2), (TILE, TILE), lambda: (numbers(13, 20), zeros(20, 13))),
        lambda a, _: a.T,
    ),
    Good(
        *(stencil, 1, 16, lambda: (numbers(16), zeros(16), 3)),
        stencil_steps,
    ),
    Good(
        *(histogram, 2, 32),
        lambda: (np.arange(50) % 4, np.zeros(4, np.int32)),
        lambda bins, _: np.bincount(bins),
    ),
    Good(
        *(matmul, (2, 2), (TILE, TILE)),
        lambda: (numbers(11, 9), numbers(9, 14), zeros(11, 14)),
        lambda a, b, _: a @ b,
    ),
    Good(
        *(scan, 1, THREADS, lambda: (numbers(THREADS), zeros(THREADS))),
        lambda a, _: np.cumsum(a),
    ),
    Good(
        *(warp_sums, 2, THREADS),
        lambda: (numbers(2 * THREADS), np.zeros(1, np.float32)),
        lambda a, _: a.sum(keepdims=True),
    ),
    Good(
        *(warp_reverse, 1, THREADS, lambda: (numbers(3, 64), zeros(3, 64))),
        lambda a, _: a.reshape(3, 2, 32)[:, :, ::-1].reshape(3, 64),
    ),
    Good(
        *(warp_relay, 1, 4, lambda: (numbers(1), zeros(1))),
        lambda a, _: a,
    ),
    Good(
        *(compact, 1, 32),
        lambda: (numbers(32), np.zeros(32, np.float32), np.zeros(1, np.int32)),
        lambda a, *_: np.array([(a > 0).sum()]),
    ),
    Good(
        *(levels, 2, 4),
        lambda: (
            (numbers(4, 3) ** 2, numbers(2, 5) ** 2),
            np.arange(19) % 2,
            zeros(19),
        ),
        lambda maps, level_of, _: np.sqrt(
            [max(maps[k][i % len(maps[k]), [0, -1]]) for i, k in enumerate(level_of)]
        ),
    ),
]
