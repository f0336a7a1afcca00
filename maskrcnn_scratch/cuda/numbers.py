"""float16 and bfloat16 in a kernel: read to float32, computed, and rounded back.

A kernel reads any feature with ``to_float32(a[i, j])`` and writes with
``assign(a, (i, j), value)``; compiled, each becomes the one conversion that the array's
type needs. numba's arrays have no bfloat16: its bits travel as uint16. They are the
upper half of a float32's, so reading is a shift, and writing rounds to the nearest,
ties to the even one, as torch does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.cuda import types
from numba.cuda.extending import overload

from maskrcnn_scratch.cuda.compiled import device

HALF = np.uint32(16)
JUST_UNDER_A_TIE = np.uint32(0x7FFF)
ONE = np.uint32(1)
NAN_BITS = np.uint16(0x7FC0)


@device
def from_bits(bits: Any) -> Any:
    """The float32 whose upper half ``bits`` are."""
    return np.uint32(np.uint32(bits) << HALF).view(np.float32)


@device
def to_bits(value: Any) -> Any:
    """The bfloat16 nearest to a float32, as its bits."""
    if value != value:
        return NAN_BITS
    bits = np.float32(value).view(np.uint32)
    odd = (bits >> HALF) & ONE
    return np.uint16((bits + JUST_UNDER_A_TIE + odd) >> HALF)


def to_float32(x: Any) -> Any:
    """An element of a float32, float16 or bfloat16 array as float32."""
    return from_bits(x) if isinstance(x, np.uint16) else np.float32(x)


def assign(array: Any, index: Any, value: Any) -> Any:
    """``array[index] = value`` in the array's own type."""
    array[index] = to_bits(value) if array.dtype == np.uint16 else value


def compiled_to_float32(x: Any) -> Any:
    """What a call of ``to_float32`` becomes in a kernel, by the type of ``x``."""

    def from_bfloat16(x: Any) -> Any:
        return from_bits(x)

    def from_float(x: Any) -> Any:
        return np.float32(x)

    return from_bfloat16 if isinstance(x, types.Integer) else from_float


def compiled_assign(array: Any, index: Any, value: Any) -> Any:
    """What a call of ``assign`` becomes in a kernel, by the type of ``array``."""

    def assign_bits(array: Any, index: Any, value: Any) -> Any:
        array[index] = to_bits(value)

    def assign_number(array: Any, index: Any, value: Any) -> Any:
        array[index] = value

    return assign_bits if isinstance(array.dtype, types.Integer) else assign_number


overload(to_float32)(compiled_to_float32)
overload(assign)(compiled_assign)
