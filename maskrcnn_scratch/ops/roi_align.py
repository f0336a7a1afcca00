"""RoIAlign as a differentiable operator, for one feature map or a pyramid.

Mask R-CNN, section 3; every rule is spelled out in ``reference.roi_align``. Boxes are
(x1, y1, x2, y2) in image pixels. Gradients reach the features, not the boxes, as in all
published systems.

The output has the memory format of the features (``formats``): channels_last, the
fastest, or NCHW. bfloat16 and float16 are summed in float32 and rounded once at the
end. RoIs are placed in their own float32 or float64, whatever the features' type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskrcnn_scratch.cpu import roi_align as cpu
from maskrcnn_scratch.cpu.compiled import Array
from maskrcnn_scratch.cpu.fpn_levels import Borders
from maskrcnn_scratch.ops.arrays import to_array, workers
from maskrcnn_scratch.ops.checks import require_range
from maskrcnn_scratch.ops.formats import (
    empty_maps,
    from_maps_array,
    in_order,
    is_planar,
    maps_array,
    rois_array,
    shapes_of,
)
from maskrcnn_scratch.ops.fpn_levels import LevelRule, levels_by_area
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

NO_BORDER = (math.nan,)
"""No area reaches it. (torch takes an empty list of numbers for one of tensors.)"""


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
    one_level = LevelRule(k_min=0, k_max=0)
    return multiscale_roi_align(
        [input],
        boxes,
        one_level,
        output_size,
        [spatial_scale],
        sampling_ratio,
        aligned,
        mode,
    )


def multiscale_roi_align(
    features: Sequence[Float[Tensor, "images channels _height _width"]],
    boxes: Boxes,
    levels: Int64[Tensor, " rois"] | LevelRule,
    output_size: OutputSize,
    spatial_scales: Sequence[float],
    sampling_ratio: int = 2,
    aligned: bool = True,
    mode: Mode = "mean",
) -> Float[Tensor, "rois channels out_h out_w"]:
    """RoIAlign of each RoI on its own level of a pyramid, in one operator.

    ``levels`` index ``features`` and ``spatial_scales`` (1 / stride each); or they are
    the rule by which a box's area decides, k_min standing for the first of the levels.
    On a GPU the kernel applies it, and no tensor of levels is made.
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
    given: Tensor | None = None
    borders: Borders = ()
    if isinstance(levels, LevelRule):
        borders = levels.borders
        if len(borders) + 1 != len(features):
            raise ValueError(
                f"the rule has {len(borders) + 1} levels, but there are {len(features)}"
            )
    else:
        given = levels
        require_levels(levels, len(rois))
    require_mode(mode)
    height, width = as_pair(output_size)
    out: Tensor = _roi_align(
        list(features),
        rois,
        given,
        list(borders or NO_BORDER),
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
    schema="(Tensor[] features, Tensor rois, Tensor? levels, float[] borders, "
    "int height, int width, float[] scales, int sampling_ratio, bool aligned, "
    "str mode) -> Tensor",
)
def _roi_align(
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
    require_images(rois.cpu(), len(features[0]))
    planar = is_planar(features[0])
    planar_kernel = planar and mode == "mean"
    out = cpu.roi_align(
        [maps_array(maps, planar_kernel, mode == "mean") for maps in features],
        rois_array(rois),
        level_array(rois, levels, borders, len(features)),
        (height, width),
        scales,
        sampling_ratio,
        aligned,
        mode,
        workers(),
        planar_kernel,
    )
    bins = from_maps_array(out, planar_kernel, features[0])
    return bins.contiguous() if planar else bins


@_roi_align.register_fake
def _(
    features: list[Tensor],
    rois: Tensor,
    levels: Tensor | None,
    borders: list[float],
    height: int,
    width: int,
    *settings: object,
) -> Tensor:
    sizes = (rois.shape[0], features[0].shape[1], height, width)
    return empty_maps(sizes, is_planar(features[0]), features[0])


@torch.library.custom_op(
    "maskrcnn_scratch::roi_align_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor[] features, Tensor rois, Tensor? levels, "
    "float[] borders, SymInt[] sizes, bool planar, float[] scales, int sampling_ratio, "
    "bool aligned) -> Tensor[]",
)
def _roi_align_backward(
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
    """The gradients by maps of ``sizes``: N, then H and W of each level.

    Only the maximum needs the ``features`` themselves; for the mean there are none, so
    that it keeps no map alive between forward and backward.
    """
    planar_kernel = planar and not features
    d_features = cpu.roi_align_backward(
        maps_array(grad, planar_kernel, not features),
        [maps_array(maps, False, False) for maps in features] or None,
        [in_order(shape, planar_kernel) for shape in shapes_of(sizes, grad)],
        rois_array(rois),
        level_array(rois, levels, borders, len(sizes) // 2),
        scales,
        sampling_ratio,
        aligned,
        workers(),
        planar_kernel,
    )
    maps = [from_maps_array(d_map, planar_kernel, grad) for d_map in d_features]
    return [d_map.contiguous() for d_map in maps] if planar else maps


@_roi_align_backward.register_fake
def _(
    grad: Tensor,
    features: list[Tensor],
    rois: Tensor,
    levels: Tensor | None,
    borders: list[float],
    sizes: list[int],
    planar: bool,
    *settings: object,
) -> list[Tensor]:
    return [empty_maps(shape, planar, grad) for shape in shapes_of(sizes, grad)]


def level_array(
    rois: Tensor, levels: Tensor | None, borders: list[float], count: int
) -> Array:
    """The level of each RoI: the one given, or the one that its area has."""
    if levels is None:
        levels = levels_by_area(rois[:, 1:], tuple(borders))
    require_range("levels", levels.cpu(), count)
    return to_array(levels)


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, rois, levels, borders, _, _, *settings, mode = inputs
    ctx.borders, ctx.settings = borders, settings
    ctx.planar = is_planar(features[0])
    sides = [side for maps in features for side in maps.shape[2:]]
    ctx.sizes = [features[0].shape[0], *sides]
    ctx.save_for_backward(rois, levels, *(features if mode == "max" else ()))


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    rois, levels, *features = ctx.saved_tensors
    where = (rois, levels, ctx.borders, ctx.sizes, ctx.planar)
    d_features = _roi_align_backward(grad, features, *where, *ctx.settings)
    return d_features, *[None] * 9


_roi_align.register_autograd(_backward, setup_context=_save_inputs)
