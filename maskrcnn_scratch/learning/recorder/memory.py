"""Pieces of memory: what stands where, and what was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

GLOBAL, SHARED, LOCAL = "global", "shared", "local"
ALIGNMENT = 512  # bytes: torch's allocator aligns blocks of GPU memory so


@dataclass
class Member:
    """An array in a memory, as first given: its name and layout."""

    name: str
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    bytes: int

    def index(self, address: int) -> tuple[int, ...] | None:
        """Which element stands at an address, if any does."""
        left, index = address - self.address, [0] * len(self.shape)
        axes = sorted(range(len(self.shape)), key=lambda axis: -self.strides[axis])
        for axis in axes:
            stride = self.strides[axis]
            if stride > 0 and self.shape[axis] > 1:
                index[axis], left = divmod(left, stride)
        inside = all(0 <= i < n for i, n in zip(index, self.shape, strict=True))
        return tuple(index) if inside and 0 <= left < self.bytes else None


@dataclass(eq=False)
class Memory:
    """A piece of memory: that of arguments that overlap, or one shared or local array.

    ``written`` tells for each byte whether anybody has written it; None where all was
    written before the launch.
    """

    name: str
    space: str
    address: int
    size: int
    block: int = -1  # whose shared memory it is
    read_only: bool = False
    written: NDArray[np.bool_] | None = None
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.local = self.space == LOCAL  # one thread alone sees it

    def place(self, address: int) -> tuple[str, tuple[int, ...]]:
        """The array and the index at an address."""
        for member in self.members:
            index = member.index(address)
            if index is not None:
                return member.name, index
        return self.name, (address - self.address,)

    def add(self, name: str, values: NDArray[Any], address: int) -> None:
        """Name an array that stands here."""
        self.members.append(
            Member(name, address, values.shape, values.strides, values.itemsize)
        )


def told(name: str, index: tuple[int, ...]) -> str:
    """``tile[3, 4]``."""
    return f"{name}[{', '.join(map(str, index))}]"
