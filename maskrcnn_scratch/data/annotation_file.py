"""An annotation file, checked and packed while it is read.

Faults that CocoDataset refuses or repairs are found on the way, so that no annotation
has to be kept as it stands in the file: COCO's 860,001 training annotations, 470 MB of
text, would be gigabytes of Python objects.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maskrcnn_scratch.data.annotations import Json, has_area
from maskrcnn_scratch.data.check_contents import (
    check_categories,
    check_images,
    check_lists,
    image_sizes,
)
from maskrcnn_scratch.data.check_objects import ObjectChecks, name
from maskrcnn_scratch.data.check_outlines import Problem
from maskrcnn_scratch.data.findings import KINDS, Finding
from maskrcnn_scratch.data.json_lists import Irregular, object_lists
from maskrcnn_scratch.data.layout import read_json
from maskrcnn_scratch.data.packed import ObjectPacker, PackedImages, PackedObjects

# Findings of the check that change what the dataset gives.
REPAIRED = ("empty-box", "outside-box", "short-polygon", "protruding-box")

IMAGE_FIELDS = ("id", "file_name", "height", "width")
ERRORS_TOLD = 3


@dataclass(frozen=True)
class Annotations:
    """What a file says of its images, in COCO's words but for the packing.

    ``repaired`` counts the objects left out or cut to their image, by kind of finding.
    """

    images: PackedImages
    categories: list[Json]
    objects: PackedObjects
    repaired: dict[str, int]


def read_annotations(path: Path, masks: bool = True) -> Annotations:
    """Read, check and pack a file; without ``masks`` outlines need not be there.

    Raises ValueError for errors in the annotations, naming the first.
    """
    try:
        with collector_paused():
            return Reading(path, masks).of(object_lists(path))
    except Irregular:
        contents = read_json(path)
    reading = Reading(path, masks)
    reading.refuse(check_lists(contents))
    tables = ("images", "categories", "annotations")
    return reading.of((table, contents[table]) for table in tables)


class Reading:
    """One reading of a file."""

    def __init__(self, path: Path, masks: bool) -> None:
        self.path = path
        self.masks = masks
        self.counts: Counter[str] = Counter()
        self.errors: list[Finding] = []

    def of(self, pieces: Iterable[tuple[str, list[Json]]]) -> Annotations:
        """From pieces of lists by name, of which images must come before annotations.

        Raises Irregular where they do not, and where a list is missing.
        """
        images: list[Json] = []
        categories: list[Json] = []
        found: set[str] = set()
        for table, rows in pieces:
            if table == "images":
                images += [{f: row.get(f) for f in IMAGE_FIELDS} for row in rows]
            elif table == "categories":
                categories += rows
            elif table == "annotations":
                if "images" not in found:
                    raise Irregular("annotations come before images")
                if table not in found:
                    self.refuse(check_images(images))
                    sizes = image_sizes(images)
                    checks = ObjectChecks(sizes, self.masks)
                    packer = ObjectPacker(self.masks)
                self.take(rows, checks, packer)
            found.add(table)
        if not {"images", "categories", "annotations"} <= found:
            raise Irregular("not all lists are there")
        self.refuse(check_categories(categories))
        self.refuse(checks.rest(categories))
        categories.sort(key=lambda category: int(category["id"]))
        packed_images = PackedImages(images)
        ids = [category["id"] for category in categories]
        return Annotations(
            packed_images,
            categories,
            packer.packed(packed_images, ids, len(keypoint_names(categories))),
            {kind: self.counts[kind] for kind in REPAIRED if self.counts[kind]},
        )

    def take(
        self, rows: list[Json], checks: ObjectChecks, packer: ObjectPacker
    ) -> None:
        """Annotations are packed unless they are faulty or have no area."""
        for annotation in rows:
            problems = checks.look(annotation)
            for kind, message in problems:
                self.note(kind, name(annotation.get("id")), message)
            if not problems or self.is_usable(annotation, problems, checks):
                packer.add(annotation)

    def is_usable(
        self, annotation: Json, problems: list[Problem], checks: ObjectChecks
    ) -> bool:
        """Whether an annotation with these problems has no error, and area."""
        if any(KINDS[kind][0] == "error" for kind, _ in problems):
            return False
        return has_area(annotation, checks.sizes[annotation["image_id"]], self.masks)

    def note(self, kind: str, item: str, message: str) -> None:
        """Count a finding; keep the first errors."""
        self.counts[kind] += 1
        if KINDS[kind][0] == "error" and len(self.errors) < ERRORS_TOLD:
            self.errors.append(Finding(kind, self.path.name, item, message))

    def refuse(self, problems: Iterable[tuple[str, str, str]]) -> None:
        """Note the problems; raise ValueError if there were errors among all so far."""
        for kind, item, message in problems:
            self.note(kind, item, message)
        errors = sum(n for kind, n in self.counts.items() if KINDS[kind][0] == "error")
        if errors:
            first = "\n".join(map(str, self.errors))
            raise ValueError(
                f"{self.path} has {errors} errors (`data check` lists all):\n{first}"
            )


@contextmanager
def collector_paused() -> Iterator[None]:
    """No search for cycles: parsing makes many objects, and not one cycle.

    A fifth of the time is saved.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def keypoint_names(categories: list[Json]) -> list[str]:
    """The names that the categories give their keypoints; empty for none."""
    for category in categories:
        if category.get("keypoints"):
            return list(category["keypoints"])
    return []
