"""torchvision's Mask R-CNN with our weights in it.

``maskrcnn_resnet50_fpn`` takes frozen batch norm only with weights that it downloads:
the same parts are put together here.
"""

from __future__ import annotations

import re
from typing import cast

import torch
from torch import Tensor, nn

from maskrcnn_scratch.benchmarks import peer
from maskrcnn_scratch.models import MaskRCNN, ModelConfig

CONVENTIONS = ModelConfig(
    num_classes=90,
    stride_in_1x1=False,
    anchors_rounded=True,
    rpn_min_size=1e-3,
    roi_aligned=False,
    box_beta=1 / 9,
    mask_target="soft",
)
"""Those of torchvision, and its ResNet-50 with stem and res2 frozen."""

NAMES = (
    (r"backbone\.(?!fpn)", "backbone.body."),
    (r"fpn\.lateral\.(\d)", r"backbone.fpn.inner_blocks.\1.0"),
    (r"fpn\.output\.(\d)", r"backbone.fpn.layer_blocks.\1.0"),
    (r"rpn\.convs\.0", "rpn.head.conv.0.0"),
    (r"rpn\.objectness", "rpn.head.cls_logits"),
    (r"rpn\.deltas", "rpn.head.bbox_pred"),
    (r"box_head\.body\.fcs\.0", "roi_heads.box_head.fc6"),
    (r"box_head\.body\.fcs\.1", "roi_heads.box_head.fc7"),
    (r"box_head\.class_logits", "roi_heads.box_predictor.cls_score"),
    (r"box_head\.deltas", "roi_heads.box_predictor.bbox_pred"),
    (r"mask_head\.net\.convs\.(\d)", r"roi_heads.mask_head.\1.0"),
    (r"mask_head\.net\.deconv", "roi_heads.mask_predictor.conv5_mask"),
    (r"mask_head\.net\.mask_logits", "roi_heads.mask_predictor.mask_fcn_logits"),
)
"""How our names begin, and how theirs do."""

BACKGROUND_ROWS = {"box_head.deltas": 4, "mask_head.net.mask_logits": 1}
"""Outputs for the background, which torchvision has, never uses, and numbers first."""


def to_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict as torchvision's model reads it.

    Raises ValueError for a tensor that torchvision's model does not have.
    """
    renamed = {}
    for name, tensor in state.items():
        pattern, theirs = next(
            (pair for pair in NAMES if re.match(pair[0], name)), (None, "")
        )
        if pattern is None:
            raise ValueError(f"torchvision's model has nothing like {name}")
        rows = BACKGROUND_ROWS.get(name.rpartition(".")[0], 0)
        unused = tensor.new_zeros(rows, *tensor.shape[1:])
        renamed[re.sub(f"^{pattern}", theirs, name)] = torch.cat([unused, tensor])
    return renamed


def torchvision_model(model: MaskRCNN, min_size: int) -> nn.Module:
    """torchvision's model with these weights; images' shorter sides become min_size."""
    vision = peer.torchvision()
    detection = vision.models.detection
    body = vision.models.resnet50(
        weights=None, norm_layer=vision.ops.misc.FrozenBatchNorm2d
    )
    backbone = detection.backbone_utils._resnet_fpn_extractor(body, 3)
    config = model.config
    theirs = detection.MaskRCNN(
        backbone,
        num_classes=config.num_classes + 1,
        min_size=min_size,
        box_fg_iou_thresh=config.roi_positive_iou,
        box_bg_iou_thresh=config.roi_positive_iou,
        box_detections_per_img=config.max_detections,
    )
    theirs.load_state_dict(to_torchvision(model.state_dict()))
    return cast(nn.Module, theirs)
