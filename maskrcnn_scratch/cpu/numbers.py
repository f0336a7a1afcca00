"""Types inside kernels: bfloat16, which NumPy lacks, and single precision kept single.

A bfloat16 is the upper half of a float32. So an array of bfloat16 enters a kernel as
its bits, uint16; it is widened as it is read, summed in float32, and rounded once as it
is written.

``widen`` and ``narrow`` are written twice: in Python, and below, as they are compiled,
where the types alone decide which of their two cases applies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from maskrcnn_scratch.cpu.compiled import Array

HALF = np.dtype(np.uint16)
"""How bfloat16 is seen: by its bits."""


def sums_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What features of ``dtype`` are summed in."""
    return np.dtype(np.float32) if dtype == HALF else dtype


def new_sums(size: int, like: Array) -> Array:
    """An array to sum numbers of the array ``like`` in, not yet filled."""
    return np.empty(size, sums_dtype(like.dtype))


def widen(number: Any) -> Any:
    """A bfloat16 as a float32; any other number as it is."""
    if isinstance(number, np.uint16):
        return (np.uint32(number) << np.uint32(16)).view(np.float32)
    return number


def narrow(number: Any, target: Array) -> Any:
    """A number as the array ``target`` holds it: bfloat16 to nearest, ties to even."""
    if target.dtype != HALF:
        return number
    bits = np.float32(number).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)
    return np.uint16(0x7FC0 if np.isnan(number) else rounded)


# What numba compiles for them, given types for values.


def _new_sums(size: Any, like: Any) -> Any:
    if like.dtype == types.uint16:
        return lambda size, like: np.empty(size, np.float32)
    return lambda size, like: np.empty(size, like.dtype)


def _widen(number: Any) -> Any:
    if number == types.uint16:
        return lambda number: _bits_to_float(np.uint32(number) << np.uint32(16))
    return lambda number: number


def _narrow(number: Any, target: Any) -> Any:
    if target.dtype == types.uint16:
        return _round_to_half
    return lambda number, target: number


def _round_to_half(number: Any, target: Any) -> Any:
    bits = _float_to_bits(np.float32(number))
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)
    return np.uint16(rounded) if number == number else np.uint16(0x7FC0)


def _alike(context: Any, number: Any, pattern: Any) -> Any:
    """``number`` in the type of ``pattern``.

    numba computes an int64 with a float32 in float64; so whole numbers that meet
    coordinates are made like these first.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.cast(builder, args[0], number, pattern)

    return pattern(number, pattern), generate


def _as_bits(context: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.uint32))

    return types.uint32(types.float32), generate


def _as_float(context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(types.uint32), generate


alike = intrinsic(_alike)
_float_to_bits = intrinsic(_as_bits)
_bits_to_float = intrinsic(_as_float)
for function, by_type in ((new_sums, _new_sums), (widen, _widen), (narrow, _narrow)):
    overload(function, strict=False)(by_type)
