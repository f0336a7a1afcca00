"""Correct answers that look nothing like the solutions pass: torch, loops, autograd.

Torch works in float32 here, as students' code does by default, so that no checker asks
for more digits than that, or for one order of operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskrcnn_scratch.learning.exercises import find
from maskrcnn_scratch.learning.feedback import report_text
from maskrcnn_scratch.learning.judge import judge


def f32(value: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(value), dtype=torch.float32)


def tents(size: int, c: torch.Tensor) -> torch.Tensor:
    """Weights (points, size) of readings on one axis."""
    inside = (c >= -1) & (c <= size)
    c = c.clamp(0, size - 1)
    distance = (torch.arange(size, dtype=torch.float32) - c[:, None]).abs()
    return (1 - distance).clamp(min=0) * inside[:, None]


def read_line(values: np.ndarray, c: float) -> torch.Tensor:
    return (tents(len(values), f32([c])) @ f32(values))[0]


def read_map(feature_map: np.ndarray, y: float, x: float) -> torch.Tensor:
    height, width = feature_map.shape
    return tents(height, f32([y]))[0] @ f32(feature_map) @ tents(width, f32([x]))[0]


def spread(shape: tuple[int, int], y: float, x: float, gradient: float) -> torch.Tensor:
    """By autograd."""
    cells = torch.zeros(shape, requires_grad=True)
    value = tents(shape[0], f32([y]))[0] @ cells @ tents(shape[1], f32([x]))[0]
    (value * gradient).backward()  # type: ignore[no-untyped-call]
    assert cells.grad is not None
    return cells.grad


def bin_borders(first: int, end: int, bins: int) -> np.ndarray:
    """In whole numbers alone."""
    k = np.arange(bins)
    size = end - first
    return np.stack([first + k * size // bins, first - -(k + 1) * size // bins], 1)


def pool(feature_map: np.ndarray, rows: list[Any], columns: list[Any]) -> Any:
    """Masks of bins, then argmax over the flat map."""
    height, width = feature_map.shape
    values, places = [], []
    for top, bottom in rows:
        for left, right in columns:
            inside = np.zeros((height, width), bool)
            inside[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
            masked = np.where(inside, feature_map, -np.inf).ravel()
            place = int(masked.argmax()) if inside.any() else -1
            places.append(place)
            values.append(masked[place] if place >= 0 else 0.0)
    shape = len(rows), len(columns)
    return torch.tensor(values).reshape(shape), torch.tensor(places).reshape(shape)


def pool_backward(
    gradient: np.ndarray, argmax: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    cells = np.zeros(shape[0] * shape[1])
    won = argmax >= 0
    np.add.at(cells, argmax[won], gradient[won])
    return cells.reshape(shape)


def weights_of(
    box: torch.Tensor, stride: int, bins: int, samples: int, size: int
) -> torch.Tensor:
    """RoIAlign of one axis as a matrix (bins, size); ``box`` is (start, end)."""
    start, end = box / stride - 0.5
    steps = (torch.arange(bins * samples) + 0.5) / samples
    points = start + steps * (end - start) / bins
    return tents(size, points).reshape(bins, samples, size).mean(1)


def roi_align(
    feature_map: np.ndarray,
    box: np.ndarray,
    stride: int,
    output_size: tuple[int, int],
    samples: int,
) -> torch.Tensor:
    x1, y1, x2, y2 = f32(box)
    height, width = feature_map.shape
    rows = weights_of(torch.stack([y1, y2]), stride, output_size[0], samples, height)
    columns = weights_of(torch.stack([x1, x2]), stride, output_size[1], samples, width)
    return rows @ f32(feature_map) @ columns.T


def align_backward(
    gradient: np.ndarray,
    shape: tuple[int, int],
    box: np.ndarray,
    stride: int,
    samples: int,
) -> torch.Tensor:
    """By autograd through the matrices."""
    cells = np.zeros(shape)
    size = gradient.shape[0], gradient.shape[1]
    leaf = f32(cells).requires_grad_()
    x1, y1, x2, y2 = f32(box)
    rows = weights_of(torch.stack([y1, y2]), stride, size[0], samples, shape[0])
    columns = weights_of(torch.stack([x1, x2]), stride, size[1], samples, shape[1])
    (rows @ leaf @ columns.T).backward(f32(gradient))
    assert leaf.grad is not None
    return leaf.grad


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Box by box."""
    out = np.zeros((len(a), len(b)))
    for i, (x1, y1, x2, y2) in enumerate(a):
        for j, (u1, v1, u2, v2) in enumerate(b):
            wide, high = min(x2, u2) - max(x1, u1), min(y2, v2) - max(y1, v1)
            if wide > 0 and high > 0:
                both = wide * high
                areas = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1)
                out[i, j] = both / (areas - both)
    return out


def encode(
    anchors: np.ndarray, boxes: np.ndarray, weights: tuple[float, ...]
) -> torch.Tensor:
    a, b = f32(anchors), f32(boxes)
    sides_a, sides_b = a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
    shift = ((b[:, 2:] + b[:, :2]) - (a[:, 2:] + a[:, :2])) / (2 * sides_a)
    return torch.cat([shift, (sides_b / sides_a).log()], 1) * torch.tensor(weights)


def loss_of_masks(
    logits: np.ndarray, labels: np.ndarray, targets: np.ndarray
) -> torch.Tensor:
    rois = torch.as_tensor(labels).nonzero().flatten()
    if not len(rois):
        return torch.tensor(0.0)
    own = f32(logits)[rois, torch.as_tensor(labels)[rois] - 1]
    return F.binary_cross_entropy_with_logits(own, f32(targets)[rois])


def gradient_of_masks(logits: np.ndarray, label: int, target: np.ndarray) -> Any:
    leaf = f32(logits).requires_grad_()
    loss = F.binary_cross_entropy_with_logits(leaf[label - 1], f32(target))
    loss.backward()  # type: ignore[no-untyped-call]
    return leaf.grad


def target_of(mask: np.ndarray, box: tuple[int, ...], m: int) -> np.ndarray:
    x1, y1, x2, y2 = box
    parts = mask[y1:y2, x1:x2].reshape(m, (y2 - y1) // m, m, (x2 - x1) // m)
    return (parts.mean((1, 3)) >= 0.5).astype(int)


def mask_iou(found: np.ndarray, objects: np.ndarray, crowd: np.ndarray) -> torch.Tensor:
    a, b = f32(found != 0).flatten(1), f32(objects != 0).flatten(1)
    shared = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1)[None] - shared
    whole = torch.where(torch.as_tensor(crowd)[None], a.sum(1)[:, None], union)
    return shared / whole.clamp(min=1)


def match(iou: np.ndarray, crowd: np.ndarray, threshold: float) -> list[int]:
    """As lists and sorts."""
    free, out = [j for j in range(len(crowd)) if not crowd[j]], []
    for row in iou.tolist():
        singles = sorted(
            (j for j in free if row[j] >= threshold), key=lambda j: -row[j]
        )
        crowds = [j for j in range(len(crowd)) if crowd[j] and row[j] >= threshold]
        crowds.sort(key=lambda j: -row[j])
        out.append((singles + crowds + [-1])[0])
        if singles:
            free.remove(singles[0])
    return out


def average_precision(scores: np.ndarray, hits: np.ndarray, objects: int) -> float:
    """With the envelope from the right, and a search for each recall."""
    if not len(scores):
        return 0.0
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    true, precision, recall = 0, [], []
    for rank, i in enumerate(order, 1):
        true += int(hits[i])
        precision.append(true / rank)
        recall.append(true / objects)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(sum(envelope[p] for p in places if p < len(envelope)) / 101)


def nested(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The same as plain lists of numbers."""
    return lambda *inputs: np.asarray(answer(*inputs)).tolist()


def paired_difference(one: np.ndarray, other: np.ndarray) -> torch.Tensor:
    differences = f32(one) - f32(other)
    error = differences.std() / len(differences) ** 0.5
    return torch.stack([differences.mean(), error])


ANSWERS: dict[str, Callable[..., Any]] = {
    "ex01_1": read_line,
    "ex01_2": read_map,
    "ex01_3": spread,
    "ex02_2": bin_borders,
    "ex02_3": pool,
    "ex02_4": pool_backward,
    "ex03_2": roi_align,
    "ex03_3": align_backward,
    "ex04_1": iou_matrix,
    "ex04_2": encode,
    "ex10_1": loss_of_masks,
    "ex10_2": gradient_of_masks,
    "ex10_3": target_of,
    "ex12_1": mask_iou,
    "ex12_2": match,
    "ex12_3": average_precision,
    "ex15_1": paired_difference,
}


@pytest.mark.parametrize("id_", ANSWERS)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_another_correct_answer_passes(id_: str, seed: int | None) -> None:
    report = judge(find(id_), ANSWERS[id_], seed)
    assert report.passed, report_text(report)


@pytest.mark.parametrize("id_", ["ex01_3", "ex02_4", "ex03_2", "ex10_2"])
def test_lists_for_arrays_pass(id_: str) -> None:
    report = judge(find(id_), nested(ANSWERS[id_]))
    assert report.passed, report_text(report)
