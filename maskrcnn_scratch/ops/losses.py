"""The losses of Mask R-CNN, from elementary functions; autograd does the rest.

The formulas, with gradients by hand, are in ``reference.losses``. Logits are scores
before softmax or sigmoid. Means are over all elements; of no elements a loss is 0, and
still part of the graph.

``weights``, one a row, let rows count more, less or not at all: see ``weighting``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskrcnn_scratch.ops.checks import (
    require_floating,
    require_integers,
    require_length,
    require_range,
    require_shape,
)
from maskrcnn_scratch.ops.fused_losses import mask_loss_on_gpu
from maskrcnn_scratch.ops.weighting import (
    Weights,
    require_weights,
    weighted_mean,
    weighted_sum,
    without_padding,
)


def softmax_cross_entropy(
    logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"], weights: Weights = None
) -> Float[Tensor, ""]:
    """L_cls: the mean of -log softmax(x)_u, u the true class in 0..k-1."""
    require_shape("logits", logits, ("n", "k"))
    labels = _known_labels(labels, logits, logits.shape[1], weights)
    logits = without_padding(logits, weights)
    # Taking the greatest logit from all changes nothing and prevents overflow.
    shifted = logits - logits.detach().amax(dim=1, keepdim=True)
    log_sum = torch.log(torch.exp(shifted).sum(dim=1))
    true_class = shifted.gather(1, labels[:, None])[:, 0]
    return weighted_mean(log_sum - true_class, weights)


def smooth_l1_loss(
    x: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    beta: float,
    weights: Weights = None,
) -> Float[Tensor, ""]:
    """L_box: the sum over all elements of smooth-L1 of d = x - target.

    d^2 / (2 beta) where abs(d) < beta, elsewhere abs(d) - beta / 2 (Girshick 2015,
    equation 3, has beta = 1). beta = 0 is L1.
    """
    _require_same_shape("x", x, "target", target)
    if not beta >= 0:
        raise ValueError(f"beta must be at least 0, not {beta}")
    require_weights(weights, x)
    x, target = without_padding(x, weights), without_padding(target, weights)
    distance = torch.abs(x - target)
    if beta == 0:  # d^2 / 0 would put NaN into the gradient even where not chosen
        return weighted_sum(distance, weights)
    near = distance**2 / (2 * beta)
    losses = torch.where(distance < beta, near, distance - beta / 2)
    return weighted_sum(losses, weights)


def sigmoid_cross_entropy(
    logits: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    weights: Weights = None,
) -> Float[Tensor, ""]:
    """The mean of -t log p - (1 - t) log(1 - p), with p = sigmoid(x), t in [0, 1].

    The RPN's loss, one logit an anchor, and the core of ``mask_loss``. -log p is
    log(e^0 + e^-x), which ``logaddexp`` computes without overflow.
    """
    _require_same_shape("logits", logits, "targets", targets)
    require_weights(weights, logits)
    logits = without_padding(logits, weights)
    targets = without_padding(targets, weights)
    zero = torch.zeros_like(logits)
    minus_log_p = torch.logaddexp(zero, -logits)
    minus_log_not_p = torch.logaddexp(zero, logits)
    return weighted_mean(
        targets * minus_log_p + (1 - targets) * minus_log_not_p, weights
    )


def mask_loss(
    mask_logits: Float[Tensor, "n k m m"],
    labels: Int64[Tensor, " n"],
    targets: Float[Tensor, "n m m"],
    weights: Weights = None,
) -> Float[Tensor, ""]:
    """L_mask: the mean binary cross-entropy of the true class's mask alone.

    Of the k masks of RoI i only number ``labels[i]`` enters (He et al. 2017, section
    3): 0..k-1, with no place for the background, which has no mask.
    """
    require_shape("mask_logits", mask_logits, ("n", "k", "m", "m"))
    _require_same_shape("a class's mask_logits", mask_logits[:, 0], "targets", targets)
    labels = _known_labels(labels, mask_logits, mask_logits.shape[1], weights)
    if mask_logits.is_cuda and mask_logits.dtype != torch.float64:
        return mask_loss_on_gpu(mask_logits, labels, targets, weights)
    rows = torch.arange(len(labels), device=labels.device)
    return sigmoid_cross_entropy(mask_logits[rows, labels], targets, weights)


def softmax_mask_loss(
    mask_logits: Float[Tensor, "n k_plus_1 m m"],
    labels: Int64[Tensor, " n"],
    targets: Float[Tensor, "n m m"],
    weights: Weights = None,
) -> Float[Tensor, ""]:
    """The rival of ``mask_loss`` in Table 2b: the classes compete for each pixel.

    Softmax over the channels, of which 0 is the background and 1 + c the class c. The
    mean over pixels of -t log p_u - (1 - t) log p_0, u = 1 + ``labels[i]`` (0..k-1).
    """
    require_shape("mask_logits", mask_logits, ("n", "k_plus_1", "m", "m"))
    _require_same_shape("a class's mask_logits", mask_logits[:, 0], "targets", targets)
    labels = _known_labels(labels, mask_logits, mask_logits.shape[1] - 1, weights)
    logits = without_padding(mask_logits, weights)
    targets = without_padding(targets, weights)
    shifted = logits - logits.detach().amax(dim=1, keepdim=True)
    log_sum = torch.log(torch.exp(shifted).sum(dim=1))
    rows = torch.arange(len(labels), device=labels.device)
    wanted = targets * shifted[rows, 1 + labels] + (1 - targets) * shifted[:, 0]
    return weighted_mean(log_sum - wanted, weights)


def _known_labels(
    labels: Tensor, logits: Tensor, classes: int, weights: Tensor | None
) -> Tensor:
    """The labels, 0 in rows that do not count.

    Refuses others that do not name one of the classes for each of the n rows.
    """
    require_floating("logits", logits)
    require_shape("labels", labels, ("n",))
    require_integers("labels", labels)
    require_length("labels", labels, "rows of logits", len(logits))
    require_weights(weights, logits)
    labels = without_padding(labels, weights)
    require_range("labels", labels, classes)
    return labels


def _require_same_shape(name: str, x: Tensor, other: str, y: Tensor) -> None:
    """Refuse shapes that broadcasting would blow up into every pair."""
    if x.shape != y.shape:
        raise ValueError(
            f"{name} and {other} must have one shape, not {list(x.shape)} "
            f"and {list(y.shape)}"
        )
