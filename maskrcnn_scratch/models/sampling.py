"""Which RoIs the heads learn from (He et al. 2017, section 3.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.proposals import Proposals, one_pixel
from maskrcnn_scratch.ops.checks import values_can_be_checked
from maskrcnn_scratch.ops.matching import IGNORED
from maskrcnn_scratch.structures import Target


@dataclass(frozen=True)
class SampledRoIs:
    """RoIs of one image to learn from, positives first.

    On a GPU there may be padding behind them (``valid`` is False), for how many were
    drawn only the GPU knows.
    """

    boxes: Float[Tensor, "rois 4"]
    labels: Int64[Tensor, " rois"]
    """The class, 1..K, or 0 for background and padding."""
    objects: Int64[Tensor, " rois"]
    """The matched object's index in its image's target; 0 for the others."""
    goals: Float[Tensor, "rois 4"]
    """The matched object's box; the RoI itself for the others."""
    valid: Bool[Tensor, " rois"]

    @property
    def positive(self) -> Bool[Tensor, " rois"]:
        """Whether the RoI has an object."""
        return self.labels > 0

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: slice | Tensor) -> SampledRoIs:
        """Some of the RoIs."""
        return SampledRoIs(*(getattr(self, f.name)[rows] for f in fields(self)))


def joined(samples: list[SampledRoIs]) -> SampledRoIs:
    """Those of all images in one list."""
    return SampledRoIs(
        *(
            torch.cat([getattr(one, field.name) for one in samples])
            for field in fields(SampledRoIs)
        )
    )


def generators(targets: list[Target]) -> list[torch.Generator | None]:
    """A source of random numbers for each image.

    Seeded by a number from torch's default generator and the image's id, so that an
    image's sample does not depend on what else is in the batch, or on which process
    holds it.
    """
    base = int(torch.randint(2**62, (), device="cpu"))
    return [generator(base, target) for target in targets]


def generator(base: int, target: Target) -> torch.Generator | None:
    """On the target's device; None where there are no values (meta)."""
    device = target.boxes.device
    if device.type == "meta":
        return None
    mixed = np.random.SeedSequence((base, abs(target.image_id)))
    seed = int(mixed.generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator(device).manual_seed(seed)


def objects_to_learn(target: Target) -> Float[Tensor, "objects 4"]:
    """Their boxes; those of crowds are NaN and match nothing."""
    return torch.where(target.crowd[:, None], math.nan, target.boxes)


@torch.no_grad()
def sample_rois(
    config: ModelConfig,
    proposals: Proposals,
    target: Target,
    generator: torch.Generator | None = None,
) -> SampledRoIs:
    """``roi_samples`` RoIs, a quarter of them positive where there are enough.

    An RoI is positive when its IoU with an object is at least ``roi_positive_iou``. The
    objects' own boxes join the proposals (``roi_append_truth``), so that there are
    positives from the first iteration on.
    """
    objects = objects_to_learn(target)
    boxes, filled = proposals.boxes, proposals.filled
    if config.roi_append_truth:
        known = torch.where(target.crowd[:, None], one_pixel(boxes), target.boxes)
        boxes = torch.cat([boxes, known])
        filled = torch.cat([filled, ~target.crowd])
    iou = config.roi_positive_iou
    matched = ops.match(objects, boxes, iou, iou, allow_low_quality=False)
    matched = torch.where(filled, matched, IGNORED)
    index, positive, valid = ops.sample(
        matched, config.roi_samples, config.roi_positive_fraction, generator
    )
    own = matched[index].clamp(min=0)
    boxes = boxes[index]
    if len(target):
        labels = torch.where(positive, target.labels[own], 0)
        goals = torch.where(positive[:, None], target.boxes[own], boxes)
    else:
        labels, goals = torch.zeros_like(own), boxes
    sampled = SampledRoIs(boxes, labels, own, goals, valid)
    return sampled[valid] if values_can_be_checked(boxes) else sampled


def positives_of(config: ModelConfig, sampled: SampledRoIs) -> SampledRoIs:
    """The first rows, as many as can be positive; on the CPU, as many as are."""
    if values_can_be_checked(sampled.boxes):
        return sampled[: int(sampled.positive.sum())]
    quota = int(config.roi_samples * config.roi_positive_fraction)
    front = sampled[:quota]
    return replace(front, valid=front.positive)
