"""Keypoints: a location as one of m x m bins (Mask R-CNN, section 5).

"We model a keypoint's location as a one-hot mask": the RoI is cut into m x m bins, the
bin that holds the keypoint is the target, and the loss is an m*m-way softmax
cross-entropy over each visible keypoint's map. Boxes and keypoints are in image pixels,
a keypoint is (x, y, v) with COCO's visibility v (0 not labelled, 1 hidden, 2 visible);
bin (row, column) of a map has the flat index row * m + column.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from maskrcnn_scratch.reference.losses import softmax_cross_entropy

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Integer


def bin_of(position: float, low: float, high: float, bins: int) -> int | None:
    """Which of the equal bins over [low, high] holds the position; None if none does.

    A bin holds its lower edge; the last holds its upper edge too, because annotators
    draw boxes through the outermost keypoints.
    """
    if not low <= position <= high or low == high:
        return None
    return min(int((position - low) * bins / (high - low)), bins - 1)


def keypoint_targets(
    keypoints: Float[np.ndarray, "n points 3"],
    boxes: Float[np.ndarray, "n 4"],
    size: int,
) -> tuple[Integer[np.ndarray, "n points"], Bool[np.ndarray, "n points"]]:
    """The flat index of each keypoint's bin in its RoI, and whether there is one.

    A keypoint that is not labelled (v = 0) or lies outside its RoI is not valid; its
    index is 0 and takes no part in the loss.
    """
    count, points, _ = keypoints.shape
    index = np.zeros((count, points), np.int64)
    valid = np.zeros((count, points), bool)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        for j, (x, y, visibility) in enumerate(keypoints[i]):
            row, column = bin_of(y, y1, y2, size), bin_of(x, x1, x2, size)
            if visibility > 0 and row is not None and column is not None:
                index[i, j] = row * size + column
                valid[i, j] = True
    return index, valid


def object_keypoint_similarity(
    found: Float[np.ndarray, "points 2"],
    truth: Float[np.ndarray, "points 3"],
    area: float,
    sigmas: Float[np.ndarray, " points"],
) -> float:
    """COCO's OKS, which takes the place of IoU: 1 where all points are right.

    The mean over labelled points of exp(-d^2 / (2 area (2 sigma)^2)), d the distance in
    pixels, ``area`` that of the object. ``sigmas`` say how far annotators are apart.
    0 where no point is labelled.
    """
    similarities = []
    for (x, y), (true_x, true_y, visibility), sigma in zip(
        found, truth, sigmas, strict=True
    ):
        if visibility > 0:
            squared = (x - true_x) ** 2 + (y - true_y) ** 2
            similarities.append(math.exp(-squared / (2 * area * (2 * sigma) ** 2)))
    return float(np.mean(similarities)) if similarities else 0.0


def keypoint_loss(
    logits: Float[np.ndarray, "n points size size"],
    index: Integer[np.ndarray, "n points"],
    valid: Bool[np.ndarray, "n points"],
) -> tuple[float, Float[np.ndarray, "n points size size"]]:
    """The mean over valid keypoints of -log softmax(map)[bin], and its gradient.

    A map is one softmax over all its bins, so that exactly one bin is encouraged.
    Without any valid keypoint the loss is 0.
    """
    maps = logits[valid]
    bins = logits.shape[2] * logits.shape[3]
    loss, slope = softmax_cross_entropy(maps.reshape(-1, bins), index[valid])
    gradient = np.zeros(logits.shape)
    gradient[valid] = slope.reshape(maps.shape)
    return loss, gradient


def keypoint_readout(
    logits: Float[np.ndarray, "n points size size"],
    boxes: Float[np.ndarray, "n 4"],
) -> Float[np.ndarray, "n points 3"]:
    """(x, y, score): the centre of the best bin, in the image, and its probability.

    Of equal bins the first in row-major order wins. The error of a perfect map is at
    most half a bin.
    """
    count, points, size, _ = logits.shape
    found = np.zeros((count, points, 3))
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        for j in range(points):
            scores = logits[i, j].ravel()
            best = int(scores.argmax())
            probability = 1 / np.exp(scores - scores[best]).sum()
            row, column = divmod(best, size)
            x = x1 + (column + 0.5) * (x2 - x1) / size
            y = y1 + (row + 0.5) * (y2 - y1) / size
            found[i, j] = x, y, probability
    return found


def keypoint_readout_resized(
    logits: Float[np.ndarray, "n points size size"],
    boxes: Float[np.ndarray, "n 4"],
) -> Float[np.ndarray, "n points 3"]:
    """(x, y, score) as torchvision and detectron2 read it: finer in large boxes.

    Each map is first resized, bicubically, to its box's size in pixels, rounded up and
    at least 1 x 1. The point is the centre of the best pixel, of equal ones the first,
    and the score the resized logit there. The paper leaves the rule open.
    """
    count, points, size, _ = logits.shape
    found = np.zeros((count, points, 3))
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        width, height = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
        columns, rows = math.ceil(width), math.ceil(height)
        a_x, a_y = cubic_matrix(columns, size), cubic_matrix(rows, size)
        for j in range(points):
            resized = a_y @ logits[i, j] @ a_x.T
            row, column = divmod(int(resized.argmax()), columns)
            x = x1 + (column + 0.5) * width / columns
            y = y1 + (row + 0.5) * height / rows
            found[i, j] = x, y, resized[row, column]
    return found


def cubic_matrix(pixels: int, cells: int) -> Float[np.ndarray, "pixels cells"]:
    """Resizes ``cells`` values along an axis to ``pixels``: resized = A values.

    The centre of pixel p lies at c = (p + 1/2) cells / pixels - 1/2, where cell k has
    its centre at k; the two cells on either side are mixed. Beyond the ends, the end
    cells go on.
    """
    matrix = np.zeros((pixels, cells))
    for p in range(pixels):
        c = (p + 0.5) * cells / pixels - 0.5
        low = math.floor(c)
        for cell in range(low - 1, low + 3):
            matrix[p, min(max(cell, 0), cells - 1)] += cubic_weight(c - cell)
    return matrix


def cubic_weight(distance: float) -> float:
    """Keys' cubic convolution kernel (1981) with a = -3/4, as image libraries have it.

    1 at 0, and 0 with a slope of its neighbours' at every other cell's centre.
    """
    a, d = -0.75, abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0
