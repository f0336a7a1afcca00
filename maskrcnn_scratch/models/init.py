"""How new layers start."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from maskrcnn_scratch.models.norms import Norm, make_norm

Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def zero_bias(layer: Layer) -> Layer:
    """The layer with a bias of zeros."""
    if layer.bias is None:
        raise ValueError(f"{layer} has no bias")
    nn.init.zeros_(layer.bias)
    return layer


def plain_conv(
    channels_in: int, channels_out: int, size: int, norm: Norm = "none"
) -> nn.Module:
    """A convolution that no activation follows (FPN), so its gain is 1."""
    layer = nn.Conv2d(channels_in, channels_out, size, padding=size // 2)
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")
    return normalised(layer, norm)


def relu_conv(
    channels_in: int, channels_out: int, size: int, norm: Norm = "none"
) -> nn.Module:
    """A convolution that a ReLU follows (He et al. 2015)."""
    layer = nn.Conv2d(channels_in, channels_out, size, padding=size // 2)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return normalised(layer, norm)


def normalised(layer: nn.Conv2d, norm: Norm) -> nn.Module:
    """With a bias, or with a norm behind it, which has a bias of its own."""
    if norm == "none":
        return zero_bias(layer)
    layer.register_parameter("bias", None)
    return nn.Sequential(layer, make_norm(norm, layer.out_channels))


def relu_linear(width_in: int, width_out: int) -> nn.Linear:
    """A fully connected layer that a ReLU follows."""
    layer = nn.Linear(width_in, width_out)
    nn.init.kaiming_uniform_(layer.weight, a=1)
    return zero_bias(layer)


def predictor(layer: Layer, std: float) -> Layer:
    """A last layer that starts near zero, so that training starts undecided."""
    nn.init.normal_(layer.weight, std=std)
    return zero_bias(layer)
