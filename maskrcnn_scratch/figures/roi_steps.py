"""RoI layers side by side: what each does to a box, where it reads, what comes out.

Mask R-CNN, section 3, "RoIAlign". ``draw_layers`` shows a small map with its values;
``draw_strips`` follows one axis of a larger one, where numbers would not fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.misalignment import (
    SAMPLES,
    Misalignment,
    square,
    steps_of_layers,
)
from maskrcnn_scratch.reference.roi_align import roi_align
from maskrcnn_scratch.reference.roi_pool import roi_pool
from maskrcnn_scratch.reference.roi_steps import AxisSteps, RoiSteps, Span
from maskrcnn_scratch.reference.roi_warp import roi_warp

THREE = ("RoIPool round", "RoIWarp", "RoIAlign")
MOST_NUMBERED = 10  # cells a side: numbers of more would not be readable
FEW_BINS = 4  # a side
SMALL: dict[str, Any] = {
    "fontsize": 6,
    "bbox": {"facecolor": (1, 1, 1, 0.6), "edgecolor": "none", "pad": 0.2},
    "zorder": 5,
}


@dataclass(frozen=True)
class LayerRead:
    """One layer: its steps, and the value of each bin."""

    steps: RoiSteps
    out: Float[np.ndarray, "out_h out_w"]


def follow_layers(
    feature_map: Float[np.ndarray, "height width"],
    box: Float[np.ndarray, " 4"],
    output_size: tuple[int, int],
    stride: int,
    samples: int = SAMPLES,
) -> dict[str, LayerRead]:
    """A box xyxy, in image pixels, through each of the five layers, by its name.

    RoIPool takes the largest feature of a bin, the others the mean of its
    ``samples`` x ``samples`` points.
    """
    features = np.asarray(feature_map, np.float64)[None, None]
    rois = np.array([[0, *box]], np.float64)
    scale = 1 / stride
    both = output_size, scale
    outs = {
        "RoIPool floor": roi_pool(features, rois, *both, "floor")[0],
        "RoIPool round": roi_pool(features, rois, *both, "round")[0],
        "RoIWarp": roi_warp(features, rois, *both, samples),
        "RoIAlign": roi_align(features, rois, *both, samples),
        "RoIAlign legacy": roi_align(features, rois, *both, samples, aligned=False),
    }
    steps = steps_of_layers(rois[0, 1:], output_size, scale, samples)
    return {name: LayerRead(steps[name], out[0, 0]) for name, out in outs.items()}


def draw_layers(
    feature_map: Float[np.ndarray, "height width"],
    box: Float[np.ndarray, " 4"],
    output_size: tuple[int, int],
    stride: int,
    samples: int = SAMPLES,
    names: Sequence[str] = THREE,
) -> tuple[Figure, dict[str, LayerRead]]:
    """The map with the steps on it, and below the value of each bin, layer by layer."""
    told = follow_layers(feature_map, box, output_size, stride, samples)
    told = {name: told[name] for name in names}
    # Values of many bins need room.
    height, ratio = (5.0, 0.5) if max(output_size) <= FEW_BINS else (6.0, 0.8)
    figure = Figure(figsize=(max(8, 2.7 * len(told)), height), layout="constrained")
    axes = figure.subplots(2, len(told), height_ratios=[1, ratio], squeeze=False)
    for above, below, (name, read) in zip(*axes, told.items(), strict=True):
        draw_steps(above, feature_map, read.steps)
        x = read.steps.x
        above.set_title(f"{name}\n{change(x.roi.size, x.quantised.size)} cells wide")
        draw_out(below, read.out)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9
    )
    return figure, told


def change(before: float, after: float) -> str:
    """A number before and after a step; once where the step leaves it alone."""
    return " → ".join(dict.fromkeys([f"{before:.4g}", f"{after:.4g}"]))


def draw_steps(
    axes: Axes, feature_map: Float[np.ndarray, "height width"], steps: RoiSteps
) -> None:
    """Cells with their values, the RoI before and after, its bins, where they read.

    Points and bins that lie off the map are drawn as well.
    """
    height, width = feature_map.shape
    for row, column in np.ndindex(height, width):
        axes.add_patch(cell(row, column))
        if max(height, width) <= MOST_NUMBERED:
            value = f"{feature_map[row, column]:.3g}"
            place = (column + 0.06, row + 0.06)  # the middle is for points
            axes.text(*place, value, va="top", color="0.2", gid="value", **SMALL)
    label = "bin"
    for rows in steps.y.bins:
        for columns in steps.x.bins:
            axes.add_patch(square(columns, rows, "bin", label))
            label = ""
    axes.add_patch(square(steps.x.roi, steps.y.roi, "roi", "true RoI"))
    used = square(steps.x.quantised, steps.y.quantised, "quantised", "RoI used")
    axes.add_patch(used)
    x, y = np.meshgrid(places(steps.x), places(steps.y))
    style: dict[str, Any] = {"s": 9, "lw": 0, "zorder": 6, "gid": "point"}
    axes.scatter(x, y, color=palette.SAMPLE, label="point read", **style)
    left, right = reach(steps.x, width)
    top, bottom = reach(steps.y, height)
    axes.set(xlim=(left - 0.3, right + 0.3), ylim=(bottom + 0.3, top - 0.3))
    axes.set(aspect="equal", xticks=ticks(width), yticks=ticks(height))
    axes.tick_params(labelsize=8)


def reach(steps: AxisSteps, cells: int) -> Span:
    """From the first to the last of all that is drawn on an axis."""
    spans = [Span(0, cells), steps.roi, steps.quantised, *steps.bins]
    return Span(min(map(min, spans)), max(map(max, spans)))


def cell(row: int, column: int) -> Rectangle:
    """One cell of the map, in cells."""
    corner = (column, row)
    return Rectangle(corner, 1, 1, fill=False, ec=palette.CELL, lw=0.5, gid="cell")


def places(steps: AxisSteps) -> Float[np.ndarray, " places"]:
    """Where an axis is read, in cells: half a cell more than the index coordinate."""
    return np.unique([point + 0.5 for some in steps.points for point in some])


def ticks(cells: int) -> range:
    """Whole cells, so many that their numbers fit."""
    return range(0, cells + 1, 1 if cells <= MOST_NUMBERED else 5)


def draw_out(axes: Axes, out: Float[np.ndarray, "out_h out_w"]) -> None:
    """The grid of bins, with the value of each."""
    for (row, column), value in np.ndenumerate(out):
        bin_ = square(Span(column, column + 1), Span(row, row + 1), "bin")
        axes.add_patch(bin_)
        axes.text(
            *(column + 0.5, row + 0.5, f"{value:.3g}"),
            ha="center",
            va="center",
            fontsize=min(9, 45 / max(out.shape)),
            gid="out",
        )
    height, width = out.shape
    axes.set(xlim=(-0.05, width + 0.05), ylim=(height + 0.05, -0.05), aspect="equal")
    axes.set_axis_off()


def draw_strips(told: Misalignment, names: Sequence[str] = THREE) -> Figure:
    """Along one axis, layer by layer: the object, the RoI used, its bins, their cells.

    ``told`` is of ``misalignment.follow``. The titles tell the arithmetic; the shift is
    in image pixels.
    """
    figure = Figure(figsize=(8, 0.5 + 1.5 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), sharex=True, squeeze=False)[:, 0]
    for panel, name in zip(axes, names, strict=True):
        steps = told.layers[name]
        draw_strip(panel, steps, told.cells)
        panel.set_title(f"{name}: {arithmetic(steps)}", loc="left", fontsize=9)
    # The panels share an axis, which must hold the longest.
    spans = [reach(told.layers[name], told.cells) for name in names]
    axes[-1].set_xlim(min(map(min, spans)) - 0.3, max(map(max, spans)) + 0.3)
    axes[-1].set_xlabel(f"cells of {told.stride} image pixels")
    return figure


def arithmetic(steps: AxisSteps) -> str:
    """The quantisations in numbers, and how far the worst bin is off."""
    count = len(steps.bins)
    size = f"{steps.quantised.size:.4g} / {count} = "
    used = " or ".join(sorted({f"{span.size:.4g}" for span in steps.bins}))
    size += " → ".join(dict.fromkeys([f"{steps.bin_size:.4g}", used]))
    off = round(max(map(abs, steps.shift)) * steps.stride, 6)
    cells = change(steps.roi.size, steps.quantised.size)
    return f"{cells} cells; bins of {size}; off by at most {off:.4g} pixels"


def draw_strip(axes: Axes, steps: AxisSteps, cells: int) -> None:
    """Four lanes: the true RoI, the RoI used, and bins in turn, with what they read.

    Bins that share cells would hide each other in one lane. What no bin covers of the
    true RoI is hatched.
    """
    near, far = reach(steps, cells)
    for line in range(math.floor(near), math.ceil(far) + 1):
        axes.axvline(line, color=palette.CELL, lw=0.4, zorder=1)
    axes.add_patch(square(steps.roi, Span(0.1, 0.9), "roi"))
    axes.add_patch(square(steps.quantised, Span(1.1, 1.9), "quantised"))
    for k, (span, points) in enumerate(zip(steps.bins, steps.points, strict=True)):
        lane = 2 + k % 2
        axes.add_patch(square(span, Span(lane + 0.05, lane + 0.95), "bin"))
        x = np.array(points) + 0.5
        y = np.full(len(x), lane + 0.5)
        axes.scatter(x, y, s=14, color=palette.SAMPLE, lw=0, zorder=4, gid="point")
    if steps.bins[-1].end < steps.roi.end:
        draw_uncovered(axes, Span(steps.bins[-1].end, steps.roi.end), far)
    for end in steps.roi:
        axes.axvline(end, color=palette.ROI, lw=1, ls=":", zorder=2, gid="end")
    axes.set(xlim=(near - 0.3, far + 0.3), ylim=(4.1, -0.1))
    axes.set_yticks([0.5, 1.5, 3], ["true RoI", "RoI used", "bins, and\npoints read"])
    axes.set_xticks(ticks(cells))
    axes.tick_params(labelsize=8, left=False)


def draw_uncovered(axes: Axes, span: Span, far: float) -> None:
    """The rest of the RoI, in the lanes of the bins; named where the name fits."""
    rest = Rectangle(
        *((span.start, 2.05), span.size, 1.9),
        facecolor="none",
        edgecolor=palette.FAULT,
        hatch="////",
        lw=0,
        gid="in no bin",
    )
    axes.add_patch(rest)
    if span.size > 0.1 * far:
        white = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        style: dict[str, Any] = {"ha": "center", "va": "center", "bbox": white}
        axes.text(span.centre, 3, "in no bin", fontsize=8, **style)
