"""What no model can have, and what cannot be combined; each refused by name.

Errors are ValueErrors of one line that say which fields quarrel and what would do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from maskrcnn_scratch.models.config_values import value_faults

if TYPE_CHECKING:
    from maskrcnn_scratch.models.config import ModelConfig

MAP_NAMES = {"fpn": "P2 to P6", "c4": "C4", "c5": "C5"}
MAP_LEVELS = {"fpn": (2, 3, 4, 5, 6), "c4": (4,), "c5": (5,)}


def check_model(config: ModelConfig) -> None:
    """Raises ValueError for the first fault."""
    for fault in faults(config):
        raise ValueError(fault)


def faults(config: ModelConfig) -> Iterator[str]:
    """A line for each."""
    yield from value_faults(config)
    yield from backbone_faults(config)
    yield from norm_faults(config)
    yield from anchor_faults(config)
    yield from sample_faults(config)
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
    if config.depth < 50 and config.width_per_group != 64:
        yield (
            f"depth {config.depth} has no bottlenecks, so width_per_group must be 64,"
            f" not {config.width_per_group}"
        )
    if config.depth >= 50 and inner_width(config, config.stem_width) < 1:
        yield (
            f"stem_width {config.stem_width} with width_per_group"
            f" {config.width_per_group} leaves a bottleneck's 3x3 no channel"
        )
    if is_vgg and config.features == "c5":
        yield (
            "VGG-16 has no map of stride 32 that heads read: choose features c4"
            " (conv5_3, stride 16) or fpn"
        )
    most = 4 if config.features == "c4" and not is_vgg else 5
    if config.frozen_stages > most:
        yield (
            f"frozen_stages must be at most {most} with features {config.features},"
            f" not {config.frozen_stages}"
        )
    coarsest = 32 if config.features == "fpn" else 16
    if is_vgg and config.size_divisor % coarsest:
        yield (
            "VGG-16 drops rows and columns that do not fill a cell: size_divisor must"
            f" be a multiple of {coarsest}, not {config.size_divisor}"
        )


def norm_faults(config: ModelConfig) -> Iterator[str]:
    """Group norm divides channels into groups of one size."""
    widths = {"fpn_norm": [config.fpn_channels], "head_norm": [], "norm": []}
    if config.box_head == "fc" and config.box_head_convs:
        widths["head_norm"].append(config.box_head_conv_width)
    if config.mask_head == "fcn" and config.mask_head_convs:
        widths["head_norm"].append(config.mask_head_width)
    if config.backbone == "resnet":
        stages = [config.stem_width << stage for stage in range(4)]
        widths["norm"] += stages
        if config.depth >= 50:
            widths["norm"] += [inner_width(config, width) for width in stages]
            widths["norm"] += [4 * width for width in stages]
    for field, channels in widths.items():
        for width in channels if getattr(config, field) == "gn" else ():
            if width < 4 or width % min(32, width // 4):
                yield (
                    f"{field} gn cannot divide {width} channels into groups: choose a"
                    " multiple of 32, or of 4 up to 128"
                )


def inner_width(config: ModelConfig, width: int) -> int:
    """Channels inside a bottleneck of a stage ``width`` wide."""
    return width * config.width_per_group // 64 * config.groups


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


def sample_faults(config: ModelConfig) -> Iterator[str]:
    """There are positives to learn from."""
    for part in ("rpn", "roi"):
        count = getattr(config, f"{part}_samples")
        fraction = getattr(config, f"{part}_positive_fraction")
        if int(count * fraction) < 1:
            yield (
                f"{part}_positive_fraction {fraction:g} of {part}_samples {count}"
                " is no positive"
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
    pools = ("box_pool", "mask_pool", "keypoint_pool")
    if config.roi_layer == "corners" and min(getattr(config, p) for p in pools) < 2:
        yield f"roi_layer corners needs {', '.join(pools)} of 2 or more"


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
