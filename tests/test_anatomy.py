"""Anatomy: the figures of the walk-through, and the same shapes as a real run's.

Deliberate faults, and the test that caught each:

- P6 left out of the anchors -> test_the_figures_of_the_walk_through
- proposals without the cap of post-NMS, or without that of a small image
  -> test_the_figures_of_the_walk_through, test_as_in_a_real_run
- height and width swapped in the pasted masks -> test_as_in_a_real_run
- the mask head run on the box head's grid -> test_the_figures_of_the_walk_through
- K + 1 classes in the mask logits -> test_the_figures_of_the_walk_through
- frozen parameters counted as trained -> test_parameters
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.models.anatomy import (
    Entry,
    Shape,
    anatomy,
    count_parameters,
    recorded,
)

SMALL = ModelConfig(
    num_classes=3,
    depth=18,
    stem_width=8,
    norm="gn",
    frozen_stages=0,
    fpn_channels=16,
    box_head_width=32,
    mask_head_width=16,
    mask_head_convs=2,
    score_threshold=0.0,  # random weights are sure of nothing
    max_detections=7,
)


def shapes(entries: list[Entry]) -> dict[str, Shape]:
    """By "part tensor"."""
    return {f"{entry.part} {entry.tensor}": entry.shape for entry in entries}


def test_the_figures_of_the_walk_through() -> None:
    """A 1024 image through ResNet-50-FPN (CLAIMS 16 and 17)."""
    found = shapes(anatomy(ModelConfig(), (1024, 1024)))
    for level, side in zip(range(2, 7), (256, 128, 64, 32, 16), strict=True):
        assert found[f"FPN P{level}"] == (1, 256, side, side)
        assert found[f"RPN anchors of P{level}"] == (3 * side**2, 4)
    assert found["backbone C5"] == (1, 2048, 32, 32)
    assert found["RPN all anchors"] == (261_888, 4)
    assert found["RPN objectness"] == (1, 261_888)
    assert found["RPN box deltas"] == (1, 261_888, 4)
    assert found["RPN proposals"] == (1000, 4)
    assert found["box head RoIAlign of P2..P5"] == (1000, 256, 7, 7)
    assert found["box head class logits"] == (1000, 81)
    assert found["box head box deltas"] == (1000, 80, 4)
    assert found["box head detections"] == ("n", 4)
    assert found["mask head RoIAlign of P2..P5"] == ("n", 256, 14, 14)
    assert found["mask head deconv"] == ("n", 256, 28, 28)
    assert found["mask head mask logits"] == ("n", 80, 28, 28)
    assert found["mask head masks"] == ("n", 1024, 1024)


@pytest.mark.parametrize("size", [(64, 96), (50, 130), (256, 256)])
def test_as_in_a_real_run(size: tuple[int, int]) -> None:
    """Numbers instead of the meta device: every shape is the same."""
    told = shapes(anatomy(SMALL, size))
    torch.manual_seed(0)
    model = MaskRCNN(replace(SMALL, rpn_nms_iou=1.0)).eval()  # NMS drops none
    layers = {
        "backbone": model.backbone,
        "fpn": model.fpn,
        "rpn": model.rpn,
        "box head": model.box_head,
        "box head fc2": model.box_head.fc2,
        "mask head conv2": model.mask_head.convs[1],
        "mask head": model.mask_head,
    }
    with recorded(layers) as real:
        (found,) = model([torch.rand(3, *size)])
    n = len(found)
    assert n == SMALL.max_detections
    for level, feature in enumerate(real["backbone"], 2):
        assert told[f"backbone C{level}"] == feature.shape
    for level, feature in enumerate(real["fpn"], 2):
        assert told[f"FPN P{level}"] == feature.shape
    logits, deltas = real["rpn"]
    assert told["RPN objectness"] == torch.cat(logits, 1).shape
    assert told["RPN box deltas"] == torch.cat(deltas, 1).shape
    logits, deltas = real["box head"]
    assert told["RPN proposals"][0] == len(logits)
    assert told["box head class logits"] == logits.shape
    assert told["box head box deltas"] == deltas.shape
    assert told["box head fc2"] == real["box head fc2"].shape
    # Of the maps of all classes a run computes the detection's alone.
    rows, classes, *map_size = told["mask head mask logits"]
    assert (rows, classes) == ("n", SMALL.num_classes)
    assert (n, *map_size) == real["mask head"].shape
    assert told["mask head deconv"] == ("n", SMALL.mask_head_width, *map_size)
    expected = (n, *told["mask head conv2"][1:])
    assert expected == real["mask head conv2"].shape
    probabilities = (n, *told["mask head mask probabilities"][1:])
    assert probabilities == found.mask_probabilities.shape
    assert told["mask head masks"] == ("n", *size)


@settings(max_examples=10)
@given(st.integers(1, 700), st.integers(1, 700))
def test_any_size_has_an_anatomy(height: int, width: int) -> None:
    """Padded to whole cells of P5; a proposal needs an anchor."""
    told = shapes(anatomy(SMALL, (height, width)))
    _, _, padded_height, padded_width = told["image batch"]
    assert 0 <= padded_height - height < 32
    assert 0 <= padded_width - width < 32
    assert told["FPN P5"][2:] == (padded_height // 32, padded_width // 32)
    assert 0 < told["RPN proposals"][0] <= told["RPN all anchors"][0]


def test_parameters() -> None:
    """torchvision's maskrcnn_resnet50_fpn has 44,401,393 for 90 classes.

    Its box and mask predictors have outputs for the background too, ours have not: that
    is 4 deltas over 1024 numbers and one map over 256, each with a bias.
    """
    parts = count_parameters(ModelConfig(num_classes=90))
    total = sum(part.total for part in parts)
    assert total == 44_401_393 - 4 * 1025 - 257
    by_name = {part.part: part for part in parts}
    frozen = by_name["backbone"].total - by_name["backbone"].trained
    # The stem's 7x7 and the ten convolutions of res2.
    stem, first = 3 * 64 * 49, 64 * 64 + 64 * 64 * 9 + 64 * 256 * 2
    assert frozen == stem + first + 2 * (256 * 64 + 64 * 64 * 9 + 64 * 256)
    for name in ("fpn", "rpn", "box_head", "mask_head"):
        assert by_name[name].trained == by_name[name].total


@pytest.mark.parametrize(
    ("backbone", "deepest", "parameters"),
    [
        ("resnet18", "[1, 512, 8, 8]", "11,166,912"),
        ("resnet101", "[1, 2048, 8, 8]", "42,394,816"),
        ("resnext50-32x4d", "[1, 2048, 8, 8]", "22,911,680"),
        ("resnext101-32x8d", "[1, 2048, 8, 8]", "86,539,456"),
    ],
)
def test_the_command(
    backbone: str, deepest: str, parameters: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["anatomy", "--image", "256", "--backbone", backbone]) == 0
    out = capsys.readouterr().out
    assert deepest in out
    assert parameters in out
    assert "[n, 80, 28, 28]" in out


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["anatomy", "--image", "0"]) == 1
    assert "1 pixel or more" in capsys.readouterr().err
    assert main(["anatomy", "--backbone", "vgg"]) == 2
    error = capsys.readouterr().err
    assert "resnext101-32x8d" in error
    assert error.count("\n") == 1
