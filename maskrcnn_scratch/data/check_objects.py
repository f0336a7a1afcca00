"""Checks of a file's annotations, one by one and together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from maskrcnn_scratch.data.annotations import Json, are_numbers, clipped_box
from maskrcnn_scratch.data.check_outlines import (
    Problem,
    outline_agreement,
    segmentation_problem,
)

PROTRUSION = 1.0  # pixels that a box may stand out of its image: rounding does that
WRONG, RIGHT = 0.5, 0.9  # IoU of a box and its mask's extent: below, above

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


def check_objects(contents: Json, masks: bool = True) -> Iterator[tuple[str, str, str]]:
    """All annotations: kind of problem, the annotation, message.

    The images and categories must be in order already.
    """
    images = {image["id"]: image for image in contents["images"]}
    categories = {category["id"]: category for category in contents["categories"]}
    if not contents["annotations"]:
        yield "no-annotations", "", "it holds no annotations at all"
    comparable = []
    for annotation in contents["annotations"]:
        problems = list(check_object(annotation, images, categories, masks))
        yield from ((kind, name(annotation), message) for kind, message in problems)
        if not INCOMPARABLE & {kind for kind, _ in problems}:
            comparable.append(annotation)
    if masks:
        yield from compare_with_masks(comparable, images)


def name(annotation: Json) -> str:
    """What to call it."""
    return f"annotation {annotation.get('id')!r}"


def compare_with_masks(
    annotations: list[Json], images: dict[int, Json]
) -> Iterator[tuple[str, str, str]]:
    """Boxes that are not where their masks are.

    If most fit once their last two numbers are taken for a corner, the whole file is
    written that way.
    """
    off: list[tuple[str, str, str]] = []
    corners = 0
    for annotation in annotations:
        image = images[annotation["image_id"]]
        agreement, agreement_as_corners = outline_agreement(annotation, image)
        corners += agreement_as_corners > max(agreement, RIGHT)
        if agreement < WRONG:
            message = f"its box and its mask's extent have an IoU of {agreement:.2f}"
            off.append(("box-off-mask", name(annotation), message))
    if 2 * corners > len(annotations):
        message = f"{corners} of {len(annotations)} boxes fit their masks better as"
        yield "xyxy-boxes", "", f"{message} [x1, y1, x2, y2]"
    else:
        yield from off


def check_object(
    annotation: Json,
    images: dict[int, Json],
    categories: dict[int, Json],
    masks: bool,
) -> Iterator[Problem]:
    """One annotation by itself."""
    id_, image_id = annotation.get("id"), annotation.get("image_id")
    category_id = annotation.get("category_id")
    if not isinstance(id_, int):
        yield "bad-annotation-id", f"its id is {id_!r}"
    elif id_ == 0:
        yield "zero-annotation-id", "its id is 0"
    if annotation.get("iscrowd", 0) not in (0, 1):
        yield "bad-crowd-flag", f"its iscrowd is {annotation['iscrowd']!r}"
    if not are_numbers([annotation.get("area")]) or annotation["area"] <= 0:
        yield "no-area", f"its area is {annotation.get('area')!r}"
    if not isinstance(category_id, int) or category_id not in categories:
        yield "unknown-category", f"its category_id {category_id!r} is not listed"
    else:
        yield from check_keypoints(annotation, categories[category_id])
    if not isinstance(image_id, int) or image_id not in images:
        yield "unknown-image", f"its image_id {image_id!r} is not listed"
        return
    size = images[image_id]["height"], images[image_id]["width"]
    yield from check_box(annotation, size)
    problem = segmentation_problem(annotation.get("segmentation"), size)
    if problem and masks:
        yield problem


def check_box(annotation: Json, size: tuple[int, int]) -> Iterator[Problem]:
    """Form, area and place of the box in an image of ``size`` (height, width)."""
    box: Any = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not are_numbers(box):
        yield "bad-box", f"its bbox is {box!r}"
        return
    x, y, width, height = box
    x1, y1, x2, y2 = clipped_box(annotation, size)
    place = f"its box {box} in an image of {size[1]} x {size[0]} (width x height)"
    if width <= 0 or height <= 0:
        yield "empty-box", f"its box {box} has no area"
    elif x2 <= x1 or y2 <= y1:
        yield "outside-box", f"{place} lies outside"
    elif max(x1 - x, y1 - y, x + width - x2, y + height - y2) > PROTRUSION:
        yield "protruding-box", f"{place} stands out of it"
    elif width < 1 and height < 1:
        yield "tiny-box", f"its box {box} is smaller than a pixel"


def check_keypoints(annotation: Json, category: Json) -> Iterator[Problem]:
    """As many numbers as the category's keypoints ask for."""
    keypoints = annotation.get("keypoints")
    expected = 3 * len(category.get("keypoints", []))
    if keypoints is None or not expected:
        return
    if len(keypoints) != expected or not are_numbers(keypoints):
        yield (
            "bad-keypoints",
            f"its keypoints are {len(keypoints)} values; expected {expected} numbers",
        )
