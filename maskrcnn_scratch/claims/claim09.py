"""x / 16 in place of [x / 16]: how far the brackets move a corner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import (
    Claim,
    Place,
    Step,
    Table,
    Verdict,
    number,
)
from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.misalignment import steps_of_layers

STRIDES = (8, 16, 32)
STRIDE = 16  # the claim's
STEP = 1 / 4  # of x, in image pixels
RULES = {"RoIPool floor": "floored", "RoIPool round": "rounded", "RoIAlign": "x / 16"}


@dataclass(frozen=True)
class Moved:
    """A RoI's left border at many places ``x``, in image pixels, at one stride.

    ``by`` says how far each layer's quantisation moves it; ``legacy`` how far from its
    place the RoIAlign that leaves out the half pixel reads.
    """

    x: Float[np.ndarray, " places"]
    by: dict[str, Float[np.ndarray, " places"]]
    legacy: Float[np.ndarray, " places"]


def measure() -> dict[int, Moved]:
    """For each stride, over two cells."""
    return {stride: move(stride) for stride in STRIDES}


def move(stride: int) -> Moved:
    """At one stride, with one bin, whose border is the RoI's."""
    x = np.arange(0, 2 * stride, STEP)
    by: dict[str, list[float]] = {name: [] for name in RULES}
    legacy = []
    for left in x:
        box = np.array([left, 0, left + 4 * stride, 4 * stride])
        layers = steps_of_layers(box, (1, 1), 1 / stride)
        for name, moves in by.items():
            steps = layers[name].x
            moves.append((steps.quantised.start - steps.roi.start) * stride)
        legacy.append(layers["RoIAlign legacy"].x.shift[0] * stride)
    arrays = {name: np.array(moves) for name, moves in by.items()}
    return Moved(x, arrays, np.array(legacy))


def evidence(told: dict[int, Moved]) -> Iterator[Step | Table]:
    """The bounds in cells and in pixels, and that they are reached."""
    yield Table(
        f"Image pixels that a border is moved, x in steps of 1/{1 / STEP:g}",
        ("stride", *RULES.values()),
        tuple(
            (str(stride), *(most_and_least(moved.by[name]) for name in RULES))
            for stride, moved in told.items()
        ),
    )
    yield from bounds(told)
    here = told[STRIDE]
    rounded = abs(here.by["RoIPool round"]).max()
    yield Step(
        f"rounded, at stride {STRIDE}", f"{number(rounded)} pixels", rounded == 8
    )
    floored = abs(here.by["RoIPool floor"]).max()
    yield Step(
        f"floored, at stride {STRIDE}: just under 16",
        f"{number(floored)} pixels",
        16 - STEP <= floored < 16,
    )
    off = here.legacy
    yield Step(
        "x / 16, but read without the half cell: off by",
        f"{number(off.mean())} pixels",
        bool(np.allclose(off, STRIDE / 2)),
    )


def bounds(told: dict[int, Moved]) -> Iterator[Step]:
    """Of each rule, in cells, at every stride."""
    in_cells = {
        name: [abs(moved.by[name]).max() / stride for stride, moved in told.items()]
        for name in RULES
    }
    rounded = in_cells["RoIPool round"]
    yield Step(
        "rounded: cells at most, and reached, at every stride",
        number(max(rounded)),
        set(rounded) == {0.5},
    )
    floored = [
        1 - cells == STEP / stride
        for stride, cells in zip(told, in_cells["RoIPool floor"], strict=True)
    ]
    yield Step(
        "floored: less than a cell, by one step of x",
        number(max(in_cells["RoIPool floor"])),
        all(floored),
    )
    kept = max(in_cells["RoIAlign"])
    yield Step("RoIAlign, x / 16: cells", number(kept), kept == 0)


def most_and_least(moves: Float[np.ndarray, " places"]) -> str:
    """``-8 to 8``, or ``0``."""
    ends = (number(moves.min(), 4), number(moves.max(), 4))
    return " to ".join(dict.fromkeys(ends))


def draw(told: dict[int, Moved]) -> Figure:
    """How far each rule moves the border, over its place."""
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = figure.subplots()
    here = told[STRIDE]
    # Where both rules go down their lines coincide: the first must be the wider.
    styles = ((palette.FAULT, 6), (palette.QUANTISED, 2), (palette.ROI, 2))
    for (name, rule), (colour, width) in zip(RULES.items(), styles, strict=True):
        moves = here.by[name]
        jumps = np.flatnonzero(abs(np.diff(moves)) > STRIDE / 2) + 1
        # A gap at a jump, for there is no steep line.
        x, y = (np.insert(along, jumps, np.nan) for along in (here.x, moves))
        axes.plot(x, y, color=colour, lw=width, label=rule)
    axes.set(xlabel=f"x, image pixels (stride {STRIDE})", ylabel="moved by, pixels")
    axes.set(xticks=range(0, 2 * STRIDE + 1, STRIDE // 2), yticks=range(-16, 9, 8))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    return figure


def alt(told: dict[int, Moved]) -> str:
    """The picture in words."""
    rounded, floored = (
        most_and_least(told[STRIDE].by[name])
        for name in ("RoIPool round", "RoIPool floor")
    )
    return (
        f"How far a border at x is moved at stride {STRIDE}, in pixels: two saw-teeth, "
        f"{floored} where it is floored and {rounded} where it is rounded, and a flat "
        "line at 0 for RoIAlign."
    )


CLAIM = Claim(
    number=9,
    claim="RoIAlign quantises no border: it computes x / 16 in place of [x / 16].",
    places=(Place.SUMMARY,),
    verdict=Verdict.TRUE,
    right="Rounding moves a border by up to half a cell, 8 pixels at stride 16, "
    "flooring by just under a cell. But x / 16 alone is not enough: read without the "
    "half cell, everything is 8 pixels off.",
    paper="Section 3, RoIAlign: x / 16 in place of [x / 16], 16 being the stride and "
    "[.] rounding.",
    lesson="03_roi_align",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
