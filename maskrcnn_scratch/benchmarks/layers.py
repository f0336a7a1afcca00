"""The convolutions and fully connected layers of an evaluation, and nothing else.

Both libraries leave these to torch, so they bound what the rest can win.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from maskrcnn_scratch.benchmarks.cases import Work

MASK_PREDICTORS = ("mask_predictor", "deconv", "mask_logits")
"""Left out on both sides: ours are matrix products, which no hook sees."""


def layers_alone(
    model: nn.Module, evaluate: Callable[[], object], autocast: torch.autocast
) -> Work:
    """Every layer again, on what it was given while ``evaluate`` ran ``model``."""
    calls: list[tuple[nn.Module, Tensor]] = []

    def note(layer: nn.Module, given: tuple[Tensor]) -> None:
        calls.append((layer, given[0]))

    with ExitStack() as hooks:
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and not any(
                word in name for word in MASK_PREDICTORS
            ):
                hooks.callback(layer.register_forward_pre_hook(note).remove)
        evaluate()

    @torch.no_grad()
    def work() -> int:
        with autocast:
            for layer, given in calls:
                layer(given)
        return len(calls)

    return work
