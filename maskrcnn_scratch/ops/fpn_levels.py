"""Which level of the feature pyramid each RoI is read from (Lin et al. 2017, eq. 1)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskrcnn_scratch.cpu.fpn_levels import Borders, area_borders
from maskrcnn_scratch.ops.checks import require_boxes

Rounding = Literal["floor", "round"]


class LevelRule(NamedTuple):
    """The settings of ``fpn_levels``, for operators that choose levels themselves."""

    k0: int = 4
    canonical: float = 224.0
    k_min: int = 2
    k_max: int = 5
    rounding: Rounding = "floor"
    eps: float = 0.0

    @property
    def borders(self) -> Borders:
        """The areas in pixels from which on a box is on the next level."""
        borders: Borders = _borders(*self)
        return borders


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _borders(
    k0: int, canonical: float, k_min: int, k_max: int, rounding: str, eps: float
) -> Borders:
    """For ``torch.compile``: to be called, not to be traced."""
    return area_borders(k0, canonical, k_min, k_max, rounding, eps)


def levels_by_area(
    boxes: Float[Tensor, "n 4"], borders: Borders
) -> Int64[Tensor, " n"]:
    """How many borders are at or below each box's area: its level, counted from 0.

    0 for an empty box, or one with a NaN.
    """
    width, height = (boxes[:, 2:] - boxes[:, :2]).double().unbind(1)
    area = torch.where((width > 0) & (height > 0), width * height, 0)
    level = torch.zeros_like(area, dtype=torch.int64)
    for border in borders:
        level += area >= border
    return level


@torch.no_grad()
def fpn_levels(
    boxes: Float[Tensor, "n 4"],
    k0: int = 4,
    canonical: float = 224.0,
    k_min: int = 2,
    k_max: int = 5,
    rounding: Rounding = "floor",
    eps: float = 0.0,
) -> Int64[Tensor, " n"]:
    """k = floor(k0 + log2(sqrt(w h) / canonical) + eps), within k_min..k_max.

    ``rounding="round"`` takes the nearest level, halves to the even one. ``eps`` is the
    1e-6 by which torchvision keeps float32 rounding from pulling a box of exactly
    112 or 224 pixels one level down; here the arithmetic is float64 and needs none.
    An empty box, or one with a NaN, goes to k_min.
    """
    require_boxes("boxes", boxes)
    rule = LevelRule(k0, canonical, k_min, k_max, rounding, eps)
    return levels_by_area(boxes, rule.borders) + k_min
