"""Greedy non-maximum suppression by segment, compiled.

The same survivors as ``reference.nms``: IoU is computed in float64, whatever the boxes'
dtype, and a box is dropped on an IoU strictly greater than the threshold. Boxes of
different segments never meet, so no offsets are added to coordinates.

There are two ways. ``suppress_by_grid`` compares a box with the kept boxes of about its
size and place alone. Kept boxes do not crowd, so these are few, and the time grows with
the number of boxes, not with its square. ``suppress_all_pairs`` is for thresholds so
low that boxes of all sizes can meet.
"""

from __future__ import annotations

import numpy as np

from maskrcnn_scratch.cpu.box_grid import (
    add_to_grid,
    corners,
    empty_grid,
    larger,
    overlaps_in_grid,
    positive,
    smaller,
)
from maskrcnn_scratch.cpu.compiled import Array, compiled

LEAST_GRID_IOU = 1 / 16


def segmented_nms(
    boxes: Array,
    scores: Array,
    segments: Array,
    iou_threshold: float,
    max_keep: int | None = None,
) -> Array:
    """Indices of the survivors of all segments, by falling score.

    Where ``max_keep`` is given, the best of them alone, so many at most.
    """
    falling = np.argsort(-scores, kind="stable")  # of equal scores the lower index
    most = len(boxes) if max_keep is None else max_keep
    if iou_threshold >= LEAST_GRID_IOU:
        return suppress_by_grid(boxes, segments, falling, iou_threshold, most)
    order = falling[np.argsort(segments[falling], kind="stable")]
    changes = np.flatnonzero(np.diff(segments[order])) + 1
    borders = np.array([0, *changes, len(boxes)])
    survives = np.empty(len(boxes), bool)
    sides = boxes[order].T.astype(np.float64, order="C")
    survives[order] = suppress_all_pairs(sides, borders, iou_threshold)
    return falling[survives[falling]][:most]


@compiled
def suppress_by_grid(
    boxes: Array, segments: Array, order: Array, iou_threshold: float, most: int
) -> Array:
    """The first ``most`` survivors of the boxes in their order, all segments in one go.

    A box without area, or of infinite or NaN area, has no IoU above 0: it is kept, and
    drops nothing. The survivors move to the front of ``order``.
    """
    grid = empty_grid(len(order))
    count = 0
    for i in order:
        if count == most:
            break
        x1, y1, x2, y2 = corners(boxes, i)
        if 0 < positive(x2 - x1) * positive(y2 - y1) < np.inf:
            if overlaps_in_grid(grid, boxes, segments, i, iou_threshold):
                continue
            add_to_grid(grid, boxes, segments, i, iou_threshold)
        order[count] = i
        count += 1
    return order[:count]


@compiled
def suppress_all_pairs(sides: Array, borders: Array, iou_threshold: float) -> Array:
    """Which boxes survive, where a segment's boxes stand from its border to the next.

    ``sides`` are the boxes' x1, y1, x2, y2, best box first. Each kept box is compared
    with all that follow, the dropped ones too: without a branch, and with each side in
    an array of its own, the loop runs on several boxes at once. A NaN drops nothing.
    """
    survives = np.ones(sides.shape[1], np.bool_)
    for segment in range(len(borders) - 1):
        stop = borders[segment + 1]
        for i in range(borders[segment], stop):
            if not survives[i]:
                continue
            x1, y1, x2, y2 = sides[0, i], sides[1, i], sides[2, i], sides[3, i]
            area = positive(x2 - x1) * positive(y2 - y1)
            left, top = sides[0][i + 1 : stop], sides[1][i + 1 : stop]
            right, bottom = sides[2][i + 1 : stop], sides[3][i + 1 : stop]
            later = survives[i + 1 : stop]
            for j in range(len(later)):
                width = smaller(x2, right[j]) - larger(x1, left[j])
                height = smaller(y2, bottom[j]) - larger(y1, top[j])
                shared = positive(width) * positive(height)
                other = positive(right[j] - left[j]) * positive(bottom[j] - top[j])
                later[j] &= not shared / (area + other - shared) > iou_threshold
    return survives
