"""The IoU that a perfect mask loses through quantisation alone.

The RoI is the true box of the object, and the mask head is perfect: it says for every
cell of its mask how much of what is there belongs to the object. But *there* is where
the layer's bins really read, and the mask is put where they belong. Nothing else is
wrong: with RoIAlign the mask lies where it should, so what it loses against the truth
is the mask's resolution, and that is taken off all losses.

As with FPN, a layer gives 14 x 14 bins, and the mask has 28 x 28 cells, two a bin on
each axis, which share the bin's shift. All happens in the frame of the RoI, on a grid
four times as fine as the mask, whatever the object's size in pixels: so what is
measured depends on its size in cells alone (size / stride), and not on the image's
pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float

from maskrcnn_scratch.data.shapes import (
    in_ellipse,
    in_rectangle,
    in_star,
    in_triangle,
)
from maskrcnn_scratch.experiments.misalignment.shifts import (
    SEED,
    Intervals,
    log_uniform,
    measure,
)
from maskrcnn_scratch.reference.masks import centres_in_cells
from maskrcnn_scratch.reference.roi_align import axis_matrix

OBJECTS = 40
BINS = 14
CELLS = 28  # of the mask
FINE = 4  # grid points a mask cell
GRID = CELLS * FINE
SIZES = (16, 32, 64, 128, 256, 512)  # pixels

Mask = Bool[np.ndarray, "grid grid"]


@dataclass(frozen=True)
class Outline:
    """A shape, turned and stretched so that its box is the unit square."""

    kind: int
    angle: float
    low: Float[np.ndarray, " 2"]
    high: Float[np.ndarray, " 2"]

    def cover(
        self, x: Float[np.ndarray, " columns"], y: Float[np.ndarray, " rows"]
    ) -> Bool[np.ndarray, "rows columns"]:
        """Which points of the grid of all x and y are inside."""
        u = (self.low[0] + x * (self.high[0] - self.low[0]))[None, :]
        v = (self.low[1] + y * (self.high[1] - self.low[1]))[:, None]
        return turned(self.kind, self.angle, u, v)


def turned(
    kind: int,
    angle: float,
    u: Float[np.ndarray, "#rows #columns"],
    v: Float[np.ndarray, "#rows #columns"],
) -> Bool[np.ndarray, "rows columns"]:
    """A rectangle, ellipse, triangle or star about the origin, turned."""
    along = u * math.cos(angle) + v * math.sin(angle)
    across = v * math.cos(angle) - u * math.sin(angle)
    return (in_rectangle, in_ellipse, in_triangle, in_star)[kind](along, across)


def random_outline(kind: int, rng: np.random.Generator) -> Outline:
    """Turned by any angle, its box found on a fine grid."""
    angle = float(rng.uniform(0, math.tau))
    places = np.linspace(-1.4, 1.4, 561)
    inside = turned(kind, angle, places[None, :], places[:, None])
    x, y = places[inside.any(axis=0)], places[inside.any(axis=1)]
    return Outline(
        kind, angle, np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    )


@cache
def outlines() -> list[Outline]:
    """Of the four kinds in turn."""
    rng = np.random.default_rng(SEED)
    return [random_outline(number % 4, rng) for number in range(OBJECTS)]


def rois_of(cells: float) -> Intervals:
    """Two intervals an object, for rows and columns, with a side of about ``cells``.

    Sides are drawn within half an octave of it: a RoI of exactly so many whole cells
    would be rounded at both ends alike.
    """
    root = math.sqrt(2)
    return log_uniform(2 * OBJECTS, cells / root, cells * root, room=64, seed=SEED)


def perfect_mask(
    outline: Outline, shift: Float[np.ndarray, "axes bins"]
) -> Float[np.ndarray, "cells cells"]:
    """What the head says: the object's part in each cell, where the bins read."""
    middles = (np.arange(GRID) + 0.5) / GRID
    x, y = (middles + np.repeat(along, GRID // BINS) for along in shift)
    blocks = outline.cover(x, y).reshape(CELLS, FINE, CELLS, FINE)
    parts: Float[np.ndarray, "cells cells"] = blocks.mean(axis=(1, 3))
    return parts


@cache
def truths() -> list[Mask]:
    """Every outline on the grid of its RoI."""
    middles = (np.arange(GRID) + 0.5) / GRID
    return [outline.cover(middles, middles) for outline in outlines()]


@cache
def pasting() -> Float[np.ndarray, "grid ringed"]:
    """``paste_probability`` along one axis: it is the same for every mask here."""
    places = centres_in_cells(GRID, 0.0, float(GRID), CELLS) + 1  # in a ring of zeros
    return axis_matrix(CELLS + 2, [[float(place)] for place in places])


def pasted(mask: Float[np.ndarray, "cells cells"]) -> Mask:
    """The mask over the whole grid, by the rule of ``reference.masks.paste_mask``."""
    over: Mask = pasting() @ np.pad(mask, 1) @ pasting().T >= 0.5
    return over


def mask_iou(
    outline: Outline, truth: Mask, shift: Float[np.ndarray, "axes bins"]
) -> float:
    """The IoU of the perfect mask, pasted into the true RoI, with the truth."""
    found = pasted(perfect_mask(outline, shift))
    return float((found & truth).sum() / (found | truth).sum())


def mean_iou(shifts: Float[np.ndarray, "intervals bins"]) -> float:
    """Over all objects; shifts are parts of the RoI's side, two rows an object."""
    pairs = shifts.reshape(OBJECTS, 2, BINS)
    return float(np.mean(list(map(mask_iou, outlines(), truths(), pairs))))


@cache
def iou_lost(cells: float) -> dict[str, tuple[float, float]]:
    """The IoU lost at a size of ``cells``, by layer, RoIAlign's own taken off.

    First by all of the shift; then by what of it differs from RoI to RoI, each bin's
    mean shift in cells taken away: a head that is trained with a layer can learn what
    is always the same.
    """
    rois = rois_of(cells)
    sides = rois[:, 1:] - rois[:, :1]
    best = mean_iou(np.zeros((2 * OBJECTS, BINS)))
    lost = {}
    for name, shifts in measure(rois, BINS, 1).items():
        if name == "RoIAlign":  # nothing is left of it
            continue
        varying = shifts.total - shifts.total.mean(axis=0)
        lost[name] = (
            best - mean_iou(shifts.total / sides),
            best - mean_iou(varying / sides),
        )
    return lost
