"""torchvision's files, converted by the command: eps, layouts of names, ImageNet.

No weights are downloaded: models have random ones. That what is found is equal,
``test_torchvision_models`` says.

Faults tried, and the test that caught each:
- norm_eps 1e-5 for frozen norms -> test_frozen_norms_of_either_eps
- only the layout of today, mask_fcn numbered from 0 -> test_the_layout_of_2019
- VGG's layers one further -> test_imagenet_networks_become_backbones
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision_models import (
    converted,
    picture,
    predictor_of,
    small_converted,
    small_model,
    their_detections,
    torchvision,
)

from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.training.initial_weights import load_initial_weights
from maskrcnn_scratch.weights.coco_classes import COCO_NAMES_BY_ID
from maskrcnn_scratch.weights.convert import convert


@pytest.mark.parametrize(
    ("eps", "options"), [(0.0, []), (1e-5, ["--norm-eps", "1e-5"])]
)
def test_frozen_norms_of_either_eps(
    tmp_path: Path, eps: float, options: list[str]
) -> None:
    """With variances near 1e-5, so that the wrong one shows."""
    theirs = small_model("resnet18", "boxes", eps, unit=3e-3)
    assert theirs.backbone.body.bn1.running_var.mean() < 1e-4
    ours = small_converted(theirs, tmp_path, options)
    assert ours.config.norm_eps == eps
    image = picture((160, 200), 0)
    found = predictor_of(ours)(image)
    (expected,) = their_detections(theirs, [image])
    assert len(found) == len(expected["boxes"]) >= 20
    torch.testing.assert_close(found.boxes, expected["boxes"], rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(found.scores, expected["scores"], rtol=0, atol=1e-4)


def test_the_layout_of_2019(tmp_path: Path) -> None:
    """Names that torchvision itself still reads, as it renames them when loading."""
    theirs = small_model("resnet18")
    today = theirs.state_dict()
    old = {}
    for name, tensor in today.items():
        name = re.sub(r"(fpn\.\w+_blocks\.\d)\.0\.", r"\1.", name)
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        name = re.sub(
            r"mask_head\.(\d)\.0\.",
            lambda match: f"mask_head.mask_fcn{int(match[1]) + 1}.",
            name,
        )
        old[name] = tensor
    assert len(old.keys() - today.keys()) == 16 + 2 + 8
    theirs.load_state_dict(old)
    (tmp_path / "old").mkdir()
    from_old, from_today = converted(old, tmp_path / "old"), converted(today, tmp_path)
    assert from_old.config == from_today.config
    torch.testing.assert_close(
        from_old.state_dict(), from_today.state_dict(), rtol=0, atol=0
    )


def test_labels_are_coco_s_ids(tmp_path: Path) -> None:
    """Where there are 91 classes with the background; people where keypoints are."""
    theirs = small_model("resnet18", "keypoints")
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    plan = convert(tmp_path / "theirs.pth", "torchvision", tmp_path / "o.safetensors")
    assert plan.class_names == ["person"]
    assert not any("COCO" in note for note in plan.notes)
    predictor = theirs.roi_heads.box_predictor
    predictor.cls_score = nn.Linear(32, 91)
    predictor.bbox_pred = nn.Linear(32, 4 * 91)
    state = {n: t for n, t in theirs.state_dict().items() if "keypoint" not in n}
    torch.save(state, tmp_path / "theirs.pth")
    plan = convert(tmp_path / "theirs.pth", "torchvision", tmp_path / "o.safetensors")
    assert plan.class_names == COCO_NAMES_BY_ID
    assert any("COCO" in note for note in plan.notes)


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d"])
def test_imagenet_networks_become_backbones(tmp_path: Path, name: str) -> None:
    """Their features, from a model that training starts with."""
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)(weights=None).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    out = tmp_path / "ours.safetensors"
    plan = convert(tmp_path / "theirs.pth", "imagenet", out)
    small = {"fpn_channels": 8, "box_head_width": 8, "mask_head_width": 8}
    ours = MaskRCNN(replace(plan.config, **small)).eval()
    report = load_initial_weights(ours, out)
    assert (report.missing, report.unused, report.misshapen) == ([], [], [])
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        found = ours.backbone(x)
        theirs_x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
        for stage, ours_x in zip("1234", found, strict=True):
            theirs_x = theirs.get_submodule(f"layer{stage}")(theirs_x)
            torch.testing.assert_close(ours_x, theirs_x, rtol=1e-4, atol=1e-4)


def test_vgg_16_becomes_a_backbone(tmp_path: Path) -> None:
    """conv3_3, conv4_3 and conv5_3, as torchvision computes them."""
    torch.manual_seed(0)
    features = torchvision.models.vgg16(weights=None).features.eval()
    state = {f"features.{n}": tensor for n, tensor in features.state_dict().items()}
    torch.save(state | {"classifier.0.bias": torch.ones(2)}, tmp_path / "vgg16.pth")
    out = tmp_path / "ours.safetensors"
    plan = convert(tmp_path / "vgg16.pth", "imagenet", out)
    ours = MaskRCNN(replace(plan.config, box_head_width=8, mask_head="none")).eval()
    report = load_initial_weights(ours, out)
    assert (report.missing, report.unused, report.misshapen) == ([], [], [])
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        found = ours.backbone(x)
        for layers, ours_x in zip((16, 23, 30), found, strict=False):
            theirs_x = features[:layers](x)
            assert theirs_x.std() > 1e-3
            torch.testing.assert_close(ours_x, theirs_x, rtol=1e-4, atol=1e-5)
