"""The mask loss on a GPU: of the K maps of a RoI only its class's is read.

``reference.losses.mask_loss`` has the formulas. Of one pixel with logit x and target t
the loss is log(1 + e^-x) t + log(1 + e^x) (1 - t), computed without overflow as

    max(x, 0) - x t + log(1 + e^-|x|),      slope sigmoid(x) - t.

A RoI has a weight: 1, or 0 where it pads a list to a fixed length. The mean is over the
pixels of those that count; of the others not a logit is read.

The ladder, for n RoIs, K classes, P = m m pixels and logits of b bytes:

naive: one thread an output. The losses go to memory and torch sums them; the gradient
    computes ``e^-|x|`` again and keeps all n K P logits alive until then.
fast, forward: a block sums a RoI in shared memory, a second kernel the RoIs, in a fixed
    order. Without atomics the loss has the same bits in every run. The slopes are kept,
    (n, P): what the gradient needs, K times smaller than the logits. At least
    n P (b + 4) bytes are read and n P 4 written.
fast, backward: every element of the gradient is written once, n K P b bytes, and n P 4
    are read. Filling it with zeros first and indexing into it after would write the
    class's maps twice and cost another launch. The zeros of the other K - 1 maps cannot
    be spared: the convolution before reads them. A warp walks along the innermost axis,
    so it writes 32 neighbours at a time, in whichever layout the logits were.
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
from maskrcnn_scratch.cuda.numbers import assign, to_float32

THREADS = 256
WARP = 32
ZERO, ONE, NAN = np.float32(0), np.float32(1), np.float32(np.nan)


def mask_loss(
    mask_logits: Tensor, labels: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """L_mask, the mean over the pixels of the true classes' maps, and its slopes.

    ``mask_logits`` (n, k, m, m) of any type, ``labels`` (n,) int64 in 0..k-1,
    ``targets`` (n, m, m) in [0, 1], ``weights`` (n,), 0 or more. Returns float32
    tensors: the loss, a scalar, 0 where no RoI counts; and for ``mask_loss_backward``
    weight (sigmoid(x) - t) of each pixel, (n, m, m), and what they are to be multiplied
    by, 1 / (sum of weights times pixels). Loss and slopes are NaN for a RoI that counts
    and whose label names no class.
    """
    n, side = len(targets), targets.shape[-1]
    pixels = side * side
    slopes = targets.new_empty((n, pixels), dtype=torch.float32)
    sums = slopes.new_empty(n)
    loss, scale = slopes.new_empty(1), slopes.new_empty(1)
    maps, goals = mask_logits.flatten(2), targets.flatten(1)
    arguments = maps, labels, goals, weights, slopes, sums
    launch(sum_each_roi, n, block_of(pixels), *arguments)
    launch(sum_rois, 1, block_of(n), sums, weights, float(pixels), loss, scale)
    return loss[0], slopes.view(n, side, side), scale[0]


def mask_loss_backward(
    grad: Tensor,
    scale: Tensor,
    slopes: Tensor,
    labels: Tensor,
    classes: int,
    dtype: torch.dtype,
    channels_last: bool = False,
) -> Tensor:
    """The gradient by the logits, (n, classes, m, m), of ``dtype``.

    ``grad`` is the gradient by the loss, a scalar on the GPU; ``slopes`` and ``scale``
    are those of ``mask_loss``. ``channels_last`` says how the gradient lies in memory:
    as the logits did, or else the convolution before them copies it. 0 for every map
    but the class's.
    """
    n, side, _ = slopes.shape
    pixels = side * side
    shape = (n, pixels, classes) if channels_last else (n, classes, pixels)
    out = slopes.new_empty(shape, dtype=dtype)
    rows = min(THREADS // WARP, shape[1])
    launch(
        spread_slopes,
        (n, ceil_div(shape[1], max(rows, 1))),
        (WARP, rows),
        *(grad.reshape(1), scale.reshape(1), slopes.flatten(1), labels),
        *(channels_last, out),
    )
    if channels_last:
        return out.view(n, side, side, classes).permute(0, 3, 1, 2)
    return out.view(n, classes, side, side)


def mask_loss_naive(
    mask_logits: Tensor, labels: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """(loss, gradient by the logits), one thread an output."""
    losses = torch.empty_like(targets, dtype=torch.float32)
    gradient = torch.empty_like(mask_logits)
    count = weights.sum()[None] * targets[:1].numel()
    shares = weights / count.masked_fill(count == 0, 1)
    arguments = mask_logits, labels, targets, shares
    launch(loss_of_pixels, ceil_div(losses.numel(), WARP), WARP, *arguments, losses)
    launch(
        gradient_of_logits, ceil_div(gradient.numel(), WARP), WARP, *arguments, gradient
    )
    return losses.sum(), gradient


def block_of(items: int) -> int:
    """A power of two of threads, no more than there is work for."""
    return int(min(THREADS, max(WARP, 1 << (max(items, 1) - 1).bit_length())))


@device
def loss_and_slope(x: Any, t: Any) -> Any:
    """Of one pixel, float32; see above."""
    e = np.float32(math.exp(-abs(x)))
    loss = max(x, ZERO) - x * t + np.float32(math.log1p(e))
    probability = (ONE if x >= ZERO else e) / (ONE + e)
    return loss, probability - t


@kernel
def loss_of_pixels(
    mask_logits: Any, labels: Any, targets: Any, shares: Any, losses: Any
) -> None:
    """Naive: one thread a pixel; ``shares`` of a RoI's pixels in the mean."""
    _, height, width = targets.shape
    place = cuda.grid(1)
    if place < targets.size:
        i, y, x = place // (height * width), place // width % height, place % width
        logit, total = NAN, ZERO
        if 0 <= labels[i] < mask_logits.shape[1]:
            logit = to_float32(mask_logits[i, labels[i], y, x])
        if shares[i] > ZERO:
            loss, _ = loss_and_slope(logit, to_float32(targets[i, y, x]))
            total = loss * shares[i]
        losses[i, y, x] = total


@kernel
def gradient_of_logits(
    mask_logits: Any, labels: Any, targets: Any, shares: Any, gradient: Any
) -> None:
    """Naive: one thread a logit; nearly all of them write 0."""
    _, classes, height, width = mask_logits.shape
    place = cuda.grid(1)
    if place < mask_logits.size:
        x, y = place % width, place // width % height
        c, i = place // (width * height) % classes, place // (width * height * classes)
        value = ZERO
        if labels[i] == c and shares[i] > ZERO:
            logit = to_float32(mask_logits[i, c, y, x])
            _, slope = loss_and_slope(logit, to_float32(targets[i, y, x]))
            value = slope * shares[i]
        assign(gradient, (i, c, y, x), value)


@device
def sum_in_block(cells: Any, value: Any) -> None:
    """Leaves the sum of all threads' values in ``cells[0]``, for thread 0 to read.

    Half of the cells are added to the other half, as often as it goes: a fixed order,
    and log2(threads) barriers. The number of threads is a power of two.
    """
    t = cuda.threadIdx.x
    cells[t] = value
    half = cuda.blockDim.x // 2
    while half > 0:
        cuda.syncthreads()
        if t < half:
            cells[t] += cells[t + half]
        half //= 2


@kernel
def sum_each_roi(
    maps: Any, labels: Any, targets: Any, weights: Any, slopes: Any, sums: Any
) -> None:
    """Block i sums the losses of RoI i, and leaves the slopes for the gradient."""
    cells = cuda.shared.array(THREADS, np.float32)
    i = cuda.blockIdx.x
    label, weight = labels[i], weights[i]
    known = 0 <= label < maps.shape[1]
    total = ZERO
    for p in range(cuda.threadIdx.x, targets.shape[1], cuda.blockDim.x):
        loss = slope = ZERO
        if weight > ZERO:
            x = to_float32(maps[i, label, p]) if known else NAN
            loss, slope = loss_and_slope(x, to_float32(targets[i, p]))
        slopes[i, p] = weight * slope
        total += weight * loss
    sum_in_block(cells, total)
    if cuda.threadIdx.x == 0:
        sums[i] = cells[0]


@kernel
def sum_rois(sums: Any, weights: Any, elements: Any, loss: Any, scale: Any) -> None:
    """One block: the RoIs' sums, and their weights times elements, to the mean."""
    cells = cuda.shared.array(THREADS, np.float32)
    counts = cuda.shared.array(THREADS, np.float32)
    total = count = ZERO
    for i in range(cuda.threadIdx.x, sums.shape[0], cuda.blockDim.x):
        total += sums[i]
        count += np.float32(weights[i])
    sum_in_block(cells, total)
    sum_in_block(counts, count)
    if cuda.threadIdx.x == 0:
        number = counts[0] * np.float32(elements)
        scale[0] = ONE / number if number > ZERO else ZERO
        loss[0] = cells[0] * scale[0]


@kernel
def spread_slopes(
    grad: Any, scale: Any, slopes: Any, labels: Any, channels_last: Any, out: Any
) -> None:
    """A warp a row of ``out``, which is (n, k, pixels) or (n, pixels, k)."""
    i = cuda.blockIdx.x
    row = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    if row < out.shape[1]:
        label = labels[i]
        factor = np.float32(grad[0]) * scale[0]
        for place in range(cuda.threadIdx.x, out.shape[2], cuda.blockDim.x):
            c = place if channels_last else row
            p = row if channels_last else place
            value = ZERO
            if c == label:
                value = factor * slopes[i, p]
            assign(out, (i, row, place), value)
