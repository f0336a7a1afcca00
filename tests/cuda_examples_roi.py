"""Small calls of the CUDA floor's RoI layers; see ``cuda_examples``.

Three RoIs on two images: one inside, one across the border, one of no image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from maskrcnn_scratch.cpu.fpn_levels import area_borders
from maskrcnn_scratch.cuda.bilinear import bilinear, bilinear_grad, bilinear_naive
from maskrcnn_scratch.cuda.fpn_levels import fpn_levels
from maskrcnn_scratch.cuda.roi_align import (
    multiscale_roi_align,
    multiscale_roi_align_backward,
    roi_align,
    roi_align_backward,
    roi_align_backward_naive,
    roi_align_naive,
)
from maskrcnn_scratch.cuda.roi_pool import roi_pool, roi_pool_backward, roi_pool_naive
from maskrcnn_scratch.cuda.roi_warp import roi_warp, roi_warp_backward

ROIS = [[0.0, 2, 1, 9, 7], [1, 6, -3, 19, 14], [2, 0, 0, 4, 4]]
GRID = (1, 2)


def maps(device: str, dtype: torch.dtype, levels: int = 1) -> list[Tensor]:
    """A pyramid of two images with 3 channels, the finest map 8 x 6."""
    shapes = [(2, 8 >> level, 6 >> level, 3) for level in range(levels)]
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=generator).to(device, dtype) for s in shapes]


def bins(device: str, dtype: torch.dtype) -> Tensor:
    """A gradient by the output of a RoI layer."""
    shape = (len(ROIS), *GRID, 3)
    return torch.ones(shape, device=device, dtype=dtype)


def rois(device: str) -> Tensor:
    return torch.tensor(ROIS, device=device)


def one_level(layer: Callable[..., Any], *settings: Any) -> Any:
    """A layer's example: forward, features in."""

    def example(device: str, dtype: torch.dtype) -> Any:
        return layer(maps(device, dtype)[0], rois(device), GRID, 0.5, *settings)

    return example


def backward(layer: Callable[..., Any], *settings: Any, **named: Any) -> Any:
    """A layer's example: backward, gradients in."""

    def example(device: str, dtype: torch.dtype) -> Any:
        feature = maps(device, dtype)[0]
        grad = bins(device, dtype)
        return layer(grad, feature, rois(device), 0.5, *settings, **named)

    return example


def pyramid(mode: str, deterministic: bool | None = None) -> Any:
    """Both levels in one call; backward where ``deterministic`` is given."""

    def example(device: str, dtype: torch.dtype) -> Any:
        features, boxes = maps(device, dtype, 2), rois(device)
        settings = [0.5, 0.25], area_borders(1, 8.0, 1, 2), 2, True, mode
        if deterministic is None:
            return multiscale_roi_align(features, boxes, GRID, *settings)
        grad = bins(device, dtype)
        return multiscale_roi_align_backward(
            grad, features, boxes, *settings, deterministic=deterministic
        )

    return example


def points(device: str) -> Tensor:
    return torch.tensor([[0.5, 1.25], [-0.5, 5.5], [9.0, 0.0]], device=device)


def bilinear_backward(deterministic: bool) -> Any:
    def example(device: str, dtype: torch.dtype) -> Any:
        grad = torch.ones(3, 3, device=device, dtype=dtype)
        feature_map = maps(device, dtype)[0][0]
        return bilinear_grad(grad, feature_map, points(device), deterministic)

    return example


def pool_backward(deterministic: bool) -> Any:
    def example(device: str, dtype: torch.dtype) -> Any:
        feature, boxes = maps(device, dtype)[0], rois(device)
        _, argmax = roi_pool(feature, boxes, GRID, 0.5)
        grad, shape = bins(device, dtype), (2, 8, 6, 3)
        return roi_pool_backward(grad, argmax, boxes, shape, deterministic)

    return example


def wide(device: str, dtype: torch.dtype) -> Any:
    """A RoI with more points than tables hold: 40 bins of about 11 near the map."""
    boxes = torch.tensor([[0.0, -3e5, 1, 3e5, 4]], device=device)
    feature = maps(device, dtype)[0][..., :1]
    out = roi_align(feature, boxes, (1, 40), 0.5)
    return out, roi_align_backward(out, feature, boxes, 0.5)


EXAMPLES: dict[str, Callable[[str, torch.dtype], Any]] = {
    "bilinear": lambda device, dtype: bilinear(
        maps(device, dtype)[0][0], points(device)
    ),
    "bilinear_naive": lambda device, dtype: bilinear_naive(
        maps(device, dtype)[0][0], points(device)
    ),
    "bilinear_grad": bilinear_backward(False),
    "bilinear_grad, deterministic": bilinear_backward(True),
    "fpn_levels": lambda device, _: fpn_levels(rois(device)[:, 1:]),
    "roi_pool": one_level(roi_pool, "round", True),
    "roi_pool, no argmax": one_level(roi_pool, "floor", False),
    "roi_pool_naive": one_level(roi_pool_naive, "round"),
    "roi_pool_backward": pool_backward(False),
    "roi_pool_backward, deterministic": pool_backward(True),
    "roi_warp": one_level(roi_warp, 2, "mean"),
    "roi_warp_backward": backward(roi_warp_backward, 2, "mean"),
    "roi_align, adaptive": one_level(roi_align, 0, False, "mean"),
    "roi_align, wide": wide,
    "roi_align_naive, mean": one_level(roi_align_naive, 2, True, "mean"),
    "roi_align_naive, max": one_level(roi_align_naive, 2, True, "max"),
    "roi_align_backward": backward(roi_align_backward, 0, False, "mean"),
    "roi_align_backward_naive, mean": backward(roi_align_backward_naive, 2),
    "roi_align_backward_naive, max": backward(roi_align_backward_naive, 2, True, "max"),
    **{
        f"pyramid, {mode}, {kind}": pyramid(mode, deterministic)
        for mode in ("mean", "max")
        for kind, deterministic in {
            "forward": None,
            "backward": False,
            "deterministic": True,
        }.items()
    },
}
