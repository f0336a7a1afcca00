"""Exercise 16.3: the area of a polygon."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.strategies import sixteenths


def polygon_area(polygon: list[float]) -> float:
    """The area of a polygon in square pixels, never negative.

    ``polygon`` is COCO's flat list [x1, y1, x2, y2, ...] of three corners or more, in
    either direction; the last corner is joined to the first. Edges do not cross.
    """
    x, y = polygon[::2], polygon[1::2]
    total = 0.0
    for i in range(len(x)):
        j = (i + 1) % len(x)
        total += x[i] * y[j] - x[j] * y[i]
    return abs(total) / 2


@st.composite
def polygons(draw: st.DrawFn) -> Inputs:
    """Corners in the order of their angles around a centre, or the other way round."""
    corner = st.tuples(sixteenths(0, 8), sixteenths(0, 8))
    corners = draw(st.lists(corner, min_size=3, max_size=6, unique=True))
    x0, y0 = np.mean(corners, axis=0)
    corners.sort(key=lambda c: math.atan2(c[1] - y0, c[0] - x0))
    if draw(st.booleans()):
        corners.reverse()
    return {"polygon": [number for corner in corners for number in corner]}


@st.composite
def rectangles(draw: st.DrawFn) -> Inputs:
    """An upright rectangle from any of its corners on, in either direction."""
    x1, y1 = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    x2, y2 = x1 + draw(st.integers(1, 9)), y1 + draw(st.integers(1, 9))
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    first = draw(st.integers(0, 3))
    corners = corners[first:] + corners[:first]
    if draw(st.booleans()):
        corners.reverse()
    return {"polygon": [float(number) for corner in corners for number in corner]}


def area_by_triangles(polygon: list[float]) -> float:
    """Triangles between the first corner and each edge, with their signs."""
    corners = np.array(polygon).reshape(-1, 2)
    sides = corners[1:] - corners[0]
    one, other = sides[:-1], sides[1:]
    crosses = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return float(abs(crosses.sum()) / 2)


EXERCISE = Exercise(
    id="ex16_3",
    title="The area of an outline",
    objective="Compute an object's area from its polygon.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `polygon_area(polygon)` by the shoelace formula. COCO sorts objects "
        "into small, medium and large by this number, so that a wrong one moves AP."
    ),
    hints=(
        "`polygon[::2]` are the x, `polygon[1::2]` the y of all corners.",
        "For each edge from corner i to corner j add x_i y_j - x_j y_i; the area is "
        "half of the sum.",
        "The edge from the last corner to the first belongs to them: "
        "`j = (i + 1) % len(x)`. The sum's sign tells the direction, so take `abs`.",
    ),
    solution=polygon_area,
    laws=(
        Law("The area is that of its triangles.", polygons(), area_by_triangles),
        Law(
            "A rectangle's area is width times height.",
            rectangles(),
            expected=lambda polygon: (
                (max(polygon[::2]) - min(polygon[::2]))
                * (max(polygon[1::2]) - min(polygon[1::2]))
            ),
        ),
        Law(
            "A polygon that is moved keeps its area.",
            polygons(),
            expected=lambda polygon: area_by_triangles(polygon),
            got=lambda f, polygon: f(
                [number + (16, 4)[i % 2] for i, number in enumerate(polygon)]
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "sign",
            "you kept the sign, which tells the direction of the corners; an area is "
            "never negative.",
            {"abs(total)": "total"},
        ),
        Mistake(
            "not halved",
            "you forgot the half: each term is the area of a parallelogram.",
            {"abs(total) / 2": "abs(total)"},
        ),
        Mistake(
            "not closed",
            "you left out the edge from the last corner back to the first.",
            {"range(len(x))": "range(len(x) - 1)"},
        ),
        Mistake(
            "all x, then all y",
            "you took the first half for x and the second for y; x and y stand in "
            "turn.",
            {
                "polygon[::2], polygon[1::2]": (
                    "polygon[: len(polygon) // 2], polygon[len(polygon) // 2 :]"
                )
            },
        ),
        Mistake(
            "bounding box",
            "you returned the area of the box around it.",
            {"abs(total) / 2": "(max(x) - min(x)) * (max(y) - min(y))"},
        ),
        Mistake(
            "each term without sign",
            "you took each term without its sign; only the whole sum loses its sign.",
            {"x[i] * y[j] - x[j] * y[i]": "abs(x[i] * y[j] - x[j] * y[i])"},
        ),
        Mistake(
            "one product",
            "you left out the second product of each edge.",
            {" - x[j] * y[i]": ""},
        ),
        Mistake(
            "plus for minus",
            "you added the two products of each edge; take their difference.",
            {"y[j] - x[j]": "y[j] + x[j]"},
        ),
        Mistake(
            "one triangle",
            "you took the first three corners alone.",
            {"range(len(x))": "range(3)", "% len(x)": "% 3"},
        ),
        Mistake(
            "length of the outline",
            "you added up the lengths of the edges.",
            {
                "x[i] * y[j] - x[j] * y[i]": (
                    "2 * ((x[j] - x[i]) ** 2 + (y[j] - y[i]) ** 2) ** 0.5"
                )
            },
        ),
        Mistake(
            "inclusive pixels",
            "you counted one pixel more a side: corners of a polygon lie at the "
            "pixels' borders, so nothing is added.",
            {
                "    return abs(total) / 2": (
                    "    sides = max(x) - min(x) + max(y) - min(y)\n"
                    "    return abs(total) / 2 + sides + 1"
                )
            },
        ),
    ),
)
