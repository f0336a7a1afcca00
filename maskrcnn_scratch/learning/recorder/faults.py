"""What can be wrong with a launch, and how it is told."""

from __future__ import annotations

import bisect
import dis
import linecache
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import CodeType

# The names of faults.
OUT_OF_RANGE = "out of range"
NEGATIVE_INDEX = "negative index"
UNINITIALISED = "uninitialised read"
READ_ONLY = "write to read-only"
RACING_READ = "unsynchronised read"
RACING_WRITE = "write race"
SAME_VALUE = "same-value write"
LOST_UPDATE = "lost update"
MIXED = "mixed access"
DIVERGENT_BARRIER = "divergent barrier"
DIVERGENT_WARP = "divergent warp"
ENDLESS = "endless loop"
ERROR = "error"
ORDER = "order dependence"


@dataclass(frozen=True)
class Line:
    """A line of a kernel's source."""

    file: str
    number: int

    @property
    def source(self) -> str:
        """Its text, where the file can be read."""
        return linecache.getline(self.file, self.number).strip()

    def __str__(self) -> str:
        text = f" `{self.source}`" if self.source else ""
        return f"{Path(self.file).name}:{self.number}{text}"


@dataclass
class Fault:
    """One fault, at the first place where it showed.

    ``threads`` are (block, thread) pairs of linear numbers, ``index`` is the array's,
    ``phase`` counts the barriers before, and ``count`` the cells (or times) at which
    the same lines make the same fault with the same array.
    """

    kind: str
    message: str
    array: str = ""
    index: tuple[int, ...] = ()
    threads: tuple[tuple[int, int], ...] = ()
    phase: int = 0
    lines: tuple[Line, ...] = ()
    count: int = 1

    def __str__(self) -> str:
        more = f" ({self.count} times like this)" if self.count > 1 else ""
        return f"{self.kind}: {self.message}{more}"


class KernelFault(AssertionError):
    """A launch has faults; the message tells all of them."""

    def __init__(self, kernel: str, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__(
            f"{kernel} has {len(faults)} fault{'s' * (len(faults) > 1)}\n"
            + "\n".join(f"  {fault}" for fault in faults)
        )


class NotRecordable(TypeError):
    """A kernel uses what the recorder cannot stand in for."""


@dataclass
class FaultList:
    """Faults found while threads run; equal ones are counted, not repeated."""

    found: dict[tuple[object, ...], Fault] = field(default_factory=dict)

    def add(self, key: tuple[object, ...], fault: Fault) -> None:
        """Keep the first fault of each key."""
        known = self.found.setdefault(key, fault)
        if known is not fault:
            known.count += 1


@lru_cache(maxsize=256)
def instructions_of(code: CodeType) -> tuple[dis.Instruction, ...]:
    """The byte code, taken apart once."""
    return tuple(dis.get_instructions(code))


@dataclass
class Sites:
    """Instructions by the address of their byte code, which names the source line.

    CPython keeps a function's byte code within its code object, so ``id(code)`` plus
    the offset of an instruction is a different number for every instruction.
    """

    known: dict[int, tuple[CodeType, int]] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)

    def add(self, code: CodeType, offset: int) -> int:
        """The number of the instruction at an offset.

        The interpreter may stand in the cache behind an instruction: it belongs to it.
        """
        starts = [instruction.offset for instruction in instructions_of(code)]
        start = starts[bisect.bisect_right(starts, offset) - 1]
        self.known[id(code) + start] = (code, start)
        self.numbers[id(code) + offset] = id(code) + start
        return id(code) + start

    def line(self, site: int) -> Line:
        """The source line of an instruction."""
        code, offset = self.known[site]
        for start, end, number in code.co_lines():
            if start <= offset < end and number is not None:
                return Line(code.co_filename, number)
        return Line(code.co_filename, code.co_firstlineno)
