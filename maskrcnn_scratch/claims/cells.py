"""From stick figures to cells: the lessons' model, trained on for a minute or two.

The model that finds people's masks and keypoints loses its keypoint head and sees
generated images like those of a fluorescence microscope. Nothing else is changed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import torch
from jaxtyping import Bool, Float

from maskrcnn_scratch.data.batches import collate
from maskrcnn_scratch.data.shapes import (
    SUBSAMPLES,
    Scene,
    reached,
    smooth_noise,
    subsamples,
    to_sample,
)
from maskrcnn_scratch.data.transforms import Sample
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.training.config import TrainConfig
from maskrcnn_scratch.training.loop import Batch, fit, make_optimizer
from maskrcnn_scratch.training.run import repeatable
from maskrcnn_scratch.weights.lesson import lesson_model

CLASS_NAME = "cell"
SIZE = 128  # pixels a side
FEWEST, MOST = 3, 12  # cells in an image
SMALLEST, LARGEST = 6.0, 15.0  # a cell's mean radius in pixels
LEAST_VISIBLE = 0.6  # of a cell's pixels
LUMPS = 0.15  # how far an outline is from an ellipse, in parts of the radius
DARK, DIM, BRIGHT = 0.05, 0.25, 0.8  # the ground, and cells
NOISE = 0.03  # standard deviation
BATCH = 4  # images

log = logging.getLogger(__name__)


def generate_cells(number: int, seed: int) -> list[Sample]:
    """Images with their ground truth; the same seed gives the same images."""
    return [
        to_sample(draw_cells(np.random.default_rng([seed, index])), index + 1)
        for index in range(number)
    ]


def draw_cells(rng: np.random.Generator) -> Scene:
    """Bright lumpy discs on a dark ground; one may lie a little over another."""
    canvas = DARK * (1 + smooth_noise(SIZE, 4, rng))
    masks: list[Bool[np.ndarray, "size size"]] = []
    areas: list[int] = []
    wanted = int(rng.integers(FEWEST, MOST + 1))
    while len(masks) < wanted:
        cover = cell_cover(rng)
        mask = cover >= 0.5
        visible = [earlier & ~mask for earlier in masks]
        pairs = zip(visible, areas, strict=True)
        if any(left.sum() < LEAST_VISIBLE * area for left, area in pairs):
            continue
        shade = rng.uniform(DIM, BRIGHT) * (1 + 0.2 * smooth_noise(SIZE, 12, rng))
        canvas += cover * (shade - canvas)
        masks = [*visible, mask]
        areas.append(int(mask.sum()))
    canvas += rng.normal(0, NOISE, canvas.shape)
    grey = (canvas.clip(0, 1) * 255).round().astype(np.uint8)
    return Scene(np.repeat(grey[:, :, None], 3, axis=2), np.stack(masks), [1] * wanted)


def cell_cover(rng: np.random.Generator) -> Float[np.ndarray, "size size"]:
    """How much of each pixel a random cell covers, 0 to 1."""
    radius, turn = rng.uniform(SMALLEST, LARGEST), rng.uniform(0, math.pi)
    stretch = math.exp(rng.uniform(-0.3, 0.3))
    lumps = rng.uniform(-LUMPS, LUMPS, 2)
    center_x, center_y = rng.uniform(LARGEST / 2, SIZE - LARGEST / 2, 2)
    # Only pixels within reach of the cell are looked at.
    reach = radius * max(stretch, 1 / stretch) * (1 + 2 * LUMPS)
    (left, right), (top, bottom) = (
        reached(center, reach, SIZE) for center in (center_x, center_y)
    )
    x = subsamples(left, right) - center_x
    y = (subsamples(top, bottom) - center_y)[:, None]
    u = (x * math.cos(turn) + y * math.sin(turn)) / (radius * stretch)
    v = (y * math.cos(turn) - x * math.sin(turn)) / (radius / stretch)
    angle = np.arctan2(v, u)
    outline = 1 + lumps[0] * np.cos(2 * angle) + lumps[1] * np.sin(3 * angle)
    inside = np.hypot(u, v) <= outline
    blocks = inside.reshape(bottom - top, SUBSAMPLES, right - left, SUBSAMPLES)
    cover = np.zeros((SIZE, SIZE))
    cover[top:bottom, left:right] = blocks.mean((1, 3))
    return cover


def train_on_cells(iterations: int, seed: int) -> MaskRCNN:
    """The lessons' figures model without its keypoint head, trained on with cells."""
    figures, _ = lesson_model("figures")
    torch.manual_seed(seed)
    model = MaskRCNN(replace(figures.config, keypoints=0))
    kept = model.state_dict()
    model.load_state_dict({name: figures.state_dict()[name] for name in kept})
    settings = TrainConfig(
        iterations=iterations,
        batch_size=BATCH,
        reference_batch=BATCH,
        seed=seed,
        optimizer="adamw",
        learning_rate=0.001,
        weight_decay=0.05,
        warmup_iterations=10,
        schedule="cosine",
        clip_norm=5.0,
    )

    def report(iteration: int, values: dict[str, float]) -> None:
        if iteration % 50 == 0:
            log.info(
                "iteration %d of %d: loss %.2f", iteration, iterations, values["loss"]
            )

    with repeatable(torch.device("cpu")):
        fit(settings, model, make_optimizer(settings, model), fresh(seed), report)
    return model.eval()


def fresh(seed: int) -> Iterator[Batch]:
    """Batches without end, no image twice."""
    for first in count():
        rng = np.random.default_rng([seed, 1, first])
        yield collate([to_sample(draw_cells(rng), k + 1) for k in range(BATCH)])
