"""What no model can have, and what cannot be combined; each refused by name.

Errors are ValueErrors of one line that say which fields quarrel and what would do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskrcnn_scratch.models.config import ModelConfig

AT_LEAST_ONE = (
    "num_classes",
    "image_short",
    "image_long",
    "size_divisor",
    "stem_width",
    "groups",
    "width_per_group",
    "fpn_channels",
    "rpn_convs",
    "rpn_samples",
    "roi_samples",
    "box_pool",
    "box_head_conv_width",
    "box_head_fcs",
    "box_head_width",
    "mask_pool",
    "mask_head_width",
    "mask_head_fcs",
    "mask_head_fc_width",
    "keypoint_pool",
    "keypoint_head_convs",
    "keypoint_head_width",
    "max_detections",
)
AT_LEAST_ZERO = (
    "frozen_stages",
    "roi_sampling_ratio",
    "box_head_convs",
    "mask_head_convs",
    "keypoints",
    "norm_eps",
)
MAP_NAMES = {"fpn": "P2 to P6", "c4": "C4", "c5": "C5"}
MAP_LEVELS = {"fpn": (2, 3, 4, 5, 6), "c4": (4,), "c5": (5,)}


def check_model(config: ModelConfig) -> None:
    """Raises ValueError for the first fault."""
    for fault in faults(config):
        raise ValueError(fault)


def faults(config: ModelConfig) -> Iterator[str]:
    """A line for each."""
    for names, least in ((AT_LEAST_ONE, 1), (AT_LEAST_ZERO, 0)):
        for name in names:
            if getattr(config, name) < least:
                yield f"{name} must be at least {least}, not {getattr(config, name)}"
    yield from backbone_faults(config)
    yield from anchor_faults(config)
    yield from roi_faults(config)
    yield from head_faults(config)


def backbone_faults(config: ModelConfig) -> Iterator[str]:
    """VGG has neither blocks nor norms; ResNeXt needs bottlenecks."""
    is_vgg = config.backbone == "vgg"
    if is_vgg != (config.depth == 16):
        expected = "16" if is_vgg else "18, 34, 50 or 101"
        yield (
            f"backbone {config.backbone} has no depth {config.depth}:"
            f" expected {expected}"
        )
    if config.groups > 1 and config.depth < 50:
        yield (
            f"depth {config.depth} has no bottlenecks, so groups must be 1, "
            f"not {config.groups}: choose depth 50 or 101 for ResNeXt"
        )
    if is_vgg and config.features == "c5":
        yield (
            "VGG-16 has no map of stride 32 that heads read: choose features c4"
            " (conv5_3, stride 16) or fpn"
        )
    if config.frozen_stages > 5:
        yield f"frozen_stages must be at most 5, not {config.frozen_stages}"


def anchor_faults(config: ModelConfig) -> Iterator[str]:
    """Anchors live on maps that exist."""
    there = MAP_LEVELS[config.features]
    levels = config.anchor_levels
    known = set(levels) <= set(there) and levels == tuple(sorted(set(levels)))
    if not known or not levels:
        yield (
            f"anchor_levels are {list(levels)}, but features {config.features} have"
            f" {MAP_NAMES[config.features]} alone: levels {list(there)}, rising"
        )
    if config.features == "fpn" and len(config.anchor_sizes) != len(levels):
        yield (
            f"anchor_sizes names {len(config.anchor_sizes)} sizes for {len(levels)}"
            " anchor_levels; a pyramid has one size a level"
        )
    if not config.anchor_sizes or not config.anchor_ratios:
        yield "anchor_sizes and anchor_ratios must not be empty"
    if config.rpn_negative_iou > config.rpn_positive_iou:
        yield (
            f"rpn_negative_iou {config.rpn_negative_iou} is above "
            f"rpn_positive_iou {config.rpn_positive_iou}"
        )


def roi_faults(config: ModelConfig) -> Iterator[str]:
    """RoI layers have some switches each."""
    if config.roi_layer == "pool" and config.roi_reduce != "max":
        yield "RoIPool takes the largest cell of a bin: roi_reduce must be max"
    if config.roi_layer != "pool" and config.roi_rounding != "round":
        yield (
            f"roi_rounding {config.roi_rounding} is RoIPool's: roi_layer"
            f" {config.roi_layer} has no such rule"
        )
    if config.roi_layer == "corners" and config.roi_reduce != "mean":
        yield "roi_layer corners reads one point a bin: roi_reduce must be mean"
    if config.roi_layer == "corners" and min(config.box_pool, config.mask_pool) < 2:
        yield "roi_layer corners needs box_pool and mask_pool of 2 or more"


def head_faults(config: ModelConfig) -> Iterator[str]:
    """Heads need features, and each other."""
    if config.box_head == "res5":
        if config.features != "c4" or config.backbone != "resnet":
            yield (
                "box_head res5 is the last stage of a ResNet that ends at C4:"
                f" not of {config.backbone} with features {config.features}"
            )
        if config.mask_head == "mlp":
            yield "mask_head mlp has no place behind res5: choose fcn or none"
        if config.mask_head != "none" and config.mask_pool != config.box_pool:
            yield (
                "box_head res5 serves the mask head too: mask_pool"
                f" {config.mask_pool} must be box_pool {config.box_pool}"
            )
        if config.box_pool % config.res5_stride:
            yield f"box_head res5 halves its RoIs: box_pool {config.box_pool} is odd"
    if config.box_head == "none":
        if config.mask_head != "none" or config.keypoints:
            yield "without box_head there are no boxes for mask_head or keypoints"
        if not config.rpn:
            yield "rpn = false and box_head none leave nothing to train"
    if config.mask_loss == "softmax" and config.mask_class_agnostic:
        yield (
            "mask_loss softmax lets classes compete for each pixel: with"
            " mask_class_agnostic there is only one"
        )
