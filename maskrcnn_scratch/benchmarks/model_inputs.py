"""Weights, images and targets for the cases of the whole model.

The weights are random, set up for the work of a trained model: logits are large, so
there are as many detections as are allowed; and an RoI counts as positive from a low
IoU on, so that a quarter of the samples is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from maskrcnn_scratch.benchmarks import inputs
from maskrcnn_scratch.benchmarks.boxes import ellipses
from maskrcnn_scratch.benchmarks.cases import Sizes
from maskrcnn_scratch.benchmarks.roi_layers import LAYOUTS
from maskrcnn_scratch.benchmarks.torchvision_model import CONVENTIONS
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.models.norms import FrozenBatchNorm2d
from maskrcnn_scratch.structures import Target

Model = TypeVar("Model", bound=nn.Module)


def random_model(sizes: Sizes) -> MaskRCNN:
    """Random weights that find ``sizes.masks`` objects."""
    torch.manual_seed(0)
    model = MaskRCNN(
        replace(
            CONVENTIONS,
            image_short=min(sizes.image),
            image_long=max(sizes.image),
            max_detections=sizes.masks,
            roi_positive_iou=0.3,
        )
    )
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, FrozenBatchNorm2d):
                # Branches that add little keep the numbers from doubling a block.
                module.weight.uniform_(0.5, 1.0).mul_(0.3 if "bn3" in name else 1.0)
                module.bias.normal_(std=0.1)
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
        model.get_parameter("box_head.class_logits.weight").mul_(30)
        model.get_parameter("mask_head.net.mask_logits.weight").mul_(400)
    return model


def picture(size: tuple[int, int], seed: int) -> Tensor:
    """Soft random spots, RGB in 0..1."""
    coarse = torch.rand(1, 3, 24, 24, generator=inputs.generator(seed))
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")[0]


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
