"""Bilinear interpolation: a feature map read at real coordinates, and its gradient.

RoIAlign reads features this way (Mask R-CNN, section 3, "RoIAlign"); the form as a sum
over cells, with weights that fall linearly with distance, is equation 5 of Spatial
Transformer Networks (Jaderberg et al., 2015).

Coordinates are index coordinates: the value of cell i sits at i. The rule at the
border is that of the published RoIAlign:

- outside [-1, size] a read gives 0; so does a NaN coordinate, being inside of nothing;
- inside, coordinates before the first cell read the first, after the last the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float


def bilinear_taps(size: int, c: float) -> list[tuple[int, float]]:
    """The two cells (index, weight) that a read at ``c`` mixes, on an axis of ``size``.

    Weights lie in [0, 1] and sum to 1. No cells where ``c`` is outside [-1, size]. At
    the last cell both entries name it, the second with weight 0.
    """
    if not -1 <= c <= size:
        return []
    c = min(max(c, 0.0), size - 1.0)
    low = int(c)
    high = min(low + 1, size - 1)
    return [(low, 1 - (c - low)), (high, c - low)]


def bilinear(
    feature_map: Float[np.ndarray, "height width"], y: float, x: float
) -> float:
    """The value of a map at row coordinate ``y``, column coordinate ``x``."""
    height, width = feature_map.shape
    value = 0.0
    for row, y_weight in bilinear_taps(height, y):
        for column, x_weight in bilinear_taps(width, x):
            value += y_weight * x_weight * float(feature_map[row, column])
    return value


def bilinear_grad(
    feature_map: Float[np.ndarray, "height width"], y: float, x: float
) -> tuple[Float[np.ndarray, "height width"], float, float]:
    """The derivatives of ``bilinear(feature_map, y, x)`` by the map, by y and by x.

    By the map it is the weights, whatever the map holds. By a coordinate it is the
    slope between the two cells: 0 where the coordinate is clamped, and at a cell's own
    coordinate, where the value has a kink, the slope towards larger coordinates.
    """
    height, width = feature_map.shape
    d_map = np.zeros((height, width))
    d_y = d_x = 0.0
    for row, y_weight in bilinear_taps(height, y):
        for column, x_weight in bilinear_taps(width, x):
            d_map[row, column] += y_weight * x_weight
    for row, y_slope in _slopes(height, y):
        for column, x_weight in bilinear_taps(width, x):
            d_y += y_slope * x_weight * float(feature_map[row, column])
    for row, y_weight in bilinear_taps(height, y):
        for column, x_slope in _slopes(width, x):
            d_x += y_weight * x_slope * float(feature_map[row, column])
    return d_map, d_y, d_x


def _slopes(size: int, c: float) -> list[tuple[int, float]]:
    """The derivatives by ``c`` of the weights in ``bilinear_taps(size, c)``."""
    if c < 0:  # clamped; after the last cell low and high coincide and cancel
        return []
    return [
        (index, slope)
        for (index, _), slope in zip(bilinear_taps(size, c), (-1.0, 1.0), strict=False)
    ]
