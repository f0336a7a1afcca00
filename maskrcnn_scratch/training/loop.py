"""The training loop, on one screen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel

from maskrcnn_scratch.processes import averaged, gathered
from maskrcnn_scratch.structures import Target
from maskrcnn_scratch.training.config import TrainConfig
from maskrcnn_scratch.training.schedule import base_rate, learning_rate

Batch = tuple[list[Tensor], list[Target]]
Report = Callable[[int, dict[str, float]], None]
AUTOCAST = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingDiverged(RuntimeError):
    """A loss or the gradient is no finite number any more."""


def make_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that the config names; weight decay on every parameter."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(
            trained, lr=base_rate(config), weight_decay=config.weight_decay
        )
    return torch.optim.SGD(
        trained,
        lr=base_rate(config),
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )


def make_scaler(config: TrainConfig, device: torch.device) -> GradScaler:
    """Scales the loss for fp16; for any other precision it does nothing."""
    return GradScaler(device.type, enabled=config.precision == "fp16")


def fit(
    config: TrainConfig,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    report: Report,
    start: int = 0,
    scaler: GradScaler | None = None,
) -> None:
    """Train from iteration ``start`` + 1 on; ``report`` hears of every iteration.

    ``batches`` are this process's shares of the whole ones. What an iteration draws at
    random depends on the seed and its number alone, so a run that is resumed goes on as
    if it had never stopped.

    Raises TrainingDiverged before the numbers that are not finite reach the weights.
    """
    device = next(model.parameters()).device
    scaler = scaler or make_scaler(config, device)
    model.train()
    for iteration in range(start + 1, config.iterations + 1):
        began = time.perf_counter()
        images, targets = next(batches)
        optimizer.zero_grad()
        losses = add_gradients(config, model, scaler, (images, targets), iteration)
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(
            model.parameters(), config.clip_norm or math.inf
        )
        watched = {**losses, "gradient_norm": norm, "loss": sum_of(losses)}
        numbers = averaged(torch.stack([value.detach() for value in watched.values()]))
        values = dict(zip(watched, numbers.tolist(), strict=True))
        check_finite(values, iteration, targets, config, scaler)
        rate = learning_rate(config, iteration)
        for group in optimizer.param_groups:
            group["lr"] = rate
        scaler.step(optimizer)
        scaler.update()
        seconds = time.perf_counter() - began
        report(iteration, {**values, "learning_rate": rate, "seconds": seconds})


def add_gradients(
    config: TrainConfig, model: nn.Module, scaler: GradScaler, batch: Batch, number: int
) -> dict[str, Tensor]:
    """Forward and backward of iteration ``number``; returns the losses by name.

    The batch is cut into ``accumulate`` micro-batches, and gradients and losses are
    means over them: those of the whole batch where each draws as many anchors and RoIs.
    """
    device = next(model.parameters()).device
    parts = config.accumulate
    size = len(batch[0]) // parts
    means: dict[str, Tensor] = {}
    for part in range(parts):
        own = slice(part * size, (part + 1) * size)
        images = [image.to(device, non_blocking=True) for image in batch[0][own]]
        targets = [target.to(device) for target in batch[1][own]]
        seed_all(config.seed, number)
        with gradients_exchanged(model, at_once=part == parts - 1):
            dtype = AUTOCAST[config.precision]
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                losses: dict[str, Tensor] = model(images, targets)
            losses = {name: loss / parts for name, loss in losses.items()}
            scaler.scale(sum_of(losses)).backward()  # type: ignore[no-untyped-call]
        for name, loss in losses.items():
            means[name] = means.get(name, 0) + loss.detach()
    return means


def gradients_exchanged(
    model: nn.Module, at_once: bool
) -> AbstractContextManager[None]:
    """Under DDP: exchange them in this backward pass, or leave that to a later one."""
    if at_once or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    return model.no_sync()


def sum_of(losses: dict[str, Tensor]) -> Tensor:
    """L = Lcls + Lbox + Lmask, and those of the RPN (section 3)."""
    return torch.stack(list(losses.values())).sum()


def seed_all(seed: int, iteration: int) -> None:
    """Start torch's random numbers afresh, on every device.

    Alike in all processes and micro-batches: the model makes from these and an image's
    id what it draws for the image, so nothing depends on who computes it.
    """
    mixed = np.random.SeedSequence((seed, iteration)).generate_state(1, np.uint64)
    torch.manual_seed(int(mixed[0]))


def check_finite(
    values: dict[str, float],
    iteration: int,
    targets: list[Target],
    config: TrainConfig,
    scaler: GradScaler,
) -> None:
    """Stop at the first value that is none, in all processes alike.

    A gradient that overflows in fp16 is no reason yet: the scaler leaves out this step,
    and halves the scale for the next.
    """
    for name, value in values.items():
        overflows = name == "gradient_norm" and scaler.is_enabled()
        if (overflows and scaler.get_scale() > 1) or math.isfinite(value):
            continue
        own = [target.image_id for target in targets]
        ids = ", ".join(map(str, gathered(own) or own))
        raise TrainingDiverged(
            f"{name} is {value} in iteration {iteration}, images {ids}. Lower"
            f" train.learning_rate ({base_rate(config):g} for batches of"
            f" {config.batch_size}), lengthen train.warmup_iterations"
            f" ({config.warmup_iterations}) or set train.clip_norm; and look for"
            " faults in the data with: maskrcnn-scratch data check"
        )
