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
from maskrcnn_scratch.ops.arrays import workers
from maskrcnn_scratch.ops.formats import (
    empty_maps,
    from_maps_array,
    in_order,
    is_planar,
    maps_array,
    rois_array,
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
    planar = is_planar(features)
    planar_kernel = planar and mode == "mean"
    out = cpu.roi_warp(
        maps_array(features, planar_kernel, mode == "mean"),
        rois_array(rois),
        (height, width),
        scale,
        sampling_ratio,
        mode,
        workers(),
        planar_kernel,
    )
    bins = from_maps_array(out, planar_kernel, features)
    return bins.contiguous() if planar else bins


@_roi_warp.register_fake
def _(
    features: Tensor, rois: Tensor, height: int, width: int, *settings: object
) -> Tensor:
    sizes = (rois.shape[0], features.shape[1], height, width)
    return empty_maps(sizes, is_planar(features), features)


@torch.library.custom_op(
    "maskrcnn_scratch::roi_warp_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor? features, Tensor rois, SymInt[] sizes, bool planar, "
    "float scale, int sampling_ratio) -> Tensor",
)
def _roi_warp_backward(
    grad: Tensor,
    features: Tensor | None,
    rois: Tensor,
    sizes: list[int],
    planar: bool,
    scale: float,
    sampling_ratio: int,
) -> Tensor:
    """The gradient by maps of ``sizes``; only the maximum needs the features."""
    planar_kernel = planar and features is None
    d_features = cpu.roi_warp_backward(
        maps_array(grad, planar_kernel, features is None),
        None if features is None else maps_array(features, False, False),
        in_order(sizes, planar_kernel),
        rois_array(rois),
        scale,
        sampling_ratio,
        workers(),
        planar_kernel,
    )
    maps = from_maps_array(d_features, planar_kernel, grad)
    return maps.contiguous() if planar else maps


@_roi_warp_backward.register_fake
def _(
    grad: Tensor,
    features: Tensor | None,
    rois: Tensor,
    sizes: list[int],
    planar: bool,
    *settings: object,
) -> Tensor:
    return empty_maps(sizes, planar, grad)


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, rois, _, _, *settings, mode = inputs
    ctx.settings = settings
    ctx.planar, ctx.sizes = is_planar(features), list(features.shape)
    ctx.save_for_backward(rois, features if mode == "max" else None)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    rois, features = ctx.saved_tensors
    shape = (ctx.sizes, ctx.planar)
    d_features = _roi_warp_backward(grad, features, rois, *shape, *ctx.settings)
    return d_features, *[None] * 6


_roi_warp.register_autograd(_backward, setup_context=_save_inputs)
