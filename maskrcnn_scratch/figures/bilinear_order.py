"""Bilinear interpolation one axis after the other, and why the order does not matter.

Coordinates are index coordinates, those of ``reference.bilinear``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.bilinear import frame
from maskrcnn_scratch.reference.bilinear import bilinear, bilinear_taps


@dataclass(frozen=True)
class TwoSteps:
    """The same read on one axis twice, then on the other once.

    ``between`` are the two values that the first axis gives, each (y, x, value).
    """

    between: tuple[tuple[float, float, float], ...]
    value: float


def draw_two_steps(
    axes: Axes,
    feature_map: Float[np.ndarray, "height width"],
    y: float,
    x: float,
    first: Literal["x", "y"] = "x",
) -> TwoSteps:
    """Interpolation in x on two rows and then in y between them, or in y first.

    The value is the same: the weights of the axes are multiplied in either order.
    Raises ValueError where the point is not between the cells' centres.
    """
    height, width = feature_map.shape
    if not (0 <= y <= height - 1 and 0 <= x <= width - 1):
        raise ValueError(f"y = {y:g}, x = {x:g} is not between the cells' centres")
    rows = [row for row, _ in bilinear_taps(height, y)]
    columns = [column for column, _ in bilinear_taps(width, x)]
    ends = [(row, x) for row in rows] if first == "x" else [(y, c) for c in columns]
    told = TwoSteps(
        tuple((*end, bilinear(feature_map, *end)) for end in ends),
        bilinear(feature_map, y, x),
    )
    for row, column in np.ndindex(feature_map.shape):
        draw_value(axes, row, column, float(feature_map[row, column]), "centre")
    for line in (rows, columns)[first == "y"]:
        along = ([line] * 2, columns) if first == "x" else (rows, [line] * 2)
        axes.plot(*along[::-1], color=palette.CELL, lw=2, zorder=1, gid="first")
    second = np.array(ends, np.float64).T
    axes.plot(second[1], second[0], color=palette.SAMPLE, lw=2, zorder=2, gid="second")
    for end_y, end_x, value in told.between:
        draw_value(axes, end_y, end_x, value, "between")
    draw_value(axes, y, x, told.value, "point")
    frame(axes, feature_map.shape, y, x)
    axes.set_xlabel("index x")
    return told


def draw_value(axes: Axes, y: float, x: float, value: float, kind: str) -> None:
    """A point with its value above it, on the side where the next cell is farther."""
    color = {"centre": palette.CELL, "between": "white", "point": palette.SAMPLE}[kind]
    edge = palette.CELL if kind == "centre" else palette.SAMPLE
    axes.plot([x], [y], "o", ms=8, mfc=color, mec=edge, gid=kind)
    left = x % 1 > 0.5
    offset = {"xytext": (-6 if left else 6, 5), "textcoords": "offset points"}
    style: dict[str, Any] = {"ha": "right" if left else "left", **offset}
    axes.annotate(f"{value:.4g}", (x, y), gid=f"{kind} value", **style)
