"""Training scales its images as the model's predictions do.

Faults tried -> the test that caught them:
- the rule not passed on -> test_training_scales_by_the_model_s_rule
- images larger than the square let through -> test_what_the_square_cannot_hold_...
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_coco
import torch
from tiny_training import TINY_MODEL

from maskrcnn_scratch.data import CocoDataset
from maskrcnn_scratch.data.resize import ResizeRule, resize_image
from maskrcnn_scratch.training.config import ConfigError, RunConfig, check_config
from maskrcnn_scratch.training.prepare import open_dataset


def config(model: dict[str, Any], **transform: Any) -> RunConfig:
    settings = {
        "model": {**TINY_MODEL, **model},
        "data": {"transform": {"horizontal_flip": 0, **transform}},
    }
    return check_config(settings, "test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One image of 37 x 53 pixels."""
    return tiny_coco.write(
        tmp_path, tiny_coco.contents(images=[tiny_coco.image(1, 37, 53)])
    )


def test_training_scales_by_the_model_s_rule(folder: Path) -> None:
    image, _ = CocoDataset(folder, "train")[0]
    sizes = {"min_sizes": [13], "max_size": 99}
    rule = ResizeRule(short=13, long=99, filter="bilinear", rounding="down")
    model = {"resize_filter": "bilinear", "resize_rounding": "down"}
    scaled, _ = open_dataset(config(model, **sizes), folder)[0]
    expected = resize_image(image, rule.size((37, 53)), "bilinear")
    assert torch.equal(scaled, expected)
    by_default, _ = open_dataset(config({}, **sizes), folder)[0]
    assert by_default.shape[2] == scaled.shape[2] + 1  # 13 / 37 * 53 = 18.6


def test_what_the_square_cannot_hold_is_refused(folder: Path) -> None:
    square = {"image_square": True, "image_long": 64}
    with pytest.raises(ConfigError, match=r"images of up to 80 .*image_long = 64"):
        open_dataset(config(square, max_size=80), folder)
    with pytest.raises(ConfigError, match="images of up to 128 pixels"):
        open_dataset(config(square, max_size=64, scale_jitter=[1, 2]), folder)
    open_dataset(config(square, max_size=64), folder)
    open_dataset(config(square, max_size=80, crop=64), folder)
