"""From what the heads predict to boxes, for whole batches: decode, clip, filter.

``boxes`` has the three steps one by one; here they are one, because on a GPU each step
alone is over before the next is launched. Shapes never depend on values: what is not
kept stays in its place with a score of minus infinity.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskrcnn_scratch.ops.boxes import Weights, decode_boxes
from maskrcnn_scratch.ops.checks import require_boxes, require_shape


@torch.no_grad()
def decode_proposals(
    anchors: Float[Tensor, "a 4"],
    deltas: Float[Tensor, "images a 4"],
    scores: Float[Tensor, "images k"],
    index: Int64[Tensor, "images k"],
    image_sizes: Float[Tensor, "images 2"],
    weights: Weights = (1.0, 1.0, 1.0, 1.0),
    min_size: float = 0.0,
) -> tuple[Float[Tensor, "images k 4"], Float[Tensor, "images k"]]:
    """The boxes of the chosen anchors of each image, and their scores.

    ``index`` chooses anchors, ``scores`` are theirs; ``image_sizes`` are heights and
    widths in pixels. Boxes are clipped to their image; where a side is then not greater
    than ``min_size``, the score becomes minus infinity.
    """
    require_boxes("anchors", anchors)
    require_shape("deltas", deltas, ("images", len(anchors), 4))
    require_shape("scores", scores, tuple(index.shape))
    require_shape("image_sizes", image_sizes, (len(deltas), 2))
    boxes, kept = _decode_proposals(
        anchors, deltas, scores, index, image_sizes, list(weights), min_size
    )
    return boxes, kept


@torch.library.custom_op(
    "maskrcnn_scratch::decode_proposals",
    mutates_args=(),
    schema="(Tensor anchors, Tensor deltas, Tensor scores, Tensor index, "
    "Tensor image_sizes, float[] weights, float min_size) -> (Tensor, Tensor)",
)
def _decode_proposals(
    anchors: Tensor,
    deltas: Tensor,
    scores: Tensor,
    index: Tensor,
    image_sizes: Tensor,
    weights: list[float],
    min_size: float,
) -> tuple[Tensor, Tensor]:
    chosen = deltas.gather(1, index[..., None].expand(-1, -1, 4))
    wx, wy, ww, wh = weights
    boxes = decode_boxes(
        anchors[index].flatten(0, 1), chosen.flatten(0, 1), (wx, wy, ww, wh)
    )
    boxes = _clip(boxes.view(chosen.shape), image_sizes[:, None])
    large = (boxes[..., 2:] - boxes[..., :2] > min_size).all(dim=2)
    return boxes, torch.where(large, scores, -math.inf)


@_decode_proposals.register_fake
def _(
    anchors: Tensor, deltas: Tensor, scores: Tensor, *others: object
) -> tuple[Tensor, Tensor]:
    return deltas.new_empty((*scores.shape, 4)), scores.new_empty(scores.shape)


@torch.no_grad()
def decode_detections(
    rois: Float[Tensor, "r 5"],
    deltas: Float[Tensor, "r classes 4"],
    scores: Float[Tensor, "r classes"],
    image_sizes: Float[Tensor, "images 2"],
    score_threshold: float,
    weights: Weights = (10.0, 10.0, 5.0, 5.0),
) -> tuple[Float[Tensor, "r classes 4"], Float[Tensor, "r classes"]]:
    """The box of every class of every RoI, clipped to its image, and its score.

    ``rois`` are (image index, x1, y1, x2, y2), ``image_sizes`` heights and widths in
    pixels. Where a score is not greater than ``score_threshold`` it becomes minus
    infinity, and the box means nothing.
    """
    require_shape("rois", rois, ("r", 5))
    require_shape("deltas", deltas, (len(rois), "classes", 4))
    require_shape("scores", scores, tuple(deltas.shape[:2]))
    require_shape("image_sizes", image_sizes, ("images", 2))
    boxes, kept = _decode_detections(
        rois, deltas, scores, image_sizes, score_threshold, list(weights)
    )
    return boxes, kept


@torch.library.custom_op(
    "maskrcnn_scratch::decode_detections",
    mutates_args=(),
    schema="(Tensor rois, Tensor deltas, Tensor scores, Tensor image_sizes, "
    "float score_threshold, float[] weights) -> (Tensor, Tensor)",
)
def _decode_detections(
    rois: Tensor,
    deltas: Tensor,
    scores: Tensor,
    image_sizes: Tensor,
    score_threshold: float,
    weights: list[float],
) -> tuple[Tensor, Tensor]:
    """On the CPU, where looking costs nothing, few boxes are left to decode."""
    good = scores > score_threshold
    roi, label = torch.nonzero(good, as_tuple=True)
    wx, wy, ww, wh = weights
    found = decode_boxes(rois[roi, 1:], deltas[roi, label], (wx, wy, ww, wh))
    boxes = torch.zeros_like(deltas, memory_format=torch.contiguous_format)
    boxes[roi, label] = _clip(found, image_sizes[rois[roi, 0].long()])
    return boxes, torch.where(good, scores, -math.inf)


@_decode_detections.register_fake
def _(
    rois: Tensor, deltas: Tensor, scores: Tensor, *others: object
) -> tuple[Tensor, Tensor]:
    return deltas.new_empty(deltas.shape), scores.new_empty(scores.shape)


def _clip(boxes: Tensor, image_sizes: Tensor) -> Tensor:
    """Boxes [..., 4] clipped to (height, width) [..., 2]."""
    height, width = image_sizes[..., :1], image_sizes[..., 1:]
    x = torch.minimum(boxes[..., 0::2].clamp(min=0), width)
    y = torch.minimum(boxes[..., 1::2].clamp(min=0), height)
    return torch.stack([x, y], dim=-1).flatten(-2)
