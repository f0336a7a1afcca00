"""Whose weights a file holds, by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable

SYSTEMS = {
    "torchvision": r"backbone\.(body|fpn)\.",
    "detectron2": r"proposal_generator\.|backbone\.bottom_up\.",
    "matterport": r"(bn2a_branch2a|rpn_class_raw|mrcnn_\w+)/",
    "maskrcnn_scratch": r"backbone\.layer1\.0\.",
    "imagenet": r"layer1\.0\.conv1\.weight|res2_0_branch2a_w|features\.0\.",
}
"""A name that each system has and those after it have not."""

NOT_YET = {
    "torchvision": {
        r".*keypoint_head.*": "a keypoint head",
        r"roi_heads\.box_head\.\d.*": "a box head of convolutions (v2)",
        r"backbone\.body\.\d.*": "a MobileNet backbone",
        r"head\.(classification|regression)_head.*": "RetinaNet's heads",
    },
    "detectron2": {
        r"backbone\.res2.*|roi_heads\.res5.*": "a C4 backbone",
        r".*keypoint_head.*": "a keypoint head",
        r"roi_heads\.(box_head|box_predictor)\.\d.*": "a cascade of box heads",
        r"roi_heads\.box_head\.conv\d.*": "a box head of convolutions",
        r"sem_seg_head.*": "a head for semantic segmentation",
        r".*conv2_offset.*": "deformable convolutions",
        r"backbone\.fpn_\w+\.norm\..*": "norms in its FPN",
    },
    "matterport": {},
    "maskrcnn_scratch": {},
    "imagenet": {r"features\..*": "a VGG network"},
}
"""What our model cannot hold yet, by names that give it away."""

MASK_HEAD = {
    "torchvision": "roi_heads.mask_",
    "detectron2": "roi_heads.mask_",
    "matterport": "mrcnn_mask",
}
"""How the mask head's names begin."""


def system_of(names: Iterable[str]) -> str | None:
    """The system that named the tensors so; None where it is none of those known."""
    names = list(names)
    for system, sign in SYSTEMS.items():
        if any(re.match(sign, name) for name in names):
            return system
    return None


def refusal(system: str, names: Iterable[str]) -> str | None:
    """What in the file our model cannot hold; None where it can hold all."""
    names = list(names)
    for pattern, what in NOT_YET[system].items():
        if any(re.fullmatch(pattern, name) for name in names):
            return what
    if system in MASK_HEAD and not any(n.startswith(MASK_HEAD[system]) for n in names):
        return "no mask branch"
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
        raise ValueError(
            f"this {system} model has {missing}; ours is a ResNet or ResNeXt with FPN,"
            " box and mask head, and cannot hold that yet"
        )
