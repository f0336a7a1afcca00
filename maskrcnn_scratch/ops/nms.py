"""Non-maximum suppression as operators: of boxes that overlap too much, the best stays.

Greedy, strictly greater than the threshold, as ``reference.nms`` spells out. IoU is
computed in float64. Not differentiable: the result is indices.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maskrcnn_scratch.cpu import nms as cpu
from maskrcnn_scratch.ops.arrays import real_array, to_array
from maskrcnn_scratch.ops.checks import (
    require_boxes,
    require_floating,
    require_integers,
    require_length,
    require_shape,
)


def nms(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], iou_threshold: float
) -> Int64[Tensor, " kept"]:
    """Indices of the boxes that survive, by falling score; a drop-in for torchvision's.

    Of equal scores the lower index comes first; a NaN score ranks last.
    """
    segments = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    return batched_nms(boxes, scores, segments, iou_threshold)


def batched_nms(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    idxs: Int64[Tensor, " n"],
    iou_threshold: float,
    max_keep: int | None = None,
) -> Int64[Tensor, " kept"]:
    """NMS among boxes of equal ``idxs`` (class, level, image or a combination).

    Indices of the survivors of all groups by falling score; with ``max_keep``, of the
    best of them, at most so many, found without looking for the others. Exact:
    torchvision moves the groups apart by adding offsets to the boxes, which in float32
    changes IoUs near the threshold.
    """
    _require_groups(boxes, scores, idxs, iou_threshold)
    if max_keep is not None and max_keep < 0:
        raise ValueError(f"max_keep must not be negative, not {max_keep}")
    kept: Tensor = _segmented_nms(boxes, scores, idxs, iou_threshold, max_keep)
    return kept


def nms_survivors(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    idxs: Int64[Tensor, " n"],
    iou_threshold: float,
    largest_group: int,
) -> Bool[Tensor, " n"]:
    """Which boxes survive NMS among those of equal ``idxs``; of score -inf none does.

    ``batched_nms`` with an answer whose shape does not depend on the values, so that a
    GPU is not waited for. ``largest_group`` bounds the boxes of equal ``idxs``: the GPU
    takes memory for n * largest_group pairs.
    """
    _require_groups(boxes, scores, idxs, iou_threshold)
    survive: Tensor = _nms_survivors(boxes, scores, idxs, iou_threshold, largest_group)
    return survive


def _require_groups(
    boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float
) -> None:
    """What all kinds of NMS demand."""
    require_boxes("boxes", boxes)
    require_shape("scores", scores, ("n",))
    require_floating("scores", scores)
    require_length("scores", scores, "boxes", len(boxes))
    require_shape("idxs", idxs, ("n",))
    require_integers("idxs", idxs)
    require_length("idxs", idxs, "boxes", len(boxes))
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in [0, 1], not {iou_threshold}")


@torch.library.custom_op(
    "maskrcnn_scratch::nms_survivors",
    mutates_args=(),
    schema="(Tensor boxes, Tensor scores, Tensor segments, float iou_threshold, "
    "int largest_group) -> Tensor",
)
def _nms_survivors(
    boxes: Tensor,
    scores: Tensor,
    segments: Tensor,
    iou_threshold: float,
    largest_group: int,
) -> Tensor:
    there = torch.nonzero(scores > -torch.inf).flatten()
    kept = _segmented_nms(
        boxes[there], scores[there], segments[there], iou_threshold, None
    )
    survive = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    survive[there[kept]] = True
    return survive


@_nms_survivors.register_fake
def _(boxes: Tensor, *others: object) -> Tensor:
    return boxes.new_empty(boxes.shape[0], dtype=torch.bool)


@torch.library.custom_op(
    "maskrcnn_scratch::segmented_nms",
    mutates_args=(),
    schema="(Tensor boxes, Tensor scores, Tensor segments, float iou_threshold, "
    "int? max_keep) -> Tensor",
)
def _segmented_nms(
    boxes: Tensor,
    scores: Tensor,
    segments: Tensor,
    iou_threshold: float,
    max_keep: int | None,
) -> Tensor:
    kept = cpu.segmented_nms(
        real_array(boxes),
        real_array(scores),
        to_array(segments),
        iou_threshold,
        max_keep,
    )
    return torch.from_numpy(kept).to(boxes.device)


@_segmented_nms.register_fake
def _(boxes: Tensor, *others: object) -> Tensor:
    kept = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty(kept, dtype=torch.int64)
