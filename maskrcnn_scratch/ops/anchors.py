"""Anchors as tensors: the fixed boxes from which the RPN predicts.

What they are and where they come from is told in ``reference.anchors``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from maskrcnn_scratch.ops.checks import require_boxes, require_shape


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
    cell: Float[Tensor, "anchors 4"],
    stride: float | tuple[float, float],
    grid_size: tuple[int, int],
) -> Float[Tensor, "all_anchors 4"]:
    """The anchors of every cell of a feature map of ``grid_size`` (h, w) cells.

    In the order (h, w, A), on the device of ``cell``. ``stride`` is image pixels a
    cell, or those (down, across); the anchors in row i, column j are centred at
    (j stride, i stride).
    """
    require_boxes("cell", cell)
    down, across = stride if isinstance(stride, tuple) else (stride, stride)
    if not min(down, across) > 0:
        raise ValueError(f"stride must be positive, not {stride}")
    height, width = grid_size
    y = torch.arange(height, dtype=cell.dtype, device=cell.device) * down
    x = torch.arange(width, dtype=cell.dtype, device=cell.device) * across
    shifts = torch.stack(
        [x.expand(height, width), y[:, None].expand(height, width)], dim=2
    )
    return (shifts.repeat(1, 1, 2)[:, :, None] + cell).view(-1, 4)


def pyramid_anchors(
    cells: Float[Tensor, "levels anchors 4"],
    strides: Sequence[float],
    grid_sizes: Sequence[tuple[int, int]],
) -> list[Float[Tensor, "_level_anchors 4"]]:
    """``grid_anchors`` of every level of a pyramid, parts of one tensor.

    ``cells`` are the anchors of a cell of each level. On a GPU one launch.
    """
    require_shape("cells", cells, ("levels", "anchors", 4))
    if not len(cells) == len(strides) == len(grid_sizes):
        raise ValueError(
            f"{len(cells)} levels of cell anchors need as many strides and grid sizes, "
            f"not {len(strides)} and {len(grid_sizes)}"
        )
    heights, widths = [h for h, _ in grid_sizes], [w for _, w in grid_sizes]
    anchors: Tensor = _pyramid_anchors(cells, list(strides), heights, widths)
    counts = [h * w * cells.shape[1] for h, w in grid_sizes]
    return list(torch.split(anchors, counts))


@torch.library.custom_op(
    "maskrcnn_scratch::pyramid_anchors",
    mutates_args=(),
    schema="(Tensor cells, float[] strides, SymInt[] heights, SymInt[] widths) "
    "-> Tensor",
)
def _pyramid_anchors(
    cells: Tensor, strides: list[float], heights: list[int], widths: list[int]
) -> Tensor:
    levels = zip(cells, strides, heights, widths, strict=True)
    return torch.cat(
        [grid_anchors(cell, stride, (h, w)) for cell, stride, h, w in levels]
    )


@_pyramid_anchors.register_fake
def _(
    cells: Tensor, strides: list[float], heights: list[int], widths: list[int]
) -> Tensor:
    places = sum(h * w for h, w in zip(heights, widths, strict=True))
    return cells.new_empty((places * cells.shape[1], 4))
