"""RoIAlign visits fewer points than RoIPool, from a certain size on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict
from maskrcnn_scratch.figures.misalignment import SAMPLES, steps_of_layers

STRIDE, BINS = 16, 7
SIDES = range(16, 481, 8)  # of square RoIs, in image pixels
STARTS = range(0, STRIDE, 4)  # where a RoI begins, in image pixels
SHOWN = (32, 64, 96, 112, 128, 224, 336, 448)
SEVEN_CELLS = BINS * STRIDE  # the size from which the claim is true

Reads = dict[str, dict[int, tuple[int, int]]]
"""Features read by a layer, by its name and the RoI's side: (fewest, most)."""


def measure() -> Reads:
    """Of square RoIs that begin in different places; a cell of two bins counts twice.

    The fewest and the most are over those places.
    """
    counts: dict[str, dict[int, list[int]]] = {}
    for side in SIDES:
        for start in STARTS:
            ends = [start, start, start + side, start + side]
            box = np.array(ends, np.float64)
            for name, steps in steps_of_layers(box, (BINS, BINS), 1 / STRIDE).items():
                along = sum(map(len, steps.x.points))  # rows do the same as columns
                counts.setdefault(name, {}).setdefault(side, []).append(along**2)
    return {
        name: {side: (min(some), max(some)) for side, some in by_side.items()}
        for name, by_side in counts.items()
    }


def evidence(told: Reads) -> Iterator[Step | Table]:
    """The counts by size, and where one layer overtakes the other."""
    layers = [told[name] for name in ("RoIAlign", "RoIPool round", "RoIPool floor")]
    yield Table(
        f"Features read for {BINS} x {BINS} bins at stride {STRIDE}",
        ("RoI, pixels", "RoIAlign", "RoIPool, the layer", "RoIPool, bins floored"),
        tuple((str(side), *(span(layer[side]) for layer in layers)) for side in SHOWN),
    )
    align, layer, floor = layers
    points = {count for counts in align.values() for count in counts}
    yield Step(
        f"RoIAlign: {BINS} x {BINS} bins of {SAMPLES} x {SAMPLES} points, at any size",
        " or ".join(map(str, sorted(points))),
        points == {(BINS * SAMPLES) ** 2},
    )
    of_small = max(layer[side][1] for side in SIDES if side < SEVEN_CELLS)
    yield Step(
        f"the layer of RoIPool below {SEVEN_CELLS} pixels: at most",
        str(of_small),
        of_small <= min(points),
    )
    of_large = min(layer[side][0] for side in SIDES if side >= SEVEN_CELLS)
    yield Step(
        f"from {SEVEN_CELLS} pixels on: at least",
        str(of_large),
        of_large >= max(points),
    )
    (least, _), (_, most) = layer[SHOWN[-1]], layer[SHOWN[0]]
    yield Step(
        f"at {SHOWN[0]} pixels fewer, at {SHOWN[-1]} more than RoIAlign",
        f"{most}, {least}",
        most < min(points) <= max(points) < least,
    )
    more = min(side for side in SIDES if floor[side][0] > max(points))
    yield Step("with bins floored, more than RoIAlign from", f"{more} pixels")
    yield Step("cells that RoIAlign's points mix, four each", f"{4 * max(points)}")


def span(counts: tuple[int, int]) -> str:
    """``196``, or ``196 to 225`` where it depends on where the RoI begins."""
    fewest, most = counts
    return str(fewest) if fewest == most else f"{fewest} to {most}"


def draw(told: Reads) -> Figure:
    """Counts over the RoI's side; a band where they depend on its place."""
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    styles = {
        "RoIPool round": ("RoIPool, the layer", "0.35"),
        "RoIPool floor": ("RoIPool, bins floored", "0.7"),
        "RoIAlign": ("RoIAlign", "black"),
    }
    for name, (label, colour) in styles.items():
        low, high = np.array([told[name][side] for side in SIDES]).T
        # A flat line needs an edge to be seen.
        axes.fill_between(SIDES, low, high, color=colour, lw=2, label=label)
    axes.axvline(SEVEN_CELLS, 0, 0.62, color="black", lw=0.8, ls=":")
    axes.annotate(f" {SEVEN_CELLS} pixels", (SEVEN_CELLS, 800))
    axes.set(xlabel=f"side of the RoI, image pixels (stride {STRIDE})", ylim=(0, None))
    axes.set(ylabel="features read, each bin's", xlim=(SIDES[0], SIDES[-1]))
    axes.legend(loc="upper left")
    return figure


def alt(told: Reads) -> str:
    """The picture in words."""
    low, high = told["RoIPool round"][SIDES[0]][0], told["RoIPool round"][SIDES[-1]][1]
    return (
        f"Features read over the RoI's side. RoIAlign: a flat line at "
        f"{span(told['RoIAlign'][SIDES[0]])}. RoIPool's layer rises from {low} to "
        f"{high}, falls back wherever the RoI has a multiple of {BINS} cells, and "
        f"passes it at {SEVEN_CELLS} pixels."
    )


CLAIM = Claim(
    number=7,
    claim="RoIAlign visits fewer points than RoIPool.",
    places=(Place.BLOG,),
    verdict=Verdict.CONDITION,
    right="True of RoIs above about 112 pixels at stride 16 (7 cells); of smaller ones "
    "RoIPool reads fewer. RoIAlign's count is the same at any size.",
    paper="Section 3, RoIAlign: four points a bin; the paper counts no reads.",
    lesson="03_roi_align",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
