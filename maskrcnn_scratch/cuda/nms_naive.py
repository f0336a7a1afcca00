"""NMS as the reference has it, a box at a time: the first rung of ``nms``'s ladder."""

from __future__ import annotations

from typing import Any

import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import kernel
from maskrcnn_scratch.cuda.launch import block_size, launch
from maskrcnn_scratch.cuda.nms_order import kept_in_order, sorted_by_segment
from maskrcnn_scratch.cuda.overlap import iou_exceeds


def segmented_nms_naive(
    boxes: Tensor, scores: Tensor, segments: Tensor | None, iou_threshold: float
) -> tuple[Tensor, Tensor]:
    """The same as ``segmented_nms``, a box at a time."""
    falling, second, stops = sorted_by_segment(scores, segments)
    order = falling if second is None else falling[second]
    survives = torch.ones_like(order, dtype=torch.uint8)
    threads = block_size(len(boxes), 512)
    blocks = min(len(boxes), 1)
    launch(naive_kernel, blocks, threads, boxes[order], stops, iou_threshold, survives)
    return kept_in_order(survives, falling, second)


@kernel
def naive_kernel(boxes: Any, stops: Any, iou_threshold: Any, survives: Any) -> None:
    """Greedy NMS as the reference has it, by one block. ``survives`` holds ones.

    The barrier lets a step see what all threads dropped in the steps before.
    """
    for row in range(boxes.shape[0]):
        if survives[row]:
            for later in range(row + 1 + cuda.threadIdx.x, stops[row], cuda.blockDim.x):
                if iou_exceeds(boxes, row, boxes, later, iou_threshold):
                    survives[later] = 0
        cuda.syncthreads()
