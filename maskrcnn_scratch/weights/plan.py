"""What a published file becomes: our config, and the rules that fill its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.resnet import BLOCKS
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
    bottleneck's third convolution. Raises ValueError for a ResNet that ours cannot be.
    """
    found: dict[str, set[str]] = {}
    for name in tensors:
        if match := re.match(blocks, name):
            found.setdefault(match[1], set()).add(match[2])
    counts = tuple(len(found[stage]) for stage in sorted(found))
    bottleneck = any(re.match(third, name) for name in tensors)
    for depth, known in BLOCKS.items():
        if known == counts and bottleneck == (depth >= 50):
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


def resnet_name(config: ModelConfig) -> str:
    """``ResNet-50``, or ``ResNeXt-101 32x8d``."""
    if config.groups == 1:
        return f"ResNet-{config.depth}"
    return f"ResNeXt-{config.depth} {config.groups}x{config.width_per_group}d"
