"""Arrays that hold values and log who reads and writes them."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrcnn_scratch.learning.recorder.faults import (
    NEGATIVE_INDEX,
    OUT_OF_RANGE,
    READ_ONLY,
    NotRecordable,
)
from maskrcnn_scratch.learning.recorder.memory import Memory
from maskrcnn_scratch.learning.recorder.state import ATOMIC, READ, WRITE, Launch

PYTHON_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "bool")
"""Read as Python's integers: a kernel computes with them in 64 bits, without the
overflow that NumPy's scalars of these types would have."""
FLOATS = ("float16", "float32", "float64")
DTYPES = (*PYTHON_INTEGERS, "uint16", "uint32", "uint64", *FLOATS)


class RecordingArray:
    """What a kernel gets for an array.

    ``values`` is the array itself, or a view of it; ``address`` is where in the
    launch's imaginary memory its first element stands, in bytes.
    """

    __slots__ = (
        "address",
        "as_python",
        "bytes",
        "launch",
        "memory",
        "ndim",
        "shape",
        "strides",
        "values",
    )

    def __init__(
        self, values: NDArray[Any], address: int, memory: Memory, launch: Launch
    ) -> None:
        if values.dtype.name not in DTYPES:
            raise NotRecordable(
                f"{memory.name} is of {values.dtype}; the recorder knows "
                f"{', '.join(DTYPES)}"
            )
        self.values, self.address = values, address
        self.memory, self.launch = memory, launch
        self.shape, self.strides = values.shape, values.strides
        self.ndim, self.bytes = values.ndim, values.itemsize
        self.as_python = values.dtype.name in PYTHON_INTEGERS

    @property
    def dtype(self) -> np.dtype[Any]:
        """As the array's."""
        return self.values.dtype

    @property
    def size(self) -> int:
        """As the array's."""
        return self.values.size

    @property
    def T(self) -> RecordingArray:
        """The transposed view."""
        return self.view(self.values.T, self.address)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Any]:
        site = self.launch.site(sys._getframe(1))
        for i in range(self.shape[0]):
            yield self.read(i, site)

    def __getitem__(self, index: Any) -> Any:
        return self.read(index, self.launch.site(sys._getframe(1)))

    def __setitem__(self, index: Any, value: Any) -> None:
        self.write(index, value, self.launch.site(sys._getframe(1)))

    def read(self, index: Any, site: int) -> Any:
        """An element, or a view of several; flagged where there is none."""
        address = self.find(index, site, "read")
        if address is None:
            return self.part(index, site)
        if address < 0:
            return self.values.dtype.type(0)
        self.note(address, READ, site)
        if self.as_python:
            return self.values.item(index)
        return self.values[index]

    def write(self, index: Any, value: Any, site: int) -> None:
        """Store an element, converted as a GPU does, or fill several."""
        address = self.find(index, site, "written")
        if address is None:
            self.part(index, site).fill(value, site)
        elif self.memory.read_only:
            self.flag_read_only(index, site)
        elif address >= 0:
            stored = self.converted(value)
            self.values[index] = stored
            self.note(address, WRITE, site, stored)

    def update(self, index: Any, new: Any, site: int) -> Any:
        """Atomically replace an element by ``new`` of it; returns the old one."""
        address = self.find(index, site, "updated")
        if address is None:
            raise TypeError(f"an atomic needs one element of {self.memory.name}")
        if address < 0:
            return self.values.dtype.type(0)
        if self.memory.read_only:
            self.flag_read_only(index, site)
            return self.values[index]
        self.note(address, ATOMIC, site)
        old = self.values.item(index) if self.as_python else self.values[index]
        self.values[index] = self.converted(new(old))
        return old

    def note(self, address: int, kind: int, site: int, value: Any = 0) -> None:
        """Log an access, and keep count of what has been written."""
        launch, memory = self.launch, self.memory
        thread = launch.current
        thread.steps += 1
        if thread.steps > launch.limit:
            launch.out_of_steps()
        if memory.local:
            launch.local[kind == WRITE] += 1
        else:
            code = kind | self.bytes << 2
            bits = 0 if kind != WRITE else same_for_equal(value)
            row = (address, code, thread.number, thread.moment, site, bits)
            launch.log.extend(row)
        written = memory.written
        if written is not None:
            first = address - memory.address
            if kind != WRITE and not written[first]:
                read = (memory, address, site, thread, thread.phase)
                launch.pending.append(read)
            if kind != READ:
                written[first : first + self.bytes] = True

    def find(self, index: Any, site: int, verb: str) -> int | None:
        """The address of an element; -1 where there is none, None for a part."""
        indices = index if type(index) is tuple else (index,)
        if len(indices) != self.ndim:
            return None
        address, axes = self.address, zip(indices, self.shape, self.strides)  # noqa: B905
        for i, n, stride in axes:
            if type(i) is not int:
                if isinstance(i, slice):
                    return None
                i = operator.index(i)
            if not 0 <= i < n:
                self.flag_range(indices, site, verb)
                return -1
            address += i * stride
        return address

    def part(self, index: Any, site: int) -> RecordingArray:
        """A view of several elements: fewer indices than axes, or slices."""
        indices = list(index) if isinstance(index, tuple) else [index]
        for axis, i in enumerate(indices):
            if not isinstance(i, slice):
                indices[axis] = i = operator.index(i)
                if axis >= self.ndim or not 0 <= i < self.shape[axis]:
                    self.flag_range(tuple(indices), site, "read")
                    indices[axis] = 0
        values = self.values[tuple(indices)]
        moved = values.__array_interface__["data"][0]
        moved -= self.values.__array_interface__["data"][0]
        return self.view(values, self.address + (moved if values.size else 0))

    def view(self, values: NDArray[Any], address: int) -> RecordingArray:
        """Other values at another address, in the same memory."""
        return RecordingArray(values, address, self.memory, self.launch)

    def fill(self, value: Any, site: int) -> None:
        """Write one value, or an array's, to every element."""
        for index in np.ndindex(self.shape):
            one = (
                value.read(index, site) if isinstance(value, RecordingArray) else value
            )
            self.write(index, one, site)

    def converted(self, value: Any) -> Any:
        """A value in the array's type: integers wrap, floats lose their fraction."""
        dtype = self.values.dtype
        if dtype.kind not in "iu":
            return dtype.type(value)
        bits = self.bytes * 8
        low = int(value) & ((1 << bits) - 1)
        signed = dtype.kind == "i" and low >> (bits - 1)
        return dtype.type(low - (1 << bits) if signed else low)

    def flag_range(self, indices: tuple[Any, ...], site: int, verb: str) -> None:
        """An index before the first or behind the last element."""
        launch, name = self.launch, self.memory.name
        told = tuple(int(i) if not isinstance(i, slice) else 0 for i in indices)
        negative = any(i < 0 for i in told)
        line = launch.sites.line(site)
        inside = f"its shape is {self.shape}"
        message = (
            f"{name}[{', '.join(map(str, told))}] is {verb} by "
            f"{launch.who(launch.current)} in phase {launch.current.phase} at {line}; "
            + (f"a GPU does not count from the end ({inside})" if negative else inside)
        )
        kind = NEGATIVE_INDEX if negative else OUT_OF_RANGE
        launch.step()
        launch.flag(
            kind, message, launch.current, array=name, index=told, lines=(line,)
        )

    def flag_read_only(self, index: Any, site: int) -> None:
        """A write to what the caller keeps constant."""
        launch, line = self.launch, self.launch.sites.line(site)
        told = index if isinstance(index, tuple) else (index,)
        message = (
            f"{self.memory.name}[{', '.join(map(str, told))}] is read-only and "
            f"written by {launch.who(launch.current)} at {line}"
        )
        launch.flag(
            READ_ONLY,
            message,
            launch.current,
            array=self.memory.name,
            index=told,
            lines=(line,),
        )


def same_for_equal(value: Any) -> int:
    """A number that is the same for equal values, and all but surely for these alone.

    -1 and -2 have the same hash, and NaNs have different ones.
    """
    if value == -1:
        return 1 << 61
    return hash(value) if value == value else 1 << 60
