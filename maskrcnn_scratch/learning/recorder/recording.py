"""What is known of a launch after it ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from maskrcnn_scratch.learning.recorder.faults import Fault, KernelFault
from maskrcnn_scratch.learning.recorder.memory import GLOBAL, SHARED, Memory
from maskrcnn_scratch.learning.recorder.races import Rows, memory_at
from maskrcnn_scratch.learning.recorder.state import EPOCHS, KINDS, Dim3, Launch
from maskrcnn_scratch.learning.recorder.traffic import Instruction, instructions


@dataclass(frozen=True)
class Access:
    """One element read, written, or updated by an atomic."""

    kind: str
    array: str
    index: tuple[int, ...]
    block: int
    thread: int
    phase: int


@dataclass
class Recording:
    """A launch: its faults, and what it read and wrote.

    ``shapes`` are those of arguments and of constant arrays, by name.
    ``reads``, ``writes`` and ``atomics`` count each thread's accesses to global and
    shared memory, (blocks, threads). ``unwritten`` holds, for each array that the
    caller marked as uninitialised, how many elements the launch left so.
    """

    kernel: str
    blocks: Dim3
    threads: Dim3
    order: str
    faults: list[Fault]
    reads: NDArray[np.int64]
    writes: NDArray[np.int64]
    atomics: NDArray[np.int64]
    local_reads: int
    local_writes: int
    barriers: int
    shapes: dict[str, tuple[int, ...]]
    shared_shapes: dict[str, tuple[int, ...]]
    unwritten: dict[str, int]
    rows: Rows = field(repr=False)
    memories: Sequence[Memory] = field(repr=False)
    launch: Launch = field(repr=False)

    @cached_property
    def instructions(self) -> list[Instruction]:
        """What each load, store and atomic touched, counted when it is asked for."""
        some = len(self.rows) > 0
        return instructions(self.launch, self.rows, self.memories) if some else []

    def accesses(self) -> list[Access]:
        """Every access to global and shared memory, in the order that they ran in."""
        size = self.threads.total
        found: list[Access] = []
        for address, kind, thread, moment, *_ in self.rows.tolist():
            name, index = memory_at(self.memories, address).place(address)
            block, in_block = divmod(thread, size)
            what = KINDS[kind & 3]
            found.append(Access(what, name, index, block, in_block, moment // EPOCHS))
        return found

    @property
    def bytes_read(self) -> int:
        """From global memory, by all threads."""
        return self.bytes_of("read", "atomic")

    @property
    def bytes_written(self) -> int:
        """To global memory, by all threads."""
        return self.bytes_of("write", "atomic")

    def bytes_of(self, *kinds: str) -> int:
        """Bytes of global memory that instructions of some kinds moved."""
        return sum(
            one.bytes
            for one in self.instructions
            if one.space == GLOBAL and one.kind in kinds
        )

    @property
    def coalescing(self) -> float:
        """The fewest sectors of global memory over those touched; 1 is best."""
        touched = sum(one.sectors for one in self.instructions)
        fewest = sum(one.fewest for one in self.instructions)
        return fewest / touched if touched else 1.0

    @property
    def bank_conflicts(self) -> int:
        """Passes over shared memory that another layout would save."""
        return sum(one.bank_conflicts for one in self.instructions)

    def kinds(self) -> set[str]:
        """The names of the faults."""
        return {fault.kind for fault in self.faults}

    def check(self) -> None:
        """Raise KernelFault where there is a fault."""
        if self.faults:
            raise KernelFault(self.kernel, self.faults)

    def __str__(self) -> str:
        lines = [
            f"{self.kernel}: {self.blocks.total} blocks of {self.threads.total} "
            f"threads, {self.order}; {self.barriers} barriers",
            f"a thread reads {spread(self.reads)}, writes {spread(self.writes)}, "
            f"updates {spread(self.atomics)} elements; "
            f"local: {self.local_reads} reads, {self.local_writes} writes in all",
            f"global memory: {self.bytes_read} bytes read, {self.bytes_written} "
            f"written, coalescing {self.coalescing:.2f}; "
            f"shared memory: {self.bank_conflicts} bank conflicts",
        ]
        lines += [f"  {told(one)}" for one in self.instructions]
        lines += [
            f"{name}: {left} elements are left unwritten"
            for name, left in self.unwritten.items()
            if left
        ]
        lines += [f"FAULT {fault}" for fault in self.faults]
        return "\n".join(lines)


def spread(counts: NDArray[np.int64]) -> str:
    """``3``, or ``1 to 3``."""
    least, most = int(counts.min()), int(counts.max())
    return str(least) if least == most else f"{least} to {most}"


def told(one: Instruction) -> str:
    """One line of the table of instructions."""
    cost = (
        f"{one.passes} passes, fewest {one.fewest}"
        if one.space == SHARED
        else f"{one.sectors} sectors, fewest {one.fewest}"
    )
    return f"{one.kind} {one.array} ({one.space}): {one.accesses}, {cost}; {one.line}"
