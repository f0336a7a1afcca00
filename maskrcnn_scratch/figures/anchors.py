"""Anchors: those of one cell, and where the cells of a level put theirs.

The centre of the anchors of cell (row, column) is (column stride, row stride), the
upper left corner of the pixels that the cell stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import (
    add_box,
    around,
    centre,
    legend_below,
    size_of,
)
from maskrcnn_scratch.reference.anchors import cell_anchors, grid_anchors
from maskrcnn_scratch.reference.boxes import box_area, clip_boxes

LINES = ("-", "--", ":", "-.")  # by ratio
READABLE = [withStroke(linewidth=4, foreground="white")]  # on any picture


@dataclass(frozen=True)
class CellAnchors:
    """The anchors of one cell in image pixels, sizes outer, ratios inner.

    ``exact`` are those before rounding, ``anchors`` those that count; areas (square
    pixels) and ratios (h / w) are of ``anchors``.
    """

    centre: tuple[float, float]
    exact: Float[np.ndarray, "anchors 4"]
    anchors: Float[np.ndarray, "anchors 4"]
    areas: Float[np.ndarray, " anchors"]
    ratios: Float[np.ndarray, " anchors"]


def tell_cell(
    sizes: Sequence[float],
    ratios: Sequence[float],
    stride: float,
    cell: tuple[int, int],
    rounded: bool = False,
) -> CellAnchors:
    """The numbers of the anchors of cell (row, column)."""
    row, column = cell
    count = len(sizes) * len(ratios)

    def of_cell(rounded: bool) -> Float[np.ndarray, "anchors 4"]:
        at_origin = cell_anchors(sizes, ratios, rounded)
        return grid_anchors(at_origin, stride, (row + 1, column + 1))[-count:]

    anchors = of_cell(rounded)
    x1, y1, x2, y2 = anchors.T
    return CellAnchors(
        centre=(column * stride, row * stride),
        exact=of_cell(False),
        anchors=anchors,
        areas=box_area(anchors),
        ratios=(y2 - y1) / (x2 - x1),
    )


def draw_cell_anchors(
    axes: Axes,
    sizes: Sequence[float],
    ratios: Sequence[float],
    stride: float,
    cell: tuple[int, int],
    rounded: bool = False,
) -> CellAnchors:
    """The anchors of cell (row, column) over the cells of its level.

    With ``rounded`` the exact anchors stand behind the rounded ones.
    """
    told = tell_cell(sizes, ratios, stride, cell, rounded)
    x1, y1, x2, y2 = (float(edge) for edge in around(*told.exact, *told.anchors))
    x, y = told.centre
    end = (max(x2, x + stride), max(y2, y + stride))
    draw_cells(axes, stride, end)
    axes.add_patch(
        Rectangle((x, y), stride, stride, fc=(palette.CELL, 0.5), gid="cell")
    )
    if rounded:
        for exact in told.exact:
            add_box(axes, exact, "exact", fc="none", ec=palette.ANCHOR, lw=0.8)
    color = palette.QUANTISED if rounded else palette.ANCHOR
    names = [(size, ratio) for size in sizes for ratio in ratios]
    for k, ((size, ratio), anchor) in enumerate(zip(names, told.anchors, strict=True)):
        label = (
            f"{size:g}, {ratio:g}: {size_of(anchor)} = {told.areas[k]:.6g},"
            f" {told.ratios[k]:.3g}"
        )
        line: dict[str, Any] = {"ls": LINES[k % len(ratios) % len(LINES)], "lw": 1.8}
        add_box(axes, anchor, "anchor", fc="none", ec=color, label=label, **line)
    axes.plot(x, y, "x", ms=9, mew=2.5, color=palette.ANCHOR, gid="centre")
    axes.set(xlim=(x1, end[0]), ylim=(end[1], y1), aspect="equal")
    axes.set(xlabel="x, pixels", ylabel="y, pixels")
    axes.set_title(
        f"cell {cell} at stride {stride:g}: " + "rounded " * rounded + "anchors"
        f" about ({x:g}, {y:g})"
    )
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        frameon=False,
        fontsize=8,
        title_fontsize=8,
        title="size, ratio: w x h = area, h / w",
    )
    return told


@dataclass(frozen=True)
class LevelAnchors:
    """All anchors of a level, and those of one cell.

    ``grid_size`` is (height, width) in cells; ``centres`` (n, 2) holds (x, y) in image
    pixels; ``inside`` of the ``count`` anchors do not cross the image's border.
    """

    grid_size: tuple[int, int]
    centres: Float[np.ndarray, "cells 2"]
    count: int
    inside: int
    shown: CellAnchors


def draw_level_anchors(
    axes: Axes,
    image: UInt8[np.ndarray, "height width 3"],
    sizes: Sequence[float],
    ratios: Sequence[float],
    stride: int,
    cell: tuple[int, int],
    rounded: bool = False,
) -> LevelAnchors:
    """The centres of a level's anchors over an image, and the anchors of one cell.

    A cell that the image covers in part counts. Raises ValueError where ``cell``
    (row, column) is not on the level.
    """
    height, width = image.shape[:2]
    grid_size = (-(-height // stride), -(-width // stride))
    if not (0 <= cell[0] < grid_size[0] and 0 <= cell[1] < grid_size[1]):
        raise ValueError(f"cell {cell} is not on a level of {grid_size} cells")
    at_origin = cell_anchors(sizes, ratios, rounded)
    anchors = grid_anchors(at_origin, stride, grid_size)
    inside = np.all(anchors == clip_boxes(anchors, (height, width)), axis=1)
    told = LevelAnchors(
        grid_size,
        centres=np.array([centre(anchor) for anchor in anchors[:: len(at_origin)]]),
        count=len(anchors),
        inside=int(np.count_nonzero(inside)),
        shown=tell_cell(sizes, ratios, stride, cell, rounded),
    )
    axes.imshow(image, extent=(0, width, height, 0), alpha=0.7)
    draw_cells(axes, stride, (width, height))
    dots: dict[str, Any] = {
        "s": 14,
        "color": palette.ANCHOR,
        "edgecolors": "white",
        "lw": 0.6,
    }
    x, y = told.centres.T
    axes.scatter(x, y, zorder=3, gid="centres", clip_on=False, **dots)
    for k, anchor in enumerate(told.shown.anchors):
        line: dict[str, Any] = {"ls": LINES[k % len(ratios) % len(LINES)], "lw": 2}
        line |= {"path_effects": READABLE, "label": size_of(anchor), "zorder": 4}
        add_box(axes, anchor, "anchor", fc="none", ec=palette.ANCHOR, **line)
    x1, y1, x2, y2 = around(np.array([0, 0, width, height]), *told.shown.anchors)
    axes.set(xlim=(x1, x2), ylim=(y2, y1), xlabel="x, pixels", ylabel="y, pixels")
    axes.set_title(
        f"stride {stride}: {grid_size[0]} x {grid_size[1]} cells x {len(at_origin)}"
        f" anchors = {told.count}, of them {told.inside} within the image"
    )
    legend_below(axes)
    return told


def draw_cells(axes: Axes, stride: float, end: tuple[float, float]) -> None:
    """The borders of the cells from the image's upper left corner to ``end``, (x, y).

    They stand for whole strides of pixels, so the last ones may reach further.
    """
    columns, rows = (int(np.ceil(extent / stride)) for extent in end)
    lines = [[(j * stride, 0), (j * stride, rows * stride)] for j in range(columns + 1)]
    lines += [
        [(0, i * stride), (columns * stride, i * stride)] for i in range(rows + 1)
    ]
    grid = LineCollection(lines, colors=palette.CELL, lw=0.6, zorder=0.5, gid="cells")
    axes.add_collection(grid)
