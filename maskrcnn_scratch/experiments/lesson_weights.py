"""How the weights that lessons open with were made (``weights.lesson`` reads them).

A narrow variation of the preset shapes-tiny is trained on generated images, every one
of which it sees once; then its numbers are rounded to 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from maskrcnn_scratch.data import shapes, stick_figures
from maskrcnn_scratch.data.batches import collate
from maskrcnn_scratch.data.transforms import Sample
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.training import RunConfig, load_config
from maskrcnn_scratch.training.loop import Batch, fit, make_optimizer
from maskrcnn_scratch.training.progress import TrainingProgress
from maskrcnn_scratch.training.run import repeatable
from maskrcnn_scratch.weights.lesson import LessonName
from maskrcnn_scratch.weights.model_file import write_tensors

SEED = 2017
"""Of the images trained on: lessons and tests draw theirs with any other."""

SIZE = 128  # pixels a side

NARROW = (
    "model.fpn_channels=48",
    "model.mask_head_width=48",
    "train.print_every=100",
)


@dataclass(frozen=True)
class Recipe:
    """What a model of this name is trained on, and how shapes-tiny is changed."""

    draw: Callable[[np.random.Generator, int], Sample]
    class_names: tuple[str, ...]
    settings: tuple[str, ...]


def draw_shapes(rng: np.random.Generator, image_id: int) -> Sample:
    """An image of shapes with its ground truth."""
    return shapes.to_sample(shapes.draw_scene(SIZE, rng), image_id)


def draw_figures(rng: np.random.Generator, image_id: int) -> Sample:
    """An image of stick figures with its ground truth."""
    scene = stick_figures.draw_figures(SIZE, rng)
    return stick_figures.figures_sample(scene, image_id)


RECIPES: dict[LessonName, Recipe] = {
    "shapes": Recipe(
        draw_shapes,
        shapes.CLASS_NAMES,
        (
            *NARROW,
            "model.stem_width=16",
            "model.box_head_width=128",
            "train.iterations=8000",
        ),
    ),
    "figures": Recipe(
        draw_figures,
        stick_figures.CLASS_NAMES,
        (
            *NARROW,
            "model.stem_width=12",
            "model.box_head_width=64",
            "train.iterations=4000",
            f"model.keypoints={len(stick_figures.KEYPOINT_NAMES)}",
            "model.keypoint_head_convs=3",
            "model.keypoint_head_width=48",
        ),
    ),
}


def lesson_config(name: LessonName, settings: tuple[str, ...] = ()) -> RunConfig:
    """All settings of the training; ``settings`` as KEY=VALUE override them."""
    recipe = RECIPES[name]
    config = load_config("shapes-tiny", (*recipe.settings, *settings))
    model = replace(config.model, num_classes=len(recipe.class_names))
    return config.model_copy(update={"model": model})


def fresh_batches(name: LessonName, size: int) -> Iterator[Batch]:
    """Batches of ``size`` images without end, none twice."""
    draw = RECIPES[name].draw
    numbers = count()
    while True:
        samples = []
        for _ in range(size):
            index = next(numbers)
            samples.append(draw(np.random.default_rng([SEED, index]), index + 1))
        yield collate(samples)


def train_lesson_model(
    name: LessonName,
    out: Path,
    settings: tuple[str, ...] = (),
    console: Console | None = None,
) -> None:
    """Train from random weights on the CPU and write the file ``out``."""
    config = lesson_config(name, settings)
    torch.manual_seed(config.train.seed)
    model = MaskRCNN(config.model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(config.train, model)
    batches = fresh_batches(name, config.train.batch_size)
    total, every = config.train.iterations, config.train.print_every
    with (
        TrainingProgress(0, total, every, console) as progress,
        repeatable(torch.device("cpu")),
    ):

        def report(iteration: int, values: dict[str, float]) -> None:
            progress.advance(iteration, values["loss"], values["learning_rate"])

        fit(config.train, model, optimizer, batches, report)
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    header = config.model_dump(mode="json")
    write_tensors(out, tensors, header, list(RECIPES[name].class_names))
