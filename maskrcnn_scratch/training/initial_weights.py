"""Starting from weights that were trained before.

Two kinds of file: a ``model.safetensors`` of ours, whose tensors go where they came
from, and a ResNet's state dict in torchvision's names (``.pth``), which goes to the
backbone. In the latter, batch norm may be folded into the convolutions: then a
convolution has a bias, and the norm behind it becomes x + bias.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.weights.model_file import read_model_file
from maskrcnn_scratch.weights.torch_file import read_torch_file

Tensors = dict[str, Tensor]


@dataclass
class WeightsReport:
    """Which of the file's tensors went into the model, and which did not."""

    path: Path
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """In the model (in the part that the file is for), not in the file."""
    unused: list[str] = field(default_factory=list)
    """In the file, not in the model."""
    misshapen: list[str] = field(default_factory=list)
    """In both, in different shapes."""
    differing: list[str] = field(default_factory=list)
    """Conventions of the backbone in which the file's config is not the model's."""

    def text(self) -> str:
        """One line of counts, then one for each kind of tensor left out."""
        lines = [f"initial weights: {len(self.loaded)} tensors from {self.path}"]
        for kind, names in (
            ("missing, left as they were", self.missing),
            ("unused", self.unused),
            ("of another shape, left as they were", self.misshapen),
        ):
            if names:
                lines.append(f"  {kind} ({len(names)}): {', '.join(names)}")
        lines += [f"  made for another model: {line}" for line in self.differing]
        return "\n".join(lines)


def load_initial_weights(model: nn.Module, path: str | Path) -> WeightsReport:
    """Copy what fits into the model.

    Raises FileNotFoundError, or ValueError where the file is broken or nothing fits.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no initial weights at {path}")
    part = "backbone."
    differing: list[str] = []
    if path.suffix == ".safetensors":
        file = read_model_file(path)
        tensors = file.tensors
        part = part if all(name.startswith(part) for name in tensors) else ""
        differing = differing_conventions(model, file.config)
    else:
        unfolded = unfold_norms(read_state_dict(path))
        tensors = {part + name: tensor for name, tensor in unfolded.items()}
    report = copy_into(model, tensors, part)
    report.path, report.differing = path, differing
    if not report.loaded:
        raise ValueError(
            f"nothing in {path} fits the model: the file has"
            f" {', '.join(list(tensors)[:3])}, ..., the model"
            f" {', '.join(report.missing[:3])}, ..."
        )
    return report


def differing_conventions(model: nn.Module, settings: dict[str, Any]) -> list[str]:
    """What changes the meaning of a backbone's weights and none of their shapes."""
    own = getattr(model, "config", None)
    if not isinstance(own, ModelConfig) or "model" not in settings:
        return []
    its = TypeAdapter(ModelConfig).validate_python(settings["model"])
    return [
        f"{name} is {getattr(its, name)} there and {getattr(own, name)} here"
        for name in (
            "stride_in_1x1",
            "stem_pool",
            "norm_eps",
            "pixel_mean",
            "pixel_std",
        )
        if getattr(its, name) != getattr(own, name)
    ]


def read_state_dict(path: Path) -> Tensors:
    """The tensors of a .pth file; reading it runs no code from it."""
    contents = read_torch_file(path)
    if not isinstance(contents, dict) or not all(
        isinstance(value, Tensor) for value in contents.values()
    ):
        raise ValueError(f"{path} holds no state dict; expected tensors by name")
    return contents


def unfold_norms(tensors: Tensors) -> Tensors:
    """Convolution biases become the norms they were folded from: x * 1 + bias.

    Biases whose convolution's weight is missing are left where they are: they fit no
    other weight.
    """
    unfolded: Tensors = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        weight = tensors.get(f"{layer}.weight")
        norm = norm_behind(layer)
        if kind != "bias" or norm is None or weight is None:
            unfolded[name] = tensor
            continue
        unfolded[f"{norm}.weight"] = torch.ones_like(tensor)
        unfolded[f"{norm}.bias"] = tensor
        unfolded[f"{norm}.running_mean"] = torch.zeros_like(tensor)
        unfolded[f"{norm}.running_var"] = torch.ones_like(tensor)
    return unfolded


def norm_behind(convolution: str) -> str | None:
    """``layer1.0.conv1`` -> ``layer1.0.bn1``, ``downsample.0`` -> ``downsample.1``."""
    stem, _, last = convolution.rpartition(".")
    prefix = f"{stem}." if stem else ""
    if last.startswith("conv"):
        return f"{prefix}bn{last.removeprefix('conv')}"
    if last == "0" and stem.endswith("downsample"):
        return f"{prefix}1"
    return None


def copy_into(model: nn.Module, tensors: Tensors, part: str) -> WeightsReport:
    """Copy by name; only the model's tensors in ``part`` count as missing."""
    report = WeightsReport(Path())
    own = model.state_dict()
    for name, tensor in tensors.items():
        if name not in own:
            report.unused.append(name)
        elif own[name].shape != tensor.shape:
            report.misshapen.append(name)
        else:
            own[name].copy_(tensor)
            report.loaded.append(name)
    report.missing = [
        name for name in own if name.startswith(part) and name not in tensors
    ]
    return report
