"""An ablation in miniature, run by run, beside what the paper measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn_scratch.figures import palette


@dataclass(frozen=True)
class DrawnAblation:
    """Mean mask IoU of each arm over its runs, and the paper's mask AP, by arm."""

    means: dict[str, float]
    paper: dict[str, float]


def draw_ablation(
    measured: Mapping[str, Sequence[float]], paper: Mapping[str, float], table: str
) -> tuple[Figure, DrawnAblation]:
    """At the left a dot a run, joined by seed, and their mean; at the right AP.

    ``measured`` are mask IoUs by arm and seed, ``paper`` mask APs by arm, from
    ``table``. Raises ValueError where the arms are not the same.
    """
    names = list(measured)
    if names != list(paper) or not names:
        raise ValueError(f"arms measured are {names}, those of the paper {list(paper)}")
    told = DrawnAblation(
        {name: float(np.mean(measured[name])) for name in names}, dict(paper)
    )
    height = 1.7 + 0.45 * len(names)
    figure = Figure(figsize=(8, height), layout="constrained")
    ours, theirs = figure.subplots(1, 2, sharey=True)
    draw_runs(ours, measured, told.means)
    draw_paper(theirs, told.paper, table)
    ours.set_yticks(range(len(names)), names)
    ours.set_ylim(len(names) - 0.5, -0.5)
    return figure, told


def draw_runs(
    axes: Axes, measured: Mapping[str, Sequence[float]], means: Mapping[str, float]
) -> None:
    """A line a seed from arm to arm: where all lean the same way, it is no chance."""
    rows = np.arange(len(measured))
    for values in zip(*measured.values(), strict=True):
        axes.plot(values, rows, "-o", color=palette.CELL, lw=0.8, ms=4, zorder=1)
    axes.plot(
        list(means.values()), rows, "|", color=palette.ROI, ms=22, mew=3, zorder=2
    )
    for row, mean in zip(rows, means.values(), strict=True):
        axes.annotate(
            f"{mean:.3f}",
            (mean, row),
            xytext=(0, 12),
            textcoords="offset points",
            ha="center",
            color=palette.ROI,
            size=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    axes.set_title("measured here: a dot a seed, | their mean", size=10)
    axes.set_xlabel("mask IoU")
    axes.margins(x=0.15)
    axes.grid(axis="x", alpha=0.3)


def draw_paper(axes: Axes, paper: Mapping[str, float], table: str) -> None:
    """Bars from 0, each with its number."""
    bars = axes.barh(range(len(paper)), list(paper.values()), 0.5, color=palette.OBJECT)
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set_title(f"paper: {table}", size=10)
    axes.set_xlabel("mask AP on COCO minival")
    axes.margins(x=0.15)
    axes.tick_params(axis="y", length=0)
