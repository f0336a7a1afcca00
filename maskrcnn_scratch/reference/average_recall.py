"""Average recall: how many objects a set of proposals holds, whatever their class.

Best proposal first, each takes the free object that it overlaps most, if the IoU
reaches the threshold; recall is the part of the objects taken. AR averages it over IoU
thresholds 0.50, 0.55, ..., 0.95 (Hosang et al. 2015; FPN, Table 1, with 100 and 1000
proposals an image). Crowd regions and objects outside the area range do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from maskrcnn_scratch.reference.average_precision import (
    AREAS,
    IOU_THRESHOLDS,
    Annotation,
    Detection,
    judge,
    scenes_of,
)


def average_recall(
    annotations: Sequence[Annotation],
    proposals: Sequence[Detection],
    limit: int,
    area: str = "all",
) -> float:
    """Of the best ``limit`` proposals of each image; -1 where no object counts.

    Categories are not looked at. Equal to pycocotools with ``useCats = 0``.
    """
    scenes = scenes_of(
        [replace(item, category=0) for item in annotations],
        [replace(item, category=0) for item in proposals],
    )
    recalls = []
    for threshold in IOU_THRESHOLDS:
        judged = [judge(scene, threshold, AREAS[area], limit) for scene in scenes]
        objects = sum(count for _, count in judged)
        if objects == 0:
            return -1.0
        taken = sum(hit for verdicts, _ in judged for _, hit in verdicts)
        recalls.append(taken / objects)
    return float(np.mean(recalls))
