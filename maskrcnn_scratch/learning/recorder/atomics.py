"""Atomic operations on recording arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from maskrcnn_scratch.learning.recorder.arrays import RecordingArray
from maskrcnn_scratch.learning.recorder.faults import NotRecordable
from maskrcnn_scratch.learning.recorder.numbers import largest, smallest
from maskrcnn_scratch.learning.recorder.state import Launch

INTEGERS = ("int32", "uint32", "int64", "uint64")
NUMBERS = (*INTEGERS, "float32", "float64")
UNSIGNED = ("uint32", "uint64")
"""The types that numba compiles an atomic for."""


class Atomic:
    """Stands in for ``cuda.atomic``: each returns the old value."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch

    def add(self, array: Any, index: Any, value: Any) -> Any:
        """array[index] += value"""
        return self._update(array, index, lambda old: old + value, NUMBERS)

    def sub(self, array: Any, index: Any, value: Any) -> Any:
        """array[index] -= value"""
        return self._update(array, index, lambda old: old - value, NUMBERS)

    def max(self, array: Any, index: Any, value: Any) -> Any:
        """The larger of the two; a NaN is kept or lost as Python's max does."""
        return self._update(array, index, lambda old: max(old, value), NUMBERS)

    def min(self, array: Any, index: Any, value: Any) -> Any:
        """The smaller of the two."""
        return self._update(array, index, lambda old: min(old, value), NUMBERS)

    def nanmax(self, array: Any, index: Any, value: Any) -> Any:
        """The larger of the two; a NaN loses."""
        return self._update(array, index, lambda old: largest(old, value), NUMBERS)

    def nanmin(self, array: Any, index: Any, value: Any) -> Any:
        """The smaller of the two; a NaN loses."""
        return self._update(array, index, lambda old: smallest(old, value), NUMBERS)

    def and_(self, array: Any, index: Any, value: Any) -> Any:
        """array[index] &= value"""
        return self._update(array, index, lambda old: int(old) & int(value), INTEGERS)

    def or_(self, array: Any, index: Any, value: Any) -> Any:
        """``array[index] |= value``"""
        return self._update(array, index, lambda old: int(old) | int(value), INTEGERS)

    def xor(self, array: Any, index: Any, value: Any) -> Any:
        """array[index] ^= value"""
        return self._update(array, index, lambda old: int(old) ^ int(value), INTEGERS)

    def inc(self, array: Any, index: Any, value: Any) -> Any:
        """One more, or 0 after ``value``."""
        return self._update(
            array, index, lambda old: 0 if old >= value else old + 1, UNSIGNED
        )

    def dec(self, array: Any, index: Any, value: Any) -> Any:
        """One less, or ``value`` after 0 and where it was more than that."""
        return self._update(
            array,
            index,
            lambda old: value if old == 0 or old > value else old - 1,
            UNSIGNED,
        )

    def exch(self, array: Any, index: Any, value: Any) -> Any:
        """array[index] = value"""
        return self._update(array, index, lambda old: value, INTEGERS)

    def cas(self, array: Any, index: Any, old: Any, value: Any) -> Any:
        """``value`` where ``old`` stood."""
        return self._update(
            array, index, lambda found: value if found == old else found, INTEGERS
        )

    def compare_and_swap(self, array: Any, old: Any, value: Any) -> Any:
        """The same at the first element."""
        return self._update(
            array,
            (0,) * array.ndim,
            lambda found: value if found == old else found,
            INTEGERS,
        )

    def __getattr__(self, name: str) -> Any:
        raise NotRecordable(f"cuda.atomic.{name} has no stand-in in the recorder")

    def _update(
        self,
        array: RecordingArray,
        index: Any,
        new: Callable[[Any], Any],
        types: tuple[str, ...],
    ) -> Any:
        """Check the type as numba's compiler does, then update."""
        if array.dtype.name not in types:
            raise TypeError(
                f"numba has no such atomic on {array.dtype}, only on {', '.join(types)}"
            )
        return array.update(index, new, self._launch.site(sys._getframe(2)))
