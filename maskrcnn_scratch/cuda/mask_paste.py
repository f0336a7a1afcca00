"""Masks pasted into the image on a GPU: thresholded in the kernel, booleans at once.

``reference.masks.paste_mask`` has the rule: a map stretched over its box is read at
the pixels' centres, in a ring of zeros. Places are float64, as there; values float32.

The ladder, for n maps of m x m cells and an image of H x W pixels:

naive: one thread a pixel of every image, n H W of them. Nearly all lie outside of
    their box; each divides twice in float64, which most GPUs compute 32 or 64 times
    more slowly than float32, to find its place in the map.
fast: the image is filled with zeros as a whole, at the speed of memory, and a second
    kernel visits the pixels of the boxes alone. A block takes a tile of 32 x 64 of
    them, places its 32 rows and 64 columns once, in shared memory, and a warp reads
    neighbouring cells of the map and writes neighbouring bytes, only where the mask is.
    How many tiles a box has only the GPU knows; so every mask gets a fixed number of
    blocks, which share its tiles, and nothing waits for the GPU.

At least n H W bytes are written and n m m values read; fast writes the masks' own
pixels a second time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.launch import ceil_div, launch
from maskrcnn_scratch.cuda.numbers import to_float32

TILE_ROWS, TILE_COLUMNS = 32, 64
MOST_BLOCKS = 32  # that share the tiles of one box
WARP, WARPS = 32, 4
OUTSIDE = -1  # two cells before the map: reads there give 0
ZERO = np.float32(0)


def paste_masks(
    probabilities: Tensor,
    boxes: Tensor,
    image_size: tuple[int, int],
    threshold: float = 0.5,
) -> Tensor:
    """Where each m x m map, stretched over its box, reaches the threshold.

    ``probabilities`` (n, m, m) of any type, ``boxes`` (n, 4) xyxy in pixels of the
    image, ``threshold`` above 0: (n, height, width) booleans. A box without area
    pastes nothing, nor one with a NaN coordinate.
    """
    height, width = image_size
    out = boxes.new_zeros((len(boxes), height, width), dtype=torch.bool)
    tiles = ceil_div(height, TILE_ROWS) * ceil_div(width, TILE_COLUMNS)
    threads = (WARP, min(WARPS, ceil_div(height, 8)))
    launch(
        *(paste_tiles, (len(boxes), min(tiles, MOST_BLOCKS)), threads),
        *(probabilities, boxes, threshold, out.view(torch.uint8)),
    )
    return out


def paste_masks_naive(
    probabilities: Tensor,
    boxes: Tensor,
    image_size: tuple[int, int],
    threshold: float = 0.5,
) -> Tensor:
    """The same, one thread a pixel."""
    out = boxes.new_empty((len(boxes), *image_size), dtype=torch.bool)
    launch(
        *(paste_pixels, ceil_div(out.numel(), WARP), WARP),
        *(probabilities, boxes, threshold, out.view(torch.uint8)),
    )
    return out


@device
def place_in_ring(pixel: Any, start: Any, end: Any, m: Any) -> Any:
    """Where a pixel's centre lies in m cells over start..end, within a ring of zeros.

    Returns (low, weight): between the cells low - 1 and low, ``weight`` of the way; the
    cells -1 and m are the ring. OUTSIDE beyond it.
    """
    if not end > start:
        return OUTSIDE, ZERO
    c = (pixel + 0.5 - start) * m / (end - start) - 0.5 + 1.0
    if not 0 <= c < m + 1:
        return OUTSIDE, ZERO
    low = int(c)
    return low, np.float32(c - low)


@device
def cell(probabilities: Any, n: Any, row: Any, column: Any) -> Any:
    """A cell of map n, 0 on the ring around it."""
    m = probabilities.shape[1]
    if 0 <= row < m and 0 <= column < m:
        return to_float32(probabilities[n, row, column])
    return ZERO


@device
def mixed(weight: Any, low: Any, high: Any) -> Any:
    """Between two values; between two of the same just that."""
    return low + weight * (high - low)


@device
def value_at(probabilities: Any, n: Any, y: Any, v: Any, x: Any, u: Any) -> Any:
    """Between the rows y - 1 and y, v of the way, and the columns x - 1 and x, u."""
    left = mixed(
        v, cell(probabilities, n, y - 1, x - 1), cell(probabilities, n, y, x - 1)
    )
    right = mixed(v, cell(probabilities, n, y - 1, x), cell(probabilities, n, y, x))
    return mixed(u, left, right)


@kernel
def paste_pixels(probabilities: Any, boxes: Any, threshold: Any, out: Any) -> None:
    """Naive: one thread a pixel."""
    _, height, width = out.shape
    m = probabilities.shape[1]
    place = cuda.grid(1)
    if place >= out.size:
        return
    n, pixel = place // (height * width), place % (height * width)
    row, column = pixel // width, pixel % width
    y, v = place_in_ring(row, float(boxes[n, 1]), float(boxes[n, 3]), m)
    x, u = place_in_ring(column, float(boxes[n, 0]), float(boxes[n, 2]), m)
    value = value_at(probabilities, n, y, v, x, u)
    out[n, row, column] = value >= np.float32(threshold)


@device
def pixels_under(start: Any, end: Any, m: Any, length: Any) -> Any:
    """The pixels (first, stop) of an axis whose centres a ringed map can reach.

    It reaches half a cell beyond start..end: further out it has faded to 0.
    """
    if not end > start:
        return 0, 0
    reach = (end - start) / (2 * m)
    first = int(min(max(start - reach + 0.5, 0.0), float(length)))
    stop = int(min(max(end + reach + 0.5, 0.0), float(length)))
    return first, stop


@kernel
def paste_tiles(probabilities: Any, boxes: Any, threshold: Any, out: Any) -> None:
    """Fast: the blocks (n, ...) share the tiles of box n; ``out`` is 0 before."""
    rows = cuda.shared.array(TILE_ROWS, np.int32)
    row_weights = cuda.shared.array(TILE_ROWS, np.float32)
    columns = cuda.shared.array(TILE_COLUMNS, np.int32)
    column_weights = cuda.shared.array(TILE_COLUMNS, np.float32)
    n, m = cuda.blockIdx.x, probabilities.shape[1]
    x1, y1 = float(boxes[n, 0]), float(boxes[n, 1])
    x2, y2 = float(boxes[n, 2]), float(boxes[n, 3])
    top, bottom = pixels_under(y1, y2, m, out.shape[1])
    left, right = pixels_under(x1, x2, m, out.shape[2])
    across = (right - left + TILE_COLUMNS - 1) // TILE_COLUMNS
    tiles = across * ((bottom - top + TILE_ROWS - 1) // TILE_ROWS)
    warps = cuda.blockDim.y
    t, threads = cuda.threadIdx.y * WARP + cuda.threadIdx.x, warps * WARP
    for tile in range(cuda.blockIdx.y, tiles, cuda.gridDim.y):
        row = top + tile // across * TILE_ROWS
        column = left + tile % across * TILE_COLUMNS
        for k in range(t, TILE_ROWS, threads):
            rows[k], row_weights[k] = place_in_ring(row + k, y1, y2, m)
        for k in range(t, TILE_COLUMNS, threads):
            columns[k], column_weights[k] = place_in_ring(column + k, x1, x2, m)
        cuda.syncthreads()
        for k in range(cuda.threadIdx.x, min(TILE_COLUMNS, right - column), WARP):
            x, u = columns[k], column_weights[k]
            for r in range(cuda.threadIdx.y, min(TILE_ROWS, bottom - row), warps):
                value = value_at(probabilities, n, rows[r], row_weights[r], x, u)
                if value >= np.float32(threshold):
                    out[n, row + r, column + k] = 1
        cuda.syncthreads()
