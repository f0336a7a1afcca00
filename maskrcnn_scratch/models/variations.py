"""The same model with other parts: each function takes a config and returns one.

Backbones, C4 and C5 for FPN, keypoints for masks, the RPN alone: the switches between
the rows of the paper's tables, each with the fields that go together.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Literal

from maskrcnn_scratch.models.config import ModelConfig

RESNEXT: dict[str, Any] = {"backbone": "resnet", "stride_in_1x1": False}
BACKBONES: dict[str, dict[str, Any]] = {
    **{
        f"resnet{depth}": {
            "backbone": "resnet",
            "depth": depth,
            "groups": 1,
            "width_per_group": 64,
        }
        for depth in (18, 34, 50, 101)
    },
    **{
        f"resnext{depth}-{groups}x{width}d": {
            "depth": depth,
            "groups": groups,
            "width_per_group": width,
            **RESNEXT,
        }
        for depth, groups, width in (
            (50, 32, 4),
            (101, 32, 4),
            (101, 64, 4),
            (101, 32, 8),
        )
    },
    "vgg16": {"backbone": "vgg", "depth": 16, "groups": 1, "width_per_group": 64},
}
"""The fields that make a backbone. ResNeXt has its stride on the 3x3 (Xie et al. 2017);
of ResNets it stays where the config has it."""


def with_backbone(config: ModelConfig, name: str) -> ModelConfig:
    """The same model on another backbone; all else stays.

    Raises ValueError for a name that is not in ``BACKBONES``.
    """
    return replace(config, **BACKBONES[known(name, BACKBONES, "backbone")])


def with_c4(config: ModelConfig) -> ModelConfig:
    """RPN and heads on C4, stride 16, and res5 as the head (figure 4, left).

    As Detectron and detectron2 have it, for the paper leaves most of it open: five
    sizes and three ratios, so 15 anchors at every cell (Faster R-CNN had three sizes);
    more anchors enter NMS, for there is one level; RoIs of 14 x 14 become 7 x 7 in
    res5; the mask head is the deconvolution alone; batches are not padded to a
    multiple. ``roi_samples`` stays.
    """
    return replace(
        single_map(config, "c4", 4),
        size_divisor=1,
        box_head="res5",
        res5_stride=2,
        box_pool=14,
        mask_pool=14,
        mask_head_convs=0,
    )


def with_c5(config: ModelConfig) -> ModelConfig:
    """RPN and heads on C5, stride 32 (Table 2d).

    The paper does not say which heads: res5 is used up, so those of FPN.
    """
    return single_map(config, "c5", 5)


def single_map(
    config: ModelConfig, features: Literal["c4", "c5"], level: int
) -> ModelConfig:
    """One level with all anchors; the top-n are Detectron's for one level."""
    return replace(
        config,
        features=features,
        anchor_levels=(level,),
        rpn_pre_nms_train=12000,
        rpn_pre_nms_test=6000,
        rpn_post_nms_train=2000,
        rpn_post_nms_test=1000,
    )


def with_vgg(config: ModelConfig) -> ModelConfig:
    """VGG-16 as Faster R-CNN has it (Ren et al. 2015, section 3.1.1).

    RPN of 512 and heads read conv5_3, stride 16; nine anchors a cell (three sizes,
    three ratios); two fully connected layers of 4096; conv1 and conv2 are not trained.
    """
    return replace(
        single_map(with_backbone(config, "vgg16"), "c4", 4),
        anchor_sizes=(128, 256, 512),
        frozen_stages=2,
        rpn_width=512,
        box_head_width=4096,
    )


def with_keypoints(config: ModelConfig, masks: bool = False) -> ModelConfig:
    """Human pose: the one class is a person with COCO's 17 keypoints (section 5)."""
    mask_head = config.mask_head if masks else "none"
    return replace(config, num_classes=1, keypoints=17, mask_head=mask_head)


def without_masks(config: ModelConfig) -> ModelConfig:
    """Faster R-CNN: boxes alone (Table 3)."""
    return replace(config, mask_head="none")


def rpn_alone(config: ModelConfig) -> ModelConfig:
    """Proposals and no heads (Ren et al. 2015, section 3)."""
    return replace(config, box_head="none", mask_head="none", keypoints=0)


def known(name: str, names: dict[str, Any], what: str) -> str:
    """The name itself, if it is one of them."""
    if name not in names:
        (nearest,) = get_close_matches(name, names, n=1, cutoff=0)
        raise ValueError(f"no {what} {name!r}; the nearest is {nearest!r}")
    return name
