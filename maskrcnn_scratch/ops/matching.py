"""What each anchor or RoI has to learn, and which of them to learn from.

The rules and their sources are in ``reference.matching``. Anchors and RoIs are
candidates here.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maskrcnn_scratch.cpu import matching as cpu
from maskrcnn_scratch.ops.arrays import real_array, workers
from maskrcnn_scratch.ops.checks import require_boxes, require_integers, require_shape

BACKGROUND = -1
"""Matched to nothing: a negative."""
IGNORED = -2
"""Neither positive nor negative: takes no part in the loss."""


def match(
    boxes_gt: Float[Tensor, "gt 4"],
    boxes: Float[Tensor, "candidates 4"],
    high: float,
    low: float,
    allow_low_quality: bool,
) -> Int64[Tensor, " candidates"]:
    """For each candidate the index of its ground-truth box, BACKGROUND or IGNORED.

    A candidate belongs to the box that it overlaps most, from IoU ``high`` on; below
    ``low`` it is BACKGROUND. ``allow_low_quality`` matches each box's best candidates
    too, at whatever IoU above 0. IoU is computed in float64, a few boxes at a time: the
    memory that this takes does not grow with their number.
    """
    require_boxes("boxes_gt", boxes_gt)
    require_boxes("boxes", boxes)
    _require_order(high, low)
    matched: Tensor = _match(boxes_gt, boxes, high, low, allow_low_quality)
    return matched


@torch.no_grad()
def match_iou(
    iou: Float[Tensor, "gt candidates"],
    high: float,
    low: float,
    allow_low_quality: bool,
) -> Int64[Tensor, " candidates"]:
    """``match``, given the IoU of every ground-truth box with every candidate."""
    require_shape("iou", iou, ("gt", "candidates"))
    _require_order(high, low)
    boxes, candidates = iou.shape
    if boxes == 0 or candidates == 0:
        return torch.full((candidates,), BACKGROUND, device=iou.device)
    iou = torch.where(iou > 0, iou, 0)  # a NaN is less than any number
    own_iou, own = iou.max(dim=0)  # of equal ones the first
    matched = torch.where(own_iou >= low, IGNORED, BACKGROUND)
    good = own_iou >= high
    if allow_low_quality:
        best_iou = iou.amax(dim=1, keepdim=True)
        good |= ((iou == best_iou) & (iou > 0)).any(dim=0)
    return torch.where(good, own, matched)


class Sample(NamedTuple):
    """Candidates to learn from: positives first, then negatives, then padding.

    ``rows`` tells which; where one is not ``valid`` there were too few, and it
    points to some candidate that is to be left out. So the shape is known before the
    values are, and a GPU need not be asked how many were drawn.
    """

    rows: Int64[Tensor, " drawn"]
    positive: Bool[Tensor, " drawn"]
    valid: Bool[Tensor, " drawn"]


@torch.no_grad()
def sample(
    matched: Int64[Tensor, " n"],
    count: int,
    positive_fraction: float,
    generator: torch.Generator | None = None,
) -> Sample:
    """Draw ``count`` candidates to learn from, or all if they are fewer.

    At most ``count * positive_fraction`` (rounded down) of them are positive; negatives
    take the places of missing positives. Drawn without replacement, with equal chances,
    from ``generator``, which is on the device of ``matched``, or torch's default one.
    """
    require_shape("matched", matched, ("n",))
    require_integers("matched", matched)
    if count < 0 or not 0 <= positive_fraction <= 1:
        raise ValueError(
            "count must be at least 0 and positive_fraction in [0, 1], "
            f"not {count} and {positive_fraction}"
        )
    quota = min(int(count * positive_fraction), len(matched))
    # A key in [0, 1) for each; those with the greatest keys are drawn.
    keys = torch.rand(len(matched), generator=generator, device=matched.device)
    drawn = torch.where(matched >= 0, keys, -1.0).topk(quota)
    keys = torch.where(matched == BACKGROUND, keys, -1.0)
    first = torch.where(drawn.values >= 0, 2.0, keys[drawn.indices])
    keys = keys.scatter(0, drawn.indices, first)
    values, index = keys.topk(min(count, len(matched)))
    return Sample(index, values == 2, values >= 0)


def _require_order(high: float, low: float) -> None:
    if not low <= high:
        raise ValueError(f"low must be at most high, but low = {low}, high = {high}")


@torch.library.custom_op(
    "maskrcnn_scratch::match",
    mutates_args=(),
    schema="(Tensor boxes_gt, Tensor boxes, float high, float low, "
    "bool allow_low_quality) -> Tensor",
)
def _match(
    boxes_gt: Tensor, boxes: Tensor, high: float, low: float, allow_low_quality: bool
) -> Tensor:
    matched = cpu.match(
        real_array(boxes_gt),
        real_array(boxes),
        high,
        low,
        allow_low_quality,
        workers(),
    )
    return torch.from_numpy(matched).to(boxes.device)


@_match.register_fake
def _(boxes_gt: Tensor, boxes: Tensor, *others: object) -> Tensor:
    return boxes.new_empty(boxes.shape[0], dtype=torch.int64)
