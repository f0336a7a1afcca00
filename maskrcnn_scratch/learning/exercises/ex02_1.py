"""Exercise 2.1: the first quantisation of RoIPool, under both rules."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.roi_pool import roi_pool_steps


def cells_used(x1: float, x2: float, stride: int, rounding: str) -> tuple[int, int]:
    """The whole cells that RoIPool takes for a RoI, on one axis.

    The RoI reaches from ``x1`` to ``x2`` in image pixels (either may lie outside of the
    image, so below 0); a cell is ``stride`` pixels long. Returns (first, end): the
    first cell, and the one after the last.

    - ``"floor"``: the first cell is x1 / stride rounded down, the end x2 / stride
      rounded down.
    - ``"round"``: both are rounded to the nearest whole number, halves away from zero
      (2.5 to 3, -0.5 to -1), and the second names the last cell, which belongs to the
      RoI: the end is one more.

    A RoI with less than one cell gets one: end = first + 1.
    """
    start, stop = x1 / stride, x2 / stride
    if rounding == "floor":
        first, end = int(np.floor(start)), int(np.floor(stop))
    else:
        first = int(np.sign(start) * np.floor(abs(start) + 0.5))
        end = int(np.sign(stop) * np.floor(abs(stop) + 0.5)) + 1
    return first, max(end, first + 1)


@st.composite
def rois(draw: st.DrawFn) -> Inputs:
    """Stretches of an image, with corners in the middle of a cell now and then."""
    stride = draw(st.sampled_from([4, 8, 16, 32]))
    halves = draw(st.integers(-7, 12))
    x1 = halves * stride // 2 + draw(st.sampled_from([0, 0, 1, -1]))
    x2 = x1 + draw(st.sampled_from([1, stride // 2, stride])) * draw(st.integers(1, 9))
    rounding = draw(st.sampled_from(["floor", "round"]))
    given = {"x1": float(x1), "x2": float(x2), "stride": stride}
    return {**given, "rounding": rounding}


def cells_by_reference(
    x1: float, x2: float, stride: int, rounding: str
) -> tuple[int, int]:
    """The specification, on one axis."""
    box = np.array([x1, 0, x2, 0])
    used = roi_pool_steps(box, (1, 1), 1 / stride, rounding).x.quantised
    return int(used.start), int(used.end)


EXERCISE = Exercise(
    id="ex02_1",
    title="The RoI in whole cells",
    objective="Quantise a RoI as the two rules in circulation do.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `cells_used(x1, x2, stride, rounding)`: from which cell to which "
        "RoIPool goes on, on one axis. The docstring gives both rules."
    ),
    hints=(
        "Divide both corners by the stride first, then round. `int(c)` is no floor: "
        "it goes towards zero, and corners may be negative.",
        "Python's `round` and NumPy's take halves to the even number: `round(2.5)` is "
        "2. For halves away from zero take `np.floor(abs(c) + 0.5)` and give it back "
        "the sign of `c`.",
        'Under `"round"` the second corner is the last cell of the RoI, so `end` is '
        "that plus 1. Last of all, `end = max(end, first + 1)`, under both rules.",
    ),
    solution=cells_used,
    laws=(
        Law("The cells are those of the specification.", rois(), cells_by_reference),
        Law(
            "A RoI moved by one stride takes the cells one further, under floor.",
            rois(),
            expected=lambda x1, x2, stride, rounding: [
                c + 1 for c in cells_by_reference(x1, x2, stride, "floor")
            ],
            got=lambda f, x1, x2, stride, rounding: f(
                x1 + stride, x2 + stride, stride, "floor"
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "floor for round",
            'you rounded down under "round" too: take the nearest whole number there.',
            {
                "int(np.sign(start) * np.floor(abs(start) + 0.5))": (
                    "int(np.floor(start))"
                ),
                "int(np.sign(stop) * np.floor(abs(stop) + 0.5))": "int(np.floor(stop))",
            },
        ),
        Mistake(
            "end left out",
            'you left out the last cell: under "round" the second corner names a cell '
            "that belongs to the RoI, so the end is one more.",
            {"abs(stop) + 0.5)) + 1": "abs(stop) + 0.5))"},
        ),
        Mistake(
            "end taken in under both rules",
            'you added the last cell under "floor" too: there the second corner is '
            "itself the end.",
            {"int(np.floor(stop))\n": "int(np.floor(stop)) + 1\n"},
        ),
        Mistake(
            "halves to even",
            "you used Python's or NumPy's `round`, which takes halves to the even "
            "number (2.5 to 2); this rule takes them away from zero.",
            {
                "int(np.sign(start) * np.floor(abs(start) + 0.5))": "round(start)",
                "int(np.sign(stop) * np.floor(abs(stop) + 0.5))": "round(stop)",
            },
        ),
        Mistake(
            "halves upwards",
            "you rounded negative halves up (-0.5 to 0); this rule takes them away "
            "from zero, to -1.",
            {
                "int(np.sign(start) * np.floor(abs(start) + 0.5))": (
                    "int(np.floor(start + 0.5))"
                ),
                "int(np.sign(stop) * np.floor(abs(stop) + 0.5))": (
                    "int(np.floor(stop + 0.5))"
                ),
            },
        ),
        Mistake(
            "towards zero",
            "you cut the decimals off, which rounds negative corners up: -0.5 is in "
            "cell -1, not in cell 0. Take the floor.",
            {"int(np.floor(start)), int(np.floor(stop))": "int(start), int(stop)"},
        ),
        Mistake(
            "no cell at all",
            "you let a RoI have no cell; each has at least one.",
            {"max(end, first + 1)": "end"},
        ),
        Mistake(
            "ceil for the end",
            'you rounded the end up under "floor"; its rule rounds both down, and so '
            "loses the rest of the last cell.",
            {"int(np.floor(stop))\n": "int(np.ceil(stop))\n"},
        ),
        Mistake(
            "rules exchanged",
            'you exchanged the rules: "floor" rounded, "round" rounded down.',
            {'rounding == "floor"': 'rounding != "floor"'},
        ),
    ),
)
