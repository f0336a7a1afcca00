"""torchvision's Mask R-CNN with our weights in it.

``maskrcnn_resnet50_fpn`` takes frozen batch norm only with weights that it downloads:
the same parts are put together here.
"""

from __future__ import annotations

from functools import partial
from typing import cast

from torch import nn

from maskrcnn_scratch.benchmarks import peer
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.models.presets import TORCHVISION
from maskrcnn_scratch.weights.torchvision_names import to_torchvision

CONVENTIONS = TORCHVISION
"""Those of torchvision, and its ResNet-50 with stem and res2 frozen."""


def torchvision_model(model: MaskRCNN, min_size: int) -> nn.Module:
    """torchvision's model with these weights; images' shorter sides become min_size."""
    vision = peer.torchvision()
    detection = vision.models.detection
    config = model.config
    norm = partial(vision.ops.misc.FrozenBatchNorm2d, eps=config.norm_eps)
    body = vision.models.resnet50(weights=None, norm_layer=norm)
    backbone = detection.backbone_utils._resnet_fpn_extractor(body, 3)
    theirs = detection.MaskRCNN(
        backbone,
        num_classes=config.num_classes + 1,
        min_size=min_size,
        box_fg_iou_thresh=config.roi_positive_iou,
        box_bg_iou_thresh=config.roi_positive_iou,
        box_detections_per_img=config.max_detections,
    )
    theirs.load_state_dict(to_torchvision(model.state_dict(), config))
    return cast(nn.Module, theirs)
