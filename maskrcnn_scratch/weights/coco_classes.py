"""COCO's 80 classes, and what its category ids are: 1 to 90 with ten holes."""

from __future__ import annotations

COCO_CLASSES = [
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck"),
    *("boat", "traffic light", "fire hydrant", "stop sign", "parking meter", "bench"),
    *("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra"),
    *("giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove"),
    *("skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup"),
    *("fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange"),
    *("broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse"),
    *("remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink"),
    *("refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
]
"""By rising category id: contiguous label l is ``COCO_CLASSES[l - 1]``."""

HOLES = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
"""Ids from 1 to 90 that no category has."""

NO_CLASS = "no class "
"""How the name begins of a label that no class has."""

COCO_NAMES_BY_ID = [
    f"{NO_CLASS}{id}" if id in HOLES else COCO_CLASSES[id - 1 - n]
    for id, n in ((id, sum(hole < id for hole in HOLES)) for id in range(1, 91))
]
"""The names where labels are category ids: label l is ``COCO_NAMES_BY_ID[l - 1]``."""


def class_names(classes: int) -> list[str]:
    """COCO's names for as many classes as COCO has, or else numbers."""
    for known in (COCO_CLASSES, COCO_NAMES_BY_ID):
        if len(known) == classes:
            return known
    return [f"class {label}" for label in range(1, classes + 1)]
