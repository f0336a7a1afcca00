"""An exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Tensors = dict[str, Tensor]


class WeightAverage:
    """w' <- d w' + (1 - d) w after every step (Polyak and Juditsky 1992).

    The average is often the better model, since it does not follow the last batches. d
    grows from 2 / 11 at the first step to ``decay``, as (1 + t) / (10 + t), so that a
    short training does not end with the weights that it began with.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = copies(model)

    @torch.no_grad()
    def update(self, model: nn.Module, iteration: int) -> None:
        """Take in the weights and buffers after step 1, 2, ..."""
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        for name, new in model.state_dict().items():
            if new.is_floating_point():
                self.tensors[name].lerp_(new, 1 - decay)
            else:
                self.tensors[name].copy_(new)

    @contextmanager
    def in_place_of(self, model: nn.Module) -> Iterator[None]:
        """The model has the averaged weights within the block, and its own after it."""
        own = copies(model)
        model.load_state_dict(self.tensors)
        try:
            yield
        finally:
            model.load_state_dict(own)

    def state_dict(self) -> Tensors:
        """For checkpoints."""
        return self.tensors

    def load_state_dict(self, tensors: Tensors) -> None:
        """Back to what ``state_dict`` gave."""
        for name, tensor in tensors.items():
            self.tensors[name].copy_(tensor)


def copies(model: nn.Module) -> Tensors:
    """All parameters and buffers by name, as they are now."""
    return {name: t.detach().clone() for name, t in model.state_dict().items()}
