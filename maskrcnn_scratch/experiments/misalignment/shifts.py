"""How far from its place each bin reads, over many random RoIs, and through what.

Where a bin reads is the centre of mass of its gradient by the features; ``gradient``
shows that this is the middle of what ``AxisSteps`` lists. Maps have no borders here:
within half a cell of one, RoIAlign reads the outermost cell instead.

Two populations of RoIs are in use. *Objects* have their sides in image pixels and are
the same at every stride: they ask what a coarser map does to the same image. *Octaves*
have their sides in cells: they ask what a layer does, whatever the stride, which is
then a mere factor. Neither answers for the other: the coarser the map, the fewer cells
an object has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from maskrcnn_scratch.figures.misalignment import steps_of_layers
from maskrcnn_scratch.reference.roi_steps import AxisSteps

BINS = (7, 14, 28)
STRIDES = (4, 8, 16, 32, 64)
OCTAVES = (1, 2, 4, 8, 16)  # the least side of each, in cells
SEED = 6

Intervals = Float[np.ndarray, "rois 2"]


@dataclass(frozen=True)
class Shifts:
    """The shift of every bin of every RoI, and each step's part in it.

    Positive is towards larger coordinates; the parts add up to ``total``.
    """

    corners: Float[np.ndarray, "rois bins"]
    borders: Float[np.ndarray, "rois bins"]
    reading: Float[np.ndarray, "rois bins"]

    @property
    def total(self) -> Float[np.ndarray, "rois bins"]:
        """From where a bin belongs to the middle of what it reads."""
        total: Float[np.ndarray, "rois bins"]
        total = self.corners + self.borders + self.reading
        return total


@dataclass(frozen=True)
class Spread:
    """A set of shifts in numbers, in their unit."""

    bias: float
    mean: float
    rms: float
    worst: float


def log_uniform(
    count: int, least: float, most: float, room: float, seed: int
) -> Intervals:
    """``count`` intervals (start, end): log-uniform sides, starts uniform in [0, room).

    With ``room`` a whole number of cells, every place within a cell is equally likely.
    """
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, room, count)
    sides = np.exp(rng.uniform(math.log(least), math.log(most), count))
    return np.stack([starts, starts + sides], axis=1)


def objects() -> Intervals:
    """Objects of 16 to 512 pixels in an image of 1024 pixels."""
    return log_uniform(300, 16, 512, room=512, seed=SEED)


def octave(least: int) -> Intervals:
    """RoIs with a side of ``least`` to twice ``least`` cells, in cells."""
    return log_uniform(150, least, 2 * least, room=64, seed=SEED + least)


def steps_along(
    interval: Float[np.ndarray, " 2"], bins: int, stride: float
) -> dict[str, AxisSteps]:
    """One axis of a RoI from ``start`` to ``end``, in pixels, by the layer's name."""
    start, end = interval
    box = np.array([start, 0, end, stride])
    steps = steps_of_layers(box, (1, bins), 1 / stride)
    return {name: both.x for name, both in steps.items()}


@cache
def objects_at(bins: int, stride: int) -> dict[str, Shifts]:
    """The shifts of all objects in image pixels, by the layer's name."""
    return measure(objects(), bins, stride)


@cache
def octave_in(bins: int, least: int) -> dict[str, Shifts]:
    """The shifts of all RoIs of an octave in cells, by the layer's name."""
    return measure(octave(least), bins, 1)


def measure(intervals: Intervals, bins: int, stride: float) -> dict[str, Shifts]:
    """The shifts of intervals given in pixels, in pixels, by the layer's name."""
    steps: dict[str, list[AxisSteps]] = {}
    for interval in intervals:
        for name, one in steps_along(interval, bins, stride).items():
            steps.setdefault(name, []).append(one)
    return {
        name: Shifts(
            stride * np.array([one.corner_shift for one in those]),
            stride * np.array([one.border_shift for one in those]),
            stride * np.array([one.reading_shift for one in those]),
        )
        for name, those in steps.items()
    }


def all_octaves(bins: int, name: str) -> Shifts:
    """The RoIs of all octaves together: sides log-uniform from 1 to 32 cells."""
    every = [octave_in(bins, least)[name] for least in OCTAVES]
    return Shifts(
        np.concatenate([one.corners for one in every]),
        np.concatenate([one.borders for one in every]),
        np.concatenate([one.reading for one in every]),
    )


def spread(shifts: Float[np.ndarray, "rois bins"]) -> Spread:
    """Over all bins of all RoIs: with sign, without, squared, and the largest."""
    size = np.abs(shifts)
    return Spread(
        float(shifts.mean()),
        float(size.mean()),
        float(np.sqrt((shifts**2).mean())),
        float(size.max()),
    )


def shares(shifts: Shifts) -> tuple[float, float, float]:
    """The part of corners, borders and reading in the mean square of the shift.

    E[part * shift] / E[shift^2]: they add up to 1, and one is negative where a step
    undoes some of what the others did. NaN where nothing is shifted.
    """
    total = shifts.total
    square = float((total**2).mean())
    if square < 1e-20:  # RoIAlign, but for rounding of floats
        return math.nan, math.nan, math.nan
    parts = (shifts.corners, shifts.borders, shifts.reading)
    corners, borders, reading = (float((p * total).mean()) / square for p in parts)
    return corners, borders, reading
