"""20 cells into 7 bins are 2.9 cells each, which become 2."""

from __future__ import annotations

from collections.abc import Iterator
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
from maskrcnn_scratch.figures.misalignment import Misalignment, follow
from maskrcnn_scratch.figures.roi_steps import draw_strips
from maskrcnn_scratch.reference.roi_steps import AxisSteps

IMAGE, OBJECT, STRIDE, BINS = 800, 665.0, 32, 7
NAMES = ("RoIPool floor", "RoIPool round")


def measure() -> Misalignment:
    """The object of 665 pixels through every RoI layer of ``reference/``."""
    return follow(IMAGE, OBJECT, STRIDE, BINS)


def evidence(told: Misalignment) -> Iterator[Step | Table]:
    """The claim's arithmetic, what it leaves out, and what the layer does instead."""
    floor, layer = (told.layers[name] for name in NAMES)
    cells = floor.quantised.size
    yield Step(
        f"{number(cells)} / {BINS}, which is 2.9 to one decimal",
        number(floor.bin_size, 3),
        round(floor.bin_size, 1) == 2.9,
    )
    sides = sizes(floor)
    yield Step(
        "cells a side of each bin, its size floored", listed(sides), sides == [2] * BINS
    )
    yield Step("bins in all", f"{len(floor.bins) ** 2}", len(floor.bins) ** 2 == 49)
    yield Step(
        f"cells of the object's {number(told.roi.size)} in some bin",
        number(floor.covered),
        floor.covered == 14,
    )
    yield Step(
        "image pixels of the object in no bin",
        number((told.roi.size - floor.covered) * STRIDE),
    )
    sides = sizes(layer)
    yield Step(
        f"Fast R-CNN's layer: a side of each bin, {number(layer.quantised.size)} cells",
        listed(sides),
        2 not in sides,
    )
    overlaps = [before.end - after.start for before, after in pairwise(layer.bins)]
    yield Step(
        "cells that its neighbouring bins share", listed(overlaps), min(overlaps) > 0
    )
    left_out = unread(layer)
    yield Step("cells of its RoI in no bin", f"{left_out}", left_out == 0)


def sizes(steps: AxisSteps) -> list[float]:
    """Of the bins along one axis, in cells."""
    return [span.size for span in steps.bins]


def unread(steps: AxisSteps) -> int:
    """Cells of the quantised RoI that no bin reads."""
    every = range(int(steps.quantised.start), int(steps.quantised.end))
    return len(set(every).difference(*map(set, steps.points)))


def listed(values: list[float]) -> str:
    """One after the other: 2 2 2."""
    return " ".join(map(number, values))


def draw(told: Misalignment) -> Figure:
    """Bins and the cells they read, by both rules, along one axis."""
    return draw_strips(told, NAMES)


def alt(told: Misalignment) -> str:
    """The picture in words."""
    floor, layer = (told.layers[name] for name in NAMES)
    left_out = number(told.roi.size - floor.covered)
    return (
        f"Two strips along one axis. Above, {BINS} bins of {number(sizes(floor)[0])} "
        f"cells side by side, which leave {left_out} cells at the object's end in no "
        "bin. Below, the bins of Fast R-CNN's layer, of "
        f"{number(sizes(layer)[0])} cells, which overlap and leave out none."
    )


CLAIM = Claim(
    number=2,
    claim="Cutting 20 cells into 7 bins gives bins of 2.9 cells, quantised to 2, so 49 "
    "bins of 2 x 2 cells.",
    places=(Place.NOTES,),
    verdict=Verdict.CONDITION,
    right="2 where the size of a bin is floored, which leaves 14 of the 20.78 cells; "
    "Fast R-CNN's layer floors starts and ceils ends, so its bins overlap and leave "
    "out no cell.",
    paper="Section 3, RoIAlign: the bins of RoIPool are themselves quantised; the "
    "example is not the paper's.",
    lesson="02_roi_pool",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
