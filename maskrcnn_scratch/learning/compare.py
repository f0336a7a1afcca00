"""Whether a student's value is the expected one, and a sentence where it is not."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np

VALUE = "your function's value"
WRONG_VALUE = f"{VALUE} is not what is expected"


@dataclass(frozen=True)
class Difference:
    """How a value differs: ``kind`` is wrong type, wrong shape, not a number, ..."""

    kind: str
    says: str


def difference(got: Any, expected: Any, tolerance: float) -> Difference | None:
    """None where the two agree: numbers within the tolerance, shapes exactly.

    A number may be Python's, NumPy's or torch's, an array also a torch tensor or nested
    lists; tuples and lists stand for each other.
    """
    return _difference(plain(got), plain(expected), tolerance, VALUE)


def plain(value: Any) -> Any:
    """Torch tensors as arrays, on any device, also inside of tuples and lists."""
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _difference(
    got: Any, expected: Any, tolerance: float, what: str
) -> Difference | None:
    if isinstance(expected, np.ndarray):
        return _of_arrays(got, expected, tolerance, what)
    if isinstance(expected, tuple | list):
        return _of_sequences(got, expected, tolerance, what)
    if isinstance(expected, dict):
        return _of_dicts(got, expected, tolerance, what)
    if isinstance(expected, Number | np.generic):
        return _of_numbers(got, expected, tolerance, what)
    if type(got) is not type(expected):
        return _wrong_type(got, expected, what)
    return None if got == expected else _wrong_value(what)


def _of_numbers(
    got: Any, expected: Any, tolerance: float, what: str
) -> Difference | None:
    if isinstance(got, np.ndarray) and got.shape:
        says = f"{what} is an array of shape {got.shape}, where one number is expected"
        return Difference("wrong shape", says)
    if not isinstance(got, Number | np.generic | np.ndarray):
        return _wrong_type(got, expected, what)
    return _of_arrays(got, np.asarray(expected), tolerance, what)


def _of_arrays(
    got: Any, expected: np.ndarray, tolerance: float, what: str
) -> Difference | None:
    try:
        array = np.asarray(got)
    except ValueError:  # ragged
        says = f"{what} is a ragged list, where an array is expected"
        return Difference("wrong shape", says)
    if array.dtype.kind not in "biuf":
        return _wrong_type(got, expected, what)
    if array.shape != expected.shape:
        says = f"{what} has the shape {array.shape}, expected is {expected.shape}"
        return Difference("wrong shape", says)
    if expected.dtype == np.bool_:
        same = array == expected
    else:
        array, expected = array.astype(np.float64), expected.astype(np.float64)
        if np.isnan(array)[~np.isnan(expected)].any():
            return Difference("not a number", f"{what} holds NaN, which is no number")
        same = np.isclose(
            array, expected, rtol=tolerance, atol=tolerance, equal_nan=True
        )
    if same.all():
        return None
    return _wrong_value(what)


def _of_sequences(
    got: Any, expected: Any, tolerance: float, what: str
) -> Difference | None:
    if isinstance(got, np.ndarray) and got.ndim:
        got = list(got)
    if not isinstance(got, tuple | list):
        return _wrong_type(got, expected, what)
    if len(got) != len(expected):
        says = f"{what} has the length {len(got)}, expected is {len(expected)}"
        return Difference("wrong shape", says)
    for index, (mine, right) in enumerate(zip(got, expected, strict=True)):
        found = _difference(mine, right, tolerance, f"{what}[{index}]")
        if found:
            return found
    return None


def _of_dicts(
    got: Any, expected: Any, tolerance: float, what: str
) -> Difference | None:
    if not isinstance(got, dict):
        return _wrong_type(got, expected, what)
    if got.keys() != expected.keys():
        says = f"{what} has the keys {list(got)}, expected are {list(expected)}"
        return Difference("wrong shape", says)
    for key, right in expected.items():
        found = _difference(
            plain(got[key]), plain(right), tolerance, f"{what}[{key!r}]"
        )
        if found:
            return found
    return None


def _wrong_type(got: Any, expected: Any, what: str) -> Difference:
    wanted = "a number" if isinstance(expected, Number | np.generic) else kind(expected)
    return Difference(
        "wrong type", f"{what} is {kind(got)}, where {wanted} is expected"
    )


def _wrong_value(what: str) -> Difference:
    return Difference("wrong value", f"{what} is not what is expected")


def kind(value: Any) -> str:
    """``a list``, ``an array`` and so on."""
    if value is None:
        return "None"
    name = "array" if isinstance(value, np.ndarray) else type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
