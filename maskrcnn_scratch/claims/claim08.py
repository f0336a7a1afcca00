"""RoIPool quantises twice: each quantisation's share of its error."""

from __future__ import annotations

import math
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
from maskrcnn_scratch.reference.roi_steps import AxisSteps, Span

STRIDE, BINS = 16, 7
ROIS, IMAGE, SMALLEST, LARGEST = 200, 800, 64, 448  # boxes; the rest in image pixels
LAYERS = {
    "floor": "RoIPool floor",
    "round": "RoIPool round",
    "align": "RoIAlign",
}


@dataclass(frozen=True)
class Shares:
    """Of one layer: how far each step moves each bin of each RoI, in image pixels.

    ``whole`` says how many of the RoIs have whole numbers (of their corners; of their
    bins' borders), and ``were`` how many had before that quantisation.
    """

    corners: Float[np.ndarray, "rois bins"]
    borders: Float[np.ndarray, "rois bins"]
    both: Float[np.ndarray, "rois bins"]
    were: tuple[int, int]
    whole: tuple[int, int]


def measure(seed: int = 8) -> dict[str, Shares]:
    """Of each layer in ``LAYERS``, over the same RoIs of random size and place."""
    rng = np.random.default_rng(seed)
    sides = rng.uniform(SMALLEST, LARGEST, ROIS)
    starts = rng.uniform(0, IMAGE - sides)
    steps: dict[str, list[AxisSteps]] = {name: [] for name in LAYERS}
    for start, side in zip(starts, sides, strict=True):
        box = np.array([start, start, start + side, start + side])
        told = steps_of_layers(box, (BINS, BINS), 1 / STRIDE)
        for name, layer in LAYERS.items():
            steps[name].append(told[layer].x)
    return {name: shares(some) for name, some in steps.items()}


def shares(steps: list[AxisSteps]) -> Shares:
    """From the steps of the RoIs along one axis."""
    return Shares(
        STRIDE * np.array([one.corner_shift for one in steps]),
        STRIDE * np.array([one.border_shift for one in steps]),
        STRIDE * np.array([one.shift for one in steps]),
        (
            sum(whole([one.roi]) for one in steps),
            sum(whole(one.even_bins) for one in steps),
        ),
        (
            sum(whole([one.quantised]) for one in steps),
            sum(whole(one.bins) for one in steps),
        ),
    )


def whole(spans: list[Span] | tuple[Span, ...]) -> bool:
    """Whether all ends are whole numbers of cells."""
    return all(float(end).is_integer() for span in spans for end in span)


def evidence(told: dict[str, Shares]) -> Iterator[Step | Table]:
    """That there are two quantisations, then what each does to the bins."""
    for name in ("floor", "round"):
        one = told[name]
        for what, before, after in zip(
            ("corners", "bins' borders"), one.were, one.whole, strict=True
        ):
            yield Step(
                f"{LAYERS[name]}: {what} on whole cells, of {ROIS} RoIs",
                f"{before} -> {after}",
                before < ROIS == after,
            )
    yield Table(
        "Image pixels that a bin is moved: mean (most)",
        ("layer", "by corners", "by borders", "by both"),
        tuple(
            (layer, *map(mean_and_most, (one.corners, one.borders, one.both)))
            for layer, one in zip(LAYERS.values(), told.values(), strict=True)
        ),
    )
    sums = [abs(one.corners + one.borders - one.both).max() for one in told.values()]
    yield Step(
        "the two add up to the whole, but for",
        f"{number(max(sums), 6)} pixels",
        max(sums) < 1e-9,
    )
    floor, layer, align = (told[name] for name in LAYERS)
    yield Step(
        "bins floored: the borders do more",
        f"{ratio(floor.borders, floor.corners):.1f} times",
        ratio(floor.borders, floor.corners) > 1,
    )
    yield Step(
        "Fast R-CNN's layer: the corners do more",
        f"{ratio(layer.corners, layer.borders):.1f} times",
        ratio(layer.corners, layer.borders) > 1,
    )
    off = abs(align.both).max()
    yield Step("RoIAlign: the most", f"{number(off, 6)} pixels", off < 1e-9)


def mean_and_most(shifts: Float[np.ndarray, "rois bins"]) -> str:
    """Without sign: 8.5 (22.7)."""
    sizes = abs(shifts)
    return f"{sizes.mean():.1f} ({sizes.max():.1f})"


def ratio(more: np.ndarray, less: np.ndarray) -> float:
    """Of the mean sizes; infinite where the second is 0."""
    first, second = float(abs(more).mean()), float(abs(less).mean())
    return first / second if second else math.inf


def draw(told: dict[str, Shares]) -> Figure:
    """The mean shift of each bin, from the first to the last."""
    figure = Figure(figsize=(9, 3.9), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for panel, name in zip(axes, ("floor", "round"), strict=True):
        of_bins = {
            "corners": (told[name].corners, palette.QUANTISED, "o"),
            "bins' borders": (told[name].borders, palette.BIN, "s"),
            "both": (told[name].both, palette.FAULT, "^"),
        }
        for label, (shifts, colour, mark) in of_bins.items():
            panel.plot(abs(shifts).mean(0), color=colour, marker=mark, label=label)
        panel.set(title=LAYERS[name], xlabel="bin")
    axes[0].set_ylabel("mean shift, image pixels")
    axes[1].legend()
    return figure


def alt(told: dict[str, Shares]) -> str:
    """The picture in words."""
    floor, layer = (abs(told[name].both).mean(0) for name in ("floor", "round"))
    return (
        f"Two panels: the mean shift of each of {BINS} bins by corners, by borders and "
        f"by both. RoIPool with floored bins: from {floor[0]:.0f} pixels at the first "
        f"bin to {floor[-1]:.0f} at the last, mostly by the borders. Fast R-CNN's "
        f"layer: {layer.min():.0f} to {layer.max():.0f} pixels, mostly by the corners."
    )


CLAIM = Claim(
    number=8,
    claim="RoIPool makes whole numbers of coordinates twice: of the RoI's corners, "
    "then of its bins' borders.",
    places=(Place.BLOG,),
    verdict=Verdict.TRUE,
    right="Where the size of a bin is floored, the borders do most of the harm; in "
    "Fast R-CNN's layer the corners do.",
    paper="Section 3, RoIAlign: RoIPool quantises the RoI, then the bins; their shares "
    "are not in the paper.",
    lesson="02_roi_pool",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
