"""A RoI is positive where its IoU exceeds one half."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict, number
from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import add_box, around, draw_pixels
from maskrcnn_scratch.models.box_head import BoxHead
from maskrcnn_scratch.models.presets import PAPER, PRESETS
from maskrcnn_scratch.models.proposals import Proposals
from maskrcnn_scratch.models.sampling import SampledRoIs, positives_of, sample_rois
from maskrcnn_scratch.reference.boxes import box_iou
from maskrcnn_scratch.reference.matching import match
from maskrcnn_scratch.structures import Target

OBJECT = np.array([[0.0, 0.0, 8.0, 8.0]])
HEIGHTS = (3.9375, 4.0, 4.0625)
"""Of RoIs over the object's upper part: a pixel's sixteenth below one half, one half,
and a sixteenth above."""
NAMES = ("just below 0.5", "exactly 0.5", "just above 0.5")


@dataclass(frozen=True)
class Matches:
    """What becomes of RoIs below, at and above an IoU of one half."""

    rois: Float[np.ndarray, "rois 4"]
    iou: Float[np.ndarray, " rois"]
    matched: Int[np.ndarray, " rois"]
    """By ``reference.matching``: the object's index, or negative."""
    sampled: list[float]
    """IoUs of the RoIs that the model takes as positive, ascending."""
    gradients: dict[str, float]
    """How much Lcls and Lbox pull at the negative's outputs, in all."""
    in_mask_loss: int
    systems: dict[str, float]


def measure() -> Matches:
    """The same three RoIs by the reference and by the model's sampling."""
    rois = np.array([[0.0, 0.0, 8.0, height] for height in HEIGHTS])
    iou = box_iou(OBJECT, rois)
    matched = match(iou, PAPER.roi_positive_iou, PAPER.roi_positive_iou, False)
    config = replace(
        PAPER,
        num_classes=1,
        roi_append_truth=False,
        roi_positive_fraction=1.0,
        box_head_width=1,
    )
    boxes = torch.tensor(rois, dtype=torch.float32)
    sampled = sample_rois(
        config, Proposals(boxes, torch.zeros(len(rois))), the_object()
    )
    positives = positives_of(config, sampled)
    return Matches(
        rois,
        iou[0],
        matched,
        sorted(box_iou(OBJECT, positives.boxes.numpy().astype(float))[0].tolist()),
        gradients_of_negatives(BoxHead(config, channels=1), sampled),
        len(positives),
        {name: config.roi_positive_iou for name, config in PRESETS.items()},
    )


def the_object() -> Target:
    """As the model's ground truth."""
    return Target(
        image_id=1,
        boxes=torch.tensor(OBJECT, dtype=torch.float32),
        labels=torch.tensor([1]),
        masks=None,
        crowd=torch.tensor([False]),
    )


def gradients_of_negatives(head: BoxHead, sampled: SampledRoIs) -> dict[str, float]:
    """How much the losses of the box head pull at what it says of the negatives."""
    logits = torch.zeros(len(sampled), 2, requires_grad=True)
    deltas = torch.ones(len(sampled), 1, 4, requires_grad=True)
    losses = head.losses(logits, deltas, sampled)
    total = losses["class"].total + losses["box"].total
    pulls = torch.autograd.grad(total, [logits, deltas])
    negative = ~sampled.positive
    return {
        name: float(pull[negative].abs().sum())
        for name, pull in zip(("Lcls", "Lbox"), pulls, strict=True)
    }


def evidence(told: Matches) -> Iterator[Step | Table]:
    """Three RoIs, the rule at the border, and what negatives are for."""
    yield Table(
        "RoIs over an object of 8 x 8 pixels",
        ("RoI", "IoU", "by reference.matching"),
        tuple(
            (
                f"8 x {number(roi[3])}",
                f"{iou:.4f}",
                "positive" if m >= 0 else "negative",
            )
            for roi, iou, m in zip(told.rois, told.iou, told.matched, strict=True)
        ),
    )
    below, exact, above = (bool(m >= 0) for m in told.matched)
    half = float(told.iou[1])
    yield Step("the RoI of 8 x 4 has an IoU of", repr(half), half == 0.5)
    yield Step("it is positive", said(exact), exact)
    yield Step("so is the one just above", said(above), above)
    yield Step("and the one just below", said(below), not below)
    counts = ", ".join(f"{iou:.4f}" for iou in told.sampled)
    same = told.sampled == [float(iou) for iou in told.iou[1:]]
    yield Step("IoUs of the model's own positives", counts, same)
    only = told.in_mask_loss == 2
    yield Step("of the three RoIs, in Lmask", str(told.in_mask_loss), only)
    pull = told.gradients
    yield Step(
        "Lbox's gradient on the negative", f"{pull['Lbox']:g}", pull["Lbox"] == 0
    )
    yield Step("Lcls's gradient on the negative", f"{pull['Lcls']:g}", pull["Lcls"] > 0)
    values = ", ".join(sorted({f"{value:g}" for value in told.systems.values()}))
    agree = set(told.systems.values()) == {0.5}
    yield Step(f"threshold of the {len(told.systems)} published systems", values, agree)


def said(positive: bool) -> str:
    """In a word."""
    return "positive" if positive else "negative"


def draw(told: Matches) -> Figure:
    """The three RoIs on the object."""
    figure = Figure(figsize=(10, 3.9), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, roi, iou, matched, name in zip(
        panels, told.rois, told.iou, told.matched, NAMES, strict=True
    ):
        draw_pixels(axes, around(OBJECT[0], roi))
        fill = {"fc": (palette.OBJECT, 0.4), "ec": palette.OBJECT, "lw": 2}
        add_box(axes, OBJECT[0], "object", **fill)
        positive = bool(matched >= 0)
        line = "-" if positive else "--"
        add_box(axes, roi, "roi", fc="none", ec=palette.ROI, lw=3, ls=line)
        axes.set_title(f"{name}\nIoU {iou:.4f}: {said(positive)}")
    return figure


def alt(told: Matches) -> str:
    """The picture in words."""
    kinds = [
        f"with an IoU of {iou:.4f}, {said(bool(matched >= 0))}"
        for iou, matched in zip(told.iou, told.matched, strict=True)
    ]
    return f"Three RoIs over the upper half of an object: {'; '.join(kinds)}."


CLAIM = Claim(
    number=21,
    claim="A RoI is positive where its IoU with a ground-truth box is more than 0.5, "
    "and only positive RoIs count in the loss.",
    places=(Place.NOTES, Place.SUMMARY),
    verdict=Verdict.CONDITION,
    right="At exactly 0.5 it is positive too; negatives are left out of Lbox and "
    "Lmask, but Lcls learns the background from them.",
    paper='Section 3.1, training: positive with an IoU "of at least 0.5", else '
    "negative; Lmask is defined on positive RoIs alone.",
    lesson="09_box_head",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
