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
from maskrcnn_scratch.ops.arrays import to_array, workers
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
    settings = (input, rois, height, width, spatial_scale, rounding)
    out: Tensor
    if torch.is_grad_enabled() and input.requires_grad:
        out, _ = _roi_pool(*settings)
    else:
        out = _roi_pool_maxima(*settings)
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
    out, argmax = pooled(features, rois, (height, width), scale, rounding, True)
    assert argmax is not None
    return out, argmax


@_roi_pool.register_fake
def _(
    features: Tensor, rois: Tensor, height: int, width: int, *settings: object
) -> tuple[Tensor, Tensor]:
    sizes = (rois.shape[0], features.shape[1], height, width)
    out = empty_maps(sizes, is_planar(features), features)
    return out, torch.empty_like(out, dtype=torch.int32)


@torch.library.custom_op(
    "maskrcnn_scratch::roi_pool_maxima",
    mutates_args=(),
    schema="(Tensor features, Tensor rois, int height, int width, float scale, "
    "str rounding) -> Tensor",
)
def _roi_pool_maxima(
    features: Tensor, rois: Tensor, height: int, width: int, scale: float, rounding: str
) -> Tensor:
    """The maxima alone, where no gradient will ask for their places: twice as fast."""
    return pooled(features, rois, (height, width), scale, rounding, False)[0]


@_roi_pool_maxima.register_fake
def _(
    features: Tensor, rois: Tensor, height: int, width: int, *settings: object
) -> Tensor:
    sizes = (rois.shape[0], features.shape[1], height, width)
    return empty_maps(sizes, is_planar(features), features)


def pooled(
    features: Tensor,
    rois: Tensor,
    output_size: tuple[int, int],
    scale: float,
    rounding: str,
    with_argmax: bool,
) -> tuple[Tensor, Tensor | None]:
    """Both operators: the maxima and, if asked for, the indices."""
    require_images(rois.cpu(), len(features))
    planar = is_planar(features)
    out, argmax = cpu.roi_pool(
        maps_array(features, planar),
        rois_array(rois),
        output_size,
        scale,
        rounding,
        workers(),
        planar,
        with_argmax,
    )
    bins = from_maps_array(out, planar, features)
    return bins, None if argmax is None else from_maps_array(argmax, planar, features)


@torch.library.custom_op(
    "maskrcnn_scratch::roi_pool_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor argmax, Tensor rois, SymInt[] sizes, bool planar) "
    "-> Tensor",
)
def _roi_pool_backward(
    grad: Tensor, argmax: Tensor, rois: Tensor, sizes: list[int], planar: bool
) -> Tensor:
    """The gradient by maps of ``sizes``, in the memory format of the forward pass."""
    winners = (argmax if planar else argmax.permute(0, 2, 3, 1)).contiguous()
    d_features = cpu.roi_pool_backward(
        maps_array(grad, planar),
        to_array(winners),
        rois_array(rois),
        in_order(sizes, planar),
        workers(),
        planar,
    )
    return from_maps_array(d_features, planar, grad)


@_roi_pool_backward.register_fake
def _(
    grad: Tensor, argmax: Tensor, rois: Tensor, sizes: list[int], planar: bool
) -> Tensor:
    return empty_maps(sizes, planar, grad)


def _save_inputs(
    ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]
) -> None:
    features, rois, *_ = inputs
    ctx.planar, ctx.sizes = is_planar(features), list(features.shape)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # or zeros are made for the indices, too
    ctx.save_for_backward(output[1], rois)


def _backward(ctx: Any, grad: Tensor | None, _: object) -> tuple[Any, ...]:
    if grad is None:  # nobody asked
        return (None,) * 6
    argmax, rois = ctx.saved_tensors
    d_features = _roi_pool_backward(grad, argmax, rois, ctx.sizes, ctx.planar)
    return d_features, *[None] * 5


_roi_pool.register_autograd(_backward, setup_context=_save_inputs)
