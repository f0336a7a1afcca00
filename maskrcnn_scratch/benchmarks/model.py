"""Cases of the whole model: a training step, and the evaluation of one image.

Both sides have the same random weights, set up for the work of a trained model: the
logits are large, so there are as many detections as are allowed; and an RoI counts as
positive from a low IoU on, so a quarter of the samples is.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from maskrcnn_scratch.benchmarks import inputs
from maskrcnn_scratch.benchmarks.boxes import ellipses
from maskrcnn_scratch.benchmarks.cases import Case, Pair, Sizes, Work
from maskrcnn_scratch.benchmarks.roi_layers import LAYOUTS
from maskrcnn_scratch.benchmarks.torchvision_model import (
    CONVENTIONS,
    torchvision_model,
)
from maskrcnn_scratch.inference import Predictor
from maskrcnn_scratch.inference.settings import PredictSettings
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.models.fold import fold_batch_norm
from maskrcnn_scratch.models.resnet import FrozenBatchNorm2d
from maskrcnn_scratch.structures import Detections, Target
from maskrcnn_scratch.training.config import TrainConfig
from maskrcnn_scratch.training.loop import make_optimizer

Model = TypeVar("Model", bound=nn.Module)


def model_cases(sizes: Sizes) -> list[Case]:
    """Training and evaluation, in float32 and under bfloat16 autocast."""
    return [
        case
        for name, train_target, evaluation_target in (
            ("float32", 1.2, 1.4),
            ("bf16", 1.6, 1.6),
        )
        for case in (
            training_case(sizes, name, train_target),
            evaluation_case(sizes, name, evaluation_target),
        )
    ]


def training_case(sizes: Sizes, precision: str, target: float) -> Case:
    """A step of training."""
    height, width = sizes.train_image
    return Case(
        name=f"training step, {precision}",
        shapes=f"ResNet-50-FPN, {sizes.train_images} images {height}x{width},"
        f" {sizes.objects} objects each",
        prepare=partial(training, sizes, precision == "bf16"),
        cpu_target=target,
        gpu_target=1.3,
    )


def evaluation_case(sizes: Sizes, precision: str, target: float) -> Case:
    """One image."""
    height, width = sizes.image
    is_exact = precision == "float32"
    return Case(
        name=f"evaluation, {precision}",
        shapes=f"ResNet-50-FPN, an image {height}x{width}, masks as booleans",
        prepare=partial(evaluation, sizes, not is_exact),
        limits={"boxes, px": 1e-3, "masks": 1e-3} if is_exact else {},
        cpu_target=target,
    )


def random_model(sizes: Sizes) -> MaskRCNN:
    """Random weights that find ``sizes.masks`` objects."""
    torch.manual_seed(0)
    model = MaskRCNN(
        replace(CONVENTIONS, max_detections=sizes.masks, roi_positive_iou=0.3)
    )
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, FrozenBatchNorm2d):
                # Branches that add little keep the numbers from doubling a block.
                module.weight.uniform_(0.5, 1.0).mul_(0.3 if "bn3" in name else 1.0)
                module.bias.normal_(std=0.1)
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
        model.box_head.class_logits.weight.mul_(30)
        model.mask_head.mask_logits.weight.mul_(400)
    return model


def picture(size: tuple[int, int], seed: int) -> Tensor:
    """Soft random spots, RGB in 0..1."""
    coarse = torch.rand(1, 3, 24, 24, generator=inputs.generator(seed))
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")[0]


def precision(device: torch.device, bf16: bool) -> torch.autocast:
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
                precision(device, bf16),
            )
            for name in LAYOUTS
        }

    return Pair(
        ours=step(
            model,
            "channels-last",
            lambda own: own(images, targets),
            precision(device, bf16),
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


def in_layout(model: Model, layout: str) -> Model:
    """The model itself, its weights in that memory format."""
    model.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
    return model


def random_target(sizes: Sizes, seed: int) -> Target:
    """Ellipses of all classes."""
    boxes = inputs.spread_boxes(sizes.objects, sizes.train_image, seed)
    labels = torch.arange(sizes.objects) % CONVENTIONS.num_classes + 1
    return Target(
        image_id=seed,
        boxes=boxes,
        labels=labels,
        masks=ellipses(boxes, sizes.train_image),
        crowd=torch.zeros(sizes.objects, dtype=torch.bool),
    )


def evaluation(sizes: Sizes, bf16: bool, device: torch.device) -> Pair:
    """From the image to boxes, scores, labels and masks as booleans."""
    image = picture(sizes.image, 0).to(device)
    model = random_model(sizes).to(device).eval()
    names = [str(label) for label in range(1, model.config.num_classes + 1)]
    settings = PredictSettings(min_size=min(sizes.image), max_size=max(sizes.image))
    folded = in_layout(deepcopy(model), "channels-last")
    fold_batch_norm(folded)
    predictor = Predictor(folded, names, settings)
    others = partial(torchvision_model, model, min(sizes.image))

    def ours() -> Detections:
        with precision(device, bf16):
            return predictor(image)

    def theirs() -> dict[str, Work]:
        return {
            name: partial(
                detect,
                in_layout(others().eval().to(device), name),
                image,
                precision(device, bf16),
            )
            for name in LAYOUTS
        }

    def difference(found: Detections, other: dict[str, Tensor]) -> dict[str, float]:
        coarse = undone(others().eval().to(device), image)
        return {
            "boxes, px": largest(found.boxes, other["boxes"]),
            "masks": largest(found.mask_probabilities, coarse),
        }

    def counts(found: Detections, other: dict[str, Tensor]) -> dict[str, float]:
        return {"detections": abs(len(found) - len(other["boxes"]))}

    return Pair(ours=ours, theirs=theirs, difference=counts if bf16 else difference)


@torch.no_grad()
def detect(model: Any, image: Tensor, autocast: torch.autocast) -> dict[str, Tensor]:
    """torchvision's detections, their masks thresholded, on the CPU as ours are."""
    with autocast:
        (found,) = model([image])
    found["masks"] = found["masks"][:, 0] >= 0.5
    return {name: value.cpu() for name, value in found.items()}


@torch.no_grad()
def undone(model: Any, image: Tensor) -> Tensor:
    """The 28 x 28 probabilities that torchvision pastes into the image."""
    images, _ = model.transform([image])
    features = model.backbone(images.tensors)
    proposals, _ = model.rpn(images, features)
    (found,), _ = model.roi_heads(features, proposals, images.image_sizes)
    probabilities: Tensor = found["masks"][:, 0]
    return probabilities.cpu()


def largest(a: Tensor | None, b: Tensor) -> float:
    """The largest difference; infinite where there are not as many."""
    if a is None or a.shape != b.shape:
        return float("inf")
    return float((a - b).abs().max())
