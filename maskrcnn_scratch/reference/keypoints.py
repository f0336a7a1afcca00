"""Keypoints: a location as one of m x m bins (Mask R-CNN, section 5).

"We model a keypoint's location as a one-hot mask": the RoI is cut into m x m bins, the
bin that holds the keypoint is the target, and the loss is an m*m-way softmax
cross-entropy over each visible keypoint's map. Boxes and keypoints are in image pixels,
a keypoint is (x, y, v) with COCO's visibility v (0 not labelled, 1 hidden, 2 visible);
bin (row, column) of a map has the flat index row * m + column.
"""

from __future__ import annotations

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
    most half a bin. torchvision and detectron2 first resize each map to the RoI's size
    in pixels (bicubic) and take the best pixel, and give its logit as the score: finer
    in large boxes, and one step more.
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
