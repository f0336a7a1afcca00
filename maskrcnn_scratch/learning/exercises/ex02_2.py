"""Exercise 2.2: the second quantisation of RoIPool, of the bins' borders."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.roi_pool import overlapping_bins
from maskrcnn_scratch.reference.roi_steps import Span


def bin_borders(first: int, end: int, bins: int) -> list[tuple[int, int]]:
    """The whole cells of each bin, as the Fast R-CNN layer takes them.

    The RoI has the cells from ``first`` up to, not including, ``end``. The bins are
    ``bins`` equal parts of it; a bin takes every cell that its part touches: it starts
    at its part's start rounded down, and ends at its part's end rounded up. Returns
    (start, end) of each bin, in cells of the map; the end does not belong to the bin.
    """
    size = (end - first) / bins
    borders = []
    for k in range(bins):
        start = first + int(np.floor(k * size))
        stop = first + int(np.ceil((k + 1) * size))
        borders.append((start, stop))
    return borders


def is_exact(size: int, bins: int) -> bool:
    """Whether floats of either precision round the ends of all parts as they should.

    Where an end is a whole number, 49 times size / 49 may come out a little above it.
    """
    exact = [math.ceil((k + 1) * size / bins) for k in range(bins)]
    starts = [k * size // bins for k in range(bins)]
    for kind in (np.float32, np.float64):
        part = kind(size) / kind(bins)
        if [int(np.ceil(kind(k + 1) * part)) for k in range(bins)] != exact:
            return False
        if [int(np.floor(kind(k) * part)) for k in range(bins)] != starts:
            return False
    return True


SIZES = [(n, k) for k in range(1, 8) for n in range(1, 13) if is_exact(n, k)]


@st.composite
def rois_in_cells(draw: st.DrawFn) -> Inputs:
    """A RoI on the map or left of it, with fewer or more cells than bins."""
    size, bins = draw(st.sampled_from(SIZES))
    first = draw(st.integers(-3, 9))
    return {"first": first, "end": first + size, "bins": bins}


def borders_by_reference(first: int, end: int, bins: int) -> list[tuple[int, int]]:
    """The specification."""
    spans = overlapping_bins(Span(float(first), float(end)), bins)
    return [(int(span.start), int(span.end)) for span in spans]


EXERCISE = Exercise(
    id="ex02_2",
    title="The bins in whole cells",
    objective="Divide a RoI into bins that overlap and leave no cell out.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `bin_borders(first, end, bins)`: the cells of each bin on one axis, "
        "starts rounded down and ends rounded up."
    ),
    hints=(
        "The RoI has `end - first` cells, so an exact part is `(end - first) / bins` "
        "long. Keep that number as it is.",
        "Part k reaches from `k * size` to `(k + 1) * size`, counted from `first`. "
        "Round these, the start down and the end up.",
        "Add `first` to both at the end: borders are cells of the map.",
    ),
    solution=bin_borders,
    laws=(
        Law(
            "The borders are those of the specification.",
            rois_in_cells(),
            borders_by_reference,
        ),
        Law(
            "No cell of the RoI is left out, and none outside of it is taken.",
            rois_in_cells(),
            expected=lambda first, end, bins: list(range(first, end)),
            got=lambda f, first, end, bins: sorted(
                {
                    c
                    for start, stop in f(first, end, bins)
                    for c in range(int(start), int(stop))
                }
            ),
        ),
        Law(
            "Seen from the other end the bins are the same: start k and end "
            "bins - 1 - k add up to first + end.",
            rois_in_cells(),
            expected=lambda first, end, bins: [first + end] * bins,
            got=lambda f, first, end, bins: [
                one[0] + other[1]
                for one, other in zip(
                    f(first, end, bins), f(first, end, bins)[::-1], strict=True
                )
            ],
        ),
    ),
    mistakes=(
        Mistake(
            "bins floored",
            "you rounded the size of a bin down, the second quantisation of the "
            "walk-throughs: the cells left over at the RoI's end are in no bin.",
            {"(end - first) / bins": "max((end - first) // bins, 1)"},
        ),
        Mistake(
            "ends rounded down",
            "you rounded the ends down as well: a bin ends after the last cell that "
            "its part touches, so round them up.",
            {"np.ceil": "np.floor"},
        ),
        Mistake(
            "nearest borders",
            "you rounded to the nearest cell; starts go down and ends go up.",
            {"np.floor(k * size)": "k * size + 0.5", "np.ceil": "0.5 + "},
        ),
        Mistake(
            "counted from the RoI",
            "you counted from the RoI's own start; borders are cells of the map, so "
            "add `first`.",
            {
                "first + int(np.floor": "int(np.floor",
                "first + int(np.ceil": "int(np.ceil",
            },
        ),
        Mistake(
            "last cell named",
            "you gave the last cell of a bin; the end is the one after it.",
            {"(start, stop)": "(start, stop - 1)"},
        ),
        Mistake(
            "inclusive RoI",
            "you counted one cell too many: `end` does not belong to the RoI, which "
            "has end - first cells.",
            {"(end - first) / bins": "(end - first + 1) / bins"},
        ),
        Mistake(
            "borders shared",
            "you let each bin begin where the one before it ends: bins may overlap, "
            "and each starts at its own part's start rounded down.",
            {
                "start = first + int(np.floor(k * size))": (
                    "start = borders[-1][1] if borders else first"
                )
            },
        ),
        Mistake(
            "bins rounded up",
            "you rounded the size of a bin up: the last bins then reach past the RoI.",
            {"(end - first) / bins": "-((first - end) // bins)"},
        ),
        Mistake(
            "size not divided",
            "you divided `end` by the bins; the RoI has end - first cells.",
            {"(end - first) / bins": "end / bins"},
        ),
    ),
)
