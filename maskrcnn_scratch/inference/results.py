"""Detections in COCO's results format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from maskrcnn_scratch.structures import Detections


def coco_results(
    found: Detections, image_id: int, category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """One entry a detection; label l is category ``category_ids[l - 1]``.

    ``bbox`` is [x, y, width, height] in pixels, ``segmentation`` compressed run lengths
    as text. Raises ValueError where the masks are not pasted into the image.
    """
    if found.masks is None:
        raise ValueError("detections have no masks; paste them into the image first")
    masks = np.asfortranarray(found.masks.numpy().transpose(1, 2, 0), np.uint8)
    entries = []
    for box, score, label, rle in zip(
        found.boxes.tolist(),
        found.scores.tolist(),
        found.labels.tolist(),
        mask_utils.encode(masks),
        strict=True,
    ):
        x1, y1, x2, y2 = box
        entries.append(
            {
                "image_id": image_id,
                "category_id": category_ids[label - 1],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": score,
                "segmentation": {**rle, "counts": rle["counts"].decode("ascii")},
            }
        )
    return entries
