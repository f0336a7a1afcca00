"""Boxes: area, overlap, clipping, and the deltas by which a network moves them.

A box is (x1, y1, x2, y2) in image pixels, as floats. The pixel in row i, column j
covers [j, j + 1) x [i, i + 1), so a box is w = x2 - x1 wide and h = y2 - y1 high, with
no + 1. A box with x2 <= x1 or y2 <= y1 is empty: it holds no point. NaN in, NaN out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

Weights = tuple[float, float, float, float]

LARGEST_LOG_SCALE = math.log(1000 / 16)
"""Decoding enlarges no side beyond 62.5 times: a 16-pixel anchor to 1000 pixels."""


def box_area(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, " n"]:
    """Area of each box in square pixels, 0 for an empty one."""
    areas = np.zeros(len(boxes))
    for n, (x1, y1, x2, y2) in enumerate(boxes):
        areas[n] = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    return areas


def box_iou(
    a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "m 4"]
) -> Float[np.ndarray, "n m"]:
    """Intersection over union of every box of ``a`` with every box of ``b``.

    A fraction in [0, 1]: 1 for equal boxes, 0 for boxes that share no area, so also
    for two empty boxes, even equal ones (there 0 / 0 would have no value).
    """
    area_a, area_b = box_area(a), box_area(b)
    iou = np.zeros((len(a), len(b)))
    for n in range(len(a)):
        for m in range(len(b)):
            intersection = intersection_area(a[n], b[m])
            union = area_a[n] + area_b[m] - intersection
            iou[n, m] = intersection / union if union != 0 else 0.0
    return iou


def intersection_area(a: Float[np.ndarray, " 4"], b: Float[np.ndarray, " 4"]) -> float:
    """Area in square pixels that two boxes share, 0 where they are apart."""
    corner_1 = np.maximum(a[:2], b[:2])
    corner_2 = np.minimum(a[2:], b[2:])
    width, height = np.maximum(corner_2 - corner_1, 0)
    return float(width * height)


def clip_boxes(
    boxes: Float[np.ndarray, "n 4"], image_size: tuple[int, int]
) -> Float[np.ndarray, "n 4"]:
    """The part of each box inside an image of ``image_size`` (height, width) pixels.

    A box outside the image becomes an empty one on its border.
    """
    height, width = image_size
    clipped = np.zeros((len(boxes), 4))
    for n, (x1, y1, x2, y2) in enumerate(boxes):
        clipped[n] = np.clip((x1, y1, x2, y2), 0, (width, height, width, height))
    return clipped


def encode_boxes(
    reference_boxes: Float[np.ndarray, "n 4"],
    boxes: Float[np.ndarray, "n 4"],
    weights: Weights = (1.0, 1.0, 1.0, 1.0),
) -> Float[np.ndarray, "n 4"]:
    """The deltas (dx, dy, dw, dh) that move each reference box onto its box.

    A reference box is an anchor or an RoI. With centres (x, y), (xa, ya) and sides
    w, h, wa, ha (Ren et al. 2015, equation 2; Girshick et al. 2014, appendix C):

        dx = (x - xa) / wa      dy = (y - ya) / ha
        dw = log(w / wa)        dh = log(h / ha)

    each times its weight: weights 10, 10, 5, 5 bring the small deltas of RoIs to about
    unit variance. Moving or scaling both boxes together leaves the deltas as they are,
    so one regressor serves boxes of every place and size.

    Raises ValueError for an empty box: its logarithm has no value.
    """
    _require_area("reference box", reference_boxes)
    _require_area("box", boxes)
    deltas = np.zeros((len(boxes), 4))
    for n in range(len(boxes)):
        xa, ya, wa, ha = _centre_and_size(reference_boxes[n])
        x, y, w, h = _centre_and_size(boxes[n])
        delta = (x - xa) / wa, (y - ya) / ha, math.log(w / wa), math.log(h / ha)
        deltas[n] = np.multiply(delta, weights)
    return deltas


def decode_boxes(
    reference_boxes: Float[np.ndarray, "n 4"],
    deltas: Float[np.ndarray, "n 4"],
    weights: Weights = (1.0, 1.0, 1.0, 1.0),
    clamp: float = LARGEST_LOG_SCALE,
) -> Float[np.ndarray, "n 4"]:
    """Reference boxes moved by deltas (dx, dy, dw, dh): the inverse of encoding.

    dw and dh are cut at ``clamp`` from above, after the weights are divided out, so
    that the exponential of a wild prediction cannot overflow. Not from below: a side
    may shrink as far as it likes. (Detectron and its successors; no paper says so.)
    """
    boxes = np.zeros((len(deltas), 4))
    for n in range(len(deltas)):
        xa, ya, wa, ha = _centre_and_size(reference_boxes[n])
        dx, dy, dw, dh = np.divide(deltas[n], weights)
        x, y = xa + dx * wa, ya + dy * ha
        w = wa * np.exp(np.minimum(dw, clamp))
        h = ha * np.exp(np.minimum(dh, clamp))
        boxes[n] = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    return boxes


def _centre_and_size(
    box: Float[np.ndarray, " 4"],
) -> tuple[float, float, float, float]:
    """(x, y, w, h): the centre and the sides of one box, in pixels."""
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def _require_area(name: str, boxes: Float[np.ndarray, "n 4"]) -> None:
    """Refuse empty boxes, naming the first."""
    for n, (x1, y1, x2, y2) in enumerate(boxes):
        if x2 <= x1 or y2 <= y1:
            raise ValueError(
                f"{name} {n} is ({x1:g}, {y1:g}, {x2:g}, {y2:g}): "
                "encoding needs x2 > x1 and y2 > y1"
            )
