"""RoIPool as a differentiable operator: the largest feature of each rounded bin.

Fast R-CNN, section 2.1; both rounding rules are spelled out in ``reference.roi_pool``.
Gradients reach the features alone. Memory formats and types are as in ``roi_align``.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from maskrcnn_scratch.cpu import roi_pool as cpu
from maskrcnn_scratch.ops.arrays import (
    channels_last,
    channels_last_shape,
    empty_bins,
    empty_channels_last,
    from_channels_last,
    rois_array,
    to_array,
    workers,
)
from maskrcnn_scratch.ops.roi_checks import (
    Boxes,
    OutputSize,
    as_pair,
    as_rois,
    require_features,
    require_images,
    require_scale,
)

Rounding = Literal["round", "floor"]


def roi_pool(
    input: Float[Tensor, "images channels height width"],
    boxes: Boxes,
    output_size: OutputSize,
    spatial_scale: float = 1.0,
    rounding: Rounding = "round",
) -> Float[Tensor, "rois channels out_h out_w"]:
    """Each RoI as a grid of ``output_size`` bins; a drop-in for torchvision's.

    ``boxes`` are [K, 5] (image index, x1, y1, x2, y2) or a list of [k, 4], one an
    image, in image pixels; ``spatial_scale`` is 1 / stride. ``"round"`` is the rule of
    Fast R-CNN and torchvision, ``"floor"`` that of most walk-throughs. A bin without
    cells gives 0.
    """
    require_features(input, like=input)
    require_scale(spatial_scale)
    if rounding not in ("round", "floor"):
        raise ValueError(f"rounding must be 'round' or 'floor', not {rounding!r}")
    rois = as_rois(boxes, input)
    height, width = as_pair(output_size)
    out: Tensor = _roi_pool(input, rois, height, width, spatial_scale, rounding)[0]
    return out


@torch.library.custom_op(
    "maskrcnn_scratch::roi_pool",
    mutates_args=(),
    schema="(Tensor features, Tensor rois, int height, int width, float scale, "
    "str rounding) -> (Tensor, Tensor)",
)
def _roi_pool(
    features: Tensor, rois: Tensor, height: int, width: int, scale: float, rounding: str
) -> tuple[Tensor, Tensor]:
    """The maxima and their flat indices row * width + column, -1 in an empty bin."""
    require_images(rois.cpu(), len(features))
    out, argmax = cpu.roi_pool(
        channels_last(features),
        rois_array(rois),
        (height, width),
        scale,
        rounding,
        workers(),
    )
    winners = torch.from_numpy(argmax).to(features.device).permute(0, 3, 1, 2)
    return from_channels_last(out, features), winners


@_roi_pool.register_fake
def _(
    features: Tensor, rois: Tensor, height: int, width: int, *settings: object
) -> tuple[Tensor, Tensor]:
    out = empty_bins(features, rois, height, width)
    return out, torch.empty_like(out, dtype=torch.int32)


@torch.library.custom_op(
    "maskrcnn_scratch::roi_pool_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor argmax, Tensor rois, Tensor features) -> Tensor",
)
def _roi_pool_backward(
    grad: Tensor, argmax: Tensor, rois: Tensor, features: Tensor
) -> Tensor:
    """The gradient by the features, of which only the shape matters."""
    d_features = cpu.roi_pool_backward(
        channels_last(grad),
        to_array(argmax.permute(0, 2, 3, 1).contiguous()),
        rois_array(rois),
        channels_last_shape(features),
        workers(),
    )
    return from_channels_last(d_features, grad)


@_roi_pool_backward.register_fake
def _(grad: Tensor, argmax: Tensor, rois: Tensor, features: Tensor) -> Tensor:
    return empty_channels_last(features)


def _save_inputs(
    ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]
) -> None:
    features, rois, *_ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], rois, features)


def _backward(ctx: Any, grad: Tensor, _: object) -> tuple[Any, ...]:
    d_features = _roi_pool_backward(grad, *ctx.saved_tensors)
    return d_features, *[None] * 5


_roi_pool.register_autograd(_backward, setup_context=_save_inputs)
