"""Greedy non-maximum suppression by segment, without a look at any value by the host.

The same survivors as ``reference.nms``, in the same order. Boxes of a segment are
brought together, best first, so boxes of different segments never meet and nothing is
added to coordinates. Whether one box drops another depends on what dropped *it*: that
chain is serial, and the rungs of the ladder differ in how much they leave to it.

``nms_naive.segmented_nms_naive``: a step for every box, in which it drops the later
ones that it overlaps, all by one block. n boxes are n barriers, however few they drop.

``segmented_nms``: all pairs first, in parallel over the whole GPU, as bits (who would
drop whom, if it lived); then a scan in steps of 64 boxes, one block a segment. The
chain within 64 boxes is followed by one thread in registers, so m boxes of a segment
cost m / 64 steps and not m. At the least each pair is looked at once, some 20
operations for m (m - 1) / 2 pairs, and its bit is written and read, m^2 / 8 bytes:
for 5 x 2000 boxes 200 million operations and 2.5 MB, 10 microseconds of a large GPU.
The scan's steps take longer than that, so they are what is kept few.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import device, kernel
from maskrcnn_scratch.cuda.launch import ceil_div, launch
from maskrcnn_scratch.cuda.nms_order import kept_in_order, sorted_by_segment
from maskrcnn_scratch.cuda.overlap import iou_exceeds

TILE = 64
"""Boxes a word of bits stands for."""
ZERO, ONE, ALL = np.uint64(0), np.uint64(1), np.uint64(2**64 - 1)


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, max_keep: int | None = None
) -> tuple[Tensor, Tensor]:
    """``segmented_nms`` of boxes that all belong to one segment."""
    return segmented_nms(boxes, scores, None, iou_threshold, max_keep=max_keep)


def segmented_nms(
    boxes: Tensor,
    scores: Tensor,
    segments: Tensor | None,
    iou_threshold: float,
    longest: int | None = None,
    max_keep: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Indices of the survivors of all segments by falling score, and how many.

    boxes (n, 4) xyxy, scores (n,), segments (n,) integers or None for one segment;
    iou_threshold in [0, 1]. Returns indices (n,) int64, -1 behind the last survivor,
    and their number () int64, on the device.

    ``longest`` is a bound on the size of a segment, where the caller knows one: the
    bits take n * longest / 8 bytes, or n^2 / 8 without it. (Of a longer segment the
    last boxes are lost.) ``nms_order.longest_segment`` finds one.
    ``max_keep`` keeps the best so many survivors of each segment and stops there.
    """
    falling, second, stops = sorted_by_segment(scores, segments)
    order = falling if second is None else falling[second]
    survives = survivors(boxes[order], stops, iou_threshold, longest, max_keep)
    return kept_in_order(survives, falling, second)


def survivors(
    boxes: Tensor,
    stops: Tensor,
    iou_threshold: float,
    longest: int | None = None,
    max_keep: int | None = None,
) -> Tensor:
    """Which boxes survive (n,) uint8; the heart of ``segmented_nms``, for sorted ones.

    boxes (n, 4): those of a segment stand together, best first; stops (n,) int64: where
    the segment of each ends. A caller whose boxes come so (the best of each level, by
    top-k) needs no sorting.
    """
    n = len(boxes)
    tiles = ceil_div(n, TILE)
    width = tiles if longest is None else min(tiles, ceil_div(longest, TILE) + 1)
    masks = boxes.new_empty((tiles, width, TILE), dtype=torch.uint64)
    survives = boxes.new_zeros(n, dtype=torch.uint8)
    slices = min(width, MASK_SLICES)
    launch(mask_kernel, (tiles, slices), TILE, boxes, stops, iou_threshold, masks)
    limit = n if max_keep is None else max_keep
    threads = TILE * min(width, SCAN_SLICES)
    launch(scan_kernel, tiles, threads, masks, stops, limit, survives)
    return survives


MASK_SLICES = 32
"""Blocks that share the tiles of a row of tiles."""
SCAN_SLICES = 8
"""Earlier tiles that a block of the scan looks at at once, 64 threads each."""


@kernel
def mask_kernel(boxes: Any, stops: Any, iou_threshold: Any, masks: Any) -> None:
    """masks[t, w, j]: the boxes of tile t + w that box j of tile t would drop, as bits.

    A block takes row tile t and every so many-th w, up to the end of the last segment
    that t holds; a thread takes box j. Only tiles on and above the diagonal are there,
    and w counts from it, so that short segments make a narrow table. The threads of a
    warp read the same column box at a time (one transaction), and write words that
    stand side by side.
    """
    tile, j = cuda.blockIdx.x, cuda.threadIdx.x
    n = boxes.shape[0]
    row = tile * TILE + j
    stop = stops[min(row, n - 1)]
    tile_stop = stops[min(tile * TILE + TILE, n) - 1]
    for w in range(cuda.blockIdx.y, masks.shape[1], cuda.gridDim.y):
        start = (tile + w) * TILE
        if start >= tile_stop:
            break
        word = ZERO
        if row < n:
            for column in range(max(start, row + 1), min(start + TILE, stop)):
                if iou_exceeds(boxes, row, boxes, column, iou_threshold):
                    word |= ONE << np.uint64(column - start)
        masks[tile, w, j] = word


@kernel
def scan_kernel(masks: Any, stops: Any, max_keep: Any, survives: Any) -> None:
    """Who survives, given who would drop whom: 64 boxes a step. ``survives`` holds 0.

    Block t scans the segments that begin in tile t. All but the last end there, so the
    first step decides them together; the further ones are about the last alone.

    What the survivors of earlier tiles drop is fetched when its turn comes, not spread
    when they are found: words of tiles behind an early stop are never read.
    """
    dropped = cuda.shared.array(1, np.uint64)
    alive = cuda.shared.array(1, np.uint64)
    diagonal = cuda.shared.array(TILE, np.uint64)
    j, slot = cuda.threadIdx.x % TILE, cuda.threadIdx.x // TILE
    begin, n = cuda.blockIdx.x, stops.shape[0]
    first = begin * TILE if begin == 0 else stops[begin * TILE - 1]
    border = min(begin * TILE + TILE, n)
    if first >= border:
        return
    stop = stops[border - 1]
    last = start_of_segment(stops, border - 1, first) - begin * TILE
    kept = 0
    if cuda.threadIdx.x == 0:
        dropped[0] = ZERO
    cuda.syncthreads()
    for tile in range(begin, min((stop - 1) // TILE + 1, begin + masks.shape[1])):
        for earlier in range(begin + slot, tile, cuda.blockDim.x // TILE):
            row = earlier * TILE + j
            if row >= first and survives[row]:
                word = masks[earlier, tile - earlier, j]
                if word != ZERO:
                    cuda.atomic.or_(dropped, 0, word)
        if slot == 0:
            diagonal[j] = masks[tile, 0, j]
        cuda.syncthreads()
        low, high = max(first - tile * TILE, 0), min(stop - tile * TILE, TILE)
        if cuda.threadIdx.x == 0:
            alive[0] = chain(bits(low, high) & ~dropped[0], diagonal, low, high)
            dropped[0] = ZERO
        cuda.syncthreads()
        found = alive[0]
        if slot == 0 and found & bits(j, j + 1):
            row, own = tile * TILE + j, last
            if j < last:
                own = start_of_segment(stops, row, first) - tile * TILE
            if kept + count(found & bits(own, j)) < max_keep:
                survives[row] = 1
        kept += count(found & bits(last, high))
        if kept >= max_keep:
            break
        last = 0
        cuda.syncthreads()


@device
def start_of_segment(stops: Any, row: Any, first: Any) -> Any:
    """Where the segment of ``row`` starts, but not before ``first``."""
    while row > first and stops[row - 1] == stops[row]:
        row -= 1
    return row


@device
def chain(alive: Any, diagonal: Any, low: Any, high: Any) -> Any:
    """The survivors among ``alive`` boxes of a tile: each drops those of its word."""
    for j in range(low, high):
        if alive & bits(j, j + 1):
            alive &= ~diagonal[j]
    return alive


@device
def count(word: Any) -> Any:
    """How many bits are set."""
    return np.int64(cuda.popc(word))


@device
def bits(low: Any, high: Any) -> Any:
    """A word with the bits [low, high) set."""
    if high <= low:
        return ZERO
    return (ALL >> np.uint64(TILE - (high - low))) << np.uint64(low)
