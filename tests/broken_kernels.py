"""Kernels that are each wrong in one way, and the name of it.

numba's simulator runs most of them without a word, and many with the right result.
A comment "wrong" stands in the line that the recorder must point to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda, float32, int32

from maskrcnn_scratch.learning.recorder import uninitialised

THREADS = 64


@cuda.jit
def missing_barrier(a, out):  # type: ignore[no-untyped-def]
    """Reverse a block; threads read what others may not have written yet."""
    tile = cuda.shared.array(THREADS, float32)
    i = cuda.threadIdx.x
    tile[i] = a[i]
    out[i] = tile[THREADS - 1 - i]  # wrong


@cuda.jit
def missing_second_barrier(a, out):  # type: ignore[no-untyped-def]
    """The tile is filled anew while others still read it."""
    tile = cuda.shared.array(THREADS, float32)
    i = cuda.threadIdx.x
    for start in range(0, a.size, THREADS):
        tile[i] = a[start + i]  # wrong
        cuda.syncthreads()
        out[start + i] = tile[THREADS - 1 - i]


@cuda.jit
def lost_sum(a, total):  # type: ignore[no-untyped-def]
    """The simulator gives the right sum; a GPU loses most of it."""
    total[0] += a[cuda.grid(1)]  # wrong


@cuda.jit
def update_and_overwrite(a):  # type: ignore[no-untyped-def]
    """One thread adds to what another one sets: a race of writes and of a read."""
    if cuda.threadIdx.x == 0:
        a[0] += 1  # wrong
    else:
        a[0] = 5  # wrong


@cuda.jit
def histogram_without_atomics(bins, counts):  # type: ignore[no-untyped-def]
    """Two threads may meet in a bin."""
    i = cuda.grid(1)
    if i < bins.size:
        counts[bins[i]] = counts[bins[i]] + 1  # wrong


@cuda.jit
def guard_off_by_one(a, out):  # type: ignore[no-untyped-def]
    """<= for <."""
    i = cuda.grid(1)
    if i <= a.size:
        out[i] = a[i]  # wrong


@cuda.jit
def no_guard(a, out):  # type: ignore[no-untyped-def]
    """The grid is larger than the array."""
    i = cuda.grid(1)
    out[i] = 2 * a[i]  # wrong


@cuda.jit
def negative_index(a, out):  # type: ignore[no-untyped-def]
    """The first thread's left neighbour."""
    i = cuda.grid(1)
    if i < a.size:
        out[i] = a[i] - a[i - 1]  # wrong


@cuda.jit
def negative_row(a, out):  # type: ignore[no-untyped-def]
    """The same in one index of a view."""
    i = cuda.grid(1)
    row = a[i - 1]  # wrong
    out[i] = row[0]


@cuda.jit
def past_the_shared_end(a, out):  # type: ignore[no-untyped-def]
    """A halo without room for it."""
    tile = cuda.shared.array(THREADS, float32)
    i = cuda.threadIdx.x
    tile[i] = a[i]
    cuda.syncthreads()
    out[i] = tile[i + 1]  # wrong


@cuda.jit
def barrier_in_a_condition(a, out):  # type: ignore[no-untyped-def]
    """Half of the threads never come."""
    tile = cuda.shared.array(THREADS, float32)
    i = cuda.threadIdx.x
    tile[i] = a[i]
    if i < THREADS // 2:
        cuda.syncthreads()  # wrong
        out[i] = tile[i]


@cuda.jit
def early_return(a, out):  # type: ignore[no-untyped-def]
    """The last block's surplus threads leave before the barrier."""
    tile = cuda.shared.array(THREADS, float32)
    i = cuda.grid(1)
    if i >= a.size:
        return
    tile[cuda.threadIdx.x] = a[i]
    cuda.syncthreads()  # wrong
    out[i] = tile[cuda.threadIdx.x]


@cuda.jit
def two_barriers(a, out):  # type: ignore[no-untyped-def]
    """Each half waits at a barrier of its own."""
    i = cuda.threadIdx.x
    if i < THREADS // 2:
        cuda.syncthreads()  # wrong
    else:
        cuda.syncthreads()  # wrong
    out[i] = a[i]


@cuda.jit
def barriers_of_different_number(a, out):  # type: ignore[no-untyped-def]
    """Each thread loops as often as its number says."""
    i = cuda.threadIdx.x
    for _ in range(i % 2 + 1):
        cuda.syncthreads()  # wrong
    out[i] = a[i]


@cuda.jit
def unwritten_shared(a, out):  # type: ignore[no-untyped-def]
    """Shared memory holds what the last kernel left."""
    total = cuda.shared.array(1, float32)
    cuda.atomic.add(total, 0, a[cuda.threadIdx.x])  # wrong
    cuda.syncthreads()
    out[0] = total[0]


@cuda.jit
def unwritten_local(a, out):  # type: ignore[no-untyped-def]
    """The first cell is never set."""
    mine = cuda.local.array(4, float32)
    for k in range(1, 4):
        mine[k] = a[k]
    i = cuda.grid(1)
    out[i] = mine[i % 4]  # wrong


@cuda.jit
def unwritten_output(a, out):  # type: ignore[no-untyped-def]
    """out comes from torch.empty, and is taken for zeros."""
    i = cuda.grid(1)
    out[i] += a[i]  # wrong


@cuda.jit
def x_for_y(a, out):  # type: ignore[no-untyped-def]
    """The row is computed from x: many threads write one cell."""
    x = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    y = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.x
    if y < a.shape[0] and x < a.shape[1]:
        out[x, y] = cuda.threadIdx.y  # wrong


@cuda.jit
def race_of_blocks(a, out):  # type: ignore[no-untyped-def]
    """threadIdx for grid: every block writes the same cells."""
    i = cuda.threadIdx.x
    out[i] = a[cuda.blockIdx.x]  # wrong


@cuda.jit
def neighbour_block(a):  # type: ignore[no-untyped-def]
    """A barrier orders no other block."""
    i = cuda.grid(1)
    a[i] = i
    cuda.syncthreads()
    left = a[i - 1] if i > 0 else float32(0)  # wrong
    cuda.syncthreads()
    if left < 0:
        a[i] = left


@cuda.jit
def stencil_in_place(a):  # type: ignore[no-untyped-def]
    """A neighbour may be new or old."""
    i = cuda.threadIdx.x
    if 0 < i < a.size - 1:
        a[i] = (a[i - 1] + a[i + 1]) / float32(2)  # wrong


@cuda.jit
def atomic_and_plain(a, total):  # type: ignore[no-untyped-def]
    """One thread clears the sum while others add."""
    i = cuda.threadIdx.x
    if i == 0:
        total[0] = 0  # wrong
    cuda.atomic.add(total, 0, a[i])


@cuda.jit
def same_value(found):  # type: ignore[no-untyped-def]
    """A flag that many set; harmless, but told."""
    found[0] = 1  # wrong


@cuda.jit
def writes_its_input(a, out):  # type: ignore[no-untyped-def]
    """Arguments swapped."""
    i = cuda.grid(1)
    a[i] = out[i]  # wrong


@cuda.jit
def shuffle_in_a_condition(a, out):  # type: ignore[no-untyped-def]
    """The mask names all lanes, half of them are elsewhere."""
    i = cuda.threadIdx.x
    value = a[i]
    if i % 32 < 16:
        value += cuda.shfl_down_sync(0xFFFFFFFF, value, 8)  # wrong
    out[i] = value


@cuda.jit
def vote_in_a_condition(a, out):  # type: ignore[no-untyped-def]
    """Lanes that have nothing to say must vote all the same."""
    i = cuda.threadIdx.x
    if a[i] > 5:
        out[i] = cuda.ballot_sync(0xFFFFFFFF, True)  # wrong


@cuda.jit
def shuffle_for_a_fence(a, out):  # type: ignore[no-untyped-def]
    """A shuffle makes lanes wait, but orders no memory; syncwarp does."""
    tile = cuda.shared.array(32, float32)
    i = cuda.threadIdx.x
    tile[i] = a[i]
    cuda.shfl_sync(0xFFFFFFFF, i, 0)
    out[i] = tile[31 - i]  # wrong


@cuda.jit
def syncwarp_for_a_barrier(a, out):  # type: ignore[no-untyped-def]
    """syncwarp orders the lanes of one warp, and here two warps meet."""
    tile = cuda.shared.array(THREADS, float32)
    i = cuda.threadIdx.x
    tile[i] = a[i]
    cuda.syncwarp()
    out[i] = tile[THREADS - 1 - i]  # wrong


@cuda.jit
def syncwarp_of_others(a, out):  # type: ignore[no-untyped-def]
    """Each half of the warp waits for itself, and reads what the other wrote."""
    tile = cuda.shared.array(32, float32)
    i = cuda.threadIdx.x
    tile[i] = a[i]
    cuda.syncwarp(0xFFFF if i < 16 else 0xFFFF0000)
    out[i] = tile[31 - i]  # wrong


@cuda.jit
def mask_without_itself(a, out):  # type: ignore[no-untyped-def]
    """The upper lanes wait under a mask that does not name them."""
    i = cuda.threadIdx.x
    out[i] = cuda.ballot_sync(0xFFFF, a[i] > 0)  # wrong


@cuda.jit
def endless(a):  # type: ignore[no-untyped-def]
    """Nobody will ever write that flag."""
    while a[cuda.grid(1)] == 0:  # wrong
        pass


@cuda.jit
def float_index(a, out):  # type: ignore[no-untyped-def]
    """numba refuses to compile it; the simulator truncates nothing either."""
    i = cuda.grid(1)
    out[i] = a[i / 2]  # wrong


@cuda.jit
def nan_to_integer(a, out):  # type: ignore[no-untyped-def]
    """What int(NaN) is, no one can say."""
    out[0] = int(a[0] * float32(np.nan))  # wrong


@cuda.jit
def order_decides(a, out, count):  # type: ignore[no-untyped-def]
    """No race: atomics give every thread its own place, but which?"""
    i = cuda.grid(1)
    out[cuda.atomic.add(count, 0, int32(1))] = a[i]


@dataclass(frozen=True)
class Broken:
    """A kernel, how to launch it, and the faults that it has."""

    kernel: Any
    blocks: int | tuple[int, int]
    threads: int | tuple[int, int]
    arguments: Callable[[], tuple[Any, ...]]
    faults: set[str]
    array: str = ""

    def __str__(self) -> str:
        return str(getattr(self.kernel, "py_func", self.kernel).__name__)


def ramp(*shape: int) -> np.ndarray[Any, Any]:
    """1, 2, 3, ..."""
    return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)


def zeros(*shape: int) -> np.ndarray[Any, Any]:
    """float32 zeros."""
    return np.zeros(shape, np.float32)


def constant(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array that nobody may write."""
    array.flags.writeable = False
    return array


BROKEN = [
    Broken(
        *(missing_barrier, 1, THREADS, lambda: (ramp(THREADS), zeros(THREADS))),
        *({"unsynchronised read", "order dependence"}, "tile"),
    ),
    Broken(
        *(missing_second_barrier, 1, THREADS, lambda: (ramp(128), zeros(128))),
        *({"unsynchronised read", "order dependence"}, "tile"),
    ),
    Broken(
        *(lost_sum, 2, 8, lambda: (ramp(16), zeros(1)), {"lost update"}, "total"),
    ),
    Broken(
        *(update_and_overwrite, 1, 2, lambda: (zeros(1),)),
        *({"write race", "unsynchronised read", "order dependence"}, "a"),
    ),
    Broken(
        *(histogram_without_atomics, 1, 16),
        lambda: (np.arange(16) % 3, np.zeros(3, np.int32)),
        *({"lost update"}, "counts"),
    ),
    Broken(
        *(guard_off_by_one, 1, 8, lambda: (ramp(7), zeros(8)), {"out of range"}, "a"),
    ),
    Broken(*(no_guard, 2, 8, lambda: (ramp(13), zeros(16)), {"out of range"}, "a")),
    Broken(
        *(negative_index, 1, 8, lambda: (ramp(8), zeros(8)), {"negative index"}, "a"),
    ),
    Broken(
        *(negative_row, 1, 4, lambda: (ramp(4, 2), zeros(4)), {"negative index"}, "a"),
    ),
    Broken(
        *(past_the_shared_end, 1, THREADS, lambda: (ramp(THREADS), zeros(THREADS))),
        *({"out of range"}, "tile"),
    ),
    Broken(
        *(barrier_in_a_condition, 1, THREADS, lambda: (ramp(THREADS), zeros(THREADS))),
        {"divergent barrier"},
    ),
    Broken(
        *(early_return, 2, THREADS, lambda: (ramp(100), zeros(100))),
        {"divergent barrier"},
    ),
    Broken(
        *(two_barriers, 1, THREADS, lambda: (ramp(THREADS), zeros(THREADS))),
        {"divergent barrier"},
    ),
    Broken(
        *(barriers_of_different_number, 1, 4, lambda: (ramp(4), zeros(4))),
        {"divergent barrier"},
    ),
    Broken(
        *(unwritten_shared, 1, 1, lambda: (ramp(1), zeros(1))),
        *({"uninitialised read"}, "total"),
    ),
    Broken(
        *(unwritten_local, 1, 8, lambda: (ramp(8), zeros(8))),
        *({"uninitialised read"}, "mine"),
    ),
    Broken(
        *(unwritten_output, 1, 8, lambda: (ramp(8), uninitialised(zeros(8)))),
        *({"uninitialised read"}, "out"),
    ),
    Broken(
        *(x_for_y, (1, 1), (4, 4), lambda: (ramp(4, 4), zeros(4, 4))),
        *({"write race", "order dependence"}, "out"),
    ),
    Broken(
        *(race_of_blocks, 3, 4, lambda: (ramp(3), zeros(4))),
        *({"write race", "order dependence"}, "out"),
    ),
    Broken(
        *(neighbour_block, 2, 4, lambda: (np.full(8, 9, np.float32),)),
        *({"unsynchronised read"}, "a"),
    ),
    Broken(
        *(stencil_in_place, 1, 8, lambda: (ramp(8) ** 2,)),
        *({"unsynchronised read", "order dependence"}, "a"),
    ),
    Broken(
        *(atomic_and_plain, 1, 4, lambda: (ramp(4), zeros(1))),
        *({"mixed access", "order dependence"}, "total"),
    ),
    Broken(
        *(same_value, 1, 4, lambda: (np.zeros(1, np.int32),)),
        *({"same-value write"}, "found"),
    ),
    Broken(
        *(writes_its_input, 1, 4, lambda: (constant(ramp(4)), zeros(4))),
        *({"write to read-only"}, "a"),
    ),
    Broken(
        *(shuffle_in_a_condition, 1, 32, lambda: (ramp(32), zeros(32))),
        {"divergent warp"},
    ),
    Broken(
        *(vote_in_a_condition, 1, 32, lambda: (ramp(32), zeros(32))),
        {"divergent warp"},
    ),
    Broken(
        *(shuffle_for_a_fence, 1, 32, lambda: (ramp(32), zeros(32))),
        *({"unsynchronised read"}, "tile"),
    ),
    Broken(
        *(syncwarp_for_a_barrier, 1, THREADS, lambda: (ramp(THREADS), zeros(THREADS))),
        *({"unsynchronised read"}, "tile"),
    ),
    Broken(
        *(syncwarp_of_others, 1, 32, lambda: (ramp(32), zeros(32))),
        *({"unsynchronised read"}, "tile"),
    ),
    Broken(
        *(mask_without_itself, 1, 32, lambda: (ramp(32), zeros(32))),
        {"divergent warp"},
    ),
    Broken(*(endless, 1, 2, lambda: (zeros(2),), {"endless loop"})),
    Broken(*(float_index, 1, 2, lambda: (ramp(2), zeros(2)), {"error"})),
    Broken(
        *(nan_to_integer, 1, 1, lambda: (ramp(1), np.zeros(1, np.int32)), {"error"}),
    ),
    Broken(
        *(order_decides, 1, 4, lambda: (ramp(4), zeros(4), np.zeros(1, np.int32))),
        *({"order dependence"}, "out"),
    ),
]
