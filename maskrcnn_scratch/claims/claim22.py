"""The training recipe: 800 pixels, 2 images a GPU, 64 or 512 RoIs, 160k iterations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict, number
from maskrcnn_scratch.data.augment import TrainTransform
from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.inference.settings import resize_rule
from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.presets import preset
from maskrcnn_scratch.models.proposals import Proposals
from maskrcnn_scratch.models.rpn import cell_anchors
from maskrcnn_scratch.models.sampling import sample_rois
from maskrcnn_scratch.structures import Target
from maskrcnn_scratch.training.config import TrainConfig, load_config
from maskrcnn_scratch.training.loop import make_optimizer
from maskrcnn_scratch.training.schedule import base_rate, learning_rate

GPUS = 8
"""No setting: a run has as many processes as torchrun starts."""
IMAGE = (480, 640)
FPN, C4 = "r50-fpn", "r50-c4"
LONGER = "coco-r50-fpn"


@dataclass(frozen=True)
class Recipe:
    """What the package does unless it is told otherwise."""

    defaults: TrainConfig
    resized: tuple[int, int]
    min_sizes: tuple[int, ...]
    optimizer: dict[str, float]
    rates: dict[int, float]
    """The learning rate of some iterations, the first being 1."""
    resnext_rate: float
    """With one image on each of the GPUs."""
    rois: dict[str, tuple[int, int]]
    """Positives and negatives of an image with plenty of both."""
    anchors: dict[str, tuple[int, ...]]
    """Levels, and anchors at a cell of each."""
    coco: TrainConfig
    """Of the preset for COCO."""


def measure() -> Recipe:
    """Ask the optimiser, the schedule, the sampling and the RPN."""
    defaults = TrainConfig()
    models = {name: preset(name) for name in (C4, FPN)}
    group = make_optimizer(defaults, nn.Linear(1, 1)).param_groups[0]
    asked = (1, 500, 501, 120_000, 120_001, defaults.iterations)
    one_each = defaults.model_copy(update={"batch_size": GPUS})
    return Recipe(
        defaults,
        resize_rule(models[FPN]).size(IMAGE),
        TrainTransform().min_sizes,
        {key: group[key] for key in ("lr", "momentum", "weight_decay")},
        {iteration: learning_rate(defaults, iteration) for iteration in asked},
        base_rate(one_each),
        {name: drawn(config) for name, config in models.items()},
        {name: tuple(cell_anchors(m).shape[:2]) for name, m in models.items()},
        load_config(LONGER).train,
    )


def drawn(config: ModelConfig) -> tuple[int, int]:
    """Positive and negative RoIs of an image with 1000 proposals of each kind."""
    box = torch.tensor([[0.0, 0.0, 100.0, 100.0]])
    target = Target(1, box, torch.tensor([1]), None, torch.tensor([False]))
    proposals = torch.cat([box.repeat(1000, 1), box.repeat(1000, 1) + 200])
    sampled = sample_rois(config, Proposals(proposals, torch.zeros(2000)), target)
    positives = int(sampled.positive.sum())
    return positives, len(sampled) - positives


def evidence(told: Recipe) -> Iterator[Step | Table]:
    """Every number of the claim beside what the package does; then what it adds."""
    height, width = told.resized
    says = f"an image of {IMAGE[0]} x {IMAGE[1]} is scaled to"
    short = min(told.resized) == 800 and told.min_sizes == (800,)
    yield Step(says, f"{height} x {width}", short)
    batch = told.defaults.batch_size
    each = batch / GPUS
    yield Step(
        f"{batch} images a step; each of {GPUS} GPUs has", f"{each:g}", each == 2
    )
    for name, expected in ((C4, 64), (FPN, 512)):
        positives, negatives = told.rois[name]
        rois = positives + negatives
        yield Step(f"{name}: RoIs drawn from an image", str(rois), rois == expected)
        ratio = negatives / positives
        yield Step(f"{name}: negatives a positive", number(ratio), ratio == 3)
    yield from optimiser(told)
    (c4_levels, c4), (levels, fpn) = told.anchors[C4], told.anchors[FPN]
    alone = (c4_levels, c4) == (1, 15)
    yield Step("C4: anchors at a cell, 5 scales x 3 ratios", str(c4), alone)
    spread = (levels, fpn) == (5, 3)
    yield Step(f"FPN: at a cell of each of {levels} levels", str(fpn), spread)
    yield from added(told)


def optimiser(told: Recipe) -> Iterator[Step]:
    """SGD and the learning rate, iteration by iteration."""
    expected = {"lr": 0.02, "momentum": 0.9, "weight_decay": 1e-4}
    for key, value in told.optimizer.items():
        yield Step(f"SGD's {key}", f"{value:g}", value == expected[key])
    iterations = told.defaults.iterations
    yield Step("iterations", f"{iterations:,}", iterations == 160_000)
    rates = {501: 0.02, 120_000: 0.02, 120_001: 0.002, 160_000: 0.002}
    for iteration, rate in rates.items():
        value = told.rates.get(iteration, float("nan"))
        same = bool(np.isclose(value, rate, rtol=1e-12, atol=0))
        yield Step(f"learning rate of iteration {iteration:,}", f"{value:g}", same)
    rate = told.resnext_rate
    one = bool(np.isclose(rate, 0.01, rtol=1e-12, atol=0))
    yield Step(f"ResNeXt, {GPUS} images a step: the rate becomes", f"{rate:g}", one)


def added(told: Recipe) -> Iterator[Step]:
    """What the paper has not."""
    warm = told.defaults.warmup_iterations
    first, last = told.rates[1], told.rates[500]
    rising = first < last < told.optimizer["lr"] and warm == 500
    yield Step("ours: iterations of warm-up", str(warm), rising)
    yield Step("ours: learning rate of the first", f"{first:g}", first < 0.02)
    shorter = told.coco.iterations
    yield Step(f"ours: iterations of {LONGER}", f"{shorter:,}", shorter == 90_000)


def draw(told: Recipe) -> Figure:
    """The learning rate of both schedules."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    lines = (
        ("the paper's, with a warm-up", told.defaults, palette.ROI, "-"),
        (LONGER, told.coco, palette.QUANTISED, "--"),
    )
    for name, config, color, line in lines:
        places = np.arange(1, config.iterations + 1, 25)
        rates = [learning_rate(config, int(place)) for place in places]
        axes.plot(places, rates, color=color, ls=line, lw=2, label=name)
    axes.set(xlabel="iteration", ylabel="learning rate", yscale="log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(color=palette.PIXEL, lw=0.5)
    axes.legend()
    return figure


def alt(told: Recipe) -> str:
    """The picture in words."""
    return (
        "The learning rate by iteration on a logarithmic axis: it rises to "
        f"{told.optimizer['lr']:g} within {told.defaults.warmup_iterations} iterations "
        f"and falls to {told.rates[120_001]:g} after 120,000 of "
        f"{told.defaults.iterations:,}; that of {LONGER} falls twice and ends at "
        f"{told.coco.iterations:,}."
    )


CLAIM = Claim(
    number=22,
    claim="Training: shorter side 800, 2 images a GPU on 8 GPUs, N = 64 RoIs an image "
    "(C4) or 512 (FPN), 160k iterations, learning rate 0.02 and from 120k on 0.002, "
    "weight decay 0.0001, momentum 0.9; ResNeXt with 1 image a GPU and a rate of "
    "0.01; anchors of 5 scales and 3 ratios.",
    places=(Place.SUMMARY,),
    verdict=Verdict.TRUE,
    right="The package does the same unless told otherwise, but for a warm-up of 500 "
    "iterations; its preset coco-r50-fpn stops at 90,000.",
    paper="Section 3.1, training, with these numbers; a warm-up is not mentioned. With "
    "FPN each level has one of the scales (Lin et al. 2017, section 4.1).",
    lesson="11_mask_rcnn",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
