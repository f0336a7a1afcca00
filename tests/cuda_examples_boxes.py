"""Small calls of the CUDA floor's NMS, boxes, matching and anchors; see cuda_examples.

Boxes are float32 whatever the features' type, or float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskrcnn_scratch.cuda import nms


def some_boxes(device: str, dtype: torch.dtype = torch.float32, n: int = 66) -> Tensor:
    """Boxes that overlap now and then: more than a tile of 64 of them."""
    step = torch.arange(n)
    corner = torch.stack([step * 7 % 64, step * 5 % 48], dim=1)
    side = torch.stack([step % 5 + 12, step % 7 + 9], dim=1)
    return torch.cat([corner, corner + side], dim=1).to(device, dtype)


def some_scores(device: str, n: int = 66) -> Tensor:
    return (torch.arange(n) * 31 % 50).to(device, torch.float32) / 50


def segmented(device: str, dtype: torch.dtype) -> Any:
    """Two segments, one within the first tile, one across its end."""
    boxes, segments = some_boxes(device), torch.arange(66, device=device) // 10 * 10 > 0
    return nms.segmented_nms(boxes, some_scores(device), segments.int(), 0.3)


def naive_segmented(device: str, dtype: torch.dtype) -> Any:
    boxes, segments = some_boxes(device, n=8), torch.arange(8, device=device) // 3
    return nms.segmented_nms_naive(boxes, some_scores(device, 8), segments, 0.3)


EXAMPLES = {
    "nms": lambda device, dtype: nms.nms(
        some_boxes(device, torch.float64), some_scores(device), 0.3, max_keep=20
    ),
    "segmented_nms": segmented,
    "segmented_nms_naive": naive_segmented,
}
