"""The four samples of a bin: their maximum, or their mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict, number
from maskrcnn_scratch.claims.miniature import trained
from maskrcnn_scratch.experiments.ablations import (
    Outcome,
    paired_difference,
    roi_reduce,
)
from maskrcnn_scratch.experiments.mask_branch import FULL, Scale
from maskrcnn_scratch.figures.ablation import draw_ablation
from maskrcnn_scratch.models.presets import preset
from maskrcnn_scratch.reference.roi_align import roi_align

SYSTEMS = ("torchvision", "detectron2")
CELLS, BINS, ROIS = 25, 7, 20
SMALL_IOU = 0.02  # RoIPool loses more in the same experiment, see claim 13


@dataclass(frozen=True)
class Reduced:
    """What maximum and mean make of a ramp, and of a training.

    ``leans`` says how far from a bin's centre the ramp has the value that comes out, in
    bins, by mode; ``systems`` what published models take.
    """

    leans: dict[str, Float[np.ndarray, "rois bins"]]
    systems: dict[str, Literal["mean", "max"]]
    outcome: Outcome


def measure(seeds: int = 3, scale: Scale = FULL) -> Reduced:
    """Random RoIs on a ramp, then the trainings."""
    rng = np.random.default_rng(4)
    sizes = rng.uniform(4, 20, ROIS)
    starts = rng.uniform(0.5, CELLS - 0.5 - sizes)
    rois = np.stack(
        [0 * starts, starts, 0 * starts + 1, starts + sizes, 0 * starts + 2], axis=1
    )
    ramp = np.tile(np.arange(CELLS) + 0.5, (3, 1))[None, None]
    centres = starts[:, None] + (np.arange(BINS) + 0.5) / BINS * sizes[:, None]
    leans = {
        mode: (roi_align(ramp, rois, (1, BINS), 1.0, 2, mode=mode)[:, 0, 0] - centres)
        / (sizes[:, None] / BINS)
        for mode in ("mean", "max")
    }
    systems = {name: preset(name).roi_reduce for name in SYSTEMS}
    return Reduced(leans, systems, trained(roi_reduce(), seeds, scale))


def evidence(told: Reduced) -> Iterator[Step | Table]:
    """They differ on features, hardly in masks; and what is in use."""
    for mode, right in (("mean", 0.0), ("max", 0.25)):
        leans = told.leans[mode]
        yield Step(
            f"features that rise evenly, {mode} of four: bins off",
            number(leans.mean(), 6),
            bool(np.allclose(leans, right, atol=1e-9)),
        )
    yield arms_table(told.outcome)
    mean, largest = told.outcome.ablation.arms
    apart, error = paired_difference(
        told.outcome.ious(mean.name), told.outcome.ious(largest.name)
    )
    # The error of a single run is NaN.
    value = f"{apart:.4f}" + ("" if np.isnan(error) else f" ± {error:.4f}")
    yield Step(
        f"mean less max, mask IoU: less than {SMALL_IOU}", value, abs(apart) < SMALL_IOU
    )
    gap = mean.paper[0] - largest.paper[0]
    yield Step("mean less max, the paper's AP", f"{gap:.1f}", round(gap, 1) == 0.1)
    for name, mode in told.systems.items():
        yield Step(f"{name}'s model takes the", mode, mode == "mean")


def arms_table(outcome: Outcome) -> Table:
    """Ours beside the paper's."""
    arms = outcome.ablation.arms
    return Table(
        f"Trained in miniature, seeds: {len(outcome.ious(arms[0].name))}",
        ("", "mask IoU", "IoU >= 0.75", "paper: AP", "AP50", "AP75"),
        tuple(
            (
                arm.name,
                f"{np.mean(outcome.ious(arm.name)):.3f}",
                f"{np.mean(outcome.strict(arm.name)):.3f}",
                *(f"{ap:.1f}" for ap in arm.paper),
            )
            for arm in arms
        ),
    )


def draw(told: Reduced) -> Figure:
    """The runs beside the paper's AP, wide enough that a small gap looks small."""
    arms = told.outcome.ablation.arms
    ious = {arm.name: told.outcome.ious(arm.name) for arm in arms}
    paper = {arm.name: arm.paper[0] for arm in arms}
    figure, drawn = draw_ablation(ious, paper, told.outcome.ablation.table)
    middle = float(np.mean(list(drawn.means.values())))
    figure.axes[0].set_xlim(middle - 3 * SMALL_IOU, middle + 3 * SMALL_IOU)
    return figure


def alt(told: Reduced) -> str:
    """The picture in words."""
    ours = " and ".join(
        f"{np.mean(told.outcome.ious(arm.name)):.3f} by the {arm.name}"
        for arm in told.outcome.ablation.arms
    )
    paper = " and ".join(f"{arm.paper[0]:.1f}" for arm in told.outcome.ablation.arms)
    return f"Left, mask IoU of our runs: {ours}. Right, the paper's AP: {paper}."


CLAIM = Claim(
    number=4,
    claim="RoIAlign takes the largest of a bin's four samples (or, as others say, the "
    "largest or the mean).",
    places=(Place.BLOG, Place.RUSSIAN, Place.WALK, Place.NOTES),
    verdict=Verdict.CONDITION,
    right="Either does: the paper has 30.2 AP with the maximum and 30.3 with the mean. "
    "Published implementations take the mean, which alone leaves features in place.",
    paper="Table 2c, RoIAlign, ResNet-50-C4: max 30.2 / 51.0 / 31.8, mean 30.3 / 51.2 "
    "/ 31.5 (AP / AP50 / AP75).",
    lesson="03_roi_align",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
    small="backbone (a ResNet-18 of 16 channels where published ones have 64) and mask "
    "head alone, boxes given; 400 generated images of 128 pixels, 400 iterations, "
    "3 seeds, about 3 minutes; mask IoU, not AP. Quick: 64 images, 30 iterations, "
    "1 seed, 5 seconds.",
    quick={"seeds": 1, "scale": Scale(64, 30, 20)},
)
