"""Cases of the whole model: a training step, and the evaluation of one image."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from maskrcnn_scratch.benchmarks.cases import Case, Pair, Sizes, Work
from maskrcnn_scratch.benchmarks.layers import layers_alone
from maskrcnn_scratch.benchmarks.model_inputs import (
    in_layout,
    picture,
    random_model,
    random_target,
)
from maskrcnn_scratch.benchmarks.roi_layers import LAYOUTS
from maskrcnn_scratch.benchmarks.torchvision_model import (
    CONVENTIONS,
    torchvision_model,
)
from maskrcnn_scratch.inference import Predictor
from maskrcnn_scratch.models.fold import fold_batch_norm
from maskrcnn_scratch.structures import Detections
from maskrcnn_scratch.training.config import TrainConfig
from maskrcnn_scratch.training.loop import make_optimizer


def model_cases(sizes: Sizes) -> list[Case]:
    """Training and evaluation, in float32 and under bfloat16 autocast."""
    return [
        *precision_cases(sizes, "float32", 1.2, 1.4),
        *precision_cases(sizes, "bf16", 1.6, 1.6),
    ]


def precision_cases(
    sizes: Sizes, precision: str, train_target: float, evaluation_target: float
) -> list[Case]:
    """A training step, an evaluation, and the layers of the latter."""
    height, width = sizes.train_image
    is_bf16 = precision == "bf16"
    mask_rois = int(CONVENTIONS.roi_samples * CONVENTIONS.roi_positive_fraction)
    train = Case(
        name=f"training step, {precision}",
        shapes=f"{sizes.train_images} images {height}x{width}, {sizes.objects} objects"
        f" each, at most {mask_rois * sizes.train_images} mask RoIs",
        prepare=partial(training, sizes, is_bf16),
        cpu_target=train_target,
        gpu_target=1.3,
    )
    height, width = sizes.image
    evaluate = Case(
        name=f"evaluation, {precision}",
        shapes=f"an image {height}x{width}, masks as booleans",
        prepare=partial(evaluation, sizes, is_bf16),
        limits={} if is_bf16 else {"boxes, px": 1e-3, "masks": 1e-3},
        cpu_target=evaluation_target,
    )
    layers = Case(
        name=f"evaluation, {precision}, layers alone",
        shapes="its convolutions and fully connected layers but the mask predictor's",
        prepare=partial(evaluation_layers, sizes, is_bf16),
    )
    return [train, evaluate, layers]


def autocast_of(device: torch.device, bf16: bool) -> torch.autocast:
    """float32, or bfloat16 where autocast has it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def training(sizes: Sizes, bf16: bool, device: torch.device) -> Pair:
    """Forward, backward and the optimiser's step, whose rate is 0: weights stay."""
    images = [
        picture(sizes.train_image, seed).to(device)
        for seed in range(sizes.train_images)
    ]
    targets = [
        random_target(sizes, seed).to(device) for seed in range(sizes.train_images)
    ]
    model = random_model(sizes).to(device)

    def theirs() -> dict[str, Work]:
        labelled = [
            {"boxes": one.boxes, "labels": one.labels, "masks": one.masks}
            for one in targets
        ]
        return {
            name: step(
                torchvision_model(model, min(sizes.train_image)).to(device),
                name,
                lambda other: other(images, labelled),
                autocast_of(device, bf16),
            )
            for name in LAYOUTS
        }

    return Pair(
        ours=step(
            model,
            "channels-last",
            lambda own: own(images, targets),
            autocast_of(device, bf16),
        ),
        theirs=theirs,
        difference=lambda a, b: {"loss (other samples)": abs(float(a / b) - 1)},
    )


def step(
    model: nn.Module,
    layout: str,
    losses: Callable[[nn.Module], dict[str, Tensor]],
    autocast: torch.autocast,
) -> Work:
    """One step of training of a model that from here on is in that memory format."""
    in_layout(model.train(), layout)
    optimizer = make_optimizer(TrainConfig(learning_rate=0.0), model)

    def work() -> Tensor:
        with autocast:
            total = torch.stack(list(losses(model).values())).sum()
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return total.detach()

    return work


@dataclass(frozen=True)
class Scene:
    """One image, and both models to show it to."""

    image: Tensor
    predictor: Predictor
    other: Callable[[str], nn.Module]
    """torchvision's model with the same weights, in that memory format."""
    autocast: torch.autocast

    def ours(self) -> Detections:
        """From the image to boxes, scores, labels and masks as booleans."""
        with self.autocast:
            return self.predictor(self.image)


def evaluation_scene(sizes: Sizes, bf16: bool, device: torch.device) -> Scene:
    """Ours as a run's model is loaded: batch norm folded, channels-last."""
    model = random_model(sizes).to(device).eval()
    names = [str(label) for label in range(1, model.config.num_classes + 1)]
    folded = in_layout(deepcopy(model), "channels-last")
    fold_batch_norm(folded)

    def other(layout: str) -> nn.Module:
        theirs = torchvision_model(model, min(sizes.image)).eval()
        return in_layout(theirs.to(device), layout)

    return Scene(
        picture(sizes.image, 0).to(device),
        Predictor(folded, names),
        other,
        autocast_of(device, bf16),
    )


def evaluation(sizes: Sizes, bf16: bool, device: torch.device) -> Pair:
    """The whole way; under bfloat16 detections differ, so they are only counted."""
    scene = evaluation_scene(sizes, bf16, device)

    def theirs() -> dict[str, Work]:
        return {
            layout: partial(detect, scene.other(layout), scene.image, scene.autocast)
            for layout in LAYOUTS
        }

    def difference(found: Detections, other: dict[str, Tensor]) -> dict[str, float]:
        boxes, maps = unpasted(scene.other("NCHW"), scene.image)
        own_maps = cast(Tensor, found.mask_probabilities)
        if len(found) != len(boxes):
            return {"boxes, px": float("inf"), "masks": float("inf")}
        # Where scores are equal but for rounding, the order is chance.
        exact = "donot_use_mm_for_euclid_dist"
        same = torch.cdist(found.boxes, boxes, compute_mode=exact).argmin(dim=1)
        return {
            "boxes, px": float((found.boxes - boxes[same]).abs().max()),
            "masks": float((own_maps - maps[same]).abs().max()),
        }

    def counts(found: Detections, other: dict[str, Tensor]) -> dict[str, float]:
        return {"detections": abs(len(found) - len(other["boxes"]))}

    return Pair(scene.ours, theirs, counts if bf16 else difference)


def evaluation_layers(sizes: Sizes, bf16: bool, device: torch.device) -> Pair:
    """The layers that torch computes for both."""
    scene = evaluation_scene(sizes, bf16, device)

    def theirs() -> dict[str, Work]:
        works = {}
        for layout in LAYOUTS:
            model = scene.other(layout)
            run = partial(detect, model, scene.image, scene.autocast)
            works[layout] = layers_alone(model, run, scene.autocast)
        return works

    ours = layers_alone(scene.predictor.model, scene.ours, scene.autocast)
    return Pair(ours, theirs, lambda a, b: {"calls": abs(a - b)})


@torch.no_grad()
def detect(model: Any, image: Tensor, autocast: torch.autocast) -> dict[str, Tensor]:
    """torchvision's detections, their masks thresholded, on the CPU as ours are."""
    with autocast:
        (found,) = model([image])
    found["masks"] = found["masks"][:, 0] >= 0.5
    return {name: value.cpu() for name, value in found.items()}


@torch.no_grad()
def unpasted(model: Any, image: Tensor) -> tuple[Tensor, Tensor]:
    """torchvision's boxes, and its 28 x 28 maps before they are pasted."""
    images, _ = model.transform([image])
    features = model.backbone(images.tensors)
    proposals, _ = model.rpn(images, features)
    (found,), _ = model.roi_heads(features, proposals, images.image_sizes)
    return found["boxes"].cpu(), found["masks"][:, 0].cpu()
