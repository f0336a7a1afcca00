"""torchvision's models with random weights, converted by the command: equal detections.

No weights are downloaded. The yardstick is installed with
``python -m pip install torchvision`` (0.28 for torch 2.13) and is no dependency;
without it these tests skip.

Faults tried, and the test that caught each:
- the background's four boxes kept, the last four dropped -> equal detections
- stride on the 1x1, anchors not rounded, aligned RoIAlign -> equal detections
- norm_eps 1e-5 for frozen norms -> test_frozen_norms_of_either_eps
- only the layout of today -> test_the_layout_of_2019
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.training.initial_weights import load_initial_weights
from maskrcnn_scratch.weights.coco_classes import COCO_NAMES_BY_ID
from maskrcnn_scratch.weights.convert import convert
from maskrcnn_scratch.weights.model_file import build_model, read_model_file

NEEDED = "python -m pip install torchvision (0.28 for torch 2.13) runs these tests"
torchvision = pytest.importorskip("torchvision", reason=NEEDED)

SIZES = [(128, 192), (200, 250), (256, 130)]
"""Height and width; padded they are multiples of 64, where P6 has the same anchors."""


def randomise(model: nn.Module, tiny_variances: bool = False) -> None:
    """Norms that do something, and predictors that are sure of something."""
    for module in model.modules():
        if hasattr(module, "running_var"):
            variance = torch.empty_like(module.running_var).uniform_(0.5, 2)
            if tiny_variances:
                variance *= 2e-5
            scale = torch.empty_like(variance).uniform_(0.3, 0.7)
            module.running_var.copy_(variance)
            module.weight.data.copy_(scale * (variance / variance.mean()).sqrt())
            if tiny_variances:
                module.weight.data.mul_(4e-3)
            module.running_mean.normal_(0, 0.01 if tiny_variances else 0.1)
            module.bias.data.normal_(0, 0.1)
    for name, factor in (
        ("rpn.head.cls_logits", 20),
        ("rpn.head.bbox_pred", 5),
        ("roi_heads.box_predictor.cls_score", 40),
        ("roi_heads.box_predictor.bbox_pred", 5),
        ("roi_heads.mask_predictor.mask_fcn_logits", 5),
    ):
        layer = model.get_submodule(name)
        layer.weight.data.mul_(factor)
        layer.bias.data.normal_(0, 0.1)


def small_model(body: nn.Module, stages: list[int]) -> nn.Module:
    """torchvision's Mask R-CNN around ``body``, with narrow FPN and heads."""
    from torchvision.models.detection import MaskRCNN as Theirs
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import (
        MaskRCNNHeads,
        MaskRCNNPredictor,
    )

    layers = {f"layer{n + 1}": str(n) for n in range(4)}
    return Theirs(
        BackboneWithFPN(body, layers, stages, 16),
        box_head=TwoMLPHead(16 * 7 * 7, 32),
        box_predictor=FastRCNNPredictor(32, 6),
        mask_head=MaskRCNNHeads(16, (12,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(12, 12, 6),
    ).eval()


def small_resnet(depth: int, eps: float) -> nn.Module:
    """On a ResNet with frozen norms."""
    from torchvision.ops.misc import FrozenBatchNorm2d

    torch.manual_seed(0)
    make_body = getattr(torchvision.models, f"resnet{depth}")
    body = make_body(weights=None, norm_layer=partial(FrozenBatchNorm2d, eps=eps))
    stages = [64, 128, 256, 512]
    model = small_model(body, stages if depth < 50 else [4 * c for c in stages])
    randomise(model, tiny_variances=True)
    return model


def detections(model: nn.Module, images: list[Tensor]) -> list[dict[str, Tensor]]:
    """Theirs, in the frame of the image, with masks as 28 x 28 maps.

    The images are as large as the model wants them, so they are not scaled.
    """
    model.transform.postprocess = lambda found, sizes, originals: found
    model.transform.min_size = (min(images[0].shape[1:]),)
    model.transform.max_size = max(images[0].shape[1:])
    with torch.no_grad():
        found: list[dict[str, Tensor]] = model(images)
    return found


def assert_equal(
    theirs: nn.Module, ours: MaskRCNN, images: list[Tensor], fewest: int
) -> None:
    """The same objects in the same order: boxes and scores to 1e-4, masks to 1e-3."""
    with torch.no_grad():
        ours_found = ours(images)
    for expected, found in zip(detections(theirs, images), ours_found, strict=True):
        assert len(found) == len(expected["scores"]) >= fewest
        assert found.labels.tolist() == expected["labels"].tolist()
        size = max(images[0].shape)
        torch.testing.assert_close(
            found.boxes / size, expected["boxes"] / size, rtol=0, atol=1e-4 / size
        )
        torch.testing.assert_close(found.scores, expected["scores"], rtol=0, atol=1e-4)
        maps = expected["masks"][:, 0]
        assert maps.std() > 0.05
        torch.testing.assert_close(found.mask_probabilities, maps, rtol=0, atol=1e-3)


def converted(state: dict[str, Tensor], tmp_path: Path, *options: str) -> MaskRCNN:
    """By the command."""
    path, out = tmp_path / "theirs.pth", tmp_path / "ours.safetensors"
    torch.save(state, path)
    words = ["weights", "convert", str(path), "--from", "torchvision"]
    assert main([*words, "--out", str(out), *options]) == 0
    return build_model(read_model_file(out))


@pytest.mark.slow
def test_maskrcnn_resnet50_fpn(tmp_path: Path) -> None:
    """Fewer proposals than by default on both sides, to be quick."""
    torch.manual_seed(0)
    theirs = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, rpn_post_nms_top_n_test=150
    ).eval()
    randomise(theirs)
    ours = converted(theirs.state_dict(), tmp_path)
    assert ours.config.num_classes == 90
    file = read_model_file(tmp_path / "ours.safetensors")
    assert file.class_names == COCO_NAMES_BY_ID
    assert ours.config == replace(TORCHVISION, depth=50, num_classes=90, norm_eps=1e-5)
    quick = MaskRCNN(replace(ours.config, rpn_post_nms_test=150)).eval()
    quick.load_state_dict(ours.state_dict())
    for seed, size in enumerate(SIZES):
        torch.manual_seed(seed)
        assert_equal(theirs, quick, [torch.rand(3, *size)], 50)


TORCHVISION = ModelConfig(
    stride_in_1x1=False,
    anchors_rounded=True,
    rpn_min_size=1e-3,
    roi_aligned=False,
    box_beta=1 / 9,
    mask_target="soft",
)


@pytest.mark.parametrize(
    ("depth", "eps", "options"), [(18, 0.0, []), (50, 1e-5, ["--norm-eps", "1e-5"])]
)
def test_frozen_norms_of_either_eps(
    tmp_path: Path, depth: int, eps: float, options: list[str]
) -> None:
    """With variances of 2e-5, so that the wrong one shows; two images at a time."""
    theirs = small_resnet(depth, eps)
    ours = converted(theirs.state_dict(), tmp_path, *options)
    assert (ours.config.depth, ours.config.norm_eps) == (depth, eps)
    for size in SIZES:
        torch.manual_seed(1)
        assert_equal(theirs, ours, [torch.rand(3, *size), torch.rand(3, *size)], 50)


def test_the_layout_of_2019(tmp_path: Path) -> None:
    """Names that torchvision itself still reads, as it renames them when loading."""
    theirs = small_resnet(18, 0.0)
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
    reader = small_resnet(18, 0.0)
    reader.load_state_dict(old)
    (tmp_path / "old").mkdir()
    from_old = converted(old, tmp_path / "old").state_dict()
    from_today = converted(today, tmp_path).state_dict()
    torch.testing.assert_close(from_old, from_today, rtol=0, atol=0)


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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fasterrcnn_resnet50_fpn", "no mask branch"),
        ("keypointrcnn_resnet50_fpn", "a keypoint head"),
        ("maskrcnn_resnet50_fpn_v2", r"a box head of convolutions \(v2\)"),
    ],
)
def test_its_other_models_are_refused_by_name(
    tmp_path: Path, name: str, message: str
) -> None:
    """The names are theirs; the tensors are left empty, for the refusal needs none."""
    with torch.device("meta"):
        theirs = getattr(torchvision.models.detection, name)(
            weights=None, weights_backbone=None
        )
    names = theirs.state_dict()
    torch.save({name: torch.zeros(0) for name in names}, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "theirs.pth", "torchvision", tmp_path / "x.safetensors")
