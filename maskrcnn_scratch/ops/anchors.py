"""Anchors as tensors: the fixed boxes from which the RPN predicts.

What they are and where they come from is told in ``reference.anchors``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from maskrcnn_scratch.ops.checks import require_boxes


def cell_anchors(
    sizes: Sequence[float], ratios: Sequence[float], rounded: bool = False
) -> Float[Tensor, "anchors 4"]:
    """The A anchors of one cell, centred at the origin: sizes outer, ratios inner.

    float32 on the CPU. A size is the square root of the area in pixels, a ratio is
    h / w; ``rounded`` brings the corners to whole pixels, halves to the even one.
    """
    if not all(value > 0 for value in (*sizes, *ratios)):
        raise ValueError(f"sizes and ratios must be positive, not {sizes} and {ratios}")
    half_sides = [
        (size / math.sqrt(ratio) / 2, size * math.sqrt(ratio) / 2)
        for size in sizes
        for ratio in ratios
    ]
    half = torch.tensor(half_sides, dtype=torch.float64).view(-1, 2)
    cell = torch.cat([-half, half], dim=1)
    return (cell.round() if rounded else cell).float()


def grid_anchors(
    cell: Float[Tensor, "anchors 4"], stride: float, grid_size: tuple[int, int]
) -> Float[Tensor, "all_anchors 4"]:
    """The anchors of every cell of a feature map of ``grid_size`` (h, w) cells.

    In the order (h, w, A), on the device of ``cell``. ``stride`` is image pixels a
    cell; the anchors in row i, column j are centred at (j stride, i stride).
    """
    require_boxes("cell", cell)
    if not stride > 0:
        raise ValueError(f"stride must be positive, not {stride}")
    height, width = grid_size
    y = torch.arange(height, dtype=cell.dtype, device=cell.device) * stride
    x = torch.arange(width, dtype=cell.dtype, device=cell.device) * stride
    shifts = torch.stack(
        [x.expand(height, width), y[:, None].expand(height, width)], dim=2
    )
    return (shifts.repeat(1, 1, 2)[:, :, None] + cell).view(-1, 4)
