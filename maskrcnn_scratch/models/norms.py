"""Normalisation over channels: batch norm, trained or frozen, and group norm."""

from __future__ import annotations

from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

Norm = Literal["none", "frozen_bn", "bn", "gn"]


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with fixed statistics and affine: y = x * scale + shift.

    Detection batches are too small to estimate statistics from, so the paper keeps
    those of ImageNet (section 3.1). All four tensors are buffers: nothing is trained.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        scale, shift = (v.to(x.dtype).view(-1, 1, 1) for v in scale_and_shift(self))
        return torch.addcmul(shift, x, scale)  # in one pass through memory


def scale_and_shift(norm: FrozenBatchNorm2d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What a batch norm with fixed statistics does: y = x * scale + shift."""
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return scale, norm.bias - mean * scale


def make_norm(kind: Norm, channels: int, eps: float = 1e-5) -> nn.Module:
    """The normalisation of that name over ``channels``."""
    if kind == "none":
        return nn.Identity()
    if kind == "frozen_bn":
        return FrozenBatchNorm2d(channels, eps)
    if kind == "bn":
        return nn.BatchNorm2d(channels, eps=eps)
    return nn.GroupNorm(min(32, channels // 4), channels, eps=eps)
