"""Greedy non-maximum suppression by segment, compiled.

The same survivors as ``reference.nms``: IoU is computed in float64, whatever the boxes'
dtype, and a box is dropped on an IoU strictly greater than the threshold. Boxes of
different segments never meet, so no offsets are added to coordinates.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from maskrcnn_scratch.cpu import threads
from maskrcnn_scratch.cpu.compiled import Array, compiled


def segmented_nms(
    boxes: Array,
    scores: Array,
    segments: Array,
    iou_threshold: float,
    workers: int = 1,
) -> Array:
    """Indices of the survivors of all segments, by falling score."""
    falling = np.argsort(-scores, kind="stable")  # of equal scores the lower index
    order = falling[np.argsort(segments[falling], kind="stable")]
    sides = boxes[order].T.astype(np.float64, order="C")
    sorted_segments = segments[order]
    changes = np.flatnonzero(sorted_segments[1:] != sorted_segments[:-1]) + 1
    borders = np.array([0, *changes, len(boxes)])
    survives_in_order = np.ones(len(boxes), bool)
    tasks = [
        partial(suppress, sides, borders, k, workers, iou_threshold, survives_in_order)
        for k in range(min(workers, len(borders) - 1))
    ]
    threads.run(tasks, workers)
    survives = np.zeros(len(boxes), bool)
    survives[order] = survives_in_order
    return falling[survives[falling]]


@compiled
def suppress(
    sides: Array,
    borders: Array,
    first: int,
    step: int,
    iou_threshold: float,
    survives: Array,
) -> None:
    """Greedy NMS of the segments first, first + step, ...; clears ``survives``.

    A segment's boxes stand together, best first, from its border to the next. One box
    is compared with all that follow, the dropped ones too: without a branch, the loop
    runs on several boxes at once. An IoU of NaN drops nothing.
    """
    for segment in range(first, len(borders) - 1, step):
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


@compiled
def positive(x: float) -> float:
    """x, but at least 0; a NaN stays one."""
    return 0.0 if x < 0 else x


@compiled
def smaller(a: float, b: float) -> float:
    """The minimum, as one instruction: Python's ``min`` takes care of NaN."""
    return a if a < b else b


@compiled
def larger(a: float, b: float) -> float:
    """The maximum, likewise."""
    return a if a > b else b
