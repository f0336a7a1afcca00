"""COCO's annotations to boxes, labels, masks and keypoints of one image.

A COCO box is ``[x, y, width, height]``, a segmentation a list of polygons
``[x1, y1, x2, y2, ...]``, or run lengths down the columns, plain or compressed. All are
in image pixels with pixel j covering [j, j + 1). Keypoints alone are pixel indices, so
half a pixel is added to put them at pixel centres.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from pycocotools import mask as mask_utils
from torch import Tensor

Json = dict[str, Any]

LARGEST_ID = 2**53
SHORTEST_POLYGON = 6  # numbers: three corners


def clipped_box(
    box: Sequence[float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """[x, y, width, height] as (x1, y1, x2, y2), cut to an image of ``size`` (h, w)."""
    x, y, box_width, box_height = box
    height, width = size
    return (
        min(max(x, 0.0), width),
        min(max(y, 0.0), height),
        min(max(x + box_width, 0.0), width),
        min(max(y + box_height, 0.0), height),
    )


def real_polygons(segmentation: list[list[float]]) -> list[list[float]]:
    """The polygons with three corners or more; fewer enclose nothing."""
    return [polygon for polygon in segmentation if len(polygon) >= SHORTEST_POLYGON]


def has_area(annotation: Json, size: tuple[int, int], masks: bool = True) -> bool:
    """Whether something of the object lies inside the image.

    Without ``masks`` its box alone says so.
    """
    x1, y1, x2, y2 = clipped_box(annotation["bbox"], size)
    if not masks:
        return x2 > x1 and y2 > y1
    segmentation = annotation["segmentation"]
    outlined = isinstance(segmentation, dict) or bool(real_polygons(segmentation))
    return x2 > x1 and y2 > y1 and outlined


def to_rle(segmentation: Json | list[list[float]], size: tuple[int, int]) -> Json:
    """Any of COCO's forms as compressed run lengths, small and quick to decode."""
    height, width = size
    if isinstance(segmentation, list):
        # pycocotools takes lists of four numbers for boxes: none may come through.
        parts = mask_utils.frPyObjects(real_polygons(segmentation), height, width)
        return dict(mask_utils.merge(parts))
    if isinstance(segmentation["counts"], list):
        return dict(mask_utils.frPyObjects(segmentation, height, width))
    return segmentation


def decode_masks(
    rles: Sequence[Json], size: tuple[int, int]
) -> UInt8[Tensor, "objects height width"]:
    """Masks of 0 and 1 from compressed run lengths."""
    if not rles:
        return torch.zeros(0, *size, dtype=torch.uint8)
    with warnings.catch_warnings():
        # pycocotools 2.0 has not followed NumPy 2's __array__ yet.
        warnings.simplefilter("ignore", DeprecationWarning)
        masks = mask_utils.decode(list(rles))  # [height, width, objects], column-wise
    return torch.from_numpy(np.ascontiguousarray(masks.transpose(2, 0, 1)))


def at_pixel_centres(
    keypoints: Float32[np.ndarray, "objects points 3"],
) -> Float32[np.ndarray, "objects points 3"]:
    """COCO's (x, y, v), half a pixel further; points without a label are all zero."""
    centred = keypoints + np.array([0.5, 0.5, 0.0], np.float32)
    return np.asarray(centred * (keypoints[..., 2:] > 0))


def run_length_total(counts: str | bytes) -> int:
    """How many pixels COCO's compressed run lengths cover.

    Each number is a chain of characters of 5 bits, lowest first; from the third on,
    numbers are differences from the number two before. Raises ValueError where the
    string breaks off or holds other characters.
    """
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f"its run lengths hold the character {character!r}")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("its run lengths break off in the middle of a number")
    if any(run < 0 for run in runs):
        raise ValueError("its run lengths hold a negative number")
    return sum(runs)


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether all are finite numbers."""
    try:
        return math.isfinite(sum(values))
    except TypeError:  # something that does not add up
        return False


def is_id(value: Any) -> bool:
    """A whole number that floating-point arithmetic can tell from its neighbours."""
    return isinstance(value, int) and abs(value) < LARGEST_ID
