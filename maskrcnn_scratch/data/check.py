"""The check of a whole COCO-format folder: annotations, image files, and both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from maskrcnn_scratch.data.annotations import Json
from maskrcnn_scratch.data.check_contents import check_contents
from maskrcnn_scratch.data.findings import Finding
from maskrcnn_scratch.data.images import EXIF_ORIENTATION, ImageSizeError, read_pixels
from maskrcnn_scratch.data.layout import (
    annotation_file,
    image_folder,
    read_json,
    splits,
)

DARK = 0.05  # of the whole range: a 16-bit image below this shows next to nothing


def check_dataset(folder: str | Path, split: str | None = None) -> list[Finding]:
    """Everything that is wrong or odd in one split, or in all that there are.

    Decodes every image, so large sets take their time. Raises FileNotFoundError where
    there are no annotations at all.
    """
    names = splits(folder) if split is None else [split]
    if not names:
        annotation_file(folder, "train")  # raises: it says what was looked for
    findings: list[Finding] = []
    categories: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        path = annotation_file(folder, name)
        try:
            contents = read_json(path)
        except ValueError as error:
            findings.append(Finding("not-coco", path.name, "", str(error)))
            continue
        found = list(check_contents(contents, path.name))
        findings += found
        if not any(finding.kind in UNUSABLE for finding in found):
            findings += check_files(folder, name, contents, path.name)
            categories[path.name] = sorted(
                (category["id"], category["name"])
                for category in contents["categories"]
            )
    return [*findings, *check_agreement(categories)]


# After these the list of images, or that of categories, cannot be relied upon.
UNUSABLE = {"not-coco", "no-images", "bad-image", "bad-category"}


def check_agreement(
    categories: dict[str, list[tuple[int, str]]],
) -> Iterator[Finding]:
    """Whether all files have the same categories, (id, name), as the first has."""
    first = next(iter(categories), "")
    for file, listed in categories.items():
        if listed != categories[first]:
            message = f"its categories are not those of {first}"
            yield Finding("differing-categories", file, "", message)


def check_files(
    folder: str | Path, split: str, contents: Json, file: str
) -> Iterator[Finding]:
    """Every image file: there, whole, and of the size that the annotations say."""
    images = contents["images"]
    try:
        place = image_folder(folder, split, [image["file_name"] for image in images])
    except FileNotFoundError as error:
        yield Finding("missing-image", file, "images", str(error))
        return
    for image in images:
        path = place / image["file_name"]
        for kind, message in check_file(path, (image["height"], image["width"])):
            yield Finding(kind, file, f"image {image['id']}", message)


def check_file(path: Path, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """One image that should be of ``size`` (height, width): kind and message."""
    try:
        pixels = read_pixels(path, size)
    except FileNotFoundError as error:
        yield "missing-image", str(error)
    except ImageSizeError as error:
        yield "wrong-size", str(error)
    except ValueError as error:
        yield "broken-image", str(error)
    else:
        if pixels.dtype == "uint16" and pixels.max() < DARK * 65535:
            yield "dark-image", f"{path} is 16-bit and no pixel is above {pixels.max()}"
        yield from check_turn(path, size)


def check_turn(path: Path, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """What was made of an EXIF note that the image is to be turned."""
    with Image.open(path) as image:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        stored = image.size[::-1]
    if orientation == 1:
        return
    # 5 to 8 swap height and width; only then can the size tell that it is not turned.
    if orientation >= 5 and stored == size and stored[0] != stored[1]:
        yield "unturned-image", f"{path} asks to be turned, its size says it is not"
    else:
        yield "turned-image", f"{path} is turned as its EXIF note asks"
