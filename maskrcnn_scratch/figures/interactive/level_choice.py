"""The level of the pyramid that a RoI of any size is read from, and its cells there.

Feature Pyramid Networks (Lin et al., 2017), equation 1:
k = floor(k0 + log2(sqrt(w h) / 224)), no less than 2, no more than 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.fpn_levels import (
    LARGEST,
    ROUNDINGS,
    SMALLEST,
    TIMES,
    LevelRule,
    draw_rule,
    follow_rule,
)
from maskrcnn_scratch.figures.interactive.explore import Slider, explore
from maskrcnn_scratch.reference.fpn_levels import Rounding, fpn_level

CANONICAL = 224.0
SHORTEST, LONGEST = 28, 800  # pixels, of a side of the RoI


@dataclass(frozen=True)
class ChosenLevel:
    """A RoI of ``width`` x ``height`` image pixels.

    ``exact`` is k before rounding and before the limits 2 and 5; ``levels`` the level
    by each rounding, ``cells`` (w, h) the RoI in cells of it, ``rules`` all levels.
    """

    width: float
    height: float
    exact: float
    levels: dict[Rounding, int]
    cells: dict[Rounding, tuple[float, float]]
    rules: dict[Rounding, LevelRule]

    @property
    def side(self) -> float:
        """sqrt(w h), in image pixels: all that the level depends on."""
        return math.sqrt(self.width * self.height)

    def sentence(self) -> str:
        """The level by both roundings, and the size there."""
        floor, rounded = (self.levels[rounding] for rounding in ROUNDINGS)
        wide, high = self.cells["floor"]
        return (
            f"A RoI of {self.width:g} x {self.height:g} pixels has a side of"
            f" {self.side:.4g} and k = {self.exact:.4g} before rounding: floor reads it"
            f" from P{floor}, where it has {wide:.4g} x {high:.4g} cells; round from"
            f" P{rounded}."
        )


def follow_size(width: float, height: float, k0: int) -> ChosenLevel:
    """The numbers of the figure; see ``draw_chosen_level``."""
    box = np.array([0, 0, width, height], np.float64)
    levels = {
        rounding: fpn_level(box, k0, CANONICAL, rounding=rounding)
        for rounding in ROUNDINGS
    }
    return ChosenLevel(
        width,
        height,
        k0 + math.log2(math.sqrt(width * height) / CANONICAL),
        levels,
        {name: (width / 2**k, height / 2**k) for name, k in levels.items()},
        {rounding: follow_rule(rounding, k0) for rounding in ROUNDINGS},
    )


def draw_chosen_level(
    width: float, height: float, k0: int
) -> tuple[Figure, ChosenLevel]:
    """The rule with the RoI on it, and the RoI in cells by floor and by round.

    ``width`` and ``height`` are in image pixels; ``k0`` is the level of 224 x 224.
    """
    told = follow_size(width, height, k0)
    figure = Figure(figsize=(8.4, 5.6))
    draw_place(figure.add_axes((0.07, 0.62, 0.91, 0.35)), told)
    for left, rounding in zip((0.07, 0.55), ROUNDINGS, strict=True):
        draw_grid(figure.add_axes((left, 0.06, 0.42, 0.38)), told, rounding)
    return figure, told


def draw_place(axes: Axes, told: ChosenLevel) -> None:
    """Level against side, for both roundings, and where the RoI is."""
    draw_rule(axes, told.rules["floor"], "floor", lw=5, color=palette.PIXEL)
    draw_rule(axes, told.rules["round"], "round", lw=1.5, color="black", ls="--")
    style: dict[str, Any] = {"mec": palette.ROI, "ms": 9, "mew": 2, "ls": ""}
    for rounding in reversed(ROUNDINGS):  # where both agree, floor is seen
        fill = palette.ROI if rounding == "floor" else "white"
        level = told.levels[rounding]
        axes.plot(told.side, level, "o", mfc=fill, gid=rounding, **style)
    axes.axvline(told.side, color=palette.ROI, lw=0.8, ls=":", gid="side")
    borders = {side for rule in told.rules.values() for side in rule.borders}
    ticks = sorted({SMALLEST, LARGEST, *borders})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:.4g}" for tick in ticks], fontsize=8)
    axes.set_yticks(range(2, 6), [f"P{level}" for level in range(2, 6)])
    axes.set(xlim=(SMALLEST, LARGEST), ylim=(1.7, 5.3))
    axes.set_xlabel("side of the RoI, sqrt(w h), in image pixels")
    axes.legend(loc="upper left", fontsize=9)


def draw_grid(axes: Axes, told: ChosenLevel, rounding: Rounding) -> None:
    """The RoI and the cells of its level in it."""
    stride = 2 ** told.levels[rounding]
    columns = np.arange(0, told.width + 1, stride)
    rows = np.arange(0, told.height + 1, stride)
    lines = [[(x, 0), (x, told.height)] for x in columns]
    lines += [[(0, y), (told.width, y)] for y in rows]
    axes.add_collection(LineCollection(lines, colors=palette.CELL, lw=0.6, gid="cells"))
    outline = Rectangle((0, 0), told.width, told.height, fill=False, gid="roi")
    outline.set_clip_on(False)
    outline.set(edgecolor=palette.ROI, lw=2.5)
    axes.add_patch(outline)
    axes.set(xlim=(0, told.width), ylim=(told.height, 0), aspect="equal")
    wide, high = (f"{cells:.4g}" for cells in told.cells[rounding])
    axes.set_title(
        f"{rounding}: P{told.levels[rounding]}, stride {stride}:"
        f" {wide} {TIMES} {high} cells",
        fontsize=10,
    )
    axes.set(xticks=[told.width], yticks=[told.height])
    axes.spines[:].set_visible(False)
    axes.tick_params(labelsize=8)


def choose_level(width: int = 180, height: int = 140, k0: int = 4) -> ChosenLevel:
    """Vary a RoI's size and see its level; returns the numbers at the start."""
    return explore(
        draw_chosen_level,
        width=Slider("w, pixels", width, SHORTEST, LONGEST),
        height=Slider("h, pixels", height, SHORTEST, LONGEST),
        k0=Slider("k0, level of 224 pixels", k0, 3, 5),
    )
