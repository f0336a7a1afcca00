"""Detections in COCO's results format, and checks of results read from anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as mask_utils

from maskrcnn_scratch.data.check_outlines import rle_problem
from maskrcnn_scratch.evaluation.ground_truth import Json
from maskrcnn_scratch.evaluation.keypoints import check_keypoints, keypoint_count
from maskrcnn_scratch.structures import Detections

# What each kind of score compares.
FIELD = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}


def detections_to_coco(
    detections: Detections, image_id: int, label_to_category: Mapping[int, int]
) -> list[Json]:
    """One COCO result a detection, in the frame of the detections' boxes.

    ``bbox`` is [x, y, width, height] in pixels; ``segmentation``, where masks are
    pasted, compressed run lengths as text, ready for JSON; ``keypoints`` are [x, y,
    score] one after another, half a pixel less than ours: COCO's are pixel indices.
    Raises ValueError for a label without a category id.
    """
    strange = set(detections.labels.tolist()) - label_to_category.keys()
    if strange:
        raise ValueError(f"no category ids for {some_of(strange)} among the labels")
    results = [
        {
            "image_id": image_id,
            "category_id": label_to_category[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for (x1, y1, x2, y2), label, score in zip(
            detections.boxes.tolist(),
            detections.labels.tolist(),
            detections.scores.tolist(),
            strict=True,
        )
    ]
    if detections.masks is not None:
        for result, mask in zip(results, detections.masks.cpu().numpy(), strict=True):
            rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
            result["segmentation"] = {**rle, "counts": rle["counts"].decode("ascii")}
    if detections.keypoints is not None:
        indices = detections.keypoints.cpu() - torch.tensor([0.5, 0.5, 0.0])
        for result, points in zip(results, indices, strict=True):
            result["keypoints"] = points.flatten().tolist()
    return results


def check_results(truth: Json, results: Sequence[Json], kinds: Sequence[str]) -> None:
    """Refuse what pycocotools would turn into a silent AP of 0, or worse.

    Raises ValueError that names the first faulty result, or the ids that the ground
    truth does not hold.
    """
    sizes = {image["id"]: image for image in truth["images"]}
    for number, result in enumerate(results):
        needed = ["image_id", "category_id", "score", *(FIELD[kind] for kind in kinds)]
        missing = [field for field in needed if field not in result]
        if missing:
            raise ValueError(f"result {number} has no {' and no '.join(missing)}")
        if not math.isfinite(result["score"]):
            raise ValueError(f"result {number} has the score {result['score']}")
    compare_ids(
        "image",
        {result["image_id"] for result in results},
        set(sizes),
        "are they of another split?",
    )
    compare_ids(
        "category",
        {result["category_id"] for result in results},
        {category["id"] for category in truth["categories"]},
        "labels 1..K have to be mapped back to category ids",
    )
    if "segm" in kinds:
        for number, result in enumerate(results):
            check_mask(number, result, sizes[result["image_id"]])
    if "keypoints" in kinds:
        check_keypoints(results, keypoint_count(truth))


def check_mask(number: int, result: Json, image: Json) -> None:
    """Refuse masks of other sizes than the image: they would overlap nothing."""
    mask = result["segmentation"]
    if not isinstance(mask, dict):
        raise ValueError(
            f"result {number}: its segmentation is a {type(mask).__name__};"
            " expected run lengths {size, counts}"
        )
    problem = rle_problem(mask, (image["height"], image["width"]))
    if problem:
        raise ValueError(f"result {number} of image {image['id']}: {problem}")


def compare_ids(what: str, used: set[Any], known: set[Any], hint: str) -> None:
    """Refuse ids that the ground truth does not hold, naming some of both."""
    if used - known:
        raise ValueError(
            f"results have {what} ids that the ground truth does not:"
            f" {some_of(used - known)}; it has {some_of(known)} ({hint})"
        )


def some_of(ids: Iterable[Any], most: int = 5) -> str:
    """The first few, in order: "1, 2, 3, 4, 5 and 7 more"."""
    names = [
        str(name) for name in sorted(ids, key=lambda name: (str(type(name)), name))
    ]
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
