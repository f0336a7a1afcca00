"""How many objects a region proposal network finds: average recall.

``reference.average_recall`` shows what is counted. pycocotools counts the same, one
proposal after another; of 1000 in an image most reach no object, and are skipped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as mask_utils
from torch import Tensor

from maskrcnn_scratch.evaluation.ground_truth import (
    GroundTruth,
    Json,
    read_ground_truth,
)
from maskrcnn_scratch.evaluation.results import compare_ids
from maskrcnn_scratch.reference.average_precision import AREAS, IOU_THRESHOLDS

NEVER = np.iinfo(np.int64).max


def average_recall(
    ground_truth: GroundTruth,
    proposals: Mapping[int, Float[Tensor, "_n 4"]],
    limits: Sequence[int] = (100, 1000),
) -> dict[str, float]:
    """AR by name: ``ar_100``, ``ar_1000``, and of the last limit by objects' area.

    Those are ``ar_1000_small``, ``_medium`` and ``_large`` (FPN, Table 1); -1 where
    there are no such objects. ``proposals`` are boxes (xyxy in the image's pixels) by
    image id, best first; an image that has none of them counts with all its objects.
    Raises ValueError for ids of images that the ground truth does not hold.
    """
    truth = read_ground_truth(ground_truth, with_masks=False)
    known = {image["id"] for image in truth["images"]}
    compare_ids("image", set(proposals), known, "are they of another split?")
    objects: dict[int, list[Json]] = {}
    for annotation in truth["annotations"]:
        if not annotation["iscrowd"]:
            objects.setdefault(annotation["image_id"], []).append(annotation)
    most = max(limits)
    ranks: dict[str, list[Int[np.ndarray, "thresholds _objects"]]]
    ranks = {area: [np.zeros((len(IOU_THRESHOLDS), 0), np.int64)] for area in AREAS}
    for image_id, its_objects in objects.items():
        iou = overlaps(proposals.get(image_id), its_objects, most)
        areas = np.array([annotation["area"] for annotation in its_objects])
        for name, (low, high) in AREAS.items():
            inside = (low <= areas) & (areas <= high)
            ranks[name].append(ranks_of_takers(iou[:, inside]))
    figures = {f"ar_{limit}": recall(ranks["all"], limit) for limit in limits}
    for name in ("small", "medium", "large"):
        figures[f"ar_{limits[-1]}_{name}"] = recall(ranks[name], limits[-1])
    return figures


def overlaps(
    boxes: Float[Tensor, "_n 4"] | None, objects: Sequence[Json], most: int
) -> Float[np.ndarray, "proposals objects"]:
    """IoU of the best ``most`` proposals with the objects."""
    if boxes is None or not len(boxes):
        return np.zeros((0, len(objects)))
    found = boxes[:most].cpu().double().numpy()
    found = np.concatenate([found[:, :2], found[:, 2:] - found[:, :2]], axis=1)
    truth = np.array([annotation["bbox"] for annotation in objects], np.float64)
    return np.asarray(mask_utils.iou(found, truth, [0] * len(truth)))


def ranks_of_takers(
    iou: Float[np.ndarray, "proposals objects"],
) -> Int[np.ndarray, "thresholds objects"]:
    """The place of the proposal that takes each object, NEVER where none does.

    Of equal overlaps the object later in the list wins, as in pycocotools.
    """
    bars = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)
    ranks = np.full((len(bars), iou.shape[1]), NEVER)
    last = iou.shape[1] - 1
    every = np.arange(len(bars))
    for rank in np.flatnonzero(iou.max(axis=1, initial=0) >= bars[0]):
        free: Bool[np.ndarray, "thresholds objects"] = ranks == NEVER
        left = np.where(free, iou[rank], -1)
        best = last - left[:, ::-1].argmax(axis=1)
        takes = left[every, best] >= bars
        ranks[every[takes], best[takes]] = rank
    return ranks


def recall(
    ranks: Sequence[Int[np.ndarray, "thresholds _objects"]], limit: int
) -> float:
    """The part of all objects that are taken within the limit, over all thresholds."""
    together = np.concatenate(ranks, axis=1)
    return float((together < limit).mean()) if together.size else -1.0
