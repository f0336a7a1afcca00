"""Published systems, and the rows of the paper's tables, each as one ModelConfig.

What a system does and the paper does not is written here once, field by field; what a
field means, and what else it can be, ``config`` says. ``differences`` compares two.
"""

from __future__ import annotations

from dataclasses import replace

from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.variations import (
    known,
    rpn_alone,
    with_backbone,
    with_c4,
    with_c5,
    with_keypoints,
    with_vgg,
    without_masks,
)

PAPER = ModelConfig()
"""He et al. 2017, ResNet-50-FPN."""

TORCHVISION = ModelConfig(
    num_classes=90,  # COCO's category ids, ten of which name no class
    resize_filter="bilinear",
    resize_rounding="down",
    stride_in_1x1=False,
    norm_eps=1e-5,  # 0 where the published COCO weights are read: they need it
    anchors_rounded=True,
    anchor_stride="measured",
    rpn_min_size=1e-3,
    roi_aligned=False,
    box_beta=1 / 9,
    mask_target="soft",
    mask_paste="integer",
    detection_min_size=1e-2,
)
"""maskrcnn_resnet50_fpn, the first."""

TORCHVISION_V2 = replace(
    TORCHVISION,
    norm="bn",
    fpn_norm="bn",
    rpn_convs=2,
    box_head_convs=4,
    box_head_fcs=1,
    head_norm="bn",
)
"""maskrcnn_resnet50_fpn_v2, of Li et al. 2021, arXiv:2111.11429."""

DETECTRON2 = ModelConfig(
    # It reads BGR in 0..255 with a std of 1. When its weights are read, that goes into
    # the first convolution: so here are RGB in 0..1, and the same mean over our std.
    rpn_box_beta=0.0,
    rpn_loss_average="nominal",
    rpn_post_nms_train=1000,
    roi_sampling_ratio=0,
    box_beta=0.0,
)
"""mask_rcnn_R_50_FPN of detectron2."""

MATTERPORT = ModelConfig(
    image_long=1024,
    image_square=True,
    resize_filter="bilinear",
    # Its std is 1 on 0..255, which goes into the first convolution as detectron2's.
    pixel_mean=(123.7 / 255, 116.8 / 255, 103.9 / 255),
    size_divisor=64,
    pad_before_mean=True,
    depth=101,
    stem_pool="end",
    norm_eps=1e-3,
    frozen_stages=0,  # in the last part of its training on COCO
    anchor_ratios=(2.0, 1.0, 0.5),  # height over width; there width over height
    rpn_width=512,
    rpn_objectness="softmax",
    rpn_box_weights=(10.0, 10.0, 5.0, 5.0),
    rpn_box_beta=1.0,
    rpn_loss_average="positives",
    rpn_levels_together=True,
    rpn_pre_nms_train=6000,
    rpn_pre_nms_test=6000,
    level_rounding="round",
    roi_layer="corners",
    roi_samples=200,
    roi_positive_fraction=0.33,
    roi_append_truth=False,
    box_loss_average="positives",
    mask_paste="integer",
    score_threshold=0.7,
    nms_iou=0.3,
    one_class_per_roi=True,
)
"""matterport's Mask_RCNN (Keras), ResNet-101-FPN on squares of 1024 pixels.

Its heads have batch norms, never trained; they are part of the convolutions here.
"""

PRESETS: dict[str, ModelConfig] = {
    "paper": PAPER,
    "torchvision": TORCHVISION,
    "torchvision-v2": TORCHVISION_V2,
    "detectron2": DETECTRON2,
    "matterport": MATTERPORT,
}

VARIANTS: dict[str, ModelConfig] = {
    "torchvision-boxes": without_masks(TORCHVISION),
    "torchvision-keypoints": with_keypoints(TORCHVISION),
    "detectron2-c4": with_c4(DETECTRON2),
    "detectron2-keypoints": replace(
        with_keypoints(DETECTRON2), rpn_post_nms_train=1500, box_beta=0.5
    ),
}
"""The same systems' other models."""

# Figure 4 keeps RoIs of 7 x 7 in res5; N is 64 and 300 proposals are tested (3.1).
C4 = replace(
    with_c4(PAPER),
    res5_stride=1,
    box_pool=7,
    mask_pool=7,
    roi_samples=64,
    rpn_post_nms_test=300,
)
C5 = with_c5(PAPER)

PAPER_ROWS: dict[str, ModelConfig] = {
    # Table 2a: backbones
    "r50-c4": C4,
    "r101-c4": with_backbone(C4, "resnet101"),
    "r50-fpn": PAPER,
    "r101-fpn": with_backbone(PAPER, "resnet101"),
    "x50-32x4d-fpn": with_backbone(PAPER, "resnext50-32x4d"),
    "x101-32x4d-fpn": with_backbone(PAPER, "resnext101-32x4d"),
    "x101-64x4d-fpn": with_backbone(PAPER, "resnext101-64x4d"),
    "x101-32x8d-fpn": with_backbone(PAPER, "resnext101-32x8d"),
    # Table 2b, and class-agnostic masks (section 4.1)
    "r50-c4-softmax": replace(C4, mask_loss="softmax"),
    "r50-c4-agnostic": replace(C4, mask_class_agnostic=True),
    # Tables 2c and 2d: RoI layers at strides 16 and 32
    "r50-c4-pool": replace(C4, roi_layer="pool", roi_reduce="max"),
    "r50-c4-warp-max": replace(C4, roi_layer="warp", roi_reduce="max"),
    "r50-c4-warp-mean": replace(C4, roi_layer="warp", roi_reduce="mean"),
    "r50-c4-align-max": replace(C4, roi_layer="align", roi_reduce="max"),
    "r50-c5-pool": replace(C5, roi_layer="pool", roi_reduce="max"),
    "r50-c5": C5,
    # Table 2e: mask heads
    "r50-fpn-mlp2": replace(PAPER, mask_head="mlp", mask_head_fcs=2),
    "r50-fpn-mlp3": replace(PAPER, mask_head="mlp", mask_head_fcs=3),
    # Tables 3, 4 and 6
    "r101-fpn-boxes": without_masks(with_backbone(PAPER, "resnet101")),
    "r50-fpn-keypoints": with_keypoints(PAPER),
    "r50-fpn-keypoints-masks": with_keypoints(PAPER, masks=True),
    "r50-fpn-keypoints-pool": replace(
        with_keypoints(PAPER), roi_layer="pool", roi_reduce="max"
    ),
    # What came before
    "r50-fpn-rpn": rpn_alone(PAPER),
    "vgg16-c4-boxes": without_masks(with_vgg(PAPER)),
}
"""What the paper compares, by backbone, features and switch."""

NAMED = PRESETS | VARIANTS | PAPER_ROWS


def preset(name: str) -> ModelConfig:
    """A system, one of its variants, or a row of the paper's tables.

    Raises ValueError that names the nearest, where there is none of that name.
    """
    return NAMED[known(name, NAMED, "preset")]
