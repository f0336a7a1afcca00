"""8 cells into 7 bins, rule by rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import (
    Claim,
    Place,
    Step,
    Table,
    Verdict,
    number,
)
from maskrcnn_scratch.figures.misalignment import Misalignment
from maskrcnn_scratch.figures.roi_steps import draw_strips
from maskrcnn_scratch.reference.roi_pool import (
    cells_of,
    overlapping_bins,
    whole_cell_bins,
)
from maskrcnn_scratch.reference.roi_steps import AxisSteps, Span

CELLS, BINS, STRIDE = 8, 7, 16
SHARED, LAYER, FLOOR = "shared borders", "Fast R-CNN's layer", "bins floored"


def measure() -> Misalignment:
    """The bins of 8 whole cells, by each rule."""
    roi = Span(0, CELLS)
    rules = {
        SHARED: shared_bins(roi, BINS),
        LAYER: overlapping_bins(roi, BINS),
        FLOOR: whole_cell_bins(roi, BINS),
    }
    layers = {
        name: AxisSteps(STRIDE, roi, roi, bins, tuple(map(cells_of, bins)))
        for name, bins in rules.items()
    }
    return Misalignment(STRIDE, CELLS, roi, layers)


def shared_bins(roi: Span, count: int) -> tuple[Span, ...]:
    """Neighbours share a border, which is rounded down: the rule behind the claim."""
    borders = [part.start for part in roi.parts(count)] + [roi.end]
    whole = [float(math.floor(border)) for border in borders]
    return tuple(Span(*ends) for ends in pairwise(whole))


def evidence(told: Misalignment) -> Iterator[Step | Table]:
    """The cells of each bin by each rule, then what they show."""
    names = tuple(told.layers)
    cells = [map(listed, told.layers[name].points) for name in names]
    rows = zip(map(str, range(1, BINS + 1)), *cells, strict=True)
    yield Table(f"Cells (0 to {CELLS - 1}) in each bin", ("bin", *names), tuple(rows))
    sizes = {name: [len(some) for some in told.layers[name].points] for name in names}
    says = "cells a bin, borders shared and rounded down"
    yield Step(says, listed(sizes[SHARED]), set(sizes[SHARED]) == {1, 2})
    yield Step(
        "by Fast R-CNN's layer: always two",
        listed(sizes[LAYER]),
        set(sizes[LAYER]) == {2},
    )
    yield Step(
        "with the size of a bin floored: always one",
        listed(sizes[FLOOR]),
        set(sizes[FLOOR]) == {1},
    )
    unread = set(range(CELLS)).difference(*map(set, told.layers[FLOOR].points))
    yield Step("cells that it leaves out", listed(sorted(unread)), bool(unread))
    off = {name: max(map(abs, told.layers[name].shift)) for name in names}
    for name, cells_off in off.items():
        yield Step(
            f"{name}: a bin is off its place by up to",
            f"{number(cells_off, 3)} cells",
            cells_off > 0.25,
        )


def listed(cells: Sequence[float]) -> str:
    """One after the other: 0 1."""
    return " ".join(map(str, cells))


def draw(told: Misalignment) -> Figure:
    """The bins by each rule, along one axis."""
    return draw_strips(told, tuple(told.layers))


def alt(told: Misalignment) -> str:
    """The picture in words."""
    shared = listed([len(some) for some in told.layers[SHARED].points])
    return (
        f"Three strips of {CELLS} cells cut into {BINS} bins. With shared borders "
        f"these have {shared} cells. By Fast R-CNN's layer each has two and overlaps "
        "the next. With floored sizes each has one, and the last cell is in no bin."
    )


CLAIM = Claim(
    number=10,
    claim="In a RoI of 8 x 8 cells pooled to 7 x 7, some bins hold one cell and some "
    "two, so outputs have no fixed place in the input.",
    places=(Place.SUMMARY,),
    verdict=Verdict.CONDITION,
    right="One and two only where neighbours share a border, rounded down; Fast "
    "R-CNN's layer puts two cells in every bin, flooring the size one. By no rule do "
    "all bins read where they belong.",
    paper="Section 3, RoIAlign: quantising puts RoI and features out of line; the "
    "example is not the paper's.",
    lesson="02_roi_pool",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
