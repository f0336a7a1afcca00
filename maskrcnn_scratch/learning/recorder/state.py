"""A launch while it runs: its threads, and the log that they write."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NamedTuple

from maskrcnn_scratch.learning.recorder.faults import (
    ENDLESS,
    ERROR,
    Fault,
    FaultList,
    Line,
    Sites,
)
from maskrcnn_scratch.learning.recorder.memory import Memory

WARP = 32
READ, WRITE, ATOMIC = 0, 1, 2
KINDS = ("read", "write", "atomic")
COLUMNS = ("address", "kind", "thread", "moment", "site", "value")
"""A row of the log. The kind holds the bytes too, the moment phase and epoch."""
EPOCHS = 1 << 20  # a moment is phase * EPOCHS + epoch


class Dim3(NamedTuple):
    """Sizes or indices of threads and blocks."""

    x: int
    y: int = 1
    z: int = 1

    @property
    def total(self) -> int:
        """Of all axes together."""
        return self.x * self.y * self.z

    def at(self, number: int) -> Dim3:
        """The index of a linear number: x runs fastest."""
        return Dim3(
            number % self.x, number // self.x % self.y, number // (self.x * self.y)
        )


def dim3(size: int | tuple[int, ...], what: str) -> Dim3:
    """Blocks or threads as a launch takes them."""
    sizes = size if isinstance(size, tuple) else (size,)
    if not 1 <= len(sizes) <= 3 or any(int(n) < 1 for n in sizes):
        raise ValueError(f"{what} is {size}; it must be one to three positive sizes")
    return Dim3(*(int(n) for n in sizes))


@dataclass(slots=True)
class Thread:
    """One thread of the launch.

    Two moments of one block are ordered where the phase differs. Within a phase, only
    syncwarp orders lanes of a warp: ``epoch`` counts a lane's, ``known`` holds for each
    other lane the last epoch that it has seen the end of.
    """

    number: int  # in the launch
    block: int
    in_block: int
    threadIdx: Dim3
    blockIdx: Dim3
    phase: int = 0
    epoch: int = 0
    moment: int = 0
    steps: int = 0
    state: str = "new"
    request: Any = None
    site: tuple[int, ...] = ()
    known: dict[int, int] = field(default_factory=dict)

    @property
    def warp(self) -> int:
        """Within the block."""
        return self.in_block // WARP

    @property
    def lane(self) -> int:
        """Within the warp."""
        return self.in_block % WARP

    def advance(self, phase: int, epoch: int) -> None:
        """To a new moment."""
        self.phase, self.epoch = phase, epoch
        self.moment = phase * EPOCHS + epoch


class Stop(Exception):
    """The launch ends here: a thread loops for ever, or another one does."""


class Launch:
    """What the threads of one launch share."""

    def __init__(self, kernel: str, blocks: Dim3, threads: Dim3, limit: int) -> None:
        self.kernel, self.blocks, self.threads = kernel, blocks, threads
        self.limit = limit
        self.log: array[int] = array("q")
        self.faults = FaultList()
        self.sites = Sites()
        self.current: Thread
        self.all_threads: dict[int, Thread] = {}
        self.pending: list[tuple[Memory, int, int, Thread, int]] = []
        self.local = [0, 0]  # reads and writes of local arrays
        self.known_after: dict[tuple[int, int], dict[int, int]] = {}
        self.barriers = 0
        self.stopped = False
        self.runs_in = 0  # the Python thread that runs the current one

    def new_block(self, block: int) -> list[Thread]:
        """The threads of a block, at their first moment."""
        size = self.threads.total
        index = self.blocks.at(block)
        made = [
            Thread(block * size + n, block, n, self.threads.at(n), index)
            for n in range(size)
        ]
        self.all_threads.update((thread.number, thread) for thread in made)
        return made

    def thread(self, number: int) -> Thread:
        """A thread that ran, by its number in the launch."""
        return self.all_threads[number]

    def site(self, frame: FrameType) -> int:
        """The number of the instruction that a frame is at."""
        code, offset = frame.f_code, frame.f_lasti
        return self.sites.numbers.get(id(code) + offset) or self.sites.add(code, offset)

    @property
    def rows(self) -> int:
        """How many accesses are in the log."""
        return len(self.log) // len(COLUMNS)

    def step(self) -> None:
        """Count what a thread does, so that no loop is endless."""
        self.current.steps += 1
        if self.current.steps > self.limit:
            self.out_of_steps()

    def out_of_steps(self) -> None:
        """End the launch: the current thread has made as many steps as it may."""
        self.endless(f"more than {self.limit} steps", self.kernel_line())
        raise Stop

    def endless(self, why: str, line: Line | None) -> None:
        """Flag the current thread's loop, and end the launch."""
        thread = self.current
        where = f" at {line}" if line else ""
        message = f"{self.who(thread)} does not end{where}: {why}"
        self.flag(ENDLESS, message, thread, lines=(line,) if line else ())
        self.stopped = True

    def kernel_line(self) -> Line | None:
        """The source line of the innermost frame of the kernel's code."""
        for frame in frames(sys._getframe(1)):
            if frame.f_globals.get("__recorder__") is self:
                return Line(frame.f_code.co_filename, frame.f_lineno)
        return None

    def error(self, error: Exception) -> None:
        """Flag what the kernel raised, which a GPU would not."""
        line, trace = None, error.__traceback__
        while trace:
            if trace.tb_frame.f_globals.get("__recorder__") is self:
                line = Line(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
            trace = trace.tb_next
        thread = self.current
        message = (
            f"{self.who(thread)} raises {type(error).__name__}: {error}, "
            f"at {line}; a GPU goes on with an undefined value"
        )
        lines = (line,) if line else ()
        self.flag(ERROR, message, thread, lines=lines, key=(type(error), line))

    def flag(
        self,
        kind: str,
        message: str,
        *threads: Thread,
        array: str = "",
        index: tuple[int, ...] = (),
        lines: tuple[Line, ...] = (),
        key: tuple[object, ...] = (),
        phase: int | None = None,
    ) -> None:
        """Add a fault; those with the same kind, array, lines and key are one."""
        pairs = tuple((thread.block, thread.in_block) for thread in threads)
        if phase is None:
            phase = threads[0].phase if threads else 0
        fault = Fault(kind, message, array, index, pairs, phase, lines)
        self.faults.add((kind, array, lines, *key), fault)

    def who(self, *threads: Thread) -> str:
        """``threads 3 and 4 of block 0``, with indices where these are not numbers."""
        names = [self.thread_name(thread) for thread in threads]
        blocks = [self.block_name(thread) for thread in threads]
        if len(set(blocks)) == 1:
            many = (
                f"threads {listed(names)}" if len(names) > 1 else f"thread {names[0]}"
            )
            return f"{many} of {blocks[0]}"
        pairs = zip(names, blocks, strict=True)
        return listed([f"thread {name} of {block}" for name, block in pairs])

    def thread_name(self, thread: Thread) -> str:
        """Its number, or its index where blocks have more than one axis."""
        return self.name_in(self.threads, thread.threadIdx)

    def block_name(self, thread: Thread) -> str:
        """The same for its block."""
        return f"block {self.name_in(self.blocks, thread.blockIdx)}"

    @staticmethod
    def name_in(size: Dim3, index: Dim3) -> str:
        """``5``, or ``(x 5, y 1)``."""
        if size.y == size.z == 1:
            return str(index.x)
        axes = zip("xyz", index, size, strict=True)
        shown = [f"{axis} {i}" for axis, i, n in axes if n > 1 or axis != "z"]
        return f"({', '.join(shown)})"


def frames(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and its callers, innermost first."""
    while frame:
        yield frame
        frame = frame.f_back


def listed(names: list[str], most: int = 4) -> str:
    """``0, 1 and 2``; of many the first few."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
