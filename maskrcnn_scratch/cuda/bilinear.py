"""Bilinear interpolation: a feature map read at real coordinates, and its gradient.

Spatial Transformer Networks (Jaderberg et al., 2015), equation 5; the rule at the
border is that of ``reference.bilinear``. A map is (height, width, channels), points (n,
2) are index coordinates (y, x): the value of cell i sits at i.

``read_at`` and ``add_at`` are what the RoI layers call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.launch import block_size, ceil_div, launch
from maskrcnn_scratch.cuda.numbers import assign, to_float32
from maskrcnn_scratch.cuda.taps import NO_CELL, cell_at

POINTS = 8  # of a block
ZERO = np.float32(0)
ONE = np.float32(1)


@device
def mix(a: Any, b: Any, fraction: Any) -> Any:
    """From a to b. In this form equal ends give that value, to the last bit."""
    return a + fraction * (b - a)


@device
def read_at(image: Any, row: Any, y: Any, column: Any, x: Any, c: Any) -> Any:
    """Channel c between the four cells from (row, column) on, ``y`` and ``x`` further.

    ``y`` and ``x`` are float32 fractions. 0 where the row or the column is NO_CELL.
    """
    if row < 0 or column < 0:
        return ZERO
    below = min(row + 1, image.shape[0] - 1)
    after = min(column + 1, image.shape[1] - 1)
    left = mix(
        to_float32(image[row, column, c]), to_float32(image[below, column, c]), y
    )
    right = mix(to_float32(image[row, after, c]), to_float32(image[below, after, c]), y)
    return mix(left, right, x)


@device
def add_at(
    image: Any, row: Any, y: Any, column: Any, x: Any, c: Any, value: Any
) -> None:
    """``read_at``'s transpose: ``value`` to the four cells, by their weights."""
    if row < 0 or column < 0:
        return
    for below in range(2):
        y_weight = y if below else ONE - y
        if y_weight == 0:
            continue
        for after in range(2):
            x_weight = x if after else ONE - x
            if x_weight != 0:
                cell = row + below, column + after, c
                cuda.atomic.add(image, cell, y_weight * x_weight * value)


@kernel
def bilinear_naive_kernel(feature_map: Any, points: Any, out: Any) -> None:
    """A thread a value: each finds the cells and weights of its point for itself."""
    channels = out.shape[1]
    n = cuda.grid(1)
    p, c = n // channels, n % channels
    if p < points.shape[0]:
        row, y = cell_at(points[p, 0], feature_map.shape[0])
        column, x = cell_at(points[p, 1], feature_map.shape[1])
        value = read_at(feature_map, row, np.float32(y), column, np.float32(x), c)
        assign(out, (p, c), value)


@kernel
def bilinear_kernel(feature_map: Any, points: Any, out: Any) -> None:
    """Block (x, y): the x-th ``POINTS`` points, the y-th part of the channels.

    Saves what the naive kernel computes once a channel: cells and weights, in float64,
    are found once a point. At least 4 values are read and one written for each output
    (fewer are read where points share cells), neighbouring threads' side by side.
    """
    cells = cuda.shared.array((POINTS, 2), np.int32)
    fractions = cuda.shared.array((POINTS, 2), np.float32)
    first = cuda.blockIdx.x * POINTS
    count = min(POINTS, points.shape[0] - first)
    for n in range(cuda.threadIdx.x, 2 * count, cuda.blockDim.x):
        p, axis = n // 2, n % 2
        cell, fraction = cell_at(points[first + p, axis], feature_map.shape[axis])
        cells[p, axis], fractions[p, axis] = cell, fraction
    cuda.syncthreads()
    c = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    if c < out.shape[1]:
        for p in range(count):
            y, x = fractions[p, 0], fractions[p, 1]
            value = read_at(feature_map, cells[p, 0], y, cells[p, 1], x, c)
            assign(out, (first + p, c), value)


@kernel
def spread_kernel(grad: Any, points: Any, d_map: Any) -> None:
    """A thread a gradient, added to the four cells that its point read."""
    channels = grad.shape[1]
    n = cuda.grid(1)
    p, c = n // channels, n % channels
    if p < points.shape[0]:
        row, y = cell_at(points[p, 0], d_map.shape[0])
        column, x = cell_at(points[p, 1], d_map.shape[1])
        value = to_float32(grad[p, c])
        add_at(d_map, row, np.float32(y), column, np.float32(x), c, value)


@kernel
def gather_kernel(grad: Any, points: Any, d_map: Any) -> None:
    """A block a cell: takes its share of each point's gradient, in the points' order.

    No atomics, so the same result in every run; but each cell looks at all points.
    """
    weights = cuda.shared.array(256, np.float32)
    width = d_map.shape[1]
    row, column = cuda.blockIdx.x // width, cuda.blockIdx.x % width
    c = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    total = ZERO
    for first in range(0, points.shape[0], cuda.blockDim.x):
        p = first + cuda.threadIdx.x
        if p < points.shape[0]:
            y_weight = weight_of(points[p, 0], d_map.shape[0], row)
            x_weight = weight_of(points[p, 1], width, column)
            weights[cuda.threadIdx.x] = y_weight * x_weight
        cuda.syncthreads()
        if c < d_map.shape[2]:
            for k in range(min(cuda.blockDim.x, points.shape[0] - first)):
                if weights[k] != 0:
                    total += weights[k] * to_float32(grad[first + k, c])
        cuda.syncthreads()
    if c < d_map.shape[2]:
        d_map[row, column, c] = total


@device
def weight_of(coordinate: Any, length: Any, cell: Any) -> Any:
    """The weight of one cell of an axis in a read at ``coordinate``."""
    low, fraction = cell_at(coordinate, length)
    if low == cell:
        return 1.0 - fraction
    return fraction if low != NO_CELL and low + 1 == cell else 0.0


@kernel
def slopes_kernel(grad: Any, feature_map: Any, points: Any, d_points: Any) -> None:
    """A block a point: its channels' slopes, summed in a tree, in a fixed order."""
    slopes = cuda.shared.array((2, 256), np.float32)
    p, thread = cuda.blockIdx.x, cuda.threadIdx.x
    height, width, channels = feature_map.shape
    row, y = cell_at(points[p, 0], height)
    column, x = cell_at(points[p, 1], width)
    down, right = ZERO, ZERO
    if row >= 0 and column >= 0:
        below = row + 1 if points[p, 0] >= 0 and row + 1 < height else row
        after = column + 1 if points[p, 1] >= 0 and column + 1 < width else column
        for c in range(thread, channels, cuda.blockDim.x):
            g = to_float32(grad[p, c])
            a, b = feature_map[row, column, c], feature_map[row, after, c]
            d, e = feature_map[below, column, c], feature_map[below, after, c]
            a, b, d, e = to_float32(a), to_float32(b), to_float32(d), to_float32(e)
            down += g * mix(d - a, e - b, np.float32(x))
            right += g * mix(b - a, e - d, np.float32(y))
    slopes[0, thread], slopes[1, thread] = down, right
    half = cuda.blockDim.x // 2
    while half > 0:
        cuda.syncthreads()
        if thread < half:
            slopes[0, thread] += slopes[0, thread + half]
            slopes[1, thread] += slopes[1, thread + half]
        half //= 2
    if thread == 0:
        d_points[p, 0], d_points[p, 1] = slopes[0, 0], slopes[1, 0]


def bilinear_naive(feature_map: Tensor, points: Tensor) -> Tensor:
    """``bilinear`` by a thread a value."""
    out = feature_map.new_empty((len(points), feature_map.shape[2]))
    threads = block_size(out.numel())
    blocks = ceil_div(out.numel(), threads)
    launch(bilinear_naive_kernel, blocks, threads, feature_map, points, out)
    return out


def bilinear(feature_map: Tensor, points: Tensor) -> Tensor:
    """The values (n, channels) of a map at n points, in the map's type."""
    channels = feature_map.shape[2]
    out = feature_map.new_empty((len(points), channels))
    threads = block_size(channels)
    blocks = ceil_div(len(points), POINTS), ceil_div(channels, threads)
    launch(bilinear_kernel, blocks, threads, feature_map, points, out)
    return out


def bilinear_grad(
    grad: Tensor, feature_map: Tensor, points: Tensor, deterministic: bool = False
) -> tuple[Tensor, Tensor]:
    """The gradients by the map, in its type, and by the points, (n, 2) float32.

    ``grad`` (n, channels) is that by the output.
    """
    height, width, channels = feature_map.shape
    d_map = torch.zeros(feature_map.shape, device=grad.device)
    threads = block_size(grad.numel() if not deterministic else channels)
    if deterministic:
        cells = height * width, ceil_div(channels, threads)
        launch(gather_kernel, cells, threads, grad, points, d_map)
    else:
        blocks = ceil_div(grad.numel(), threads)
        launch(spread_kernel, blocks, threads, grad, points, d_map)
    d_points = torch.empty((len(points), 2), device=grad.device)
    threads = power_of_two(channels)
    launch(slopes_kernel, len(points), threads, grad, feature_map, points, d_points)
    return d_map.to(feature_map.dtype), d_points


def power_of_two(channels: int) -> int:
    """Threads of a tree: at least a warp, at most 256."""
    return min(256, max(32, 1 << (channels - 1).bit_length()))
