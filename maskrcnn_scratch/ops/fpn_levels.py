"""Which level of the feature pyramid each RoI is read from (Lin et al. 2017, eq. 1)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskrcnn_scratch.ops.checks import require_boxes

Rounding = Literal["floor", "round"]


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
    if rounding not in ("floor", "round"):
        raise ValueError(f"rounding must be 'floor' or 'round', not {rounding!r}")
    width, height = (boxes[:, 2:] - boxes[:, :2]).double().unbind(1)
    k = k0 + torch.log2(torch.sqrt(width * height) / canonical) + eps
    whole = torch.floor(k) if rounding == "floor" else torch.round(k)
    has_area = (width > 0) & (height > 0)
    return torch.where(has_area, whole.clamp(k_min, k_max), k_min).long()
