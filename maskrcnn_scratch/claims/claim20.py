"""Lcls is -log p_u, and smooth-L1 switches at 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict, number
from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.smooth_l1 import draw_smooth_l1
from maskrcnn_scratch.models.presets import PRESETS
from maskrcnn_scratch.reference import losses

LOGITS = np.array([[0.5, 2.0, -1.0, 0.25]])
ERRORS = (-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.0)
BETAS = {"1": 1.0, "1/9": 1 / 9, "0": 0.0}
SYSTEMS = {"matterport": "1", "torchvision": "1/9", "detectron2": "0"}


@dataclass(frozen=True)
class Losses:
    """Lcls for every true class, smooth-L1 of some errors, and who has which beta."""

    p: Float[np.ndarray, " classes"]
    classes: Float[np.ndarray, " classes"]
    """Lcls where the true class is u."""
    smooth: dict[str, Float[np.ndarray, " errors"]]
    """By beta."""
    switch: dict[str, float]
    """The smallest error of slope 1, in steps of 1/1152, by beta."""
    systems: dict[str, float]
    """The box head's beta by preset."""


def measure() -> Losses:
    """By ``reference.losses``; the presets for who has which beta."""
    exponentials = np.exp(LOGITS[0])
    every = range(LOGITS.shape[1])
    return Losses(
        exponentials / exponentials.sum(),
        np.array(
            [losses.softmax_cross_entropy(LOGITS, np.array([u]))[0] for u in every]
        ),
        {
            name: np.array([smooth_l1(error, beta)[0] for error in ERRORS])
            for name, beta in BETAS.items()
        },
        {name: switch_of(beta) for name, beta in BETAS.items()},
        {name: config.box_beta for name, config in PRESETS.items()},
    )


def smooth_l1(error: float, beta: float) -> tuple[float, float]:
    """Loss and slope of one number that is ``error`` too large."""
    loss, slope = losses.smooth_l1(np.array([error]), np.zeros(1), beta)
    return loss, float(slope[0])


def switch_of(beta: float) -> float:
    """The smallest positive error whose slope is 1, in steps of 1/1152."""
    grid = np.arange(1, 2 * 1152 + 1) / 1152
    return float(min(error for error in grid if smooth_l1(error, beta)[1] == 1))


def evidence(told: Losses) -> Iterator[Step | Table]:
    """Lcls, then smooth-L1 by the formula, then where systems switch."""
    by_hand = -np.log(told.p)
    yield Table(
        "One RoI of four classes",
        ("true class u", "p_u", "-log p_u", "Lcls"),
        tuple(
            (str(u), *(f"{value:.4f}" for value in row))
            for u, row in enumerate(zip(told.p, by_hand, told.classes, strict=True))
        ),
    )
    apart = float(np.abs(told.classes - by_hand).max())
    yield Step("Lcls less -log p_u, at most", f"{apart:.0e}", apart < 1e-12)
    yield Table(
        "Smooth-L1 of an error d",
        ("d", *(f"beta = {name}" for name in BETAS)),
        tuple(
            (number(error), *(f"{told.smooth[name][place]:.4f}" for name in BETAS))
            for place, error in enumerate(ERRORS)
        ),
    )
    formula = [0.5 * d**2 if abs(d) < 1 else abs(d) - 0.5 for d in ERRORS]
    same = np.array_equal(told.smooth["1"], formula)
    yield Step("beta 1 is 0.5 d^2 below 1, |d| - 0.5 from there", str(same), same)
    is_l1 = np.array_equal(told.smooth["0"], np.abs(ERRORS))
    yield Step("beta 0 is L1, |d|", str(is_l1), is_l1)
    for name, beta in BETAS.items():
        near = abs(told.switch[name] - beta) < 1 / 500
        switch = number(told.switch[name], 3)
        yield Step(f"beta {name}: the slope is 1 from d", switch, near)
    for system, name in SYSTEMS.items():
        beta = told.systems[system]
        yield Step(f"beta of {system}'s box head", number(beta, 3), beta == BETAS[name])


def draw(told: Losses) -> Figure:
    """-log p, smooth-L1 and its slope."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    classes, loss, slope = figure.subplots(1, 3)
    p = np.linspace(0.01, 1, 200)
    classes.plot(p, -np.log(p), color=palette.ROI, lw=2, label="-log p")
    classes.plot(told.p, told.classes, "o", color=palette.QUANTISED, label="Lcls")
    classes.set(xlabel="p of the true class", ylabel="loss")
    classes.legend(frameon=False)
    draw_smooth_l1(loss, slope, tuple(BETAS))
    return figure


def alt(told: Losses) -> str:
    """The picture in words."""
    return (
        "Left, -log p falling to 0 at p = 1, with Lcls of an RoI's "
        f"{len(told.p)} classes on it. Middle and right, smooth-L1 and its slope for "
        f"beta {', '.join(BETAS)}: the smaller beta, the sharper the bend at 0."
    )


CLAIM = Claim(
    number=20,
    claim="Lcls is -log p_u, the true class's probability; Lbox is smooth-L1, 0.5 x^2 "
    "where |x| < 1 and |x| - 0.5 elsewhere.",
    places=(Place.NOTES,),
    verdict=Verdict.TRUE,
    right="So Fast R-CNN has it and matterport; torchvision switches at 1/9, and "
    "detectron2 takes L1, beta 0.",
    paper="Girshick 2015, section 2.3, equations 1 to 3; section 3 of Mask R-CNN takes "
    "both over.",
    lesson="09_box_head",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
