"""RoIAlign: features read at exact places, nothing rounded; one map or a pyramid.

Mask R-CNN, section 3; every rule is spelled out in ``reference.roi_align``. Features
are (images, height, width, channels), float32, float16 or bfloat16, with any strides:
NCHW tensors come as permuted views, and are computed right, but then neighbouring
threads read features a whole map apart, and each read fetches 32 bytes for one number.
RoIs are (n, 5) = (image index, x1, y1, x2, y2) in image pixels; a RoI of no image, or
of no level, gives NaN, and no gradient. Sums are float32.

All levels of a pyramid are read in one launch: the kernel finds each RoI's level by its
area and writes each row in its place, so that nothing is sorted, gathered, scattered or
waited for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from maskrcnn_scratch.cpu.fpn_levels import Borders
from maskrcnn_scratch.cuda.roi_bins import (
    places,
    read_bins,
    read_naively,
    spread_bins,
    spread_naively,
)
from maskrcnn_scratch.cuda.taps import ALIGNED, LEGACY


def roi_align(
    features: Tensor,
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
    mode: str = "mean",
) -> Tensor:
    """Each RoI as a grid of bins: (n, out_h, out_w, channels), of the features' type.

    ``spatial_scale`` is 1 / stride; ``sampling_ratio`` is the points a bin and axis, 0
    or less for adaptive; ``mode`` is "mean" or "max".
    """
    return multiscale_roi_align(
        [features],
        rois,
        output_size,
        [spatial_scale],
        (),
        sampling_ratio,
        aligned,
        mode,
    )


def multiscale_roi_align(
    features: Sequence[Tensor],
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scales: Sequence[float],
    borders: Borders,
    sampling_ratio: int = 2,
    aligned: bool = True,
    mode: str = "mean",
    levels: Tensor | None = None,
) -> Tensor:
    """RoIAlign of each RoI on its own level of a pyramid, in one launch.

    A RoI's level is the number of ``borders`` at or below its area; ``area_borders``
    has them. ``levels``, (n,) integers, overrules them.
    """
    placement = ALIGNED if aligned else LEGACY
    where = places(rois, spatial_scales, levels, borders, sampling_ratio, placement)
    return read_bins(features, where, output_size, mode)


def roi_align_backward(
    grad: Tensor,
    features: Tensor,
    rois: Tensor,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
    mode: str = "mean",
    deterministic: bool = False,
) -> Tensor:
    """The gradient by the features, of their type, given ``grad`` by the output."""
    (d_features,) = multiscale_roi_align_backward(
        grad,
        [features],
        rois,
        [spatial_scale],
        (),
        sampling_ratio,
        aligned,
        mode,
        deterministic=deterministic,
    )
    return d_features


def multiscale_roi_align_backward(
    grad: Tensor,
    features: Sequence[Tensor],
    rois: Tensor,
    spatial_scales: Sequence[float],
    borders: Borders,
    sampling_ratio: int = 2,
    aligned: bool = True,
    mode: str = "mean",
    levels: Tensor | None = None,
    deterministic: bool = False,
) -> list[Tensor]:
    """The gradients by the features, of their types, given ``grad`` by the output.

    Of the features the mean needs the shapes alone. Additions are atomic, and float32
    sums depend on their order, so runs differ in the last bits; ``deterministic`` is
    slower and gives the same bits every time.
    """
    placement = ALIGNED if aligned else LEGACY
    where = places(rois, spatial_scales, levels, borders, sampling_ratio, placement)
    return spread_bins(grad, features, where, mode, deterministic)


def roi_align_naive(
    features: Tensor,
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
    mode: str = "mean",
) -> Tensor:
    """``roi_align`` by a thread an output: the first rung of the ladder."""
    placement = ALIGNED if aligned else LEGACY
    where = places(rois, [spatial_scale], None, (), sampling_ratio, placement)
    out = features.new_empty((len(rois), *output_size, features.shape[3]))
    read_naively([features], where, mode, 0, out)
    return out


def roi_align_backward_naive(
    grad: Tensor,
    features: Tensor,
    rois: Tensor,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
    mode: str = "mean",
) -> Tensor:
    """``roi_align_backward`` by a thread an output."""
    placement = ALIGNED if aligned else LEGACY
    where = places(rois, [spatial_scale], None, (), sampling_ratio, placement)
    d_features = torch.zeros(features.shape, device=grad.device)
    spread_naively(grad, [features], where, mode, 0, [d_features])
    return d_features.to(features.dtype)
