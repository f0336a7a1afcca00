"""What COCO's keypoint AP needs beside that of boxes: ground truth, sigmas, figures.

Persons are matched by object keypoint similarity instead of IoU; see
``reference.keypoints.object_keypoint_similarity``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from maskrcnn_scratch.data.annotations import are_numbers

Json = dict[str, Any]

COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035),  # nose, eyes, ears
    *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062),  # shoulders, elbows, wrists
    *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),  # hips, knees, ankles
)
"""How far annotators are apart, in parts of an object's scale (root of its area)."""

MOST_PERSONS = 20
"""Detections an image that COCO counts."""


def keypoint_count(contents: Json) -> int:
    """How many points an object has; raises ValueError where none has any."""
    for category in contents["categories"]:
        if category.get("keypoints"):
            return len(category["keypoints"])
    for annotation in contents["annotations"]:
        if annotation.get("keypoints"):
            return len(annotation["keypoints"]) // 3
    raise ValueError("the ground truth has no keypoints")


def completed_keypoints(annotation: Json, points: int) -> Json:
    """``keypoints`` and ``num_keypoints``; objects without have none that is labelled.

    Raises ValueError for another number of points.
    """
    keypoints = annotation.get("keypoints") or [0] * (3 * points)
    if len(keypoints) != 3 * points:
        raise ValueError(
            f"annotation {annotation.get('id', '?')} has {len(keypoints)} values for"
            f" keypoints; expected x, y, v of {points}"
        )
    return {
        "keypoints": keypoints,
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
    }


def oks_sigmas(
    points: int, given: Sequence[float] | None
) -> Float[np.ndarray, " points"]:
    """One for each point: COCO's for its 17, or those given.

    Raises ValueError where they do not fit, or there is none to take.
    """
    if given is None and points != len(COCO_SIGMAS):
        raise ValueError(
            f"objects have {points} keypoints, and COCO's sigmas are for its"
            f" {len(COCO_SIGMAS)}: give keypoint_sigmas, one for each point, how far"
            " careful annotators are apart in parts of the root of an object's area"
        )
    sigmas = np.array(COCO_SIGMAS if given is None else given, np.float64)
    if len(sigmas) != points or not (np.isfinite(sigmas) & (sigmas > 0)).all():
        raise ValueError(
            f"keypoint_sigmas are {sigmas.tolist()}; expected {points} numbers above 0"
        )
    return sigmas


def check_keypoints(results: Sequence[Json], points: int) -> None:
    """Refuse other numbers than x, y and score of each point."""
    for number, result in enumerate(results):
        keypoints = result["keypoints"]
        if len(keypoints) != 3 * points or not are_numbers(keypoints):
            raise ValueError(
                f"result {number} has {len(keypoints)} values for keypoints; expected"
                f" {3 * points} finite numbers: x, y and score of each"
            )


def extent(keypoints: Sequence[float]) -> tuple[list[float], float]:
    """([x, y, width, height] around the points, its area): COCO's for a result."""
    x, y = np.array(keypoints[0::3]), np.array(keypoints[1::3])
    box = [float(v) for v in (x.min(), y.min(), np.ptp(x), np.ptp(y))]
    return box, box[2] * box[3]
