"""The level of the feature pyramid that a box is read from, as a picture.

Feature Pyramid Networks (Lin et al., 2017), equation 1: the level k depends on the side
sqrt(w h) of a box alone. Below the rule, boxes stand on the maps of their levels: there
all but the clamped ones are about as large, from 14 to 28 cells under floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.reference.fpn_levels import Rounding, fpn_level, fpn_levels

ROUNDINGS: tuple[Rounding, ...] = ("floor", "round")
SMALLEST, LARGEST = 28.0, 1120.0  # sides on the axis, in pixels
MOST_LINES = 32  # cells a side: lines of more would be a grey field
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class LevelRule:
    """The levels by the side of a box, for one rounding.

    ``borders`` are the sides, in image pixels, from which on a box is read one level
    higher: ``levels`` has one more entry.
    """

    levels: tuple[int, ...]
    borders: tuple[float, ...]


def level_of(side: float, rounding: Rounding, k0: int = 4) -> int:
    """The level of a square box."""
    return fpn_level(np.array([0.0, 0.0, side, side]), k0, rounding=rounding)


def follow_rule(rounding: Rounding, k0: int = 4) -> LevelRule:
    """The borders of a rule, found by halving, as the rule is a step function."""
    lowest, highest = (level_of(side, rounding, k0) for side in (SMALLEST, LARGEST))
    levels = range(lowest, highest + 1)
    return LevelRule(tuple(levels), tuple(border(k, rounding, k0) for k in levels[1:]))


def border(level: int, rounding: Rounding, k0: int = 4) -> float:
    """The smallest side that is read from this level."""
    below, above = SMALLEST, LARGEST
    while below < (middle := (below + above) / 2) < above:
        if level_of(middle, rounding, k0) >= level:
            above = middle
        else:
            below = middle
    return above


@dataclass(frozen=True)
class FpnLevels:
    """Both rules, and each box of an example.

    ``boxes`` are xyxy in image pixels, ``sides`` sqrt(w h), ``levels`` those of each
    box by rounding. ``cells`` are the boxes in cells of the level under floor.
    """

    rules: dict[Rounding, LevelRule]
    boxes: Float[np.ndarray, "n 4"]
    sides: tuple[float, ...]
    levels: dict[Rounding, tuple[int, ...]]
    cells: Float[np.ndarray, "n 4"]


def follow_boxes(boxes: Float[np.ndarray, "n 4"]) -> FpnLevels:
    """The level of each box xyxy, in image pixels, by both rules.

    Raises ValueError for an empty box, whose side has no place on the axis.
    """
    boxes = np.asarray(boxes, np.float64)
    levels = {
        rounding: tuple(map(int, fpn_levels(boxes, rounding=rounding)))
        for rounding in ROUNDINGS
    }
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    for number in np.flatnonzero(~((width > 0) & (height > 0))):
        raise ValueError(f"box {number}, {boxes[number].tolist()}, is empty")
    strides = 2.0 ** np.array(levels["floor"])
    return FpnLevels(
        {rounding: follow_rule(rounding) for rounding in ROUNDINGS},
        boxes,
        tuple(map(float, np.sqrt(width * height))),
        levels,
        boxes / strides[:, None],
    )


def draw_fpn_levels(
    boxes: Float[np.ndarray, "n 4"], image_size: tuple[int, int] = (800, 800)
) -> tuple[Figure, FpnLevels]:
    """The rule with the boxes on it, and below the boxes on the maps P2 to P5.

    ``boxes`` are xyxy in image pixels, ``image_size`` is (height, width).
    """
    told = follow_boxes(boxes)
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    levels = told.rules["floor"].levels
    grid = figure.add_gridspec(2, len(levels), height_ratios=[1, 1.1])
    draw_level_rule(figure.add_subplot(grid[0, :]), told)
    for column, level in enumerate(levels):
        panel = figure.add_subplot(grid[1, column])
        draw_level(panel, told, level, image_size)
    return figure, told


def draw_level_rule(axes: Axes, told: FpnLevels) -> None:
    """Level against side, for both roundings, and the boxes by number.

    A box is a full circle where floor puts it, an empty one where round differs.
    """
    draw_rule(axes, told.rules["floor"], "floor", lw=5, color=palette.PIXEL)
    draw_rule(axes, told.rules["round"], "round", lw=1.5, color="black", ls="--")
    both = zip(told.sides, told.levels["floor"], told.levels["round"], strict=True)
    for number, (side, floor, rounded) in enumerate(both):
        if rounded != floor:
            draw_box(axes, side, rounded, "white", "rounded")
        draw_box(axes, side, floor, palette.ROI, "box")
        below = {"xytext": (0, -16), "textcoords": "offset points", "fontsize": 9}
        style: dict[str, Any] = {"ha": "center", "gid": "number", **below}
        axes.annotate(str(number), (side, floor), **style)
    sides = {side for rule in told.rules.values() for side in rule.borders}
    ticks = sorted({SMALLEST, LARGEST, *sides})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:.4g}" for tick in ticks], fontsize=8)
    axes.grid(axis="x", color=palette.PIXEL, lw=0.6)
    levels = told.rules["floor"].levels
    axes.set_yticks(levels, [f"P{level}" for level in levels])
    axes.set(xlabel="side of the box, sqrt(w h), in image pixels", ylabel="level")
    axes.set_ylim(levels[0] - 0.7, levels[-1] + 0.4)
    axes.legend(loc="upper left", fontsize=9)


def draw_rule(axes: Axes, rule: LevelRule, name: str, **style: Any) -> None:
    """The steps of one rule, up at the borders."""
    x = np.repeat([SMALLEST, *rule.borders, LARGEST], 2)[1:-1]
    axes.plot(x, np.repeat(rule.levels, 2), label=name, gid="rule", **style)


def draw_box(axes: Axes, side: float, level: int, fill: str, gid: str) -> None:
    """A box on the rule."""
    axes.plot([side], [level], "o", ms=7, mfc=fill, mec=palette.ROI, gid=gid)


def draw_level(
    axes: Axes, told: FpnLevels, level: int, image_size: tuple[int, int]
) -> None:
    """One map in cells, with the boxes that are read from it; the others are grey."""
    stride = 2**level
    height, width = (math.ceil(side / stride) for side in image_size)
    if max(height, width) <= MOST_LINES:
        axes.set_xticks(range(width + 1), minor=True)
        axes.set_yticks(range(height + 1), minor=True)
        axes.grid(which="minor", color=palette.PIXEL, lw=0.3)
        axes.tick_params(which="minor", length=0)
    listed = []
    for number, (box, own) in enumerate(
        zip(told.boxes, told.levels["floor"], strict=True)
    ):
        x1, y1, x2, y2 = map(float, box / stride)
        here = own == level
        outline = Rectangle(
            *((x1, y1), x2 - x1, y2 - y1),
            fill=False,
            edgecolor=palette.ROI if here else palette.CELL,
            lw=2 if here else 1,
            zorder=3 if here else 2,
            gid="here" if here else "elsewhere",
        )
        axes.add_patch(outline)
        if here:
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
            centre = (x1 + x2) / 2, (y1 + y2) / 2
            axes.text(*centre, str(number), gid="number", **style)
            listed.append(f"{number}: {x2 - x1:.3g} {TIMES} {y2 - y1:.3g} cells")
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axes.tick_params(labelsize=8)
    axes.set_title(f"P{level}, stride {stride}", fontsize=10)
    axes.set_xlabel("\n".join(listed), fontsize=8)
