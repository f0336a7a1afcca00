"""What the checks of a data set can find, in plain words.

An error is what CocoDataset refuses or what would ruin training, a warning what it
repairs or what is likely a mistake, a note what is good to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]

# Every kind of finding: how bad it is, and what to do.
KINDS: dict[str, tuple[Severity, str]] = {
    "not-coco": (
        "error",
        "Write one JSON object with the lists 'images', 'annotations', 'categories'",
    ),
    "bad-category": ("error", "Give each category a whole number 'id' and a 'name'"),
    "duplicate-category-id": ("error", "Give each category an id of its own"),
    "differing-categories": (
        "error",
        "Give all splits the same list of categories, or their labels will not agree",
    ),
    "differing-keypoints": ("error", "Give all categories the same list of keypoints"),
    "bad-image": (
        "error",
        "Give each image an 'id', a 'file_name', 'height' and 'width' in pixels",
    ),
    "duplicate-image-id": ("error", "Give each image an id of its own"),
    "duplicate-file": ("warning", "List each image file once, with all its objects"),
    "no-images": ("error", "List the images"),
    "no-annotations": ("error", "Check that this is the file you mean"),
    "bad-annotation-id": ("error", "Give each annotation a whole number 'id'"),
    "duplicate-annotation-id": (
        "error",
        "Number the annotations through: pycocotools keeps one of each id only",
    ),
    "zero-annotation-id": (
        "warning",
        "Number annotations from 1: pycocotools takes 0 for 'not matched'",
    ),
    "unknown-image": ("error", "Correct the image_id or list that image"),
    "unknown-category": ("error", "Correct the category_id or list that category"),
    "bad-crowd-flag": ("error", "Set 'iscrowd' to 0, or to 1 for a region of many"),
    "bad-box": ("error", "Write 'bbox' as [x, y, width, height] in pixels"),
    "xyxy-boxes": ("error", "Write [x, y, width, height], not [x1, y1, x2, y2]"),
    "empty-box": ("warning", "Correct or delete it; training leaves it out"),
    "outside-box": ("warning", "Correct or delete it; training leaves it out"),
    "protruding-box": ("warning", "Check it; training cuts it to the image"),
    "tiny-box": ("warning", "Check that coordinates are pixels, not parts of 1"),
    "box-off-mask": ("warning", "Check which of the two is right"),
    "no-segmentation": ("error", "Outline the object: masks are learnt from outlines"),
    "bad-polygon": ("error", "Write each polygon as finite [x1, y1, x2, y2, ...]"),
    "short-polygon": (
        "warning",
        "Give a polygon three corners (6 numbers) or more; training leaves it out",
    ),
    "bad-rle": ("error", "Write 'size' as [height, width] and 'counts' for that size"),
    "no-area": ("warning", "Add 'area' in pixels: evaluation sorts objects by it"),
    "bad-keypoints": ("error", "Write x, y, v for each keypoint of the category"),
    "missing-image": ("error", "Put the file in place or take it off the list"),
    "broken-image": ("error", "Fetch or export the file again"),
    "wrong-size": ("error", "Correct 'height' and 'width', or use the right file"),
    "dark-image": (
        "warning",
        "Stretch the values: 16-bit images are read as 0 to 65535",
    ),
    "turned-image": ("note", "Outlines are taken to fit the image as viewers show it"),
    "unturned-image": ("note", "Outlines are taken to fit the image as it is stored"),
    "category-holes": ("note", "Nothing: labels are 1, 2, ... by rising id"),
    "unused-category": ("note", "Nothing, if that is so by intention"),
    "images-without-objects": (
        "note",
        "Nothing, if there is truly nothing in them: they teach what background is",
    ),
}


@dataclass(frozen=True)
class Finding:
    """One finding; ``item`` names the annotation or image, empty for a whole file."""

    kind: str
    file: str
    item: str
    message: str

    @property
    def severity(self) -> Severity:
        """error, warning or note."""
        return KINDS[self.kind][0]

    @property
    def advice(self) -> str:
        """What to do."""
        return KINDS[self.kind][1]

    def __str__(self) -> str:
        place = f"{self.file}, {self.item}" if self.item else self.file
        return f"{self.severity}: {place}: {self.message}. {self.advice}."


def report(findings: Sequence[Finding], most: int = 5) -> str:
    """All findings as text, worst first, at most ``most`` of each kind and file."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.kind, finding.file), []).append(finding)
    order: list[Severity] = ["error", "warning", "note"]
    lines = []
    for group in sorted(groups.values(), key=lambda g: order.index(g[0].severity)):
        lines += [str(finding) for finding in group[:most]]
        if len(group) > most:
            more = len(group) - most
            lines.append(
                f"{group[0].severity}: {group[0].file}: {more} more of this kind"
                f" ({group[0].kind})"
            )
    counts = {s: sum(f.severity == s for f in findings) for s in order}
    return "\n".join([*lines, ", ".join(f"{counts[s]} {s}s" for s in order)])
