"""From predicted deltas and scores to boxes within the image: one launch, no filtering.

Decoding, clipping and dropping small or unlikely boxes take a dozen torch operators,
each of which reads and writes all boxes, and dropping them waits for the GPU, since the
host must know how many remain. Here each prediction is read once and its box written
once, 16 bytes each, and what should be dropped stays, with the score -inf: it
comes last in any order by score, and drops nothing that NMS would keep.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.boxes import LARGEST_LOG_SCALE, Weights, clipped, decoded
from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.launch import block_size, ceil_div, launch


def decode_proposals(
    anchors: Tensor,
    deltas: Tensor,
    scores: Tensor,
    index: Tensor,
    image_sizes: Tensor,
    weights: Weights = (1.0, 1.0, 1.0, 1.0),
    min_size: float = 0.0,
    clamp: float = LARGEST_LOG_SCALE,
) -> tuple[Tensor, Tensor]:
    """The boxes of the chosen anchors of each image, and their scores.

    anchors (a, 4) xyxy; deltas (images, a, 4); index (images, k) int64, which anchors
    were chosen (the best of each level, say); scores (images, k), theirs; image_sizes
    (images, 2), height and width in pixels, on the device too.

    Returns boxes (images, k, 4), clipped to their image, and scores (images, k): -inf
    where a side is not greater than ``min_size`` or NaN. An index of no anchor gives
    NaN and -inf.
    """
    boxes = deltas.new_empty((*index.shape, 4))
    kept = torch.empty_like(scores, memory_format=torch.contiguous_format)
    settings = weights, float(clamp), float(min_size)
    threads = block_size(index.numel(), 128)
    blocks = ceil_div(index.numel(), threads)
    inputs = anchors, deltas, scores, index, image_sizes
    launch(proposal_kernel, blocks, threads, *inputs, *settings, boxes, kept)
    return boxes, kept


@kernel
def proposal_kernel(
    anchors: Any,
    deltas: Any,
    scores: Any,
    index: Any,
    image_sizes: Any,
    weights: Any,
    clamp: Any,
    min_size: Any,
    boxes: Any,
    kept: Any,
) -> None:
    """A thread a chosen anchor."""
    row = cuda.grid(1)
    image, k = row // index.shape[1], row % index.shape[1]
    if image < index.shape[0]:
        anchor = index[image, k]
        kept[image, k] = -math.inf
        if 0 <= anchor < anchors.shape[0]:
            delta, size = deltas[image, anchor], image_sizes[image]
            box = within(decoded(anchors[anchor], delta, weights, clamp), size)
            store(box, boxes[image, k])
            if box[2] - box[0] > min_size and box[3] - box[1] > min_size:
                kept[image, k] = scores[image, k]
        else:
            store((math.nan, math.nan, math.nan, math.nan), boxes[image, k])


def decode_detections(
    rois: Tensor,
    deltas: Tensor,
    scores: Tensor,
    image_sizes: Tensor,
    score_threshold: float,
    weights: Weights = (10.0, 10.0, 5.0, 5.0),
    clamp: float = LARGEST_LOG_SCALE,
) -> tuple[Tensor, Tensor]:
    """The box of every class of every RoI, and its score.

    rois (r, 5): image index, then xyxy; deltas (r, classes, 4); scores (r, classes);
    image_sizes (images, 2), height and width in pixels, on the device too.

    Returns boxes (r, classes, 4), clipped to the RoI's image, and scores (r, classes):
    -inf where not greater than ``score_threshold``. A RoI of no image gives NaN and
    -inf.
    """
    boxes = torch.empty_like(deltas, memory_format=torch.contiguous_format)
    kept = torch.empty_like(scores, memory_format=torch.contiguous_format)
    settings = weights, float(clamp), float(score_threshold)
    threads = block_size(scores.numel(), 128)
    blocks = ceil_div(scores.numel(), threads)
    inputs = rois, deltas, scores, image_sizes
    launch(detection_kernel, blocks, threads, *inputs, *settings, boxes, kept)
    return boxes, kept


@kernel
def detection_kernel(
    rois: Any,
    deltas: Any,
    scores: Any,
    image_sizes: Any,
    weights: Any,
    clamp: Any,
    score_threshold: Any,
    boxes: Any,
    kept: Any,
) -> None:
    """A thread a class of a RoI."""
    row = cuda.grid(1)
    r, k = row // scores.shape[1], row % scores.shape[1]
    if r < scores.shape[0]:
        kept[r, k] = -math.inf
        if 0 <= rois[r, 0] < image_sizes.shape[0]:
            size = image_sizes[int(rois[r, 0])]
            box = within(decoded(rois[r, 1:], deltas[r, k], weights, clamp), size)
            store(box, boxes[r, k])
            if scores[r, k] > score_threshold:
                kept[r, k] = scores[r, k]
        else:
            store((math.nan, math.nan, math.nan, math.nan), boxes[r, k])


@device
def within(box: Any, image_size: Any) -> Any:
    """A box clipped to an image of (height, width)."""
    height, width = image_size[0], image_size[1]
    x1, x2 = clipped(box[0], width), clipped(box[2], width)
    return x1, clipped(box[1], height), x2, clipped(box[3], height)


@device
def store(box: Any, out: Any) -> None:
    """The four numbers of a box into an array."""
    out[0], out[1], out[2], out[3] = box
