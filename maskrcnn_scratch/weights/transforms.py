"""How other systems lay out the same numbers, and how to bring them to our layout.

Ours: convolutions [out, in, height, width], linear layers [out, in], box deltas
(dx, dy, dw, dh), the background first among the class logits and nowhere else, images
RGB. Each function takes and returns tensors; the tests compute the layer both ways.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def drop_rows(tensor: Float[Tensor, " rows *rest"], count: int) -> Tensor:
    """Without the first rows: outputs for the background, which nobody reads."""
    return tensor[count:]


def background_first(tensor: Float[Tensor, " classes *rest"]) -> Tensor:
    """The background's row, the last, comes first."""
    return tensor.roll(1, dims=0)


def first_convolution(
    weight: Float[Tensor, "out 3 h w"], scale: Sequence[float], bgr: bool
) -> Float[Tensor, "out 3 h w"]:
    """A convolution that reads RGB, each channel divided by ``scale`` (R, G, B) first.

    What it computes of x / scale, with the channels turned where it was ``bgr``, is
    what the weight given computes of x. Padding is 0 before and after.
    """
    rgb = weight.flip(1) if bgr else weight
    return rgb * weight.new_tensor(scale).view(1, 3, 1, 1)


# Keras


def kernel(
    weight: Float[Tensor, "h w channels_in channels_out"],
) -> Float[Tensor, "channels_out channels_in h w"]:
    """A Conv2D's. Of a Conv2DTranspose, stored [h, w, out, in], it makes
    [in, out, h, w], which is what torch's transposed convolution wants."""
    return weight.permute(3, 2, 0, 1)


def dense_over_map(
    weight: Float[Tensor, "h w channels_in channels_out"],
) -> Float[Tensor, "channels_out inputs"]:
    """A convolution as large as its input as a linear layer on (C, H, W) flattened."""
    return kernel(weight).flatten(1)


def transposed(weight: Float[Tensor, "n_in n_out"]) -> Float[Tensor, "n_out n_in"]:
    """A Dense layer's."""
    return weight.transpose(0, 1)


def norm_scale(gamma: Tensor, variance: Tensor, eps: float) -> Float[Tensor, " c"]:
    """What batch norm multiplies by."""
    return gamma * (variance + eps).rsqrt()


def weight_with_norm(
    weight: Float[Tensor, " out *rest"], gamma: Tensor, variance: Tensor, eps: float
) -> Float[Tensor, " out *rest"]:
    """The weight of a layer (in our layout) with the batch norm behind it folded in."""
    scale = norm_scale(gamma, variance, eps)
    return weight * scale.view(-1, *[1] * (weight.dim() - 1))


def bias_with_norm(
    bias: Float[Tensor, " out"],
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    variance: Tensor,
    eps: float,
) -> Float[Tensor, " out"]:
    """The bias that goes with it: (bias - mean) scale + beta."""
    return (bias - mean) * norm_scale(gamma, variance, eps) + beta


def mean_less_bias(mean: Tensor, bias: Tensor) -> Float[Tensor, " c"]:
    """A convolution's bias, moved into the norm behind: (x + b) - m = x - (m - b)."""
    return mean - bias


def xy_order(tensor: Float[Tensor, " deltas *rest"]) -> Float[Tensor, " deltas *rest"]:
    """Outputs in groups (dy, dx, dh, dw) as groups (dx, dy, dw, dh)."""
    groups = tensor.view(-1, 4, *tensor.shape[1:])
    return groups[:, [1, 0, 3, 2]].flatten(0, 1)


# A norm that has no statistics, only scale and shift


def no_mean(scale: Tensor) -> Float[Tensor, " c"]:
    """The mean that shifts nothing."""
    return torch.zeros_like(scale)


def unit_variance(scale: Tensor, eps: float) -> Float[Tensor, " c"]:
    """The variance that, with eps added, scales by nothing."""
    return torch.full_like(scale, 1 - eps)


def no_count(mean: Tensor) -> Int64[Tensor, ""]:
    """The number of batches that a norm with this mean has counted, if it has not."""
    return torch.zeros((), dtype=torch.int64, device=mean.device)
