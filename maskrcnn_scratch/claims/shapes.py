"""Shapes of a model's tensors, for claims about them."""

from __future__ import annotations

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.anatomy import anatomy
from maskrcnn_scratch.models.tensor_entries import Shape

Shapes = dict[tuple[str, str], Shape]


def shapes_of(config: ModelConfig, side: int) -> Shapes:
    """By (part, tensor), for one image of ``side`` x ``side`` pixels."""
    return {(one.part, one.tensor): one.shape for one in anatomy(config, (side, side))}


def written(shape: Shape) -> str:
    """As 1 x 261888 x 2."""
    return " x ".join(map(str, shape))
