"""RoIPool: the largest feature in each bin of a RoI rounded to whole cells.

Fast R-CNN, section 2.1; both rounding rules are spelled out in ``reference.roi_pool``.
Features are (images, height, width, channels), of float32, float16 or bfloat16 and any
strides, RoIs (n, 5) = (image index, x1, y1, x2, y2) in image pixels. A RoI of no image
gives NaN, and no gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.launch import block_size, ceil_div, launch
from maskrcnn_scratch.cuda.numbers import assign, to_float32
from maskrcnn_scratch.cuda.taps import ceil, floor, image_of, round_half_away

EMPTY = -1  # the argmax of a bin without cells
BINS = 64  # of a row, whose columns a block finds at a time
STRIPES = 64  # that a map is cut into at most, to gather
ZERO = np.float32(0)
NAN = np.float32(math.nan)
ROUND, FLOOR = 0, 1
RULES = {"round": ROUND, "floor": FLOOR}


@device
def cells_of_bin(
    low: Any, high: Any, scale: Any, rule: Any, bins: Any, k: Any, length: Any
) -> Any:
    """The cells (first, stop) of bin k on an axis of ``length`` cells; maybe none."""
    start, end = np.float64(low) * scale, np.float64(high) * scale
    if rule == ROUND:
        start, end = round_half_away(start), round_half_away(end) + 1.0
    else:
        start, end = floor(start), floor(end)
    size = end - start
    if not abs(size) < math.inf:
        return np.int32(0), np.int32(0)
    bin_size = max(size, 1.0) / bins
    if rule == ROUND:
        first, stop = floor(k * bin_size), ceil((k + 1) * bin_size)
    else:
        bin_size = max(floor(bin_size), 1.0)
        first, stop = k * bin_size, (k + 1) * bin_size
    first, stop = max(start + first, 0.0), max(start + stop, 0.0)
    return np.int32(min(first, length * 1.0)), np.int32(min(stop, length * 1.0))


@device
def largest(
    features: Any, image: Any, top: Any, bottom: Any, left: Any, right: Any, c: Any
) -> Any:
    """The largest feature of some cells and its flat index; of equal ones the first."""
    best, winner = ZERO, np.int32(EMPTY)
    for row in range(top, bottom):
        for column in range(left, right):
            value = to_float32(features[image, row, column, c])
            if winner < 0 or value > best:
                best = value
                winner = np.int32(row * features.shape[2] + column)
    return best, winner


@kernel
def pool_naive_kernel(
    features: Any, rois: Any, scale: Any, rule: Any, out: Any, argmax: Any
) -> None:
    """Thread n: output n of (n, out_h, out_w, channels), channels running fastest."""
    _, height, width, _ = features.shape
    _, bins_y, bins_x, channels = out.shape
    n = cuda.grid(1)
    c, j = n % channels, n // channels % bins_x
    i, r = n // channels // bins_x % bins_y, n // channels // bins_x // bins_y
    if r >= out.shape[0]:
        return
    image = image_of(rois, r, features.shape[0])
    best, winner = NAN, np.int32(EMPTY)
    if image >= 0:
        _, x1, y1, x2, y2 = rois[r, 0], rois[r, 1], rois[r, 2], rois[r, 3], rois[r, 4]
        top, bottom = cells_of_bin(y1, y2, scale, rule, bins_y, i, height)
        left, right = cells_of_bin(x1, x2, scale, rule, bins_x, j, width)
        best, winner = largest(features, image, top, bottom, left, right, c)
    assign(out, (r, i, j, c), best)
    if argmax.shape[0] > 0:
        argmax[r, i, j, c] = winner


@kernel
def pool_kernel(
    features: Any, rois: Any, scale: Any, rule: Any, out: Any, argmax: Any
) -> None:
    """Block (x, y): row of bins x, the y-th part of the channels; a thread a channel.

    What the naive kernel wastes: each thread finds its bin's cells in float64, though
    they are those of all channels. Here they are found once a block. At least each
    cell is read once for every bin that holds it, and 4 bytes a bin and channel are
    written, 8 with the argmax; it is left out where ``argmax`` is empty.
    """
    columns = cuda.shared.array((BINS, 2), np.int32)
    rows = cuda.shared.array(2, np.int32)
    _, height, width, channels = features.shape
    _, bins_y, bins_x, _ = out.shape
    thread = cuda.threadIdx.x
    r, i = cuda.blockIdx.x // bins_y, cuda.blockIdx.x % bins_y
    c = cuda.blockIdx.y * cuda.blockDim.x + thread
    image = image_of(rois, r, features.shape[0])
    if thread == 0:
        rows[0], rows[1] = cells_of_bin(
            rois[r, 2], rois[r, 4], scale, rule, bins_y, i, height
        )
    for first in range(0, bins_x, BINS):
        stop = min(first + BINS, bins_x)
        cuda.syncthreads()
        for j in range(first + thread, stop, cuda.blockDim.x):
            columns[j - first, 0], columns[j - first, 1] = cells_of_bin(
                rois[r, 1], rois[r, 3], scale, rule, bins_x, j, width
            )
        cuda.syncthreads()
        if c < channels:
            for j in range(first, stop):
                left, right = columns[j - first, 0], columns[j - first, 1]
                best, winner = NAN, np.int32(EMPTY)
                if image >= 0:
                    best, winner = largest(
                        features, image, rows[0], rows[1], left, right, c
                    )
                assign(out, (r, i, j, c), best)
                if argmax.shape[0] > 0:
                    argmax[r, i, j, c] = winner


@kernel
def pool_spread_kernel(grad: Any, argmax: Any, rois: Any, d_features: Any) -> None:
    """Block (x, y): row of bins x, the y-th part of the channels; a thread a channel.

    8 bytes are read and one cell added to a bin and channel, atomically: bins overlap.
    """
    _, bins_y, bins_x, channels = grad.shape
    r, i = cuda.blockIdx.x // bins_y, cuda.blockIdx.x % bins_y
    c = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    image = image_of(rois, r, d_features.shape[0])
    if image >= 0 and c < channels:
        width = d_features.shape[2]
        for j in range(bins_x):
            winner = argmax[r, i, j, c]
            if winner >= 0:
                cell = image, winner // width, winner % width, c
                cuda.atomic.add(d_features, cell, to_float32(grad[r, i, j, c]))


@kernel
def pool_gather_kernel(
    grad: Any, argmax: Any, rois: Any, size: Any, d_features: Any
) -> None:
    """Block (x, y): stripe x of ``size`` cells, the y-th part of the channels.

    A thread owns its channel of the stripe and takes what the bins send there, in their
    order: no atomics, the same bits in every run. But each stripe reads all winners.
    """
    images, height, width, channels = d_features.shape
    _, bins_y, bins_x, _ = grad.shape
    stripes = (height * width + size - 1) // size
    image, stripe = cuda.blockIdx.x // stripes, cuda.blockIdx.x % stripes
    first = stripe * size
    stop = min(first + size, height * width)
    c = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    if c >= channels:
        return
    for r in range(grad.shape[0]):
        if image_of(rois, r, images) != image:
            continue
        for i in range(bins_y):
            for j in range(bins_x):
                winner = argmax[r, i, j, c]
                if first <= winner < stop:
                    value = to_float32(grad[r, i, j, c])
                    d_features[image, winner // width, winner % width, c] += value


def roi_pool(
    features: Tensor,
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    rounding: str = "round",
    with_argmax: bool = True,
) -> tuple[Tensor, Tensor]:
    """The maximum of each bin, of the features' type, and where it is.

    Where: the flat index ``row * width + column`` (int32), -1 in an empty bin. Both are
    (n, out_h, out_w, channels); without argmax the second is empty.
    """
    out, argmax = outputs(features, rois, output_size, with_argmax)
    threads = block_size(features.shape[3])
    blocks = len(rois) * output_size[0], ceil_div(features.shape[3], threads)
    where = rois, spatial_scale, RULES[rounding]
    launch(pool_kernel, blocks, threads, features, *where, out, argmax)
    return out, argmax


def roi_pool_naive(
    features: Tensor,
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    rounding: str = "round",
) -> tuple[Tensor, Tensor]:
    """``roi_pool`` by a thread an output."""
    out, argmax = outputs(features, rois, output_size, True)
    threads = block_size(out.numel())
    blocks = ceil_div(out.numel(), threads)
    where = rois, spatial_scale, RULES[rounding]
    launch(pool_naive_kernel, blocks, threads, features, *where, out, argmax)
    return out, argmax


def outputs(
    features: Tensor, rois: Tensor, output_size: tuple[int, int], with_argmax: bool
) -> tuple[Tensor, Tensor]:
    """Room for the maxima and, if wanted, for their indices."""
    shape = (len(rois), *output_size, features.shape[3])
    room = shape if with_argmax else (0, 0, 0, 0)
    return features.new_empty(shape), features.new_empty(room, dtype=torch.int32)


def roi_pool_backward(
    grad: Tensor,
    argmax: Tensor,
    rois: Tensor,
    shape: tuple[int, int, int, int],
    deterministic: bool = False,
) -> Tensor:
    """The gradient by features of ``shape``, of ``grad``'s type.

    Each bin's goes to the cell that won it. ``deterministic``: the same bits each run.
    """
    d_features = torch.zeros(shape, device=grad.device)
    threads = block_size(shape[3])
    parts = ceil_div(shape[3], threads)
    if deterministic:
        cells = shape[1] * shape[2]
        size = ceil_div(cells, STRIPES)
        blocks = shape[0] * ceil_div(cells, size), parts
        arrays = grad, argmax, rois
        launch(pool_gather_kernel, blocks, threads, *arrays, size, d_features)
    else:
        blocks = grad.shape[0] * grad.shape[1], parts
        launch(pool_spread_kernel, blocks, threads, grad, argmax, rois, d_features)
    return d_features.to(grad.dtype)
