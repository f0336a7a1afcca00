"""matterport's Mask R-CNN with ResNet and FPN (Keras): names and conventions.

Its convolutions have biases and norms behind, in the heads as well; ours have one or
the other. In the backbone the bias goes into the norm's mean, in the heads the norm
goes into the convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import Tensor

from maskrcnn_scratch.models.presets import MATTERPORT
from maskrcnn_scratch.models.resnet import BLOCKS
from maskrcnn_scratch.weights.fit import Rule, Tensors, same
from maskrcnn_scratch.weights.plan import Plan, model_name, names_of, resnet, sizes
from maskrcnn_scratch.weights.transforms import (
    bias_with_norm,
    dense_over_map,
    drop_rows,
    first_convolution,
    kernel,
    mean_less_bias,
    transposed,
    weight_with_norm,
    xy_order,
)

Transform = Callable[[Tensor], Tensor]

EPS = MATTERPORT.norm_eps
"""What Keras's batch norm adds to the variance."""


def first_kernel(weight: Tensor) -> Tensor:
    """Of the first convolution, for pixels in 0..1 over our std; theirs are RGB too."""
    scale = [255 * std for std in MATTERPORT.pixel_std]
    return first_convolution(kernel(weight), scale, bgr=False)


def backbone_rules(depth: int) -> list[Rule]:
    """Block 1 of stage 4 is res4b, and its norms are bn4b."""
    rules = conv_and_norm("", "conv1", "bn1", "conv1", "bn_conv1", first_kernel)
    for stage, blocks in enumerate(BLOCKS[depth], start=2):
        for block in range(blocks):
            prefix = rf"layer{stage - 1}\.{block}\."
            theirs = f"{stage}{chr(ord('a') + block)}_branch"
            for ours, norm, branch in (
                ("conv1", "bn1", "2a"),
                ("conv2", "bn2", "2b"),
                ("conv3", "bn3", "2c"),
                (r"downsample\.0", r"downsample\.1", "1"),
            ):
                names = (f"res{theirs}{branch}", f"bn{theirs}{branch}")
                rules += conv_and_norm(prefix, ours, norm, *names, kernel)
    return rules


def conv_and_norm(
    prefix: str,
    conv: str,
    norm: str,
    their_conv: str,
    their_norm: str,
    to_weight: Transform,
) -> list[Rule]:
    """A convolution of the backbone, whose bias goes into the norm behind it."""
    ours = rf"backbone\.{prefix}{norm}"
    return [
        Rule(
            rf"backbone\.{prefix}{conv}\.weight", (f"{their_conv}/kernel",), to_weight
        ),
        Rule(rf"{ours}\.weight", (f"{their_norm}/gamma",)),
        Rule(rf"{ours}\.bias", (f"{their_norm}/beta",)),
        Rule(
            rf"{ours}\.running_mean",
            (f"{their_norm}/moving_mean", f"{their_conv}/bias"),
            mean_less_bias,
        ),
        Rule(rf"{ours}\.running_var", (f"{their_norm}/moving_variance",)),
    ]


def layer(
    ours: str, theirs: str, to_weight: Transform, rows: Transform = same
) -> list[Rule]:
    """A layer with a bias; ``rows`` turns the outputs of both into ours."""
    return [
        Rule(
            rf"{ours}\.weight",
            (f"{theirs}/kernel",),
            lambda weight: rows(to_weight(weight)),
        ),
        Rule(rf"{ours}\.bias", (f"{theirs}/bias",), rows),
    ]


def layer_with_norm(
    ours: str, theirs: str, norm: str, to_weight: Transform
) -> list[Rule]:
    """A layer of a head with the norm behind it folded in."""
    gamma, beta, mean, variance = (
        f"{norm}/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return [
        Rule(
            rf"{ours}\.weight",
            (f"{theirs}/kernel", gamma, variance),
            lambda weight, gamma, variance: weight_with_norm(
                to_weight(weight), gamma, variance, EPS
            ),
        ),
        Rule(
            rf"{ours}\.bias",
            (f"{theirs}/bias", gamma, beta, mean, variance),
            partial(bias_with_norm, eps=EPS),
        ),
    ]


HEAD_RULES = [
    *(
        rule
        for n in (2, 3, 4, 5)
        for ours, theirs in (("lateral", f"fpn_c{n}p{n}"), ("output", f"fpn_p{n}"))
        for rule in layer(rf"fpn\.{ours}\.{n - 2}", theirs, kernel)
    ),
    *layer(r"rpn\.convs\.0", "rpn_conv_shared", kernel),
    *layer(r"rpn\.objectness", "rpn_class_raw", kernel),
    *layer(r"rpn\.deltas", "rpn_bbox_pred", kernel, xy_order),
    *layer_with_norm(
        r"box_head\.body\.fcs\.0",
        "mrcnn_class_conv1",
        "mrcnn_class_bn1",
        dense_over_map,
    ),
    *layer_with_norm(
        r"box_head\.body\.fcs\.1",
        "mrcnn_class_conv2",
        "mrcnn_class_bn2",
        dense_over_map,
    ),
    *layer(r"box_head\.class_logits", "mrcnn_class_logits", transposed),
    *layer(
        r"box_head\.deltas",
        "mrcnn_bbox_fc",
        transposed,
        lambda rows: xy_order(drop_rows(rows, 4)),
    ),
    *(
        rule
        for n in (1, 2, 3, 4)
        for rule in layer_with_norm(
            rf"mask_head\.net\.convs\.{n - 1}",
            f"mrcnn_mask_conv{n}",
            f"mrcnn_mask_bn{n}",
            kernel,
        )
    ),
    *layer(r"mask_head\.net\.deconv", "mrcnn_mask_deconv", kernel),
    *layer(
        r"mask_head\.net\.mask_logits",
        "mrcnn_mask",
        kernel,
        partial(drop_rows, count=1),
    ),
]

SIZES = {
    "stem_width": ("conv1/kernel", 3),
    "fpn_channels": ("fpn_p2/kernel", 3),
    "rpn_width": ("rpn_conv_shared/kernel", 3),
    "box_head_width": ("mrcnn_class_conv1/kernel", 3),
    "mask_head_width": ("mrcnn_mask_conv1/kernel", 3),
}

NOTES = (
    "it puts the image into the middle of its square, ours into the upper left corner:"
    " cells and anchors lie elsewhere on the objects",
    "it scales the 8-bit image and drops fractions; ours scales without rounding",
    "it resizes masks to their boxes in whole pixels, ours by torchvision's rule",
    "so its detections and ours are alike, and not equal",
)


def plan(tensors: Tensors) -> Plan:
    """How a file of matterport's is converted.

    Raises ValueError for a backbone that ours cannot be.
    """
    classes = sizes(tensors, {"n": ("mrcnn_class_logits/bias", 0)})
    settings = sizes(tensors, SIZES)
    settings |= resnet(tensors, r"res(\d)([a-z])_branch", r"res\d[a-z]_branch2c/")
    settings["num_classes"] = classes.get("n", 81) - 1
    config = replace(MATTERPORT, **settings)
    return Plan(
        f"matterport's {model_name(config)}",
        config,
        [*backbone_rules(config.depth), *HEAD_RULES],
        names_of(config),
        notes=NOTES,
    )
