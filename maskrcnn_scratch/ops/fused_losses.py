"""Losses on a GPU, where a kernel is worth its while: those of whole maps.

In float32, whatever the logits are, with what the gradient needs kept from the forward
pass. On the CPU, and in float64, the operators are elementary functions.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maskrcnn_scratch.ops.weighting import Weights


def mask_loss_on_gpu(
    mask_logits: Float[Tensor, "n k m m"],
    labels: Int64[Tensor, " n"],
    targets: Float[Tensor, "n m m"],
    weights: Weights = None,
) -> Float[Tensor, ""]:
    """``ops.mask_loss`` by the kernels of ``cuda.losses``."""
    if weights is None:
        weights = torch.ones(len(labels), device=labels.device)
    loss: Tensor = _mask_loss(mask_logits, labels, targets, weights.float())[0]
    return loss


@torch.library.custom_op(
    "maskrcnn_scratch::mask_loss",
    mutates_args=(),
    schema="(Tensor mask_logits, Tensor labels, Tensor targets, Tensor weights) -> "
    "(Tensor, Tensor, Tensor)",
)
def _mask_loss(
    mask_logits: Tensor, labels: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss; its slope at each pixel of the true classes' masks, and their scale."""
    from maskrcnn_scratch.cuda import losses as cuda

    return cuda.mask_loss(mask_logits, labels, targets, weights)


@_mask_loss.register_fake
def _(
    mask_logits: Tensor, labels: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    slopes = targets.new_empty(targets.shape, dtype=torch.float32)
    return slopes.new_empty(()), slopes, slopes.new_empty(())


@torch.library.custom_op(
    "maskrcnn_scratch::mask_loss_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor scale, Tensor slopes, Tensor labels, int classes, "
    "ScalarType dtype, bool channels_last) -> Tensor",
)
def _mask_loss_backward(
    grad: Tensor,
    scale: Tensor,
    slopes: Tensor,
    labels: Tensor,
    classes: int,
    dtype: torch.dtype,
    channels_last: bool,
) -> Tensor:
    from maskrcnn_scratch.cuda import losses as cuda

    return cuda.mask_loss_backward(
        grad, scale, slopes, labels, classes, dtype, channels_last
    )


@_mask_loss_backward.register_fake
def _(
    grad: Tensor,
    scale: Tensor,
    slopes: Tensor,
    labels: Tensor,
    classes: int,
    dtype: torch.dtype,
    channels_last: bool,
) -> Tensor:
    n, height, width = slopes.shape
    if channels_last:
        shape = (n, height, width, classes)
        return slopes.new_empty(shape, dtype=dtype).permute(0, 3, 1, 2)
    return slopes.new_empty((n, classes, height, width), dtype=dtype)


def _save_slopes(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """The slopes are all that the gradient needs: the logits need not stay alive."""
    mask_logits, labels, _, _ = inputs
    _, slopes, scale = output
    ctx.mark_non_differentiable(slopes, scale)
    ctx.save_for_backward(scale, slopes, labels)
    ctx.classes, ctx.dtype = mask_logits.shape[1], mask_logits.dtype
    ctx.channels_last = not mask_logits.is_contiguous() and mask_logits.is_contiguous(
        memory_format=torch.channels_last
    )


def _backward(ctx: Any, grad: Tensor, *_: object) -> tuple[Any, ...]:
    gradient = _mask_loss_backward(
        grad, *ctx.saved_tensors, ctx.classes, ctx.dtype, ctx.channels_last
    )
    return gradient, None, None, None


_mask_loss.register_autograd(_backward, setup_context=_save_slopes)


def keypoint_loss_on_gpu(
    logits: Float[Tensor, "n points size size"],
    index: Int64[Tensor, "n points"],
    valid: Bool[Tensor, "n points"],
) -> Float[Tensor, ""]:
    """``ops.keypoint_loss`` by the kernels of ``cuda.keypoint_loss``."""
    loss: Tensor = _keypoint_loss(logits, index, valid)[0]
    return loss


@torch.library.custom_op(
    "maskrcnn_scratch::keypoint_loss",
    mutates_args=(),
    schema="(Tensor logits, Tensor index, Tensor valid) -> (Tensor, Tensor, Tensor)",
)
def _keypoint_loss(
    logits: Tensor, index: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, and what its gradient needs beside the logits."""
    from maskrcnn_scratch.cuda import keypoint_loss as cuda

    return cuda.keypoint_loss(logits, index, valid)


@_keypoint_loss.register_fake
def _(logits: Tensor, index: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    loss = logits.new_empty((), dtype=torch.float32)
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
    from maskrcnn_scratch.cuda import keypoint_loss as cuda

    return cuda.keypoint_loss_backward(grad, scale, stats, logits, index, valid)


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


def _keypoint_backward(ctx: Any, grad: Tensor, *_: object) -> tuple[Any, ...]:
    return _keypoint_loss_backward(grad, *ctx.saved_tensors), None, None


_keypoint_loss.register_autograd(_keypoint_backward, setup_context=_save_maps)
