"""Floor 2: the components as torch operators, what the model calls.

Drop-in signatures where torchvision.ops has one. Each operator checks its arguments,
runs the compiled floor below, and works under autograd and ``torch.compile``.
"""

from maskrcnn_scratch.ops import on_gpu as on_gpu
from maskrcnn_scratch.ops import roi_on_gpu as roi_on_gpu
from maskrcnn_scratch.ops.anchors import cell_anchors, grid_anchors, pyramid_anchors
from maskrcnn_scratch.ops.boxes import (
    box_area,
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
)
from maskrcnn_scratch.ops.fpn_levels import LevelRule, fpn_levels
from maskrcnn_scratch.ops.keypoints import (
    keypoint_loss,
    keypoint_readout,
    keypoint_targets,
)
from maskrcnn_scratch.ops.losses import (
    mask_loss,
    sigmoid_cross_entropy,
    smooth_l1_loss,
    softmax_cross_entropy,
    softmax_mask_loss,
)
from maskrcnn_scratch.ops.masks import mask_targets, paste_masks
from maskrcnn_scratch.ops.matching import Sample, match, match_iou, sample
from maskrcnn_scratch.ops.nms import batched_nms, nms, nms_survivors
from maskrcnn_scratch.ops.predictions import decode_detections, decode_proposals
from maskrcnn_scratch.ops.roi_align import multiscale_roi_align, roi_align
from maskrcnn_scratch.ops.roi_pool import roi_pool
from maskrcnn_scratch.ops.roi_warp import roi_warp

__all__ = [
    "LevelRule",
    "Sample",
    "batched_nms",
    "box_area",
    "box_iou",
    "cell_anchors",
    "clip_boxes",
    "decode_boxes",
    "decode_detections",
    "decode_proposals",
    "encode_boxes",
    "fpn_levels",
    "grid_anchors",
    "keypoint_loss",
    "keypoint_readout",
    "keypoint_targets",
    "mask_loss",
    "mask_targets",
    "match",
    "match_iou",
    "multiscale_roi_align",
    "nms",
    "nms_survivors",
    "paste_masks",
    "pyramid_anchors",
    "roi_align",
    "roi_pool",
    "roi_warp",
    "sample",
    "sigmoid_cross_entropy",
    "smooth_l1_loss",
    "softmax_cross_entropy",
    "softmax_mask_loss",
]
