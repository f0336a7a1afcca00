"""How new layers start."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def zero_bias(layer: Layer) -> Layer:
    """The layer with a bias of zeros."""
    if layer.bias is None:
        raise ValueError(f"{layer} has no bias")
    nn.init.zeros_(layer.bias)
    return layer


def plain_conv(channels_in: int, channels_out: int, size: int) -> nn.Conv2d:
    """A convolution with bias that no activation follows (FPN), so its gain is 1."""
    layer = nn.Conv2d(channels_in, channels_out, size, padding=size // 2)
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")
    return zero_bias(layer)


def relu_conv(channels_in: int, channels_out: int, size: int) -> nn.Conv2d:
    """A convolution with bias that a ReLU follows (He et al. 2015)."""
    layer = nn.Conv2d(channels_in, channels_out, size, padding=size // 2)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return zero_bias(layer)


def predictor(layer: Layer, std: float) -> Layer:
    """A last layer that starts near zero, so that training starts undecided."""
    nn.init.normal_(layer.weight, std=std)
    return zero_bias(layer)
