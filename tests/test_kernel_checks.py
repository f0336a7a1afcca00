"""Kernels of exercises: what a student is told, in the recorder and in the simulator.

Deliberate faults, and the test that caught each:

- inputs left writable -> test_each_fault_is_told[an input written]
- a value that a kernel returns overlooked -> test_each_fault_is_told[a value returned]
- unwritten output overlooked -> test_each_fault_is_told[half of it written]
- the gravest fault told last -> test_the_gravest_fault_is_told
- one order of threads alone -> test_a_result_by_the_order_of_threads_is_refused
- the simulator's law left out -> test_what_only_the_simulator_refuses
- the arrays of the law's inputs written -> test_inputs_stay_as_they_are
- a loop's Python thread left running -> test_an_interrupted_launch_leaves_no_thread
- a watcher that never comes back -> test_the_watcher_comes_back
- device functions, or members imported by name, left as they are in the simulator
  -> test_without_simulator_and_without_numba_cuda
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from matplotlib.figure import Figure
from numba import cuda

from maskrcnn_scratch.learning import recorder
from maskrcnn_scratch.learning.exercise import Inputs
from maskrcnn_scratch.learning.exercises import find
from maskrcnn_scratch.learning.feedback import report_figure, report_text
from maskrcnn_scratch.learning.judge import Report, judge
from maskrcnn_scratch.learning.kernel_checks import (
    KernelCall,
    in_any_order,
    kernel_laws,
    recorded,
    simulated,
)
from maskrcnn_scratch.learning.recorder import watch
from maskrcnn_scratch.learning.simulator import simulate
from maskrcnn_scratch.learning.timeout import TookTooLong, within
from maskrcnn_scratch.learning.watched import Stumbled, Watched

VALUES = np.array([3, 1, 2, 5], np.float32)


def call(values: np.ndarray) -> KernelCall:
    """Three threads a block, so that the last block stands out."""
    arguments = {"values": values, "out": np.empty_like(values)}
    return KernelCall(-(-len(values) // 3), 3, arguments, "out")


def doubled(values: np.ndarray, out: np.ndarray) -> None:
    n = cuda.grid(1)
    if n < values.shape[0]:
        out[n] = 2 * values[n]


def no_guard(values: np.ndarray, out: np.ndarray) -> None:
    out[cuda.grid(1)] = 2 * values[cuda.grid(1)]


def before_the_first(values: np.ndarray, out: np.ndarray) -> None:
    n = cuda.grid(1)
    if n < values.shape[0]:
        out[n] = values[n - 1]


def input_written(values: np.ndarray, out: np.ndarray) -> None:
    values[0] = 1


def value_returned(values: np.ndarray, out: np.ndarray) -> Any:
    if cuda.grid(1) > 0:
        return None
    return values[0]


def nothing_written(values: np.ndarray, out: np.ndarray) -> None:
    values[0]


def half_written(values: np.ndarray, out: np.ndarray) -> None:
    n = cuda.grid(1)
    if n < 2:
        out[2 * n] = 0


def no_barrier(values: np.ndarray, out: np.ndarray) -> None:
    cells = cuda.shared.array(3, np.float32)
    cells[cuda.threadIdx.x] = 1
    if cuda.grid(1) < values.shape[0]:
        out[cuda.grid(1)] = cells[2 - cuda.threadIdx.x]


def barrier_for_some(values: np.ndarray, out: np.ndarray) -> None:
    if cuda.grid(1) < values.shape[0]:
        cuda.syncthreads()
        out[cuda.grid(1)] = 0


def no_atomic(values: np.ndarray, out: np.ndarray) -> None:
    if cuda.grid(1) == 0:
        for n in range(4):
            out[n] = 0
    cuda.syncthreads()
    if cuda.blockIdx.x == 0:
        out[0] += 1


def misspelt(values: np.ndarray, out: np.ndarray) -> None:
    out[0] = valuess[0]  # type: ignore[name-defined] # noqa: F821


def endless_reading(values: np.ndarray, out: np.ndarray) -> None:
    while values[0] == 3:
        pass


def opens_a_file(values: np.ndarray, out: np.ndarray) -> None:
    open("x")  # noqa: SIM115


def other_arguments(values: np.ndarray) -> None:
    pass


def not_solved(values: np.ndarray, out: np.ndarray) -> None:
    raise NotImplementedError("ex13_0")


CASES: dict[str, tuple[Callable[..., Any], str, tuple[str, ...]]] = {
    "no guard": (
        *(no_guard, "out of range"),
        ("values[4] is read by thread 1 of block 1", "`out[cuda.grid(1)] = 2 * "),
    ),
    "before the first": (
        *(before_the_first, "negative index"),
        ("values[-1] is read by thread 0 of block 0", "does not count from the end"),
    ),
    "an input written": (input_written, "write to read-only", ("values[0]",)),
    "a value returned": (value_returned, "no kernel", ("returns nothing",)),
    "nothing written": (nothing_written, "unwritten output", ("nothing to `out`",)),
    "half of it written": (
        *(half_written, "unwritten output"),
        ("2 of 4 elements", "the first of them out[1]"),
    ),
    "no barrier": (
        *(no_barrier, "unsynchronised read"),
        ("cells[0] is written by thread 0", "thread 2", "in phase 0, with no barrier"),
    ),
    "barrier for some": (
        *(barrier_for_some, "divergent barrier"),
        ("threads 1 and 2 of block 1 ended without reaching it",),
    ),
    "no atomic": (
        *(no_atomic, "lost update"),
        ("out[0]", "threads 0 and 1 of block 0", "cuda.atomic.add"),
    ),
    "misspelt": (misspelt, "error", ("NameError", "valuess", "line ")),
    "endless": (endless_reading, "endless", ("does not end", "more than 2000 steps")),
    "opens a file": (opens_a_file, "no kernel", ("cannot run on a GPU", "open")),
    "other arguments": (
        *(other_arguments, "no kernel"),
        ("takes 1 arguments (values), not 2",),
    ),
    "not solved": (not_solved, "unsolved", ("not solved yet",)),
}


@pytest.mark.parametrize("name", CASES)
def test_each_fault_is_told(name: str) -> None:
    """By thread, address and line, and with the same kind by a decorated kernel."""
    kernel, kind, words = CASES[name]
    for one in (kernel, cuda.jit(kernel)):
        with pytest.raises(Stumbled) as raised:
            recorded(call)(Watched(one), values=VALUES)
        assert raised.value.kind == kind
        for word in words:
            assert word in raised.value.says
        assert ".py" not in raised.value.says  # lines are the student's own


@pytest.mark.parametrize("name", ["no guard", "no barrier", "half of it written"])
def test_a_fault_has_a_picture(name: str) -> None:
    with pytest.raises(Stumbled) as raised:
        recorded(call)(Watched(CASES[name][0]), values=VALUES)
    assert raised.value.figure is not None
    assert isinstance(raised.value.figure(), Figure)


def test_large_arrays_are_not_drawn() -> None:
    with pytest.raises(Stumbled) as raised:
        recorded(call)(Watched(half_written), values=np.ones(2000, np.float32))
    assert raised.value.figure is None


def test_a_student_s_own_names_of_arguments() -> None:
    def mine(a: np.ndarray, b: np.ndarray) -> None:
        if cuda.grid(1) < a.shape[0] - 1:
            b[cuda.grid(1)] = a[cuda.grid(1)]

    def none(a: np.ndarray, b: np.ndarray) -> None:
        a[cuda.grid(1)]

    with pytest.raises(Stumbled, match="1 of 4 elements of `b`") as raised:
        recorded(call)(Watched(mine), values=VALUES)
    assert raised.value.kind == "unwritten output"
    with pytest.raises(Stumbled) as raised:
        recorded(call)(Watched(none), values=VALUES)
    assert raised.value.detail == ("values", (4,), 0, 2, "out of range")


def test_a_right_kernel_gives_its_output() -> None:
    for got in (recorded(call), in_any_order(call), simulated(call)):
        for kernel in (doubled, cuda.jit(doubled)):
            result = got(Watched(kernel), values=VALUES)
            assert result.tolist() == [6, 2, 4, 10]


def test_inputs_stay_as_they_are() -> None:
    def clears(values: np.ndarray, out: np.ndarray) -> None:
        values[0] = 0

    values = VALUES.copy()
    with pytest.raises(Stumbled):
        recorded(call)(Watched(clears), values=values)
    with pytest.raises(Stumbled):
        simulated(call)(Watched(clears), values=values)
    assert np.array_equal(values, VALUES)
    assert values.flags.writeable


def test_the_gravest_fault_is_told() -> None:
    """Of a race and an access past the end, in whichever order they were found."""

    def both(values: np.ndarray, out: np.ndarray) -> None:
        out[0] = cuda.grid(1)
        out[cuda.grid(1) + 4] = 0

    def other_way(values: np.ndarray, out: np.ndarray) -> None:
        out[cuda.grid(1) + 4] = values[0]
        out[0] += 1

    for kernel in (both, other_way):
        with pytest.raises(Stumbled) as raised:
            recorded(call)(Watched(kernel), values=VALUES)
        assert raised.value.kind == "out of range"


def test_what_a_kernel_prints_is_kept() -> None:
    def prints(values: np.ndarray, out: np.ndarray) -> None:
        doubled(values, out)
        if cuda.grid(1) == 2:
            print("thread two")

    watched = Watched(prints)
    recorded(call)(watched, values=VALUES)
    assert watched.printed == "thread two\n"


def test_a_result_by_the_order_of_threads_is_refused() -> None:
    """Atomics race with nobody, but who comes first is chance."""

    def filled(values: np.ndarray, out: np.ndarray) -> None:
        count = cuda.shared.array(1, np.int32)
        if cuda.threadIdx.x == 0:
            count[0] = 0
        cuda.syncthreads()
        if cuda.blockIdx.x == 0:
            out[cuda.atomic.add(count, 0, 1)] = cuda.threadIdx.x
        elif cuda.threadIdx.x == 0:
            out[3] = 0

    assert recorded(call)(Watched(filled), values=VALUES).tolist() == [0, 1, 2, 0]
    with pytest.raises(Stumbled, match="order in which threads run"):
        in_any_order(call)(Watched(filled), values=VALUES)


@st.composite
def lists(draw: st.DrawFn) -> Inputs:
    """Up to eight numbers."""
    numbers = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    return {"values": np.array(numbers, np.float32)}


LAWS = kernel_laws("Doubles.", lists(), call, lambda values: 2 * values)


def test_what_only_the_simulator_refuses() -> None:
    """It has no ``cuda.ldca``, and says so by name."""

    def cached(values: np.ndarray, out: np.ndarray) -> None:
        n = cuda.grid(1)
        if n < values.shape[0]:
            out[n] = 2 * cuda.ldca(values, n)

    first, orders, simulator = LAWS
    for law in (first, orders):
        assert law.got is not None
        assert law.got(Watched(cached), values=VALUES).tolist() == [6, 2, 4, 10]
    assert simulator.got is not None
    with pytest.raises(Stumbled, match="ldca"):
        simulator.got(Watched(cached), values=VALUES)


def checked(kernel: Any) -> Report:
    """Exercise 13.4's report."""
    return judge(find("ex13_4"), kernel)


def test_other_right_ways_pass() -> None:
    """One thread adds up alone; atomics in shared memory; shuffles within a warp."""

    def alone(values: np.ndarray, out: np.ndarray) -> None:
        if cuda.threadIdx.x == 0:
            total = np.float32(0)
            for n in range(cuda.grid(1), min(cuda.grid(1) + 8, values.shape[0])):
                total += values[n]
            out[cuda.blockIdx.x] = total

    def with_atomics(values: np.ndarray, out: np.ndarray) -> None:
        total = cuda.shared.array(1, np.float32)
        if cuda.threadIdx.x == 0:
            total[0] = 0
        cuda.syncthreads()
        if cuda.grid(1) < values.shape[0]:
            cuda.atomic.add(total, 0, values[cuda.grid(1)])
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            out[cuda.blockIdx.x] = total[0]

    for kernel in (alone, with_atomics):
        report = checked(kernel)
        assert report.passed, report_text(report)


def test_the_message_and_the_picture_of_a_race() -> None:
    """As a student reads them: thread, address, line, the guess."""

    def racing(values: np.ndarray, out: np.ndarray) -> None:
        cells = cuda.shared.array(8, np.float32)
        t, n = cuda.threadIdx.x, cuda.grid(1)
        cells[t] = values[n] if n < values.shape[0] else 0.0
        half = 4
        while half > 0:
            if t < half:
                cells[t] += cells[t + half]
            cuda.syncthreads()
            half //= 2
        if t == 0:
            out[cuda.blockIdx.x] = cells[0]

    report = checked(racing)
    text = report_text(report)
    assert "Unsynchronised read: cells[4] is written by thread 4 of block 0" in text
    assert "and read by thread 0" in text
    assert "`cells[t] += cells[t + half]`" in text
    assert "Perhaps: you add up while other threads may not have put" in text
    assert isinstance(report_figure(report), Figure)


def test_a_loop_that_does_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for a smaller input ends too."""
    monkeypatch.setattr(watch, "PATIENCE", 0.3)

    def spins(values: np.ndarray, out: np.ndarray) -> None:
        cuda.syncthreads()
        while cuda.threadIdx.x == 1:
            pass

    report = checked(spins)
    assert report.problem is not None
    assert report.problem.kind == "endless"
    assert report.tried == 1


def test_the_watcher_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes where nothing is launched, and there is another for the next launch."""
    monkeypatch.setattr(watch, "WATCHER", watch.Watcher())
    for name, value in (("PATIENCE", 0.2), ("INTERVAL", 0.02), ("IDLE", 2)):
        monkeypatch.setattr(watch, name, value)

    def spins(out: np.ndarray) -> None:
        while cuda.threadIdx.x == 0:
            pass

    for _ in range(2):
        recording = recorder.record(spins, 1, 1, np.zeros(1))
        assert recording.kinds() == {"endless loop"}
        ends = time.monotonic() + 10
        while watch.WATCHER.there and time.monotonic() < ends:
            time.sleep(0.02)
        assert not watch.WATCHER.there


def test_an_interrupted_launch_leaves_no_thread() -> None:
    """Where time runs out before the recorder's own patience does."""

    def spins(out: np.ndarray) -> None:
        cuda.syncthreads()
        while cuda.threadIdx.x == 1:
            pass

    before = set(threading.enumerate())
    with pytest.raises(TookTooLong):
        within(0.3, recorder.record, spins, 1, 2, np.zeros(1))
    ends = time.monotonic() + 10
    while workers(before) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not workers(before)


def workers(before: set[threading.Thread]) -> list[threading.Thread]:
    """Threads that a launch started, but for the watcher, which goes by itself."""
    later = set(threading.enumerate()) - before
    return [one for one in later if type(one) is not threading.Thread]


def test_the_simulator_s_errors_are_raised() -> None:
    with pytest.raises(IndexError):
        simulate(no_guard, 2, 3, VALUES, np.zeros(4, np.float32))


PLAIN = """
import sys
import numpy as np
if sys.argv[1] == "built-in":  # as on a Mac, where numba-cuda is not installed
    finders = [f for f in sys.meta_path if type(f).__name__ != "NumbaCudaFinder"]
    sys.meta_path[:] = finders
from numba import cuda
from maskrcnn_scratch.learning.exercise import compiled
from maskrcnn_scratch.learning.exercises import find
from maskrcnn_scratch.learning.judge import judge

assert "numba_cuda" in cuda.__file__ or sys.argv[1] == "built-in", cuda.__file__
for name in ("ex13_1", "ex13_4"):
    exercise = find(name)
    assert judge(exercise, compiled(exercise.solved(), exercise.name, "<a>")).passed
    wrong = exercise.mistakes[0]
    report = judge(exercise, compiled(exercise.wrong(wrong), exercise.name, "<b>"))
    assert report.guess is wrong, report


@cuda.jit(device=True)
def half(x):
    return quarter(x) * 2


def quarter(x):
    return x / 4


def halves(values, out):
    cells = shared.array(3, np.float32)
    cells[threadIdx.x] = 0
    syncthreads()
    n = grid(1)
    if n < values.shape[0]:
        add(cells, threadIdx.x, half(values[n]))
        out[n] = cells[threadIdx.x]


from numba.cuda import atomic, grid, shared, syncthreads, threadIdx

from maskrcnn_scratch.learning.simulator import simulate

add = atomic.add
values, out = np.arange(4, dtype=np.float32), np.zeros(4, np.float32)
for kernel in (halves, cuda.jit(halves)):
    simulate(kernel, 2, 3, values, out)
    assert out.tolist() == [0, 0.5, 1, 1.5], out
    out[:] = 0
assert halves.__globals__["grid"] is grid
"""


@pytest.mark.parametrize("implementation", ["numba-cuda", "built-in"])
def test_without_simulator_and_without_numba_cuda(implementation: str) -> None:
    """The process of a student: nothing is set in the environment."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, implementation],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_reference_is_what_a_kernel_is_compared_with() -> None:
    """A kernel that is free of faults, and wrong."""

    def halved(values: np.ndarray, out: np.ndarray) -> None:
        if cuda.grid(1) < values.shape[0]:
            out[cuda.grid(1)] = math.floor(values[cuda.grid(1)] / 2)

    got = recorded(call)(Watched(halved), values=VALUES)
    assert got.tolist() == [1, 0, 1, 2]
    assert LAWS[0].expected(values=VALUES).tolist() == [6, 2, 4, 10]
