"""The losses of Mask R-CNN, L = L_cls + L_box + L_mask, each with its gradient.

Every function returns (loss, gradient): a number, and its derivative with respect to
the first argument, in that argument's shape. The gradients are derived by hand in the
docstrings. Means are over all elements; of no elements at all, the loss is 0.

Logits are scores before softmax or sigmoid. sigmoid(x) = 1 / (1 + e^-x).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def softmax_cross_entropy(
    logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]
) -> tuple[float, Float[np.ndarray, "n k"]]:
    """L_cls: the mean of -log p_u, with p = softmax(x) and u the true class.

    p_c = e^(x_c) / sum_j e^(x_j) (Girshick 2015, section 2.3). From
    log p_u = x_u - log sum_j e^(x_j) follows, for one row,

        d(-log p_u) / dx_c = p_c - [c = u].

    ``labels`` are 0..k-1; 0 is the background. Raises ValueError for any other.
    """
    _require_labels(labels, logits.shape[1])
    n = len(logits)
    loss, gradient = 0.0, np.zeros(logits.shape)
    for row, u in enumerate(labels):
        log_p = _log_softmax(logits[row])
        loss -= log_p[u] / n
        gradient[row] = np.exp(log_p) / n
        gradient[row, u] -= 1 / n
    return float(loss), gradient


def smooth_l1(
    x: Float[np.ndarray, "*shape"], target: Float[np.ndarray, "*shape"], beta: float
) -> tuple[float, Float[np.ndarray, "*shape"]]:
    """L_box: the sum over all elements of smooth-L1 of d = x - target:

        d^2 / (2 beta)   where |d| < beta,      derivative d / beta
        |d| - beta / 2   elsewhere,             derivative sign(d)

    Both pieces give beta / 2 and slope 1 at ``|d| = beta``. With beta = 1 it is
    equation 3 of Girshick 2015; torchvision takes 1/9. With beta = 0 no d lies in the
    first piece and it is L1, as in Detectron2. A sum, because systems divide it by
    different counts. Raises ValueError for a negative beta.
    """
    if not beta >= 0:
        raise ValueError(f"beta must be at least 0, not {beta}")
    loss, gradient = 0.0, np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        d = x[place] - target[place]
        if abs(d) < beta:
            loss += d**2 / (2 * beta)
            gradient[place] = d / beta
        else:
            loss += abs(d) - beta / 2
            gradient[place] = np.sign(d)
    return float(loss), gradient


def objectness_loss(
    logits: Float[np.ndarray, " n"], labels: Int[np.ndarray, " n"]
) -> tuple[float, Float[np.ndarray, " n"]]:
    """The RPN's L_cls: the mean binary cross-entropy, label 1 for object, 0 for none.

    One sigmoid logit an anchor (Ren et al. 2015, section 3.1: the two-class softmax
    may be a logistic regression instead). See ``binary_cross_entropy``.
    """
    _require_labels(labels, 2)
    n = max(len(logits), 1)
    losses, slopes = binary_cross_entropy(logits, labels.astype(np.float64))
    return float(losses.sum() / n), slopes / n


def mask_loss(
    mask_logits: Float[np.ndarray, "n k m m"],
    labels: Int[np.ndarray, " n"],
    targets: Float[np.ndarray, "n m m"],
) -> tuple[float, Float[np.ndarray, "n k m m"]]:
    """L_mask: the mean binary cross-entropy of the true class's mask alone.

    Of the k masks of RoI i only that of its class ``labels[i]`` enters (He et al.
    2017, section 3), so the other k - 1 get a gradient of exactly 0: classes do not
    compete. ``labels`` index the k masks, 0..k-1, with no place for the background,
    which has no mask. ``targets`` are in [0, 1]. Raises ValueError for other labels.
    """
    _require_labels(labels, mask_logits.shape[1])
    count = targets.size
    loss, gradient = 0.0, np.zeros(mask_logits.shape)
    for i, label in enumerate(labels):
        losses, slopes = binary_cross_entropy(mask_logits[i, label], targets[i])
        loss += losses.sum() / count
        gradient[i, label] = slopes / count
    return float(loss), gradient


def softmax_mask_loss(
    mask_logits: Float[np.ndarray, "n k_plus_1 m m"],
    labels: Int[np.ndarray, " n"],
    targets: Float[np.ndarray, "n m m"],
) -> tuple[float, Float[np.ndarray, "n k_plus_1 m m"]]:
    """The rival of ``mask_loss`` in Table 2b (24.8 against 30.3 mask AP).

    Every pixel is one of k + 1 classes, by softmax over the channels: channel 0 the
    background, channel 1 + c the class c. A target t asks for class ``labels[i]``
    (0..k-1) with probability q = t and for the background with q = 1 - t. The loss is
    the mean over pixels of -sum_c q_c log p_c, and

        d loss / dx_c = (p_c - q_c) / pixels:

    every class of every pixel gets a gradient, classes compete.
    """
    _require_labels(labels, mask_logits.shape[1] - 1)
    loss, gradient = 0.0, np.zeros(mask_logits.shape)
    for i, row, column in np.ndindex(targets.shape):
        wanted = np.zeros(mask_logits.shape[1])
        wanted[0] = 1 - targets[i, row, column]
        wanted[1 + labels[i]] = targets[i, row, column]
        log_p = _log_softmax(mask_logits[i, :, row, column])
        loss -= (wanted * log_p).sum() / targets.size
        gradient[i, :, row, column] = (np.exp(log_p) - wanted) / targets.size
    return float(loss), gradient


def binary_cross_entropy(
    logits: Float[np.ndarray, "*shape"], targets: Float[np.ndarray, "*shape"]
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """(loss, slope) of each element: -t log p - (1 - t) log(1 - p), p = sigmoid(x).

    With -log p = log(1 + e^-x) and -log(1 - p) = log(1 + e^x), whose derivatives are
    p - 1 and p, the slope is t (p - 1) + (1 - t) p = p - t. ``logaddexp`` computes
    log(e^0 + e^x) without overflow, so logits may have any size.
    """
    minus_log_p = np.logaddexp(0, -logits)
    minus_log_not_p = np.logaddexp(0, logits)
    losses = targets * minus_log_p + (1 - targets) * minus_log_not_p
    return losses, np.exp(-minus_log_p) - targets


def _log_softmax(x: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """log p. Taking the greatest from all logits changes no p and prevents overflow."""
    shifted = x - x.max()
    log_p: Float[np.ndarray, " k"] = shifted - np.log(np.exp(shifted).sum())
    return log_p


def _require_labels(labels: Int[np.ndarray, " n"], count: int) -> None:
    """Refuse labels outside 0..count-1, naming the first: -1 would mean the last."""
    for n, label in enumerate(labels):
        if not 0 <= label < count:
            raise ValueError(f"label {n} is {label}, but must be in 0..{count - 1}")
