"""Prediction on image files: pictures, COCO results and a table of the objects."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from pycocotools import mask as mask_utils
from torch import Tensor

from maskrcnn_scratch.data import read_image
from maskrcnn_scratch.evaluation import detections_to_coco
from maskrcnn_scratch.files import filling_folder
from maskrcnn_scratch.inference.overlay import draw_detections
from maskrcnn_scratch.inference.predict import Predictor
from maskrcnn_scratch.inference.tiles import InTiles

Json = dict[str, Any]

COLUMNS = ["file", "object", "class", "score", "x", "y", "width", "height", "mask_area"]


def predict_files(
    predictor: Predictor | InTiles,
    sources: Sequence[str | Path],
    out_dir: str | Path,
    score_threshold: float = 0.5,
) -> Path:
    """Find objects in image files and folders of them; returns ``out_dir``.

    Writes an overlay ``NAME.png`` an image; ``results.json``, COCO's results list, with
    ``images.json``, which names its images and categories; and ``objects.csv``, a row
    an object with its box in pixels and its mask's area in pixels. All are written
    when all images are done, or none.

    Raises FileNotFoundError or ValueError for what is no image.
    """
    paths = image_files(sources)
    names = predictor.class_names
    label_is_category = {label: label for label in range(1, len(names) + 1)}
    images: list[Json] = []
    results: list[Json] = []
    rows: list[list[object]] = []
    with filling_folder(out_dir) as folder:
        for image_id, path in enumerate(paths, start=1):
            image = read_image(path)
            found = predictor(image, score_threshold)
            picture = draw_detections(image, found, names)
            picture.save(unused_name(folder, path.stem))
            images.append(describe(image_id, path, image))
            entries = detections_to_coco(found, image_id, label_is_category)
            results += entries
            rows += object_rows(str(path), entries, names)
        categories = [{"id": 1 + i, "name": name} for i, name in enumerate(names)]
        listing = {"images": images, "categories": categories}
        write_json(folder / "images.json", listing)
        write_json(folder / "results.json", results)
        write_table(folder / "objects.csv", rows)
    return Path(out_dir)


def image_files(sources: Iterable[str | Path]) -> list[Path]:
    """Files as they are given, folders as their image files by name."""
    known = {
        suffix
        for suffix, kind in Image.registered_extensions().items()
        if kind in Image.OPEN
    }
    paths: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            inside = sorted(p for p in source.iterdir() if p.suffix.lower() in known)
            if not inside:
                raise FileNotFoundError(f"no image files in {source}")
            paths += inside
        elif source.is_file():
            paths.append(source)
        else:
            raise FileNotFoundError(f"no image or folder at {source}")
    return paths


def describe(image_id: int, path: Path, image: Tensor) -> Json:
    """COCO's record of an image."""
    height, width = image.shape[1:]
    return {"id": image_id, "file_name": str(path), "width": width, "height": height}


def unused_name(folder: Path, stem: str) -> Path:
    """``stem.png``, or ``stem-2.png``, ... where files of two folders share a name."""
    path, number = folder / f"{stem}.png", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.png"
    return path


def object_rows(
    file: str, entries: list[Json], class_names: Sequence[str]
) -> list[list[object]]:
    """One row an object, numbered from 1 by falling score; boxes in hundredths.

    The mask's area is empty where the model has no masks.
    """
    return [
        [
            file,
            number,
            class_names[entry["category_id"] - 1],
            round(entry["score"], 4),
            *(round(side, 2) for side in entry["bbox"]),
            int(mask_utils.area(entry["segmentation"]))
            if "segmentation" in entry
            else "",
        ]
        for number, entry in enumerate(entries, start=1)
    ]


def write_json(path: Path, contents: Any) -> None:
    """Compact JSON."""
    path.write_text(json.dumps(contents), encoding="utf-8")


def write_table(path: Path, rows: list[list[object]]) -> None:
    """Comma-separated values under the names of the columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
