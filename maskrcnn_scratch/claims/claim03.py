"""RoIAlign keeps 20.78 / 7 = 2.97 and reads four points a bin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import (
    Claim,
    Place,
    Step,
    Table,
    Verdict,
    number,
)
from maskrcnn_scratch.figures.misalignment import SAMPLES, draw_layer
from maskrcnn_scratch.reference.bilinear import bilinear_taps
from maskrcnn_scratch.reference.roi_align import roi_align, roi_align_steps
from maskrcnn_scratch.reference.roi_steps import RoiSteps

OBJECT, STRIDE, CELLS, BINS = 665.0, 32, 25, 7


@dataclass(frozen=True)
class Aligned:
    """The object through RoIAlign.

    ``by_hand`` is the largest difference, over all bins, of the layer's value from the
    mean of the points' four cells times their weights; ``in_quarters`` that of the
    points from the centres of the quarters of their bins, in cells.
    """

    steps: RoiSteps
    by_hand: float
    in_quarters: float


def measure(seed: int = 0) -> Aligned:
    """On features drawn at random."""
    features = np.random.default_rng(seed).standard_normal((1, 1, CELLS, CELLS))
    box = np.array([0, 0, OBJECT, OBJECT])
    steps = roi_align_steps(box, (BINS, BINS), 1 / STRIDE, SAMPLES)
    roi = np.array([[0, *box]])
    out = roi_align(features, roi, (BINS, BINS), 1 / STRIDE, SAMPLES)[0, 0]
    by_hand = np.empty_like(out)
    for i, j in np.ndindex(out.shape):
        reads = [mixed(features[0, 0], *point) for point in steps.points(i, j)]
        by_hand[i, j] = sum(reads) / len(reads)
    quarters = [
        part.centre - (point + 0.5)
        for span, points in zip(steps.x.bins, steps.x.points, strict=True)
        for part, point in zip(span.parts(2), points, strict=True)
    ]
    return Aligned(steps, float(abs(out - by_hand).max()), max(map(abs, quarters)))


def mixed(feature_map: np.ndarray, y: float, x: float) -> float:
    """The four cells around an index coordinate, by their weights."""
    rows, columns = bilinear_taps(CELLS, y), bilinear_taps(CELLS, x)
    return sum(
        row_weight * column_weight * float(feature_map[row, column])
        for row, row_weight in rows
        for column, column_weight in columns
    )


def evidence(told: Aligned) -> Iterator[Step | Table]:
    """Size, bin, points, and what a bin's value is made of."""
    axis = told.steps.x
    yield Step(
        f"{OBJECT:g} / {STRIDE}, kept",
        number(axis.quantised.size),
        round(axis.quantised.size, 2) == 20.78,
    )
    yield Step(
        f"/ {BINS}, kept; the claim says 2.97",
        number(axis.bin_size),
        round(axis.bin_size, 2) == 2.97,
    )
    sizes = {round(span.size, 9) for span in axis.bins}
    yield Step("bins of another size", f"{len(sizes) - 1}", len(sizes) == 1)
    points = {len(told.steps.points(i, j)) for i, j in np.ndindex(BINS, BINS)}
    yield Step("points read in each bin", f"{max(points)}", points == {4})
    yield Step(
        "cells from the centres of its quarters",
        number(told.in_quarters, 9),
        told.in_quarters < 1e-12,
    )
    yield Step(
        "a bin's value less the mean of its points, bilinear",
        number(told.by_hand, 9),
        told.by_hand < 1e-12,
    )
    off = max(map(abs, axis.shift)) * STRIDE
    yield Step("image pixels that a bin is off its place", number(off, 9), off < 1e-9)


def draw(told: Aligned) -> Figure:
    """The object with its bins; the first bin with its points, close up."""
    figure = Figure(figsize=(9, 4.9), layout="constrained")
    whole, near = figure.subplots(1, 2)
    for axes in (whole, near):
        draw_layer(axes, CELLS, told.steps.x)
    size = number(told.steps.x.bin_size)
    whole.set_title(f"{OBJECT:g} / {STRIDE} = {number(told.steps.x.roi.size)} cells")
    near.set(xlim=(-0.2, 4.2), ylim=(4.2, -0.2), title=f"bins of {size} cells")
    near.set(xticks=range(5), yticks=range(5))
    handles, labels = whole.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def alt(told: Aligned) -> str:
    """The picture in words."""
    return (
        f"Left, a feature map of {CELLS} x {CELLS} cells with an object of "
        f"{number(told.steps.x.roi.size)} cells a side, cut into {BINS} x {BINS} equal "
        "bins. Right, its first bin close up: four points in it, none of them at the "
        "centre of a cell."
    )


CLAIM = Claim(
    number=3,
    claim="RoIAlign keeps 20.78 cells, cuts them into bins of 20.78 / 7 = 2.97 cells, "
    "and takes four values a bin by bilinear interpolation.",
    places=(Place.NOTES,),
    verdict=Verdict.TRUE,
    right="The bins have 2.96875 cells, and the four points are the centres of a bin's "
    "quarters.",
    paper="Section 3, RoIAlign: bilinear interpolation at four regularly sampled "
    "locations in each bin; the example is not the paper's.",
    lesson="03_roi_align",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
