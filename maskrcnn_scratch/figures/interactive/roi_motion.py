"""A RoI that moves: RoIPool's output jumps, RoIAlign's glides.

Mask R-CNN, section 3, "RoIAlign". The features are those of a slope over a picture of
128 x 128 pixels, whatever the stride, so a coarser map makes larger jumps. On a slope
the value that belongs to a bin is that of its centre, which is what RoIAlign reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.interactive.explore import Choice, Slider, explore
from maskrcnn_scratch.figures.interactive.quick_map import (
    draw_cells,
    draw_region,
    frame,
    legend_handles,
)
from maskrcnn_scratch.figures.misalignment import SAMPLES, square
from maskrcnn_scratch.figures.roi_steps import (
    LayerRead,
    draw_out,
    follow_layers,
)
from maskrcnn_scratch.reference.roi_align import roi_align
from maskrcnn_scratch.reference.roi_pool import roi_pool, roi_pool_steps
from maskrcnn_scratch.reference.roi_steps import Span

IMAGE = 128  # pixels a side
FARTHEST = 64  # of x and y, in pixels
SMALLEST, LARGEST = 16, 64  # side of the RoI in pixels: it stays in the picture
RISE = 16  # pixels to the right, or down, by which the slope rises by 1
TOP = 2 * IMAGE / RISE


def slope(stride: int) -> Float[np.ndarray, "cells cells"]:
    """The features: x + y at the centre of each cell, in rises, less 1 to start at 0.

    At a stride of 16 pixels they are row + column.
    """
    centres = (np.arange(IMAGE // stride) + 0.5) * stride / RISE
    return centres[:, None] + centres - 1


@dataclass(frozen=True)
class Trace:
    """One bin's value while the RoI moves to the right, pixel by pixel.

    ``x`` is the RoI's left edge in image pixels. ``jumps`` are the x at which RoIPool's
    RoI, in whole cells, is another one than a pixel before.
    """

    x: Float[np.ndarray, " places"]
    pool: Float[np.ndarray, " places"]
    align: Float[np.ndarray, " places"]
    jumps: tuple[float, ...]


@dataclass(frozen=True)
class MovedRoi:
    """A square RoI ``box`` (xyxy, image pixels) through both layers.

    ``bin`` is (row, column) of the bin that ``trace`` follows.
    """

    box: Float[np.ndarray, " 4"]
    stride: int
    pool: LayerRead
    align: LayerRead
    bin: tuple[int, int]
    trace: Trace

    def sentence(self) -> str:
        """Where the RoI is, and what one bin reads."""
        roi, used = self.pool.steps.x.roi, self.pool.steps.x.quantised
        row, column = self.bin
        return (
            f"The RoI spans {roi.start:.4g} to {roi.end:.4g} cells along x. RoIPool"
            f" takes {used.start:g} to {used.end:g} and reads"
            f" {self.pool.out[self.bin]:.3g} in the bin of row {row}, column {column};"
            f" RoIAlign keeps the RoI and reads {self.align.out[self.bin]:.3g}."
        )


def follow_motion(
    x: int, y: int, size: int, stride: int, out_size: int, rounding: str
) -> MovedRoi:
    """The numbers of the figure; see ``draw_moved_roi``."""
    box = np.array([x, y, x + size, y + size], np.float64)
    layers = follow_layers(slope(stride), box, (out_size, out_size), stride)
    middle = (out_size // 2, out_size // 2)
    trace = follow_bin(y, size, stride, out_size, rounding)
    return MovedRoi(
        box, stride, layers[f"RoIPool {rounding}"], layers["RoIAlign"], middle, trace
    )


@lru_cache(maxsize=64)  # the trace stays while x moves
def follow_bin(y: int, size: int, stride: int, out_size: int, rounding: str) -> Trace:
    """The value of the middle bin for every x."""
    places = np.arange(FARTHEST + 1.0)
    boxes = np.array([[left, y, left + size, y + size] for left in places])
    rois = np.column_stack([np.zeros(len(boxes)), boxes])
    features = slope(stride)[None, None]
    output_size, scale, k = (out_size, out_size), 1 / stride, out_size // 2
    spans = [
        roi_pool_steps(box, output_size, scale, rounding).x.quantised for box in boxes
    ]
    changed = zip(places[1:], pairwise(spans), strict=True)
    return Trace(
        places,
        roi_pool(features, rois, output_size, scale, rounding)[0][:, 0, k, k],
        roi_align(features, rois, output_size, scale, SAMPLES)[:, 0, k, k],
        tuple(float(place) for place, (before, now) in changed if before != now),
    )


def draw_moved_roi(
    x: int, y: int, size: int, stride: int, out_size: int, rounding: str
) -> tuple[Figure, MovedRoi]:
    """Both layers on the map, their outputs, and one bin's value over x.

    ``x``, ``y`` is the upper left corner of a RoI of ``size`` x ``size`` image pixels;
    ``rounding`` is RoIPool's, "round" or "floor".
    """
    told = follow_motion(x, y, size, stride, out_size, rounding)
    figure = Figure(figsize=(8.4, 6.0))
    sides = {"RoIPool": told.pool, "RoIAlign": told.align}
    for left, (name, read) in zip((0.04, 0.535), sides.items(), strict=True):
        above = figure.add_axes((left, 0.47, 0.31, 0.45))
        draw_cells(above, slope(stride))
        draw_region(above, read.steps)
        frame(above, slope(stride), read.steps)
        above.set_title(f"{name}: x {ends(read)} cells", fontsize=10)
        beside = figure.add_axes((left + 0.32, 0.47, 0.135, 0.45))
        draw_out(beside, read.out)
        for text in beside.texts:
            text.set_fontsize(min(9, 28 / out_size))
        draw_followed(above, beside, read, told.bin)
    below = figure.add_axes((0.07, 0.09, 0.9, 0.27))
    lines = draw_trace(below, told)
    legend: dict[str, Any] = {"ncols": 6, "frameon": False, "fontsize": 9}
    handles = [*legend_handles(figure.axes[0]), *lines]
    figure.legend(handles=handles, loc="center", bbox_to_anchor=(0.5, 0.4), **legend)
    return figure, told


def ends(read: LayerRead) -> str:
    """The RoI along x before and after its quantisation, once if there is none."""
    spans = (read.steps.x.roi, read.steps.x.quantised)
    words = [f"{span.start:.4g} to {span.end:.4g}" for span in spans]
    return " \N{RIGHTWARDS ARROW} ".join(dict.fromkeys(words))


def draw_followed(
    above: Axes, beside: Axes, read: LayerRead, followed: tuple[int, int]
) -> None:
    """The bin of the trace, outlined on the map and in the output."""
    row, column = followed
    on_map = square(read.steps.x.bins[column], read.steps.y.bins[row], "bin")
    in_out = square(Span(column, column + 1), Span(row, row + 1), "bin")
    for axes, patch in ((above, on_map), (beside, in_out)):
        patch.set(fill=False, edgecolor="black", lw=2, zorder=7, gid="followed")
        axes.add_patch(patch)


def draw_trace(axes: Axes, told: MovedRoi) -> list[Line2D]:
    """The outlined bin's value over x, with the RoI's place and RoIPool's borders.

    Returns the two lines.
    """
    trace = told.trace
    for place in trace.jumps:
        axes.axvline(place, color=palette.CELL, lw=0.8, ls=":", gid="jump")
    pool: dict[str, Any] = {"drawstyle": "steps-post", "color": palette.QUANTISED}
    lines = axes.plot(trace.x, trace.pool, lw=2, label="RoIPool", gid="pool", **pool)
    align: dict[str, Any] = {"color": palette.SAMPLE, "label": "RoIAlign"}
    lines += axes.plot(trace.x, trace.align, lw=2, gid="align", **align)
    now = float(told.box[0])
    axes.axvline(now, color="black", lw=1, gid="now")
    for read, color in ((told.pool, palette.QUANTISED), (told.align, palette.SAMPLE)):
        style: dict[str, Any] = {"ms": 8, "mec": "black", "mfc": color}
        axes.plot([now], [read.out[told.bin]], "o", clip_on=False, gid="value", **style)
    axes.set(xlim=(0, FARTHEST), ylim=(0, TOP), ylabel="outlined bin")
    axes.set_xlabel(
        "x, left edge of the RoI in image pixels (dotted: RoIPool rounds on)"
    )
    axes.set_xticks(range(0, FARTHEST + 1, 8))
    return lines


def move_roi(
    x: int = 20,
    y: int = 28,
    size: int = 56,
    stride: int = 16,
    out_size: int = 3,
    rounding: str = "round",
) -> MovedRoi:
    """Move a RoI over a small map; returns the numbers at the start."""
    return explore(
        draw_moved_roi,
        x=Slider("x, pixels", x, 0, FARTHEST),
        y=Slider("y, pixels", y, 0, FARTHEST),
        size=Slider("side, pixels", size, SMALLEST, LARGEST),
        stride=Choice("stride, pixels", stride, {"16": 16, "32": 32}),
        out_size=Slider("bins a side", out_size, 1, 4),
        rounding=Choice(
            "RoIPool rounds by", rounding, {"round": "round", "floor": "floor"}
        ),
    )
