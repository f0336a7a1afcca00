"""Correct answers on boxes, anchors and NMS that look nothing like the solutions pass.

Torch works in float32 here, as students' code does by default.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from maskrcnn_scratch.learning.exercises import find
from maskrcnn_scratch.learning.feedback import report_text
from maskrcnn_scratch.learning.judge import judge


def f32(value: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(value), dtype=torch.float32)


def decode(anchors: np.ndarray, deltas: np.ndarray, weights: Any) -> torch.Tensor:
    """Corners at once."""
    sides = f32(anchors)[:, 2:] - f32(anchors)[:, :2]
    move, stretch = (f32(deltas) / f32(weights)).split(2, dim=1)
    centres = f32(anchors)[:, :2] + (move + 0.5) * sides
    half = sides * stretch.clamp(max=math.log(62.5)).exp() / 2
    return torch.cat([centres - half, centres + half], dim=1)


def anchors_of_a_cell(sizes: list[float], ratios: list[float]) -> torch.Tensor:
    """From the height: h = sqrt(area * ratio)."""
    heights = (f32(sizes)[:, None] ** 2 * f32(ratios)).sqrt()
    halves = torch.stack([heights / f32(ratios), heights], dim=2).reshape(-1, 2) / 2
    return torch.cat([-halves, halves], dim=1)


def anchors_of_a_level(
    cell: np.ndarray, stride: int, grid_size: tuple[int, int]
) -> torch.Tensor:
    y, x = torch.meshgrid(*(torch.arange(n) * stride for n in grid_size), indexing="ij")
    return (torch.stack([x, y, x, y], 2)[:, :, None] + f32(cell)).reshape(-1, 4)


def place_of_anchor(index: int, grid_sizes: list[Any], per_cell: int) -> list[Any]:
    """By NumPy's own counting."""
    ends = np.cumsum([h * w * per_cell for h, w in grid_sizes])
    level = int(np.searchsorted(ends, index, side="right"))
    h, w = grid_sizes[level]
    rest = index - (ends[level] - h * w * per_cell)
    return [level, *np.unravel_index(rest, (h, w, per_cell))]


def iou_of(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    """With a little something against 0 / 0, as is often seen."""
    wide = np.minimum(one[2], many[:, 2]) - np.maximum(one[0], many[:, 0])
    high = np.minimum(one[3], many[:, 3]) - np.maximum(one[1], many[:, 1])
    both = wide.clip(0) * high.clip(0)
    areas = (many[:, 2] - many[:, 0]) * (many[:, 3] - many[:, 1])
    own = (one[2] - one[0]) * (one[3] - one[1])
    iou: np.ndarray = both / (own + areas - both + 1e-9)
    return iou


def swept(
    boxes: np.ndarray, scores: np.ndarray, threshold: float
) -> tuple[list[int], list[int]]:
    """Kept boxes and who dropped each, by sweeping out what each kept box drops."""
    left, kept, by = list(range(len(boxes))), [], [-1] * len(boxes)
    while left:
        best = max(left, key=lambda index: (scores[index], -index))
        left.remove(best)
        kept.append(best)
        iou = iou_of(boxes[best].astype(np.float32), boxes.astype(np.float32))
        for index in [other for other in left if iou[other] > threshold]:
            left.remove(index)
            by[index] = best
    return kept, by


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    return swept(boxes, scores, threshold)[0]


def class_nms(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, threshold: float
) -> list[int]:
    """With offsets."""
    far = boxes.max(initial=0) + 1
    return nms(boxes + labels[:, None] * far, scores, threshold)


def dropped_by(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    return swept(boxes, scores, threshold)[1]


ANSWERS: dict[str, Callable[..., Any]] = {
    "ex04_3": decode,
    "ex05_1": anchors_of_a_cell,
    "ex05_2": anchors_of_a_level,
    "ex05_3": place_of_anchor,
    "ex06_1": nms,
    "ex06_2": class_nms,
    "ex06_3": dropped_by,
}


@pytest.mark.parametrize("id_", ANSWERS)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_another_correct_answer_passes(id_: str, seed: int | None) -> None:
    report = judge(find(id_), ANSWERS[id_], seed)
    assert report.passed, report_text(report)
