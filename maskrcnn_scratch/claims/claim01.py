"""665 / 32 = 20.78 becomes 20."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import (
    Claim,
    Place,
    Step,
    Table,
    Verdict,
    number,
)
from maskrcnn_scratch.figures.misalignment import (
    Misalignment,
    draw_misalignment,
    follow,
)

IMAGE, OBJECT, STRIDE = 800, 665.0, 32


def measure() -> Misalignment:
    """The object through every RoI layer of ``reference/``."""
    return follow(IMAGE, OBJECT, STRIDE)


def evidence(told: Misalignment) -> Iterator[Step | Table]:
    """The feature map, the object on it, and what each rule makes of it."""
    floor, nearest = (
        told.layers[name].quantised for name in ("RoIPool floor", "RoIPool round")
    )
    size = told.roi.size
    yield Step(f"{IMAGE} / {STRIDE} cells a side", str(told.cells), told.cells == 25)
    yield Step(f"{OBJECT:g} / {STRIDE}", number(size), round(size, 2) == 20.78)
    yield Step("corners floored: the RoI's side", number(floor.size), floor.size == 20)
    lost = size - floor.size
    yield Step(
        f"lost, in image pixels: {number(lost)} x {STRIDE}",
        number(lost * STRIDE),
        lost * STRIDE == 25,
    )
    # The layer rounds the last cell, 20.78 -> 21, and counts that cell in.
    last = nearest.end - 1
    yield Step("the end rounded, as Fast R-CNN's layer does", number(last), last == 21)
    yield Step(
        "that layer counts its last cell in: the RoI's side",
        number(nearest.size),
        nearest.size == 22,
    )


def draw(told: Misalignment) -> Figure:
    """Every layer on its grid."""
    return draw_misalignment(told)


def alt(told: Misalignment) -> str:
    """The picture in words."""
    return (
        f"Six panels. Five show the {told.cells} x {told.cells} feature map, the "
        f"object of {number(told.roi.size)} cells a side and what each RoI layer makes "
        "of it; the sixth, how many pixels from its place each bin reads."
    )


CLAIM = Claim(
    number=1,
    claim="An image of 800 pixels has 25 x 25 features at stride 32, and an object of "
    "665 pixels, 20.78 cells there, is quantised to 20.",
    places=(Place.NOTES,),
    verdict=Verdict.CONDITION,
    right="20 where the corners are floored; Fast R-CNN's layer rounds them, to 21.",
    paper="Section 3, RoIAlign: RoIPool quantises, RoIAlign does not; the example "
    "itself is not the paper's.",
    lesson="02_roi_pool",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
