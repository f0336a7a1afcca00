"""Large images in tiles: predicted with the lessons' model, and trained on.

A large image is four generated scenes side by side, so its objects are as large as
those that the model knows, and shown whole they are half as large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from maskrcnn_scratch.data.shapes import CLASS_NAMES, Scene, draw_scene, to_sample
from maskrcnn_scratch.data.shapes_folder import annotate
from maskrcnn_scratch.data.tiles import cut_tiles
from maskrcnn_scratch.data.transforms import Sample
from maskrcnn_scratch.evaluation import MeanIoU, detections_to_coco, mean_iou
from maskrcnn_scratch.experiments.ablations import base_model
from maskrcnn_scratch.experiments.lesson_weights import SIZE
from maskrcnn_scratch.experiments.mask_branch import (
    TEST_SEED,
    MaskBranch,
    moved,
    score,
    train_branch,
)
from maskrcnn_scratch.inference import InTiles, Predictor
from maskrcnn_scratch.inference.files import Json
from maskrcnn_scratch.structures import Detections

LARGE = 2 * SIZE  # pixels a side
OVERLAP = SIZE // 2
LABELS = {label: label for label in range(1, len(CLASS_NAMES) + 1)}


def draw_large(seed: int, number: int) -> Scene:
    """Four scenes in a square; image ``number`` of a seed is always the same."""
    size, parts = SIZE, []
    for place in range(4):
        parts.append(draw_scene(size, np.random.default_rng([seed, number, place])))
    pixels = np.zeros((LARGE, LARGE, 3), np.uint8)
    masks = np.zeros((sum(len(part.masks) for part in parts), LARGE, LARGE), bool)
    labels: list[int] = []
    for place, part in enumerate(parts):
        top, left = size * (place // 2), size * (place % 2)
        window = slice(top, top + size), slice(left, left + size)
        pixels[window] = part.pixels
        masks[len(labels) : len(labels) + len(part.masks), *window] = part.masks
        labels += part.labels
    return Scene(pixels, masks, labels)


Predict = Callable[[torch.Tensor], Detections]


def ways_to_predict(predictor: Predictor) -> dict[str, Predict]:
    """The image as it is, or in tiles of the size that the model knows."""
    tiled = InTiles(predictor, SIZE, OVERLAP)
    return {
        "whole": lambda image: predictor(image, 0.5),
        "tiles": lambda image: tiled(image, 0.5),
    }


def covered(predict: Predict, scenes: list[Scene]) -> MeanIoU:
    """How well the objects of the images are found."""
    annotations: list[Json] = []
    results: list[Json] = []
    for number, scene in enumerate(scenes, 1):
        annotations += annotate(scene, number, len(annotations) + 1)
        image, _ = to_sample(scene, number)
        results += detections_to_coco(predict(image), number, LABELS)
    images = [
        {"id": number, "height": LARGE, "width": LARGE}
        for number in range(1, len(scenes) + 1)
    ]
    categories = [{"id": 1 + i, "name": name} for i, name in enumerate(CLASS_NAMES)]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    return mean_iou(truth, results)


@dataclass(frozen=True)
class TileScale:
    """How large a training is: large images to train on and to test, iterations."""

    train_images: int
    test_images: int
    iterations: int
    points: int
    """Of the curve, after as many equal parts of the training."""


FULL = TileScale(train_images=4, test_images=10, iterations=400, points=10)
QUICK = TileScale(train_images=2, test_images=4, iterations=80, points=4)


@dataclass(frozen=True)
class Curve:
    """Mean mask IoU of the tiles trained on, and of those of other images."""

    iterations: list[int]
    train: list[float]
    test: list[float]


def tiles_of(seed: int, count: int) -> list[Sample]:
    """All tiles of ``count`` large images that hold an object, with boxes near it."""
    rng = np.random.default_rng(seed)
    large = [to_sample(draw_large(seed, number), number + 1) for number in range(count)]
    return [
        moved(tile, rng)
        for sample in large
        for _, tile in cut_tiles(sample, SIZE, OVERLAP)
        if len(tile[1])
    ]


def train_on_tiles(seed: int, scale: TileScale) -> Curve:
    """The mask branch on given boxes, as in the ablations (``mask_branch``)."""
    train, test = tiles_of(seed, scale.train_images), test_tiles(scale.test_images)
    torch.manual_seed(seed)
    branch = MaskBranch(base_model())
    curve = Curve([], [], [])

    def report(iteration: int, values: dict[str, float]) -> None:
        if iteration % (scale.iterations // scale.points) == 0:
            curve.iterations.append(iteration)
            curve.train.append(score(branch, train).mean_iou)
            curve.test.append(score(branch, test).mean_iou)
            branch.train()

    train_branch(branch, train, scale.iterations, seed, report)
    return curve


def test_tiles(count: int) -> list[Sample]:
    """Of images that no run is trained on."""
    return tiles_of(TEST_SEED, count)
