"""Greedy non-maximum suppression, one panel for each box that is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import Box, add_box, around
from maskrcnn_scratch.reference.boxes import box_iou
from maskrcnn_scratch.reference.nms import nms

COLUMNS = 4  # panels in a row
PANEL, TALLEST = 2.4, 3.2  # inches: the width of a panel, and its height at most
TITLE_LINE, LEGEND = 0.17, 0.6  # inches high
ROOM = 0.15  # that a number takes, of the picture's width
STYLES = {
    "keeps": (palette.ROI, "-", 3.0, "kept in this step"),
    "kept": (palette.ROI, "-", 1.2, "kept before"),
    "dropped": (palette.FAULT, "--", 2.0, "dropped in this step"),
    "waiting": (palette.CELL, ":", 1.6, "not yet decided"),
}


@dataclass(frozen=True)
class NmsStep:
    """One box is kept and drops those that overlap it too much.

    Indices of boxes: ``kept`` before this step; ``dropped`` and ``waiting`` with their
    IoU with the box that is kept. Those dropped in earlier steps are in none of them.
    """

    keeps: int
    kept: list[int]
    dropped: dict[int, float]
    waiting: dict[int, float]


def nms_steps(
    boxes: Float[np.ndarray, "n 4"],
    scores: Float[np.ndarray, " n"],
    iou_threshold: float,
) -> list[NmsStep]:
    """How the reference comes to what it keeps, by falling score."""
    kept = [int(index) for index in nms(boxes, scores, iou_threshold)]
    overlaps = box_iou(boxes, boxes)
    undecided = list(range(len(boxes)))
    steps = []
    for number, keeper in enumerate(kept):
        undecided.remove(keeper)
        iou = {other: float(overlaps[keeper, other]) for other in undecided}
        dropped = {
            other: value for other, value in iou.items() if value > iou_threshold
        }
        undecided = [other for other in undecided if other not in dropped]
        waiting = {other: iou[other] for other in undecided}
        steps.append(NmsStep(keeper, kept[:number], dropped, waiting))
    return steps


def draw_nms(
    boxes: Float[np.ndarray, "n 4"],
    scores: Float[np.ndarray, " n"],
    iou_threshold: float,
) -> tuple[Figure, list[NmsStep]]:
    """A panel for each step: the box taken, and those it drops.

    Raises ValueError where there are no boxes.
    """
    steps = nms_steps(boxes, scores, iou_threshold)
    if not steps:
        raise ValueError("there are no boxes to suppress")
    figure, panels = empty_panels(boxes, steps)
    for number, (axes, step) in enumerate(zip(panels, steps, strict=False)):
        draw_step(axes, boxes, step)
        told = [f"{number + 1}. keep {step.keeps}, score {scores[step.keeps]:.4g}"]
        told += [
            f"drop {other}: IoU {iou:.3f} > {iou_threshold:g}"
            for other, iou in step.dropped.items()
        ]
        axes.set_title("\n".join(told), fontsize=9, loc="left")
    return figure, steps


def empty_panels(
    boxes: Float[np.ndarray, "n 4"], steps: list[NmsStep]
) -> tuple[Figure, list[Axes]]:
    """A figure with a legend and room for the boxes and the titles of all steps."""
    columns = min(COLUMNS, len(steps))
    rows = math.ceil(len(steps) / columns)
    x1, y1, x2, y2 = around(*boxes)
    height = min(TALLEST, PANEL * (y2 - y1) / (x2 - x1))
    height += TITLE_LINE * (2 + max(len(step.dropped) for step in steps))
    size = (max(5.0, PANEL * columns), height * rows + LEGEND)
    figure = Figure(figsize=size, layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flatten())
    for axes in panels:
        # At the top, as the layout keeps no more room above than the title needs.
        axes.set(xlim=(x1, x2), ylim=(y2, y1), aspect="equal", anchor="N")
        axes.set(xticks=[], yticks=[])
    for axes in panels[len(steps) :]:
        axes.set_axis_off()
    lines = [
        Line2D([], [], color=color, ls=line, lw=width, label=label)
        for color, line, width, label in STYLES.values()
    ]
    ncols = 4 if columns == COLUMNS else 2
    figure.legend(handles=lines, loc="outside lower center", ncols=ncols, frameon=False)
    return figure, panels


def draw_step(axes: Axes, boxes: Float[np.ndarray, "n 4"], step: NmsStep) -> None:
    """The boxes that still matter, each with its number."""
    kinds = {
        **dict.fromkeys(step.waiting, "waiting"),
        **dict.fromkeys(step.kept, "kept"),
        **dict.fromkeys(step.dropped, "dropped"),
        step.keeps: "keeps",
    }
    places = number_places(boxes)
    for index, kind in kinds.items():
        color, line, width, _ = STYLES[kind]
        add_box(axes, boxes[index], kind, fc="none", ec=color, ls=line, lw=width)
        x, y = places[index]
        paper = {"fc": "white", "ec": "none", "pad": 0.8}
        text: dict[str, Any] = {"ha": "center", "va": "center", "bbox": paper}
        axes.text(x, y, str(index), gid=kind, fontsize=10, **text)


def number_places(boxes: Float[np.ndarray, "n 4"]) -> list[tuple[float, float]]:
    """At which of its corners each box's number stands.

    Numbers stay apart first of all, then away from the corners of all other boxes.
    """
    room = ROOM * float(np.ptp(boxes[:, ::2]))
    places: list[tuple[float, float]] = []
    for index, box in enumerate(boxes):
        others = [
            c for other in np.delete(boxes, index, axis=0) for c in corners(other)
        ]
        free = [
            (min(room, nearest(corner, places)), nearest(corner, others))
            for corner in corners(box)
        ]
        places.append(corners(box)[max(range(4), key=free.__getitem__)])
    return places


def nearest(point: tuple[float, float], points: list[tuple[float, float]]) -> float:
    """The distance to the nearest of some points, infinite where there are none."""
    return min((math.dist(point, other) for other in points), default=math.inf)


def corners(box: Box) -> list[tuple[float, float]]:
    """(x, y) of the four, from the upper left one to the lower right one."""
    x1, y1, x2, y2 = (float(edge) for edge in box)
    return [(x1, y1), (x2, y1), (x1, y2), (x2, y2)]
