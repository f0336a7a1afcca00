"""What the operators do with tensors on a GPU: they launch the kernels of ``cuda``.

Nothing travels to the CPU, and only an operator whose result has a length that the
values decide (``batched_nms``) waits for the GPU, once. Values are not checked there,
for to look at one is to wait: a RoI of no image gives NaN instead of an error.

float64, which is for ``gradcheck``, takes the way over the CPU: the kernels add up in
float32. The ``cuda`` floor is imported only here, when a tensor is on a GPU, for numba
has it not on every machine.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskrcnn_scratch.ops.anchors import _pyramid_anchors
from maskrcnn_scratch.ops.arrays import real
from maskrcnn_scratch.ops.keypoints import (
    _keypoint_loss,
    _keypoint_loss_backward,
    _keypoint_readout_resized,
    _keypoint_targets,
)
from maskrcnn_scratch.ops.masks import _mask_fractions, _paste_masks
from maskrcnn_scratch.ops.matching import _match
from maskrcnn_scratch.ops.nms import _nms_survivors, _segmented_nms
from maskrcnn_scratch.ops.predictions import _decode_detections, _decode_proposals

MANY_BOXES = 16384
"""NMS of so many takes 34 MB where nothing is known about the segments' sizes."""


@_segmented_nms.register_kernel("cuda")
def segmented_nms(
    boxes: Tensor,
    scores: Tensor,
    segments: Tensor,
    iou_threshold: float,
    max_keep: int | None,
) -> Tensor:
    from maskrcnn_scratch.cuda import nms as cuda
    from maskrcnn_scratch.cuda.nms_order import longest_segment

    longest = None
    if len(boxes) > MANY_BOXES:
        longest = int(longest_segment(segments))  # a wait, for n / longest less memory
    kept, count = cuda.segmented_nms(
        real(boxes), real(scores), segments, iou_threshold, longest, max_keep
    )
    length = int(count)  # the wait
    return kept[: length if max_keep is None else min(length, max_keep)]


@_nms_survivors.register_kernel("cuda")
def nms_survivors(
    boxes: Tensor,
    scores: Tensor,
    segments: Tensor,
    iou_threshold: float,
    largest_group: int,
) -> Tensor:
    from maskrcnn_scratch.cuda import nms as cuda
    from maskrcnn_scratch.cuda.nms_order import sorted_by_segment

    falling, second, stops = sorted_by_segment(real(scores), segments)
    order = falling if second is None else falling[second]
    alive = cuda.survivors(real(boxes)[order], stops, iou_threshold, largest_group)
    survive = torch.zeros_like(alive).scatter_(0, order, alive).bool()
    return survive & (scores > -torch.inf)


@_pyramid_anchors.register_kernel("cuda")
def pyramid_anchors(
    cells: Tensor, strides: list[float], heights: list[int], widths: list[int]
) -> Tensor:
    from maskrcnn_scratch.cuda import anchors as cuda

    grid_sizes = list(zip(heights, widths, strict=True))
    return cuda.pyramid_anchors(cells, strides, grid_sizes)


@_decode_proposals.register_kernel("cuda")
def decode_proposals(
    boxes: Tensor,
    deltas: Tensor,
    scores: Tensor,
    index: Tensor,
    image_sizes: Tensor,
    weights: list[float],
    min_size: float,
) -> tuple[Tensor, Tensor]:
    from maskrcnn_scratch.cuda import predictions as cuda

    wx, wy, ww, wh = weights
    inputs = (boxes, deltas, scores, index, image_sizes)
    return cuda.decode_proposals(*inputs, (wx, wy, ww, wh), min_size)


@_decode_detections.register_kernel("cuda")
def decode_detections(
    rois: Tensor,
    deltas: Tensor,
    scores: Tensor,
    image_sizes: Tensor,
    score_threshold: float,
    weights: list[float],
) -> tuple[Tensor, Tensor]:
    from maskrcnn_scratch.cuda import predictions as cuda

    wx, wy, ww, wh = weights
    inputs = (rois, deltas, scores, image_sizes)
    return cuda.decode_detections(*inputs, score_threshold, (wx, wy, ww, wh))


@_match.register_kernel("cuda")
def match(
    boxes_gt: Tensor, boxes: Tensor, high: float, low: float, allow_low_quality: bool
) -> Tensor:
    from maskrcnn_scratch.cuda import matching as cuda

    return cuda.match(real(boxes_gt), real(boxes), high, low, allow_low_quality)


@_mask_fractions.register_kernel("cuda")
def mask_fractions(masks: Tensor, boxes: Tensor, index: Tensor, size: int) -> Tensor:
    from maskrcnn_scratch.cuda import mask_targets as cuda

    return cuda.mask_targets(masks, real(boxes), index, size)


@_paste_masks.register_kernel("cuda")
def paste_masks(
    probabilities: Tensor, boxes: Tensor, height: int, width: int, threshold: float
) -> Tensor:
    from maskrcnn_scratch.cuda import mask_paste as cuda

    return cuda.paste_masks(probabilities, real(boxes), (height, width), threshold)


@_keypoint_targets.register_kernel("cuda")
def keypoint_targets(
    keypoints: Tensor, boxes: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    from maskrcnn_scratch.cuda import keypoints as cuda

    return cuda.keypoint_targets(real(keypoints), real(boxes), size)


@_keypoint_readout_resized.register_kernel("cuda")
def keypoint_readout_resized(logits: Tensor, boxes: Tensor) -> Tensor:
    from maskrcnn_scratch.cuda import keypoints as cuda

    return cuda.keypoint_readout_resized(logits, real(boxes)).to(real(logits).dtype)


@_keypoint_loss.register_kernel("cuda")
def keypoint_loss(
    logits: Tensor, index: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from maskrcnn_scratch.cuda import keypoint_loss as cuda

    loss, stats, scale = cuda.keypoint_loss(logits, index, valid)
    kind = real(logits).dtype
    return loss.to(kind), stats.to(kind), scale.to(kind)


@_keypoint_loss_backward.register_kernel("cuda")
def keypoint_loss_backward(
    grad: Tensor,
    scale: Tensor,
    stats: Tensor,
    logits: Tensor,
    index: Tensor,
    valid: Tensor,
) -> Tensor:
    from maskrcnn_scratch.cuda import keypoint_loss as cuda

    return cuda.keypoint_loss_backward(grad, scale, stats, logits, index, valid)
