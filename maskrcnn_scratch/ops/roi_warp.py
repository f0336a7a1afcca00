"""RoIWarp as a differentiable operator: rounded corners, then bilinear reading.

Dai et al. 2016; rules in ``reference.roi_warp``. Gradients reach the features alone.
Memory formats and types are as in ``roi_align``.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from maskrcnn_scratch.cpu import roi_warp as cpu
from maskrcnn_scratch.ops.arrays import (
    channels_last,
    channels_last_shape,
    empty_bins,
    empty_channels_last,
    from_channels_last,
    rois_array,
    workers,
)
from maskrcnn_scratch.ops.roi_checks import (
    Boxes,
    Mode,
    OutputSize,
    as_pair,
    as_rois,
    require_features,
    require_images,
    require_mode,
    require_scale,
)


def roi_warp(
    input: Float[Tensor, "images channels height width"],
    boxes: Boxes,
    output_size: OutputSize,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
    mode: Mode = "mean",
) -> Float[Tensor, "rois channels out_h out_w"]:
    """Each RoI as a grid of ``output_size`` bins, its corners rounded to whole cells.

    ``boxes`` are [K, 5] (image index, x1, y1, x2, y2) or a list of [k, 4], one an
    image, in image pixels; ``spatial_scale`` is 1 / stride.
    """
    require_features(input, like=input)
    require_scale(spatial_scale)
    require_mode(mode)
    rois = as_rois(boxes, input)
    height, width = as_pair(output_size)
    out: Tensor = _roi_warp(
        input, rois, height, width, spatial_scale, sampling_ratio, mode
    )
    return out


@torch.library.custom_op(
    "maskrcnn_scratch::roi_warp",
    mutates_args=(),
    schema="(Tensor features, Tensor rois, int height, int width, float scale, "
    "int sampling_ratio, str mode) -> Tensor",
)
def _roi_warp(
    features: Tensor,
    rois: Tensor,
    height: int,
    width: int,
    scale: float,
    sampling_ratio: int,
    mode: str,
) -> Tensor:
    require_images(rois.cpu(), len(features))
    out = cpu.roi_warp(
        channels_last(features),
        rois_array(rois),
        (height, width),
        scale,
        sampling_ratio,
        mode,
        workers(),
    )
    return from_channels_last(out, features)


@_roi_warp.register_fake
def _(
    features: Tensor, rois: Tensor, height: int, width: int, *settings: object
) -> Tensor:
    return empty_bins(features, rois, height, width)


@torch.library.custom_op(
    "maskrcnn_scratch::roi_warp_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor features, Tensor rois, float scale, "
    "int sampling_ratio, str mode) -> Tensor",
)
def _roi_warp_backward(
    grad: Tensor,
    features: Tensor,
    rois: Tensor,
    scale: float,
    sampling_ratio: int,
    mode: str,
) -> Tensor:
    d_features = cpu.roi_warp_backward(
        channels_last(grad),
        channels_last(features) if mode == "max" else None,
        channels_last_shape(features),
        rois_array(rois),
        scale,
        sampling_ratio,
        workers(),
    )
    return from_channels_last(d_features, grad)


@_roi_warp_backward.register_fake
def _(grad: Tensor, features: Tensor, *settings: object) -> Tensor:
    return empty_channels_last(features)


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, rois, _, _, *ctx.settings = inputs
    ctx.save_for_backward(features, rois)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    d_features = _roi_warp_backward(grad, *ctx.saved_tensors, *ctx.settings)
    return d_features, *[None] * 6


_roi_warp.register_autograd(_backward, setup_context=_save_inputs)
