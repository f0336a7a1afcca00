"""How far a border and a bin can be off, derived, and how far they were found.

All in cells; times the stride it is image pixels. RoI [a, b) becomes [A, B). Bin k of n
has its centre at the part t = (k + 1/2) / n of the RoI, so quantised corners move it by
(1 - t)(A - a) + t(B - b): an interpolation, no more than the worse corner.

- Rounding moves a corner by at most 1/2, flooring by less than 1. RoIPool that rounds
  takes the cell that the end rounds to as a part of the RoI: B - b is 1/2 to 3/2.
- RoIPool (round) then floors a bin's start and ceils its end: the centre moves by 1/2
  at most. In all: t - 1 to t + 1. Reaching that needs the worst of everything in one
  bin, which whole numbers allow only nearly, the more bins the nearer.
- RoIPool (floor) makes bins of q cells out of s / n: q = floor(s / n), or 1 where s < n
  (s = B - A). The centre moves by (k + 1/2)(q - s / n), which adds up from bin to bin:
  down to -(k + 1/2)(n - 1) / n, or up to the same where one cell feeds n bins.
- RoIWarp moves corners alone, RoIAlign nothing, its legacy form everything by 1/2.
- A RoI with a side w < 1 is stretched to a cell from its start by all but RoIAlign and
  RoIPool (round), whose inclusive end makes a cell in any case: t(1 - w) to the right.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from maskrcnn_scratch.experiments.misalignment.shifts import (
    BINS,
    OCTAVES,
    STRIDES,
    Intervals,
    Shifts,
    measure,
    objects,
    objects_at,
    octave,
    octave_in,
    steps_along,
)

NEARLY = 1 / 64  # of a cell: how near the search goes to a jump
SLACK = 1e-9  # for rounding of floats

Bins = Float[np.ndarray, " bins"]
Range = tuple[float, float]

BORDERS: dict[str, tuple[Range, Range]] = {
    "RoIPool floor": ((-1, 0), (-1, 0)),
    "RoIPool round": ((-0.5, 0.5), (0.5, 1.5)),
    "RoIWarp": ((-0.5, 0.5), (-0.5, 0.5)),
    "RoIAlign": ((0, 0), (0, 0)),
    "RoIAlign legacy": ((0, 0), (0, 0)),
}
"""A - a and B - b, from and to, of a RoI with a side of at least a cell."""


@dataclass(frozen=True)
class Bound:
    """What is possible, what was found, and how many found were not possible."""

    low: float
    high: float
    found_low: float
    found_high: float
    outside: int


def bin_bounds(name: str, bins: int, side: float) -> tuple[Bins, Bins]:
    """The least and the largest shift of each bin of a RoI with this side, in cells."""
    k = np.arange(bins)
    t = (k + 0.5) / bins
    zero, half = np.zeros(bins), np.full(bins, 0.5)
    stretched = t * max(0.0, 1 - side)
    if name == "RoIPool floor":
        most = (k + 0.5) * (bins - 1) / bins
        return -1 - most, most + stretched
    if name == "RoIPool round":
        return t - 1, t + 1
    if name == "RoIWarp":
        return -half, half + stretched
    if name == "RoIAlign":
        return zero, zero
    if name == "RoIAlign legacy":
        return half + stretched, half + stretched
    raise ValueError(f"no layer has the name {name!r}")


def near_jumps(most: int) -> Intervals:
    """RoIs of 1 to about ``most`` cells with corners on a jump or just before it."""
    places = (0, 0.5 - NEARLY, 0.5, 1 - NEARLY)
    pairs = itertools.product(places, range(1, most + 1), places)
    return np.array([(a, whole + b) for a, whole, b in pairs if whole + b - a >= 1])


def all_intervals(bins: int) -> list[Intervals]:
    """Every RoI of the study in cells: objects by stride, octaves, those near jumps."""
    return [
        *(objects() / stride for stride in STRIDES),
        *(octave(least) for least in OCTAVES),
        near_jumps(2 * bins),
    ]


def all_shifts(bins: int) -> list[dict[str, Shifts]]:
    """The same, measured; objects in pixels."""
    return [
        *(objects_at(bins, stride) for stride in STRIDES),
        *(octave_in(bins, least) for least in OCTAVES),
        measure(near_jumps(2 * bins), bins, 1),
    ]


def bound_bins(bins: int) -> dict[str, Bound]:
    """The bounds of RoIs of at least a cell, beside what was found, by layer.

    Smaller RoIs are held against their own bounds, and counted where they break them.
    """
    measured = all_shifts(bins)
    units = [*STRIDES, *[1] * (len(measured) - len(STRIDES))]
    intervals = np.concatenate(all_intervals(bins))
    sides = intervals[:, 1] - intervals[:, 0]
    bounds = {}
    for name in BORDERS:
        shifts = np.concatenate(
            [one[name].total / unit for one, unit in zip(measured, units, strict=True)]
        )
        limits = np.array([bin_bounds(name, bins, side) for side in sides])
        limits = limits.swapaxes(0, 1)
        large = sides >= 1
        bounds[name] = Bound(
            *(float(limits[0, large].min()), float(limits[1, large].max())),
            *(float(shifts[large].min()), float(shifts[large].max())),
            outside=outside(shifts, *limits),
        )
    return bounds


def bound_borders() -> dict[str, tuple[Bound, Bound]]:
    """The start and the end of RoIs of at least a cell, by layer."""
    intervals = np.concatenate(all_intervals(BINS[0]))
    moved: dict[str, list[Range]] = {name: [] for name in BORDERS}
    for interval in intervals[intervals[:, 1] - intervals[:, 0] >= 1]:
        for name, steps in steps_along(interval, 1, 1).items():
            start = steps.quantised.start - steps.roi.start
            moved[name].append((start, steps.quantised.end - steps.roi.end))
    return {
        name: (
            border_bound(BORDERS[name][0], np.array(both)[:, 0]),
            border_bound(BORDERS[name][1], np.array(both)[:, 1]),
        )
        for name, both in moved.items()
    }


def border_bound(limits: Range, moved: Float[np.ndarray, " rois"]) -> Bound:
    """Of one side of the RoI."""
    found = float(moved.min()), float(moved.max())
    low, high = np.array(limits)
    return Bound(*limits, *found, outside(moved, low, high))


def outside(
    values: Float[np.ndarray, "*any"],
    low: Float[np.ndarray, "*any"],
    high: Float[np.ndarray, "*any"],
) -> int:
    """How many values break their bounds."""
    return int(((values < low - SLACK) | (values > high + SLACK)).sum())
