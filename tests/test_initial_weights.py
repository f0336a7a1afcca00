"""Initial weights: what fits is taken, what does not is named, nothing else is run.

Faults tried, and the test that caught each:
- biases of folded convolutions dropped -> test_folded_norms_compute_the_same
- a norm's statistics left as they were -> the same
- downsample.0's norm not found -> the same
- biases without their convolution taken for a norm ->
  test_a_bias_without_its_convolution_is_unused
- nothing fits and nobody is told -> test_a_file_that_fits_nothing_is_refused
- misshapen tensors counted as missing -> test_what_does_not_fit_is_named
- torch.load without weights_only -> test_a_pickle_that_runs_code_is_refused
"""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tiny_training import StandIn, tiny_config
from torch import Tensor, nn

from maskrcnn_scratch.data import write_shapes
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.models.norms import FrozenBatchNorm2d
from maskrcnn_scratch.models.resnet import ResNet
from maskrcnn_scratch.training import run, train
from maskrcnn_scratch.training.initial_weights import load_initial_weights, norm_behind
from maskrcnn_scratch.weights.model_file import (
    read_model_file,
    write_model_file,
)

FROZEN = ModelConfig(
    depth=18, stem_width=4, fpn_channels=8, box_head_width=8, mask_head_width=8
)
EXACT = replace(FROZEN, norm_eps=0.0)


def random_backbone(config: ModelConfig) -> ResNet:
    """A backbone whose norms do something."""
    torch.manual_seed(0)
    backbone = ResNet(config).eval()
    for module in backbone.modules():
        if isinstance(module, FrozenBatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                tensor.normal_()
            module.running_var.uniform_(0.5, 2)
    return backbone


def folded(backbone: ResNet) -> dict[str, Tensor]:
    """Convolutions with weight and bias that compute what conv and norm did."""
    tensors = {}
    modules = dict(backbone.named_modules())
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d):
            norm = modules[norm_behind(name) or ""]
            assert isinstance(norm, FrozenBatchNorm2d)
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            tensors[f"{name}.weight"] = (
                module.weight.detach() * scale[:, None, None, None]
            )
            tensors[f"{name}.bias"] = norm.bias - norm.running_mean * scale
    return tensors


def test_folded_norms_compute_the_same(tmp_path: Path) -> None:
    backbone = random_backbone(FROZEN)
    path = tmp_path / "folded.pth"
    torch.save(folded(backbone), path)
    model = MaskRCNN(EXACT).eval()
    report = load_initial_weights(model, path)
    assert (report.missing, report.unused, report.misshapen) == ([], [], [])
    image = torch.rand(1, 3, 64, 64)
    for mine, its in zip(model.backbone(image), backbone(image), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-4)


def test_a_bias_without_its_convolution_is_unused(tmp_path: Path) -> None:
    """It was fitted to weights that are not there."""
    tensors = folded(random_backbone(FROZEN))
    del tensors["layer4.1.conv2.weight"]
    torch.save(tensors, tmp_path / "partial.pth")
    model = MaskRCNN(EXACT)
    report = load_initial_weights(model, tmp_path / "partial.pth")
    assert report.unused == ["backbone.layer4.1.conv2.bias"]
    norm = [f"bn2.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
    expected = {f"backbone.layer4.1.{name}" for name in ("conv2.weight", *norm)}
    assert set(report.missing) == expected


def test_torchvisions_names_load_as_they_are(tmp_path: Path) -> None:
    """A state dict with its norms apart, and a classifier that nobody needs."""
    backbone = random_backbone(FROZEN)
    path = tmp_path / "resnet.pth"
    torch.save({**backbone.state_dict(), "fc.bias": torch.zeros(3)}, path)
    model = MaskRCNN(FROZEN)
    report = load_initial_weights(model, path)
    assert (report.missing, report.unused) == ([], ["backbone.fc.bias"])
    assert len(report.loaded) == len(backbone.state_dict())
    own = model.backbone.state_dict()
    torch.testing.assert_close(own, backbone.state_dict(), rtol=0, atol=0)


def test_ours_load_but_for_other_classes(tmp_path: Path) -> None:
    """From 80 classes to 3: all but the predictors."""
    path = tmp_path / "model.safetensors"
    source = MaskRCNN(FROZEN)
    write_model_file(path, source, {}, ["x"] * 80)
    model = MaskRCNN(replace(FROZEN, num_classes=3))
    report = load_initial_weights(model, path)
    assert (report.missing, report.unused) == ([], [])
    assert {name.split(".")[0] for name in report.misshapen} == {
        "box_head",
        "mask_head",
    }
    for name, tensor in model.state_dict().items():
        assert (name in report.misshapen) != torch.equal(
            tensor, source.state_dict()[name]
        ) or tensor.numel() == 0


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "some.pth"
    torch.save(
        {
            "conv1.weight": torch.ones(4, 3, 7, 7),
            "bn1.weight": torch.ones(5),
            "head.weight": torch.ones(1),
        },
        path,
    )
    model = MaskRCNN(FROZEN)
    report = load_initial_weights(model, path)
    assert report.loaded == ["backbone.conv1.weight"]
    assert report.misshapen == ["backbone.bn1.weight"]
    assert report.unused == ["backbone.head.weight"]
    assert "backbone.bn1.bias" in report.missing
    assert not any(name.startswith(("fpn", "rpn")) for name in report.missing)
    assert (model.backbone.conv1.weight == 1).all()
    lines = report.text().splitlines()
    assert lines[0].startswith("initial weights: 1 tensors from ")
    assert lines[0].endswith("some.pth")
    assert lines[2] == "  unused (1): backbone.head.weight"
    assert len(lines) == 4


def test_a_file_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"encoder.0.weight": torch.ones(1)}, path)
    with pytest.raises(ValueError, match=r"nothing in .*other\.pth fits"):
        load_initial_weights(MaskRCNN(FROZEN), path)


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"conv1.weight": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(ValueError, match=r"evil\.pth is no file of plain tensors"):
        load_initial_weights(MaskRCNN(FROZEN), path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"no zip, no pickle"])
def test_broken_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.pth is no file of plain tensors"):
        load_initial_weights(MaskRCNN(FROZEN), path)


def test_other_contents_are_named(tmp_path: Path) -> None:
    path = tmp_path / "list.pth"
    torch.save([torch.zeros(1)], path)
    with pytest.raises(ValueError, match="holds no state dict"):
        load_initial_weights(MaskRCNN(FROZEN), path)
    with pytest.raises(FileNotFoundError, match="no initial weights at"):
        load_initial_weights(MaskRCNN(FROZEN), tmp_path / "nowhere.pth")


def test_a_run_starts_from_them_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At rate 0 the weights stay those it started from, whatever the seed."""
    monkeypatch.setattr(run, "MaskRCNN", StandIn)
    shapes = write_shapes(tmp_path / "shapes", 2, 1, size=64)
    still = tiny_config(learning_rate=0.0)
    first = train(still, shapes, tmp_path / "a", False, Console(file=io.StringIO()))
    path = first / "model.safetensors"
    again = tiny_config(learning_rate=0.0, seed=5, initial_weights=str(path))
    out = io.StringIO()
    second = train(again, shapes, tmp_path / "b", False, Console(file=out))
    assert "initial weights: 9 tensors from " in out.getvalue()
    a, b = (read_model_file(r / "model.safetensors").tensors for r in (first, second))
    for name in ("conv.weight", "conv.bias", "box.weight", "box.bias"):
        assert torch.equal(a[name], b[name])


def test_a_partial_resnet_18(shared_data: Path) -> None:
    """The published weights without layer4's 3x3 convolutions (see its SOURCE.md)."""
    path = shared_data / "weights" / "resnet18_imagenet_bnfolded_partial.pth"
    if not path.is_file():
        pytest.skip(f"no weights at {path}")
    model = MaskRCNN(replace(EXACT, stem_width=64))
    report = load_initial_weights(model, path)
    assert report.misshapen == []
    four = [f"layer4.{block}.conv{n}" for block in (0, 1) for n in (1, 2)]
    assert sorted(report.unused) == sorted(
        ["backbone.fc.weight", "backbone.fc.bias"]
        + [f"backbone.{name}.bias" for name in four]
    )
    convs = {name for name in report.missing if ".conv" in name}
    assert convs == {f"backbone.{name}.weight" for name in four}
    assert all(name.startswith("backbone.layer4.") for name in report.missing)
    # 16 convolutions, and for each a norm of four tensors.
    assert len(report.loaded) == 16 * 5
