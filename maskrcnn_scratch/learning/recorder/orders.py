"""A kernel's test: every order of threads, no fault, the same result."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrcnn_scratch.learning.recorder.faults import ORDER, Fault, KernelFault
from maskrcnn_scratch.learning.recorder.recording import Recording
from maskrcnn_scratch.learning.recorder.run import Size, Uninitialised, as_array, record
from maskrcnn_scratch.learning.recorder.storage import bounds, overlapping

ORDERS = ("forward", "reversed", "shuffled")
ROUNDINGS = 64  # units in the last place by which the order of atomic sums may tell


def record_orders(
    kernel: Any, blocks: Size, threads: Size, *arguments: Any, **options: Any
) -> dict[str, Recording]:
    """Record a launch with its threads forward, reversed and shuffled.

    Each order gets copies of the arguments; the arguments themselves hold the results
    of "forward" afterwards. Where another order gives other results, beyond the
    rounding of sums, its recording has the fault "order dependence". Options are those
    of ``record``.
    """
    given = with_arrays(arguments)
    arrays = list(arrays_in(given))
    before = {order: copies_of(arrays) for order in ORDERS[1:]}
    made = {"forward": record(kernel, blocks, threads, *given, **options)}
    for order, owned in before.items():
        own = copies(given, owned)
        made[order] = record(kernel, blocks, threads, *own, order=order, **options)
        theirs = [owned[id(array)] for array in arrays]
        made[order].faults += differences(made["forward"], arrays, theirs, order)
    return made


def check(
    kernel: Any,
    blocks: Size,
    threads: Size,
    *arguments: Any,
    same_result: bool = True,
    allow: tuple[str, ...] = (),
    **options: Any,
) -> Recording:
    """Raise KernelFault, which tells all faults, unless a launch is free of them.

    Threads run in every order of ``record_orders``. ``same_result=False`` is for a
    kernel whose result may depend on the order, as a list that atomics fill;
    ``allow`` names faults that are meant, as "same-value write". Returns the recording
    of the forward order, whose results the arguments hold.
    """
    made = record_orders(kernel, blocks, threads, *arguments, **options)
    allowed = {*allow, *(() if same_result else (ORDER,))}
    faults: dict[tuple[object, ...], Fault] = {}
    for recording in made.values():
        for fault in recording.faults:
            if fault.kind not in allowed:
                faults.setdefault((fault.kind, fault.array, fault.lines), fault)
    if faults:
        raise KernelFault(made["forward"].kernel, list(faults.values()))
    return made["forward"]


def copies(argument: Any, owned: dict[int, NDArray[Any]]) -> Any:
    """The argument with the copies of its arrays, by the ids of these."""
    if isinstance(argument, tuple):
        return tuple(copies(part, owned) for part in argument)
    if isinstance(argument, Uninitialised):
        return Uninitialised(copies(argument.array, owned))
    return owned.get(id(argument), argument)


def with_arrays(argument: Any) -> Any:
    """The argument with NumPy's views of its tensors."""
    if isinstance(argument, tuple):
        return tuple(with_arrays(part) for part in argument)
    if isinstance(argument, Uninitialised):
        return Uninitialised(as_array(argument.array))
    return as_array(argument)


def copies_of(arrays: Sequence[NDArray[Any]]) -> dict[int, NDArray[Any]]:
    """Copies, by the ids of the originals; what overlapped overlaps again."""
    made: dict[int, NDArray[Any]] = {}
    spans = [bounds(array) for array in arrays]
    for group in overlapping(spans):
        low = min(spans[k][0] for k in group)
        high = max(spans[k][1] for k in group)
        raw = bytearray(ctypes.string_at(low, high - low))
        for old in (arrays[k] for k in group):
            offset = old.__array_interface__["data"][0] - low
            anew: NDArray[Any] = np.ndarray(
                old.shape, old.dtype, raw, offset, old.strides
            )
            anew.flags.writeable = old.flags.writeable
            made[id(old)] = anew
    return made


def differences(forward: Recording, ours: Any, theirs: Any, order: str) -> list[Fault]:
    """A fault for each array that another order left with other values."""
    found = []
    pairs = zip(ours, theirs, strict=True)
    for name, (one, other) in zip(forward.shapes, pairs, strict=False):
        differs = ~same(one, other)
        if differs.any():
            index = tuple(int(i) for i in np.argwhere(differs)[0])
            message = (
                f"{name}[{', '.join(map(str, index))}] is {one[index]} with threads "
                f"forward and {other[index]} {order}"
            )
            count = int(differs.sum())
            found.append(Fault(ORDER, message, name, index, count=count))
    return found


def arrays_in(argument: Any) -> Iterator[Any]:
    """The arrays of a launch's arguments, in order."""
    if isinstance(argument, tuple):
        for part in argument:
            yield from arrays_in(part)
        return
    array = getattr(argument, "array", argument)
    if isinstance(array, np.ndarray):
        yield array


def same(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two results agree: exactly, or floats but for rounding.

    Terms of a sum may cancel, so rounding is measured by the array's largest number.
    """
    if one.dtype.kind != "f":
        return np.asarray(one == other)
    unit = np.finfo(one.dtype).eps
    one, other = one.astype(np.float64), other.astype(np.float64)
    finite = np.isfinite(one) & np.isfinite(other)
    largest = np.abs(one[finite]).max(initial=0)
    apart = np.where(finite, one, 0) - np.where(finite, other, 0)
    near = finite & (np.abs(apart) <= ROUNDINGS * unit * largest)
    return np.asarray(near | (one == other) | (np.isnan(one) & np.isnan(other)))
