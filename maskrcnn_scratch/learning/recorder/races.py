"""Which accesses to one place of memory are not ordered.

Two accesses conflict where different threads make them, one at least writes, and not
both are atomic. Within a block, a barrier orders what stands in different phases, and
syncwarp what lanes of one warp do; nothing orders threads of different blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskrcnn_scratch.learning.recorder.faults import (
    LOST_UPDATE,
    MIXED,
    RACING_READ,
    RACING_WRITE,
    SAME_VALUE,
    UNINITIALISED,
    Line,
)
from maskrcnn_scratch.learning.recorder.memory import Memory, told
from maskrcnn_scratch.learning.recorder.state import (
    ATOMIC,
    EPOCHS,
    KINDS,
    READ,
    WARP,
    WRITE,
    Launch,
    Thread,
)

Rows = NDArray[np.int64]
ADDRESS, KIND, THREAD, MOMENT, SITE, VALUE = range(6)
FEW = 64  # accesses to one place that are looked at one by one


class Access(NamedTuple):
    """One row of the log, once for all that differ in nothing but the time."""

    kind: int
    thread: int
    moment: int
    site: int
    value: int


def find_races(launch: Launch, rows: Rows, memories: Sequence[Memory]) -> set[int]:
    """Flag all races; returns the cells (addresses) that have one."""
    cells = in_cells(rows, memories)
    written = np.unique(cells[cells[:, KIND] != READ, ADDRESS])
    cells = cells[np.isin(cells[:, ADDRESS], written)]  # readers alone never race
    size = launch.threads.total
    block, phase = cells[:, THREAD] // size, cells[:, MOMENT] // EPOCHS
    racing: set[int] = set()
    found: dict[tuple[int, int], set[str]] = {}
    for group in suspicious(cells, (cells[:, ADDRESS], block, phase), THREAD):
        racing |= judge(launch, cells[group], memories, found, within=True)
    by_block = cells.copy()
    by_block[:, THREAD] = block
    for group in suspicious(by_block, (cells[:, ADDRESS],), THREAD):
        racing |= judge(launch, cells[group], memories, found, within=False)
    return racing


def in_cells(rows: Rows, memories: Sequence[Memory]) -> Rows:
    """Rows by the smallest piece that accesses of a memory have, in bytes.

    A float64 write over two float32 becomes two rows.
    """
    size = rows[:, KIND] >> 2
    starts = np.array([memory.address for memory in memories], np.int64)
    owner = np.searchsorted(starts, rows[:, ADDRESS], side="right") - 1
    least = np.full(len(memories), 1 << 30, np.int64)
    np.minimum.at(least, owner, size)
    pieces = size // least[owner]
    cells = np.repeat(rows, pieces, axis=0)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    step = np.repeat(least[owner], pieces)
    cells[:, ADDRESS] += (np.arange(len(cells)) - first) * step
    cells[:, KIND] &= 3
    return cells


def suspicious(
    cells: Rows, keys: tuple[Rows, ...], who: int
) -> Iterator[NDArray[np.intp]]:
    """Groups of rows with equal keys in which two may conflict, in the log's order."""
    if not len(cells):
        return
    order = np.lexsort(keys[::-1])
    changes = [np.flatnonzero(np.diff(key[order])) + 1 for key in keys]
    starts = np.unique(np.concatenate([[0], *changes]))
    actor, kind = cells[order, who], cells[order, KIND]
    several = np.minimum.reduceat(actor, starts) != np.maximum.reduceat(actor, starts)
    has = [np.logical_or.reduceat(kind == k, starts) for k in (READ, WRITE, ATOMIC)]
    conflict = several & (has[WRITE] | (has[ATOMIC] & has[READ]))
    ends = [*starts[1:], len(order)]
    for k in np.flatnonzero(conflict):
        yield order[starts[k] : ends[k]]


def judge(
    launch: Launch,
    group: Rows,
    memories: Sequence[Memory],
    found: dict[tuple[int, int], set[str]],
    within: bool,
) -> set[int]:
    """Flag what conflicts among the accesses to one cell."""
    address = int(group[0, ADDRESS])
    unique = dict.fromkeys(Access(*row) for row in group[:, KIND:].tolist())
    accesses = list(unique)
    pairs: dict[str, tuple[Access, Access]] = {}
    for a, b in conflicts(launch, chosen(accesses), within):
        pairs.setdefault(kind_of(accesses, a, b), (a, b))
    for kind in pairs:
        covered = {RACING_WRITE, RACING_READ, SAME_VALUE}
        if not (kind in covered and LOST_UPDATE in pairs):
            flag(launch, kind, address, pairs[kind], memories, within)
    return {address} if pairs else set()


def chosen(accesses: list[Access]) -> list[Access]:
    """A few accesses that stand for many: from each kind and line, the first ones."""
    if len(accesses) <= FEW:
        return accesses
    taken: dict[tuple[int, int], int] = {}
    result = []
    for access in accesses:
        key = (access.kind, access.site)
        taken[key] = taken.get(key, 0) + 1
        if taken[key] <= 8:
            result.append(access)
    ends = [next(a for a in reversed(accesses) if (a.kind, a.site) == k) for k in taken]
    return [*result, *ends]


def conflicts(
    launch: Launch, accesses: list[Access], within: bool
) -> Iterable[tuple[Access, Access]]:
    """Pairs that are not ordered and must be."""
    for k, a in enumerate(accesses):
        for b in accesses[k + 1 :]:
            if a.thread == b.thread or (a.kind == READ and b.kind == READ):
                continue
            if a.kind == ATOMIC and b.kind == ATOMIC:
                continue
            one, other = (launch.thread(x.thread) for x in (a, b))
            if (one.block == other.block) != within:
                continue
            if not (within and ordered(launch, one, a.moment, other, b.moment)):
                yield a, b


def ordered(launch: Launch, a: Thread, at: int, b: Thread, then: int) -> bool:
    """Whether syncwarp stands between two accesses of one phase."""
    if a.in_block // WARP != b.in_block // WARP:
        return False
    seen_by_b = launch.known_after.get((b.number, then), {}).get(a.lane, -1)
    seen_by_a = launch.known_after.get((a.number, at), {}).get(b.lane, -1)
    return seen_by_b >= at % EPOCHS or seen_by_a >= then % EPOCHS


def kind_of(accesses: list[Access], a: Access, b: Access) -> str:
    """The name of a conflict."""
    if ATOMIC in (a.kind, b.kind):
        return MIXED
    if a.kind == b.kind == WRITE:
        if all(reads_first(accesses, one) for one in (a, b)):
            return LOST_UPDATE
        return SAME_VALUE if a.value == b.value else RACING_WRITE
    return RACING_READ


def reads_first(accesses: list[Access], write: Access) -> bool:
    """Whether the thread read the cell before it wrote it."""
    before = accesses[: accesses.index(write)]
    return any(x.kind == READ and x.thread == write.thread for x in before)


def flag(
    launch: Launch,
    kind: str,
    address: int,
    pair: tuple[Access, Access],
    memories: Sequence[Memory],
    within: bool,
) -> None:
    """Tell of a race, the writer first."""
    a, b = sorted(pair, key=lambda x: x.kind != WRITE)
    one, other = launch.thread(a.thread), launch.thread(b.thread)
    memory = memory_at(memories, address)
    name, index = memory.place(address)
    here, there = launch.sites.line(a.site), launch.sites.line(b.site)
    phase = a.moment // EPOCHS
    why = (
        f"in phase {phase}, with no barrier between"
        if within
        else "and nothing orders blocks"
    )
    message = f"{told(name, index)} {what(kind, launch, a, b, here, there)}, {why}"
    launch.flag(
        kind,
        message,
        one,
        other,
        array=name,
        index=index,
        lines=(here, there),
        phase=phase,
        key=(within,),
    )


def what(
    kind: str, launch: Launch, a: Access, b: Access, here: Line, there: Line
) -> str:
    """Who does what, and where."""
    one, other = launch.thread(a.thread), launch.thread(b.thread)
    if kind == LOST_UPDATE:
        return (
            f"is read and written without an atomic by {launch.who(one, other)} at "
            f"{here}: one update is lost"
        )
    if a.kind == b.kind == WRITE and here == there:
        same = "the same value" if kind == SAME_VALUE else "different values"
        return f"gets {same} from {launch.who(one, other)} at {here}"
    verbs = [
        {"read": "read", "write": "written", "atomic": "updated by an atomic"}[KINDS[x]]
        for x in (a.kind, b.kind)
    ]
    return (
        f"is {verbs[0]} by {launch.who(one)} at {here} and {verbs[1]} by "
        f"{launch.who(other)} at {there}"
    )


def memory_at(memories: Sequence[Memory], address: int) -> Memory:
    """The memory that holds an address; they stand in rising order."""
    starts = [memory.address for memory in memories]
    return memories[int(np.searchsorted(starts, address, side="right")) - 1]


def flag_unwritten(launch: Launch, racing: set[int]) -> None:
    """Flag reads of what nobody wrote, but those that race with a write.

    A read that comes before a racing write, in this order of threads, is told as the
    race that it is.
    """
    for memory, address, site, thread, phase in launch.pending:
        name, index = memory.place(address)
        if address in racing and not memory.local:
            continue
        line = launch.sites.line(site)
        message = (
            f"{told(name, index)} is read by {launch.who(thread)} in phase "
            f"{phase} at {line}, and nobody has written it"
        )
        launch.flag(
            UNINITIALISED,
            message,
            thread,
            array=name,
            index=index,
            lines=(line,),
            phase=phase,
        )
