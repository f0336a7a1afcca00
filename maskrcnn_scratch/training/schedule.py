"""The learning rate of each iteration."""

from __future__ import annotations

import math

from maskrcnn_scratch.training.config import TrainConfig


def learning_rate(config: TrainConfig, iteration: int) -> float:
    """The rate of iteration 1, 2, ..., ``config.iterations``.

    A linear warm-up (Goyal et al. 2017) times steps (Mask R-CNN, section 3.1) or half
    a cosine that ends at 0 (Loshchilov and Hutter 2017).
    """
    decay = cosine if config.schedule == "cosine" else steps
    return base_rate(config) * warmup(config, iteration) * decay(config, iteration)


def base_rate(config: TrainConfig) -> float:
    """The rate for this batch size, before warm-up and decay.

    A batch n times as large has gradients of n times less variance. SGD then takes
    steps n times as long (Goyal et al. 2017), AdamW sqrt(n) times (Malladi et al.
    2022), since its steps are long in proportion to the noise already.
    """
    times = config.batch_size / config.reference_batch
    if config.optimizer == "adamw":
        times = math.sqrt(times)
    return config.learning_rate * times


def warmup(config: TrainConfig, iteration: int) -> float:
    """From ``warmup_factor`` in the first iteration to 1 after the warm-up's last."""
    if iteration > config.warmup_iterations:
        return 1.0
    progress = (iteration - 1) / config.warmup_iterations
    return config.warmup_factor + (1 - config.warmup_factor) * progress


def steps(config: TrainConfig, iteration: int) -> float:
    """``step_factor`` for every step that is past."""
    return config.step_factor ** sum(iteration > step for step in config.steps)


def cosine(config: TrainConfig, iteration: int) -> float:
    """From 1 in the first iteration to 0 after the last."""
    return (1 + math.cos(math.pi * (iteration - 1) / config.iterations)) / 2
