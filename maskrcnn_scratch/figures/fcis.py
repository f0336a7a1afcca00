"""Masks of two objects that overlap, and the position-sensitive maps of FCIS's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import Box
from maskrcnn_scratch.figures.class_masks import draw_crop

PANEL = 1.5  # inches
MAPS = "PuOr_r"  # low to high, white in the middle


@dataclass(frozen=True)
class Pair:
    """Two objects in an image, in the bins of their boxes.

    ``found`` are masks by the name of the branch; ``assembled`` the inside and outside
    scores of each object, ``maps`` those of every part, over the image.
    """

    image: UInt8[np.ndarray, "height width 3"]
    boxes: Float[np.ndarray, "2 4"]
    true: Bool[np.ndarray, "2 m m"]
    found: Mapping[str, Bool[np.ndarray, "2 m m"]]
    assembled: Float[np.ndarray, "2 2 m m"]
    maps: Float[np.ndarray, "2 parts parts map_height map_width"]


def draw_pair(pair: Pair) -> tuple[Figure, dict[str, list[int]]]:
    """A row an object, then the maps; also how many bins each branch gets wrong."""
    columns = 4 + len(pair.found)
    size = (PANEL * columns, PANEL * 4.7)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(2.2, 2.5))
    upper = figure.add_subfigure(grid[0, :])
    panels = upper.subplots(2, columns)
    limit = float(np.quantile(np.abs(pair.assembled), 0.9)) or 1.0
    for row, box in enumerate(pair.boxes):
        draw_crop(panels[row, 0], pair.image, box)
        draw_mask(panels[row, 1], pair.true[row], pair.true[row])
        for axes, found in zip(panels[row, 2:], pair.found.values(), strict=False):
            draw_mask(axes, found[row], pair.true[row])
        for axes, scores in zip(panels[row, -2:], pair.assembled[row], strict=True):
            axes.imshow(scores, cmap=MAPS, vmin=-limit, vmax=limit)
            draw_borders(axes, scores.shape[-1], pair.maps.shape[1])
        draw_borders(panels[row, 3], pair.true.shape[-1], pair.maps.shape[1])
    names = (f"{name}\n(wrong: pink)" for name in pair.found)
    titles = ("the box", "true", *names, "FCIS: inside", "FCIS: outside")
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title, fontsize=9)
    for column, kind in enumerate(("inside", "outside")):
        block = figure.add_subfigure(grid[1, column])
        block.suptitle(f"the maps of {kind}, one a part, at the upper box", fontsize=9)
        draw_maps(block, pair.maps[column], pair.boxes[0], limit, pair.image.shape[1])
    return figure, {
        name: (found != pair.true).sum((1, 2)).tolist()
        for name, found in pair.found.items()
    }


def draw_mask(
    axes: Axes, found: Bool[np.ndarray, "m m"], true: Bool[np.ndarray, "m m"]
) -> None:
    """Bins of the object, and those answered wrongly: pale where it was missed."""
    colors = np.ones((*found.shape, 3))
    colors[found & true] = to_rgb(palette.OBJECT)
    colors[found & ~true] = to_rgb(palette.FAULT)
    colors[~found & true] = 0.5 + 0.5 * np.array(to_rgb(palette.FAULT))
    axes.imshow(colors)
    axes.set(xticks=[], yticks=[])


def draw_borders(axes: Axes, size: int, parts: int) -> None:
    """Lines between parts, through the borders of bins."""
    part = np.arange(size) * parts // size
    for bin in np.flatnonzero(part[1:] != part[:-1]):
        axes.axvline(bin + 0.5, color="black", lw=0.8)
        axes.axhline(bin + 0.5, color="black", lw=0.8)
    axes.set(xticks=[], yticks=[])


def draw_maps(
    figure: SubFigure,
    maps: Float[np.ndarray, "parts parts h w"],
    box: Box,
    limit: float,
    width: int,
) -> None:
    """Every part's map around the box, with that part of the box framed."""
    parts = len(maps)
    panels = figure.subplots(parts, parts)
    x1, y1, x2, y2 = (float(edge) for edge in box)
    step_x, step_y = (x2 - x1) / parts, (y2 - y1) / parts
    extent = (0, width, width, 0)
    for row, column in np.ndindex(parts, parts):
        axes = panels[row, column]
        axes.imshow(
            maps[row, column], cmap=MAPS, vmin=-limit, vmax=limit, extent=extent
        )
        left, top = x1 + column * step_x, y1 + row * step_y
        frame = Rectangle((left, top), step_x, step_y, fc="none", ec="black")
        frame.set_path_effects([withStroke(linewidth=3, foreground="white")])
        axes.add_patch(frame)
        axes.set(xlim=(x1 - 4, x2 + 4), ylim=(y2 + 4, y1 - 4), xticks=[], yticks=[])
