"""VGG-16 or ResNet-101 without their fully connected layers make the features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from matplotlib.figure import Figure
from torch import nn

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict
from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.models.presets import PAPER
from maskrcnn_scratch.models.variations import with_backbone
from maskrcnn_scratch.structures import Detections

BACKBONES = {"VGG-16": "vgg16", "ResNet-101": "resnet101"}
TOPS = {
    "VGG-16": (512 * 7 * 7, 4096, 4096, 1000),
    "ResNet-101": (2048, 1000),
}
"""Widths of the layers that are left out, from the last map to ImageNet's classes."""
LAYERS = {"VGG-16": 16, "ResNet-101": 101}
"""Layers with weights, which the networks are named after."""
PUBLISHED = {"VGG-16": 138_357_544, "ResNet-101": 44_549_160}
"""Parameters of torchvision's vgg16 and resnet101, top and all."""
SIDE = 64  # pixels of the image that is really run
IMAGENET = 224  # pixels of the image whose maps are listed


@dataclass(frozen=True)
class Backbone:
    """One network without its top: what it is made of and what it gives."""

    convolutions: int
    linear: int
    """Fully connected layers; there should be none."""
    kept: int
    """Parameters, those of batch norms included."""
    left_out: int
    maps: tuple[tuple[int, ...], ...]
    """(channels, height, width) of C2 to C5 of ImageNet's images."""
    found: Detections
    """What a Mask R-CNN on it, of random weights, makes of a small image."""


def measure() -> dict[str, Backbone]:
    """Build both, count, and run both."""
    return {name: build(name) for name in BACKBONES}


def build(name: str) -> Backbone:
    """Sizes from the meta device; the run with values, but narrow heads."""
    config = replace(with_backbone(PAPER, BACKBONES[name]), norm="bn", frozen_stages=0)
    with torch.device("meta"), torch.no_grad():
        net = MaskRCNN(config).backbone.eval()
        maps = net(torch.empty(1, 3, IMAGENET, IMAGENET))
    kinds = [type(module) for module in net.modules()]
    return Backbone(
        kinds.count(nn.Conv2d) - shortcuts(net),
        kinds.count(nn.Linear),
        sum(parameter.numel() for parameter in net.parameters()),
        sum(i * o + o for i, o in pairwise(TOPS[name])),
        tuple(tuple(one.shape[1:]) for one in maps),
        run(config),
    )


def shortcuts(net: nn.Module) -> int:
    """Convolutions beside the path of depth, which no name counts."""
    return sum(
        isinstance(module, nn.Conv2d) and "downsample" in name
        for name, module in net.named_modules()
    )


@torch.no_grad()
def run(config: ModelConfig) -> Detections:
    """An image through the whole backbone, FPN, RPN and heads."""
    config = replace(
        config,
        num_classes=1,
        score_threshold=0.0,
        fpn_channels=32,
        box_head_width=32,
        mask_head_width=32,
    )
    torch.manual_seed(0)
    model = MaskRCNN(config).eval()
    model.backbone.train()  # batch norm by the image itself: there are no statistics
    found: Detections
    (found,) = model([torch.rand(3, SIDE, SIDE)])
    return found


def evidence(told: dict[str, Backbone]) -> Iterator[Step | Table]:
    """Layers, parameters, maps, and the run."""
    for name, one in told.items():
        yield Table(
            f"{name}, image of {IMAGENET} x {IMAGENET}",
            ("map", "channels", "height", "width"),
            tuple(
                (f"C{level}", *map(str, shape))
                for level, shape in enumerate(one.maps, start=2)
            ),
        )
        top = len(TOPS[name]) - 1
        layers = one.convolutions + top
        says = f"{one.convolutions} convolutions and a top of {top}"
        yield Step(says, f"{layers} layers", layers == LAYERS[name])
        no_top = one.linear == 0
        yield Step("fully connected layers in the backbone", str(one.linear), no_top)
        yield Step("parameters kept", f"{one.kept:,}")
        yield Step("parameters left out", f"{one.left_out:,}")
        whole = one.kept + one.left_out
        yield Step("together, as published", f"{whole:,}", whole == PUBLISHED[name])
        sides = [shape[1] for shape in one.maps]
        strides = [IMAGENET // side for side in sides]
        yield Step("strides of C2 to C5", str(strides), strides == [4, 8, 16, 32])
        masks = one.found.mask_probabilities
        shape = () if masks is None else tuple(masks.shape)
        says = f"masks from an image of {SIDE} x {SIDE}, random weights"
        yield Step(says, " x ".join(map(str, shape)), good(one.found))


def good(found: Detections) -> bool:
    """Whether there are objects, each with a mask of probabilities."""
    masks = found.mask_probabilities
    if masks is None or len(found) == 0:
        return False
    in_range = bool(((masks >= 0) & (masks <= 1)).all())
    return masks.shape == (len(found), PAPER.mask_size, PAPER.mask_size) and in_range


def draw(told: dict[str, Backbone]) -> Figure:
    """Parameters with the top and without."""
    figure = Figure(figsize=(8, 2.4), layout="constrained")
    axes = figure.subplots()
    for name, one in told.items():
        kept, left_out = one.kept / 1e6, one.left_out / 1e6
        first = name == next(iter(told))
        axes.barh(name, kept, color=palette.OBJECT, label="the backbone" * first)
        label = "left out, fully connected" * first
        bars = axes.barh(name, left_out, left=kept, color=palette.PIXEL, label=label)
        text = f"{kept:.1f} kept, {left_out:.1f} left out"
        axes.bar_label(bars, [text], padding=4)
    axes.invert_yaxis()
    axes.set(xlim=(0, 200), xlabel="parameters, millions")
    axes.legend(loc="lower right")
    return figure


def alt(told: dict[str, Backbone]) -> str:
    """The picture in words."""
    parts = [
        f"{name} keeps {one.kept / 1e6:.1f} and leaves out {one.left_out / 1e6:.1f}"
        for name, one in told.items()
    ]
    return f"Bars of parameters, in millions: {'; '.join(parts)}."


CLAIM = Claim(
    number=28,
    claim="The network that makes the features may be VGG-16 or ResNet-101 without "
    "the fully connected layers.",
    places=(Place.RUSSIAN,),
    verdict=Verdict.TRUE,
    right="Both build and run, with maps of strides 4, 8, 16 and 32.",
    paper="Section 3, network architecture: ResNet and ResNeXt of 50 or 101 layers, up "
    "to C4 or with FPN; VGG-16 is Faster R-CNN's (Ren et al. 2015). Table 2a, mask "
    "AP: R-101-C4 32.7, R-101-FPN 35.4.",
    lesson="07_fpn",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
