"""Bilinear interpolation: in x twice, then in y; or the other way round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import (
    Claim,
    Place,
    Step,
    Table,
    Verdict,
    number,
)
from maskrcnn_scratch.figures.bilinear_order import draw_two_steps
from maskrcnn_scratch.reference.bilinear import bilinear, bilinear_taps

EXAMPLE = np.array([[1.0, 2.0, 4.0], [3.0, 8.0, 6.0]])
Y, X = 0.25, 1.5
READS = 2000
HEIGHT, WIDTH = 5, 7

Map = Float[np.ndarray, "height width"]


@dataclass(frozen=True)
class Orders:
    """One read by hand, and many at random places of random maps.

    ``x_first`` and ``y_first`` are (first value between, second, result) of the
    example; ``apart`` is how far the results of ``READS`` reads are apart at most, and
    ``from_layers`` how far they are from what ``reference.bilinear`` reads.
    ``same`` counts the reads whose two results agree to the last bit.
    """

    x_first: tuple[float, ...]
    y_first: tuple[float, ...]
    apart: float
    from_layers: float
    same: int


def two_steps(feature_map: Map, y: float, x: float) -> tuple[float, ...]:
    """In x on two rows, then in y between: the two values, then the result."""
    height, width = feature_map.shape
    along_x = [
        (sum(wx * float(feature_map[row, c]) for c, wx in bilinear_taps(width, x)), wy)
        for row, wy in bilinear_taps(height, y)
    ]
    values = [value for value, _ in along_x]
    return (*values, sum(weight * value for value, weight in along_x))


def measure(seed: int = 30) -> Orders:
    """The example, then reads between the cells of random maps."""
    rng = np.random.default_rng(seed)
    results = np.empty((READS, 3))
    for read in results:
        feature_map = rng.standard_normal((HEIGHT, WIDTH))
        y, x = rng.uniform(0, HEIGHT - 1), rng.uniform(0, WIDTH - 1)
        read[:] = (
            two_steps(feature_map, y, x)[-1],
            two_steps(feature_map.T, x, y)[-1],
            bilinear(feature_map, y, x),
        )
    in_x, in_y, layer = results.T
    return Orders(
        two_steps(EXAMPLE, Y, X),
        two_steps(EXAMPLE.T, X, Y),
        float(abs(in_x - in_y).max()),
        float(max(abs(in_x - layer).max(), abs(in_y - layer).max())),
        int((in_x == in_y).sum()),
    )


def evidence(told: Orders) -> Iterator[Step | Table]:
    """The example by hand, then how far the orders are apart."""
    upper, lower, result = told.x_first
    yield Step(f"cells at y = 0 and 1, x = 1 and 2; read at {Y}, {X}", "2 4; 8 6")
    yield Step("in x on both rows", f"{number(upper)}, {number(lower)}")
    yield Step(
        "then in y between them", number(result), result == bilinear(EXAMPLE, Y, X)
    )
    left, right, other = told.y_first
    yield Step("in y on both columns", f"{number(left)}, {number(right)}")
    yield Step("then in x between them", number(other), other == result)
    yield Step(
        f"{READS} random reads: results apart by at most",
        f"{told.apart:.1e}",
        told.apart < 1e-14,
    )
    yield Step("results the same to the last bit", f"{told.same} of {READS}")
    yield Step(
        "from the sum over four cells, by at most",
        f"{told.from_layers:.1e}",
        told.from_layers < 1e-14,
    )


def draw(_: Orders) -> Figure:
    """Both orders on the example."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    one, other = figure.subplots(1, 2)
    draw_two_steps(one, EXAMPLE, Y, X, "x")
    draw_two_steps(other, EXAMPLE, Y, X, "y")
    one.set_title("in x twice, then in y")
    other.set_title("in y twice, then in x")
    return figure


def alt(told: Orders) -> str:
    """The picture in words."""
    upper, lower, result = told.x_first
    left, right, _ = told.y_first
    return (
        f"Two panels, the same six cells. Left, {number(upper)} and {number(lower)} "
        f"are interpolated in x, and {number(result)} between them in y. Right, "
        f"{number(left)} and {number(right)} in y, and the same {number(result)} in x."
    )


CLAIM = Claim(
    number=30,
    claim="Bilinear interpolation goes in x twice, then in y between the two values.",
    places=(Place.BLOG,),
    verdict=Verdict.TRUE,
    right="In y twice, then in x, is the same but for rounding in the last bits: the "
    "weights of the axes are multiplied.",
    paper="Section 3, RoIAlign, uses bilinear interpolation and cites Spatial "
    "Transformer Networks (Jaderberg et al. 2015, equation 5).",
    lesson="01_bilinear",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
