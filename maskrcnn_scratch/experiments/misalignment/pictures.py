"""The study's pictures: its numbers, collected for ``figures.misalignment_study``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from maskrcnn_scratch.experiments.misalignment.bounds import bin_bounds
from maskrcnn_scratch.experiments.misalignment.masks import SIZES, iou_lost
from maskrcnn_scratch.experiments.misalignment.moves import MOVES, STRIDE, move
from maskrcnn_scratch.experiments.misalignment.shifts import (
    STRIDES,
    objects,
    objects_at,
    spread,
)
from maskrcnn_scratch.figures.misalignment_study import (
    Errors,
    Lost,
    Steps,
    draw_errors,
    draw_lost,
    draw_steps,
)

BINS = 14  # of the mask branch


def errors() -> Errors:
    """Of all objects, at every stride."""
    found = [
        {name: spread(shifts.total) for name, shifts in objects_at(BINS, s).items()}
        for s in STRIDES
    ]
    return Errors(
        BINS,
        STRIDES,
        {name: np.array([one[name].mean for one in found]) for name in found[0]},
        {name: np.array([one[name].worst for one in found]) for name in found[0]},
        {name: np.array([bound(name, s) for s in STRIDES]) for name in found[0]},
    )


def bound(name: str, stride: int) -> float:
    """The most that any bin of any of the objects can be off, in image pixels."""
    sides = np.diff(objects(), axis=1)[:, 0] / stride
    limits = [bin_bounds(name, BINS, side) for side in sides]
    return float(np.abs(limits).max()) * stride


def steps() -> Steps:
    """The staircase and the line."""
    moved = move()
    return Steps(
        STRIDE,
        MOVES,
        {name: one.features for name, one in moved.items()},
        {name: one.seen for name, one in moved.items()},
    )


def lost() -> Lost:
    """Each size in cells that some object has at some stride."""
    cells = sorted({size / stride for size in SIZES for stride in STRIDES})
    found = [iou_lost(one) for one in cells]
    return Lost(
        np.array(cells),
        {name: np.array([one[name][0] for one in found]) for name in found[0]},
        {name: np.array([one[name][1] for one in found]) for name in found[0]},
    )


PICTURES: dict[str, Callable[[], Figure]] = {
    "errors": lambda: draw_errors(errors()),
    "moves": lambda: draw_steps(steps()),
    "iou": lambda: draw_lost(lost()),
}
"""By the name of the file."""
