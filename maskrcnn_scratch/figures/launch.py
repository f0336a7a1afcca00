"""A small launch as a picture: threads by colour, what they read and write.

A row of panels for each phase (the barriers passed), a panel for each array. A cell has
the colour and number of the thread that wrote it; circles in it are threads that read
it, squares those that update it atomically. A heavy frame is a fault; outside of an
array it stands for an access past its end. Below, for each load and store of global
memory, the sectors of 32 bytes that a warp fetches: grey is fetched for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.launch_numbers import (
    LaunchPicture,
    Panel,
    Recorded,
    Strip,
    panels_of,
    strips_of,
)

MOST_NUMBERED = 100  # threads whose numbers fit into cells
MARKS = 3  # a side: so many readers are drawn in a cell
WIDEST, NARROWEST, STRIP = 16.0, 6.5, 0.62  # inches
LETTER = 0.32  # the width of a letter of a title, in cells


def draw_launch(recorded: Recorded) -> tuple[Figure, LaunchPicture]:
    """Each array in cells, with the threads that wrote each, and those that read it.

    Below, the sectors of 32 bytes that a warp fetches, where there are such strips.

    Raises ValueError where an array has more than ``MOST_CELLS`` elements.
    """
    told = LaunchPicture(panels_of(recorded), strips_of(recorded))
    corners, width, height = lay_out(told.panels)
    cell = min(0.45, WIDEST / width)  # inches
    heights = [cell * height, *(STRIP for _ in told.strips)]
    size = (max(NARROWEST, cell * width), sum(heights) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(heights), height_ratios=heights, squeeze=False)[:, 0]
    for key, panel in told.panels.items():
        draw_panel(axes[0], Colours(recorded, cell), panel, corners[key])
    axes[0].set(xlim=(0, width), ylim=(height, 0), aspect="equal", anchor="W")
    for strip_axes, strip in zip(axes[1:], told.strips, strict=True):
        draw_strip(strip_axes, Colours(recorded, cell), strip)
    for one in axes:
        one.set_axis_off()
    blocks, threads = recorded.blocks.total, recorded.threads.total
    figure.suptitle(f"{recorded.kernel}: {blocks} x {threads} threads", fontsize=10)
    return figure, told


def lay_out(
    panels: Mapping[tuple[int, str], Panel],
) -> tuple[dict[tuple[int, str], tuple[float, float]], float, float]:
    """The left upper corner of each panel, and the size of all, in cells.

    Arrays stand side by side, phases one below the other.
    """
    left, top, x, y = {}, {}, 0.3, 0.0
    for name in dict.fromkeys(name for _, name in panels):
        some = [p for p in panels.values() if p.name == name]
        left[name] = x + max(p.room[0] for p in some)
        widths = (p.writers.shape[1] + p.room[2] for p in some)
        titles = (len(p.title) * LETTER for p in some)
        x = left[name] + 0.8 + max(*widths, *titles)
    for phase in sorted({phase for phase, _ in panels}):
        some = [p for p in panels.values() if p.phase == phase]
        top[phase] = y + 1.0 + max(p.room[1] for p in some)
        y = top[phase] + 0.3 + max(p.writers.shape[0] + p.room[3] for p in some)
    return {key: (left[key[1]], top[key[0]]) for key in panels}, x, y


@dataclass(frozen=True)
class Colours:
    """Threads run through viridis; ``cell`` is the side of a cell in inches."""

    recorded: Recorded
    cell: float

    @property
    def count(self) -> int:
        """Of threads."""
        return int(self.recorded.blocks.total * self.recorded.threads.total)

    def of(self, thread: int) -> tuple[float, float, float, float]:
        """The colour of a thread of the launch."""
        red, green, blue, _ = colormaps["viridis"](thread / max(1, self.count - 1))
        return red, green, blue, 1.0

    def number(self, axes: Axes, x: float, y: float, thread: int, size: float) -> None:
        """Its number, where numbers fit, ``size`` of a cell high."""
        if self.count > MOST_NUMBERED:
            return
        dark = thread < 0.6 * max(1, self.count - 1)
        axes.text(
            *(x, y, str(thread)),
            color="white" if dark else "black",
            fontsize=min(8, 72 * self.cell * size),
            ha="center",
            va="center_baseline",
        )


def draw_panel(
    axes: Axes, colours: Colours, panel: Panel, corner: tuple[float, float]
) -> None:
    """The cells of one array, who wrote them and who read them."""
    left, top = corner
    cells = []
    for (row, column), writer in np.ndenumerate(panel.writers):
        written = writer >= 0
        cells.append(
            Rectangle(
                *((left + column, top + row), 1, 1),
                facecolor=colours.of(int(writer)) if written else "white",
                edgecolor=palette.CELL,
                lw=0.5,
            )
        )
        if written:
            x, y = left + column + 0.78, top + row + 0.8
            colours.number(axes, x, y, int(writer), 0.3)
    axes.add_collection(PatchCollection(cells, match_original=True, gid="cells"))
    draw_marks(axes, colours, panel.readers, corner, Circle, "reads")
    draw_marks(axes, colours, panel.updaters, corner, None, "updates")
    beyond = {cell: [thread] for cell, thread in panel.beyond.items()}
    draw_marks(axes, colours, beyond, corner, Circle, "beyond")
    for row, column in (*panel.faults, *beyond):
        place = (left + column, top + row)
        axes.add_patch(
            Rectangle(*(place, 1, 1), fill=False, ec=palette.FAULT, lw=3, gid="fault")
        )
    size = min(9, 72 * 0.45 * colours.cell)
    above = top - panel.room[1] - 0.12
    axes.text(left, above, panel.title, ha="left", va="bottom", fontsize=size)


def draw_marks(
    axes: Axes,
    colours: Colours,
    threads: Mapping[tuple[int, int], Sequence[int]],
    corner: tuple[float, float],
    circle: type[Circle] | None,
    gid: str,
) -> None:
    """A circle or a square in a cell for each thread, as many as fit."""
    marks: list[Circle | Rectangle] = []
    for (row, column), some in threads.items():
        side = 1 if len(some) == 1 else 2 if len(some) <= 4 else MARKS
        for k, thread in enumerate(some[: side * side]):
            x = corner[0] + column + 0.04 + 0.85 * (k % side + 0.5) / side
            y = corner[1] + row + 0.04 + 0.85 * (k // side + 0.5) / side
            size = 0.75 / side
            style: dict[str, Any] = {"fc": colours.of(thread), "ec": "white", "lw": 0.6}
            if circle:
                marks.append(circle((x, y), size / 2, **style))
            else:
                place = (x - size / 2, y - size / 2)
                marks.append(Rectangle(place, size, size, **style))
            if side < MARKS:
                colours.number(axes, x, y, thread, 0.35 / side)
    if marks:
        axes.add_collection(PatchCollection(marks, match_original=True, gid=gid))


def draw_strip(axes: Axes, colours: Colours, strip: Strip) -> None:
    """Sectors side by side, with a gap between."""
    sectors, elements = strip.threads.shape
    cells = [
        Rectangle(
            *((sector * (elements + 0.6) + k, 0), 1, 1),
            facecolor=colours.of(int(thread)) if thread >= 0 else palette.PIXEL,
            edgecolor="white",
            lw=0.5,
        )
        for (sector, k), thread in np.ndenumerate(strip.threads)
    ]
    axes.add_collection(PatchCollection(cells, match_original=True, gid="sectors"))
    axes.set(xlim=(-0.1, max(sectors, 8) * (elements + 0.6)), ylim=(1, 0))
    axes.set_title(strip.label, fontsize=8, loc="left")
