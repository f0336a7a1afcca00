"""ResNet and ResNeXt (He et al. 2016; Xie et al. 2017): image -> C2, C3, C4, C5.

Cn is the last output of stage n, 2^n times smaller than the image. Module names are
torchvision's, so its ImageNet weights load as they are. ReLU and the sum with the
shortcut work in place: fresh memory for each would cost more than the arithmetic.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.norms import make_norm

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def conv(
    channels_in: int, channels_out: int, size: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution without bias (a norm follows), padded to keep the size."""
    layer = nn.Conv2d(
        channels_in, channels_out, size, stride, size // 2, groups=groups, bias=False
    )
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, figure 5 left)."""

    expansion = 1

    def __init__(
        self, config: ModelConfig, channels_in: int, width: int, stride: int
    ) -> None:
        super().__init__()
        self.conv1 = conv(channels_in, width, 3, stride)
        self.bn1 = make_norm(config.norm, width, config.norm_eps)
        self.conv2 = conv(width, width, 3)
        self.bn2 = make_norm(config.norm, width, config.norm_eps)
        self.downsample = shortcut(config, channels_in, width, stride)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y))
        y += self.downsample(x)
        return torch.relu_(y)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut (figure 5 right).

    With groups > 1 it is ResNeXt's block (Xie et al. 2017, figure 3c).
    """

    expansion = 4

    def __init__(
        self, config: ModelConfig, channels_in: int, width: int, stride: int
    ) -> None:
        super().__init__()
        inner = width * config.width_per_group // 64 * config.groups
        first, second = (stride, 1) if config.stride_in_1x1 else (1, stride)
        self.conv1 = conv(channels_in, inner, 1, first)
        self.bn1 = make_norm(config.norm, inner, config.norm_eps)
        self.conv2 = conv(inner, inner, 3, second, config.groups)
        self.bn2 = make_norm(config.norm, inner, config.norm_eps)
        self.conv3 = conv(inner, 4 * width, 1)
        self.bn3 = make_norm(config.norm, 4 * width, config.norm_eps)
        self.downsample = shortcut(config, channels_in, 4 * width, stride)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        y = self.bn3(self.conv3(y))
        y += self.downsample(x)
        return torch.relu_(y)


def shortcut(
    config: ModelConfig, channels_in: int, channels_out: int, stride: int
) -> nn.Module:
    """The identity, or a 1x1 convolution where the shape changes."""
    if stride == 1 and channels_in == channels_out:
        return nn.Identity()
    return nn.Sequential(
        conv(channels_in, channels_out, 1, stride),
        make_norm(config.norm, channels_out, config.norm_eps),
    )


def stage(
    config: ModelConfig, number: int, channels_in: int, stride: int
) -> tuple[nn.Sequential, int]:
    """Res``number`` (2 to 5) and its output channels; ``stride`` in its first block."""
    block = BasicBlock if config.depth < 50 else Bottleneck
    width = config.stem_width << (number - 2)
    blocks, channels = nn.Sequential(), channels_in
    for index in range(BLOCKS[config.depth][number - 2]):
        blocks.append(block(config, channels, width, stride if index == 0 else 1))
        channels = width * block.expansion
    return blocks, channels


class ResNet(nn.Module):
    """The convolutional part of a ResNet, up to C5, or to C4 where res5 is a head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.stem_width
        self.conv1 = conv(3, channels, 7, stride=2)
        self.bn1 = make_norm(config.norm, channels, config.norm_eps)
        self.pool_is_centred = config.stem_pool == "centred"
        self.out_channels: list[int] = []
        self.last = 4 if config.features == "c4" else 5
        for number in range(2, self.last + 1):
            layer, channels = stage(config, number, channels, 1 if number == 2 else 2)
            self.add_module(f"layer{number - 1}", layer)
            self.out_channels.append(channels)
        # The stem counts as one stage and is two modules.
        parts = config.frozen_stages + 1 if config.frozen_stages else 0
        self.frozen = [self.conv1, self.bn1, *self.stages()][:parts]
        for part in self.frozen:
            part.requires_grad_(False)

    def stages(self) -> list[nn.Module]:
        """Res2 to the last."""
        return [
            cast(nn.Module, getattr(self, f"layer{number - 1}"))
            for number in range(2, self.last + 1)
        ]

    def train(self, mode: bool = True) -> ResNet:
        """Frozen parts stay in evaluation mode: their statistics must not move."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def forward(
        self, images: Float[Tensor, "n 3 h w"]
    ) -> list[Float[Tensor, "n c y x"]]:
        x = self.bn1(self.conv1(images)).relu_()
        if not self.pool_is_centred:
            x = F.pad(x, (0, 1, 0, 1))  # zeros, the least after a ReLU
        x = F.max_pool2d(x, 3, stride=2, padding=int(self.pool_is_centred))
        maps = []
        for layer in self.stages():
            x = layer(x)
            maps.append(x)
        return maps
