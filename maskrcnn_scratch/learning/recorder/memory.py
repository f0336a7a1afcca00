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
        axes = list(zip(self.shape, self.strides, strict=True))
        lowest = self.address + sum((n - 1) * s for n, s in axes if s < 0)
        left, index = address - lowest, [0] * len(axes)
        for axis in sorted(range(len(axes)), key=lambda axis: -abs(axes[axis][1])):
            n, stride = axes[axis]
            if stride and n > 1:
                steps, left = divmod(left, abs(stride))
                index[axis] = steps if stride > 0 else n - 1 - steps
        inside = all(0 <= i < n for i, (n, _) in zip(index, axes, strict=True))
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
