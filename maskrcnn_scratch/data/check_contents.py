"""Checks of an annotation file's contents, without a look at the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from maskrcnn_scratch.data.annotations import Json, is_id
from maskrcnn_scratch.data.check_objects import ObjectChecks, name
from maskrcnn_scratch.data.findings import Finding

Problem = tuple[str, str, str]  # kind, what it is about, message


def check_contents(contents: Json, file: str, masks: bool = True) -> Iterator[Finding]:
    """All findings in an annotation file; ``file`` is how to call it.

    Without ``masks`` outlines are not looked at, and need not be there. Stops after
    faults in the images or categories, since all else refers to them.
    """
    lists = list(check_lists(contents))
    if not lists:
        lists = list(check_tables(contents["images"], contents["categories"]))
    findings = [Finding(kind, file, item, message) for kind, item, message in lists]
    yield from findings
    if not any(finding.severity == "error" for finding in findings):
        checks = ObjectChecks(image_sizes(contents["images"]), masks)
        for annotation in contents["annotations"]:
            for kind, message in checks.look(annotation):
                yield Finding(kind, file, name(annotation.get("id")), message)
        for kind, item, message in checks.rest(contents["categories"]):
            yield Finding(kind, file, item, message)


def check_lists(contents: Json) -> Iterator[Problem]:
    """Whether the three lists are there and hold objects."""
    for table in ("images", "annotations", "categories"):
        rows = contents.get(table)
        if not isinstance(rows, list):
            yield "not-coco", "", f"it has no list {table!r}"
        elif not all(isinstance(row, dict) for row in rows):
            yield "not-coco", "", f"not all of its {table} are JSON objects"


def check_tables(images: list[Json], categories: list[Json]) -> Iterator[Problem]:
    """What the annotations refer to."""
    yield from check_images(images)
    yield from check_categories(categories)


def image_sizes(images: list[Json]) -> dict[int, tuple[int, int]]:
    """(height, width) by id."""
    return {image["id"]: (image["height"], image["width"]) for image in images}


def check_images(images: list[Json]) -> Iterator[Problem]:
    """Ids, names and sizes."""
    if not images:
        yield "no-images", "", "it lists no images"
    for image in images:
        problem = image_problem(image)
        if problem:
            yield "bad-image", f"image {image.get('id')!r}", problem
    yield from repeated(images, "id", "duplicate-image-id")
    yield from repeated(images, "file_name", "duplicate-file")


def image_problem(image: Json) -> str:
    """What is wrong with an image's record, empty for nothing."""
    if not is_id(image.get("id")):
        return f"its id is {image.get('id')!r}"
    if not isinstance(image.get("file_name"), str):
        return f"its file_name is {image.get('file_name')!r}"
    for side in ("height", "width"):
        value = image.get(side)
        if not isinstance(value, int) or value < 1:
            return f"its {side} is {value!r}"
    return ""


def check_categories(categories: list[Json]) -> Iterator[Problem]:
    """Ids, names and keypoints."""
    for category in categories:
        if not is_id(category.get("id")) or not isinstance(category.get("name"), str):
            message = f"its id is {category.get('id')!r}, its name is "
            yield "bad-category", "categories", message + repr(category.get("name"))
    yield from repeated(categories, "id", "duplicate-category-id")
    ids = sorted(c["id"] for c in categories if isinstance(c.get("id"), int))
    if ids and ids[-1] - ids[0] >= len(ids):
        text = f"category ids run from {ids[0]} to {ids[-1]} with holes"
        yield "category-holes", "", text
    lists = [c["keypoints"] for c in categories if "keypoints" in c]
    if any(names != lists[0] for names in lists):
        yield "differing-keypoints", "categories", "they differ in their keypoints"


def repeated(rows: list[Json], field: str, kind: str) -> Iterator[Problem]:
    """Values of a field that occur more than once."""
    counts = Counter(repr(row.get(field)) for row in rows)
    for value, count in counts.items():
        if count > 1:
            yield kind, f"{field} {value}", f"it is listed {count} times"
