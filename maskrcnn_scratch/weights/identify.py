"""Whose weights a file holds, by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable

SYSTEMS = {
    "torchvision": r"backbone\.(body|fpn)\.",
    "detectron2": r"proposal_generator\.|backbone\.bottom_up\.|roi_heads\.res5\.",
    "matterport": r"(bn2a_branch2a|rpn_class_raw|mrcnn_\w+)/",
    "maskrcnn_scratch": r"backbone\.(layer1\.0|features\.0)\.",
    "imagenet": r"layer1\.0\.conv1\.weight|res2_0_branch2a_w|features\.0\.",
}
"""A name that each system has and those after it have not."""

LACKING = {
    "torchvision": {
        r"backbone\.body\.\d.*": "a MobileNet backbone",
        r"head\.(classification|regression)_head.*": "the heads of a single stage",
    },
    "detectron2": {
        r"backbone\.res5.*": "a dilated res5 as its backbone (DC5)",
        r"roi_heads\.(box_head|box_predictor)\.\d.*": "a cascade of box heads",
        r"head\.(cls|bbox)_subnet.*": "the heads of a single stage",
        r"sem_seg_head.*": "a head for semantic segmentation",
        r".*conv2_offset.*": "deformable convolutions",
    },
    "matterport": {},
    "maskrcnn_scratch": {},
    "imagenet": {r"features\.\d+\.running_mean": "batch norms in a VGG network"},
}
"""What our model cannot hold, by names that give it away."""


def system_of(names: Iterable[str]) -> str | None:
    """The system that named the tensors so; None where it is none of those known."""
    names = list(names)
    for system, sign in SYSTEMS.items():
        if any(re.match(sign, name) for name in names):
            return system
    return None


def refusal(system: str, names: Iterable[str]) -> str | None:
    """What in the file our model cannot hold; None where it can hold all."""
    names = set(names)
    for pattern, what in LACKING[system].items():
        if any(re.fullmatch(pattern, name) for name in names):
            return what
    norms = {name[: -len("weight")] for name in names if name.endswith("norm.weight")}
    if system == "detectron2" and any(f"{n}running_mean" not in names for n in norms):
        return "group norms, of 32 groups whatever the width"
    return None


def require_system(system: str, names: Iterable[str]) -> None:
    """Raises ValueError unless the names are the system's and our model can hold it."""
    names = list(names)
    found = system_of(names)
    if found != system:
        first = ", ".join(names[:3])
        advice = f", but of {found}: --from {found}" if found else ""
        if found == "maskrcnn_scratch":
            advice = ", but ours: there is nothing to convert"
        raise ValueError(
            f"the file's names ({first}, ...) are not those of {system}{advice}"
        )
    missing = refusal(system, names)
    if missing:
        raise ValueError(f"this {system} model has {missing}, which ours cannot hold")
