"""Batch norm folded into the convolutions before it, for models that only evaluate."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from maskrcnn_scratch.models.norms import FrozenBatchNorm2d, scale_and_shift


@torch.no_grad()
def fold_batch_norm(model: nn.Module) -> None:
    """Change the model to one with the same outputs and no batch norm.

    With fixed statistics the norm is y -> scale y + shift, channel by channel, so
    scale (W x) + shift = (scale W) x + shift: the convolution takes the scale into its
    weights and the shift as its bias. A pass over every feature map is saved; but the
    model's state dict is another one, and its norms can be trained no more.

    Raises ValueError in training mode, where statistics are those of the batch.
    """
    if model.training:
        raise ValueError("a model in training needs its norms: call model.eval() first")
    for parent in list(model.modules()):
        for (_, conv), (name, norm) in pairwise(parent.named_children()):
            if isinstance(conv, nn.Conv2d) and isinstance(
                norm, (FrozenBatchNorm2d, nn.BatchNorm2d)
            ):
                scale, shift = scale_and_shift(norm)
                conv.weight.mul_(scale.view(-1, 1, 1, 1))
                conv.bias = nn.Parameter(shift)
                setattr(parent, name, nn.Identity())
