"""Greedy non-maximum suppression by segment, compiled.

The same survivors as ``reference.nms``: IoU is computed in float64, whatever the boxes'
dtype, and a box is dropped on an IoU strictly greater than the threshold. Boxes of
different segments never meet, so no offsets are added to coordinates.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

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
    borders = np.flatnonzero(np.diff(segments[order], prepend=np.nan, append=np.nan))
    survives = np.zeros(len(boxes), bool)
    survives_in_order = np.ones(len(boxes), bool)
    tasks = [
        partial(suppress, sides, start, stop, iou_threshold, survives_in_order)
        for start, stop in pairwise(borders.tolist())
    ]
    threads.run(tasks, workers)
    survives[order] = survives_in_order
    return falling[survives[falling]]


@compiled
def suppress(
    sides: Array, start: int, stop: int, iou_threshold: float, survives: Array
) -> None:
    """Greedy NMS of the boxes start..stop, best first; clears ``survives``."""
    x1, y1, x2, y2 = sides
    for i in range(start, stop):
        if not survives[i]:
            continue
        area_i = max(x2[i] - x1[i], 0.0) * max(y2[i] - y1[i], 0.0)
        for j in range(i + 1, stop):
            width = min(x2[i], x2[j]) - max(x1[i], x1[j])
            height = min(y2[i], y2[j]) - max(y1[i], y1[j])
            shared = max(width, 0.0) * max(height, 0.0)
            area_j = max(x2[j] - x1[j], 0.0) * max(y2[j] - y1[j], 0.0)
            union = area_i + area_j - shared
            if shared > 0 and shared / union > iou_threshold:
                survives[j] = False
