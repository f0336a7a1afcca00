"""Launches that RoIAlign and RoIWarp share: bins read, and gradients sent back.

They differ in where a RoI's borders are placed, and in nothing else: ``placement`` is
ALIGNED, LEGACY or WARPED of ``taps``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maskrcnn_scratch.cpu.fpn_levels import Borders
from maskrcnn_scratch.cuda.fpn_levels import at_least_one
from maskrcnn_scratch.cuda.launch import block_size, ceil_div, launch
from maskrcnn_scratch.cuda.roi_align_naive import naive_backward_kernel, naive_kernel
from maskrcnn_scratch.cuda.roi_gather import RUN, gather_kernel, max_gather_kernel
from maskrcnn_scratch.cuda.roi_max import max_kernel, max_spread_kernel
from maskrcnn_scratch.cuda.roi_mean import ROWS, mean_kernel
from maskrcnn_scratch.cuda.roi_spread import spread_kernel
from maskrcnn_scratch.cuda.roi_tables import POINTS

BLOCKS = 2048  # wanted at least: 132 multiprocessors of an H100 hold half of them
SLOTS = 8  # blocks at most that share the rows of one RoI, backward


class Places(NamedTuple):
    """Where RoIs are read: what every kernel takes after features or gradients."""

    rois: Tensor
    spatial_scales: tuple[float, ...]
    levels: Tensor
    borders: Borders
    sampling_ratio: int
    placement: int


def places(
    rois: Tensor,
    spatial_scales: Sequence[float],
    levels: Tensor | None,
    borders: Borders,
    sampling_ratio: int,
    placement: int,
) -> Places:
    """``Places``, with the empty stand-ins that kernels expect."""
    if levels is None:
        levels = torch.empty(0, dtype=torch.int64, device=rois.device)
    scales = tuple(spatial_scales)
    borders = at_least_one(borders)
    return Places(rois, scales, levels, borders, sampling_ratio, placement)


def read_bins(
    features: Sequence[Tensor], where: Places, output_size: tuple[int, int], mode: str
) -> Tensor:
    """The mean or maximum of each bin: (n, out_h, out_w, channels)."""
    n, channels = len(where.rois), features[0].shape[3]
    out = features[0].new_empty((n, *output_size, channels))
    threads = block_size(channels)
    parts = ceil_div(channels, threads)
    rows = rows_a_block(n * output_size[0] * parts, output_size[0])
    blocks = n * ceil_div(output_size[0], rows), parts
    kernel = mean_kernel if mode == "mean" else max_kernel
    launch(kernel, blocks, threads, tuple(features), *where, rows, out)
    if may_be_wide(where, features, rows, output_size[1]):
        read_naively(features, where, mode, rows, out)
    return out


def rows_a_block(rows: int, bins_y: int) -> int:
    """Rows of bins that one block reads, of ``rows`` in all."""
    return min(max(1, rows // BLOCKS), bins_y, ROWS)


def read_naively(
    features: Sequence[Tensor], where: Places, mode: str, spared: int, out: Tensor
) -> None:
    """``read_bins`` by a thread an output; see ``naive_kernel`` for ``spared``."""
    threads = block_size(out.numel())
    blocks = ceil_div(out.numel(), threads)
    maps = tuple(features)
    launch(naive_kernel, blocks, threads, maps, *where, mode == "max", spared, out)


def may_be_wide(
    where: Places, features: Sequence[Tensor], bins_y: int, bins_x: int
) -> bool:
    """Whether some RoI may have more points than the tables of a block hold.

    Adaptive points are at most a cell apart, and at least half a cell where a bin has
    several, so a bin looks at no more than twice the map's cells.
    """
    most = [where.sampling_ratio] * 2
    if where.sampling_ratio <= 0:
        most = [2 * max(f.shape[axis] for f in features) + 6 for axis in (1, 2)]
    return bins_y * most[0] > POINTS or bins_x * most[1] > POINTS


def spread_bins(
    grad: Tensor,
    features: Sequence[Tensor],
    where: Places,
    mode: str,
    deterministic: bool,
) -> list[Tensor]:
    """The transpose of ``read_bins``: the gradients by the features, of their types."""
    if deterministic:
        return [
            gather_bins(grad, feature, where, mode, level)
            for level, feature in enumerate(features)
        ]
    d_maps = tuple(torch.zeros(f.shape, device=grad.device) for f in features)
    n, bins_y, bins_x, channels = grad.shape
    threads = block_size(channels)
    parts = ceil_div(channels, threads)
    if mode == "mean":
        slots = min(max(1, BLOCKS // max(1, n * parts)), SLOTS)
        blocks = n * slots, parts
        launch(spread_kernel, blocks, threads, grad, *where, slots, d_maps)
        rows = bins_y
    else:
        rows = rows_a_block(n * bins_y * parts, bins_y)
        blocks = n * ceil_div(bins_y, rows), parts
        maps = tuple(features)
        launch(max_spread_kernel, blocks, threads, grad, maps, *where, rows, d_maps)
    if may_be_wide(where, features, rows, bins_x):
        spread_naively(grad, features, where, mode, rows, d_maps)
    return [d.to(f.dtype) for d, f in zip(d_maps, features, strict=True)]


def gather_bins(
    grad: Tensor, feature: Tensor, where: Places, mode: str, level: int
) -> Tensor:
    """The gradient by one level's features, by kernels without atomic additions."""
    d_map = torch.empty(feature.shape, device=grad.device)
    images, height, width, channels = feature.shape
    threads = block_size(channels)
    blocks = images * height * ceil_div(width, RUN), ceil_div(channels, threads)
    if mode == "mean":
        launch(gather_kernel, blocks, threads, grad, *where, level, d_map)
    else:
        arrays = grad, feature
        launch(max_gather_kernel, blocks, threads, *arrays, *where, level, d_map)
    return d_map.to(feature.dtype)


def spread_naively(
    grad: Tensor,
    features: Sequence[Tensor],
    where: Places,
    mode: str,
    spared: int,
    d_maps: Sequence[Tensor],
) -> None:
    """``spread_bins`` by a thread an output, added to float32 ``d_maps``."""
    threads = block_size(grad.numel())
    blocks = ceil_div(grad.numel(), threads)
    ends: tuple[Any, ...] = mode == "max", spared, tuple(d_maps)
    launch(naive_backward_kernel, blocks, threads, grad, tuple(features), *where, *ends)
