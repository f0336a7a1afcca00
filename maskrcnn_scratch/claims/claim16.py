"""261,888 anchors, and what the RPN says of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict
from maskrcnn_scratch.claims.shapes import Shapes, shapes_of, written
from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.models.presets import MATTERPORT, PRESETS
from maskrcnn_scratch.reference import losses
from maskrcnn_scratch.reference.anchors import pyramid_anchors

SIDE = 1024  # pixels of the image
ANCHORS = 261_888
PAIRS = 200  # of random logits


@dataclass(frozen=True)
class Outputs:
    """Shapes of the RPN, and its two forms of objectness on the same anchors."""

    shapes: dict[str, Shapes]
    """By preset."""
    anchors: dict[int, int]
    """By level, from ``reference.anchors``."""
    pairs: Float[np.ndarray, "pairs 2"]
    """Logits (background, object)."""
    probability: Float[np.ndarray, " pairs"]
    """Of an object, by softmax."""
    loss_apart: float
    """Largest difference of the softmax's loss of a pair from the sigmoid's."""
    slope_apart: float
    """And of the derivatives with respect to the object's logit."""

    @property
    def difference(self) -> Float[np.ndarray, " pairs"]:
        """The one logit that says the same."""
        logit: np.ndarray = self.pairs[:, 1] - self.pairs[:, 0]
        return logit


def measure() -> Outputs:
    """Shapes of the models, counts and losses of the reference."""
    shapes = {name: shapes_of(config, SIDE) for name, config in PRESETS.items()}
    grids = [(SIDE // stride,) * 2 for stride in MATTERPORT.strides]
    boxes = pyramid_anchors(
        MATTERPORT.anchor_sizes, MATTERPORT.anchor_ratios, MATTERPORT.strides, grids
    )
    pairs = np.random.default_rng(0).normal(0, 3, (PAIRS, 2))
    exponentials = np.exp(pairs)
    return Outputs(
        shapes,
        {n: len(own) for n, own in zip(MATTERPORT.anchor_levels, boxes, strict=True)},
        pairs,
        exponentials[:, 1] / exponentials.sum(axis=1),
        *compared(pairs),
    )


def compared(pairs: Float[np.ndarray, "pairs 2"]) -> tuple[float, float]:
    """How far the two losses and their slopes are apart, anchors of both labels."""
    loss_apart = slope_apart = 0.0
    for background, foreground in pairs:
        for label in (0, 1):
            two = np.array([[background, foreground]])
            one = np.array([foreground - background])
            u = np.array([label])
            softmax, slopes = losses.softmax_cross_entropy(two, u)
            sigmoid, slope = losses.objectness_loss(one, u)
            loss_apart = max(loss_apart, abs(softmax - sigmoid))
            slope_apart = max(slope_apart, abs(float(slopes[0, 1] - slope[0])))
    return loss_apart, slope_apart


def evidence(told: Outputs) -> Iterator[Step | Table]:
    """Maps, anchors, outputs, and why one logit is as good as two."""
    own = told.shapes["matterport"]
    yield Table(
        f"An image of {SIDE} x {SIDE}",
        ("level", "map", "anchors"),
        tuple(
            (f"P{n}", written(own["FPN", f"P{n}"][1:]), f"{count:,}")
            for n, count in told.anchors.items()
        ),
    )
    sides = [own["FPN", f"P{n}"][-1] for n in told.anchors]
    halved = sides == [256, 128, 64, 32, 16]
    yield Step("sides of P2 to P6", ", ".join(map(str, sides)), halved)
    total = sum(told.anchors.values())
    squares = 3 * sum(int(side) ** 2 for side in sides)
    yield Step("anchors of all levels", f"{total:,}", total == ANCHORS)
    yield Step("3 (256^2 + 128^2 + 64^2 + 32^2 + 16^2)", f"{squares:,}",
               squares == ANCHORS)  # fmt: skip
    for name, shape in (("class logits", (2,)), ("box deltas", (4,))):
        found = own["RPN", name]
        yield Step(f"matterport: {name}", written(found), found == (1, ANCHORS, *shape))
    for name in ("paper", "torchvision", "detectron2"):
        found = told.shapes[name]["RPN", "objectness"]
        one = found == (1, ANCHORS) and ("RPN", "class logits") not in told.shapes[name]
        yield Step(f"{name}: objectness, one logit", written(found), one)
    yield Step("softmax's loss less the sigmoid's of o - b, at most",
               f"{told.loss_apart:.0e}", told.loss_apart < 1e-12)  # fmt: skip
    yield Step("the same of the derivatives by o", f"{told.slope_apart:.0e}",
               told.slope_apart < 1e-12)  # fmt: skip


def draw(told: Outputs) -> Figure:
    """Anchors by level; the probability of an object over the logits' difference."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = [f"P{n}" for n in told.anchors]
    bars = left.bar(names, list(told.anchors.values()), color=palette.OBJECT)
    left.bar_label(bars, fmt="{:,.0f}", padding=2)
    left.set(ylabel="anchors", yscale="log", ylim=(300, 6e5))
    left.set_title(f"{sum(told.anchors.values()):,} anchors", fontsize=10)
    x = np.linspace(-10, 10, 201)
    right.plot(
        x, 1 / (1 + np.exp(-x)), color=palette.ROI, lw=2, label="sigmoid of one logit"
    )
    right.plot(
        told.difference, told.probability, "x", color=palette.QUANTISED, ms=5,
        label="softmax of two logits",
    )  # fmt: skip
    right.set(xlabel="object's logit less background's", ylabel="probability")
    right.set(xlim=(-10, 10))
    right.legend()
    return figure


def alt(told: Outputs) -> str:
    """The picture in words."""
    counts = ", ".join(f"P{n} {count:,}" for n, count in told.anchors.items())
    return (
        f"Left, bars of the anchors of each level: {counts}. Right, the probability of "
        "an object over the difference of two logits: softmax's crosses lie on the "
        "sigmoid's curve."
    )


CLAIM = Claim(
    number=16,
    claim="An image of 1024 pixels has maps of 256 (P2) to 16 (P6) cells a side and "
    "261,888 anchors; the RPN puts out 1 x 261,888 x 2 logits, as many probabilities "
    "and 1 x 261,888 x 4 deltas.",
    places=(Place.WALK,),
    verdict=Verdict.CONDITION,
    right="So it is in matterport's; the paper's own code, torchvision and detectron2 "
    "have one logit an anchor and a sigmoid, which says the same as their difference.",
    paper="Lin et al. 2017, section 4.1: one size a level, three ratios. Ren et al. "
    "2015, section 3.1: a two-class softmax, or else a logistic regression.",
    lesson="08_rpn",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
