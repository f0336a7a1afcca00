"""What a launch costs: who reads and writes how much, and how well it is laid out.

A warp's 32 threads run one instruction together. The hardware fetches global memory in
sectors of 32 bytes, so the fewest sectors are those that the bytes asked for fill.
Shared memory has 32 banks of 4 bytes; different words of one bank come one after the
other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrcnn_scratch.learning.recorder.faults import Line
from maskrcnn_scratch.learning.recorder.memory import SHARED, Memory
from maskrcnn_scratch.learning.recorder.races import ADDRESS, KIND, SITE, THREAD, Rows
from maskrcnn_scratch.learning.recorder.state import KINDS, WARP, Launch

SECTOR = 32  # bytes
BANKS, BANK = 32, 4  # shared memory: how many, and bytes


@dataclass(frozen=True)
class Instruction:
    """A load, store or atomic of the kernel, over the whole launch.

    ``accesses`` are those of single threads, ``warps`` those of whole warps. In global
    memory these touch ``sectors`` of 32 bytes; in shared memory they take ``passes``.
    ``fewest`` sectors or passes would do for what they ask for.
    """

    line: Line
    kind: str
    array: str
    space: str
    accesses: int
    bytes: int
    warps: int
    sectors: int = 0
    fewest: int = 0
    passes: int = 0
    worst: tuple[tuple[int, int], ...] = ()
    """(thread in the launch, byte from the memory's start) of the warp whose addresses
    are the most scattered."""

    @property
    def bank_conflicts(self) -> int:
        """Passes beyond the fewest."""
        return self.passes - self.fewest if self.space == SHARED else 0

    @property
    def coalescing(self) -> float:
        """Fewest sectors over those touched; 1 is best."""
        return self.fewest / self.sectors if self.sectors else 1.0


def instructions(
    launch: Launch, rows: Rows, memories: Sequence[Memory]
) -> list[Instruction]:
    """Every instruction that touched memory, in the order of lines."""
    made = []
    starts = np.array([memory.address for memory in memories], np.int64)
    owner = np.searchsorted(starts, rows[:, ADDRESS], side="right") - 1
    nth, warp = occurrences(launch, rows)
    for pick in groups(rows[:, SITE], rows[:, KIND], names(memories)[owner]):
        memory = memories[int(owner[pick[0]])]
        some = rows[pick]
        made.append(one_instruction(launch, memory, some, warp[pick], nth[pick]))
    return sorted(made, key=lambda i: (i.line.file, i.line.number, i.kind, i.array))


def names(memories: Sequence[Memory]) -> NDArray[np.int64]:
    """A number for each memory's name, for every block has its own shared memory."""
    numbers = {
        name: k for k, name in enumerate(dict.fromkeys(m.name for m in memories))
    }
    return np.array([numbers[memory.name] for memory in memories], np.int64)


def occurrences(launch: Launch, rows: Rows) -> tuple[Rows, Rows]:
    """How often a thread ran its instruction before; and its warp in the launch."""
    count = len(rows)
    order = np.lexsort((np.arange(count), rows[:, SITE], rows[:, THREAD]))
    site, thread = rows[order, SITE], rows[order, THREAD]
    new = np.ones(count, bool)
    new[1:] = (np.diff(site) != 0) | (np.diff(thread) != 0)
    starts = np.flatnonzero(new)
    nth = np.empty(count, np.int64)
    nth[order] = np.arange(count) - np.repeat(starts, np.diff([*starts, count]))
    size = launch.threads.total
    block, in_block = np.divmod(rows[:, THREAD], size)
    return nth, block * -(-size // WARP) + in_block // WARP


def groups(*keys: NDArray[np.int64]) -> Iterator[NDArray[np.intp]]:
    """Row numbers with equal keys."""
    if not len(keys[0]):
        return
    order = np.lexsort(keys[::-1])
    changes = [np.flatnonzero(np.diff(key[order])) + 1 for key in keys]
    yield from np.split(order, np.unique(np.concatenate(changes)))


def one_instruction(
    launch: Launch, memory: Memory, rows: Rows, warp: Rows, nth: Rows
) -> Instruction:
    """The numbers of one instruction in one memory."""
    size = int(rows[0, KIND] >> 2)
    kind = KINDS[rows[0, KIND] & 3]
    _, run = np.unique(warp * (nth.max() + 1) + nth, return_inverse=True)
    warps, sectors, fewest, passes = int(run.max()) + 1, 0, 0, 0
    address = rows[:, ADDRESS]
    touched = pairs(run, address // SECTOR)[:, 0]
    scattered = rows[run == np.bincount(touched).argmax()]
    places = zip(scattered[:, THREAD], scattered[:, ADDRESS], strict=True)
    worst = tuple((int(t), int(a) - memory.address) for t, a in places)
    if memory.space == SHARED:
        thread = rows[:, THREAD] % launch.threads.total
        fewest, passes = bank_passes(run, thread, address, size)
    else:
        sectors = len(touched)
        asked = np.bincount(pairs(run, address)[:, 0]) * size
        fewest = int((-(-asked // SECTOR)).sum())
    line = launch.sites.line(int(rows[0, SITE]))
    name = memory.place(int(address[0]))[0]
    return Instruction(
        *(line, kind, name, memory.space, len(rows), len(rows) * size),
        *(warps, sectors, fewest, passes, worst),
    )


def pairs(first: Rows, second: Rows) -> Rows:
    """The different pairs, as rows."""
    low = int(second.min())
    span = int(second.max()) - low + 1
    both = np.unique(first * span + (second - low))
    return np.stack([both // span, both % span + low], axis=1)


def bank_passes(run: Rows, thread: Rows, address: Rows, size: int) -> tuple[int, int]:
    """How often the banks are read: without conflicts, and in truth.

    In truth, as often as the bank that most of the words stand in has words. Elements
    of 8 bytes are read by half a warp at a time.
    """
    words = max(1, size // BANK)
    if words > 1:
        run = run * 2 + thread % WARP // (WARP // 2)
    parts = [pairs(run, (address + BANK * w) // BANK) for w in range(words)]
    both = np.unique(np.concatenate(parts), axis=0)
    key = both[:, 0] * BANKS + both[:, 1] % BANKS
    used, count = np.unique(key, return_counts=True)
    most = np.zeros(int(both[:, 0].max()) + 1, np.int64)
    np.maximum.at(most, used // BANKS, count)
    return len(np.unique(run)), int(most.sum())
