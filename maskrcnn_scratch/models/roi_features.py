"""From boxes to features of a fixed size: the level rule, then the RoI layer."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.config import ModelConfig

Maps = dict[int, Tensor]
"""Feature maps [images, channels, h, w] by level; level n has stride 2^n."""


def to_rois(boxes: list[Float[Tensor, "_n 4"]]) -> Float[Tensor, "rois 5"]:
    """The boxes of all images in one list: (image index, x1, y1, x2, y2)."""
    return torch.cat(
        [
            torch.cat([box.new_full((len(box), 1), image), box], dim=1)
            for image, box in enumerate(boxes)
        ]
    )


def roi_features(
    config: ModelConfig, maps: Maps, rois: Float[Tensor, "rois 5"], size: int
) -> Float[Tensor, "rois c size size"]:
    """Each RoI read from the level that fits it (Lin et al. 2017, equation 1).

    Of a pyramid P2 to P5 are read; P6 serves the RPN alone. A single map is every RoI's
    level.
    """
    chosen = [maps[level] for level in config.levels]
    scales = [2.0**-level for level in config.levels]
    rule = level_rule(config)
    if config.roi_layer == "align":
        return ops.multiscale_roi_align(
            chosen,
            rois,
            rule,
            (size, size),
            scales,
            sampling_ratio=config.roi_sampling_ratio,
            aligned=config.roi_aligned,
            mode=config.roi_reduce,
        )
    levels = ops.fpn_levels(rois[:, 1:], *rule) - rule.k_min
    if config.roi_layer == "corners":
        return corner_features(chosen, scales, rois, levels, size)
    return whole_cell_features(config, chosen, scales, rois, levels, size)


def level_rule(config: ModelConfig) -> ops.LevelRule:
    """Which box goes to which level."""
    return ops.LevelRule(
        k0=config.level_k0,
        canonical=config.level_canonical,
        k_min=config.levels[0],
        k_max=config.levels[-1],
        rounding=config.level_rounding,
    )


def whole_cell_features(
    config: ModelConfig,
    maps: list[Tensor],
    scales: list[float],
    rois: Float[Tensor, "rois 5"],
    levels: Int64[Tensor, " rois"],
    size: int,
) -> Float[Tensor, "rois c size size"]:
    """RoIPool or RoIWarp, which know one map at a time.

    On each level the RoIs of the others shrink to a cell and are thrown away: how many
    a level has would have to be asked of a GPU.
    """
    if config.roi_layer == "pool":
        layer = partial(ops.roi_pool, rounding=config.roi_rounding)
    else:
        layer = partial(
            ops.roi_warp,
            sampling_ratio=config.roi_sampling_ratio,
            mode=config.roi_reduce,
        )
    out = maps[0].new_zeros(())
    for level, (feature, scale) in enumerate(zip(maps, scales, strict=True)):
        own = levels == level
        boxes = torch.where(own[:, None], rois[:, 1:], 0)
        pooled = layer(feature, torch.cat([rois[:, :1], boxes], 1), size, scale)
        out = torch.where(own.view(-1, 1, 1, 1), pooled, out)
    return out


def corner_features(
    maps: list[Tensor],
    scales: list[float],
    rois: Float[Tensor, "rois 5"],
    levels: Int64[Tensor, " rois"],
    size: int,
) -> Float[Tensor, "rois c size size"]:
    """One point a bin; the first and the last lie on the centres of corner pixels.

    TensorFlow's crop_and_resize as matterport uses it: of pixel p of W, counted from 0,
    the map of V cells is read at cell p (V - 1) / (W - 1), and ``size`` points are
    spread from pixel x1 to pixel x2 - 1. RoIAlign with one sample a bin reads at cell
    x s - 1/2 + (i + 1/2) step, so shifted boxes make it read at those points.
    """
    ratios = rois.new_zeros(len(rois), 2)
    own_scale = rois.new_zeros(len(rois), 1)
    for level, (feature, scale) in enumerate(zip(maps, scales, strict=True)):
        own = (levels == level)[:, None]
        own_scale = torch.where(own, scale, own_scale)
        for axis, cells in enumerate((feature.shape[3], feature.shape[2])):
            ratio = (cells - 1) / (cells / scale - 1)
            ratios[:, axis] = torch.where(own[:, 0], ratio, ratios[:, axis])
    first, last = rois[:, 1:3] * ratios, (rois[:, 3:] - 1) * ratios
    step = (last - first) / (size - 1)
    start = (first + (1 - step) / 2) / own_scale
    moved = torch.cat([rois[:, :1], start, start + size * step / own_scale], dim=1)
    return ops.multiscale_roi_align(
        maps, moved, levels, (size, size), scales, sampling_ratio=1, aligned=True
    )
