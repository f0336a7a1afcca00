"""RoIAlign as a differentiable operator, for one feature map or a pyramid.

Mask R-CNN, section 3; every rule is spelled out in ``reference.roi_align``. Boxes are
(x1, y1, x2, y2) in image pixels. Gradients reach the features, not the boxes, as in all
published systems.

Features in torch's channels_last memory format are read in place, others are copied to
it once; the output is channels_last. bfloat16 and float16 are computed in float32 and
rounded once at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskrcnn_scratch.cpu import roi_align as cpu
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
from maskrcnn_scratch.ops.checks import require_range
from maskrcnn_scratch.ops.roi_checks import (
    Boxes,
    Mode,
    OutputSize,
    as_pair,
    as_rois,
    require_features,
    require_images,
    require_levels,
    require_mode,
    require_scale,
)


def roi_align(
    input: Float[Tensor, "images channels height width"],
    boxes: Boxes,
    output_size: OutputSize,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
    mode: Mode = "mean",
) -> Float[Tensor, "rois channels out_h out_w"]:
    """Each RoI as a grid of ``output_size`` bins; a drop-in for torchvision's.

    ``boxes`` are [K, 5] (image index, x1, y1, x2, y2) or a list of [k, 4], one an
    image. ``spatial_scale`` is 1 / stride. ``sampling_ratio`` 0 or less means adaptive.
    ``aligned=True`` puts the sample points where they belong; False, torchvision's
    default, reads half a cell too far to the right and bottom.
    """
    rois = as_rois(boxes, input)
    levels = torch.zeros(len(rois), dtype=torch.int64, device=rois.device)
    return multiscale_roi_align(
        [input],
        rois,
        levels,
        output_size,
        [spatial_scale],
        sampling_ratio,
        aligned,
        mode,
    )


def multiscale_roi_align(
    features: Sequence[Float[Tensor, "images channels _height _width"]],
    boxes: Float[Tensor, "rois 5"],
    levels: Int64[Tensor, " rois"],
    output_size: OutputSize,
    spatial_scales: Sequence[float],
    sampling_ratio: int = 2,
    aligned: bool = True,
    mode: Mode = "mean",
) -> Float[Tensor, "rois channels out_h out_w"]:
    """RoIAlign of each RoI on its own level of a pyramid, in one operator.

    ``levels`` index ``features`` and ``spatial_scales`` (1 / stride each).
    """
    if len(features) == 0 or len(features) != len(spatial_scales):
        raise ValueError(
            "there must be a spatial scale for each level and at least one level, "
            f"not {len(features)} levels and {len(spatial_scales)} scales"
        )
    for feature, scale in zip(features, spatial_scales, strict=True):
        require_features(feature, like=features[0])
        require_scale(scale)
    rois = as_rois(boxes, features[0])
    require_levels(levels, len(rois))
    require_mode(mode)
    height, width = as_pair(output_size)
    out: Tensor = _roi_align(
        list(features),
        rois,
        levels,
        height,
        width,
        list(spatial_scales),
        sampling_ratio,
        aligned,
        mode,
    )
    return out


@torch.library.custom_op(
    "maskrcnn_scratch::roi_align",
    mutates_args=(),
    schema="(Tensor[] features, Tensor rois, Tensor levels, int height, int width, "
    "float[] scales, int sampling_ratio, bool aligned, str mode) -> Tensor",
)
def _roi_align(
    features: list[Tensor],
    rois: Tensor,
    levels: Tensor,
    height: int,
    width: int,
    scales: list[float],
    sampling_ratio: int,
    aligned: bool,
    mode: str,
) -> Tensor:
    require_images(rois.cpu(), len(features[0]))
    require_range("levels", levels.cpu(), len(features))
    out = cpu.roi_align(
        [channels_last(feature) for feature in features],
        rois_array(rois),
        to_array(levels),
        (height, width),
        scales,
        sampling_ratio,
        aligned,
        mode,
        workers(),
    )
    return from_channels_last(out, features[0])


@_roi_align.register_fake
def _(
    features: list[Tensor],
    rois: Tensor,
    levels: Tensor,
    height: int,
    width: int,
    *settings: object,
) -> Tensor:
    return empty_bins(features[0], rois, height, width)


@torch.library.custom_op(
    "maskrcnn_scratch::roi_align_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor[] features, Tensor rois, Tensor levels, "
    "float[] scales, int sampling_ratio, bool aligned, str mode) -> Tensor[]",
)
def _roi_align_backward(
    grad: Tensor,
    features: list[Tensor],
    rois: Tensor,
    levels: Tensor,
    scales: list[float],
    sampling_ratio: int,
    aligned: bool,
    mode: str,
) -> list[Tensor]:
    d_features = cpu.roi_align_backward(
        channels_last(grad),
        [channels_last(feature) for feature in features] if mode == "max" else None,
        [channels_last_shape(feature) for feature in features],
        rois_array(rois),
        to_array(levels),
        scales,
        sampling_ratio,
        aligned,
        workers(),
    )
    return [from_channels_last(d_feature, grad) for d_feature in d_features]


@_roi_align_backward.register_fake
def _(grad: Tensor, features: list[Tensor], *settings: object) -> list[Tensor]:
    return [empty_channels_last(feature) for feature in features]


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, rois, levels, _, _, *ctx.settings = inputs
    ctx.save_for_backward(rois, levels, *features)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    rois, levels, *features = ctx.saved_tensors
    d_features = _roi_align_backward(grad, features, rois, levels, *ctx.settings)
    return d_features, *[None] * 8


_roi_align.register_autograd(_backward, setup_context=_save_inputs)
