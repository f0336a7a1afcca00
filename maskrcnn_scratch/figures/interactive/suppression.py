"""NMS at any threshold: which boxes stay, and which one drops each of the others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import add_box, around
from maskrcnn_scratch.figures.interactive.explore import Slider, explore
from maskrcnn_scratch.figures.nms import nms_steps, number_places
from maskrcnn_scratch.reference.boxes import box_iou
from maskrcnn_scratch.reference.nms import by_falling_score

# Two objects and a chain: box 1 would drop 2 but is itself dropped by 0 first.
BOXES = np.array(
    [
        [10.0, 10, 50, 60],
        [20, 10, 60, 60],
        [32, 12, 70, 62],
        [8, 14, 46, 66],
        [80, 30, 120, 70],
        [84, 34, 124, 72],
        [90, 20, 112, 66],
        [14, 30, 40, 56],
    ]
)
SCORES = np.array([0.95, 0.9, 0.8, 0.75, 0.7, 0.65, 0.5, 0.4])


@dataclass(frozen=True)
class Suppression:
    """Who stays at a threshold.

    Indices of boxes: ``kept`` by falling score; ``dropped_by`` the box that drops
    each of the others, ``iou`` with it. For a kept box ``iou`` is the largest with a
    kept one of a better score, 0 where there is none.
    """

    threshold: float
    kept: tuple[int, ...]
    dropped_by: dict[int, int]
    iou: dict[int, float]

    def sentence(self) -> str:
        """Who stays, and who is dropped by whom."""
        dropped = [f"{box} by {by}" for box, by in self.dropped_by.items()]
        return (
            f"At an IoU above {self.threshold:g} boxes are dropped: of"
            f" {len(self.iou)} stay {', '.join(map(str, self.kept))};"
            f" dropped are {', '.join(dropped) or 'none'}."
        )


def follow_threshold(
    boxes: Float[np.ndarray, "n 4"],
    scores: Float[np.ndarray, " n"],
    threshold: float,
) -> Suppression:
    """The numbers of the figure; see ``draw_suppression``."""
    steps = nms_steps(boxes, scores, threshold)
    overlaps = box_iou(boxes, boxes)
    iou = {
        step.keeps: max((float(overlaps[step.keeps, k]) for k in step.kept), default=0)
        for step in steps
    }
    dropped_by = {box: step.keeps for step in steps for box in step.dropped}
    for step in steps:
        iou |= step.dropped
    return Suppression(threshold, tuple(step.keeps for step in steps), dropped_by, iou)


def draw_suppression(
    boxes: Float[np.ndarray, "n 4"],
    scores: Float[np.ndarray, " n"],
    threshold: float,
) -> tuple[Figure, Suppression]:
    """The boxes, and the IoU that decides on each, beside the threshold.

    ``boxes`` are xyxy in image pixels. Raises ValueError where there are none.
    """
    if not len(boxes):
        raise ValueError("there are no boxes to suppress")
    told = follow_threshold(boxes, scores, threshold)
    figure = Figure(figsize=(9.2, 4.4))
    draw_boxes(figure.add_axes((0.01, 0.06, 0.5, 0.88)), boxes, told)
    draw_decisions(figure.add_axes((0.745, 0.16, 0.235, 0.74)), scores, told)
    return figure, told


def draw_boxes(axes: Axes, boxes: Float[np.ndarray, "n 4"], told: Suppression) -> None:
    """Kept boxes in full lines, dropped ones dashed, each with its number."""
    for box in range(len(boxes)):
        kept = box in told.kept
        line = ("-", 2.6, 2.0) if kept else ("--", 1.4, 1.5)
        style = dict(zip(("ls", "lw", "zorder"), line, strict=True))
        add_box(
            axes,
            boxes[box],
            "kept" if kept else "dropped",
            fc="none",
            **style,
            ec=color(box, told),
        )
    paper = {"fc": "white", "ec": "none", "pad": 0.8}
    for box, (x, y) in enumerate(number_places(boxes)):
        text: dict[str, Any] = {"ha": "center", "va": "center", "bbox": paper}
        axes.text(x, y, str(box), color=color(box, told), fontsize=11, zorder=3, **text)
    x1, y1, x2, y2 = around(*boxes)
    room = 0.03 * (x2 - x1)  # for numbers at the outermost corners
    axes.set(xlim=(x1 - room, x2 + room), ylim=(y2 + room, y1 - room))
    axes.set(aspect="equal", xticks=[], yticks=[])


def color(box: int, told: Suppression) -> str:
    """Of a kept or of a dropped box."""
    return palette.ROI if box in told.kept else palette.FAULT


def draw_decisions(
    axes: Axes, scores: Float[np.ndarray, " n"], told: Suppression
) -> None:
    """A row for each box by falling score: its IoU, left or right of the threshold."""
    axes.axvspan(told.threshold, 1, color=palette.FAULT, alpha=0.15, lw=0)
    axes.axvline(told.threshold, color="black", lw=1.2, gid="threshold")
    names = []
    for row, box in enumerate(map(int, by_falling_score(scores))):
        axes.plot([0, told.iou[box]], [row, row], color=color(box, told), lw=1.5)
        mark: dict[str, Any] = {"color": color(box, told), "ms": 8, "gid": "iou"}
        axes.plot(told.iou[box], row, "o" if box in told.kept else "X", **mark)
        by = told.dropped_by.get(box)
        fate = "kept" if by is None else f"dropped by {by}"
        names.append(f"{box}, score {scores[box]:.2f}: {fate}")
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set(xlim=(-0.03, 1.03), ylim=(len(names) - 0.5, -0.5))
    axes.set_xlabel("IoU with a kept box of better score", fontsize=9)
    axes.set_title(f"dropped: IoU > {told.threshold:g}", fontsize=10)


def suppress_boxes(
    threshold: float = 0.5,
    boxes: Float[np.ndarray, "n 4"] = BOXES,
    scores: Float[np.ndarray, " n"] = SCORES,
) -> Suppression:
    """Vary NMS's threshold over fixed boxes; returns the numbers at the start."""
    return explore(
        partial(draw_suppression, boxes, scores),
        threshold=Slider("IoU threshold", threshold, 0.0, 1.0, 0.05),
    )
