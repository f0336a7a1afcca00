"""Checks of segmentations: polygons and run lengths, and boxes against them."""

from __future__ import annotations

from typing import Any

from pycocotools import mask as mask_utils

from maskrcnn_scratch.data.annotations import (
    SHORTEST_POLYGON,
    Json,
    are_numbers,
    real_polygons,
    run_length_total,
    to_rle,
)

Problem = tuple[str, str]  # kind and message
Box = tuple[float, float, float, float]


def segmentation_problem(
    segmentation: Any,
    size: tuple[int, int],
) -> Problem | None:
    """What is wrong with an annotation's segmentation in an image of ``size``."""
    if isinstance(segmentation, dict):
        problem = rle_problem(segmentation, size)
        return ("bad-rle", problem) if problem else None
    if not isinstance(segmentation, list) or not segmentation:
        return "no-segmentation", f"its segmentation is {segmentation!r}"
    for polygon in segmentation:
        if not isinstance(polygon, list) or not are_numbers(polygon):
            return "bad-polygon", "a polygon holds something else than finite numbers"
        if len(polygon) % 2:
            return (
                "bad-polygon",
                f"a polygon has {len(polygon)} numbers, not x, y pairs",
            )
    shortest = min(len(polygon) for polygon in segmentation)
    if shortest < SHORTEST_POLYGON:
        return "short-polygon", f"a polygon has {shortest} numbers"
    return None


def rle_problem(rle: Json, size: tuple[int, int]) -> str:
    """What is wrong with run lengths, empty for nothing.

    They must cover the image exactly: COCO's own tool reads past their end otherwise.
    """
    if rle.get("size") != list(size):
        return (
            f"its run lengths are for [height, width] {rle.get('size')!r},"
            f" the image is {list(size)}"
        )
    counts = rle.get("counts")
    if isinstance(counts, str):
        try:
            total = run_length_total(counts)
        except ValueError as error:
            return str(error)
    elif isinstance(counts, list) and all(isinstance(n, int) for n in counts):
        if min(counts, default=0) < 0:
            return "its run lengths hold a negative number"
        total = sum(counts)
    else:
        return "its counts are neither text nor a list of whole numbers"
    if total != size[0] * size[1]:
        return f"its run lengths cover {total} pixels of {size[0] * size[1]}"
    return ""


def outline_agreement(annotation: Json, size: tuple[int, int]) -> tuple[float, float]:
    """IoU of the mask's extent and the box as [x, y, w, h], and as [x1, y1, x2, y2]."""
    extent = outline_extent(annotation["segmentation"], size)
    x, y, third, fourth = annotation["bbox"]
    as_size = box_iou(extent, (x, y, x + third, y + fourth))
    return as_size, box_iou(extent, (x, y, third, fourth))


def outline_extent(segmentation: Any, size: tuple[int, int]) -> Box:
    """The box around polygons or run lengths."""
    if isinstance(segmentation, dict):
        x, y, width, height = mask_utils.toBbox(to_rle(segmentation, size)).tolist()
        return x, y, x + width, y + height
    polygons = real_polygons(segmentation)
    xs = [x for polygon in polygons for x in polygon[::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes; 0 where either has no area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (areas - width * height)
