"""Hypothesis strategies that shrink to something a student can read."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.strategies import Array, boxes, sixteenths

__all__ = [
    "Array",
    "boxes",
    "feature_maps",
    "grids",
    "rois",
    "rois_within",
    "sixteenths",
]


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
