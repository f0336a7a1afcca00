"""What each anchor or RoI has to learn, and which of them to learn from.

The rules and their sources are in ``reference.matching``. Anchors and RoIs are
candidates here.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
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


@torch.no_grad()
def sample(
    matched: Int64[Tensor, " n"],
    count: int,
    positive_fraction: float,
    generator: torch.Generator | None = None,
) -> tuple[Int64[Tensor, " positives"], Int64[Tensor, " negatives"]]:
    """Indices of the candidates to learn from: (positives, negatives), each ascending.

    At most ``count`` in all, at most ``count * positive_fraction`` (rounded down) of
    them positive; negatives take the places of missing positives. Drawn without
    replacement, with equal chances, from ``generator`` or torch's default one.
    """
    require_shape("matched", matched, ("n",))
    require_integers("matched", matched)
    if count < 0 or not 0 <= positive_fraction <= 1:
        raise ValueError(
            "count must be at least 0 and positive_fraction in [0, 1], "
            f"not {count} and {positive_fraction}"
        )
    positives = torch.nonzero(matched >= 0).flatten()
    negatives = torch.nonzero(matched == BACKGROUND).flatten()
    chosen = _draw(positives, int(count * positive_fraction), generator)
    return chosen, _draw(negatives, count - len(chosen), generator)


def _draw(
    items: Int64[Tensor, " n"], count: int, generator: torch.Generator | None
) -> Int64[Tensor, " drawn"]:
    """``count`` of the items, or all if they are fewer, in ascending order."""
    if len(items) <= count:
        return items
    device = items.device if generator is None else generator.device
    order = torch.randperm(len(items), generator=generator, device=device)
    return items[order[:count].to(items.device)].sort().values


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
