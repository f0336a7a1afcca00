"""ResNet and ResNeXt (He et al. 2016; Xie et al. 2017): image -> C2, C3, C4, C5.

Cn is the last output of stage n, 2^n times smaller than the image. Module names are
torchvision's, so its ImageNet weights load as they are. ReLU and the sum with the
shortcut work in place: fresh memory for each would cost more than the arithmetic.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskrcnn_scratch.models.config import ModelConfig

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


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


def make_norm(config: ModelConfig, channels: int) -> nn.Module:
    """The normalisation that the config names, over ``channels``."""
    if config.norm == "frozen_bn":
        return FrozenBatchNorm2d(channels, config.norm_eps)
    if config.norm == "bn":
        return nn.BatchNorm2d(channels, eps=config.norm_eps)
    return nn.GroupNorm(min(32, channels // 4), channels, eps=config.norm_eps)


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
        self.bn1 = make_norm(config, width)
        self.conv2 = conv(width, width, 3)
        self.bn2 = make_norm(config, width)
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
        self.bn1 = make_norm(config, inner)
        self.conv2 = conv(inner, inner, 3, second, config.groups)
        self.bn2 = make_norm(config, inner)
        self.conv3 = conv(inner, 4 * width, 1)
        self.bn3 = make_norm(config, 4 * width)
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
        conv(channels_in, channels_out, 1, stride), make_norm(config, channels_out)
    )


class ResNet(nn.Module):
    """The convolutional part of a ResNet."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.stem_width
        self.conv1 = conv(3, width, 7, stride=2)
        self.bn1 = make_norm(config, width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        block = BasicBlock if config.depth < 50 else Bottleneck
        channels = width
        self.out_channels: list[int] = []
        for stage, blocks in enumerate(BLOCKS[config.depth]):
            layer = nn.Sequential()
            for index in range(blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                layer.append(block(config, channels, width << stage, stride))
                channels = (width << stage) * block.expansion
            self.add_module(f"layer{stage + 1}", layer)
            self.out_channels.append(channels)
        self.frozen = [self.conv1, self.bn1, *self.stages()][
            : self._frozen_parts(config)
        ]
        for part in self.frozen:
            part.requires_grad_(False)

    @staticmethod
    def _frozen_parts(config: ModelConfig) -> int:
        """The stem counts as one stage and is two modules."""
        return config.frozen_stages + 1 if config.frozen_stages else 0

    def stages(self) -> list[nn.Module]:
        """Res2 to res5."""
        return [cast(nn.Module, getattr(self, f"layer{n}")) for n in (1, 2, 3, 4)]

    def train(self, mode: bool = True) -> ResNet:
        """Frozen parts stay in evaluation mode: their statistics must not move."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def forward(
        self, images: Float[Tensor, "n 3 h w"]
    ) -> list[Float[Tensor, "n c y x"]]:
        x = self.maxpool(self.bn1(self.conv1(images)).relu_())
        maps = []
        for stage in self.stages():
            x = stage(x)
            maps.append(x)
        return maps
