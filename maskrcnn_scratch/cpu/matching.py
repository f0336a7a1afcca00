"""Candidates (anchors, RoIs) matched to ground-truth boxes, compiled.

The same as ``reference.matching.match`` of ``reference.boxes.box_iou``, IoU in float64,
but the IoU of all boxes with all candidates never stands in memory: 200 boxes and
200,000 anchors would fill 320 MB. Candidates go by in blocks. A block is compared with
the boxes that reach into the rectangle around it; neighbouring anchors are neighbours
in the list, so these are few.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from maskrcnn_scratch.cpu import threads
from maskrcnn_scratch.cpu.box_grid import larger, positive, smaller
from maskrcnn_scratch.cpu.compiled import Array, compiled
from maskrcnn_scratch.reference.matching import BACKGROUND, IGNORED

BLOCK = 128
"""Candidates: their sides and IoU stay in the fastest cache."""


def match(
    boxes_gt: Array,
    boxes: Array,
    high: float,
    low: float,
    allow_low_quality: bool,
    workers: int = 1,
) -> Array:
    """For each candidate the index of its ground-truth box, BACKGROUND or IGNORED."""
    n = len(boxes)
    own, own_iou = np.zeros(n, np.int64), np.zeros(n)
    ranges = threads.parts(n, workers)
    best_iou = np.zeros((len(ranges), len(boxes_gt)))
    tasks = [
        partial(find_own, boxes_gt, boxes, start, stop, own, own_iou, best)
        for (start, stop), best in zip(ranges, best_iou, strict=True)
    ]
    threads.run(tasks, workers)
    if len(boxes_gt) == 0:
        return np.full(n, BACKGROUND)
    good = own_iou >= high
    if allow_low_quality:
        best_of_all = best_iou.max(axis=0, initial=0)
        tasks = [
            partial(mark_best, boxes_gt, boxes, start, stop, own_iou, best_of_all, good)
            for start, stop in ranges
        ]
        threads.run(tasks, workers)
    disown(own, own_iou, good, low)
    return own


@compiled
def find_own(
    boxes_gt: Array,
    boxes: Array,
    start: int,
    stop: int,
    own: Array,
    own_iou: Array,
    best_iou: Array,
) -> None:
    """For the candidates start..stop the box of greatest IoU, the first of equal ones.

    Raises ``best_iou`` to the greatest IoU that each box has with any of them.
    """
    sides, iou = np.empty((4, BLOCK)), np.empty(BLOCK)
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        around = load_block(boxes, first, count, sides)
        block_own, block_iou = own[first:][:count], own_iou[first:][:count]
        for g in range(len(boxes_gt)):
            if not reaches(boxes_gt[g], around):
                continue
            iou_of_block(boxes_gt[g], sides, count, iou)
            any_better = False
            for j in range(count):  # without a branch: several at once
                better = iou[j] > block_iou[j]
                block_own[j] = g if better else block_own[j]
                block_iou[j] = iou[j] if better else block_iou[j]
                any_better |= iou[j] > best_iou[g]
            if any_better:  # seldom
                for j in range(count):
                    best_iou[g] = larger(iou[j], best_iou[g])


@compiled
def mark_best(
    boxes_gt: Array,
    boxes: Array,
    start: int,
    stop: int,
    own_iou: Array,
    best_iou: Array,
    good: Array,
) -> None:
    """Sets ``good`` where a candidate has the greatest IoU of some box, if above 0.

    No IoU of a candidate is greater than that with its own box, so a block is compared
    again only with boxes that none of its candidates fits better.
    """
    sides, iou = np.empty((4, BLOCK)), np.empty(BLOCK)
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        around = load_block(boxes, first, count, sides)
        greatest = own_iou[first:][:count].max()
        block_good = good[first:][:count]
        for g in range(len(boxes_gt)):
            if 0 < best_iou[g] <= greatest and reaches(boxes_gt[g], around):
                iou_of_block(boxes_gt[g], sides, count, iou)
                for j in range(count):
                    block_good[j] |= iou[j] == best_iou[g]


@compiled
def disown(own: Array, own_iou: Array, good: Array, low: float) -> None:
    """Where a candidate is not good: IGNORED from ``low`` on, BACKGROUND below."""
    for c in range(len(own)):
        if not good[c]:
            own[c] = IGNORED if own_iou[c] >= low else BACKGROUND


@compiled
def load_block(
    boxes: Array, first: int, count: int, sides: Array
) -> tuple[float, float, float, float]:
    """Copies the block into ``sides`` (x1, y1, x2, y2), one array a side.

    Returns the rectangle around the block. A NaN does not count.
    """
    left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
    for j in range(count):
        box = boxes[first + j]
        x1, y1, x2, y2 = box[0], box[1], box[2], box[3]
        sides[0, j], sides[1, j], sides[2, j], sides[3, j] = x1, y1, x2, y2
        left, top = smaller(x1, left), smaller(y1, top)
        right, bottom = larger(x2, right), larger(y2, bottom)
    return left, top, right, bottom


@compiled
def reaches(box: Array, around: tuple[float, float, float, float]) -> bool:
    """Whether a box shares any area with a rectangle; a NaN does not."""
    left, top, right, bottom = around
    across, down = box[0] < right and box[2] > left, box[1] < bottom and box[3] > top
    return bool(across and down)


@compiled
def iou_of_block(box: Array, sides: Array, count: int, iou: Array) -> None:
    """The IoU of one box with each candidate of a block; NaN for two without area."""
    x1, y1 = np.float64(box[0]), np.float64(box[1])
    x2, y2 = np.float64(box[2]), np.float64(box[3])
    area = positive(x2 - x1) * positive(y2 - y1)
    left, top, right, bottom = sides[0], sides[1], sides[2], sides[3]
    for j in range(count):
        width = smaller(x2, right[j]) - larger(x1, left[j])
        height = smaller(y2, bottom[j]) - larger(y1, top[j])
        shared = positive(width) * positive(height)
        other = positive(right[j] - left[j]) * positive(bottom[j] - top[j])
        iou[j] = shared / (area + other - shared)
