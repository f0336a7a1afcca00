"""The paper's ablations in miniature (He et al. 2017, Table 2).

Each function names the arms of one experiment: models that differ in one field. What
the paper measured stands beside: mask AP, AP50, AP75 on COCO minival. Ours are mask IoU
on generated shapes (``mask_branch``), so directions can be compared, sizes cannot:
objects of 15 to 85 pixels in images of 128, a ResNet-18 a quarter as wide, a training
of seconds that starts from a backbone trained with RoIAlign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from maskrcnn_scratch.experiments.lesson_weights import lesson_config
from maskrcnn_scratch.experiments.mask_branch import (
    FULL,
    MaskScore,
    Scale,
    train_and_score,
)
from maskrcnn_scratch.models import ModelConfig

Paper = tuple[float, float, float]  # mask AP, AP50, AP75


@dataclass(frozen=True)
class Arm:
    """One model of an experiment, and what the paper measured of its like."""

    name: str
    config: ModelConfig
    paper: Paper


@dataclass(frozen=True)
class Ablation:
    """Models that differ in one thing; the first is the one that others lose to."""

    name: str
    table: str
    arms: tuple[Arm, ...]


@dataclass(frozen=True)
class Outcome:
    """The scores of each arm, one a seed; seed i is the same run but for the arm."""

    ablation: Ablation
    scores: dict[str, list[MaskScore]]

    def ious(self, arm: str) -> list[float]:
        """Mean mask IoU by seed."""
        return [score.mean_iou for score in self.scores[arm]]

    def strict(self, arm: str) -> list[float]:
        """By seed, the part of the objects with an IoU of at least 0.75."""
        return [score.strict for score in self.scores[arm]]


def base_model() -> ModelConfig:
    """Heads on C4, stride 16, with masks of 14 x 14 as in Tables 2b and 2c.

    The features of a bin are its largest, because RoIPool knows nothing else.
    """
    return replace(
        lesson_config("shapes").model,
        rpn=False,
        features="c4",
        anchor_levels=(4,),
        roi_reduce="max",
        mask_pool=7,
        mask_head_width=64,
    )


def mask_loss() -> Ablation:
    """A sigmoid for each class's own map, or classes that compete for pixels."""
    base = base_model()
    arms = (
        Arm("sigmoid", base, (30.3, 51.2, 31.5)),
        Arm("softmax", replace(base, mask_loss="softmax"), (24.8, 44.1, 25.1)),
    )
    return Ablation("mask-loss", "Table 2b, ResNet-50-C4", arms)


def roi_layer() -> Ablation:
    """Corners and bins on whole cells, corners alone, or nothing rounded."""
    base = base_model()
    arms = (
        Arm("RoIAlign", base, (30.2, 51.0, 31.8)),
        Arm("RoIWarp", replace(base, roi_layer="warp"), (27.2, 49.2, 27.1)),
        Arm("RoIPool", replace(base, roi_layer="pool"), (26.9, 48.8, 26.4)),
    )
    return Ablation("roi-layer", "Table 2c, ResNet-50-C4, stride 16", arms)


def roi_layer_32() -> Ablation:
    """The same on C5, whose cells are twice as large; in the paper the gain is too."""
    base = replace(base_model(), features="c5", anchor_levels=(5,))
    arms = (
        Arm("RoIAlign", base, (30.9, 51.8, 32.1)),
        Arm("RoIPool", replace(base, roi_layer="pool"), (23.6, 46.5, 21.6)),
    )
    return Ablation("roi-layer-32", "Table 2d, ResNet-50-C5, stride 32", arms)


def roi_reduce() -> Ablation:
    """The mean of a bin's samples, or the largest: hardly any difference."""
    base = base_model()
    arms = (
        Arm("mean", replace(base, roi_reduce="mean"), (30.3, 51.2, 31.5)),
        Arm("max", base, (30.2, 51.0, 31.8)),
    )
    return Ablation("roi-reduce", "Table 2c, RoIAlign, ResNet-50-C4", arms)


def class_agnostic() -> Ablation:
    """A map for each class, or one for all: nearly as good.

    The paper gives AP alone (section 4.1, text), so AP50 and AP75 are unknown (NaN).
    """
    base = base_model()
    unknown = (math.nan, math.nan)
    arms = (
        Arm("class-specific", base, (30.3, *unknown)),
        Arm(
            "class-agnostic", replace(base, mask_class_agnostic=True), (29.7, *unknown)
        ),
    )
    return Ablation("class-agnostic", "Section 4.1, ResNet-50-C4", arms)


def mask_head() -> Ablation:
    """Convolutions, which know where a pixel is, or fully connected layers."""
    base = base_model()
    arms = (
        Arm("FCN", base, (33.6, 55.2, 35.3)),
        Arm("MLP", replace(base, mask_head="mlp"), (31.5, 53.7, 32.8)),
    )
    return Ablation("mask-head", "Table 2e, ResNet-50-FPN", arms)


EXPERIMENTS: tuple[Callable[[], Ablation], ...] = (
    mask_loss,
    roi_layer,
    roi_layer_32,
    roi_reduce,
    class_agnostic,
    mask_head,
)


def runs(
    ablation: Ablation, seeds: int, scale: Scale = FULL
) -> Iterator[tuple[str, MaskScore]]:
    """(arm, score) of every run, seed by seed, as they are done."""
    for seed in range(seeds):
        for arm in ablation.arms:
            yield arm.name, train_and_score(arm.config, seed, scale)


def run(ablation: Ablation, seeds: int, scale: Scale = FULL) -> Outcome:
    """Every arm once for each of the seeds 0, 1, ..."""
    scores: dict[str, list[MaskScore]] = {arm.name: [] for arm in ablation.arms}
    for name, score in runs(ablation, seeds, scale):
        scores[name].append(score)
    return Outcome(ablation, scores)


def paired_difference(one: list[float], other: list[float]) -> tuple[float, float]:
    """(mean, standard error) of one - other, run by run; NaN error for one run.

    Runs of the same seed share images, boxes and order, which cancel in the difference.
    """
    differences = np.subtract(one, other)
    if len(differences) < 2:
        return float(differences.mean()), math.nan
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    return float(differences.mean()), float(error)
