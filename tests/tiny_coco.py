"""Small COCO folders for the tests of reading, checking and batching."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Json = dict[str, Any]

HEIGHT, WIDTH = 24, 32


def image(number: int = 1, height: int = HEIGHT, width: int = WIDTH) -> Json:
    """The record of image NUMBER."""
    return {
        "id": number,
        "file_name": f"{number}.png",
        "height": height,
        "width": width,
    }


def annotation(number: int = 1, image_id: int = 1, **changes: object) -> Json:
    """A rectangle from (4, 6) to (14, 14) of category 1, as a polygon."""
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "area": 80,
        "bbox": [4, 6, 10, 8],
        "segmentation": [[4, 6, 14, 6, 14, 14, 4, 14]],
        **changes,
    }


def contents(
    images: list[Json] | None = None,
    annotations: list[Json] | None = None,
    categories: list[Json] | None = None,
) -> Json:
    """One image with one object, where nothing else is said."""
    return {
        "images": [image()] if images is None else images,
        "annotations": [annotation()] if annotations is None else annotations,
        "categories": categories or [{"id": 1, "name": "thing"}],
    }


def write(folder: Path, data: Json, split: str = "train", pixels: bool = True) -> Path:
    """The folder of these annotations, with grey ramps for images."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / split).mkdir(exist_ok=True)
    path = folder / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    for row in data["images"] if pixels else []:
        ramp = np.arange(row["height"] * row["width"]) % 256
        grey = ramp.reshape(row["height"], row["width"]).astype(np.uint8)
        Image.fromarray(grey).save(folder / split / row["file_name"])
    return folder
