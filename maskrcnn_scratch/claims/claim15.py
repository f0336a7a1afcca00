"""The level of a RoI: k = floor(4 + log2(sqrt(w h) / 224))."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict, number
from maskrcnn_scratch.figures.fpn_levels import (
    FpnLevels,
    draw_level_rule,
    follow_boxes,
)
from maskrcnn_scratch.models.presets import MATTERPORT, PAPER

SIZES = (
    (56, 56), (112, 112), (224, 224), (448, 448), (896, 896), (24, 224),
    (100, 100), (160, 160), (200, 200), (320, 320),
)  # fmt: skip
"""Width and height of RoIs in image pixels."""
LEVELS = {(56, 56): 2, (112, 112): 3, (224, 224): 4, (448, 448): 5, (896, 896): 5}
"""The paper's rule by head: a level for each halving or doubling; P5 is the last."""
MISPRINT = (24, 224)


def measure() -> FpnLevels:
    """Every size by ``reference.fpn_levels``, floored and rounded."""
    return follow_boxes(np.array([(0.0, 0.0, *size) for size in SIZES]))


def evidence(told: FpnLevels) -> Iterator[Step | Table]:
    """The levels, then where the two roundings part."""
    floor = dict(zip(SIZES, told.levels["floor"], strict=True))
    rounded = dict(zip(SIZES, told.levels["round"], strict=True))
    yield Table(
        "Levels of RoIs",
        ("w x h, pixels", "sqrt(w h)", "k before", "floor", "round"),
        tuple(
            (
                f"{w} x {h}",
                f"{side:.4g}",
                f"{4 + np.log2(side / 224):.3f}",
                f"P{floor[w, h]}",
                f"P{rounded[w, h]}",
            )
            for (w, h), side in zip(SIZES, told.sides, strict=True)
        ),
    )
    for (w, h), level in LEVELS.items():
        found = floor[w, h]
        yield Step(f"{w} x {h}, floored", f"P{found}", found == level)
    both = floor[MISPRINT], rounded[MISPRINT]
    values = " and ".join(f"P{level}" for level in both)
    yield Step("24 x 224, floored and rounded", values, 4 not in both)
    floors, rounds = (told.rules[name].borders for name in ("floor", "round"))
    yield Step("floored: sides at which the level changes", listed(floors))
    root = np.sqrt(2)
    lower = np.allclose(np.array(floors) / root, rounds, rtol=1e-9)
    yield Step("rounded: by sqrt(2) smaller", listed(rounds), bool(lower))
    other = [f"{w}" for w, h in SIZES if floor[w, h] != rounded[w, h]]
    yield Step("sides of those above that go elsewhere", ", ".join(other), bool(other))
    rule = PAPER.level_rounding
    yield Step("the paper's rounding, in its preset", rule, rule == "floor")
    rule = MATTERPORT.level_rounding
    yield Step("matterport's", rule, rule == "round")


def listed(values: tuple[float, ...]) -> str:
    """With a decimal."""
    return ", ".join(number(value, 1) for value in values)


def draw(told: FpnLevels) -> Figure:
    """Some of the RoIs on the rule."""
    shown = (MISPRINT, (112, 112), (160, 160), (224, 224), (320, 320), (448, 448))
    rows = [SIZES.index(size) for size in shown]
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    draw_level_rule(axes, follow_boxes(told.boxes[rows]))
    names = ", ".join(f"{n}: {w} x {h}" for n, (w, h) in enumerate(shown))
    axes.set_title(f"{names} pixels", fontsize=9)
    return figure


def alt(told: FpnLevels) -> str:
    """The picture in words."""
    return (
        "The level over the side of a RoI, two flights of steps: floored, up at "
        f"{listed(told.rules['floor'].borders)} pixels; rounded, at "
        f"{listed(told.rules['round'].borders)}. Of the RoIs on them those of 160 and "
        "320 pixels are on different levels."
    )


CLAIM = Claim(
    number=15,
    claim="A RoI is read from level k = 4 + log2(sqrt(w h) / 224), made whole: one of "
    "24 x 224 from P4, one of 112 x 112 from P3.",
    places=(Place.BLOG, Place.WALK),
    verdict=Verdict.CONDITION,
    right="The paper floors; matterport rounds, so that RoIs of 160 pixels, say, go a "
    "level up. 24 x 224 is a misprint of 224 x 224.",
    paper="Lin et al. 2017, equation 1: k = floor(k0 + log2(sqrt(w h) / 224)), k0 = 4; "
    "He et al. 2017 follow it.",
    lesson="07_fpn",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
