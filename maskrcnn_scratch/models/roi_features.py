"""From boxes to features of a fixed size: the level rule, then RoIAlign."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.config import ModelConfig


def to_rois(boxes: list[Float[Tensor, "_n 4"]]) -> Float[Tensor, "rois 5"]:
    """The boxes of all images in one list: (image index, x1, y1, x2, y2)."""
    return torch.cat(
        [
            torch.cat([box.new_full((len(box), 1), image), box], dim=1)
            for image, box in enumerate(boxes)
        ]
    )


def roi_features(
    config: ModelConfig,
    pyramid: list[Float[Tensor, "n c _h _w"]],
    rois: Float[Tensor, "rois 5"],
    size: int,
) -> Float[Tensor, "rois c size size"]:
    """RoIAlign of every RoI on the level that fits it (Lin et al. 2017, equation 1).

    ``pyramid`` is P2 to P5; P6 serves the RPN alone.
    """
    rule = ops.LevelRule(
        k0=config.level_k0,
        canonical=config.level_canonical,
        k_min=2,
        k_max=5,
        rounding=config.level_rounding,
    )
    return ops.multiscale_roi_align(
        pyramid,
        rois,
        rule,
        (size, size),
        [1 / stride for stride in config.strides[:4]],
        sampling_ratio=config.roi_sampling_ratio,
        aligned=config.roi_aligned,
    )
