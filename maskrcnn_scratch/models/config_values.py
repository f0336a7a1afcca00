"""What one field of a config can be, whatever the others are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

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
    "rpn_pre_nms_train",
    "rpn_pre_nms_test",
    "rpn_post_nms_train",
    "rpn_post_nms_test",
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
    "norm_eps",
    "frozen_stages",
    "rpn_box_beta",
    "rpn_min_size",
    "roi_sampling_ratio",
    "box_head_convs",
    "box_beta",
    "mask_head_convs",
    "keypoints",
    "detection_min_size",
)
ABOVE_ZERO = (
    "pixel_std",
    "anchor_sizes",
    "anchor_ratios",
    "rpn_box_weights",
    "rpn_positive_iou",
    "level_canonical",
    "roi_positive_iou",
    "box_weights",
)
AT_MOST_ONE = (
    "rpn_positive_iou",
    "rpn_positive_fraction",
    "rpn_nms_iou",
    "roi_positive_iou",
    "roi_positive_fraction",
    "score_threshold",
    "nms_iou",
)


def value_faults(config: ModelConfig) -> Iterator[str]:
    """A line for each value that its field cannot have."""
    record: Any = type(config)
    for name, known in choices(record).items():
        if getattr(config, name) not in known:
            expected = ", ".join(map(str, known))
            yield f"{name} must be one of {expected}, not {getattr(config, name)}"
    for names, least in ((AT_LEAST_ONE, 1), (AT_LEAST_ZERO, 0)):
        for name in names:
            if getattr(config, name) < least:
                yield f"{name} must be at least {least}, not {getattr(config, name)}"
    if config.rpn_width is not None and config.rpn_width < 1:
        yield f"rpn_width must be at least 1, not {config.rpn_width}"
    for name in ABOVE_ZERO:
        value = getattr(config, name)
        if min(value if isinstance(value, tuple) else (value,), default=1) <= 0:
            yield f"{name} must be more than 0, not {value}"
    for name in AT_MOST_ONE:
        if not 0 <= getattr(config, name) <= 1:
            yield f"{name} must be from 0 to 1, not {getattr(config, name)}"


@cache
def choices(record: type[Any]) -> dict[str, tuple[Any, ...]]:
    """The fields that have one of some values, with these."""
    return {
        name: get_args(hint)
        for name, hint in get_type_hints(record).items()
        if get_origin(hint) is Literal
    }
