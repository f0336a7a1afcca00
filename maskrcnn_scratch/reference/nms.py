"""Non-maximum suppression: of boxes that overlap too much, the best-scored remains.

Used twice: on the RPN's proposals (IoU 0.7) and on the detections of each class (0.5).
Boxes are (x1, y1, x2, y2) in image pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maskrcnn_scratch.reference.boxes import box_iou

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def nms(
    boxes: Float[np.ndarray, "n 4"],
    scores: Float[np.ndarray, " n"],
    iou_threshold: float,
) -> Int[np.ndarray, " kept"]:
    """Indices of the boxes that survive, by falling score.

    Greedy: from the best score down, a box is kept unless its IoU with a box already
    kept is strictly greater than ``iou_threshold``. A box that was dropped drops no
    other. Of equal scores the lower index comes first.

    A NaN score ranks below every number; a box with a NaN in it has IoU NaN, which is
    not greater than anything, so it neither drops a box nor is dropped.
    """
    kept: list[int] = []
    for candidate in by_falling_score(scores):
        iou = box_iou(boxes[kept], boxes[[candidate]])
        if not np.any(iou > iou_threshold):
            kept.append(int(candidate))
    return np.array(kept, np.int64)


def segmented_nms(
    boxes: Float[np.ndarray, "n 4"],
    scores: Float[np.ndarray, " n"],
    segments: Int[np.ndarray, " n"],
    iou_threshold: float,
) -> Int[np.ndarray, " kept"]:
    """NMS within each segment: boxes of different segments do not see each other.

    A segment is a class, a pyramid level, an image, or a number that stands for a
    combination of them. Returns the survivors of all segments by falling score.

    Libraries often move the segments apart by adding large offsets to the boxes and
    run NMS once; in float32 that changes IoUs near the threshold. This loop is exact.
    """
    survives = np.zeros(len(boxes), bool)
    for segment in np.unique(segments):
        members = np.flatnonzero(segments == segment)
        kept = nms(boxes[members], scores[members], iou_threshold)
        survives[members[kept]] = True
    best_first = [index for index in by_falling_score(scores) if survives[index]]
    return np.array(best_first, np.int64)


def by_falling_score(scores: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Indices from the best score to the worst, equal ones in order, NaN last."""
    order: Int[np.ndarray, " n"] = np.argsort(-scores, kind="stable")
    return order
