"""Hypothesis strategies that shrink to something a student can read.

Coordinates are drawn as sixteenths and sizes directly, so a counterexample shows
numbers such as 2.0625, not 2.0612345e-3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

Array = np.ndarray[Any, np.dtype[Any]]


def sixteenths(low: float, high: float) -> st.SearchStrategy[float]:
    """Multiples of 1/16 between low and high: exact in float32 and easy to read."""
    return st.integers(round(low * 16), round(high * 16)).map(lambda n: n / 16)


@st.composite
def maps(
    draw: st.DrawFn, largest: int = 5, smallest: int = 1, low: int = -9, high: int = 9
) -> Array:
    """Feature maps (height, width) of small whole numbers."""
    height = draw(st.integers(smallest, largest))
    width = draw(st.integers(smallest, largest))
    count = height * width
    values = draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
    return np.array(values, np.float64).reshape(height, width)


@st.composite
def boxes(
    draw: st.DrawFn, count: int | None = None, extent: float = 32, smallest: float = 0.0
) -> Array:
    """Boxes (n, 4) xyxy within [0, extent]; ``smallest`` is the least side."""
    n = draw(st.integers(0, 6)) if count is None else count
    rows = []
    for _ in range(n):
        width = draw(sixteenths(smallest, extent))
        height = draw(sixteenths(smallest, extent))
        x1 = draw(sixteenths(0, extent - width))
        y1 = draw(sixteenths(0, extent - height))
        rows.append((x1, y1, x1 + width, y1 + height))
    return np.array(rows, dtype=np.float64).reshape(-1, 4)
