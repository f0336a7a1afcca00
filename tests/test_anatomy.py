"""Anatomy: the figures of the walk-through, and the same shapes as a real run's.

Deliberate faults, and the test that caught each:

- P6 left out of the anchors, or of the pyramid -> test_the_figures_of_the_walk_through
- proposals without the cap of post-NMS, or without that of a small image
  -> test_the_figures_of_the_walk_through, test_as_in_a_real_run
- levels that are one in NMS counted apart -> test_so_many_proposals_enter_nms
- three anchors a cell on a single map too -> test_one_map_and_res5
- res5's map for its mean -> test_one_map_and_res5
- height and width swapped in the pasted masks -> test_as_in_a_real_run
- the mask head run on the box head's grid -> test_the_figures_of_the_walk_through
- the keypoint head run on the box head's grid -> test_the_other_heads
- K + 1 classes in the mask logits -> test_the_figures_of_the_walk_through
- frozen parameters counted as trained -> test_parameters
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.models.anatomy import anatomy, count_parameters
from maskrcnn_scratch.models.presets import NAMED, PRESETS, preset
from maskrcnn_scratch.models.tensor_entries import Entry, Shape, layers_of, recorded

TINY: dict[str, Any] = {
    "num_classes": 3,
    "depth": 18,
    "stem_width": 8,
    "norm": "gn",
    "frozen_stages": 0,
    "size_divisor": 32,
    "fpn_channels": 16,
    "rpn_width": None,
    "box_head_width": 32,
    "mask_head_width": 16,
    "mask_head_convs": 2,
    "mask_head_fc_width": 24,
    "keypoint_head_convs": 2,
    "keypoint_head_width": 16,
    "score_threshold": 0.0,  # random weights are sure of nothing
    "max_detections": 7,
}
SMALL = ModelConfig(**TINY)


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


def test_the_figures_of_the_third_seed() -> None:
    """Its system's preset: squares of 1024, two logits an anchor, rows of six."""
    small = shapes(anatomy(PRESETS["matterport"], (600, 800)))
    found = shapes(anatomy(PRESETS["matterport"], (1024, 1024)))
    assert small["image batch"] == found["image batch"] == (1, 3, 1024, 1024)
    for level, side in zip(range(2, 7), (256, 128, 64, 32, 16), strict=True):
        assert found[f"FPN P{level}"] == (1, 256, side, side)
    assert found["RPN all anchors"] == (261_888, 4)
    assert found["RPN class logits"] == (1, 261_888, 2)
    assert found["RPN box deltas"] == (1, 261_888, 4)
    assert found["RPN proposals"] == (1000, 4)
    assert found["box head crop and resize of P2..P5"] == (1000, 256, 7, 7)
    assert found["box head class logits"] == (1000, 81)
    assert found["box head rows"] == ("n", 6)
    assert found["mask head mask logits"] == ("n", 80, 28, 28)


def test_one_map_and_res5() -> None:
    """Figure 4, left: 15 anchors at stride 16, RoIs of 7 x 7 through res5."""
    found = shapes(anatomy(preset("r50-c4"), (800, 800)))
    assert found["backbone C4"] == (1, 1024, 50, 50)
    assert "backbone C5" not in found
    assert "FPN P2" not in found
    assert found["RPN anchors of C4"] == found["RPN all anchors"] == (15 * 50**2, 4)
    notes = {entry.tensor: entry.note for entry in anatomy(preset("r50-c4"), (64, 64))}
    assert notes["anchors of C4"] == "15 a cell"
    two = shapes(
        anatomy(replace(preset("r50-c4"), rpn_objectness="softmax"), (800, 800))
    )
    assert two["RPN class logits"] == (1, 15 * 50**2, 2)
    assert found["RPN proposals"] == (300, 4)
    assert found["box head RoIAlign of C4"] == (300, 1024, 7, 7)
    assert found["box head res5"] == (300, 2048, 7, 7)
    assert found["box head mean"] == (300, 2048)
    assert found["mask head res5"] == ("n", 2048, 7, 7)
    assert found["mask head mask logits"] == ("n", 80, 14, 14)
    twice = shapes(anatomy(preset("detectron2-c4"), (800, 800)))
    assert twice["box head RoIAlign of C4"] == (1000, 1024, 14, 14)
    assert twice["box head res5"] == (1000, 2048, 7, 7)
    assert twice["mask head mask logits"] == ("n", 80, 14, 14)


def test_so_many_proposals_enter_nms() -> None:
    """Of each of the five levels, or of all together."""
    few = replace(SMALL, rpn_pre_nms_test=9)
    assert shapes(anatomy(few, (256, 256)))["RPN proposals"] == (5 * 9, 4)
    together = replace(few, rpn_levels_together=True)
    assert shapes(anatomy(together, (256, 256)))["RPN proposals"] == (9, 4)


def test_the_other_heads() -> None:
    """What each switch adds, takes away or reshapes."""
    pose = shapes(anatomy(preset("r50-fpn-keypoints"), (256, 256)))
    assert pose["keypoint head RoIAlign of P2..P5"] == ("n", 256, 14, 14)
    assert pose["keypoint head conv8"] == ("n", 512, 14, 14)
    assert pose["keypoint head deconv"] == ("n", 17, 28, 28)
    assert pose["keypoint head heatmaps"] == ("n", 17, 56, 56)
    assert pose["keypoint head keypoints"] == ("n", 17, 3)
    assert not any(name.startswith("mask head") for name in pose)
    mlp = shapes(anatomy(preset("r50-fpn-mlp3"), (256, 256)))
    assert mlp["mask head fc3"] == ("n", 1024)
    assert mlp["mask head mask logits"] == ("n", 80, 28, 28)
    softmax = shapes(anatomy(preset("r50-c4-softmax"), (256, 256)))
    assert softmax["mask head mask logits"] == ("n", 81, 14, 14)
    assert softmax["mask head mask probabilities"] == ("n", 14, 14)
    agnostic = shapes(anatomy(preset("r50-c4-agnostic"), (256, 256)))
    assert agnostic["mask head mask logits"] == ("n", 1, 14, 14)
    convs = shapes(anatomy(preset("torchvision-v2"), (256, 256)))
    assert convs["box head conv4"] == (1000, 256, 7, 7)
    assert convs["box head fc1"] == (1000, 1024)
    assert "box head fc2" not in convs
    given = shapes(anatomy(replace(preset("paper"), rpn=False), (256, 256)))
    assert given["box head class logits"] == ("p", 81)
    assert not any(name.startswith("RPN") for name in given)
    alone = anatomy(preset("r50-fpn-rpn"), (256, 256))
    assert alone[-1] == Entry(
        "RPN", "proposals", (1000, 4), "the best after NMS at 0.7, at most"
    )


def tiny(name: str) -> ModelConfig:
    """A preset with small sizes; what the heads are stays."""
    config = preset(name)
    depth = 16 if config.backbone == "vgg" else 18
    convs = min(config.mask_head_convs, 2)
    small = {**TINY, "depth": depth, "mask_head_convs": convs, "groups": 1}
    return replace(config, **small, box_head_conv_width=16)


@pytest.mark.parametrize("name", NAMED)
def test_every_preset_has_an_anatomy(name: str) -> None:
    """Of its real size."""
    entries = anatomy(preset(name), (128, 192))
    assert entries[0].shape == (3, 128, 192)
    names = [(entry.part, entry.tensor) for entry in entries]
    assert len(set(names)) == len(names)
    assert all(0 not in entry.shape for entry in entries)


@pytest.mark.parametrize("size", [(64, 96), (50, 130), (256, 256)])
def test_as_in_a_real_run(size: tuple[int, int]) -> None:
    agrees_with_a_real_run(SMALL, size)


@pytest.mark.parametrize(
    "name",
    [
        "torchvision-v2",
        "matterport",
        "r50-c4",
        "detectron2-c4",
        "r50-c4-softmax",
        "r50-c4-agnostic",
        "r50-c4-pool",
        "r50-c5",
        "r50-fpn-mlp2",
        "r50-fpn-keypoints-masks",
        "r50-fpn-rpn",
        "vgg16-c4-boxes",
    ],
)
def test_presets_as_in_a_real_run(name: str) -> None:
    agrees_with_a_real_run(replace(tiny(name), image_long=160), (64, 96))


def agrees_with_a_real_run(config: ModelConfig, size: tuple[int, int]) -> None:
    """Numbers instead of the meta device: every shape is the same."""
    told = shapes(anatomy(config, size))
    torch.manual_seed(0)
    every = replace(config, rpn_nms_iou=1.0, nms_iou=1.0, one_class_per_roi=False)
    model = MaskRCNN(every).eval()  # NMS drops none
    layers: dict[str, nn.Module] = {"backbone": model.backbone}
    heads: dict[str, Any] = {"box head": model.box_head, "mask head": model.mask_head}
    heads["keypoint head"] = model.keypoint_head
    inner = {"box head": "body", "mask head": "net"}
    for part, head in {"FPN": model.fpn, "RPN": model.rpn, **heads}.items():
        if head is not None:
            layers[part] = head
            if part in heads:
                net = getattr(head, inner[part]) if part in inner else head
                hidden = layers_of(net)
                layers |= {f"{part} {name}": layer for name, layer in hidden.items()}
    with recorded(layers) as real:
        (found,) = model([torch.rand(3, *size)])
    n = len(found)
    for level, feature in enumerate(real["backbone"], 2):
        assert told[f"backbone C{level}"] == feature.shape
    for level, feature in enumerate(real.get("FPN", ()), 2):
        assert told[f"FPN P{level}"] == feature.shape
    logits, deltas = real["RPN"]
    assert told["RPN objectness"] == torch.cat(logits, 1).shape
    assert told["RPN box deltas"] == torch.cat(deltas, 1).shape
    if model.box_head is None:
        assert told["RPN proposals"] == found.boxes.shape
        return
    assert n == config.max_detections
    assert told["box head rows"][1:] == found.rows_yx().shape[1:]
    logits, deltas = real["box head"]
    assert told["RPN proposals"][0] == len(logits)
    assert told["box head class logits"] == logits.shape
    assert told["box head box deltas"] == deltas.shape
    for name in layers.keys() - {"backbone", "FPN", "RPN", *heads}:
        if name in real:  # of the mask head's layers some are computed as products
            shape = tuple(real[name].shape)
            by_detection = not name.startswith("box head")
            # res5 serves two heads, the mask head last.
            res5 = name == "box head res5" and model.mask_head is not None
            expected = ("n" if by_detection else told["RPN proposals"][0], *shape[1:])
            assert told[name] == expected
            assert shape[0] == (n if by_detection or res5 else told[name][0])
    if model.mask_head is not None:
        # Of the maps of all classes a run computes the detection's alone, with sigmoid.
        rows, _, *map_size = told["mask head mask logits"]
        assert (rows, *map_size) == ("n", *real["mask head"].shape[2:])
        if config.mask_head == "fcn":
            width = config.mask_head_width
            assert told["mask head deconv"] == ("n", width, *map_size)
        assert found.mask_probabilities is not None
        probabilities = (n, *told["mask head mask probabilities"][1:])
        assert probabilities == found.mask_probabilities.shape
        assert told["mask head masks"] == ("n", *size)
    if model.keypoint_head is not None:
        heatmaps = (n, *told["keypoint head heatmaps"][1:])
        assert heatmaps == real["keypoint head"].shape
        points = (n, *told["keypoint head keypoints"][1:])
        assert found.keypoints is not None
        assert points == found.keypoints.shape


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
