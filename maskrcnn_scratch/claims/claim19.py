"""Softmax makes the classes of a mask compete; a sigmoid for each does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict
from maskrcnn_scratch.claims.miniature import miniature, trained
from maskrcnn_scratch.experiments.ablations import Outcome, mask_loss
from maskrcnn_scratch.experiments.mask_branch import FULL, Scale
from maskrcnn_scratch.figures.ablation import draw_paper, draw_runs
from maskrcnn_scratch.figures.class_masks import draw_competition
from maskrcnn_scratch.reference import losses

OWN = 2.0
"""The logit of the pixel's true class."""
OTHERS = (-4.0, 0.0, 4.0)
"""Of another class."""


QUICK = Scale(train_images=120, iterations=200, test_images=40)
"""With fewer iterations softmax, which learns more slowly, finds no masks at all."""


@dataclass(frozen=True)
class Competition:
    """A pixel inside an object, as another class's logit changes; and the trainings.

    ``pixel`` has by the name of the loss a row for each of ``OTHERS``: the loss, and
    its derivatives with respect to the true class's logit and the other's.
    """

    pixel: dict[str, Float[np.ndarray, "others 3"]]
    outcome: Outcome


def measure(seeds: int = 3, scale: Scale = FULL) -> Competition:
    """One pixel by ``reference.losses``, then models trained with either loss."""
    label, target = np.array([0]), np.ones((1, 1, 1))
    rows: dict[str, list[tuple[float, float, float]]] = {"sigmoid": [], "softmax": []}
    for other in OTHERS:
        # Background, which only softmax has; the true class; the other one.
        maps = np.array([0.0, OWN, other]).reshape(1, 3, 1, 1)
        for name, (loss, gradient) in {
            "sigmoid": losses.mask_loss(maps[:, 1:], label, target),
            "softmax": losses.softmax_mask_loss(maps, label, target),
        }.items():
            own, rival = gradient.flatten()[-2:]
            rows[name].append((loss, float(own), float(rival)))
    pixel = {name: np.array(of_loss) for name, of_loss in rows.items()}
    return Competition(pixel, trained(mask_loss(), seeds, scale))


def evidence(told: Competition) -> Iterator[Step | Table]:
    """The pixel, then what it does to masks."""
    for name, rows in told.pixel.items():
        yield Table(
            f"{name}: a pixel of the true class, whose logit stays at {OWN:g}",
            ("another class's logit", "loss", "d / d true", "d / d other"),
            tuple(
                (f"{other:g}", *(f"{value:.4f}" for value in row))
                for other, row in zip(OTHERS, rows, strict=True)
            ),
        )
    sigmoid, softmax = told.pixel["sigmoid"], told.pixel["softmax"]
    change = float(np.ptp(sigmoid[:, 0]))
    yield Step("sigmoid: change of the loss", f"{change:g}", change == 0)
    pull = float(np.abs(sigmoid[:, 2]).max())
    yield Step("sigmoid: gradient on the other class", f"{pull:g}", pull == 0)
    grown = bool((np.diff(softmax[:, 0]) > 0).all())
    change = float(np.ptp(softmax[:, 0]))
    yield Step("softmax: change of the loss", f"{change:.4f}", grown)
    pull = float(softmax[:, 2].min())
    yield Step("softmax: least gradient on the other class", f"{pull:.4f}", pull > 0)
    yield from miniature(told.outcome)


def draw(told: Competition) -> Figure:
    """The loss of the pixel, our runs, and the paper's mask AP."""
    figure = Figure(figsize=(11.5, 3.6), layout="constrained")
    pixel, ours, theirs = figure.subplots(1, 3)
    draw_competition(pixel, OWN)
    arms = told.outcome.ablation.arms
    ious = {arm.name: told.outcome.ious(arm.name) for arm in arms}
    draw_runs(ours, ious, {name: sum(iou) / len(iou) for name, iou in ious.items()})
    draw_paper(theirs, {arm.name: arm.paper[0] for arm in arms}, "Table 2b, R-50-C4")
    for axes in (ours, theirs):
        axes.set_yticks(range(len(ious)), list(ious))
        axes.set_ylim(len(ious) - 0.5, -0.5)
    return figure


def alt(told: Competition) -> str:
    """The picture in words."""
    sigmoid, softmax = (np.mean(told.outcome.ious(name)) for name in told.pixel)
    return (
        "Left: the loss of a pixel over another class's logit, level with a sigmoid "
        "for each class, rising with softmax. Middle: the mask IoU of our runs, "
        f"{sigmoid:.3f} with sigmoids, {softmax:.3f} with softmax. Right: the paper's "
        "mask AP."
    )


CLAIM = Claim(
    number=19,
    claim="A softmax over the classes of each pixel makes classes compete, a sigmoid "
    "for each class's own mask does not, and masks become better.",
    places=(Place.BLOG, Place.RUSSIAN),
    verdict=Verdict.TRUE,
    right="Another class's logit changes softmax's loss of a pixel and not the "
    "sigmoid's, and masks are better with the sigmoid.",
    paper="Table 2b, ResNet-50-C4: mask AP 30.3 with sigmoids, 24.8 with softmax; "
    "AP50 51.2 and 44.1, AP75 31.5 and 25.1.",
    lesson="10_mask_head",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
    small="backbone (a ResNet-18 of 16 channels where published ones have 64) and mask "
    "head alone, boxes given; 400 generated images of 128 pixels, 400 iterations, "
    "3 seeds, about 3 minutes; mask IoU, not AP. Quick: 120 images, 200 iterations, 1 "
    "seed, 20 seconds, in which softmax, the slower learner, is not done: a direction, "
    "no size.",
    quick={"seeds": 1, "scale": QUICK},
)
