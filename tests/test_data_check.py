"""Every fault of a data set is found, named, and comes with advice.

Faults tried -> the test that caught them:
- limits moved, axes exchanged, < for <= -> the fault's case in test_faults_are_found
- box sizes compared as corners, the vote left out -> test_corners_instead_of_sizes
- the vote without "better" or without "well"
  -> test_boxes_at_the_origin_are_no_corners, test_boxes_that_fit_neither_way_are_off
- dark for bright -> test_faults_of_image_files
- half a turn taken for none -> test_turned_images
- categories compared the other way round -> test_splits_must_agree_on_categories
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_coco
from PIL import Image
from tiny_coco import annotation, contents, image

from maskrcnn_scratch.data import CocoDataset, Finding, check_dataset, report
from maskrcnn_scratch.data.check_contents import check_contents
from maskrcnn_scratch.data.findings import KINDS
from maskrcnn_scratch.data.images import EXIF_ORIENTATION

THING = {"id": 1, "name": "thing"}


def one(**changes: object) -> dict[str, Any]:
    """A file whose annotation 1 is good and whose annotation 12 is changed."""
    return contents(annotations=[annotation(1), {**annotation(12), **changes}])


def rle(counts: object, size: object = (24, 32)) -> dict[str, Any]:
    return one(segmentation={"counts": counts, "size": list(size)})  # type: ignore


CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"images": [], "annotations": []}, "not-coco", "no list 'categories'"),
    ({**contents(), "images": [3]}, "not-coco", "not all of its images"),
    (contents(images=[]), "no-images", "lists no images"),
    (contents(annotations=[]), "no-annotations", "no annotations at all"),
    (contents(images=[{**image(), "id": "1"}]), "bad-image", "id is '1'"),
    (contents(images=[{**image(), "width": 0}]), "bad-image", "width is 0"),
    (contents(images=[{**image(), "file_name": None}]), "bad-image", "file_name is N"),
    (contents(images=[image(), image()]), "duplicate-image-id", "id 1: it is listed 2"),
    (
        contents(images=[image(), {**image(), "id": 2}]),
        "duplicate-file",
        "file_name '1.png': it is listed 2 times",
    ),
    (contents(images=[image(n) for n in (1, 2, 3)]), "images-without-obj", "2 of 3 im"),
    (contents(categories=[THING, THING]), "duplicate-category-id", "listed 2 times"),
    (contents(categories=[{"id": 1}]), "bad-category", "name is None"),
    (
        contents(categories=[THING, {"id": 5, "name": "other"}]),
        "category-holes",
        "from 1 to 5 with holes",
    ),
    (
        contents(categories=[THING, {"id": 2, "name": "other"}]),
        "unused-category",
        r"category 2 \(other\): no annotation",
    ),
    (
        contents(
            categories=[
                {**THING, "keypoints": ["nose"]},
                {"id": 2, "name": "cat", "keypoints": ["tail"]},
            ]
        ),
        "differing-keypoints",
        "differ in their keypoints",
    ),
    (one(id="x"), "bad-annotation-id", "annotation 'x': its id is 'x'"),
    (one(id=1), "duplicate-annotation-id", "id 1: it is listed 2 times"),
    (one(id=0), "zero-annotation-id", "its id is 0"),
    (one(image_id=7), "unknown-image", "image_id 7 is not listed"),
    (one(category_id=7), "unknown-category", "category_id 7 is not listed"),
    (one(category_id="1"), "unknown-category", "category_id '1' is not listed"),
    (one(category_id=[1]), "unknown-category", "is not listed"),
    (one(iscrowd=2), "bad-crowd-flag", "iscrowd is 2"),
    (one(bbox=None), "bad-box", "bbox is None"),
    (one(bbox=[1, 2, 3]), "bad-box", r"bbox is \[1, 2, 3\]"),
    (one(bbox=[4, 6, math.nan, 8]), "bad-box", "nan"),
    (one(bbox=[4, 6, "10", 8]), "bad-box", "'10'"),
    (one(bbox=[4, 6, 0, 8]), "empty-box", "has no area"),
    (one(bbox=[4, 6, 10, -8]), "empty-box", "has no area"),
    (one(bbox=[33, 6, 10, 8]), "outside-box", r"32 x 24 \(width x height\) lies out"),
    (one(bbox=[4, 6, 30, 8]), "protruding-box", "stands out"),
    (one(bbox=[-3, 6, 17, 8]), "protruding-box", "stands out"),
    (one(bbox=[4, 6, 10, 20]), "protruding-box", "stands out"),
    (one(bbox=[0.2, 0.3, 0.4, 0.5]), "tiny-box", "smaller than a pixel"),
    (one(bbox=[14, 14, 10, 8]), "box-off-mask", "IoU of 0.00"),
    (one(segmentation=None), "no-segmentation", "segmentation is None"),
    (one(segmentation=[]), "no-segmentation", r"segmentation is \[\]"),
    (one(segmentation=[[4, 6, 14, 14]]), "short-polygon", "a polygon has 4 numbers"),
    (one(segmentation=[[4, 6, 14, 6, 14, 14, 4]]), "bad-polygon", "7 numbers"),
    (one(segmentation=[[4, 6, 14, math.nan, 4, 8]]), "bad-polygon", "finite numbers"),
    (one(segmentation=[4, 6, 14, 6, 14, 14]), "bad-polygon", "finite numbers"),
    (rle([0, 768], (32, 24)), "bad-rle", r"\[32, 24\], the image is \[24, 32\]"),
    (rle([100, 60]), "bad-rle", "cover 160 pixels of 768"),
    (rle([100, -60, 728]), "bad-rle", "negative"),
    (rle("T3"), "bad-rle", "cover 100 pixels of 768"),
    (rle("~~"), "bad-rle", "character '~'"),
    (rle(None), "bad-rle", "neither text nor a list"),
    (one(area=0), "no-area", "area is 0"),
    (one(area=None), "no-area", "area is None"),
    (
        contents(
            annotations=[annotation(1, keypoints=[1, 2])],
            categories=[{**THING, "keypoints": ["nose"]}],
        ),
        "bad-keypoints",
        "keypoints are 2 values; expected 3 numbers",
    ),
]


@pytest.mark.parametrize(("data", "kind", "message"), CASES)
def test_faults_are_found(data: dict[str, Any], kind: str, message: str) -> None:
    findings = list(check_contents(data, "some.json"))
    matching = [finding for finding in findings if finding.kind.startswith(kind)]
    assert matching, report(findings)
    text = str(matching[0])
    assert re.search(message, text), text
    assert "some.json" in text
    assert matching[0].advice in text
    # A fault has one name: nothing else is said, but for what follows from it.
    follows = {
        "duplicate-file",
        "unused-category",
        "images-without-objects",
        "box-off-mask",
        kind,
    }
    assert {f.kind for f in findings if not f.kind.startswith(kind)} <= follows


def test_every_kind_is_tested() -> None:
    in_files = {"missing-image", "broken-image", "wrong-size", "dark-image"}
    elsewhere = {"turned-image", "unturned-image", "xyxy-boxes", "differing-categories"}
    tested = {kind for kind in KINDS for _, start, _ in CASES if kind.startswith(start)}
    assert tested | in_files | elsewhere == set(KINDS)


def test_a_good_file_has_no_findings() -> None:
    good = contents(
        annotations=[
            annotation(1),
            annotation(2, iscrowd=1, **box_and_rle()),
            annotation(3, bbox=[-0.5, 23, 32.9, 1.5], segmentation=[[-0.5, 23] * 3]),
        ]
    )
    good["annotations"][2]["segmentation"] = [[-0.5, 23, 32.4, 23, 32.4, 24.5, 0, 24]]
    assert list(check_contents(good, "good.json")) == []


def box_and_rle() -> dict[str, Any]:
    """Columns 10 to 19 in full."""
    runs = [240, 240, 288]
    return {
        "bbox": [10, 0, 10, 24],
        "segmentation": {"size": [24, 32], "counts": runs},
    }


def test_corners_instead_of_sizes() -> None:
    """Boxes as x1, y1, x2, y2 are one finding of the file, not one of each box."""
    boxes = [(1, 2, 9, 8), (10, 3, 30, 20), (2, 10, 8, 22), (16, 12, 20, 16)]
    rows = [
        annotation(
            n, bbox=[x1, y1, x2, y2], segmentation=[[x1, y1, x2, y1, x2, y2, x1, y2]]
        )
        for n, (x1, y1, x2, y2) in enumerate(boxes, 1)
    ]
    found = list(check_contents(contents(annotations=rows), "corners.json"))
    assert [f.kind for f in found if f.severity == "error"] == ["xyxy-boxes"]
    assert "4 of 4 boxes" in str(next(f for f in found if f.kind == "xyxy-boxes"))


def test_boxes_at_the_origin_are_no_corners() -> None:
    """There, [x, y, width, height] is [x1, y1, x2, y2]."""
    outline = [[0, 0, 20, 0, 20, 16, 0, 16]]
    rows = [
        annotation(n, bbox=[0, 0, 20, 16], segmentation=outline, area=320)
        for n in (1, 2)
    ]
    assert list(check_contents(contents(annotations=rows), "origin.json")) == []


def test_boxes_that_fit_neither_way_are_off() -> None:
    rows = [annotation(1, bbox=[3, 5, 20, 19])]
    [found] = check_contents(contents(annotations=rows), "off.json")
    assert found.kind == "box-off-mask"


def test_faults_of_image_files(tmp_path: Path) -> None:
    data = contents(
        images=[image(n) for n in range(1, 6)],
        annotations=[annotation(n, image_id=n) for n in range(1, 6)],
    )
    folder = tiny_coco.write(tmp_path, data)
    (folder / "train/1.png").unlink()
    whole = (folder / "train/2.png").read_bytes()
    (folder / "train/2.png").write_bytes(whole[: len(whole) // 2])
    Image.new("L", (24, 32)).save(folder / "train/3.png")
    dark = np.full((24, 32), 400, np.uint16)
    Image.fromarray(dark).save(folder / "train/4.png")
    found = {f.item: f for f in check_dataset(folder)}
    assert {item: f.kind for item, f in found.items()} == {
        "image 1": "missing-image",
        "image 2": "broken-image",
        "image 3": "wrong-size",
        "image 4": "dark-image",
    }
    assert "24 x 32 pixels, its annotations say 32 x 24" in str(found["image 3"])
    assert "no pixel is above 400" in str(found["image 4"])
    for number in (1, 2, 3, 4):
        assert f"{number}.png" in found[f"image {number}"].message


@pytest.mark.parametrize(
    ("stored", "annotated", "orientation", "kind"),
    [
        ((32, 24), (24, 32), 6, "turned-image"),
        ((24, 32), (24, 32), 6, "unturned-image"),
        ((24, 32), (24, 32), 3, "turned-image"),  # half a turn keeps the size
        ((24, 24), (24, 24), 6, "turned-image"),
    ],
)
def test_turned_images(
    tmp_path: Path,
    stored: tuple[int, int],
    annotated: tuple[int, int],
    orientation: int,
    kind: str,
) -> None:
    """Sizes are (height, width). The note says what CocoDataset does."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    folder = tiny_coco.write(tmp_path, contents(images=[image(1, *annotated)]))
    pixels = np.arange(stored[0] * stored[1]).reshape(stored) % 251
    Image.fromarray(pixels.astype(np.uint8)).save(folder / "train/1.png", exif=exif)
    [found] = check_dataset(folder)
    assert (found.item, found.kind, found.severity) == ("image 1", kind, "note")
    read = CocoDataset(folder, "train")[0][0][0] * 255
    untouched = read.shape == stored and np.allclose(read, pixels % 251)
    assert untouched == (kind == "unturned-image")


def test_no_image_is_there(tmp_path: Path) -> None:
    folder = tiny_coco.write(tmp_path, contents(), pixels=False)
    [found] = check_dataset(folder)
    assert found.kind == "missing-image"
    assert "none of the 1 images, such as 1.png" in found.message


def test_splits_must_agree_on_categories(tmp_path: Path) -> None:
    tiny_coco.write(tmp_path, contents(), "train")
    other = contents(categories=[THING, {"id": 2, "name": "other"}])
    tiny_coco.write(tmp_path, other, "val")
    errors = [f for f in check_dataset(tmp_path) if f.severity == "error"]
    assert [(f.kind, f.file) for f in errors] == [
        ("differing-categories", "instances_val.json")
    ]
    assert not [f for f in check_dataset(tmp_path, "val") if f.severity == "error"]


def test_broken_json_is_a_finding(tmp_path: Path) -> None:
    tiny_coco.write(tmp_path, contents(), "train")
    tiny_coco.write(tmp_path, contents(), "val")
    path = tmp_path / "annotations/instances_val.json"
    path.write_text(path.read_text()[:-10])
    [found] = check_dataset(tmp_path)
    assert (found.kind, found.file) == ("not-coco", "instances_val.json")
    path.write_text("[]")
    [found] = check_dataset(tmp_path)
    assert "holds a list; expected an object" in found.message


def test_no_annotation_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected instances_train.json"):
        check_dataset(tmp_path)


def test_reports_are_short_and_worst_first() -> None:
    findings = [Finding("category-holes", "a.json", "", "holes")]
    findings += [
        Finding("empty-box", "a.json", f"annotation {n}", "x") for n in range(9)
    ]
    findings += [Finding("bad-box", "a.json", "annotation 9", "y")]
    lines = report(findings, most=3).splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == (
        ["error"] + ["warning"] * 4 + ["note"]
    )
    assert "6 more of this kind (empty-box)" in lines[4]
    assert lines[-1] == "1 errors, 9 warnings, 1 notes"


@pytest.mark.parametrize(
    "name", ["dsb2018_fluo256", "balloon_640", "coco_person_small"]
)
def test_real_folders_are_clean(shared_data: Path, name: str) -> None:
    assert report(check_dataset(shared_data / name, "val")).startswith(
        "0 errors, 0 warn"
    )
