"""Evidence that is a training: an ablation of the paper in miniature."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from maskrcnn_scratch.claims.claim import Step, Table
from maskrcnn_scratch.experiments.ablations import (
    Ablation,
    Outcome,
    paired_difference,
    runs,
)
from maskrcnn_scratch.experiments.mask_branch import MaskScore, Scale

log = logging.getLogger(__name__)

SECONDS = Scale(train_images=120, iterations=60, test_images=40)
"""About four seconds a run, for ``--quick``: enough for a direction, if a clear one."""


def trained(ablation: Ablation, seeds: int, scale: Scale) -> Outcome:
    """Every arm for the seeds 0, 1, ...; the log hears of each run."""
    scores: dict[str, list[MaskScore]] = {arm.name: [] for arm in ablation.arms}
    for arm, score in runs(ablation, seeds, scale):
        seed = len(scores[arm])
        scores[arm].append(score)
        iou = f"mask IoU {score.mean_iou:.3f}"
        log.info("%s, seed %d, %s: %s", ablation.name, seed, arm, iou)
    return Outcome(ablation, scores)


def miniature(outcome: Outcome) -> Iterator[Step | Table]:
    """The arms beside the paper's, then how much better the first is than each."""
    first, *rivals = outcome.ablation.arms
    seeds = len(outcome.scores[first.name])
    source, *_ = outcome.ablation.table.split(",")  # Table 2b, ResNet-50-C4
    yield Table(
        f"{outcome.ablation.name} in miniature, seeds: {seeds}",
        ("", "mask IoU", "IoU >= 0.75", f"AP, {source}"),
        tuple(
            (
                arm.name,
                f"{np.mean(outcome.ious(arm.name)):.3f}",
                f"{np.mean(outcome.strict(arm.name)):.3f}",
                f"{arm.paper[0]:.1f}",
            )
            for arm in outcome.ablation.arms
        ),
    )
    for arm in rivals:
        ours, theirs = outcome.ious(first.name), outcome.ious(arm.name)
        mean, error = paired_difference(ours, theirs)
        gain = f"{mean:+.4f}" + (f" ± {error:.4f}" if seeds > 1 else "")
        yield Step(f"mask IoU gained by {first.name} over {arm.name}", gain)
        better = int((np.subtract(ours, theirs) > 0).sum())
        yield Step("runs in which it is better", f"{better} of {seeds}",
                   better == seeds)  # fmt: skip
