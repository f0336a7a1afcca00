"""Mean IoU of masks: how well objects are covered, and how well classes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from pycocotools import mask as mask_utils

from maskrcnn_scratch.data.annotations import to_rle
from maskrcnn_scratch.evaluation.ground_truth import (
    GroundTruth,
    Json,
    read_ground_truth,
)
from maskrcnn_scratch.evaluation.results import check_results
from maskrcnn_scratch.evaluation.scores import mean_of_known

Place = tuple[Any, Any]  # image id, category id
Masks = dict[Place, list[Json]]  # run lengths


@dataclass(frozen=True)
class MeanIoU:
    """Two readings of "mIoU", both in 0..1, or -1 where there is nothing to cover.

    ``per_object``: for each ground-truth object the best IoU that a detection of its
    class has with it, 0 if there is none, averaged over all objects. One detection may
    serve several objects, and false alarms cost nothing.

    ``per_class``, by class name: IoU of the class's pixels, all its detections united
    against all its objects united, summed over all images as in semantic segmentation;
    ``classes`` is its mean over the classes that are there or were found.

    Crowds are no objects, and their pixels are left out of their class.
    """

    per_object: float
    classes: float
    per_class: dict[str, float]


def mean_iou(
    ground_truth: GroundTruth, results: Sequence[Json], score_threshold: float = 0.5
) -> MeanIoU:
    """Mean IoU of the detections with at least this score.

    Unlike AP it depends on the threshold: many weak detections cover more.
    """
    truth = read_ground_truth(ground_truth, with_masks=True)
    check_results(truth, results, ["segm"])
    sizes = {i["id"]: (i["height"], i["width"]) for i in truth["images"]}
    objects: Masks = {}
    crowds: Masks = {}
    found: Masks = {}
    for annotation in truth["annotations"]:
        group = crowds if annotation["iscrowd"] else objects
        group.setdefault(place_of(annotation), []).append(annotation["segmentation"])
    for result in results:
        if result["score"] >= score_threshold:
            mask = to_rle(result["segmentation"], sizes[result["image_id"]])
            found.setdefault(place_of(result), []).append(mask)
    per_class = {
        str(category["name"]): class_iou(category["id"], objects, crowds, found)
        for category in truth["categories"]
    }
    return MeanIoU(
        per_object=mean_of_known(best_ious(objects, found)),
        classes=mean_of_known(np.array(list(per_class.values()))),
        per_class=per_class,
    )


def place_of(entry: Json) -> Place:
    """Which masks an annotation or a result may meet: those of its image and class."""
    return entry["image_id"], entry["category_id"]


def best_ious(objects: Masks, found: Masks) -> Float[np.ndarray, " objects"]:
    """For each object the IoU of the detection that covers it best."""
    best = [np.zeros(0)]
    for place, masks in objects.items():
        best.append(np.zeros(len(masks)))
        if place in found:
            iou = mask_utils.iou(found[place], masks, [0] * len(masks))
            best[-1] = iou.max(axis=0)
    return np.concatenate(best)


def class_iou(category: Any, objects: Masks, crowds: Masks, found: Masks) -> float:
    """Pixels in objects and detections over pixels in either; -1 where there are none.

    Areas outside the crowds are differences of unions, and the intersection follows
    from them: ``|A and B| = |A| + |B| - |A or B|``.
    """
    both = either = 0.0
    for place in {place for place in (*objects, *found) if place[1] == category}:
        a, b = objects.get(place, []), found.get(place, [])
        crowd = crowds.get(place, [])
        left_out = union_area(crowd)
        true = union_area(a + crowd) - left_out
        claimed = union_area(b + crowd) - left_out
        union = union_area(a + b + crowd) - left_out
        both += true + claimed - union
        either += union
    return both / either if either else -1.0


def union_area(masks: list[Json]) -> float:
    """How many pixels lie in any of the masks."""
    return float(mask_utils.area(mask_utils.merge(masks))) if masks else 0.0
