"""The recorder: every fault by its name, no false alarm, numbers that add up.

Deliberate faults, and the test that caught each:

- an index of n, or below 0, allowed; written cells not noted; atomics not checked for
  unwritten cells; values of writes ignored; phases that do not advance; divergent
  barriers of ended threads or of other lines; shuffles that order memory; syncwarp that
  orders other warps; blocks taken as ordered, or threads of one; a read before a racing
  write told as unwritten too; lanes that do not come -> test_faults_are_named
- syncwarp not transitive, or off by one -> test_good_kernels_raise_no_alarm
- an atomic and a read taken as harmless -> test_races_are_the_pairs_that_nothing_orders
- any reader taken for a lost update -> test_faults_are_named[update_and_overwrite]
- a float64 not split into its halves -> test_halves_of_a_number_race_with_the_whole
- sectors of 64 bytes -> test_sectors_are_those_that_a_warp_touches
- rounds of a loop as one load -> test_a_loop_s_rounds_are_separate_loads
- 31 banks -> test_bank_conflicts
- eight bytes for a whole warp at once -> test_eight_bytes_take_two_passes_...
- unsigned integers wrapped as signed -> test_a_write_converts_to_the_array_s_type
- Python's min and sqrt -> test_floats_behave_as_on_a_gpu
- "reversed" running forward -> test_threads_and_blocks_run_in_the_order_...
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from broken_kernels import BROKEN, Broken
from good_kernels import GOOD, Good
from hypothesis import given
from hypothesis import strategies as st
from numba import cuda, float32, int32, uint8

from maskrcnn_scratch.cuda import launch
from maskrcnn_scratch.cuda.numbers import assign, to_float32
from maskrcnn_scratch.figures.launch import draw_launch
from maskrcnn_scratch.learning import recorder
from maskrcnn_scratch.learning.recorder import KernelFault, watch

ORDERS = ["forward", "reversed", "shuffled"]


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_faults_are_named(broken: Broken) -> None:
    """The kind, the array, the threads, and the line; nothing else is blamed."""
    with pytest.raises(KernelFault) as raised:
        recorder.check(
            *(broken.kernel, broken.blocks, broken.threads, *broken.arguments()),
            limit=1000,
        )
    faults = raised.value.faults
    assert {fault.kind for fault in faults} == broken.faults
    for fault in faults:
        assert str(fault) in str(raised.value)
        if fault.kind != "order dependence":
            assert any("wrong" in line.source for line in fault.lines), fault
            assert "wrong" in str(fault)
            assert "block" in str(fault)
            assert fault.array in ("", broken.array)
            assert fault.array in fault.message


@pytest.mark.parametrize("broken", BROKEN, ids=str)
@pytest.mark.parametrize("order", ORDERS)
def test_faults_are_found_in_every_order(broken: Broken, order: str) -> None:
    """By what threads do, not by what comes of it; twice the same words."""
    told = [
        recorder.record(
            *(broken.kernel, broken.blocks, broken.threads, *broken.arguments()),
            order=order,
            limit=1000,
        )
        for _ in range(2)
    ]
    assert told[0].kinds() == broken.faults - {"order dependence"}
    assert str(told[0]) == str(told[1])


@pytest.mark.parametrize("good", GOOD, ids=str)
def test_good_kernels_raise_no_alarm(good: Good) -> None:
    """In no order; and they compute what they should."""
    arguments = good.arguments()
    arrays = [getattr(argument, "array", argument) for argument in arguments]
    before = [np.copy(a) if isinstance(a, np.ndarray) else a for a in arrays]
    recording = recorder.check(good.kernel, good.blocks, good.threads, *arguments)
    assert recording.faults == []
    result = [a for a in arrays if isinstance(a, np.ndarray)][-1]
    np.testing.assert_allclose(result, good.result(*before), rtol=1e-6)
    assert set(recording.unwritten.values()) <= {0}


BY_NAME = """
import math as m
from math import floor

import numba
import numba.cuda as whole
import numpy as np
from numba import cuda as gpu
from numba import int32, types
from numba.cuda import (
    activemask, atomic, blockIdx, grid, laneid, libdevice, popc, shared, syncthreads,
    threadIdx,
)
from numba.cuda.libdevice import fast_expf
from numpy import float32

from maskrcnn_scratch.learning import recorder

add = atomic.add


@numba.njit
def on_the_cpu_too(x):
    return x + float32(1)


@numba.cuda.jit
def kernel(a, out):
    tile = shared.array(4, types.float32)
    i = grid(1)
    tile[threadIdx.x] = on_the_cpu_too(a[i])
    syncthreads()
    out[i] = tile[3 - threadIdx.x] + libdevice.rsqrtf(float32(4)) + fast_expf(0)
    out[i] += m.floor(float32(1.5)) + floor(float32(0.5)) + 10 * blockIdx.x
    add(out, i, popc(int32(7)))
    if gpu.laneid == 3:
        atomic.max(out, i, whole.blockDim.x * numba.float32(1000))


@gpu.jit
def no_stand_in(a):
    a[0] = activemask()


@gpu.jit
def no_value(a):
    a[0] = laneid


a, out = np.arange(8, dtype=np.float32), np.zeros(8, np.float32)
recorder.check(kernel, 2, 4, a, out)
assert out.tolist() == [9.5, 8.5, 7.5, 4000, 23.5, 22.5, 21.5, 4000], out
for refused, name in ((no_stand_in, "activemask"), (no_value, "laneid")):
    try:
        recorder.record(refused, 1, 1, a)
    except recorder.NotRecordable as error:
        assert name in str(error), error
    else:
        raise AssertionError(refused)
"""


def run_script(script: str, simulator: str) -> str:
    """What a script prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": simulator},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_members_of_numba_imported_by_name() -> None:
    """The simulator has no such members, so no kernel there can."""
    run_script(BY_NAME, simulator="0")


SCRIPT = """
import json, sys
from broken_kernels import BROKEN
from good_kernels import GOOD
from numba import cuda
from maskrcnn_scratch.figures.launch import draw_launch
from maskrcnn_scratch.learning import recorder

told = {}
for one in BROKEN + GOOD:
    launch = one.kernel, one.blocks, one.threads, *one.arguments()
    told[str(one)] = str(recorder.record(*launch, limit=1000))
print(json.dumps([type(BROKEN[0].kernel).__name__, told]))
"""


def test_a_plain_process_and_the_simulator_tell_the_same() -> None:
    """Without a GPU and without the simulator, a kernel is another kind of object."""
    told = [json.loads(run_script(SCRIPT, simulator)) for simulator in "01"]
    assert [kind for kind, _ in told] == ["CUDADispatcher", "FakeCUDAKernel"]
    assert told[0][1] == told[1][1]
    assert len(told[0][1]) == len(BROKEN) + len(GOOD)


def test_a_tiny_launch_takes_less_than_two_seconds() -> None:
    """4 blocks of 64 threads with 14 barriers, in processor time."""
    start = time.process_time()
    a, out = np.zeros(256, np.float32), np.zeros((4, 2), np.float32)
    recording = recorder.record(GOOD[0].kernel, 4, 64, a, out)
    assert time.process_time() - start < 2
    assert recording.barriers == 4 * 15


# --- Any program of reads, writes, atomics and barriers, against all pairs of it.

READ, WRITE, ATOMIC, BARRIER, SYNCWARP = range(5)
STEPS = st.tuples(st.sampled_from([READ, WRITE, ATOMIC]), st.integers(0, 2))


@cuda.jit
def program(kind, cell, cells, shared):  # type: ignore[no-untyped-def]
    """Each thread does the steps of its column."""
    own = cuda.shared.array(3, int32)
    block, i = cuda.blockIdx.x, cuda.threadIdx.x
    if i == 0:
        for k in range(3):
            own[k] = 0
    cuda.syncthreads()
    target = own if shared else cells
    for step in range(kind.shape[0]):
        what, where = kind[step, block, i], cell[step, block, i]
        if what == 0:
            target[where]
        elif what == 1:
            target[where] = 10 * block + i
        elif what == 2:
            cuda.atomic.add(target, where, 1)
        elif what == 3:
            cuda.syncthreads()
        else:
            cuda.syncwarp()


@st.composite
def programs(draw: st.DrawFn) -> list[list[list[tuple[int, int]]]]:
    """Steps of (blocks, threads), each (what, cell); barriers are for all at once."""
    blocks, threads = draw(st.integers(1, 2)), draw(st.integers(2, 3))
    steps = []
    for _ in range(draw(st.integers(1, 4))):
        barrier = draw(st.sampled_from([None, None, BARRIER, SYNCWARP]))
        step = [
            [(barrier, 0) if barrier else draw(STEPS) for _ in range(threads)]
            for _ in range(blocks)
        ]
        steps.append(step)
    return steps


def conflicts(steps: Any, shared: bool) -> set[str]:
    """The names of all conflicts, pair by pair."""
    kinds: set[str] = set()
    done: list[tuple[int, int, int, int, int]] = []  # what, cell, block, thread, time
    passed = 0
    for step in steps:
        if step[0][0][0] in (BARRIER, SYNCWARP):  # three threads are one warp
            passed += 1
            continue
        for block, row in enumerate(step):
            for thread, (what, cell) in enumerate(row):
                done.append((what, cell, block, thread, passed))
    for k, a in enumerate(done):
        for b in done[k + 1 :]:
            same_block = a[2] == b[2]
            apart = a[1] != b[1] or (shared and not same_block)
            ordered = same_block and (a[3] == b[3] or a[4] != b[4])
            if apart or ordered or {a[0], b[0]} in ({READ}, {ATOMIC}):
                continue
            if ATOMIC in (a[0], b[0]):
                kinds.add("mixed access")
            else:
                kinds.add("write" if a[0] == b[0] else "read")
    return kinds


@given(programs(), st.booleans(), st.sampled_from(ORDERS))
def test_races_are_the_pairs_that_nothing_orders(
    steps: Any, shared: bool, order: str
) -> None:
    table = np.array(steps, np.int64)
    recording = recorder.record(
        program,
        *(table.shape[1], table.shape[2]),
        np.ascontiguousarray(table[..., 0]),
        np.ascontiguousarray(table[..., 1]),
        np.zeros(3, np.int32),
        shared,
        order=order,
    )
    names = {
        "unsynchronised read": "read",
        "write race": "write",
        "lost update": "write",
        "mixed access": "mixed access",
    }
    expected = conflicts(steps, shared)
    found = {names[kind] for kind in recording.kinds()}
    # A lost update is told instead of the reads and writes that it consists of.
    assert found == expected or "lost update" in recording.kinds()
    assert found - expected == set()


# --- Numbers that can be counted by hand.


@cuda.jit
def strided(a, out, start, step):  # type: ignore[no-untyped-def]
    """Neighbouring threads read ``step`` elements apart."""
    i = cuda.grid(1)
    out[i] = a[start + i * step]


@given(
    st.integers(0, 9),
    st.integers(0, 9),
    st.sampled_from([np.uint8, np.float16, np.float32, np.float64]),
    st.sampled_from([8, 32, 40]),
    st.integers(1, 3),
)
def test_sectors_are_those_that_a_warp_touches(
    start: int, step: int, dtype: type, block: int, blocks: int
) -> None:
    """A warp ends where its block does."""
    threads = block * blocks
    a, out = np.zeros(1200, dtype), np.zeros(threads, dtype)
    recording = recorder.record(strided, blocks, block, a, out, start, step)
    size = a.itemsize
    warps = [
        range(k * block + first, k * block + min(first + 32, block))
        for k in range(blocks)
        for first in range(0, block, 32)
    ]
    read = next(one for one in recording.instructions if one.kind == "read")
    places = [{(start + i * step) * size for i in warp} for warp in warps]
    assert read.sectors == sum(len({p // 32 for p in warp}) for warp in places)
    assert read.fewest == sum(-(-len(warp) * size // 32) for warp in places)
    assert (read.accesses, read.warps) == (threads, len(warps))
    assert recording.bytes_read == recording.bytes_written == threads * size
    assert (recording.reads == 1).all()
    assert recording.reads.shape == (blocks, block)


@cuda.jit
def through_shared(a, out, width):  # type: ignore[no-untyped-def]
    """Each thread reads a place of a shared array that all have filled."""
    tile = cuda.shared.array(32 * 33, float32)
    i = cuda.threadIdx.x
    for k in range(i, 32 * 33, 32):
        tile[k] = a[k]
    cuda.syncthreads()
    out[i] = tile[i * width]


@pytest.mark.parametrize(
    ("width", "passes"), [(0, 1), (1, 1), (2, 2), (4, 4), (31, 1), (32, 32), (33, 1)]
)
def test_bank_conflicts(width: int, passes: int) -> None:
    """A row of 32 floats puts a column into one bank; 33 spread it over all."""
    a, out = np.zeros(32 * 33, np.float32), np.zeros(32, np.float32)
    recording = recorder.record(through_shared, 1, 32, a, out, width)
    (read,) = (
        one
        for one in recording.instructions
        if one.space == "shared" and one.kind == "read"
    )
    assert (read.passes, read.warps) == (passes, 1)
    assert recording.bank_conflicts == read.bank_conflicts == passes - 1


def test_eight_bytes_take_two_passes_a_warp_without_conflict() -> None:
    @cuda.jit
    def doubles(out, step):  # type: ignore[no-untyped-def]
        tile = cuda.shared.array(64, np.float64)
        i = cuda.threadIdx.x
        tile[i * step] = i
        out[i] = tile[i * step]

    for step, passes in ((1, 2), (2, 4)):
        recording = recorder.record(doubles, 1, 32, np.zeros(32), step)
        shared = [one for one in recording.instructions if one.space == "shared"]
        assert [one.passes for one in shared] == [passes, passes]
        assert recording.bank_conflicts == 2 * (passes - 2)


def test_a_loop_s_rounds_are_separate_loads() -> None:
    """Each round of a warp is coalesced, though all rounds together are far apart."""

    @cuda.jit
    def rounds(a, out):  # type: ignore[no-untyped-def]
        i = cuda.threadIdx.x
        for row in range(a.shape[0]):
            out[row, i] = a[row, i]

    a = np.zeros((5, 32), np.float32)
    recording = recorder.record(rounds, 1, 32, a, a.copy())
    for one in recording.instructions:
        assert (one.warps, one.sectors, one.fewest) == (5, 20, 20)
    assert recording.coalescing == 1


def test_accesses_tell_who_did_what() -> None:
    @cuda.jit
    def one_each(a, out):  # type: ignore[no-untyped-def]
        i, j = cuda.grid(2)
        if i == 2 and j == 1:
            out[j, i] = a[1, j, i]
        cuda.syncthreads()
        if i == 0 and j == 0:
            cuda.atomic.add(out, (0, 1), float32(1))

    a, out = np.ones((2, 2, 4), np.float32), np.zeros((2, 4), np.float32)
    recording = recorder.record(one_each, (2, 1), (2, 2), a, out)
    told = [
        (x.kind, x.array, x.index, x.block, x.thread, x.phase)
        for x in recording.accesses()
    ]
    assert told == [
        ("atomic", "out", (0, 1), 0, 0, 1),
        ("read", "a", (1, 1, 2), 1, 2, 0),
        ("write", "out", (1, 2), 1, 2, 0),
    ]
    assert recording.barriers == 2
    assert out[1, 2] == out[0, 1] == 1
    assert recording.atomics.sum() == 1


def test_outputs_that_stay_unwritten_are_counted() -> None:
    @cuda.jit
    def every_second(out):  # type: ignore[no-untyped-def]
        out[2 * cuda.grid(1), 1] = 1

    out = np.zeros((7, 2), np.float32)
    recording = recorder.check(every_second, 1, 4, recorder.uninitialised(out))
    assert recording.unwritten == {"out": 10}
    assert "out: 10 elements are left unwritten" in str(recording)


# --- Values are those of a GPU.


@pytest.mark.parametrize(
    ("value", "dtype", "stored"),
    [
        (300, np.uint8, 44),
        (-1, np.uint8, 255),
        (1 << 31, np.int32, -(1 << 31)),
        (-1, np.uint64, (1 << 64) - 1),
        (2.9, np.int32, 2),
        (-2.9, np.int64, -2),
        (1e300, np.float32, math.inf),
        (0.1, np.float16, np.float16(0.1)),
        (3, np.bool_, True),
    ],
)
def test_a_write_converts_to_the_array_s_type(
    value: float, dtype: type, stored: float
) -> None:
    @cuda.jit
    def write(out, x):  # type: ignore[no-untyped-def]
        out[0] = x

    out = np.zeros(1, dtype)
    recorder.check(write, 1, 1, out, value)
    assert out[0] == stored


def test_small_integers_do_not_overflow_in_a_sum() -> None:
    """A kernel adds in 64 bits, whatever the arrays are."""

    @cuda.jit
    def add(a, b, out):  # type: ignore[no-untyped-def]
        out[0] = a[0] + b[0]

    for dtype in (np.uint8, np.int8, np.int16, np.int32):
        largest = np.array([np.iinfo(dtype).max])
        out = np.zeros(1, np.int64)
        recorder.check(add, 1, 1, largest.astype(dtype), largest.astype(dtype), out)
        assert out[0] == 2 * np.iinfo(dtype).max


def test_floats_behave_as_on_a_gpu() -> None:
    """Nothing raises; float32 stays float32; a NaN loses in min and max."""

    @cuda.jit
    def compute(a, out, half):  # type: ignore[no-untyped-def]
        nan, zero, three = a[0], a[1], a[2]
        out[0] = min(nan, three) + min(three, nan) + max(nan, three) + max(three, nan)
        out[1] = math.sqrt(-three)
        out[2] = three / zero
        out[3] = math.exp(three * three * three * three * three)
        out[4] = math.floor(nan)
        out[5] = math.sqrt(three) - np.sqrt(float32(3))
        out[6] = half * three
        out[7] = math.floor(-half)
        out[8] = math.log(zero)
        out[9] = math.erf(three)
        out[10] = cuda.fma(three, three, half)

    a, out = np.array([np.nan, 0, 3], np.float32), np.zeros(11, np.float32)
    recorder.check(compute, 1, 1, a, out, 0.5)
    expected = [12, np.nan, np.inf, np.inf, np.nan, 0, 1.5, -1, -np.inf, 0.99997794]
    np.testing.assert_allclose(out, [*expected, 9.5], rtol=1e-6)


@given(st.integers(0, (1 << 32) - 1))
def test_bits(x: int) -> None:
    @cuda.jit
    def count(a, out):  # type: ignore[no-untyped-def]
        out[0], out[1], out[2] = cuda.popc(a[0]), cuda.clz(a[0]), cuda.ffs(a[0])
        out[3] = cuda.brev(a[0])

    out = np.zeros(4, np.int64)
    recorder.record(count, 1, 1, np.array([x], np.uint32), out)
    text = f"{x:032b}"
    last = 0 if x == 0 else 32 - text.rindex("1")
    leading = len(text) - len(text.lstrip("0"))
    assert out.tolist() == [text.count("1"), leading, last, int(text[::-1], 2)]


ATOMICS = {
    "add": lambda old, x: old + x,
    "sub": lambda old, x: old - x,
    "max": max,
    "min": min,
    "and_": lambda old, x: old & x,
    "or_": lambda old, x: old | x,
    "xor": lambda old, x: old ^ x,
    "exch": lambda old, x: x,
    "inc": lambda old, x: 0 if old >= x else old + 1,
    "dec": lambda old, x: x if old == 0 or old > x else old - 1,
}


@pytest.mark.parametrize("name", ATOMICS)
@given(st.integers(0, 100), st.lists(st.integers(0, 100), min_size=1, max_size=4))
def test_atomics(name: str, start: int, values: list[int]) -> None:
    """Threads in order, each gets what the one before left."""

    scope = {"cuda": cuda}
    source = (
        "def update(cell, values, old):\n"
        "    i = cuda.grid(1)\n"
        f"    old[i] = cuda.atomic.{name}(cell, 0, values[i])\n"
    )
    exec(source, scope)
    cell, old = np.array([start], np.uint32), np.zeros(len(values), np.uint32)
    given_ = np.array(values, np.uint32)
    made = recorder.record(cuda.jit(scope["update"]), 1, len(values), cell, given_, old)
    assert made.faults == []
    for value, told in zip(values, old, strict=True):
        assert told == start
        start = ATOMICS[name](start, value) % (1 << 32)
    assert cell[0] == start


def test_compare_and_swap_keeps_what_does_not_match() -> None:
    @cuda.jit
    def swap(cell, old):  # type: ignore[no-untyped-def]
        i = cuda.grid(1)
        old[i] = cuda.atomic.cas(cell, 0, i, i + 1)

    cell, old = np.zeros(1, np.int32), np.zeros(3, np.int32)
    recorder.record(swap, 1, 3, cell, old)
    assert cell[0] == 3
    assert old.tolist() == [0, 1, 2]


def test_lanes_exchange_values() -> None:
    @cuda.jit
    def exchange(out):  # type: ignore[no-untyped-def]
        lane, full = cuda.laneid, 0xFFFFFFFF
        out[0, lane] = cuda.shfl_sync(full, lane, 5)
        out[1, lane] = cuda.shfl_up_sync(full, lane, 3)
        out[2, lane] = cuda.shfl_down_sync(full, lane, 3)
        out[3, lane] = cuda.shfl_xor_sync(full, lane, 1)
        out[4, lane] = cuda.ballot_sync(full, lane % 4 == 0)
        out[5, lane] = cuda.all_sync(full, lane < 31)
        out[6, lane] = cuda.any_sync(full, lane == 31)
        out[7, lane] = cuda.match_any_sync(full, lane % 2)
        if lane < 4:
            out[8, lane] = cuda.shfl_sync(0xF, lane, 3)
        else:
            out[8, lane] = cuda.shfl_sync(0xFFFFFFF0, lane, 4)
        out[9, lane] = cuda.syncthreads_count(lane < 7)

    out = np.zeros((10, 32), np.int64)
    recorder.check(exchange, 1, 32, out)
    lane = np.arange(32)
    assert (out[0] == 5).all()
    assert (out[1] == np.where(lane < 3, lane, lane - 3)).all()
    assert (out[2] == np.where(lane > 28, lane, lane + 3)).all()
    assert (out[3] == (lane ^ 1)).all()
    assert (out[4] == 0x11111111).all()
    assert (out[5] == 0).all()
    assert (out[6] == 1).all()
    assert (out[7] == np.where(lane % 2, 0xAAAAAAAA, 0x55555555)).all()
    assert (out[8] == np.where(lane < 4, 3, 4)).all()
    assert (out[9] == 7).all()


# --- Arguments, device functions, and what is refused.


def test_tensors_keep_their_memory() -> None:
    @cuda.jit
    def double(levels, out):  # type: ignore[no-untyped-def]
        i = cuda.grid(1)
        if i < out.size:
            assign(out, i, to_float32(levels[i % 2][i]) * float32(2))

    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        levels = (torch.arange(9).to(dtype), -torch.arange(9).to(dtype))
        out = torch.empty(9, dtype=dtype)
        with recorder.recording() as made:
            launch.launch(double, 2, 8, levels, out)
        assert out.tolist() == [2.0 * i * (-1) ** i for i in range(9)]
        assert [one.kernel for one in made] == ["double"]
        assert made[0].shapes == {"levels[0]": (9,), "levels[1]": (9,), "out": (9,)}
        made[0].check()
    assert launch.runner in (launch.in_simulator, launch.on_gpu)


@cuda.jit
def double_the_second_half(a, start):  # type: ignore[no-untyped-def]
    """Reads and writes a[start:]."""
    i = start + cuda.grid(1)
    if i < a.size:
        a[i] = 2 * a[i]


@cuda.jit
def fill_with_ones(a, stop):  # type: ignore[no-untyped-def]
    """Writes a[:stop]."""
    i = cuda.grid(1)
    if i < stop:
        a[i] = 1


def test_empty_tensors_hold_nothing_until_they_are_written() -> None:
    """By a kernel, of which each element counts, or by torch."""

    def double_all(a: torch.Tensor, written: int) -> torch.Tensor:
        launch.launch(fill_with_ones, 1, 8, a, written)
        launch.launch(double_the_second_half, 1, 4, a[2:], 2)
        return a

    like = torch.ones(8)
    ways = (
        lambda: torch.empty(8),
        lambda: torch.empty_like(like),
        lambda: like.new_empty(8),
    )
    for make in ways:
        first, second = recorder.check_launches(lambda make=make: double_all(make(), 8))
        assert (first.unwritten, second.unwritten) == ({"a": 0}, {"a": 0})
        with recorder.recording() as made:
            double_all(make(), 5)
        assert made[0].unwritten == {"a": 3}
        assert made[0].faults == []
        (fault,) = made[1].faults
        assert (fault.kind, fault.index, fault.count) == ("uninitialised read", (3,), 3)
        with pytest.raises(KernelFault, match="double_the_second_half has 1 fault"):
            recorder.check_launches(lambda make=make: double_all(make(), 5))
        filled = recorder.check_launches(
            lambda make=make: double_all(make().zero_(), 0)
        )
        assert [one.unwritten for one in filled] == [{}, {}]
    assert "made" not in torch.empty.__name__


def test_halves_of_a_number_race_with_the_whole() -> None:
    """A float64 over two float32: thread 0 writes both, thread 1 reads the second."""

    @cuda.jit
    def overlap(whole, halves, out):  # type: ignore[no-untyped-def]
        if cuda.grid(1) == 0:
            whole[1] = 1
        else:
            out[0] = halves[3]

    halves = np.zeros(4, np.float32)
    arguments = (halves.view(np.float64), halves, np.zeros(1, np.float32))
    (fault,) = recorder.record(overlap, 1, 2, *arguments).faults
    assert fault.kind == "unsynchronised read"


def test_two_names_of_one_memory_race() -> None:
    @cuda.jit
    def shift(a, b):  # type: ignore[no-untyped-def]
        b[cuda.grid(1)] = a[cuda.grid(1)]

    x = np.arange(9, dtype=np.float32)
    with pytest.raises(KernelFault, match=r"unsynchronised read: a\[1\] is written"):
        recorder.check(shift, 1, 8, x[:-1], x[1:])
    pairs = np.zeros(8, np.float32)
    with pytest.raises(KernelFault, match="unsynchronised read"):
        recorder.check(shift, 1, 4, pairs[4:], pairs[2:6].view(np.int32))


@given(st.data())
def test_an_index_is_told_as_the_array_s(data: st.DataObject) -> None:
    """Through views, strides, transposition and turning round."""
    shape = tuple(data.draw(st.lists(st.integers(2, 4), min_size=3, max_size=3)))
    index = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    turned = data.draw(st.booleans())
    steps = [slice(None, None, data.draw(st.sampled_from([1, -1, 2]))) for _ in shape]

    @cuda.jit
    def one(a, k):  # type: ignore[no-untyped-def]
        i, j, m = index
        if k == 0:
            a[i, j, m] = 1
        elif k == 1:
            a[i][j][m] = 1
        elif k == 2:
            a[i, :, m][j] = 1
        else:
            a[i:, j, m][0] = 1

    whole = tuple(n * abs(step.step) for n, step in zip(shape, steps, strict=True))
    a = np.zeros(whole, np.float32)
    if turned:
        a = np.zeros(whole[::-1], np.float32).T
    a = a[tuple(steps)]
    recording = recorder.record(one, 1, 1, a, data.draw(st.integers(0, 3)))
    assert [access.index for access in recording.accesses()] == [index]
    assert np.argwhere(a).tolist() == [list(index)]


def test_arrays_without_axes_and_without_elements() -> None:
    @cuda.jit
    def move(a, b):  # type: ignore[no-untyped-def]
        if cuda.grid(1) < b.size:
            b[()] = a[()] + 1
            cuda.atomic.add(b, (), 1)

    a, b = np.array(2, np.int32), np.array(0, np.int32)
    recording = recorder.check(move, 1, 2, a, b)
    assert b == 4
    assert [access.index for access in recording.accesses()] == [()] * 3
    empty = np.zeros((0, 3), np.int32)
    assert recorder.check(move, 1, 2, empty, recorder.uninitialised(empty)).faults == []


def test_a_slice_takes_one_value_or_an_array() -> None:
    @cuda.jit
    def fill(a, b):  # type: ignore[no-untyped-def]
        a[cuda.grid(1), 1:] = 2
        if cuda.grid(1) == 0:
            b[:] = a[0]
            for value in a[0]:
                b[0] += value

    a, b = np.zeros((2, 3), np.float32), np.zeros(3, np.float32)
    recording = recorder.record(fill, 1, 2, a, b)
    assert a.tolist() == [[0, 2, 2], [0, 2, 2]]
    assert b.tolist() == [4, 2, 2]
    assert recording.writes.tolist() == [[2 + 3 + 3, 2]]


def test_dynamic_shared_memory_and_constants() -> None:
    table = np.array([5, 6, 7], np.float32)

    @cuda.jit
    def look_up(out):  # type: ignore[no-untyped-def]
        cells = cuda.shared.array(0, float32)
        constant = cuda.const.array_like(table)
        i = cuda.threadIdx.x
        cells[i] = constant[i]
        cuda.syncthreads()
        out[i] = cells[2 - i]

    out = np.zeros(3, np.float32)
    recorder.check(look_up, 1, 3, out, shared_bytes=12)
    assert out.tolist() == [7, 6, 5]


@cuda.jit(device=True)
def factorial(n):  # type: ignore[no-untyped-def]
    """A device function that calls itself."""
    return 1 if n < 2 else n * factorial(n - 1)


def test_device_functions_call_themselves_and_take_defaults() -> None:
    @cuda.jit(device=True)
    def scaled(x, by=float32(3)):  # type: ignore[no-untyped-def]  # noqa: B008
        return x * by

    @cuda.jit
    def compute(out):  # type: ignore[no-untyped-def]
        out[cuda.grid(1)] = scaled(factorial(cuda.grid(1)))

    out = np.zeros(5, np.float32)
    recorder.check(compute, 1, 5, out)
    assert out.tolist() == [3, 3, 6, 18, 72]


def test_what_has_no_stand_in_is_refused_by_name() -> None:
    @cuda.jit
    def grid_barrier(a):  # type: ignore[no-untyped-def]
        cuda.cg.this_grid().sync()

    @cuda.jit
    def active(a):  # type: ignore[no-untyped-def]
        a[0] = cuda.activemask()

    @cuda.jit
    def opens(a):  # type: ignore[no-untyped-def]
        open("file")  # noqa: SIM115

    @cuda.jit
    def path(a):  # type: ignore[no-untyped-def]
        a[0] = len(str(sys.path))

    @cuda.jit
    def pathlib(a):  # type: ignore[no-untyped-def]
        a[0] = Path("x")

    for kernel, name in (
        (grid_barrier, "cuda.cg"),
        (active, "cuda.activemask"),
        (opens, "open"),
        (pathlib, "Path"),
        (path, "sys.path|str"),
    ):
        with pytest.raises(recorder.NotRecordable, match=name):
            recorder.record(kernel, 1, 1, np.zeros(1, np.float32))
    with pytest.raises(recorder.NotRecordable, match="complex64"):
        recorder.record(program, 1, 1, *[np.zeros((1, 1, 1), np.complex64)] * 4)
    with pytest.raises(recorder.NotRecordable, match="no kernel"):
        recorder.record("kernel", 1, 1)


@pytest.mark.parametrize(
    ("blocks", "threads", "message"),
    [
        (1, 1025, "at most 1024 threads"),
        (1, (32, 33), "at most 1024 threads"),
        (0, 1, "blocks is 0"),
        (1, (1, 1, 1, 1), r"threads is \(1, 1, 1, 1\)"),
    ],
)
def test_launches_that_no_gpu_takes(blocks: Any, threads: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recorder.record(strided, blocks, threads, *[np.zeros(1)] * 4)


def test_a_wrong_number_of_arguments_is_told() -> None:
    with pytest.raises(TypeError, match=r"takes 4 arguments \(a, out, start, step\)"):
        recorder.record(strided, 1, 1, np.zeros(1))
    with pytest.raises(ValueError, match="order is 'backward'"):
        recorder.record(strided, 1, 1, *[np.zeros(1)] * 4, order="backward")


def test_a_loop_without_any_access_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PATIENCE", 0.3)

    @cuda.jit
    def spin(a):  # type: ignore[no-untyped-def]
        x = a[0]
        while x < 1:
            x = x * float32(2)

    @cuda.jit
    def spin_after_a_barrier(a):  # type: ignore[no-untyped-def]
        cuda.syncthreads()
        while cuda.threadIdx.x == 1:
            pass

    for kernel in (spin, spin_after_a_barrier):
        recording = recorder.record(kernel, 1, 2, np.zeros(1, np.float32))
        assert recording.kinds() == {"endless loop"}


def test_an_atomic_that_numba_has_not_is_told() -> None:
    @cuda.jit
    def add(a):  # type: ignore[no-untyped-def]
        cuda.atomic.add(a, 0, uint8(1))

    with pytest.raises(KernelFault, match="numba has no such atomic on uint8"):
        recorder.check(add, 1, 1, np.zeros(1, np.uint8))


def test_check_allows_what_is_meant() -> None:
    by_name = {str(one): one for one in BROKEN}
    flag, order = by_name["same_value"], by_name["order_decides"]
    launch_of_flag = (flag.kernel, flag.blocks, flag.threads, *flag.arguments())
    recorder.check(*launch_of_flag, allow=("same-value write",))
    launch_of_order = (order.kernel, order.blocks, order.threads, *order.arguments())
    recorder.check(*launch_of_order, same_result=False)


def test_rounding_of_atomic_sums_is_no_order_dependence() -> None:
    @cuda.jit
    def total(a, out):  # type: ignore[no-untyped-def]
        cuda.atomic.add(out, 0, a[cuda.grid(1)])

    a = np.random.default_rng(5).random(256).astype(np.float32)
    out = [np.zeros(1, np.float32) for _ in ORDERS]
    for order, one in zip(ORDERS, out, strict=True):
        recorder.record(total, 4, 64, a, one, order=order)
    assert len({float(one[0]) for one in out}) > 1
    recorder.check(total, 4, 64, a, np.zeros(1, np.float32))


# --- The picture.


@cuda.jit
def halo(a, out):  # type: ignore[no-untyped-def]
    """Each thread reads two cells of a shared array, and adds to one of out."""
    tile = cuda.shared.array(4, float32)
    i = cuda.threadIdx.x
    tile[i] = a[1, 3 - i]
    cuda.syncthreads()
    out[cuda.grid(1)] = tile[i] + tile[max(i - 1, 0)]
    cuda.syncthreads()
    cuda.atomic.add(out, 4 * cuda.blockIdx.x, tile[i])


def test_the_picture_shows_who_touches_what() -> None:
    a, out = np.ones((2, 4), np.float32), np.zeros(8, np.float32)
    recording = recorder.check(halo, 2, 4, a, out)
    figure, told = draw_launch(recording)
    tiles = ["tile of block 0", "tile of block 1"]
    assert list(told.panels) == [
        *[(0, "a"), (0, tiles[0]), (0, tiles[1])],
        *[(1, "out"), (1, tiles[0]), (1, tiles[1])],
        *[(2, "out"), (2, tiles[0]), (2, tiles[1])],
    ]
    assert told.panels[0, "a"].readers == {(1, k): [3 - k, 7 - k] for k in range(4)}
    assert (told.panels[0, "a"].writers == -1).all()
    assert told.panels[0, tiles[1]].writers.tolist() == [[4, 5, 6, 7]]
    assert told.panels[1, tiles[1]].readers == {
        **{(0, k): [4 + k, 5 + k] for k in range(3)},
        (0, 3): [7],
    }
    assert told.panels[1, "out"].writers.tolist() == [list(range(8))]
    updaters = {(0, 0): [0, 1, 2, 3], (0, 4): [4, 5, 6, 7]}
    assert told.panels[2, "out"].updaters == updaters
    read, write, atomic = told.strips
    assert read.threads.tolist() == [[-1, -1, -1, -1, 3, 2, 1, 0]]
    assert write.threads.tolist() == [[0, 1, 2, 3, -1, -1, -1, -1]]
    assert atomic.threads.tolist() == [[3] + [-1] * 7]
    assert read.label.startswith("read a, sectors: a warp 1, in all 2, fewest 2  `tile")

    panels, *strips = figure.axes
    by_gid: dict[Any, list[Any]] = {}
    for collection in panels.collections:
        by_gid.setdefault(collection.get_gid(), []).append(collection)
    cells = [tuple(c) for one in by_gid["cells"] for c in one.get_facecolor()]
    white = (1.0, 1.0, 1.0, 1.0)
    assert len(cells) == 8 + 2 * 4 + 3 * 8 + 2 * 8 - 8
    assert sum(cell != white for cell in cells) == 8 + 8
    assert sum(len(one.get_paths()) for one in by_gid["reads"]) == 8 + 2 * 7 + 8
    assert sum(len(one.get_paths()) for one in by_gid["updates"]) == 8
    assert len(set(cells) - {white}) == 8  # a colour for each thread
    assert [axes.get_title(loc="left") for axes in strips] == [
        strip.label for strip in told.strips
    ]


def test_the_picture_marks_faults_where_they_are() -> None:
    by_name = {str(one): one for one in BROKEN}
    for name, places, beyond in (
        ("stencil_in_place", {("a", (0, 1))}, {}),
        ("missing_barrier", {("tile of block 0", (0, 0))}, {}),
        ("no_guard", set(), {("a", (0, 13)): 13}),
        ("negative_index", set(), {("a", (0, -1)): 0}),
    ):
        one = by_name[name]
        recording = recorder.record(
            one.kernel, one.blocks, one.threads, *one.arguments()
        )
        figure, told = draw_launch(recording)
        marked = [
            (panel.name, cell)
            for panel in told.panels.values()
            for cell in panel.faults
        ]
        assert set(marked) == places
        outside = {
            (panel.name, cell): thread
            for panel in told.panels.values()
            for cell, thread in panel.beyond.items()
        }
        assert outside == beyond
        outlines = [p for p in figure.axes[0].patches if p.get_gid() == "fault"]
        assert len(outlines) == len(places) + len(beyond)
        assert all(one.get_x() > 0 for one in outlines)
        corners = [panel.room for panel in told.panels.values() if panel.beyond]
        assert corners == [
            (int(column < 0), 0, int(column > 0), 0) for _, (_, column) in beyond
        ]


def test_what_is_far_beyond_an_array_is_drawn_next_to_it() -> None:
    @cuda.jit
    def astray(a):  # type: ignore[no-untyped-def]
        a[100, -100] = cuda.grid(1)

    recording = recorder.record(astray, 1, 1, np.zeros((2, 3), np.float32))
    _, told = draw_launch(recording)
    panel = told.panels[0, "a"]
    assert panel.beyond == {(2, -1): 0}
    assert panel.room == (1, 0, 0, 1)


def test_a_large_launch_is_not_drawn() -> None:
    a = np.zeros(2048, np.float32)
    recording = recorder.record(strided, 1, 8, a, a.copy(), 0, 1)
    with pytest.raises(ValueError, match="a has 2048 elements"):
        draw_launch(recording)


def test_threads_and_blocks_run_in_the_order_that_is_asked_for() -> None:
    def sequence(order: str, seed: int = 0) -> list[tuple[int, int]]:
        a = np.zeros(32, np.float32)
        recording = recorder.record(
            *(strided, 4, 8, a, a.copy(), 0, 1), order=order, seed=seed
        )
        reads = [one for one in recording.accesses() if one.kind == "read"]
        return [(one.block, one.thread) for one in reads]

    forward = [(block, thread) for block in range(4) for thread in range(8)]
    assert sequence("forward") == forward
    assert sequence("reversed") == forward[::-1]
    shuffled = sequence("shuffled")
    assert shuffled == sequence("shuffled") != sequence("shuffled", seed=1)
    assert sorted(shuffled) == forward != shuffled
