"""The keypoint loss on a GPU: a softmax over the m x m bins of every point's map.

``reference.keypoints.keypoint_loss`` has the formulas. With x' = x - max x and
s = sum e^x', a map's loss is log s - x'[bin], its slope e^x' / s - [this is the bin];
the mean is over the valid points.

The ladder, for N maps of B bins (17 points of 128 RoIs: 2,176 of 3,136) and logits of
b bytes:

naive: one thread a map. Its reads are B numbers away from its neighbours', and a GPU
    that holds 100,000 threads gets two thousand.
fast: a block a map, neighbouring threads read neighbouring bins, and meet twice, for
    the maximum and for the sum; the second time the map is in the cache. As the mask
    loss, it then sums the maps in a fixed order, without atomics. Of a map it keeps
    max x and s alone: the gradient computes e^x' again, for to read it would take as
    long. Where a point is not valid, most of the padding and of the hidden ones, no
    logit is read.

At least N B b bytes are read forward, and as many read and written backward.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.launch import ceil_div, launch
from maskrcnn_scratch.cuda.losses import (
    NAN,
    ONE,
    THREADS,
    WARP,
    ZERO,
    block_of,
    sum_in_block,
    sum_rois,
)
from maskrcnn_scratch.cuda.numbers import assign, to_float32

LOWEST = np.float32(-np.inf)


def keypoint_loss(
    logits: Tensor, index: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The mean over valid points of -log softmax(map)[index], and for its gradient.

    ``logits`` (n, points, m, m) of any type, ``index`` (n, points) int64 in 0..m*m-1,
    ``valid`` (n, points) booleans. Returns float32 tensors: the loss, a scalar, 0 where
    no point is valid; and for ``keypoint_loss_backward`` max x and s of each map that
    counts, (n * points, 2), and 1 / number of valid points. The loss is NaN where a
    valid point's index names no bin.
    """
    maps, bins, counts = flat(logits, index, valid)
    n, size = maps.shape
    stats = maps.new_empty((n, 2), dtype=torch.float32)
    losses = stats.new_empty(n)
    loss, scale = stats.new_empty(1), stats.new_empty(1)
    launch(loss_of_maps, n, block_of(size), maps, bins, counts, stats, losses)
    launch(sum_rois, 1, block_of(n), losses, counts, 1.0, loss, scale)
    return loss[0], stats, scale[0]


def keypoint_loss_backward(
    grad: Tensor, scale: Tensor, stats: Tensor, logits: Tensor, *where: Tensor
) -> Tensor:
    """The gradient by the logits, in their type; ``where`` are index and valid.

    ``grad`` is the gradient by the loss, a scalar on the GPU; ``scale`` and ``stats``
    are those of ``keypoint_loss``. 0 for maps of points that are not valid.
    """
    maps, bins, counts = flat(logits, *where)
    out = torch.empty_like(maps, memory_format=torch.contiguous_format)
    launch(
        *(slopes_of_maps, len(maps), block_of(maps.shape[1])),
        *(grad.reshape(1), scale.reshape(1), stats, maps, bins, counts, out),
    )
    return out.view(logits.shape)


def keypoint_loss_naive(
    logits: Tensor, index: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor]:
    """(loss, gradient by the logits), one thread a map."""
    maps, bins, counts = flat(logits, index, valid)
    share = 1 / valid.sum().clamp(min=1).float()[None]
    losses = maps.new_empty(len(maps), dtype=torch.float32)
    gradient = torch.empty_like(maps, memory_format=torch.contiguous_format)
    launch(
        *(naive_maps, ceil_div(len(maps), WARP), WARP),
        *(maps, bins, counts, share, losses, gradient),
    )
    return losses.sum(), gradient.view(logits.shape)


def flat(logits: Tensor, index: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
    """Every map as a row, its bin, and 1 where it counts."""
    maps = logits.flatten(2).flatten(0, 1)
    return maps, index.flatten(), valid.flatten().view(torch.uint8)


@device
def loss_of(maps: Any, i: Any, bin: Any, peak: Any, total: Any) -> Any:
    """log s - x'[bin] of a map."""
    if not 0 <= bin < maps.shape[1]:
        return NAN
    return np.float32(math.log(total)) - (to_float32(maps[i, bin]) - peak)


@device
def slope_of(x: Any, peak: Any, total: Any, wanted: Any) -> Any:
    """e^x' / s, less 1 in the bin."""
    return np.float32(math.exp(x - peak)) / total - (ONE if wanted else ZERO)


@kernel
def naive_maps(
    maps: Any, bins: Any, counts: Any, share: Any, losses: Any, gradient: Any
) -> None:
    """Naive: one thread a map."""
    i = cuda.grid(1)
    if i >= maps.shape[0]:
        return
    if counts[i] == 0:
        losses[i] = ZERO
        for p in range(maps.shape[1]):
            assign(gradient, (i, p), ZERO)
        return
    peak, total = LOWEST, ZERO
    for p in range(maps.shape[1]):
        peak = max(peak, to_float32(maps[i, p]))
    for p in range(maps.shape[1]):
        total += np.float32(math.exp(to_float32(maps[i, p]) - peak))
    losses[i] = loss_of(maps, i, bins[i], peak, total) * share[0]
    for p in range(maps.shape[1]):
        slope = slope_of(to_float32(maps[i, p]), peak, total, p == bins[i])
        assign(gradient, (i, p), slope * share[0])


@device
def max_in_block(cells: Any, value: Any) -> None:
    """Leaves the greatest of all threads' values in ``cells[0]``; see sum_in_block."""
    t = cuda.threadIdx.x
    cells[t] = value
    half = cuda.blockDim.x // 2
    while half > 0:
        cuda.syncthreads()
        if t < half:
            cells[t] = max(cells[t], cells[t + half])
        half //= 2


@kernel
def loss_of_maps(maps: Any, bins: Any, counts: Any, stats: Any, losses: Any) -> None:
    """Fast: a block a map."""
    peaks = cuda.shared.array(THREADS, np.float32)
    cells = cuda.shared.array(THREADS, np.float32)
    i, t = cuda.blockIdx.x, cuda.threadIdx.x
    size = maps.shape[1] if counts[i] != 0 else 0
    peak, total = LOWEST, ZERO
    for p in range(t, size, cuda.blockDim.x):
        peak = max(peak, to_float32(maps[i, p]))
    max_in_block(peaks, peak)
    cuda.syncthreads()
    peak = peaks[0]
    for p in range(t, size, cuda.blockDim.x):
        total += np.float32(math.exp(to_float32(maps[i, p]) - peak))
    sum_in_block(cells, total)
    if t == 0:
        stats[i, 0], stats[i, 1], losses[i] = ZERO, ZERO, ZERO
        if size > 0:
            stats[i, 0], stats[i, 1] = peak, cells[0]
            losses[i] = loss_of(maps, i, bins[i], peak, cells[0])


@kernel
def slopes_of_maps(
    grad: Any, scale: Any, stats: Any, maps: Any, bins: Any, counts: Any, out: Any
) -> None:
    """Fast: a block a map."""
    i = cuda.blockIdx.x
    counted, bin = counts[i] != 0, bins[i]
    peak, total = stats[i, 0], stats[i, 1]
    factor = np.float32(grad[0]) * scale[0]
    for p in range(cuda.threadIdx.x, maps.shape[1], cuda.blockDim.x):
        value = ZERO
        if counted:
            value = factor * slope_of(to_float32(maps[i, p]), peak, total, p == bin)
        assign(out, (i, p), value)
