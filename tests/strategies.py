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


@st.composite
def feature_maps(
    draw: st.DrawFn, images: int = 1, channels: int = 1, largest: int = 6
) -> Array:
    """Features (images, channels, height, width) of small whole numbers."""
    height = draw(st.integers(1, largest))
    width = draw(st.integers(1, largest))
    count = images * channels * height * width
    values = draw(st.lists(st.integers(-9, 9), min_size=count, max_size=count))
    return np.array(values, np.float64).reshape(images, channels, height, width)


@st.composite
def rois(
    draw: st.DrawFn, images: int = 1, extent: float = 8, outside: float = 2
) -> Array:
    """RoIs (n, 5): image index, then xyxy, partly outside, maybe inverted or empty."""
    coordinate = sixteenths(-outside, extent + outside)
    row = st.tuples(st.integers(0, images - 1).map(float), *[coordinate] * 4)
    return np.array(draw(st.lists(row, max_size=4)), np.float64).reshape(-1, 5)


@st.composite
def rois_within(
    draw: st.DrawFn, height: int, width: int, margin: float = 0, smallest: float = 0
) -> Array:
    """RoIs (n, 5) of image 0 within a map of height x width at stride 1.

    ``margin`` keeps them away from the border; ``smallest`` is the least side.
    """
    rows = []
    for _ in range(draw(st.integers(0, 3))):
        corner = []
        for extent in (width, height):
            low = draw(sixteenths(margin, extent - margin - smallest))
            corner.append((low, draw(sixteenths(low + smallest, extent - margin))))
        (x1, x2), (y1, y2) = corner
        rows.append((0.0, x1, y1, x2, y2))
    return np.array(rows, np.float64).reshape(-1, 5)


def grids() -> st.SearchStrategy[tuple[int, int]]:
    """Output sizes; powers of two, so that sample points are exact in float32."""
    side = st.sampled_from((1, 2, 4))
    return st.tuples(side, side)
