"""The launch's imaginary memory: arguments, shared arrays, local arrays."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from maskrcnn_scratch.learning.recorder.arrays import RecordingArray
from maskrcnn_scratch.learning.recorder.faults import NotRecordable
from maskrcnn_scratch.learning.recorder.memory import (
    ALIGNMENT,
    GLOBAL,
    LOCAL,
    SHARED,
    Memory,
)
from maskrcnn_scratch.learning.recorder.rebuild import stored_name
from maskrcnn_scratch.learning.recorder.state import Launch

Marks = dict[int, NDArray[np.bool_]]
"""For the ids of arrays, which of their bytes somebody has written."""


class Storage:
    """Gives every array an address. Nothing here is logged; arrays do that."""

    def __init__(self, launch: Launch, shared_bytes: int) -> None:
        self.launch, self.shared_bytes = launch, shared_bytes
        self.memories: list[Memory] = []
        self.next = ALIGNMENT
        self.of_block: dict[Any, RecordingArray] = {}
        self.block = -1

    def place(self, memory: Memory, alignment: int) -> None:
        """Give a memory its address."""
        memory.address = -(-self.next // alignment) * alignment
        self.next = memory.address + memory.size
        self.memories.append(memory)

    def arguments(
        self,
        named: Sequence[tuple[str, NDArray[Any]]],
        unwritten: Marks,
    ) -> list[RecordingArray]:
        """Recording arrays on the arguments' own values.

        Those that overlap share a memory, so that a race between two names of one
        place is seen. ``unwritten`` has an entry for arrays that hold nothing yet.
        """
        spans = [bounds(array) for _, array in named]
        made: dict[int, RecordingArray] = {}
        for group in overlapping(spans):
            low = min(spans[k][0] for k in group)
            high = max(spans[k][1] for k in group)
            names = ", ".join(dict.fromkeys(named[k][0] for k in group))
            memory = Memory(names, GLOBAL, 0, high - low)
            self.place(memory, ALIGNMENT)
            if any(id(named[k][1]) in unwritten for k in group):
                memory.written = np.zeros(high - low, np.bool_)
            for k in group:
                made[k] = self.member(memory, *named[k], low, unwritten)
        return [made[k] for k in range(len(named))]

    def member(
        self,
        memory: Memory,
        name: str,
        array: NDArray[Any],
        low: int,
        unwritten: Marks,
    ) -> RecordingArray:
        """One argument in its memory."""
        offset = array.__array_interface__["data"][0] - low
        memory.add(name, array, memory.address + offset)
        if memory.written is not None:
            first, last = byte_bounds(array)
            memory.written[first - low : last - low] = unwritten.get(id(array), True)
        own = memory
        if not array.flags.writeable:
            own = replace(memory, name=name, read_only=True)
        return RecordingArray(array, memory.address + offset, own, self.launch)

    def constant(self, name: str, array: NDArray[Any]) -> RecordingArray:
        """A global array of the kernel, which numba compiles in."""
        memory = Memory(name, GLOBAL, 0, array.nbytes, read_only=True)
        self.place(memory, ALIGNMENT)
        values = np.ascontiguousarray(array)
        memory.add(name, values, memory.address)
        return RecordingArray(values, memory.address, memory, self.launch)

    def shared(self, shape: Any, dtype: Any, alignment: Any = None) -> RecordingArray:
        """``cuda.shared.array``: one for each block and place in the source."""
        site = self.launch.site(sys._getframe(1))
        block = self.launch.current.block
        if block != self.block:
            self.block = block
            self.of_block.clear()
            self.next = -(-self.next // ALIGNMENT) * ALIGNMENT
        kind = dtype_of(dtype)
        sizes = (shape,) if not isinstance(shape, tuple) else shape
        dynamic = sizes == (0,)
        key = ("dynamic", kind) if dynamic else site
        if dynamic:
            sizes = (self.shared_bytes // kind.itemsize,)
        known = self.of_block.get(key)
        if known is None:
            known = self.new(SHARED, sizes, kind, site, alignment)
            self.of_block[key] = known
        if known.shape != tuple(sizes):
            raise NotRecordable(
                f"{known.memory.name} has the shapes {known.shape} and {sizes}; the "
                "shape of a shared array is a constant of the kernel"
            )
        return known

    def local(self, shape: Any, dtype: Any, alignment: Any = None) -> RecordingArray:
        """``cuda.local.array``: a new one in every call."""
        site = self.launch.site(sys._getframe(1))
        sizes = shape if isinstance(shape, tuple) else (shape,)
        return self.new(LOCAL, sizes, dtype_of(dtype), site, alignment)

    def new(
        self, space: str, sizes: Any, kind: np.dtype[Any], site: int, alignment: Any
    ) -> RecordingArray:
        """An array that nobody has written."""
        values = np.zeros(sizes, kind)
        code, offset = self.launch.sites.known[site]
        name = stored_name(code, offset) or f"{space} array"
        memory = Memory(name, space, 0, values.nbytes, self.launch.current.block)
        memory.written = np.zeros(values.nbytes, np.bool_)
        if space == SHARED:
            self.place(memory, max(alignment or 1, kind.itemsize, 16))
        memory.add(name, values, memory.address)
        return RecordingArray(values, memory.address, memory, self.launch)


def bounds(array: NDArray[Any]) -> tuple[int, int]:
    """First and last byte of the array that owns an array's memory."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return byte_bounds(owner) if owner.size else byte_bounds(array)


def overlapping(spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Groups of spans that share bytes, in the order of their first member."""
    groups: list[tuple[int, int, list[int]]] = []
    for k in sorted(range(len(spans)), key=lambda k: spans[k]):
        low, high = spans[k]
        if groups and low < groups[-1][1] and high > low:
            first, last, members = groups[-1]
            groups[-1] = (first, max(last, high), [*members, k])
        else:
            groups.append((low, high, [k]))
    return sorted((sorted(members) for _, _, members in groups), key=lambda m: m[0])


def dtype_of(kind: Any) -> np.dtype[Any]:
    """NumPy's type for a type of NumPy or numba."""
    name = str(kind) if type(kind).__module__.startswith("numba") else kind
    return np.dtype("bool" if name == "boolean" else name)
