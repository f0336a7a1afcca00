"""Checks of a file's annotations, one by one and together."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from maskrcnn_scratch.data.annotations import (
    LARGEST_ID,
    Json,
    are_numbers,
    clipped_box,
    is_id,
)
from maskrcnn_scratch.data.check_outlines import (
    Problem,
    outline_agreement,
    segmentation_problem,
)

PROTRUSION = 1.0  # pixels that a box may stand out of its image: rounding does that
WRONG, RIGHT = 0.5, 0.9  # IoU of a box and its mask's extent: below, above
NOT_NUMBERS = -1

# After these there is no sense in comparing box and mask.
INCOMPARABLE = {
    "unknown-image",
    "bad-box",
    "empty-box",
    "outside-box",
    "no-segmentation",
    "bad-polygon",
    "short-polygon",
    "bad-rle",
}


class ObjectChecks:
    """Annotations are looked at one after another, and need not be kept.

    ``sizes`` are (height, width) by image id. Without ``masks`` outlines are not looked
    at.
    """

    def __init__(self, sizes: Mapping[int, tuple[int, int]], masks: bool = True):
        self.sizes = sizes
        self.masks = masks
        self.ids = array("q")
        self.category_ids = array("q")
        self.keypoint_counts = array("q")
        self.used_images: set[int] = set()
        self.off: list[tuple[str, str, str]] = []
        self.corners = 0
        self.compared = 0

    def look(self, annotation: Json) -> list[Problem]:
        """What is wrong with one annotation by itself, but for its category."""
        problems = list(self.id_problems(annotation))
        self.note_category(annotation)
        size = self.size_of(annotation.get("image_id"))
        if size is None:
            image_id = annotation.get("image_id")
            problems.append(
                ("unknown-image", f"its image_id {image_id!r} is not listed")
            )
            return problems
        problems += box_problems(annotation.get("bbox"), size)
        if self.masks:
            problem = segmentation_problem(annotation.get("segmentation"), size)
            if problem is not None:
                problems.append(problem)
            if not problems or not INCOMPARABLE & {kind for kind, _ in problems}:
                self.compare(annotation, size)
        return problems

    def id_problems(self, annotation: Json) -> Iterator[Problem]:
        """Its number, and the fields that evaluation reads."""
        id_: Any = annotation.get("id")
        self.ids.append(id_ if is_id(id_) else -LARGEST_ID)
        if not is_id(id_):
            yield "bad-annotation-id", f"its id is {id_!r}"
        elif id_ == 0:
            yield "zero-annotation-id", "its id is 0"
        if annotation.get("iscrowd", 0) not in (0, 1):
            yield "bad-crowd-flag", f"its iscrowd is {annotation['iscrowd']!r}"
        area: Any = annotation.get("area")
        if not are_numbers([area]) or area <= 0:
            yield "no-area", f"its area is {area!r}"
        category_id = annotation.get("category_id")
        if not is_id(category_id):
            yield "unknown-category", f"its category_id {category_id!r} is not listed"

    def size_of(self, image_id: Any) -> tuple[int, int] | None:
        """Of the annotation's image, which is noted as used."""
        size = self.sizes.get(image_id) if isinstance(image_id, int) else None
        if size is not None:
            self.used_images.add(image_id)
        return size

    def note_category(self, annotation: Json) -> None:
        """For later: the categories may stand behind the annotations."""
        category_id: Any = annotation.get("category_id")
        self.category_ids.append(category_id if is_id(category_id) else -LARGEST_ID)
        keypoints: Any = annotation.get("keypoints")
        count = 0 if keypoints is None else len(keypoints)
        if count and not are_numbers(keypoints):
            count = NOT_NUMBERS
        self.keypoint_counts.append(count)

    def compare(self, annotation: Json, size: tuple[int, int]) -> None:
        """Whether the box is where the mask is, as it stands or as two corners."""
        agreement, as_corners = outline_agreement(annotation, size)
        self.compared += 1
        self.corners += as_corners > max(agreement, RIGHT)
        if agreement < WRONG:
            message = f"its box and its mask's extent have an IoU of {agreement:.2f}"
            self.off.append(("box-off-mask", name(annotation.get("id")), message))

    def rest(self, categories: list[Json]) -> Iterator[tuple[str, str, str]]:
        """What the whole tells: kind of problem, what it is about, message.

        If most boxes fit their masks once their last two numbers are taken for a
        corner, the whole file is written that way.
        """
        if not self.ids:
            yield "no-annotations", "", "it holds no annotations at all"
        yield from self.of_categories(categories)
        if 2 * self.corners > self.compared:
            message = f"{self.corners} of {self.compared} boxes fit their masks better"
            yield "xyxy-boxes", "", f"{message} as [x1, y1, x2, y2]"
        else:
            yield from self.off
        ids = np.frombuffer(self.ids, np.int64) if self.ids else np.zeros(0, np.int64)
        values, counts = np.unique(ids[ids > -LARGEST_ID], return_counts=True)
        for value, count in zip(values[counts > 1], counts[counts > 1], strict=True):
            message = f"it is listed {count} times"
            yield "duplicate-annotation-id", f"id {value}", message
        bare = len(self.sizes) - len(self.used_images)
        if bare:
            text = f"{bare} of {len(self.sizes)} images have no annotations"
            yield "images-without-objects", "", text

    def of_categories(self, categories: list[Json]) -> Iterator[tuple[str, str, str]]:
        """Categories that are not listed, or not used; numbers of keypoints."""
        expected = {c["id"]: 3 * len(c.get("keypoints") or []) for c in categories}
        rows = zip(self.ids, self.category_ids, self.keypoint_counts, strict=True)
        for id_, category_id, count in rows:
            if category_id == -LARGEST_ID:
                continue
            if category_id not in expected:
                message = f"its category_id {category_id} is not listed"
                yield "unknown-category", name(id_), message
            elif count not in (0, expected[category_id]) and expected[category_id]:
                found = "no numbers" if count == NOT_NUMBERS else f"{count} values"
                message = f"its keypoints are {found}; expected {expected[category_id]}"
                yield "bad-keypoints", name(id_), f"{message} numbers"
        used = set(self.category_ids)
        for category in categories:
            if category["id"] not in used:
                item = f"category {category['id']} ({category['name']})"
                yield "unused-category", item, "no annotation is of it"


def name(id_: Any) -> str:
    """What to call an annotation."""
    return f"annotation {id_!r}"


def box_problems(box: Any, size: tuple[int, int]) -> Iterator[Problem]:
    """Form, area and place of the box in an image of ``size`` (height, width)."""
    if not isinstance(box, list) or len(box) != 4 or not are_numbers(box):
        yield "bad-box", f"its bbox is {box!r}"
        return
    x, y, width, height = box
    within = min(x, y) >= 0 and x + width <= size[1] and y + height <= size[0]
    if within and min(width, height) >= 1:
        return
    x1, y1, x2, y2 = clipped_box(box, size)
    if width <= 0 or height <= 0:
        yield "empty-box", f"its box {box} has no area"
    elif x2 <= x1 or y2 <= y1:
        yield "outside-box", f"{place(box, size)} lies outside"
    elif max(x1 - x, y1 - y, x + width - x2, y + height - y2) > PROTRUSION:
        yield "protruding-box", f"{place(box, size)} stands out of it"
    elif width < 1 and height < 1:
        yield "tiny-box", f"its box {box} is smaller than a pixel"


def place(box: list[float], size: tuple[int, int]) -> str:
    """The box and its image in words."""
    return f"its box {box} in an image of {size[1]} x {size[0]} (width x height)"
