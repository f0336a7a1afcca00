"""Boxes on a GPU: area, overlap, clipping, and the deltas that move them.

The formulas and their sources are in ``reference.boxes``. Boxes are (x1, y1, x2, y2) in
image pixels, float32 or float64; everything is computed in float64 and rounded once, to
the boxes' type, at the end. NaN in, NaN out. ``predictions`` fuses what follows the
RPN's and the box head's outputs into one launch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.launch import block_size, ceil_div, launch
from maskrcnn_scratch.cuda.overlap import area, iou

Weights = tuple[float, float, float, float]

LARGEST_LOG_SCALE = math.log(1000 / 16)
"""Decoding enlarges no side beyond 62.5 times: a 16-pixel anchor to 1000 pixels."""


def box_area(boxes: Tensor) -> Tensor:
    """Area of each box (n, 4) in square pixels (n,), 0 for an empty one."""
    areas = boxes.new_empty(len(boxes))
    threads = block_size(len(boxes), 128)
    launch(area_kernel, ceil_div(len(boxes), threads), threads, boxes, areas)
    return areas


@kernel
def area_kernel(boxes: Any, areas: Any) -> None:
    """A thread a box."""
    n = cuda.grid(1)
    if n < boxes.shape[0]:
        areas[n] = area(boxes, n)


# --- overlap of all pairs


def box_iou_naive(a: Tensor, b: Tensor) -> Tensor:
    """IoU (n, m) of every box of ``a`` (n, 4) with every box of ``b`` (m, 4)."""
    out = a.new_empty((len(a), len(b)))
    threads = block_size(out.numel(), 128)
    launch(iou_naive_kernel, ceil_div(out.numel(), threads), threads, a, b, out)
    return out


@kernel
def iou_naive_kernel(a: Any, b: Any, out: Any) -> None:
    """A thread a pair: eight coordinates are read for one number written."""
    pair = cuda.grid(1)
    n, m = pair // out.shape[1], pair % out.shape[1]
    if n < out.shape[0]:
        out[n, m] = iou(a, n, b, m)


ROWS = 16
"""Boxes of ``a`` that a block keeps in shared memory."""


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU (n, m) of every box of ``a`` (n, 4) with every box of ``b`` (m, 4).

    The whole table: to match boxes, or to suppress them, see ``matching`` and ``nms``,
    which never store it.
    """
    out = a.new_empty((len(a), len(b)))
    threads = block_size(len(b), 128)
    blocks = ceil_div(len(b), threads), ceil_div(len(a), ROWS)
    launch(iou_kernel, blocks, threads, a, b, out)
    return out


@kernel
def iou_kernel(a: Any, b: Any, out: Any) -> None:
    """A thread a column of a tile of ROWS rows.

    It keeps its box of ``b`` in registers for all the rows, and the boxes of ``a``
    stand in shared memory, read by all threads of a warp at once. So 16 bytes are read
    for 16 numbers, and what remains is the writing: 4 n m bytes at least, side by side.
    """
    rows = cuda.shared.array((ROWS, 4), np.float64)
    first = cuda.blockIdx.y * ROWS
    here = min(ROWS, out.shape[0] - first)
    for entry in range(cuda.threadIdx.x, here * 4, cuda.blockDim.x):
        rows[entry // 4, entry % 4] = a[first + entry // 4, entry % 4]
    cuda.syncthreads()
    m = cuda.grid(1)
    if m < out.shape[1]:
        for row in range(here):
            out[first + row, m] = iou(rows, row, b, m)


# --- clipping, encoding, decoding: a thread a box


def clip_boxes(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """The part of each box (n, 4) inside an image of (height, width) pixels."""
    out = boxes.new_empty(boxes.shape)
    threads = block_size(len(boxes), 128)
    blocks = ceil_div(len(boxes), threads)
    height, width = map(float, image_size)
    launch(clip_kernel, blocks, threads, boxes, height, width, out)
    return out


@kernel
def clip_kernel(boxes: Any, height: Any, width: Any, out: Any) -> None:
    """A thread a box; a box outside becomes an empty one on the border."""
    n = cuda.grid(1)
    if n < boxes.shape[0]:
        out[n, 0] = clipped(boxes[n, 0], width)
        out[n, 1] = clipped(boxes[n, 1], height)
        out[n, 2] = clipped(boxes[n, 2], width)
        out[n, 3] = clipped(boxes[n, 3], height)


@device
def clipped(x: Any, most: Any) -> Any:
    """x within [0, most]; NaN stays NaN."""
    if x < 0:
        return np.float64(0)
    return np.float64(most) if x > most else np.float64(x)


def encode_boxes(
    reference_boxes: Tensor, boxes: Tensor, weights: Weights = (1.0, 1.0, 1.0, 1.0)
) -> Tensor:
    """The deltas (n, 4) that move each reference box onto its box.

    NaN where a side of either is not above 0: its logarithm has no value.
    """
    deltas = boxes.new_empty(boxes.shape)
    threads = block_size(len(boxes), 128)
    blocks = ceil_div(len(boxes), threads)
    launch(encode_kernel, blocks, threads, reference_boxes, boxes, weights, deltas)
    return deltas


@kernel
def encode_kernel(reference_boxes: Any, boxes: Any, weights: Any, deltas: Any) -> None:
    """A thread a box."""
    n = cuda.grid(1)
    if n < boxes.shape[0]:
        xa, wa = centre_and_size(reference_boxes[n, 0], reference_boxes[n, 2])
        ya, ha = centre_and_size(reference_boxes[n, 1], reference_boxes[n, 3])
        x, w = centre_and_size(boxes[n, 0], boxes[n, 2])
        y, h = centre_and_size(boxes[n, 1], boxes[n, 3])
        solid = wa > 0 and ha > 0 and w > 0 and h > 0
        deltas[n, 0] = (x - xa) / wa * weights[0] if solid else math.nan
        deltas[n, 1] = (y - ya) / ha * weights[1] if solid else math.nan
        deltas[n, 2] = math.log(w / wa) * weights[2] if solid else math.nan
        deltas[n, 3] = math.log(h / ha) * weights[3] if solid else math.nan


@device
def centre_and_size(low: Any, high: Any) -> Any:
    """(centre, side) of a box along one axis."""
    low, high = np.float64(low), np.float64(high)
    return (low + high) / 2, high - low


def decode_boxes(
    reference_boxes: Tensor,
    deltas: Tensor,
    weights: Weights = (1.0, 1.0, 1.0, 1.0),
    clamp: float = LARGEST_LOG_SCALE,
) -> Tensor:
    """Reference boxes (n, 4) moved by deltas (n, 4); dw and dh are cut at ``clamp``."""
    boxes = deltas.new_empty(deltas.shape)
    threads = block_size(len(deltas), 128)
    blocks = ceil_div(len(deltas), threads)
    arguments = reference_boxes, deltas, weights, float(clamp), boxes
    launch(decode_kernel, blocks, threads, *arguments)
    return boxes


@kernel
def decode_kernel(
    reference_boxes: Any, deltas: Any, weights: Any, clamp: Any, boxes: Any
) -> None:
    """A thread a box."""
    n = cuda.grid(1)
    if n < boxes.shape[0]:
        x1, y1, x2, y2 = decoded(reference_boxes[n], deltas[n], weights, clamp)
        boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3] = x1, y1, x2, y2


@device
def decoded(box: Any, delta: Any, weights: Any, clamp: Any) -> Any:
    """(x1, y1, x2, y2) of one box moved by its deltas."""
    x1, x2 = moved(box[0], box[2], delta[0], weights[0], delta[2], weights[2], clamp)
    y1, y2 = moved(box[1], box[3], delta[1], weights[1], delta[3], weights[3], clamp)
    return x1, y1, x2, y2


@device
def moved(
    low: Any, high: Any, shift: Any, by: Any, growth: Any, per: Any, clamp: Any
) -> Any:
    """(low, high) of a box along one axis, moved by shift / by, grown by growth / per.

    A NaN is not above the clamp and goes through.
    """
    centre, size = centre_and_size(low, high)
    centre += np.float64(shift) / by * size
    log_scale = np.float64(growth) / per
    size *= math.exp(clamp if log_scale > clamp else log_scale)
    return centre - size / 2, centre + size / 2
