"""The training loop, on one screen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from maskrcnn_scratch.structures import Target
from maskrcnn_scratch.training.config import TrainConfig
from maskrcnn_scratch.training.schedule import learning_rate

Batch = tuple[list[Tensor], list[Target]]
Report = Callable[[int, dict[str, float]], None]


class TrainingDiverged(RuntimeError):
    """A loss or the gradient is no finite number any more."""


def make_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that the config names; weight decay on every parameter."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(
            trained, lr=config.learning_rate, weight_decay=config.weight_decay
        )
    return torch.optim.SGD(
        trained,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )


def fit(
    config: TrainConfig,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    report: Report,
    start: int = 0,
) -> None:
    """Train from iteration ``start`` + 1 on; ``report`` hears of every iteration.

    What an iteration draws at random depends on the seed and its number alone, so a
    run that is resumed goes on as if it had never stopped.

    Raises TrainingDiverged before the numbers that are not finite reach the weights.
    """
    device = next(model.parameters()).device
    model.train()
    for iteration in range(start + 1, config.iterations + 1):
        began = time.perf_counter()
        images, targets = next(batches)
        images = [image.to(device, non_blocking=True) for image in images]
        targets = [target.to(device) for target in targets]
        seed_all(config.seed, iteration)
        with torch.autocast(
            device.type, torch.bfloat16, enabled=config.precision == "bf16"
        ):
            losses: dict[str, Tensor] = model(images, targets)
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(
            model.parameters(), config.clip_norm or math.inf
        )
        watched = {**losses, "gradient_norm": norm, "loss": total}
        numbers = torch.stack([value.detach() for value in watched.values()]).tolist()
        values = dict(zip(watched, numbers, strict=True))
        check_finite(values, iteration, targets, config)
        rate = learning_rate(config, iteration)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        seconds = time.perf_counter() - began
        report(iteration, {**values, "learning_rate": rate, "seconds": seconds})


def seed_all(seed: int, iteration: int) -> None:
    """Start torch's random numbers afresh, on every device."""
    mixed = np.random.SeedSequence((seed, iteration)).generate_state(1, np.uint64)
    torch.manual_seed(int(mixed[0]))


def check_finite(
    values: dict[str, float],
    iteration: int,
    targets: list[Target],
    config: TrainConfig,
) -> None:
    """Stop at the first value that is none."""
    for name, value in values.items():
        if not math.isfinite(value):
            ids = ", ".join(str(target.image_id) for target in targets)
            raise TrainingDiverged(
                f"{name} is {value} in iteration {iteration}, images {ids}. Lower"
                f" train.learning_rate ({config.learning_rate} for batches of"
                f" {config.batch_size}), lengthen train.warmup_iterations"
                f" ({config.warmup_iterations}) or set train.clip_norm; and look for"
                " faults in the data with: maskrcnn-scratch data check"
            )
