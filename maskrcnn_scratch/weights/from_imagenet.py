"""Networks that classify ImageNet, as backbones: torchvision's, and the MSRA's ResNets.

The latter are the ones that detectron2 starts from, Caffe's weights in a pickle with
names such as ``res2_0_branch2a_bn_s``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.variations import with_vgg
from maskrcnn_scratch.models.vgg import VGG
from maskrcnn_scratch.weights.fit import Rule, Tensors
from maskrcnn_scratch.weights.from_detectron2 import RESNEXT_STD, STD, from_bgr
from maskrcnn_scratch.weights.plan import Plan, groups, resnet, resnet_name, sizes
from maskrcnn_scratch.weights.transforms import (
    mean_less_bias,
    no_mean,
    unit_variance,
)

TORCHVISION_RULES = [Rule(r"backbone\.(.+)", (r"\1",))]

EPS = 1e-5


def norm_rules(ours: str, theirs: str, conv_bias: str | None = None) -> list[Rule]:
    """Of a norm with statistics where the file has them, of scale and shift alone.

    ``conv_bias`` names the bias that the convolution before may have.
    """
    mean = (rf"{theirs}_rm",)
    rules = [
        Rule(rf"{ours}\.weight", (rf"{theirs}_s",)),
        Rule(rf"{ours}\.bias", (rf"{theirs}_b",)),
        Rule(rf"{ours}\.running_var", (rf"{theirs}_riv",)),
        Rule(
            rf"{ours}\.running_var", (rf"{theirs}_s",), partial(unit_variance, eps=EPS)
        ),
    ]
    if conv_bias:
        rules += [
            Rule(rf"{ours}\.running_mean", (*mean, conv_bias), mean_less_bias),
            Rule(rf"{ours}\.running_mean", (conv_bias,), torch.neg),
        ]
    return [
        *rules,
        Rule(rf"{ours}\.running_mean", mean),
        Rule(rf"{ours}\.running_mean", (rf"{theirs}_s",), no_mean),
    ]


def branch_rules(stage: int) -> list[Rule]:
    """The convolutions and norms of one stage."""
    rules = []
    parts = [(f"conv{n}", f"bn{n}", f"branch2{'abc'[n - 1]}") for n in (1, 2, 3)]
    parts.append((r"downsample\.0", r"downsample\.1", "branch1"))
    for conv, norm, theirs in parts:
        block = rf"backbone\.layer{stage - 1}\.(\d+)\."
        rules.append(Rule(rf"{block}{conv}\.weight", (rf"res{stage}_\1_{theirs}_w",)))
        rules += norm_rules(block + norm, rf"res{stage}_\1_{theirs}_bn")
    return rules


MSRA_RULES = [
    *norm_rules(r"backbone\.bn1", "res_conv1_bn", conv_bias="conv1_b"),
    *(rule for stage in (2, 3, 4, 5) for rule in branch_rules(stage)),
]
"""All but the first convolution."""

NOTES = {
    "torchvision": "a bottleneck's stride is on its 3x3 convolution, as in torchvision",
    "MSRA": "a bottleneck's stride is on its {size} convolution; the first convolution"
    " is turned from BGR to RGB and scaled for pixels in 0..1",
}


def plan(tensors: Tensors) -> Plan:
    """How the file's backbone is converted; its classifier is left out.

    Raises ValueError for a network that ours cannot be.
    """
    if "layer1.0.conv1.weight" in tensors:
        return torchvision_plan(tensors)
    if "features.0.weight" in tensors:
        return vgg_plan(tensors)
    return msra_plan(tensors)


def torchvision_plan(tensors: Tensors) -> Plan:
    """Of torchvision's resnet18, 34, 50, 101, resnext50_32x4d and its larger kin."""
    settings = sizes(tensors, {"stem_width": ("conv1.weight", 0)})
    settings |= resnet(tensors, r"layer(\d)\.(\d+)\.", r"layer\d\.\d+\.conv3\.")
    settings |= groups(tensors, "layer1.0.conv2.weight", settings)
    config = ModelConfig(stride_in_1x1=False, norm_eps=EPS, **settings)
    return Plan(
        f"torchvision's {resnet_name(config)} for ImageNet",
        config,
        TORCHVISION_RULES,
        [],
        r".*num_batches_tracked|fc\.(weight|bias)",
        (NOTES["torchvision"],),
    )


def vgg_plan(tensors: Tensors) -> Plan:
    """Of torchvision's vgg16, without batch norm."""
    weights = (re.fullmatch(r"features\.(\d+)\.weight", name) for name in tensors)
    found = sorted(int(match[1]) for match in weights if match)
    layers = enumerate(vgg_layers())
    known = [number for number, layer in layers if isinstance(layer, nn.Conv2d)]
    if not set(found) <= set(known):
        raise ValueError(
            f"the file holds a VGG network with weights in layers {found}; ours is"
            f" VGG-16, with {known}"
        )
    settings = sizes(tensors, {"stem_width": ("features.0.weight", 0)})
    return Plan(
        "torchvision's VGG-16 for ImageNet",
        replace(with_vgg(ModelConfig()), **settings),
        TORCHVISION_RULES,
        [],
        r"classifier\..+",
    )


def vgg_layers() -> nn.Sequential:
    """Those of our VGG-16, without numbers."""
    with torch.device("meta"):
        return VGG(with_vgg(ModelConfig())).features


def msra_plan(tensors: Tensors) -> Plan:
    """Of MSRA's R-50 and R-101, and of the ResNeXts in the same format."""
    settings = sizes(tensors, {"stem_width": ("conv1_w", 0)})
    settings |= resnet(tensors, r"res(\d)_(\d+)_", r"res\d_\d+_branch2c_w")
    settings |= groups(tensors, "res2_0_branch2b_w", settings)
    resnext = settings.get("groups", 1) > 1
    config = ModelConfig(stride_in_1x1=not resnext, norm_eps=EPS, **settings)
    convolution = from_bgr(RESNEXT_STD if resnext else STD)
    return Plan(
        f"MSRA's {resnet_name(config)} for ImageNet",
        config,
        [Rule(r"backbone\.conv1\.weight", ("conv1_w",), convolution), *MSRA_RULES],
        [],
        r"(fc1000|pred)_[wb]|.*_momentum",
        (NOTES["MSRA"].format(size="3x3" if resnext else "1x1"),),
    )
