"""Rows of a loss that count more, less, or not at all.

A row is all that shares the first index: an anchor, a RoI. With weights w, a sum is of
w_i times row i's losses; a mean is that sum, divided by the sum of the weights and by
the elements a row has, and 0 where no row counts. What stands in a row of weight 0, NaN
or a label that names no class, changes nothing, and its gradient is exactly 0. So rows
may pad a list to a fixed length, and nobody has to ask a GPU how many there are.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from maskrcnn_scratch.ops.checks import (
    require_floating,
    require_length,
    require_shape,
    values_can_be_checked,
)

Weights = Float[Tensor, " rows"] | None


def require_weights(weights: Tensor | None, logits: Tensor) -> None:
    """Refuse weights that are not one number, 0 or more, for each row."""
    if weights is None:
        return
    require_shape("weights", weights, ("n",))
    require_floating("weights", weights)
    require_length("weights", weights, "rows", len(logits) if logits.ndim else 0)
    if values_can_be_checked(weights) and bool((weights < 0).any()):
        raise ValueError(f"weights must not be negative, not {float(weights.min())}")


def weighted_sum(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Of all elements, each times its row's weight."""
    if weights is None:
        return losses.sum()
    return (losses * beside(losses, weights)).sum()


def weighted_mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """The mean; 0 of nothing, where ``Tensor.mean`` gives NaN."""
    if weights is None:
        return losses.sum() / max(losses.numel(), 1)
    count = weights.sum() * math.prod(losses.shape[1:])
    return weighted_sum(losses, weights) / count.masked_fill(count == 0, 1)


def without_padding(x: Tensor, weights: Tensor | None) -> Tensor:
    """``x`` with zeros in the rows of weight 0, which get no gradient.

    To multiply by 0 afterwards would not do: 0 times NaN is NaN.
    """
    return x if weights is None else x.masked_fill(beside(x, weights) == 0, 0)


def beside(x: Tensor, weights: Tensor) -> Tensor:
    """The weights in a shape that goes with the rows of ``x``."""
    return weights.reshape(-1, *[1] * (x.ndim - 1))
