"""A published file becomes one of ours, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.weights import (
    from_detectron2,
    from_imagenet,
    from_matterport,
    from_torchvision,
)
from maskrcnn_scratch.weights.fit import Misfit, Shape, fit
from maskrcnn_scratch.weights.identify import require_system
from maskrcnn_scratch.weights.model_file import write_tensors
from maskrcnn_scratch.weights.plan import Plan
from maskrcnn_scratch.weights.published_file import PublishedFile, read_published

System = Literal["torchvision", "detectron2", "matterport", "imagenet"]

BACKBONE = "backbone."


def convert(
    source: str | Path,
    system: System,
    out: str | Path,
    class_names: Sequence[str] | None = None,
    norm_eps: float | None = None,
) -> Plan:
    """Write ``out``, a .safetensors file of ours; returns what was understood.

    ``class_names`` are those of labels 1, 2, ..., where COCO's are not meant. Raises
    FileNotFoundError or ValueError, of which Misfit names every tensor that is
    missing, unused or misshapen; then nothing is written.
    """
    if Path(out).suffix != ".safetensors":
        raise ValueError(f"--out is {out}; expected a name that ends with .safetensors")
    file = read_published(source)
    try:
        plan = plan_of(file, system, norm_eps)
        tensors = converted(file, plan)
    except Misfit as error:
        raise Misfit(f"{source}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    names = checked_names(class_names, plan)
    write_tensors(out, tensors, header_config(plan, Path(source), system), names)
    return plan


def plan_of(file: PublishedFile, system: System, norm_eps: float | None) -> Plan:
    """How the file is converted; ValueError where it is another system's."""
    require_system(system, file.tensors)
    if system == "torchvision":
        return from_torchvision.plan(file.tensors, norm_eps)
    if norm_eps is not None:
        raise ValueError(f"--norm-eps is for torchvision's files; {system} has its own")
    if system == "detectron2":
        return from_detectron2.plan(file.tensors)
    if system == "matterport":
        return from_matterport.plan(file.tensors)
    return from_imagenet.plan(file.tensors)


def converted(file: PublishedFile, plan: Plan) -> dict[str, Tensor]:
    """Our tensors, all of them."""
    shapes = shapes_of(plan.config)
    if plan.backbone_only:
        shapes = {n: shape for n, shape in shapes.items() if n.startswith(BACKBONE)}
    what = f"{plan.title} with {plan.config.num_classes} classes"
    if plan.backbone_only:
        what = plan.title
    return fit(file.tensors, shapes, plan.rules, plan.ignored, what)


def shapes_of(config: ModelConfig) -> dict[str, Shape]:
    """The shape of every tensor of our model; none is made."""
    with torch.device("meta"):
        state = MaskRCNN(config).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def checked_names(given: Sequence[str] | None, plan: Plan) -> list[str]:
    """The names to write, as many as there are classes."""
    if given is None:
        return plan.class_names
    if len(given) != len(plan.class_names):
        raise ValueError(
            f"{len(given)} class names were given; the file has"
            f" {len(plan.class_names)} classes"
        )
    return list(given)


def header_config(plan: Plan, source: Path, system: System) -> dict[str, object]:
    """What training writes for a run, as far as a file of weights can know it."""
    return {
        "model": asdict(plan.config),
        "converted": {"from": system, "file": source.name, "notes": list(plan.notes)},
    }
