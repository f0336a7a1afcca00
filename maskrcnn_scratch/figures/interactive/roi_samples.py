"""Where RoIAlign reads, and how one of its points is mixed from the cells around it.

Mask R-CNN, section 3, "RoIAlign". The map has 5 x 5 cells, 0 to 24 in reading order,
and a stride of 1, so pixels are cells. It is the example of detectron2's tests: a RoI
from 1 to 3, 4 x 4 bins of one point each, gives 4.5 to 13.5, and 7.5 to 16.5 legacy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.bilinear import BilinearRead, draw_read, follow_read
from maskrcnn_scratch.figures.interactive.explore import Choice, Slider, explore
from maskrcnn_scratch.figures.interactive.quick_map import (
    draw_cells,
    draw_region,
    frame,
    legend_handles,
)
from maskrcnn_scratch.figures.roi_steps import LayerRead, draw_out
from maskrcnn_scratch.reference.roi_align import roi_align, roi_align_steps

SIDE = 5  # of the map, in cells


def numbered_cells() -> Float[np.ndarray, "5 5"]:
    """0 to 24, in reading order: 5 row + column."""
    return np.arange(float(SIDE * SIDE)).reshape(SIDE, SIDE)


@dataclass(frozen=True)
class RoiSamples:
    """All points of a RoI, and the chosen one.

    ``read`` are the steps and the value of each bin. ``point`` is (row, column) of the
    chosen point in the grid of all ``grid`` (rows, columns) points, ``bin`` (row,
    column) of the bin that it belongs to, ``chosen`` how it is read.
    """

    read: LayerRead
    grid: tuple[int, int]
    point: tuple[int, int]
    bin: tuple[int, int]
    chosen: BilinearRead

    def sentence(self) -> str:
        """How many points, and the value of the chosen one."""
        rows, columns = self.grid
        number = self.point[0] * columns + self.point[1]
        return (
            f"RoIAlign reads {rows} x {columns} points. Point {number}, in the bin of"
            f" row {self.bin[0]}, column {self.bin[1]}, lies at index y ="
            f" {self.chosen.y:.4g}, x = {self.chosen.x:.4g} and mixes"
            f" {len(self.chosen.weights)} cells to {self.chosen.value:.4g}; the bin's"
            f" mean is {self.read.out[self.bin]:.4g}."
        )


def follow_samples(
    x: float,
    y: float,
    size: float,
    out_size: int,
    samples: int,
    aligned: bool,
    point: int,
) -> RoiSamples:
    """The numbers of the figure; see ``draw_roi_samples``."""
    box = np.array([x, y, x + size, y + size], np.float64)
    features, rule = numbered_cells(), ((out_size, out_size), 1.0, samples, aligned)
    steps = roi_align_steps(box, *rule)
    out = roi_align(features[None, None], np.array([[0, *box]]), *rule)
    of_bin = len(steps.x.points[0])  # points a side
    a_side = out_size * of_bin
    row, column = divmod(point % a_side**2, a_side)
    index_y = steps.y.points[row // of_bin][row % of_bin]
    index_x = steps.x.points[column // of_bin][column % of_bin]
    return RoiSamples(
        LayerRead(steps, out[0, 0]),
        (a_side, a_side),
        (row, column),
        (row // of_bin, column // of_bin),
        follow_read(features, index_y, index_x),
    )


def draw_roi_samples(
    x: float,
    y: float,
    size: float,
    out_size: int,
    samples: int,
    aligned: bool,
    point: int,
) -> tuple[Figure, RoiSamples]:
    """The points on the map, the chosen one's weights as areas, and the output.

    ``x``, ``y`` is the upper left corner of a RoI of ``size`` x ``size`` cells;
    ``samples`` a side of a bin, 0 for the adaptive rule. ``point`` counts the points
    in reading order over the whole RoI, and from the first again after the last.
    """
    told = follow_samples(x, y, size, out_size, samples, aligned, point)
    figure = Figure(figsize=(9.2, 5.7))
    draw_points(figure.add_axes((0.03, 0.4, 0.38, 0.55)), told)
    below = figure.add_axes((0.03, 0.02, 0.38, 0.25))
    draw_out(below, told.read.out)
    below.set_title("mean of each bin", fontsize=10)
    beside = figure.add_axes((0.48, 0.22, 0.51, 0.73))
    draw_read(beside, numbered_cells(), told.chosen.y, told.chosen.x)
    beside.set_title("the ringed point: its weights are areas", fontsize=10)
    return figure, told


def draw_points(axes: Axes, told: RoiSamples) -> None:
    """The RoI, its bins and all points on the map, with a ring around the chosen."""
    draw_cells(axes, numbered_cells())
    draw_region(axes, told.read.steps)
    frame(axes, numbered_cells(), told.read.steps)
    place = (told.chosen.x + 0.5, told.chosen.y + 0.5)
    mark: dict[str, Any] = {"ms": 9, "mfc": "none", "mec": "black", "mew": 2}
    axes.plot(*place, "o", zorder=7, gid="chosen", **mark)
    axes.set_title("in cells: the middle of cell 0 is 0.5", fontsize=10)
    legend: dict[str, Any] = {"ncols": 4, "frameon": False, "fontsize": 8}
    legend |= {"loc": "upper center", "bbox_to_anchor": (0.5, -0.06)}
    axes.legend(handles=legend_handles(axes), columnspacing=1, **legend)


def place_samples(
    x: float = 1.0,
    y: float = 1.0,
    size: float = 2.0,
    out_size: int = 2,
    samples: int = 2,
    aligned: bool = True,
    point: int = 5,
) -> RoiSamples:
    """Vary RoIAlign's points on a small map; returns the numbers at the start."""
    rule = {"aligned": True, "legacy: half a cell off": False}
    return explore(
        draw_roi_samples,
        x=Slider("x, cells", x, 0.0, 3.0, 0.125),
        y=Slider("y, cells", y, 0.0, 3.0, 0.125),
        size=Slider("side, cells", size, 0.25, 5.0, 0.125),
        out_size=Slider("bins a side", out_size, 1, 4),
        samples=Slider("samples a side, 0: adaptive", samples, 0, 3),
        aligned=Choice("half pixel", aligned, rule),
        point=Slider("ringed point", point, 0, 143),
    )
