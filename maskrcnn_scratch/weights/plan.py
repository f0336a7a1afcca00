"""What a published file becomes: our config, and the rules that fill its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.config import HeadNorm
from maskrcnn_scratch.models.resnet import BLOCKS
from maskrcnn_scratch.weights.coco_classes import class_names
from maskrcnn_scratch.weights.fit import Rule, Tensors

Settings = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How the weights of one file are converted."""

    title: str
    config: ModelConfig
    rules: list[Rule]
    class_names: list[str]
    """Empty for a backbone."""
    ignored: str = r".*num_batches_tracked"
    """Published names that carry nothing of ours."""
    notes: tuple[str, ...] = ()
    """What was assumed, and what cannot be equal."""

    @property
    def backbone_only(self) -> bool:
        """Whether there are no heads."""
        return not self.class_names


def sizes(tensors: Tensors, probes: Mapping[str, tuple[str, int]]) -> Settings:
    """Fields of the config that are sizes of tensors: (name, axis) for each field.

    A field whose tensor is not there is left out.
    """
    return {
        field: tensors[name].shape[axis]
        for field, (name, axis) in probes.items()
        if name in tensors and tensors[name].dim() > axis
    }


def resnet(tensors: Tensors, blocks: str, third: str) -> Settings:
    """The depth, read off the names of the blocks.

    ``blocks`` is a pattern with the stage and the block as groups, ``third`` one for a
    bottleneck's third convolution; res5 may be missing, as in an RPN on C4. Raises
    ValueError for a ResNet that ours cannot be.
    """
    found: dict[str, set[str]] = {}
    for name in tensors:
        if match := re.match(blocks, name):
            found.setdefault(match[1], set()).add(match[2])
    counts = tuple(len(found[stage]) for stage in sorted(found))
    bottleneck = any(re.match(third, name) for name in tensors)
    for depth, known in BLOCKS.items():
        shown = known[: max(3, len(counts))]
        if shown == counts and bottleneck == (depth >= 50):
            return {"depth": depth}
    kind = "bottlenecks" if bottleneck else "blocks of two convolutions"
    raise ValueError(
        f"the file holds a ResNet with {counts} {kind}; ours have"
        f" {', '.join(f'{known} (ResNet-{depth})' for depth, known in BLOCKS.items())}"
    )


def groups(tensors: Tensors, second: str, settings: Settings) -> Settings:
    """ResNeXt's groups, from the first bottleneck's 3x3 weight, which ``second`` names.

    It is [inner, inner / groups, 3, 3]; ``settings`` know the depth and the stem.
    """
    if settings["depth"] < 50 or second not in tensors or tensors[second].dim() != 4:
        return {}
    inner, per_group = tensors[second].shape[:2]
    stem = settings.get("stem_width", 64)
    return {
        "groups": max(1, inner // max(per_group, 1)),
        "width_per_group": per_group * 64 // stem,
    }


def counted(tensors: Tensors, pattern: str, default: int) -> int:
    """How many different first groups the names that match have; if none, ``default``.

    With a number that is published, what is missing can be named.
    """
    matches = (re.fullmatch(pattern, name) for name in tensors)
    return len({match[1] for match in matches if match}) or default


def batch_norm(tensors: Tensors, *places: str) -> HeadNorm:
    """Whether there is a batch norm at any of these places."""
    there = any(f"{place}.running_mean" in tensors for place in places)
    return "bn" if there else "none"


def model_name(config: ModelConfig) -> str:
    """Such as ``Mask R-CNN, ResNet-50 FPN``."""
    kind = "Mask R-CNN" if config.mask_head != "none" else "Faster R-CNN"
    if config.keypoints:
        kind = (
            "Keypoint R-CNN" if config.mask_head == "none" else f"{kind} with keypoints"
        )
    if config.box_head == "none":
        kind = "RPN"
    if not config.rpn:
        kind = kind.replace("Faster", "Fast") + " without RPN"
    return f"{kind}, {resnet_name(config)} {config.features.upper()}"


def resnet_name(config: ModelConfig) -> str:
    """``ResNet-50``, or ``ResNeXt-101 32x8d``."""
    if config.groups == 1:
        return f"ResNet-{config.depth}"
    return f"ResNeXt-{config.depth} {config.groups}x{config.width_per_group}d"


def names_of(config: ModelConfig) -> list[str]:
    """COCO's names of the classes where they can be meant, or else numbers.

    Keypoints are of people; all that RPN alone finds is an object.
    """
    if config.box_head == "none":
        return ["object"]
    if config.keypoints and config.num_classes == 1:
        return ["person"]
    return class_names(config.num_classes)
