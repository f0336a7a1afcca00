"""Arrays from a pickle, without running anything that the pickle asks for.

A pickle is a program: it names callables and calls them. Here the few names that NumPy
arrays and plain containers need stand for objects of ours, which do no more than note
or copy what they are given; every other name is refused. Nothing is allocated that the
file does not hold, byte for byte.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

KINDS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}
KINDS |= {"b1", "f2", "f4", "f8"}


class Refused(pickle.UnpicklingError):
    """The pickle asks for more than arrays and plain containers."""


def read_pickle(path: Path) -> Any:
    """What the pickle holds, its arrays as NumPy arrays where they stand in a dict.

    Pickles of Python 2 are read too, their text as latin-1. Raises ValueError for a
    broken file and for one that names anything but arrays and plain containers.
    """
    data = path.read_bytes()
    try:
        refuse_memo_bombs(data)
        return with_arrays(RestrictedUnpickler(data).load())
    except Exception as error:  # a hostile file finds a way to raise any of them
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} is no pickle of plain arrays: {reason}") from error


def refuse_memo_bombs(data: bytes) -> None:
    """The unpickler reserves a table as long as the largest number a pickle notes.

    An honest pickle counts its notes from 0.
    """
    notes = 0
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument is not None:
            notes += 1
            if not 0 <= int(argument) <= 2 * notes + 256:
                raise Refused(f"note {argument} after {notes} notes")


class RestrictedUnpickler(pickle.Unpickler):
    """Knows the names in ``admitted`` and no other."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")

    def find_class(self, module: str, name: str) -> Admitted:
        """The stand-in for a name; raises Refused where there is none."""
        # numpy.core became numpy._core with NumPy 2.
        make = ADMITTED.get((module.replace("numpy._core", "numpy.core"), name))
        if make is None:
            raise Refused(f"it names {module}.{name}, which arrays do not need")
        return Admitted(f"{module}.{name}", make)


class Admitted:
    """Stands for a callable; a pickle can call it, and change nothing about it."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name = name
        self.make = make

    def __call__(self, *arguments: Any) -> Any:
        return self.make(*arguments)

    def __setstate__(self, state: Any) -> NoReturn:
        raise Refused(f"it tries to change {self.name}")


class PlainDict(dict[Any, Any]):
    """An OrderedDict; what else a pickle wants to hang on it is dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


class DType:
    """An array's type of numbers, as a pickle spells it."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = str(code).lstrip("<>=|")
        self.order = "<"
        if self.code not in KINDS:
            raise Refused(f"it holds an array of {code!r}; expected plain numbers")

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "<"

    def read(
        self, data: Any, shape: tuple[int, ...], fortran: bool = False
    ) -> NDArray[Any]:
        """A copy of the numbers in ``data``, which must fill ``shape`` exactly."""
        raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
        dtype = np.dtype(self.order + self.code)
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(raw):
            raise Refused(f"an array of shape {shape} has {len(raw)} bytes")
        native = np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="))
        return native.reshape(shape, order="F" if fortran else "C")


class Array:
    """An array in the making: a pickle first calls for an empty one, then fills it."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, DType):
            raise Refused("it holds an array without a type")
        self.array = dtype.read(data, tuple(int(n) for n in shape), bool(fortran))


def reconstruct(kind: Any, shape: Any, code: Any) -> Array:
    """numpy's ``_reconstruct``, which makes the empty array."""
    if getattr(kind, "name", None) != "numpy.ndarray" or shape != (0,):
        raise Refused("it calls for an array in a way that NumPy does not")
    return Array()


def from_buffer(data: Any, dtype: DType, shape: Any, order: Any) -> Array:
    """numpy's ``_frombuffer``, of pickles of protocol 5."""
    made = Array()
    made.__setstate__((1, shape, dtype, order == "F", data))
    return made


def scalar(dtype: DType, data: Any) -> Any:
    """One number."""
    return dtype.read(data, ())[()]


def encode(text: str, encoding: str) -> bytes:
    """Bytes, as protocol 2 spells them; other encodings would import their modules."""
    if encoding not in ("latin1", "latin-1"):
        raise Refused(f"it encodes to {encoding!r}; expected latin1")
    return text.encode("latin1")


def empty_bytes(*arguments: Any) -> bytes:
    """How protocol 2 spells ``b""``; with a number it would reserve so many bytes."""
    if arguments:
        raise Refused("it calls bytes with arguments")
    return b""


def no_call(*arguments: Any) -> NoReturn:
    """``numpy.ndarray`` is only ever named; called, it could reserve any memory."""
    raise Refused("it calls numpy.ndarray itself")


ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): PlainDict,
    ("_codecs", "encode"): encode,
    ("__builtin__", "bytes"): empty_bytes,
    ("numpy", "ndarray"): no_call,
    ("numpy", "dtype"): DType,
    ("numpy.core.multiarray", "_reconstruct"): reconstruct,
    ("numpy.core.multiarray", "scalar"): scalar,
    ("numpy.core.numeric", "_frombuffer"): from_buffer,
}


def with_arrays(value: Any) -> Any:
    """Arrays in the places of their stand-ins: in a dict, and in a dict within it."""
    if not isinstance(value, dict):
        return value
    return {key: filled(inner) for key, inner in value.items()}


def filled(value: Any) -> Any:
    """One value of the outer dict."""
    if isinstance(value, dict):
        return {
            key: inner.array if isinstance(inner, Array) else inner
            for key, inner in value.items()
        }
    return value.array if isinstance(value, Array) else value
