"""One sample point a bin is nearly as good as four."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict
from maskrcnn_scratch.data import generate_shapes
from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.models.roi_features import roi_features, to_rois
from maskrcnn_scratch.reference.roi_align import roi_align_separable
from maskrcnn_scratch.weights.lesson import lesson_model

WAVES, BINS = (8, 16, 32), (1, 2, 4)  # a wave's length, a bin's side, in cells
MAP, OUT, ROIS = 24, 3, 25  # cells a side, bins a side, RoIs a wave and bin
SIDES = (1, 2)  # points along a side of a bin: one and four in all
MANY = 8  # for a trained network's bins no mean is known: 64 points stand for it
IMAGES, IMAGE_SEED = 4, 6
GRIDS = (7, 14)  # of the box head and the mask head

Errors = tuple[float, float]
"""Of one point and of four: root mean square, over that of the features."""


@dataclass(frozen=True)
class Sampled:
    """Errors of a bin's value against the mean over the bin.

    ``waves`` by (length, bin's side) of plane waves, ``trained`` by the number of bins
    a side, on the features of a trained network.
    """

    waves: dict[tuple[int, int], Errors]
    trained: dict[int, Errors]

    def share(self, low: float, high: float, points: int) -> list[float]:
        """Errors of the waves of which a bin takes from ``low`` to ``high``."""
        return [
            errors[points]
            for (length, side), errors in self.waves.items()
            if low <= side / length <= high
        ]


def measure(seed: int = 6) -> Sampled:
    """Waves in random directions, then the lessons' model on generated images."""
    rng = np.random.default_rng(seed)
    pairs = list(product(WAVES, BINS))
    return Sampled({pair: of_waves(rng, *pair) for pair in pairs}, of_trained())


def of_waves(rng: np.random.Generator, length: int, side: int) -> Errors:
    """Errors on sin(k . p + phase), whose mean over a bin is known.

    Over a bin of side b it is the wave at the bin's centre times
    sinc(kx b / 2) sinc(ky b / 2), where sinc(t) = sin(t) / t.
    """
    wrong: list[list[Float[np.ndarray, "out out"]]] = [[], []]
    for _ in range(ROIS):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        kx, ky = 2 * np.pi / length * np.array([np.cos(angle), np.sin(angle)])
        y, x = np.mgrid[:MAP, :MAP] + 0.5
        features = np.sin(kx * x + ky * y + phase)[None, None]
        x1, y1 = rng.uniform(0.5, MAP - 0.5 - OUT * side, 2)
        roi = np.array([[0, x1, y1, x1 + OUT * side, y1 + OUT * side]])
        middle = (np.arange(OUT) + 0.5) * side
        wave = np.sin(kx * (x1 + middle) + ky * (y1 + middle[:, None]) + phase)
        # NumPy's sinc(t) is sin(pi t) / (pi t).
        right = wave * np.sinc(kx * side / 2 / np.pi) * np.sinc(ky * side / 2 / np.pi)
        for errors, samples in zip(wrong, SIDES, strict=True):
            out = roi_align_separable(features, roi, (OUT, OUT), 1.0, samples)
            errors.append(out[0, 0] - right)
    one, four = (np.sqrt(np.mean(np.square(errors)) / 0.5) for errors in wrong)
    return float(one), float(four)


@torch.no_grad()
def of_trained() -> dict[int, Errors]:
    """Errors on the feature pyramid of the lessons' model, at the true boxes."""
    model, _ = lesson_model("shapes")
    samples = generate_shapes(IMAGES, 128, IMAGE_SEED)
    maps = model.feature_maps(model.batch([image for image, _ in samples]))
    rois = to_rois([target.boxes for _, target in samples])

    def read(grid: int, side: int) -> torch.Tensor:
        config = replace(model.config, roi_sampling_ratio=side)
        return roi_features(config, maps, rois, grid)

    found = {}
    for grid in GRIDS:
        right = read(grid, MANY)
        one, four = (
            float((read(grid, side) - right).square().mean().sqrt() / right.std())
            for side in SIDES
        )
        found[grid] = (one, four)
    return found


def evidence(told: Sampled) -> Iterator[Step | Table]:
    """Errors by the waves' length and the bins' side, and on trained features."""
    yield Table(
        "Error of one point / of four, in per cent of the features",
        ("waves of", *(f"bins of {side}" for side in BINS)),
        tuple(
            (
                f"{length} cells",
                *(both(told.waves[length, side]) for side in BINS),
            )
            for length in WAVES
        ),
    )
    small = max(told.share(0, 1 / 8, points=0))
    yield Step(
        "a bin takes up to 1/8 of a wave: one point, at most",
        percent(small),
        small < 0.05,
    )
    one, four = (max(told.share(1 / 2, 1, points)) for points in (0, 1))
    yield Step("a bin takes 1/2 of a wave: one point", percent(one), one > 0.2)
    yield Step("the same, four points", percent(four), four < 0.1)
    for grid, (one, four) in told.trained.items():
        yield Step(
            f"a trained network's {grid} x {grid} bins: one point / four",
            f"{both((one, four))} %",
            one > 2 * four,
        )


def both(errors: Errors) -> str:
    """``8.7 / 1.2``"""
    return " / ".join(f"{100 * error:.1f}" for error in errors)


def percent(error: float) -> str:
    """``8.7 %``"""
    return f"{100 * error:.1f} %"


def draw(told: Sampled) -> Figure:
    """Errors over the part of a wave that a bin takes; beside it the network's."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    names = ("one point", "four points")
    colours = (palette.FAULT, palette.SAMPLE)
    for points, (name, colour) in enumerate(zip(names, colours, strict=True)):
        beside = (0.95, 1.05)[points]  # neither hides the other
        parts = [beside * side / length for length, side in told.waves]
        errors = [100 * errors[points] for errors in told.waves.values()]
        left.plot(parts, errors, "os"[points], color=colour, label=name)
        places = np.arange(len(GRIDS)) + 0.4 * points - 0.2
        heights = [100 * errors[points] for errors in told.trained.values()]
        bars = right.bar(places, heights, 0.4, color=colour, label=name)
        right.bar_label(bars, fmt="%.1f", padding=2)
    left.set(xscale="log", xlabel="part of a wave that a bin takes (its side)")
    ticks = sorted({side / length for length, side in told.waves})
    left.set_xticks(ticks, [f"1/{1 / part:.0f}" for part in ticks])
    left.minorticks_off()
    left.set(ylabel="error, % of the features", title="plane waves")
    left.legend()
    right.set_xticks(range(len(GRIDS)), [f"{grid} x {grid} bins" for grid in GRIDS])
    right.set_title("a trained network")
    return figure


def alt(told: Sampled) -> str:
    """The picture in words."""
    (small, _), (large, four) = told.waves[WAVES[-1], BINS[0]], told.waves[8, 4]
    return (
        "Left, errors on plane waves over the part of a wave that a bin takes: of one "
        f"point from {percent(small)} at 1/32 to {percent(large)} at 1/2, of four "
        f"points {percent(four)} there. Right, bars for a trained network: one point / "
        f"four {both(told.trained[7])} % in 7 x 7 bins, {both(told.trained[14])} % in "
        "14 x 14."
    )


CLAIM = Claim(
    number=6,
    claim="One sample point a bin is nearly as good as four.",
    places=(Place.BLOG,),
    verdict=Verdict.CONDITION,
    right="In bins that are small against what the features show: over an eighth of a "
    "wave one point is within 5 %; over half a wave it is more than 20 % off, and four "
    "are less than 10 %.",
    paper="Section 3, RoIAlign: four points a bin; results are said not to depend on "
    "how many, as long as nothing is quantised. No figures.",
    lesson="03_roi_align",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
