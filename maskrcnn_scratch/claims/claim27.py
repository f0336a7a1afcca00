"""A fully convolutional mask branch has fewer parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict
from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.mask_head import MaskHead
from maskrcnn_scratch.models.presets import preset

HEADS = {
    "FCN": "r50-fpn",
    "MLP, 2 hidden layers": "r50-fpn-mlp2",
    "MLP, 3 hidden layers": "r50-fpn-mlp3",
}
"""The rows of Table 2e, by the preset that builds each."""
LABELS = {"convs": "3x3 conv", "deconv": "deconv", "fcs": "fc", "mask_logits": "masks"}


@dataclass(frozen=True)
class Sizes:
    """Parameters of each head, layer by layer: counted, and by formula."""

    counted: dict[str, dict[str, int]]
    formula: dict[str, int]
    size: tuple[int, int]
    """Masks (K) and cells a side of one."""

    def total(self, head: str) -> int:
        """Of the network that was built."""
        return sum(self.counted[head].values())


def measure() -> Sizes:
    """Build the heads of Table 2e without values and count."""
    configs = {name: preset(row) for name, row in HEADS.items()}
    fcn = configs["FCN"]
    return Sizes(
        {name: count_layers(config) for name, config in configs.items()},
        {name: by_formula(config) for name, config in configs.items()},
        (fcn.num_classes, fcn.mask_size),
    )


def count_layers(config: ModelConfig) -> dict[str, int]:
    """Weights and biases of each layer of the mask head that the config builds."""
    with torch.device("meta"):
        net = MaskHead(config, config.fpn_channels).net
    counts: dict[str, int] = {}
    for name, parameter in net.named_parameters():
        kind, *rest = name.split(".")
        place = f" {int(rest[0]) + 1}" if rest[0].isdigit() else ""
        layer = LABELS[kind] + place
        counts[layer] = counts.get(layer, 0) + parameter.numel()
    return counts


def by_formula(config: ModelConfig) -> int:
    """The same from the layers' widths: inputs times outputs, and a bias each."""
    c, k, p = config.fpn_channels, config.num_classes, config.mask_pool
    if config.mask_head == "fcn":
        w = config.mask_head_width
        inputs = [c] + [w] * (config.mask_head_convs - 1)
        convs = sum(3 * 3 * i * w + w for i in inputs)
        return convs + (2 * 2 * w * w + w) + (w * k + k)
    w, pixels = config.mask_head_fc_width, k * config.mask_size**2
    widths = [p * p * c] + [w] * config.mask_head_fcs + [pixels]
    return sum(i * o + o for i, o in pairwise(widths))


def evidence(told: Sizes) -> Iterator[Step | Table]:
    """The layers, then the sums and their ratio."""
    yield Table(
        "Mask heads of Table 2e, RoIs of 14 x 14 x 256",
        ("head", "layer", "parameters"),
        tuple(
            (head, layer, f"{count:,}")
            for head, layers in told.counted.items()
            for layer, count in layers.items()
        ),
    )
    for head, formula in told.formula.items():
        total = told.total(head)
        yield Step(f"{head}: in all", f"{total:,}", total == formula)
    fcn, small, large = (told.total(head) for head in HEADS)
    yield Step("the 2-layer MLP has as many, times", f"{small / fcn:.1f}", small > fcn)
    yield Step("the 3-layer MLP has as many, times", f"{large / fcn:.1f}", large > fcn)
    k, m = told.size
    last = told.counted["MLP, 2 hidden layers"]["masks"]
    yield Step(
        f"an MLP's last layer alone, to {k} x {m} x {m}", f"{last:,}", last > fcn
    )
    rounded = [round(count / 1e6, 1) for count in (fcn, small, last)]
    yield Step(
        "in millions: FCN, MLP, its last layer",
        ", ".join(map(str, rounded)),
        rounded == [2.6, 116.7, 64.3],
    )


def draw(told: Sizes) -> Figure:
    """A bar a head, cut into layers."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    for head, layers in told.counted.items():
        left = 0.0
        for layer, count in layers.items():
            size = count / 1e6
            color = palette.OBJECT if layer == "masks" else palette.PIXEL
            bars = axes.barh(head, size, left=left, color=color, ec="white")
            if size > 10:
                axes.bar_label(bars, [layer], label_type="center")
            left += size
        axes.bar_label(bars, [f"{left:.1f}"], padding=4)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1 * max(map(told.total, HEADS)) / 1e6)
    axes.set_xlabel("parameters, millions")
    return figure


def alt(told: Sizes) -> str:
    """The picture in words."""
    parts = [f"{head} {told.total(head) / 1e6:.1f}" for head in HEADS]
    return (
        f"Bars of the parameters of three mask heads, in millions: {', '.join(parts)}."
    )


CLAIM = Claim(
    number=27,
    claim="A fully convolutional mask branch has fewer parameters than a fully "
    "connected one.",
    places=(Place.RUSSIAN, Place.SUMMARY),
    verdict=Verdict.TRUE,
    right="2.6 million, against 116.7 million of the MLP with two hidden layers; its "
    "last layer alone has 64.3 million.",
    paper="Section 3, mask representation, and Table 2e, mask AP: MLP with two hidden "
    "layers 31.5, with three 31.5, FCN 33.6. The paper counts no parameters, and "
    "does not say on which RoI features the MLP stands.",
    lesson="10_mask_head",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
