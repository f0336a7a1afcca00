"""Keypoints as operators: a location is one of m x m bins of its RoI's map.

``reference.keypoints`` has the rules. Boxes and keypoints are in pixels of the image; a
keypoint to learn is (x, y, v) with COCO's visibility v (0 not labelled, 1 hidden, 2
visible), one that was found is (x, y, score). The loss is differentiable by the logits.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maskrcnn_scratch.cpu import keypoints as cpu
from maskrcnn_scratch.ops.arrays import real, real_array, to_array, workers
from maskrcnn_scratch.ops.checks import (
    require_boxes,
    require_floating,
    require_integers,
    require_length,
    require_range,
    require_shape,
)

Readout = Literal["bin", "resized"]


def keypoint_targets(
    keypoints: Float[Tensor, "n points 3"], boxes: Float[Tensor, "n 4"], size: int
) -> tuple[Int64[Tensor, "n points"], Bool[Tensor, "n points"]]:
    """The flat index, row * size + column, of each keypoint's bin in its RoI.

    And whether there is one: a keypoint that is not labelled, or lies outside its RoI,
    is not valid, and its index is 0.
    """
    require_shape("keypoints", keypoints, ("n", "points", 3))
    require_floating("keypoints", keypoints)
    require_boxes("boxes", boxes)
    require_length("boxes", boxes, "rows of keypoints", len(keypoints))
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    index: Tensor
    valid: Tensor
    index, valid = _keypoint_targets(keypoints, boxes, size)
    return index, valid


def keypoint_loss(
    logits: Float[Tensor, "n points size size"],
    index: Int64[Tensor, "n points"],
    valid: Bool[Tensor, "n points"],
) -> Float[Tensor, ""]:
    """The mean over valid keypoints of -log softmax(map)[index], over all its bins.

    0 where none is valid, and still part of the graph. What stands in the other maps
    changes nothing; their gradient is 0.
    """
    require_shape("logits", logits, ("n", "points", "size", "size"))
    require_floating("logits", logits)
    for name, tensor in (("index", index), ("valid", valid)):
        require_shape(name, tensor, tuple(logits.shape[:2]))
    require_integers("index", index)
    bins = logits.shape[2] * logits.shape[3]
    require_range("index", torch.where(valid, index, 0).flatten(), bins)
    loss: Tensor = _keypoint_loss(logits, index, valid)[0]
    return loss


def keypoint_readout(
    logits: Float[Tensor, "n points size size"],
    boxes: Float[Tensor, "n 4"],
    rule: Readout = "bin",
) -> Float[Tensor, "n points 3"]:
    """(x, y, score) of each map's best place, in the image.

    ``"bin"``: the centre of the best bin, and its probability. ``"resized"``, as
    torchvision and detectron2 have it: each map is resized bicubically to its box's
    size in pixels, rounded up, and the best pixel is taken, with its logit as the
    score. Of equal places the first in row-major order.
    """
    require_shape("logits", logits, ("n", "points", "size", "size"))
    require_floating("logits", logits)
    require_boxes("boxes", boxes)
    require_length("boxes", boxes, "rows of logits", len(logits))
    if rule == "bin":
        return _best_bins(logits.detach(), boxes)
    if rule != "resized":
        raise ValueError(f"rule must be 'bin' or 'resized', not {rule!r}")
    found: Tensor = _keypoint_readout_resized(logits.detach(), boxes)
    return found


def _best_bins(logits: Tensor, boxes: Tensor) -> Tensor:
    """``keypoint_readout`` by the rule ``"bin"``."""
    size = logits.shape[3]
    maps = real(logits).flatten(2)
    best = maps.argmax(dim=2)
    score = 1 / torch.exp(maps - maps.amax(dim=2, keepdim=True)).sum(dim=2)
    x1, y1, x2, y2 = real(boxes)[:, None].unbind(dim=2)
    x = x1 + (best % size + 0.5) * (x2 - x1) / size
    y = y1 + (best // size + 0.5) * (y2 - y1) / size
    return torch.stack([x, y, score.to(x.dtype)], dim=2)


@torch.library.custom_op(
    "maskrcnn_scratch::keypoint_targets",
    mutates_args=(),
    schema="(Tensor keypoints, Tensor boxes, int size) -> (Tensor, Tensor)",
)
def _keypoint_targets(
    keypoints: Tensor, boxes: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    found = cpu.keypoint_targets(real_array(keypoints), real_array(boxes), size)
    index, valid = (torch.from_numpy(one).to(boxes.device) for one in found)
    return index, valid


@_keypoint_targets.register_fake
def _(keypoints: Tensor, boxes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    index = boxes.new_empty(keypoints.shape[:2], dtype=torch.int64)
    return index, torch.empty_like(index, dtype=torch.bool)


@torch.library.custom_op(
    "maskrcnn_scratch::keypoint_readout_resized",
    mutates_args=(),
    schema="(Tensor logits, Tensor boxes) -> Tensor",
)
def _keypoint_readout_resized(logits: Tensor, boxes: Tensor) -> Tensor:
    found = cpu.keypoint_readout_resized(
        real_array(logits), real_array(boxes), workers()
    )
    return torch.from_numpy(found).to(boxes.device)


@_keypoint_readout_resized.register_fake
def _(logits: Tensor, boxes: Tensor) -> Tensor:
    n, points = logits.shape[:2]
    return logits.new_empty((n, points, 3), dtype=real(logits[:0]).dtype)


@torch.library.custom_op(
    "maskrcnn_scratch::keypoint_loss",
    mutates_args=(),
    schema="(Tensor logits, Tensor index, Tensor valid) -> (Tensor, Tensor, Tensor)",
)
def _keypoint_loss(
    logits: Tensor, index: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, and what its gradient needs beside the logits."""
    arrays = real_array(logits), to_array(index), to_array(valid)
    found = cpu.keypoint_loss(*arrays, workers())
    loss, stats, scale = (torch.from_numpy(one).to(logits.device) for one in found)
    return loss, stats, scale


@_keypoint_loss.register_fake
def _(logits: Tensor, index: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    loss = logits.new_empty((), dtype=real(logits[:0]).dtype)
    n, points = index.shape
    return loss, loss.new_empty((n * points, 2)), torch.empty_like(loss)


@torch.library.custom_op(
    "maskrcnn_scratch::keypoint_loss_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor scale, Tensor stats, Tensor logits, Tensor index, "
    "Tensor valid) -> Tensor",
)
def _keypoint_loss_backward(
    grad: Tensor,
    scale: Tensor,
    stats: Tensor,
    logits: Tensor,
    index: Tensor,
    valid: Tensor,
) -> Tensor:
    arrays = real_array(logits), to_array(index), to_array(valid)
    factor = float(grad * scale)
    gradient = cpu.keypoint_loss_backward(factor, to_array(stats), *arrays, workers())
    return torch.from_numpy(gradient).to(logits.device, logits.dtype)


@_keypoint_loss_backward.register_fake
def _(
    grad: Tensor,
    scale: Tensor,
    stats: Tensor,
    logits: Tensor,
    index: Tensor,
    valid: Tensor,
) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def _save_maps(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    _, stats, scale = output
    ctx.mark_non_differentiable(stats, scale)
    ctx.save_for_backward(scale, stats, *inputs)


def _backward(ctx: Any, grad: Tensor, *_: object) -> tuple[Any, ...]:
    return _keypoint_loss_backward(grad, *ctx.saved_tensors), None, None


_keypoint_loss.register_autograd(_backward, setup_context=_save_maps)
