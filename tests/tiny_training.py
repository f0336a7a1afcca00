"""A model and a config so small that a whole training takes a moment."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.structures import Target
from maskrcnn_scratch.training.config import RunConfig, check_config

TINY_MODEL = {
    "image_short": 64,
    "depth": 18,
    "stem_width": 4,
    "norm": "gn",
    "frozen_stages": 0,
    "fpn_channels": 8,
    "anchor_sizes": [16, 24, 32, 48, 64],
    "rpn_samples": 32,
    "rpn_pre_nms_train": 60,
    "rpn_post_nms_train": 40,
    "rpn_pre_nms_test": 60,
    "rpn_post_nms_test": 40,
    "roi_samples": 16,
    "box_head_width": 16,
    "mask_head_width": 8,
    "mask_head_convs": 1,
    "max_detections": 10,
}


def tiny_config(**train: object) -> RunConfig:
    """Six iterations on images of 64 pixels; keywords change the section train."""
    settings = {
        "model": TINY_MODEL,
        "data": {"workers": 0, "transform": {"min_sizes": [64]}},
        "train": {
            "iterations": 6,
            "batch_size": 2,
            "reference_batch": 2,
            "warmup_iterations": 2,
            "checkpoint_every": 2,
            "print_every": 1,
            **train,
        },
    }
    return check_config(settings, "tiny")


class StandIn(nn.Module):
    """Takes and returns what MaskRCNN does, with all that can differ between runs.

    Batch statistics are buffers, dropout draws at random, convolutions are
    channels-last.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.2)
        self.box = nn.Linear(4, 4)

    def forward(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        features = torch.relu(self.norm(self.conv(torch.stack(images))))
        guesses = self.box(self.drop(features.mean((2, 3))))
        truths = torch.stack([target.boxes.mean(0) / 64 for target in targets])
        return {
            "box": (guesses - truths).square().mean(),
            "size": guesses.square().mean() / 10,
        }
