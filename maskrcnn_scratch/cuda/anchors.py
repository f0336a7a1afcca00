"""Anchors on a GPU: the fixed boxes from which the RPN predicts, of all levels at once.

What they are is told in ``reference.anchors``. A cell's anchors are a dozen numbers,
which the host works out once (``ops.cell_anchors``) and keeps on the GPU; the grids are
written there, so that no list of 260,000 boxes crosses the bus.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import kernel
from maskrcnn_scratch.cuda.launch import block_size, ceil_div, launch


def grid_anchors(cell: Tensor, stride: float, grid_size: tuple[int, int]) -> Tensor:
    """The anchors of every cell of one feature map of ``grid_size`` (h, w) cells.

    cell (A, 4) xyxy around the origin; stride in image pixels a cell. Returns
    (h w A, 4) in the order (h, w, A).
    """
    height, width = grid_size
    anchors = cell.new_empty((height * width * len(cell), 4))
    threads = block_size(len(anchors), 128)
    blocks = ceil_div(len(anchors), threads)
    launch(grid_kernel, blocks, threads, cell, float(stride), width, anchors)
    return anchors


@kernel
def grid_kernel(cell: Any, stride: Any, width: Any, anchors: Any) -> None:
    """The naive one: a thread an anchor, whose four numbers are stored one by one.

    The threads of a warp store 16 bytes apart, so that each of the four stores touches
    all 512 bytes of the warp's anchors, to write a quarter of them.
    """
    n = cuda.grid(1)
    if n < anchors.shape[0]:
        position, a = n // cell.shape[0], n % cell.shape[0]
        x = np.float64(position % width) * stride
        y = np.float64(position // width) * stride
        anchors[n, 0] = cell[a, 0] + x
        anchors[n, 1] = cell[a, 1] + y
        anchors[n, 2] = cell[a, 2] + x
        anchors[n, 3] = cell[a, 3] + y


def pyramid_anchors(
    cells: Tensor, strides: Sequence[float], grid_sizes: Sequence[tuple[int, int]]
) -> Tensor:
    """The anchors of all levels of a pyramid in one list.

    cells (levels, A, 4): the anchors of a cell of each level. Returns (all, 4) in the
    order (level, h, w, A); level l has h_l w_l A of them. Raises ValueError unless
    there are as many strides and grid sizes as levels.
    """
    if not len(cells) == len(strides) == len(grid_sizes):
        raise ValueError(
            f"{len(cells)} levels of cell anchors need as many strides and grid sizes, "
            f"not {len(strides)} and {len(grid_sizes)}"
        )
    starts = [0]
    for height, width in grid_sizes:
        starts.append(starts[-1] + height * width * cells.shape[1])
    anchors = cells.new_empty((starts[-1], 4))
    pixels = tuple(float(stride) for stride in strides)
    widths = tuple(width for _, width in grid_sizes)
    levels = (pixels, tuple(starts), widths)
    threads = block_size(4 * starts[-1], 128)
    blocks = ceil_div(4 * starts[-1], threads)
    launch(pyramid_kernel, blocks, threads, cells, *levels, anchors)
    return anchors


@kernel
def pyramid_kernel(
    cells: Any, strides: Any, starts: Any, widths: Any, anchors: Any
) -> None:
    """A thread a number, all levels in one launch: neighbours store side by side.

    16 bytes an anchor are written and next to nothing read: 4 MB for 1024 x 1024
    pixels, which a GPU writes in the time that a launch takes, so one is better than
    five.
    """
    n = cuda.grid(1) // 4
    axis = cuda.grid(1) % 4
    if n < anchors.shape[0]:
        level = 0
        while n >= starts[level + 1]:
            level += 1
        place = n - starts[level]
        position, a = place // cells.shape[1], place % cells.shape[1]
        steps = position % widths[level] if axis % 2 == 0 else position // widths[level]
        shift = np.float64(steps) * strides[level]
        anchors[n, axis] = cells[level, a, axis] + shift
