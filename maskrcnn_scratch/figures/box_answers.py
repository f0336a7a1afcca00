"""Boxes that were expected and boxes that came: feedback on exercises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import Box, around, draw_pixels, legend_below

MOST_AROUND = 3.0  # how far the picture follows a wrong box, in sides of the others


@dataclass(frozen=True)
class BoxAnswer:
    """The box that is most wrong: its row, where it should be and where it is.

    ``shown`` is whether any of it lies within the picture.
    """

    row: int
    expected: Box
    got: Box
    shown: bool


def draw_box_answer(
    axes: Axes,
    expected: Float[np.ndarray, "n 4"],
    got: Float[np.ndarray, "n 4"],
    start: Float[np.ndarray, "n 4"] | None = None,
) -> BoxAnswer:
    """The row in which two lists of xyxy boxes differ most.

    ``start`` are the anchors or RoIs that the boxes come from. The picture follows a
    box that is far off, not finite or inside out only as far as it can.
    """
    apart = np.nan_to_num(np.abs(expected - got), nan=np.inf).max(axis=1)
    row = int(np.argmax(apart))
    right, mine = expected[row], got[row]
    region = region_of(mine, right, *([] if start is None else [start[row]]))
    draw_pixels(axes, region)
    if start is not None:
        style: dict[str, Any] = {"ec": palette.ANCHOR, "lw": 1.2, "zorder": 2}
        add_rectangle(axes, start[row], "start", label="from", fc="none", **style)
    style = {"fc": (palette.OBJECT, 0.25), "ec": palette.OBJECT, "lw": 2.5}
    add_rectangle(axes, right, "expected", label="expected", **style)
    finite = bool(np.isfinite(mine).all())
    if finite:
        style = {"fc": "none", "ec": palette.FAULT, "lw": 2, "ls": "--"}
        add_rectangle(axes, mine, "got", label="got", **style)
    low, high = np.minimum(mine[:2], mine[2:]), np.maximum(mine[:2], mine[2:])
    shown = finite and bool(np.all(low < region[2:]) and np.all(high > region[:2]))
    axes.set_title(f"row {row}" if shown else f"row {row}: got lies outside")
    legend_below(axes)
    return BoxAnswer(row, right, mine, shown)


def region_of(wrong: Box, *right: Box) -> Box:
    """Around all boxes, but not far from the right ones, whatever the wrong one is.

    It is square, so that a thin box can be seen.
    """
    region = around(*right)
    reach = MOST_AROUND * (region[2:] - region[:2])
    limits = np.concatenate([region[:2] - reach, region[2:] + reach])
    corners = np.clip(
        np.nan_to_num(wrong), np.tile(limits[:2], 2), limits[[2, 3, 2, 3]]
    )
    low, high = np.minimum(*np.split(corners, 2)), np.maximum(*np.split(corners, 2))
    region = around(*right, np.concatenate([low, high]))
    sides = region[2:] - region[:2]
    room = (sides.max() - sides) / 2
    square: Box = region + np.concatenate([-room, room])
    return square


def add_rectangle(axes: Axes, box: Box, gid: str, **style: Any) -> None:
    """A box, cut where it leaves the picture."""
    x1, y1, x2, y2 = (float(edge) for edge in box)
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, gid=gid, **style))
