"""What the picture of a launch shows: cells, who touches them, and sectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

MOST_CELLS = 1024  # of one array: more could not be told apart
SECTOR = 32  # bytes


class Touch(Protocol):
    """One access, as the recorder tells it."""

    @property
    def kind(self) -> str: ...
    @property
    def array(self) -> str: ...
    @property
    def index(self) -> tuple[int, ...]: ...
    @property
    def block(self) -> int: ...
    @property
    def thread(self) -> int: ...
    @property
    def phase(self) -> int: ...


class Recorded(Protocol):
    """A launch, as the recorder tells it (``learning.recorder.Recording``)."""

    @property
    def kernel(self) -> str: ...
    @property
    def blocks(self) -> Any: ...
    @property
    def threads(self) -> Any: ...
    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...
    @property
    def shared_shapes(self) -> Mapping[str, tuple[int, ...]]: ...
    @property
    def instructions(self) -> Sequence[Any]: ...
    @property
    def faults(self) -> Sequence[Any]: ...
    def accesses(self) -> Sequence[Touch]: ...


@dataclass
class Panel:
    """One array in one phase; threads are numbered through the launch.

    ``writers`` holds for each cell the thread that wrote it last, or -1, in rows of the
    array's last axis; ``readers`` and ``updaters`` hold the threads of cells (row,
    column); ``faults`` the cells in which the recorder found one. ``beyond`` holds the
    threads that reached past the array, by the cell next to it where they would be.
    """

    name: str
    phase: int
    writers: NDArray[np.int64]
    readers: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    updaters: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    faults: set[tuple[int, int]] = field(default_factory=set)
    beyond: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, kind: str, cell: tuple[int, int], thread: int) -> None:
        """One access: a thread reads or updates a cell once, however often it does."""
        if kind == "write":
            self.writers[cell] = thread
            return
        marks = self.readers if kind == "read" else self.updaters
        if thread not in marks.setdefault(cell, []):
            marks[cell].append(thread)

    @property
    def title(self) -> str:
        """What stands above it."""
        return f"{self.name}, phase {self.phase}"

    @property
    def room(self) -> tuple[int, int, int, int]:
        """Cells to leave free for what is beyond: left, above, right, below."""
        height, width = self.writers.shape
        rows, columns = [r for r, _ in self.beyond], [c for _, c in self.beyond]
        return (
            int(-1 in columns),
            int(-1 in rows),
            int(width in columns),
            int(height in rows),
        )


@dataclass(frozen=True)
class Strip:
    """A warp's instruction on global memory.

    ``threads`` (sectors, elements a sector) holds the thread that asked for an element,
    or -1 where it is fetched for nobody.
    """

    label: str
    threads: NDArray[np.int64]


@dataclass(frozen=True)
class LaunchPicture:
    """All numbers of the picture."""

    panels: dict[tuple[int, str], Panel]
    strips: list[Strip]


def panels_of(recorded: Recorded) -> dict[tuple[int, str], Panel]:
    """What each phase touched, by phase and array; each block has its shared arrays."""
    accesses = recorded.accesses()
    shapes = dict(recorded.shapes)
    for block in range(recorded.blocks.total):
        for name, shape in recorded.shared_shapes.items():
            shapes[in_block(name, block)] = shape
    for name, shape in shapes.items():
        if math.prod(shape) > MOST_CELLS:
            raise ValueError(
                f"{name} has {math.prod(shape)} elements; a picture shows at most "
                f"{MOST_CELLS}"
            )
    panels: dict[tuple[int, str], Panel] = {}
    for access in accesses:
        shared = access.array in recorded.shared_shapes
        name = in_block(access.array, access.block) if shared else access.array
        writers = np.full(rows_and_columns(shapes[name]), -1)
        key = (access.phase, name)
        panel = panels.setdefault(key, Panel(name, access.phase, writers))
        thread = access.block * recorded.threads.total + access.thread
        panel.add(access.kind, cell_of(access.index, shapes[name]), thread)
    mark_faults(recorded, panels)
    names = list(shapes)
    return dict(sorted(panels.items(), key=lambda p: (p[0][0], names.index(p[0][1]))))


def mark_faults(recorded: Recorded, panels: dict[tuple[int, str], Panel]) -> None:
    """Note the cells that faults name, where they are cells of an array."""
    for fault in recorded.faults:
        shared = fault.array in recorded.shared_shapes
        for block in {block for block, _ in fault.threads} or {0}:
            name = in_block(fault.array, block) if shared else fault.array
            shape = {**recorded.shapes, **recorded.shared_shapes}.get(fault.array, ())
            if not shape or len(shape) != len(fault.index):
                continue
            row, column = cell_of(fault.index, shape)
            height, width = rows_and_columns(shape)
            writers = np.full((height, width), -1)
            key = (fault.phase, name)
            panel = panels.setdefault(key, Panel(name, fault.phase, writers))
            if all(0 <= i < n for i, n in zip(fault.index, shape, strict=True)):
                panel.faults.add((row, column))
            elif not (0 <= row < height and 0 <= column < width):
                cell = min(max(row, -1), height), min(max(column, -1), width)
                thread = fault.threads[0]
                panel.beyond[cell] = thread[0] * recorded.threads.total + thread[1]


def strips_of(recorded: Recorded) -> list[Strip]:
    """The loads and stores of global memory, in the order of the source."""
    strips = []
    for one in recorded.instructions:
        if one.space != "global":
            continue
        size = one.bytes // one.accesses
        sectors = sorted({place // SECTOR for _, place in one.worst})
        threads = np.full((len(sectors), SECTOR // size), -1)
        for thread, place in one.worst:
            threads[sectors.index(place // SECTOR), place % SECTOR // size] = thread
        label = (
            f"{one.kind} {one.array}, sectors: a warp {len(sectors)}, in all "
            f"{one.sectors}, fewest {one.fewest}  `{one.line.source}`"
        )
        strips.append(Strip(label, threads))
    return strips


def in_block(name: str, block: int) -> str:
    """A shared array is another one in each block."""
    return f"{name} of block {block}"


def rows_and_columns(shape: tuple[int, ...]) -> tuple[int, int]:
    """How an array lies on paper: its last axis to the right, all others down."""
    if not shape:
        return 1, 1
    return math.prod(shape[:-1]), shape[-1]


def cell_of(index: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, int]:
    """Where an element lies on paper."""
    if not shape:
        return 0, 0
    row = 0
    for i, n in zip(index[:-1], shape[:-1], strict=True):
        row = row * n + i
    return row, index[-1]
