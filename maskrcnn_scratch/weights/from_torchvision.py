"""torchvision's Faster, Mask and Keypoint R-CNN with ResNet and FPN, v1 and v2."""

from __future__ import annotations

from dataclasses import replace

from maskrcnn_scratch.models.presets import TORCHVISION
from maskrcnn_scratch.weights.fit import Tensors
from maskrcnn_scratch.weights.plan import (
    Plan,
    Settings,
    batch_norm,
    counted,
    groups,
    model_name,
    names_of,
    resnet,
    sizes,
)
from maskrcnn_scratch.weights.torchvision_names import rules

SIZES = {
    "stem_width": ("backbone.body.conv1.weight", 0),
    "fpn_channels": ("rpn.head.cls_logits.weight", 1),
    "box_head_conv_width": ("roi_heads.box_head.0.0.weight", 0),
    "box_head_width": ("roi_heads.box_predictor.cls_score.weight", 1),
    "mask_head_width": ("roi_heads.mask_predictor.conv5_mask.weight", 1),
    "keypoint_head_width": ("roi_heads.keypoint_predictor.kps_score_lowres.weight", 0),
    "keypoints": ("roi_heads.keypoint_predictor.kps_score_lowres.weight", 1),
}

NOTES = (
    "norm_eps is {eps:g}: {why}",
    "labels are COCO's category ids, 1 to 90; ten of them name no class",
)


def plan(tensors: Tensors, norm_eps: float | None = None) -> Plan:
    """How a file of torchvision's is converted.

    ``norm_eps`` is the one its model was made with, if that is known. Raises ValueError
    for a backbone that ours cannot be.
    """
    eps, why = frozen_norm_eps(tensors, norm_eps)
    classes = sizes(tensors, {"n": ("roi_heads.box_predictor.cls_score.bias", 0)})
    settings = sizes(tensors, SIZES) | layers(tensors) | norms(tensors)
    body = r"backbone\.body\.layer(\d)\.(\d+)\."
    settings |= resnet(tensors, body, body + r"conv3\.")
    settings |= groups(tensors, "backbone.body.layer1.0.conv2.weight", settings)
    settings |= {"num_classes": classes.get("n", 91) - 1, "norm_eps": eps}
    config = replace(TORCHVISION, **settings)
    notes = [note.format(eps=eps, why=why) for note in NOTES]
    return Plan(
        f"torchvision's {model_name(config)}",
        config,
        rules(config),
        names_of(config),
        notes=tuple(
            note for note in notes if config.num_classes == 90 or "COCO" not in note
        ),
    )


def layers(tensors: Tensors) -> Settings:
    """How many layers each part has."""
    has_masks = any(name.startswith("roi_heads.mask_") for name in tensors)
    box, mask = r"roi_heads\.box_head\.", r"roi_heads\.mask_head\."
    return {
        "rpn_convs": counted(tensors, r"rpn\.head\.conv\.(\d)\.0\.weight", 1),
        "box_head_convs": counted(tensors, rf"{box}(\d+)\.0\.weight", 0),
        "box_head_fcs": counted(tensors, rf"{box}((?:fc)?\d+)\.weight", 2),
        "mask_head": "fcn" if has_masks else "none",
        "mask_head_convs": counted(
            tensors, rf"{mask}(?:mask_fcn)?(\d)(?:\.0)?\.weight", 4
        ),
        "keypoint_head_convs": counted(
            tensors, r"roi_heads\.keypoint_head\.(\d+)\.weight", 8
        ),
    }


def norms(tensors: Tensors) -> Settings:
    """Which parts have batch norm, and whether the backbone's was frozen."""
    head = ("roi_heads.box_head.0.1", "roi_heads.mask_head.0.1")
    return {
        "norm": "bn" if trained(tensors) else "frozen_bn",
        "fpn_norm": batch_norm(tensors, "backbone.fpn.inner_blocks.0.1"),
        "head_norm": batch_norm(tensors, *head),
    }


def trained(tensors: Tensors) -> bool:
    """Whether the backbone's norms count batches, which frozen ones do not."""
    return "backbone.body.bn1.num_batches_tracked" in tensors


def frozen_norm_eps(tensors: Tensors, given: float | None) -> tuple[float, str]:
    """What batch norm adds to the variance, which no file says; and the reason."""
    if given is not None:
        return given, "as given"
    if trained(tensors):
        return 1e-5, "the file counts batches, so its norms were not frozen"
    return 0.0, (
        "that of torchvision's published weights and of models trained from them; of a"
        " model trained from an ImageNet backbone give --norm-eps 1e-5"
    )
