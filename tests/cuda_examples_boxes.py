"""Small calls of the CUDA floor's NMS, boxes, matching and anchors; see cuda_examples.

Boxes are float32 whatever the features' type, or float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskrcnn_scratch.cuda import anchors, boxes, matching, nms, predictions
from maskrcnn_scratch.cuda.nms_naive import segmented_nms_naive


def some_boxes(device: str, dtype: torch.dtype = torch.float32, n: int = 66) -> Tensor:
    """Boxes that overlap now and then: more than a tile of 64 of them."""
    step = torch.arange(n)
    corner = torch.stack([step * 7 % 64, step * 5 % 48], dim=1)
    side = torch.stack([step % 5 + 12, step % 7 + 9], dim=1)
    return torch.cat([corner, corner + side], dim=1).to(device, dtype)


def some_numbers(device: str, *shape: int) -> Tensor:
    """In [0, 1), some of them equal."""
    numbers = torch.arange(torch.Size(shape).numel()) * 31 % 50 / 50
    return numbers.view(shape).to(device)


def segmented(device: str, dtype: torch.dtype) -> Any:
    """Two segments, each across the end of a tile of 64."""
    segments = (torch.arange(132, device=device) % 2).int()
    boxes, scores = some_boxes(device, n=132), some_numbers(device, 132)
    return nms.segmented_nms(boxes, scores, segments, 0.3, longest=66)


def naive_segmented(device: str, dtype: torch.dtype) -> Any:
    segments = torch.arange(8, device=device) // 3
    scores = some_numbers(device, 8)
    return segmented_nms_naive(some_boxes(device, n=8), scores, segments, 0.3)


def pyramid(device: str, dtype: torch.dtype) -> Any:
    cells = torch.stack([some_boxes(device, n=3), 2 * some_boxes(device, n=3)])
    return anchors.pyramid_anchors(cells, (4, 8), ((3, 2), (2, 1)))


def proposals(device: str, dtype: torch.dtype) -> Any:
    """Of two images, the last index that of no anchor."""
    index = torch.tensor([[5, 0, 2], [1, 1, 6]], device=device)
    sizes = torch.tensor([[20.0, 30.0], [40.0, 50.0]], device=device)
    deltas, scores = some_numbers(device, 2, 6, 4), some_numbers(device, 2, 3)
    anchor = some_boxes(device, n=6)
    return predictions.decode_proposals(anchor, deltas, scores, index, sizes)


def detections(device: str, dtype: torch.dtype) -> Any:
    """Of two images, and of a third that there is not."""
    images = torch.tensor([[0.0], [1], [2]], device=device)
    rois = torch.cat([images, some_boxes(device, n=3)], dim=1)
    sizes = torch.tensor([[20, 30], [40, 50]], device=device)
    deltas, scores = some_numbers(device, 3, 2, 4), some_numbers(device, 3, 2)
    return predictions.decode_detections(rois, deltas, scores, sizes, 0.3)


EXAMPLES = {
    "nms": lambda device, dtype: nms.nms(
        some_boxes(device, torch.float64), some_numbers(device, 66), 0.3, max_keep=20
    ),
    "segmented_nms": segmented,
    "segmented_nms_naive": naive_segmented,
    "box_area": lambda device, dtype: boxes.box_area(some_boxes(device, n=3)),
    "box_iou": lambda device, dtype: boxes.box_iou(
        some_boxes(device, n=17), some_boxes(device, torch.float64, 9)
    ),
    "box_iou_naive": lambda device, dtype: boxes.box_iou_naive(
        some_boxes(device, n=5), some_boxes(device, n=9)
    ),
    "clip_boxes": lambda device, dtype: boxes.clip_boxes(
        some_boxes(device, n=9), (40, 50)
    ),
    "encode_boxes": lambda device, dtype: boxes.encode_boxes(
        some_boxes(device, n=3), some_boxes(device, n=6)[3:]
    ),
    "decode_boxes": lambda device, dtype: boxes.decode_boxes(
        some_boxes(device, n=3), some_numbers(device, 3, 4), (10.0, 10.0, 5.0, 5.0)
    ),
    "decode_proposals": proposals,
    "decode_detections": detections,
    "match": lambda device, dtype: matching.match(
        some_boxes(device, n=10), some_boxes(device), 0.7, 0.3, True
    ),
    "match_iou": lambda device, dtype: matching.match_iou(
        some_numbers(device, 3, 40), 0.7, 0.3, True
    ),
    "grid_anchors": lambda device, dtype: anchors.grid_anchors(
        some_boxes(device, n=3), 8, (2, 3)
    ),
    "pyramid_anchors": pyramid,
}
