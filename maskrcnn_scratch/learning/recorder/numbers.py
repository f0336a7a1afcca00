"""What Python's numbers do otherwise than a GPU's, put right.

``math`` on a GPU returns the type that it takes and never raises: sqrt(-1) is NaN.
min and max of a NaN and a number are the number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

NUMPY_NAMES = {
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "pow": "power",
}
"""Functions of math that NumPy calls otherwise."""


class Math:
    """Stands in for the module ``math``."""

    def __getattr__(self, name: str) -> Any:
        member = getattr(math, name)
        return on_gpu(name, member) if callable(member) else member


def on_gpu(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of math with a GPU's types and errors."""
    ufunc = getattr(np, NUMPY_NAMES.get(name, name), None)

    def with_numpy(*arguments: Any) -> Any:
        floats = [as_float(x) for x in arguments]
        return ufunc(*floats) if ufunc else elsewhere(function, floats)

    return with_numpy


def as_float(x: Any) -> Any:
    """Floats as they are; all else in float64."""
    return x if isinstance(x, np.floating) else np.float64(x)


def elsewhere(function: Callable[..., Any], floats: list[Any]) -> Any:
    """What NumPy has not (erf, gamma), with NaN for what Python refuses."""
    try:
        result = function(*floats)
    except (ValueError, OverflowError):
        result = math.nan
    return type(floats[0])(result)


def smallest(first: Any, *others: Any) -> Any:
    """``min`` as a GPU computes it: NaN loses."""
    for other in others:
        if other < first or first != first:
            first = other
    return first


def largest(first: Any, *others: Any) -> Any:
    """``max`` as a GPU computes it: NaN loses."""
    for other in others:
        if other > first or first != first:
            first = other
    return first
