"""detectron2's Mask R-CNN with ResNet and FPN: names and conventions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.weights.coco_classes import class_names
from maskrcnn_scratch.weights.fit import Rule, Tensors
from maskrcnn_scratch.weights.plan import Plan, groups, resnet, resnet_name, sizes
from maskrcnn_scratch.weights.transforms import background_first, first_convolution

STEM = "backbone.bottom_up.stem.conv1"

RULES = [
    Rule(r"backbone\.bn1\.(\w+)", (rf"{STEM}.norm.\1",)),
    *(
        Rule(
            rf"backbone\.layer{stage - 1}\.(\d+)\.{ours}\.(\w+)",
            (rf"backbone.bottom_up.res{stage}.\1.{theirs}.\2",),
        )
        for stage in (2, 3, 4, 5)
        for ours, theirs in [
            *((f"conv{n}", f"conv{n}") for n in (1, 2, 3)),
            *((f"bn{n}", f"conv{n}.norm") for n in (1, 2, 3)),
            (r"downsample\.0", "shortcut"),
            (r"downsample\.1", "shortcut.norm"),
        ]
    ),
    *(
        Rule(rf"fpn\.{part}\.{level - 2}\.(\w+)", (rf"backbone.fpn_{part}{level}.\1",))
        for part in ("lateral", "output")
        for level in (2, 3, 4, 5)
    ),
    Rule(r"rpn\.convs\.0\.(\w+)", (r"proposal_generator.rpn_head.conv.\1",)),
    Rule(
        r"rpn\.objectness\.(\w+)",
        (r"proposal_generator.rpn_head.objectness_logits.\1",),
    ),
    Rule(r"rpn\.deltas\.(\w+)", (r"proposal_generator.rpn_head.anchor_deltas.\1",)),
    Rule(r"box_head\.body\.fcs\.0\.(\w+)", (r"roi_heads.box_head.fc1.\1",)),
    Rule(r"box_head\.body\.fcs\.1\.(\w+)", (r"roi_heads.box_head.fc2.\1",)),
    Rule(
        r"box_head\.class_logits\.(\w+)",
        (r"roi_heads.box_predictor.cls_score.\1",),
        background_first,
    ),
    Rule(r"box_head\.deltas\.(\w+)", (r"roi_heads.box_predictor.bbox_pred.\1",)),
    *(
        Rule(
            rf"mask_head\.net\.convs\.{n}\.(\w+)",
            (rf"roi_heads.mask_head.mask_fcn{n + 1}.\1",),
        )
        for n in range(4)
    ),
    Rule(r"mask_head\.net\.deconv\.(\w+)", (r"roi_heads.mask_head.deconv.\1",)),
    Rule(r"mask_head\.net\.mask_logits\.(\w+)", (r"roi_heads.mask_head.predictor.\1",)),
]
"""All but the first convolution."""

SIZES = {
    "stem_width": (f"{STEM}.weight", 0),
    "fpn_channels": ("proposal_generator.rpn_head.objectness_logits.weight", 1),
    "box_head_width": ("roi_heads.box_head.fc2.weight", 0),
    "mask_head_width": ("roi_heads.mask_head.deconv.weight", 1),
}

CONVENTIONS = ModelConfig(
    rpn_box_beta=0.0,
    rpn_post_nms_train=1000,
    roi_sampling_ratio=0,
    box_beta=0.0,
)

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
    classes = sizes(tensors, {"n": ("roi_heads.box_predictor.cls_score.bias", 0)})
    settings = sizes(tensors, SIZES)
    body = r"backbone\.bottom_up\.res(\d)\.(\d+)\."
    settings |= resnet(tensors, body, body + r"conv3\.")
    settings |= groups(tensors, "backbone.bottom_up.res2.0.conv2.weight", settings)
    resnext = settings.get("groups", 1) > 1
    mean = pixel(tensors, "pixel_mean", MEAN)
    std = pixel(tensors, "pixel_std", RESNEXT_STD if resnext else STD)
    settings |= {
        "num_classes": classes.get("n", 81) - 1,
        "stride_in_1x1": not resnext,
        "pixel_mean": tuple(value / 255 for value in mean),
    }
    config = ModelConfig(**{**vars(CONVENTIONS), **settings})
    stride = ("1x1", "ResNet") if config.stride_in_1x1 else ("3x3", "ResNeXt")
    return Plan(
        f"detectron2's Mask R-CNN, {resnet_name(config)} FPN",
        config,
        [Rule(r"backbone\.conv1\.weight", (f"{STEM}.weight",), from_bgr(std)), *RULES],
        class_names(config.num_classes),
        IGNORED,
        tuple(note.format(size=stride[0], kind=stride[1]) for note in NOTES),
    )


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
        for ours, theirs in zip(CONVENTIONS.pixel_std, std, strict=True)
    ]
    return partial(first_convolution, scale=scale, bgr=True)
