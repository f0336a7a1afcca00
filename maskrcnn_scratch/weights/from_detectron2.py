"""detectron2's R-CNNs with ResNet: FPN or C4, with masks or keypoints or neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import Tensor

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.presets import DETECTRON2, preset
from maskrcnn_scratch.models.variations import rpn_alone, without_masks
from maskrcnn_scratch.weights.detectron2_names import STEM, body, rules
from maskrcnn_scratch.weights.fit import Rule, Tensors
from maskrcnn_scratch.weights.plan import (
    Plan,
    Settings,
    batch_norm,
    counted,
    groups,
    model_name,
    names_of,
    resnet,
    sizes,
)
from maskrcnn_scratch.weights.transforms import first_convolution

RPN = "proposal_generator.rpn_head"

SIZES = {
    "box_head_conv_width": ("roi_heads.box_head.conv1.weight", 0),
    "box_head_width": ("roi_heads.box_head.fc1.weight", 0),
    "mask_head_width": ("roi_heads.mask_head.deconv.weight", 1),
    "keypoint_head_width": ("roi_heads.keypoint_head.score_lowres.weight", 0),
    "keypoints": ("roi_heads.keypoint_head.score_lowres.weight", 1),
}

IGNORED = r".*num_batches_tracked|pixel_(mean|std)|.*cell_anchors.*"

Pixel = tuple[float, float, float]

# Of red, green and blue in 0..255, as published; ResNeXt's std is ImageNet's.
MEAN = (123.675, 116.280, 103.530)
STD = (1.0, 1.0, 1.0)
RESNEXT_STD = (58.395, 57.120, 57.375)

NOTES = (
    "images are taken to be BGR, as in detectron2's published models; the first"
    " convolution is turned to RGB and scaled for pixels in 0..1",
    "the stride of a bottleneck is taken to be on its {size} convolution, as in"
    " detectron2's published {kind}",
    "detectron2 scales the 8-bit image and rounds; ours scales without rounding",
)


def plan(tensors: Tensors) -> Plan:
    """How a file of detectron2's is converted.

    Raises ValueError for a backbone that ours cannot be.
    """
    base = variant(tensors)
    start = body(base)
    settings = sizes(tensors, SIZES) | layers(tensors) | pyramid(tensors, base)
    settings |= sizes(tensors, {"stem_width": (f"{start}{STEM}.weight", 0)})
    stages = r"(?:backbone\.bottom_up|backbone|roi_heads)\.res(\d)\.(\d+)\."
    settings |= resnet(tensors, stages, stages + r"conv3\.")
    settings |= groups(tensors, f"{start}res2.0.conv2.weight", settings)
    resnext = settings.get("groups", 1) > 1
    mean = pixel(tensors, "pixel_mean", MEAN)
    std = pixel(tensors, "pixel_std", RESNEXT_STD if resnext else STD)
    if "pixel_mean" in tensors:
        settings["pixel_mean"] = tuple(value / 255 for value in mean)
    trained = f"{start}{STEM}.norm.num_batches_tracked" in tensors
    settings |= {
        "stride_in_1x1": not resnext,
        "norm": "bn" if trained else "frozen_bn",
    }
    config = replace(base, **settings)
    stride = ("1x1", "ResNet") if config.stride_in_1x1 else ("3x3", "ResNeXt")
    stem = Rule(r"backbone\.conv1\.weight", (f"{start}{STEM}.weight",), from_bgr(std))
    return Plan(
        f"detectron2's {model_name(config)}",
        config,
        [stem, *rules(config)],
        names_of(config),
        IGNORED,
        tuple(note.format(size=stride[0], kind=stride[1]) for note in NOTES),
    )


def variant(tensors: Tensors) -> ModelConfig:
    """Which of its models it is, by the parts that the file has."""

    def has(start: str) -> bool:
        return any(name.startswith(start) for name in tensors)

    config = DETECTRON2 if has("backbone.bottom_up.") else preset("detectron2-c4")
    if not has("roi_heads."):
        # Its RPN models are tested with more proposals than those of its detectors.
        before = 1000 if config.features == "fpn" else 12000
        return replace(
            rpn_alone(config), rpn_pre_nms_test=before, rpn_post_nms_test=2000
        )
    if has("roi_heads.keypoint_head."):
        config = preset("detectron2-keypoints")
    if not has("roi_heads.mask_head."):
        config = without_masks(config)
    elif config.mask_head == "none":
        config = replace(config, mask_head="fcn")
    return replace(config, rpn=has("proposal_generator."))


def layers(tensors: Tensors) -> Settings:
    """How many classes there are, and how many layers the heads have."""
    classes = sizes(tensors, {"n": ("roi_heads.box_predictor.cls_score.bias", 0)})
    head = r"roi_heads\."
    found = {"rpn_convs": counted(tensors, rf"{RPN}\.conv\.conv(\d)\.weight", 1)}
    if classes:
        found["num_classes"] = classes["n"] - 1
    if any(name.startswith("roi_heads.box_head.") for name in tensors):
        found |= {
            "box_head_convs": counted(tensors, rf"{head}box_head\.conv(\d)\.weight", 0),
            "box_head_fcs": counted(tensors, rf"{head}box_head\.fc(\d)\.weight", 2),
            "mask_head_convs": counted(
                tensors, rf"{head}mask_head\.mask_fcn(\d)\.weight", 4
            ),
            "keypoint_head_convs": counted(
                tensors, rf"{head}keypoint_head\.conv_fcn(\d)\.weight", 8
            ),
        }
    return found


def pyramid(tensors: Tensors, base: ModelConfig) -> Settings:
    """Width and norms of the FPN, and norms of the heads."""
    if base.features != "fpn":
        return {}
    heads = ("roi_heads.box_head.conv1.norm", "roi_heads.mask_head.mask_fcn1.norm")
    return {
        **sizes(tensors, {"fpn_channels": ("backbone.fpn_output2.weight", 0)}),
        "fpn_norm": batch_norm(tensors, "backbone.fpn_lateral2.norm"),
        "head_norm": batch_norm(tensors, *heads),
    }


def pixel(tensors: Tensors, name: str, published: Pixel) -> Pixel:
    """The file's own value, which is blue first, or else the published one."""
    if name not in tensors or tensors[name].numel() != 3:
        return published
    blue, green, red = tensors[name].flatten().tolist()
    return red, green, blue


def from_bgr(std: Pixel) -> Callable[[Tensor], Tensor]:
    """What makes the first convolution read RGB in 0..1, normalised as ours is.

    It was made for (255 x - 255 mean) / std, ours gets y = (x - mean) / our std; so it
    takes y times 255 our std / std.
    """
    scale = [
        255 * ours / theirs
        for ours, theirs in zip(DETECTRON2.pixel_std, std, strict=True)
    ]
    return partial(first_convolution, scale=scale, bgr=True)
