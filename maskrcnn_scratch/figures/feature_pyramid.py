"""The Feature Pyramid Network as a picture: maps as blocks, operations as arrows.

Lin et al., 2017, figure 3. Up the backbone (C2 to C5), across by 1x1 convolutions, down
by nearest-neighbour upsampling (M5 to M2), out by 3x3 convolutions (P2 to P5); P6 is
every second cell of P5, for the RPN alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from maskrcnn_scratch.figures import palette

TIMES = "\N{MULTIPLICATION SIGN}"
HEIGHT = 0.5  # of a block; rows are 1 apart
COLUMNS = {"C": 0.0, "M": 1.0, "P": 2.0}  # centres
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class FeaturePyramid:
    """(channels, height, width) of each map, by its name: "C2", "M2", "P2", ...

    ``steps`` are the operations: (from, to, operation).
    """

    shapes: dict[str, Shape]
    steps: tuple[tuple[str, str, str], ...]


def follow_pyramid(maps: Sequence[Shape], channels: int = 256) -> FeaturePyramid:
    """The pyramid over a backbone's maps C2, C3, ... of (channels, height, width)."""
    shapes: dict[str, Shape] = {}
    steps = []
    last = len(maps) + 1
    for level, shape in enumerate(maps, start=2):
        shapes[f"C{level}"] = shape
        shapes[f"M{level}"] = shapes[f"P{level}"] = (channels, *shape[1:])
        steps.append((f"C{level}", f"M{level}", "1x1"))
        steps.append((f"M{level}", f"P{level}", "3x3"))
        if level < last:
            steps.append((f"C{level}", f"C{level + 1}", "stage"))
            steps.append((f"M{level + 1}", f"M{level}", "nearest, added"))
    _, height, width = maps[-1]
    shapes[f"P{last + 1}"] = (channels, -(-height // 2), -(-width // 2))
    steps.append((f"P{last}", f"P{last + 1}", "every 2nd cell"))
    return FeaturePyramid(shapes, tuple(steps))


def draw_feature_pyramid(
    axes: Axes, maps: Sequence[Shape], channels: int = 256
) -> FeaturePyramid:
    """Blocks with the shapes of the maps, the widest lowest, and arrows between."""
    told = follow_pyramid(maps, channels)
    rows = [int(name[1:]) for name in told.shapes]
    for name, shape in told.shapes.items():
        x, y = COLUMNS[name[0]], int(name[1:])
        wide = width_of(y)
        block = Rectangle(
            *((x - wide / 2, y - HEIGHT / 2), wide, HEIGHT),
            facecolor=(palette.PIXEL, 0.5),
            edgecolor=palette.CELL,
            lw=1.5,
            gid=name,
        )
        axes.add_patch(block)
        text = f"{name}\n" + f" {TIMES} ".join(map(str, shape))
        axes.text(x, y, text, ha="center", va="center", fontsize=9, gid="shape")
    for start, end, operation in told.steps:
        draw_step(axes, start, end, operation)
    axes.set(xlim=(-0.4, 2.4), ylim=(min(rows) - 0.4, max(rows) + 0.4))
    axes.set_axis_off()
    return told


def draw_step(axes: Axes, start: str, end: str, operation: str) -> None:
    """An arrow from the border of one block to that of another, with its name."""
    (x0, y0), (x1, y1) = ((COLUMNS[name[0]], int(name[1:])) for name in (start, end))
    across = y0 == y1
    aside = width_of(y0) / 2 if across else 0
    up = 0 if across else math.copysign(HEIGHT / 2, y1 - y0)
    style: dict[str, Any] = {"arrowstyle": "->", "color": "black", "lw": 1.2}
    axes.annotate(
        *("", (x1 - aside, y1 - up), (x0 + aside, y0 + up)),
        arrowprops=style | {"shrinkA": 0, "shrinkB": 0},
        gid=f"{start} {end}",
    )
    place = ((x0 + x1) / 2, y0 + 0.05) if across else (x0 + 0.03, (y0 + y1) / 2)
    ha, va = ("center", "bottom") if across else ("left", "center")
    axes.text(*place, operation, ha=ha, va=va, fontsize=8, gid="operation")


def width_of(level: int) -> float:
    """Of a block: the finer the level, the wider."""
    return 0.72 - 0.04 * (level - 2)
