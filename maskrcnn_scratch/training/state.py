"""All that training changes, saved and put back as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maskrcnn_scratch.training.average import WeightAverage
from maskrcnn_scratch.training.checkpoint import (
    Others,
    load_checkpoint,
    save_checkpoint,
)
from maskrcnn_scratch.training.config import TrainConfig
from maskrcnn_scratch.training.loop import make_optimizer, make_scaler

Header = tuple[dict[str, Any], list[str]]
"""What a model file says of itself: the run's config, the names of the classes."""


class TrainingState:
    """The model, its optimiser, and where configured a scaler and averaged weights."""

    def __init__(
        self, config: TrainConfig, model: nn.Module, device: torch.device
    ) -> None:
        self.model = model
        self.optimizer = make_optimizer(config, model)
        self.scaler = make_scaler(config, device)
        self.average = WeightAverage(model, config.ema) if config.ema else None

    def others(self) -> Others:
        """Beside model and optimiser, what a checkpoint holds."""
        parts: Others = {}
        if self.scaler.is_enabled():
            parts["scaler"] = self.scaler
        if self.average is not None:
            parts["average"] = self.average
        return parts

    def after_step(self, iteration: int) -> None:
        """The average takes in the new weights."""
        if self.average is not None:
            self.average.update(self.model, iteration)

    @contextmanager
    def shown(self) -> Iterator[nn.Module]:
        """The model as it is evaluated and kept: with averaged weights, if any."""
        if self.average is None:
            yield self.model
            return
        with self.average.in_place_of(self.model):
            yield self.model

    def save(self, folder: Path, iteration: int, header: Header) -> None:
        """A checkpoint: the weights as they are trained, not their average."""
        save_checkpoint(
            folder, iteration, self.model, self.optimizer, *header, self.others()
        )

    def load(self, place: Path) -> int:
        """Back to a checkpoint; returns its iteration."""
        return load_checkpoint(place, self.model, self.optimizer, self.others())
