"""Boxes as tensors: area, overlap, clipping, and the deltas that move them.

The formulas and their sources are in ``reference.boxes``; here whole arrays go through
them at once, on any device, and gradients flow back. A box is (x1, y1, x2, y2) in image
pixels, as floats, w = x2 - x1 wide with no + 1.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from maskrcnn_scratch.ops.checks import (
    require_boxes,
    require_length,
    values_can_be_checked,
)

Weights = tuple[float, float, float, float]

LARGEST_LOG_SCALE = math.log(1000 / 16)
"""Decoding enlarges no side beyond 62.5 times: a 16-pixel anchor to 1000 pixels."""


def box_area(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, " n"]:
    """Area of each box in square pixels, 0 for an empty one."""
    require_boxes("boxes", boxes)
    x1, y1, x2, y2 = boxes.unbind(1)
    return (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)


def box_iou(a: Float[Tensor, "n 4"], b: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Intersection over union of every box of ``a`` with every box of ``b``.

    In [0, 1]; 0 for boxes that share no area, so also for two empty ones. One axis at
    a time, so no temporary is larger than the result.
    """
    require_boxes("a", a)
    require_boxes("b", b)
    shared = _overlap(a[:, 0::2], b[:, 0::2]) * _overlap(a[:, 1::2], b[:, 1::2])
    union = box_area(a)[:, None] + box_area(b) - shared
    return shared / torch.where(union == 0, 1, union)


def _overlap(a: Float[Tensor, "n 2"], b: Float[Tensor, "m 2"]) -> Float[Tensor, "n m"]:
    """Length that every interval (start, end) of ``a`` shares with every one of b."""
    start = torch.maximum(a[:, None, 0], b[:, 0])
    return (torch.minimum(a[:, None, 1], b[:, 1]) - start).clamp(min=0)


def clip_boxes(
    boxes: Float[Tensor, "n 4"], image_size: tuple[int, int]
) -> Float[Tensor, "n 4"]:
    """The part of each box inside an image of ``image_size`` (height, width) pixels.

    A box outside the image becomes an empty one on its border.
    """
    require_boxes("boxes", boxes)
    height, width = image_size
    x = boxes[:, 0::2].clamp(0, width)
    y = boxes[:, 1::2].clamp(0, height)
    return torch.stack([x, y], dim=2).flatten(1)


def encode_boxes(
    reference_boxes: Float[Tensor, "n 4"],
    boxes: Float[Tensor, "n 4"],
    weights: Weights = (1.0, 1.0, 1.0, 1.0),
) -> Float[Tensor, "n 4"]:
    """The deltas (dx, dy, dw, dh) that move each reference box onto its box.

    dx = (x - xa) / wa, dw = log(w / wa), each times its weight (Ren et al. 2015,
    equation 2). Raises ValueError for an empty box, whose logarithm has no value.
    """
    _require_pairs(reference_boxes, boxes, "boxes")
    _require_area("reference_boxes", reference_boxes)
    _require_area("boxes", boxes)
    centres, sizes = _centres_and_sizes(reference_boxes)
    new_centres, new_sizes = _centres_and_sizes(boxes)
    shift, scale = (new_centres - centres) / sizes, torch.log(new_sizes / sizes)
    deltas = torch.cat([shift, scale], dim=1).unbind(1)
    return torch.stack([w * d for w, d in zip(weights, deltas, strict=True)], dim=1)


def decode_boxes(
    reference_boxes: Float[Tensor, "n 4"],
    deltas: Float[Tensor, "n 4"],
    weights: Weights = (1.0, 1.0, 1.0, 1.0),
    clamp: float = LARGEST_LOG_SCALE,
) -> Float[Tensor, "n 4"]:
    """Reference boxes moved by deltas (dx, dy, dw, dh): the inverse of encoding.

    dw and dh are cut at ``clamp`` from above, after the weights are divided out, so
    that the exponential of a wild prediction cannot overflow.
    """
    _require_pairs(reference_boxes, deltas, "deltas")
    centres, sizes = _centres_and_sizes(reference_boxes)
    unweighted = deltas / deltas.new_tensor(weights)
    centres = centres + unweighted[:, :2] * sizes
    sizes = sizes * torch.exp(unweighted[:, 2:].clamp(max=clamp))
    return torch.cat([centres - sizes / 2, centres + sizes / 2], dim=1)


def _centres_and_sizes(
    boxes: Float[Tensor, "n 4"],
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"]]:
    """Centres (x, y) and sides (w, h) in pixels."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return (low + high) / 2, high - low


def _require_pairs(reference_boxes: Tensor, others: Tensor, name: str) -> None:
    require_boxes("reference_boxes", reference_boxes)
    require_boxes(name, others)
    require_length(name, others, "reference boxes", len(reference_boxes))


def _require_area(name: str, boxes: Tensor) -> None:
    """Refuse empty boxes, naming the first."""
    if not values_can_be_checked(boxes):
        return
    empty = torch.nonzero((boxes[:, 2:] <= boxes[:, :2]).any(dim=1)).flatten()
    if len(empty):
        first = int(empty[0])
        corners = ", ".join(f"{c:g}" for c in boxes[first].tolist())
        raise ValueError(
            f"{name}[{first}] is ({corners}): encoding needs x2 > x1 and y2 > y1"
        )
