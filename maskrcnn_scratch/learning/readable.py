"""Values as a student reads them: short numbers, small arrays in full."""

from __future__ import annotations

from typing import Any

import numpy as np

from maskrcnn_scratch.learning.compare import plain

LARGEST = 100  # entries of an array that is written out


def readable(value: Any) -> str:
    """``2.5``, ``[[0 1] [2 3]]`` over lines, ``(1, 2)``; torch tensors as arrays."""
    value = plain(value)
    if isinstance(value, np.ndarray):
        return of_array(value)
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, float | np.floating):
        return number(float(value))
    if isinstance(value, np.integer):
        return str(int(value))
    if isinstance(value, list | tuple):
        inner = ", ".join(readable(one) for one in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if isinstance(value, dict):
        inner = ", ".join(f"{key}: {readable(one)}" for key, one in value.items())
        return f"{{{inner}}}"
    return repr(value)


def number(value: float | np.floating[Any]) -> str:
    """Up to six digits, and no ``.0`` behind whole numbers."""
    return f"{value:.6g}"


def of_array(value: np.ndarray) -> str:
    """The entries; of a large array its shape and the first of them."""
    if value.size == 0:
        return f"an empty array of shape {value.shape}"
    if value.size > LARGEST:
        first = ", ".join(readable(one) for one in value.reshape(-1)[:8])
        return f"an array of shape {value.shape}: {first}, ..."
    return np.array2string(
        value.astype(int) if value.dtype == np.bool_ else value,
        formatter={"float_kind": number},
        max_line_width=80,
    )


def named(name: str, value: Any) -> str:
    """``name = value``, further lines of an array below the first."""
    head = f"{name} = "
    lines = readable(value).splitlines()
    return head + ("\n" + " " * len(head)).join(lines)
