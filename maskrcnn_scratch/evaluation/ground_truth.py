"""COCO ground truth, made ready for pycocotools, which trusts all that it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from maskrcnn_scratch.data.annotations import real_polygons, to_rle
from maskrcnn_scratch.data.check_outlines import rle_problem
from maskrcnn_scratch.data.layout import read_json
from maskrcnn_scratch.evaluation.keypoints import (
    completed_keypoints,
    keypoint_count,
)

Json = dict[str, Any]
GroundTruth: TypeAlias = COCO | Json | str | Path


def read_ground_truth(
    source: GroundTruth, with_masks: bool, with_keypoints: bool = False
) -> Json:
    """The images, categories and completed annotations of a COCO object, dict or file.

    Masks and keypoints are left out unless they are asked for. Annotations are copies,
    numbered 1, 2, ...: pycocotools writes into them, keeps one of each id only, and
    takes the id 0 for "not matched". Raises ValueError for what it cannot complete.
    """
    if isinstance(source, COCO):
        contents: Json = source.dataset
    elif isinstance(source, dict):
        contents = source
    else:
        contents = read_json(Path(source))
    missing = {"images", "annotations", "categories"} - contents.keys()
    if missing:
        raise ValueError(f"the ground truth has no {' and no '.join(sorted(missing))}")
    images = {image["id"]: image for image in contents["images"]}
    points = keypoint_count(contents) if with_keypoints else 0
    annotations = [
        completed(annotation, images, with_masks)
        | (completed_keypoints(annotation, points) if with_keypoints else {})
        | {"id": number}
        for number, annotation in enumerate(contents["annotations"], start=1)
    ]
    return {
        "images": contents["images"],
        "categories": contents["categories"],
        "annotations": annotations,
    }


def completed(annotation: Json, images: dict[Any, Json], with_masks: bool) -> Json:
    """A copy with ``iscrowd``, ``bbox`` and ``area``, and its mask as run lengths.

    An area or a box that is missing is that of the mask; an area without mask that of
    the box. The mask is left out unless it is asked for, keypoints always.
    """
    name = f"annotation {annotation.get('id', '?')}"
    image = images.get(annotation["image_id"])
    if image is None:
        raise ValueError(f"{name} is of image {annotation['image_id']}, not listed")
    whole: Json = {"iscrowd": 0} | annotation
    whole.pop("keypoints", None)
    segmentation = whole.pop("segmentation", None)
    if with_masks or (segmentation and not {"bbox", "area"} <= whole.keys()):
        mask = mask_of(segmentation, (image["height"], image["width"]), name)
        whole.setdefault("bbox", mask_utils.toBbox(mask).tolist())
        whole.setdefault("area", float(mask_utils.area(mask)))
        if with_masks:
            whole["segmentation"] = mask
    if "bbox" not in whole:
        raise ValueError(f"{name} has neither a bbox nor a segmentation")
    whole.setdefault("area", whole["bbox"][2] * whole["bbox"][3])
    return whole


def mask_of(segmentation: Any, size: tuple[int, int], name: str) -> Json:
    """Compressed run lengths of polygons or run lengths; ``name`` is for the errors."""
    if isinstance(segmentation, list) and real_polygons(segmentation):
        return to_rle(segmentation, size)
    if not isinstance(segmentation, dict):
        raise ValueError(
            f"{name} has no mask: its segmentation is {segmentation!r}; evaluate boxes"
            ' alone (kinds=("bbox",)) or leave it out'
        )
    problem = rle_problem(segmentation, size)
    if problem:
        raise ValueError(f"{name}: {problem}")
    return to_rle(segmentation, size)
