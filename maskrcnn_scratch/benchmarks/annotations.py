"""A generated annotation file of any size, in the form and with the bulk of COCO's.

COCO's training file of 2017 has 118,287 images and 860,001 annotations of 80 classes
in 470 MB, so some 7 objects an image and 26 corners an object, one in a hundred a crowd
written as run lengths. Here outlines are drawn from a small stock, so that writing is
quick; reading cannot tell.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

Json = dict[str, Any]

SIZES = ((480, 640), (640, 480), (427, 640), (500, 375))  # height, width
STOCK = 400  # outlines
CLASSES = 80
CROWD_EVERY = 100


def write_annotations(path: Path, images: int, annotations: int, seed: int = 0) -> None:
    """Write the file; lists come in COCO's order, images before annotations."""
    rng = np.random.default_rng(seed)
    categories = [{"id": n, "name": f"class {n}"} for n in range(1, CLASSES + 1)]
    with path.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "generated"}, "images": [')
        write_list(file, (json.dumps(image_record(n)) for n in range(1, images + 1)))
        file.write('], "annotations": [')
        write_list(file, annotation_texts(images, annotations, rng))
        file.write(f'], "categories": {json.dumps(categories)}}}')


def write_list(file: TextIO, items: Iterator[str]) -> None:
    """Separated as json.dump does."""
    for number, item in enumerate(items):
        file.write(f", {item}" if number else item)


def image_record(number: int) -> Json:
    """With the fields that COCO's have."""
    height, width = SIZES[number % len(SIZES)]
    name = f"{number:012d}.jpg"
    return {
        "license": 3,
        "file_name": name,
        "coco_url": f"http://images.cocodataset.org/train2017/{name}",
        "height": height,
        "width": width,
        "date_captured": "2013-11-14 11:18:45",
        "flickr_url": f"http://farm9.staticflickr.com/8186/{name}_f3cd4e0b7d_z.jpg",
        "id": number,
    }


def annotation_texts(
    images: int, annotations: int, rng: np.random.Generator
) -> Iterator[str]:
    """Annotations of random images, in random order, as JSON."""
    outlines = [polygon_fields(rng) for _ in range(STOCK)]
    crowds = [crowd_fields(size) for size in SIZES]
    image_ids = rng.integers(1, images + 1, annotations).tolist()
    category_ids = rng.integers(1, CLASSES + 1, annotations).tolist()
    chosen = rng.integers(0, STOCK, annotations).tolist()
    for index, image_id in enumerate(image_ids):
        is_crowd = index % CROWD_EVERY == 0
        fields = crowds[image_id % len(SIZES)] if is_crowd else outlines[chosen[index]]
        yield (
            f'{{{fields}, "iscrowd": {int(is_crowd)}, "image_id": {image_id},'
            f' "category_id": {category_ids[index]}, "id": {index + 1}}}'
        )


def polygon_fields(rng: np.random.Generator) -> str:
    """Segmentation, area and box of a blob in the 350 pixels that all sizes have."""
    corners = int(rng.integers(8, 45))
    radius = 6 * math.exp(rng.uniform(0, 3))
    angles = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    reach = radius * rng.uniform(0.7, 1.0, corners)
    middle = rng.uniform(radius + 1, 349 - radius, 2)
    x = np.round(middle[0] + reach * np.cos(angles), 2)
    y = np.round(middle[1] + reach * np.sin(angles), 2)
    box = [x.min(), y.min(), np.ptp(x), np.ptp(y)]
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    polygon = np.stack([x, y], axis=1).flatten().tolist()
    fields = {
        "segmentation": [polygon],
        "area": float(area),
        "bbox": [round(float(value), 2) for value in box],
    }
    return json.dumps(fields)[1:-1]


def crowd_fields(size: tuple[int, int]) -> str:
    """A striped region as plain run lengths."""
    height, width = size
    columns = width // 2
    counts = [10 * height + 5, *[height // 2, height - height // 2] * columns]
    counts = counts[: 2 * columns - 40]
    counts.append(height * width - sum(counts))
    columns = len(counts[1::2])
    fields = {
        "segmentation": {"counts": counts, "size": [height, width]},
        "area": sum(counts[1::2]),
        "bbox": [10, 0, columns, height],
    }
    return json.dumps(fields)[1:-1]
