"""A map with a RoI on it, drawn with few artists: a slider must not wait for it.

A text and a patch for each of 64 cells would take longer than all the rest.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.misalignment import square
from maskrcnn_scratch.figures.roi_steps import places, reach
from maskrcnn_scratch.reference.roi_steps import AxisSteps, RoiSteps, Span

CORNER = 0.06  # of a cell, from its corner to its value
HEIGHT = 0.04  # of values, as a part of the map's longer side


def draw_cells(axes: Axes, feature_map: Float[np.ndarray, "height width"]) -> None:
    """The borders of the cells, and the value of each in its upper left corner."""
    height, width = feature_map.shape
    lines = [[(j, 0), (j, height)] for j in range(width + 1)]
    lines += [[(0, i), (width, i)] for i in range(height + 1)]
    axes.add_collection(LineCollection(lines, colors=palette.CELL, lw=0.5, gid="cells"))
    path = values_path(tuple(map(tuple, feature_map.tolist())))
    # Not add_patch, which would look at every curve to find the axes' limits.
    axes.add_artist(PathPatch(path, fc="0.2", lw=0, zorder=5, gid="values"))


@lru_cache(maxsize=16)  # the map stays while a RoI moves
def values_path(feature_map: tuple[tuple[float, ...], ...]) -> Path:
    """All values, as one outline."""
    height = HEIGHT * max(len(feature_map), len(feature_map[0]))
    words = [
        placed(f"{value:.3g}", row, column, height)
        for row, values in enumerate(feature_map)
        for column, value in enumerate(values)
    ]
    return Path.make_compound_path(*words)


def placed(word: str, row: int, column: int, height: float) -> Path:
    """A value's outline in its cell; upside down, as rows count downwards."""
    outline = TextPath((0, 0), word, size=height)
    corner = (column + CORNER, row + CORNER + 0.75 * height)  # 3/4 is above the line
    return Path(outline.vertices * (1, -1) + corner, outline.codes)


def draw_region(axes: Axes, steps: RoiSteps) -> None:
    """The RoI before and after, its bins, and where they read."""
    bins = [square(x, y, "bin") for y in steps.y.bins for x in steps.x.bins]
    axes.add_collection(PatchCollection(bins, match_original=True, gid="bins"))
    axes.add_patch(square(steps.x.roi, steps.y.roi, "roi", "true RoI"))
    used = square(steps.x.quantised, steps.y.quantised, "quantised", "RoI used")
    axes.add_patch(used)
    x, y = np.meshgrid(places(steps.x), places(steps.y))
    dots: dict[str, Any] = {"ls": "", "ms": 3, "color": palette.SAMPLE, "zorder": 6}
    axes.plot(x.ravel(), y.ravel(), "o", gid="points", label="point read", **dots)


def frame(
    axes: Axes, feature_map: Float[np.ndarray, "height width"], steps: RoiSteps
) -> None:
    """The whole map, all bins and points, in cells, with few numbers along them."""
    height, width = feature_map.shape
    left, right = reached(steps.x, width)
    top, bottom = reached(steps.y, height)
    axes.set(xlim=(left - 0.3, right + 0.3), ylim=(bottom + 0.3, top - 0.3))
    axes.set(xticks=range(0, width + 1, 2), yticks=range(0, height + 1, 2))
    axes.set_aspect("equal")
    axes.tick_params(labelsize=8)


def reached(steps: AxisSteps, cells: int) -> tuple[float, float]:
    """The first and the last place on an axis, points included."""
    along = [*reach(steps, cells), *places(steps)]
    return float(min(along)), float(max(along))


def legend_handles(axes: Axes) -> list[Any]:
    """What stands for a bin, which is drawn without a name, and for all named parts."""
    example = square(Span(0, 1), Span(0, 1), "bin", "bin")
    return [example, *axes.get_legend_handles_labels()[0]]
