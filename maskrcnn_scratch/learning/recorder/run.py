"""Recording a launch, in one order of threads or in several."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from maskrcnn_scratch.learning.recorder.blocks import Blocks
from maskrcnn_scratch.learning.recorder.memory import SHARED
from maskrcnn_scratch.learning.recorder.races import find_races, flag_unwritten
from maskrcnn_scratch.learning.recorder.rebuild import Rebuilder, python_function
from maskrcnn_scratch.learning.recorder.recording import Recording
from maskrcnn_scratch.learning.recorder.stand_in import Cuda
from maskrcnn_scratch.learning.recorder.state import (
    ATOMIC,
    COLUMNS,
    READ,
    WRITE,
    Launch,
    Stop,
    dim3,
)
from maskrcnn_scratch.learning.recorder.storage import Storage
from maskrcnn_scratch.learning.recorder.turns import Order
from maskrcnn_scratch.learning.recorder.watch import watched

MOST_THREADS = 1024  # of a block, on every GPU
Size = int | tuple[int, ...]


class Uninitialised:
    """An array whose values mean nothing before the launch, as torch.empty's.

    ``written`` tells of each byte from its first to its last whether it was written
    after all; the launch adds what it writes.
    """

    def __init__(self, array: Any, written: NDArray[np.bool_] | None = None) -> None:
        self.array, self.written = array, written


def uninitialised(array: Any) -> Any:
    """Mark an argument: to read it before the kernel has written it is a fault."""
    return Uninitialised(array)


def record(
    kernel: Any,
    blocks: Size,
    threads: Size,
    *arguments: Any,
    order: str = "forward",
    seed: int = 0,
    limit: int = 1_000_000,
    shared_bytes: int = 0,
) -> Recording:
    """Run ``kernel[blocks, threads](*arguments)`` in Python and record all it does.

    ``kernel`` is a function under ``@cuda.jit``. Arguments are NumPy arrays or CPU
    tensors, which get the results, numbers, and tuples of these. Threads run one at a
    time, ``order`` is "forward", "reversed" or "shuffled" (by ``seed``). A thread with
    more than ``limit`` steps (accesses and barriers) is taken to loop for ever.
    ``shared_bytes`` is the size of dynamic shared memory.

    Raises NotRecordable, naming it, where the kernel uses what cannot be stood in for.
    """
    function = python_function(kernel)
    launch = Launch(
        function.__name__, dim3(blocks, "blocks"), dim3(threads, "threads"), limit
    )
    if launch.threads.total > MOST_THREADS:
        raise ValueError(f"a block has at most {MOST_THREADS} threads, not {threads}")
    storage = Storage(launch, shared_bytes)
    runner = Blocks(launch, Order(order, seed))
    rebuilder = Rebuilder(Cuda(launch, storage, runner), launch, storage.constant)
    body = rebuilder.function(function)
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    given = Arguments(storage, names, arguments)
    with watched(launch), suppress(Stop):
        runner.run(lambda: body(*given.wrapped), waits=may_wait(rebuilder.names))
    return told(launch, storage, given, order)


def may_wait(names: set[str]) -> bool:
    """Whether code that uses these names may make a thread wait for others."""
    return any("sync" in name for name in names)


class Arguments:
    """The arguments of a launch, with recording arrays for arrays."""

    def __init__(
        self, storage: Storage, names: tuple[str, ...], arguments: tuple[Any, ...]
    ) -> None:
        if len(names) != len(arguments):
            raise TypeError(
                f"{storage.launch.kernel} takes {len(names)} arguments "
                f"({', '.join(names)}), not {len(arguments)}"
            )
        self.named: list[tuple[str, NDArray[Any]]] = []
        self.unwritten: dict[int, NDArray[np.bool_]] = {}
        shaped = [self.collect(n, a) for n, a in zip(names, arguments, strict=True)]
        arrays = storage.arguments(self.named, self.unwritten)
        self.arrays = arrays
        self.wrapped = [put(shape, arrays) for shape in shaped]

    def collect(self, name: str, argument: Any) -> Any:
        """The argument, with its place in ``named`` for an array."""
        if isinstance(argument, Uninitialised):
            array = as_array(argument.array)
            first, last = byte_bounds(array)
            written = np.zeros(last - first, np.bool_)
            self.unwritten[id(array)] = (
                written if argument.written is None else argument.written
            )
        elif isinstance(argument, tuple):
            parts = enumerate(argument)
            return tuple(self.collect(f"{name}[{k}]", part) for k, part in parts)
        else:
            array = as_array(argument)
        if not isinstance(array, np.ndarray):
            return number(array)
        self.named.append((name, array))
        return Slot(len(self.named) - 1)


class Slot(int):
    """The place of an array among those of a launch."""


def put(shape: Any, arrays: list[Any]) -> Any:
    """Arrays in place of their slots."""
    if isinstance(shape, tuple):
        return tuple(put(part, arrays) for part in shape)
    return arrays[shape] if isinstance(shape, Slot) else shape


def as_array(argument: Any) -> Any:
    """NumPy's view of a CPU tensor; anything else as it is."""
    if isinstance(argument, np.ndarray) or not hasattr(argument, "numpy"):
        return argument
    return argument.detach().numpy()


def number(value: Any) -> Any:
    """A Python float as the float64 that a launch makes of it."""
    return np.float64(value) if type(value) is float else value


def told(launch: Launch, storage: Storage, given: Arguments, order: str) -> Recording:
    """Look for races, count, and sum up."""
    log = np.frombuffer(launch.log, np.int64) if launch.log else np.empty(0, np.int64)
    rows = log.reshape(-1, len(COLUMNS))
    memories = storage.memories
    racing = find_races(launch, rows, memories) if len(rows) else set()
    flag_unwritten(launch, racing)
    kind, shape = rows[:, 1] & 3, (launch.blocks.total, launch.threads.total)
    reads, writes, atomics = (
        np.bincount(rows[kind == k, 2], minlength=shape[0] * shape[1]).reshape(shape)
        for k in (READ, WRITE, ATOMIC)
    )
    shapes = [(name, array.shape) for name, array in given.named]
    shapes += [(m.name, m.members[0].shape) for m in memories if m.read_only]
    return Recording(
        launch.kernel,
        launch.blocks,
        launch.threads,
        order,
        list(launch.faults.found.values()),
        reads,
        writes,
        atomics,
        launch.local[0],
        launch.local[1],
        launch.barriers,
        dict(shapes),
        {m.name: m.members[0].shape for m in memories if m.space == SHARED},
        left_unwritten(given),
        rows,
        memories,
        launch,
    )


def left_unwritten(given: Arguments) -> dict[str, int]:
    """How many elements of arrays marked as uninitialised nobody wrote."""
    left = {}
    for (name, array), wrapped in zip(given.named, given.arrays, strict=True):
        marks, written = given.unwritten.get(id(array)), wrapped.memory.written
        if marks is None or written is None:
            continue
        first = array.__array_interface__["data"][0] - byte_bounds(array)[0]
        start = wrapped.address - wrapped.memory.address - first
        marks[:] = written[start : start + len(marks)]
        offsets = np.array(first)
        for n, stride in zip(array.shape, array.strides, strict=True):
            offsets = offsets[..., None] + np.arange(n) * stride
        left[name] = int((~marks[offsets]).sum())
    return left
