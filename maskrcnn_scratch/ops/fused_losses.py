"""The mask loss on a GPU: two kernels, in float32 whatever the logits are.

With what the gradient needs kept from the forward pass. On the CPU, and in float64, the
loss is made of elementary functions.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
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
