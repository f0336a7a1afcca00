"""Where RoIPool, RoIWarp and RoIAlign read, and how far that is from the object.

Mask R-CNN, section 3, "RoIAlign": quantising "introduces misalignments between the RoI
and the extracted features". One square object in a square image is followed through
each layer; rows and columns do the same, so one axis tells all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.reference.roi_align import roi_align_steps
from maskrcnn_scratch.reference.roi_pool import roi_pool_steps
from maskrcnn_scratch.reference.roi_steps import AxisSteps, RoiSteps, Span
from maskrcnn_scratch.reference.roi_warp import roi_warp_steps

SAMPLES = 2  # a side of a bin: the four points of the paper


@dataclass(frozen=True)
class Misalignment:
    """One object, and every layer's steps on one axis, by the layer's name.

    ``cells`` is the side of the feature map; ``roi`` is the object in cells.
    """

    stride: int
    cells: int
    roi: Span
    layers: dict[str, AxisSteps]


def follow(
    image: int = 800,
    object_side: float = 665.0,
    stride: int = 32,
    out_size: int = 7,
    start: float = 0.0,
) -> Misalignment:
    """Follow an object ``object_side`` pixels wide that starts at x = y = ``start``.

    Raises ValueError where a size is not positive or the object leaves the image.
    """
    for name, value in (
        ("image", image),
        ("object", object_side),
        ("stride", stride),
        ("out-size", out_size),
    ):
        if not value > 0:
            raise ValueError(f"{name} is {value}; it must be more than 0")
    if not 0 <= start <= image - object_side:
        raise ValueError(
            f"an object of {object_side:g} pixels that starts at {start:g} leaves "
            f"the image of {image} pixels"
        )
    end = start + object_side
    box = np.array([start, start, end, end], np.float64)
    size, scale = (out_size, out_size), 1 / stride
    steps = steps_of_layers(box, size, scale)
    return Misalignment(
        stride,
        math.ceil(image / stride),
        Span(start / stride, end / stride),
        {name: both.x for name, both in steps.items()},
    )


def steps_of_layers(
    box: Float[np.ndarray, " 4"],
    size: tuple[int, int],
    scale: float,
    samples: int = SAMPLES,
) -> dict[str, RoiSteps]:
    """The steps of a box xyxy, in image pixels, through each layer, by its name."""
    return {
        "RoIPool floor": roi_pool_steps(box, size, scale, "floor"),
        "RoIPool round": roi_pool_steps(box, size, scale, "round"),
        "RoIWarp": roi_warp_steps(box, size, scale, samples),
        "RoIAlign": roi_align_steps(box, size, scale, samples),
        "RoIAlign legacy": roi_align_steps(box, size, scale, samples, aligned=False),
    }


def draw_misalignment(told: Misalignment) -> Figure:
    """A panel for each layer, then the shift of every bin in image pixels."""
    figure = Figure(figsize=(12.5, 8.8), layout="constrained")
    axes = figure.subplots(2, 3).flatten()
    for panel, (name, steps) in zip(axes, told.layers.items(), strict=False):
        draw_layer(panel, told.cells, steps)
        off = max(map(abs, steps.shift)) * told.stride
        panel.set_title(f"{name}: off by at most {off:.4g} pixels")
    draw_shifts(axes[-1], told)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def draw_layer(axes: Axes, cells: int, steps: AxisSteps) -> None:
    """The feature grid, the RoI before and after, its bins and what they read."""
    for line in range(cells + 1):
        axes.plot([0, cells], [line, line], color=palette.CELL, lw=0.4, zorder=1)
        axes.plot([line, line], [0, cells], color=palette.CELL, lw=0.4, zorder=1)
    label = "bin (darker: bins overlap)"
    for rows in steps.bins:
        for columns in steps.bins:
            axes.add_patch(square(columns, rows, "bin", label))
            label = ""
    axes.add_patch(square(steps.roi, steps.roi, "roi", "true RoI"))
    quantised = "RoI that the layer uses"
    axes.add_patch(square(steps.quantised, steps.quantised, "quantised", quantised))
    # A point's index coordinate is half a cell less than its place on the map.
    places = np.unique([c + 0.5 for points in steps.points for c in points])
    x, y = np.meshgrid(places, places)
    axes.scatter(
        x, y, s=7, color=palette.SAMPLE, lw=0, zorder=4, label="where it reads"
    )
    far = max(cells, steps.quantised.end, steps.bins[-1].end)
    axes.set(xlim=(-0.5, far + 0.5), ylim=(far + 0.5, -0.5), aspect="equal")
    axes.set(xlabel="cells", ylabel="cells")


def square(columns: Span, rows: Span, kind: str, label: str = "") -> Rectangle:
    """The region of some columns and rows, drawn as its kind is."""
    corner = (columns.start, rows.start)
    if kind == "bin":
        return Rectangle(
            *(corner, columns.size, rows.size),
            facecolor=(palette.BIN, 0.25),
            edgecolor=(palette.BIN, 0.9),
            lw=0.8,
            zorder=2,
            gid=kind,
            label=label,
        )
    color = palette.ROI if kind == "roi" else palette.QUANTISED
    return Rectangle(
        *(corner, columns.size, rows.size),
        fill=False,
        edgecolor=color,
        lw=2,
        ls="-" if kind == "roi" else (0, (4, 3)),
        zorder=3,
        gid=kind,
        label=label,
    )


def draw_shifts(axes: Axes, told: Misalignment) -> None:
    """How far from its place each bin reads, one line a layer, in image pixels."""
    marks = ("v", "^", "s", "o", "x")  # no colours: these mean things on the map
    for mark, (name, steps) in zip(marks, told.layers.items(), strict=True):
        shifts = np.array(steps.shift) * told.stride
        axes.plot(shifts, marker=mark, ms=6, color="0.3", lw=0.8, label=name)
    axes.axhline(0, color="black", lw=0.6, zorder=0)
    axes.set(title="Shift of each bin", xlabel="bin", ylabel="image pixels")
    # Below, for there is no corner that the lines never cross.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=8)
