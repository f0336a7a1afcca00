"""What the RoI layers do with tensors on a GPU; see ``on_gpu``.

The kernels read features channels last. In torch's channels_last memory format they are
read in place; others are copied to it once, for reading them across would fetch 32
bytes for every number. The output has the memory format of the features.

Under ``torch.use_deterministic_algorithms(True)`` gradients come from kernels without
atomic additions, the same bits in every run, and slower.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from maskrcnn_scratch.ops.formats import is_planar, shapes_of
from maskrcnn_scratch.ops.roi_align import _roi_align, _roi_align_backward
from maskrcnn_scratch.ops.roi_pool import (
    _roi_pool,
    _roi_pool_backward,
    _roi_pool_maxima,
)
from maskrcnn_scratch.ops.roi_warp import _roi_warp, _roi_warp_backward


def channels_inside(maps: Tensor) -> Tensor:
    """[N, C, H, W] as (N, H, W, C), contiguous: a copy of NCHW maps alone."""
    return maps.permute(0, 2, 3, 1).contiguous()


def channels_outside(maps: Tensor, planar: bool) -> Tensor:
    """(N, H, W, C) as [N, C, H, W], in memory too where ``planar``."""
    maps = maps.permute(0, 3, 1, 2)
    return maps.contiguous() if planar else maps


def like_maps(sizes: Sequence[int], grad: Tensor) -> Tensor:
    """What has the shape (N, H, W, C) and type of a map, and takes no memory."""
    images, channels, height, width = sizes
    return grad.new_empty(1).expand(images, height, width, channels)


def deterministic() -> bool:
    return torch.are_deterministic_algorithms_enabled()


@_roi_align.register_kernel("cuda")
def roi_align(
    features: list[Tensor],
    rois: Tensor,
    levels: Tensor | None,
    borders: list[float],
    height: int,
    width: int,
    scales: list[float],
    sampling_ratio: int,
    aligned: bool,
    mode: str,
) -> Tensor:
    from maskrcnn_scratch.cuda import roi_align as cuda

    bins = cuda.multiscale_roi_align(
        [channels_inside(maps) for maps in features],
        rois,
        (height, width),
        scales,
        tuple(borders),
        sampling_ratio,
        aligned,
        mode,
        levels,
    )
    return channels_outside(bins, is_planar(features[0]))


@_roi_align_backward.register_kernel("cuda")
def roi_align_backward(
    grad: Tensor,
    features: list[Tensor],
    rois: Tensor,
    levels: Tensor | None,
    borders: list[float],
    sizes: list[int],
    planar: bool,
    scales: list[float],
    sampling_ratio: int,
    aligned: bool,
) -> list[Tensor]:
    from maskrcnn_scratch.cuda import roi_align as cuda

    maps = [channels_inside(feature) for feature in features]
    shapes = [like_maps(shape, grad) for shape in shapes_of(sizes, grad)]
    d_maps = cuda.multiscale_roi_align_backward(
        channels_inside(grad),
        maps or shapes,
        rois,
        scales,
        tuple(borders),
        sampling_ratio,
        aligned,
        "max" if maps else "mean",
        levels,
        deterministic(),
    )
    return [channels_outside(d_map, planar) for d_map in d_maps]


@_roi_warp.register_kernel("cuda")
def roi_warp(
    features: Tensor,
    rois: Tensor,
    height: int,
    width: int,
    scale: float,
    sampling_ratio: int,
    mode: str,
) -> Tensor:
    from maskrcnn_scratch.cuda import roi_warp as cuda

    settings = ((height, width), scale, sampling_ratio, mode)
    bins = cuda.roi_warp(channels_inside(features), rois, *settings)
    return channels_outside(bins, is_planar(features))


@_roi_warp_backward.register_kernel("cuda")
def roi_warp_backward(
    grad: Tensor,
    features: Tensor | None,
    rois: Tensor,
    sizes: list[int],
    planar: bool,
    scale: float,
    sampling_ratio: int,
) -> Tensor:
    from maskrcnn_scratch.cuda import roi_warp as cuda

    maps = like_maps(sizes, grad) if features is None else channels_inside(features)
    mode = "mean" if features is None else "max"
    settings = (scale, sampling_ratio, mode, deterministic())
    d_maps = cuda.roi_warp_backward(channels_inside(grad), maps, rois, *settings)
    return channels_outside(d_maps, planar)


@_roi_pool.register_kernel("cuda")
def roi_pool(
    features: Tensor, rois: Tensor, height: int, width: int, scale: float, rounding: str
) -> tuple[Tensor, Tensor]:
    from maskrcnn_scratch.cuda import roi_pool as cuda

    maps, planar = channels_inside(features), is_planar(features)
    bins, argmax = cuda.roi_pool(maps, rois, (height, width), scale, rounding)
    return channels_outside(bins, planar), channels_outside(argmax, planar)


@_roi_pool_maxima.register_kernel("cuda")
def roi_pool_maxima(
    features: Tensor, rois: Tensor, height: int, width: int, scale: float, rounding: str
) -> Tensor:
    from maskrcnn_scratch.cuda import roi_pool as cuda

    settings = ((height, width), scale, rounding, False)
    bins, _ = cuda.roi_pool(channels_inside(features), rois, *settings)
    return channels_outside(bins, is_planar(features))


@_roi_pool_backward.register_kernel("cuda")
def roi_pool_backward(
    grad: Tensor, argmax: Tensor, rois: Tensor, sizes: list[int], planar: bool
) -> Tensor:
    from maskrcnn_scratch.cuda import roi_pool as cuda

    images, channels, height, width = sizes
    d_maps = cuda.roi_pool_backward(
        channels_inside(grad),
        channels_inside(argmax),
        rois,
        (images, height, width, channels),
        deterministic(),
    )
    return channels_outside(d_maps, planar)
