"""Random inputs of the cases: pyramids, boxes and RoIs, the same in every process."""

from __future__ import annotations

import torch
from torch import Tensor

from maskrcnn_scratch.benchmarks.cases import Sizes

STRIDES = (4, 8, 16, 32)
"""Image pixels a cell, P2 to P5."""


def generator(seed: int = 0) -> torch.Generator:
    """On the CPU, so that all devices get the same numbers."""
    return torch.Generator().manual_seed(seed)


def feature_map(sizes: Sizes, stride: int, device: torch.device) -> Tensor:
    """[1, C, ceil(H / stride), ceil(W / stride)], normally distributed."""
    height, width = (-(-side // stride) for side in sizes.image)
    shape = (1, sizes.channels, height, width)
    return torch.randn(shape, generator=generator(stride)).to(device)


def spread_boxes(count: int, image: tuple[int, int], seed: int = 0) -> Tensor:
    """Boxes of all sizes and places: xyxy in pixels, within the image.

    Sides are 16 to 512 pixels, evenly distributed on a logarithmic scale as are ratios
    of 1/2 to 2, so that every level of a pyramid has its share; centres anywhere.
    """
    random = torch.rand(4, count, generator=generator(seed))
    height, width = image
    side = 16 * 32 ** random[0]
    ratio = 2 ** (random[1] - 0.5)
    x, y = random[2] * width, random[3] * height
    half_w, half_h = side / ratio / 2, side * ratio / 2
    corners = [x - half_w, y - half_h, x + half_w, y + half_h]
    limits = [width, height, width, height]
    clipped = [c.clamp(0, most) for c, most in zip(corners, limits, strict=True)]
    return torch.stack(clipped, dim=1)


def clustered_boxes(count: int, image: tuple[int, int], seed: int = 0) -> Tensor:
    """Boxes as a trained RPN proposes them: twenty or so around each object."""
    around = spread_boxes(max(count // 20, 1), image, seed)
    random = generator(seed + 1)
    which = torch.randint(len(around), (count,), generator=random)
    chosen = around[which]
    sides = (chosen[:, 2:] - chosen[:, :2]).repeat(1, 2)
    moved = chosen + 0.05 * sides * torch.randn(count, 4, generator=random)
    height, width = image
    x = moved[:, 0::2].clamp(0, width).sort(dim=1).values
    y = moved[:, 1::2].clamp(0, height).sort(dim=1).values
    return torch.stack([x, y], dim=2).flatten(1)


def scores(count: int, device: torch.device) -> Tensor:
    """In 0..1, all different: of equal ones any order would be right."""
    order = torch.randperm(count, generator=generator(count))
    return ((order + 0.5) / count).to(device)


def covered_bytes(feature: Tensor, boxes: Tensor, stride: int) -> int:
    """Bytes of the cells that lie under some box, each counted once."""
    under = torch.zeros(feature.shape[-2:], dtype=torch.bool)
    for x1, y1, x2, y2 in (boxes.cpu() / stride).tolist():
        under[int(y1) : int(y2) + 2, int(x1) : int(x2) + 2] = True
    return int(under.sum()) * feature.shape[1] * feature.element_size()
