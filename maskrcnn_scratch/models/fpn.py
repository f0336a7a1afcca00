"""Feature Pyramid Network (Lin et al. 2017, figure 3): C2..C5 -> P2..P6."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from maskrcnn_scratch.models.init import plain_conv
from maskrcnn_scratch.models.norms import Norm


class FPN(nn.Module):
    """Each level gets the meaning of the coarser levels at its own resolution.

    M5 = 1x1(C5); Mn = 1x1(Cn) + nearest-upsampled M(n+1); Pn = 3x3(Mn) against the
    aliasing of the upsampling; P6 is every second cell of P5, for the RPN alone.
    """

    def __init__(
        self, in_channels: list[int], channels: int, norm: Norm = "none"
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            plain_conv(c, channels, 1, norm) for c in in_channels
        )
        self.output = nn.ModuleList(
            plain_conv(channels, channels, 3, norm) for _ in in_channels
        )

    def forward(
        self, maps: list[Float[Tensor, "n _c _h _w"]]
    ) -> list[Float[Tensor, "n channels _h _w"]]:
        merged = [lateral(c) for lateral, c in zip(self.lateral, maps, strict=True)]
        for fine in range(len(merged) - 2, -1, -1):
            size = merged[fine].shape[-2:]
            coarse = F.interpolate(merged[fine + 1], size=size, mode="nearest")
            merged[fine] += coarse
        pyramid = [output(m) for output, m in zip(self.output, merged, strict=True)]
        return [*pyramid, F.max_pool2d(pyramid[-1], kernel_size=1, stride=2)]
