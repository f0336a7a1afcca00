"""What each anchor or RoI has to learn, on a GPU, from the boxes themselves.

The rule is in ``reference.matching``: a candidate belongs to the ground-truth box that
it overlaps most, if the IoU is high enough or is the greatest that the box has with any
candidate. Three kernels climb to that:

``match_iou``, the naive pair, reads a stored table of IoU: 8 M N bytes are written once
and read twice, 128 MB for 30 objects and 268,569 anchors of an 800 x 1333 image.

``match`` reads boxes and keeps every IoU in a register. The low-quality rule compares
an IoU with a maximum that is known only when all are, so they are computed twice, which
is cheaper than to store them: 30 x 268,569 pairs, of which most share nothing and take
a dozen operations, are 0.2 thousand million operations; the least to move is 16 bytes a
candidate, twice, and 8 bytes of result, 11 MB.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.launch import block_size, ceil_div, launch
from maskrcnn_scratch.cuda.overlap import NOTHING, iou_if_any

BACKGROUND = -1
"""Matched to nothing: a negative."""
IGNORED = -2
"""Neither positive nor negative: takes no part in the loss."""

WARP = 32


def match(
    boxes_gt: Tensor, boxes: Tensor, high: float, low: float, allow_low_quality: bool
) -> Tensor:
    """For each candidate the index of its ground-truth box, BACKGROUND or IGNORED.

    boxes_gt (gt, 4), boxes (candidates, 4), both xyxy. Returns (candidates,) int64,
    equal to the reference's for the IoU in float64. A box with a NaN matches nothing:
    so a caller hides boxes (crowds) without a change of shape. Raises ValueError unless
    low <= high.
    """
    require_order(low, high)
    matched = new_matches(boxes)
    if len(boxes_gt) == 0:
        return matched.fill_(BACKGROUND)
    best = torch.zeros(len(boxes_gt), dtype=torch.float64, device=boxes.device)
    if allow_low_quality:
        groups = min(len(boxes_gt), GROUPS)
        parts = ceil_div(len(boxes), WARP * TURNS)
        grid = parts, ceil_div(len(boxes_gt), groups)
        bits = best.view(torch.int64)
        launch(best_kernel, grid, (WARP, groups), boxes_gt, boxes, bits)
    threads = block_size(len(boxes), 128)
    blocks = ceil_div(len(boxes), threads)
    limits = float(high), float(low)
    launch(match_kernel, blocks, threads, boxes_gt, boxes, best, *limits, matched)
    return matched


GROUPS = 8
"""Ground-truth boxes that a block of ``best_kernel`` looks at, a warp each."""
TURNS = 32
"""Candidates that each of its threads looks at."""


@kernel
def best_kernel(boxes_gt: Any, boxes: Any, best: Any) -> None:
    """The greatest IoU of each ground-truth box with any candidate; ``best`` holds 0.

    A warp takes a box and a part of the candidates, the warps of a block the same part,
    which so is read from memory once for all of them. Each thread keeps its own
    maximum, so there is one atomic operation a warp and not one a pair. The maximum is
    taken of the bits, as integers: those of numbers at or above 0 are in their order.
    """
    maxima = cuda.shared.array((GROUPS, WARP), np.float64)
    lane, group = cuda.threadIdx.x, cuda.threadIdx.y
    gt = cuda.blockIdx.y * cuda.blockDim.y + group
    greatest = NOTHING
    if gt < boxes_gt.shape[0]:
        first = cuda.blockIdx.x * WARP * TURNS
        last = min(first + WARP * TURNS, boxes.shape[0])
        for candidate in range(first + lane, last, WARP):
            overlap = iou_if_any(boxes_gt, gt, boxes, candidate)
            if overlap > greatest:
                greatest = overlap
    maxima[group, lane] = greatest
    cuda.syncthreads()
    if lane == 0 and gt < boxes_gt.shape[0]:
        for other in range(1, WARP):
            greatest = max(greatest, maxima[group, other])
        cuda.atomic.max(best, gt, np.float64(greatest).view(np.int64))


@kernel
def match_kernel(
    boxes_gt: Any, boxes: Any, best: Any, high: Any, low: Any, matched: Any
) -> None:
    """A thread a candidate. All threads read the same ground-truth box at a time."""
    candidate = cuda.grid(1)
    if candidate < boxes.shape[0]:
        own, own_overlap, is_best = 0, NOTHING, False
        for gt in range(boxes_gt.shape[0]):
            overlap = iou_if_any(boxes_gt, gt, boxes, candidate)
            if overlap > own_overlap:
                own, own_overlap = gt, overlap
            if overlap > NOTHING and overlap == best[gt]:
                is_best = True
        matched[candidate] = decided(own, own_overlap, is_best, high, low)


@device
def decided(own: Any, overlap: Any, is_best: Any, high: Any, low: Any) -> Any:
    """A candidate's match, given its own box and the IoU with that."""
    if is_best or overlap >= high:
        return own
    return IGNORED if overlap >= low else BACKGROUND


# --- the naive pair


def match_iou(iou: Tensor, high: float, low: float, allow_low_quality: bool) -> Tensor:
    """``match``, given the IoU (gt, candidates) of every box with every candidate."""
    require_order(low, high)
    matched = new_matches(iou.T)
    if len(iou) == 0:
        return matched.fill_(BACKGROUND)
    best = torch.zeros(len(iou), dtype=torch.float64, device=iou.device)
    if allow_low_quality:
        blocks = ceil_div(len(iou), WARP)
        launch(row_maximum_kernel, blocks, WARP, iou, best)
    threads = block_size(len(matched), 128)
    blocks = ceil_div(len(matched), threads)
    limits = float(high), float(low)
    launch(match_iou_kernel, blocks, threads, iou, best, *limits, matched)
    return matched


@kernel
def row_maximum_kernel(iou: Any, best: Any) -> None:
    """The greatest IoU of each ground-truth box: a thread a box, however few they are.

    The threads of a warp read a row each, N numbers apart.
    """
    gt = cuda.grid(1)
    if gt < iou.shape[0]:
        greatest = NOTHING
        for candidate in range(iou.shape[1]):
            overlap = np.float64(iou[gt, candidate])
            if overlap > greatest:
                greatest = overlap
        best[gt] = greatest


@kernel
def match_iou_kernel(iou: Any, best: Any, high: Any, low: Any, matched: Any) -> None:
    """A thread a candidate."""
    candidate = cuda.grid(1)
    if candidate < iou.shape[1]:
        own, own_overlap, is_best = 0, NOTHING, False
        for gt in range(iou.shape[0]):
            overlap = np.float64(iou[gt, candidate])
            if overlap > own_overlap:
                own, own_overlap = gt, overlap
            if overlap > NOTHING and overlap == best[gt]:
                is_best = True
        matched[candidate] = decided(own, own_overlap, is_best, high, low)


def new_matches(candidates: Tensor) -> Tensor:
    """Room for a match of each."""
    return torch.empty(len(candidates), dtype=torch.int64, device=candidates.device)


def require_order(low: float, high: float) -> None:
    """Refuse crossed thresholds."""
    if not low <= high:
        raise ValueError(f"low must be at most high, but low = {low}, high = {high}")
