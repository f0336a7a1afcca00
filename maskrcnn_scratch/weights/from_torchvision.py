"""torchvision's Mask R-CNN with ResNet and FPN (v1): names and conventions.

Its files come in two layouts of names, that of 2019 (``rpn.head.conv.weight``) and that
since torchvision 0.13 (``rpn.head.conv.0.0.weight``); either is read, tensor by tensor.
"""

from __future__ import annotations

from functools import partial

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.weights.coco_classes import class_names
from maskrcnn_scratch.weights.fit import Rule, Tensors
from maskrcnn_scratch.weights.plan import Plan, groups, resnet, resnet_name, sizes
from maskrcnn_scratch.weights.transforms import drop_rows

RULES = [
    Rule(r"backbone\.(.+)", (r"backbone.body.\1",)),
    Rule(r"fpn\.lateral\.(\d)\.(\w+)", (r"backbone.fpn.inner_blocks.\1.\2",)),
    Rule(r"fpn\.lateral\.(\d)\.(\w+)", (r"backbone.fpn.inner_blocks.\1.0.\2",)),
    Rule(r"fpn\.output\.(\d)\.(\w+)", (r"backbone.fpn.layer_blocks.\1.\2",)),
    Rule(r"fpn\.output\.(\d)\.(\w+)", (r"backbone.fpn.layer_blocks.\1.0.\2",)),
    Rule(r"rpn\.convs\.0\.(\w+)", (r"rpn.head.conv.\1",)),
    Rule(r"rpn\.convs\.0\.(\w+)", (r"rpn.head.conv.0.0.\1",)),
    Rule(r"rpn\.objectness\.(\w+)", (r"rpn.head.cls_logits.\1",)),
    Rule(r"rpn\.deltas\.(\w+)", (r"rpn.head.bbox_pred.\1",)),
    Rule(r"box_head\.body\.fcs\.0\.(\w+)", (r"roi_heads.box_head.fc6.\1",)),
    Rule(r"box_head\.body\.fcs\.1\.(\w+)", (r"roi_heads.box_head.fc7.\1",)),
    Rule(r"box_head\.class_logits\.(\w+)", (r"roi_heads.box_predictor.cls_score.\1",)),
    Rule(
        r"box_head\.deltas\.(\w+)",
        (r"roi_heads.box_predictor.bbox_pred.\1",),
        partial(drop_rows, count=4),
    ),
    *(
        Rule(
            rf"mask_head\.net\.convs\.{n}\.(\w+)",
            (rf"roi_heads.mask_head.mask_fcn{n + 1}.\1",),
        )
        for n in range(4)
    ),
    Rule(r"mask_head\.net\.convs\.(\d)\.(\w+)", (r"roi_heads.mask_head.\1.0.\2",)),
    Rule(
        r"mask_head\.net\.deconv\.(\w+)", (r"roi_heads.mask_predictor.conv5_mask.\1",)
    ),
    Rule(
        r"mask_head\.net\.mask_logits\.(\w+)",
        (r"roi_heads.mask_predictor.mask_fcn_logits.\1",),
        partial(drop_rows, count=1),
    ),
]
"""The background has boxes and masks there, its numbers first, which nobody reads."""

SIZES = {
    "stem_width": ("backbone.body.conv1.weight", 0),
    "fpn_channels": ("rpn.head.cls_logits.weight", 1),
    "box_head_width": ("roi_heads.box_head.fc7.weight", 0),
    "mask_head_width": ("roi_heads.mask_predictor.conv5_mask.weight", 1),
}

CONVENTIONS = ModelConfig(
    resize_filter="bilinear",
    resize_rounding="down",
    stride_in_1x1=False,
    anchors_rounded=True,
    rpn_min_size=1e-3,
    roi_aligned=False,
    box_beta=1 / 9,
    mask_target="soft",
)

NOTES = (
    "norm_eps is {eps:g}: {why}",
    "labels are COCO's category ids, 1 to 90; ten of them name no class",
    "torchvision spaces P6's anchors by image / map, rounded down: other than our 64"
    " where the padded image is no multiple of 64",
    "torchvision pastes masks by its own integer rule; the 28 x 28 maps are equal",
)


def plan(tensors: Tensors, norm_eps: float | None = None) -> Plan:
    """How a file of torchvision's is converted.

    ``norm_eps`` is the one its model was made with, if that is known. Raises ValueError
    for a backbone that ours cannot be.
    """
    eps, why = frozen_norm_eps(tensors, norm_eps)
    classes = sizes(tensors, {"n": ("roi_heads.box_predictor.cls_score.bias", 0)})
    settings = sizes(tensors, SIZES)
    body = r"backbone\.body\.layer(\d)\.(\d+)\."
    settings |= resnet(tensors, body, body + r"conv3\.")
    settings |= groups(tensors, "backbone.body.layer1.0.conv2.weight", settings)
    settings |= {"num_classes": classes.get("n", 91) - 1, "norm_eps": eps}
    config = ModelConfig(**{**vars(CONVENTIONS), **settings})
    notes = [note.format(eps=eps, why=why) for note in NOTES]
    return Plan(
        f"torchvision's Mask R-CNN, {resnet_name(config)} FPN",
        config,
        RULES,
        class_names(config.num_classes),
        notes=tuple(
            note for note in notes if config.num_classes == 90 or "COCO" not in note
        ),
    )


def frozen_norm_eps(tensors: Tensors, given: float | None) -> tuple[float, str]:
    """What batch norm adds to the variance, which no file says; and the reason."""
    if given is not None:
        return given, "as given"
    if any(name.endswith("num_batches_tracked") for name in tensors):
        return 1e-5, "the file counts batches, so its norms were not frozen"
    return 0.0, (
        "that of torchvision's published weights and of models trained from them; of a"
        " model trained from an ImageNet backbone give --norm-eps 1e-5"
    )
