"""Pictures of the misalignment study (Mask R-CNN, section 3), from its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from maskrcnn_scratch.figures import palette

STYLES: dict[str, dict[str, Any]] = {
    "RoIPool floor": {"color": palette.FAULT, "marker": "v"},
    "RoIPool round": {"color": palette.QUANTISED, "marker": "^"},
    "RoIWarp": {"color": palette.BIN, "marker": "s"},
    "RoIAlign": {"color": palette.SAMPLE, "marker": "o", "lw": 3},
    "RoIAlign legacy": {"color": palette.ROI, "marker": "x", "ls": ":"},
}
"""How each layer is drawn; two of them often coincide, so one is wide, one dotted."""

Numbers = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Errors:
    """How far bins are from their places, in image pixels, by layer and stride."""

    bins: int
    strides: tuple[int, ...]
    mean: dict[str, Numbers]
    worst: dict[str, Numbers]
    bound: dict[str, Numbers]


@dataclass(frozen=True)
class Steps:
    """By layer, at each of ``moves`` pixels: the features' shift, and the blob's."""

    stride: int
    moves: Numbers
    features: dict[str, Numbers]
    seen: dict[str, Numbers]


@dataclass(frozen=True)
class Lost:
    """IoU lost by layer, for objects of ``cells`` a side: in all, and what varies."""

    cells: Numbers
    total: dict[str, Numbers]
    varying: dict[str, Numbers]


def draw_errors(told: Errors) -> Figure:
    """A panel for each layer: mean, worst and bound against the stride."""
    figure = Figure(figsize=(8, 5.6), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey=True).ravel()
    for axes, name in zip(panels, told.mean, strict=False):
        draw_layer_errors(axes, told, name)
    handles, labels = panels[0].get_legend_handles_labels()
    panels[-1].set_axis_off()
    title = f"{told.bins} x {told.bins} bins"
    panels[-1].legend(handles, labels, loc="center", frameon=False, title=title)
    panels[2].tick_params(labelbottom=True)  # nothing is drawn below it
    figure.supxlabel("stride, image pixels", size=10)
    figure.supylabel("distance of a bin from its place, image pixels", size=10)
    return figure


def draw_layer_errors(axes: Axes, told: Errors, name: str) -> None:
    """Logarithmic on both axes; a layer that is never off has its name alone."""
    axes.set(xscale="log", yscale="log", title=name)
    axes.set_xticks(told.strides, map(str, told.strides))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.grid(alpha=0.3)
    if max(told.bound[name]) == 0:
        axes.text(0.5, 0.5, "0 at every stride", ha="center", transform=axes.transAxes)
        return
    rows = (
        (told.bound, "bound", {"color": "black", "ls": ":"}),
        (told.worst, "largest found", {"color": palette.FAULT, "marker": "^", "ms": 5}),
        (told.mean, "mean", {"color": palette.ROI, "marker": "o", "ms": 5}),
    )
    for values, label, style in rows:
        axes.plot(told.strides, values[name], label=label, gid=label, **style)


def draw_steps(told: Steps) -> Figure:
    """Above the features' shift against the RoI's; below where a blob is seen."""
    figure = Figure(figsize=(8, 7.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for name in told.features:
        style: dict[str, Any] = {"ms": 4, "lw": 1.2, "label": name, **STYLES[name]}
        above.plot(told.moves, told.features[name], gid=name, **style)
        below.plot(told.moves, told.seen[name], gid=name, **style)
    above.set_title("the RoI moves over a ramp", size=10)
    above.set_ylabel("shift of its features, pixels")
    below.set_title("a blob moves with its RoI", size=10)
    below.set_ylabel("seen from the RoI's middle, pixels")
    below.set_xlabel(f"moved by, image pixels (stride {told.stride})")
    for axes in (above, below):
        axes.set_xticks(np.arange(0, told.moves[-1] + 1, told.stride // 2))
        axes.grid(alpha=0.3)
    handles, labels = above.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_lost(told: Lost) -> Figure:
    """IoU lost against the object's size in cells, in all and by what varies."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    both = figure.subplots(1, 2, sharey=True)
    titles = "by the whole shift", "by what differs from RoI to RoI"
    for axes, title, lost in zip(both, titles, (told.total, told.varying), strict=True):
        for name, values in lost.items():
            style: dict[str, Any] = {"ms": 5, "lw": 1.2, **STYLES[name]}
            axes.plot(told.cells, values, label=name, gid=name, **style)
        axes.set_xscale("log", base=2)
        axes.set_xticks(told.cells, [fraction(size) for size in told.cells], size=8)
        axes.set(title=title, xlabel="object's side / stride, cells")
        axes.grid(alpha=0.3)
    both[0].set_ylabel("IoU lost")
    handles, labels = both[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def fraction(size: float) -> str:
    """``1/4`` for less than a cell, else the number."""
    return f"1/{1 / size:g}" if size < 1 else f"{size:g}"
