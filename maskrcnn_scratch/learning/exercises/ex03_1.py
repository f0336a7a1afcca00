"""Exercise 3.1: where RoIAlign reads."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.roi_align import sample_points


def points_of(
    x1: float, x2: float, stride: int, bins: int, samples: int, aligned: bool
) -> np.ndarray:
    """The sample points of RoIAlign on one axis, in index coordinates.

    The RoI reaches from ``x1`` to ``x2`` in image pixels, at least one cell of
    ``stride`` pixels; it is divided into ``bins`` equal bins, and each bin is read at
    the centres of its ``samples`` equal parts. Nothing is rounded.

    Cell i covers [i, i + 1) in cells, and sits at i in index coordinates: with
    ``aligned`` the index coordinate is x / stride - 1/2. Without it x / stride is taken
    for it, as the first implementation did.

    Returns an array of the shape (bins, samples).
    """
    start, size = x1 / stride, (x2 - x1) / stride / bins
    if aligned:
        start -= 0.5
    points = np.zeros((bins, samples))
    for k in range(bins):
        for s in range(samples):
            points[k, s] = start + (k + (s + 0.5) / samples) * size
    return points


@st.composite
def rois(draw: st.DrawFn) -> Inputs:
    """A RoI of one cell or more, with corners between the cells' borders too."""
    stride = draw(st.sampled_from([4, 8, 16, 32]))
    x1 = draw(st.integers(-stride, 3 * stride))
    size = draw(st.integers(stride, 4 * stride))
    return {
        "x1": float(x1),
        "x2": float(x1 + size),
        "stride": stride,
        "bins": draw(st.integers(1, 4)),
        "samples": draw(st.integers(1, 4)),
        "aligned": draw(st.booleans()),
    }


def points_by_reference(
    x1: float, x2: float, stride: int, bins: int, samples: int, aligned: bool
) -> np.ndarray:
    """The specification, on one axis."""
    box = np.array([x1, x1, x2, x2])
    size, scale = (bins, bins), 1 / stride
    return np.asarray(sample_points(box, size, scale, samples, aligned)[1])


EXERCISE = Exercise(
    id="ex03_1",
    title="Where RoIAlign reads",
    objective="Place the sample points of a bin, with and without the half pixel.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `points_of(x1, x2, stride, bins, samples, aligned)`: the index "
        "coordinates at which RoIAlign reads, a row for each bin."
    ),
    hints=(
        "Go over to cells first: the RoI starts at `x1 / stride`, and a bin is "
        "`(x2 - x1) / stride / bins` cells long.",
        "Bin k starts k bins after the RoI. Its part number s (from 0) is centred at "
        "(s + 1/2) / samples of the bin's length.",
        "Point s of bin k: `start + (k + (s + 0.5) / samples) * size`, and half a "
        "**cell** less if `aligned`.",
    ),
    solution=points_of,
    laws=(
        Law("The points are those of the specification.", rois(), points_by_reference),
        Law(
            "The points of a bin have the bin's centre in their middle.",
            rois(),
            expected=lambda x1, x2, stride, bins, samples, aligned: (
                (x1 + (np.arange(bins) + 0.5) / bins * (x2 - x1)) / stride
                - (0.5 if aligned else 0)
            ),
            got=lambda f, **inputs: np.asarray(f(*inputs.values())).mean(axis=1),
        ),
        Law(
            "A RoI that moves by one stride has its points one cell further.",
            rois(),
            expected=lambda x1, x2, stride, *rest, **more: (
                1 + points_by_reference(x1, x2, stride, *rest, **more)
            ),
            got=lambda f, x1, x2, stride, **more: f(
                x1 + stride, x2 + stride, stride, *more.values()
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "half a cell forgotten",
            "you read half a cell too far to the right: with `aligned` the index "
            "coordinate is x / stride less 1/2.",
            {"start -= 0.5": "pass"},
        ),
        Mistake(
            "half a cell always",
            "you took away half a cell without `aligned` too.",
            {"if aligned": "if True"},
        ),
        Mistake(
            "half a cell added",
            "you added half a cell; the index coordinate is smaller than the cells'.",
            {"start -= 0.5": "start += 0.5"},
        ),
        Mistake(
            "half an image pixel",
            "you took away half an image pixel; it is half a cell, so after dividing "
            "by the stride.",
            {"start -= 0.5": "start -= 0.5 / stride"},
        ),
        Mistake(
            "aligned the wrong way round",
            "you took away half a cell without `aligned`, and nothing with it.",
            {"if aligned": "if not aligned"},
        ),
        Mistake(
            "starts of the parts",
            "you read at the start of each part; the points are the parts' centres.",
            {"(s + 0.5) / samples": "s / samples"},
        ),
        Mistake(
            "ends included",
            "you put the outer points on the bin's borders; they are the centres of "
            "equal parts, half a part from the border.",
            {"(s + 0.5) / samples": "s / max(samples - 1, 1)"},
        ),
        Mistake(
            "one gap too many",
            "you divided by samples + 1: the gap to the border is half a part, not a "
            "whole one.",
            {"(s + 0.5) / samples": "(s + 1) / (samples + 1)"},
        ),
        Mistake(
            "RoI rounded",
            "you rounded the RoI to whole cells, as RoIPool and RoIWarp do; RoIAlign "
            "rounds nothing.",
            {
                "x1 / stride, (x2 - x1) / stride / bins": (
                    "round(x1 / stride), "
                    "(round(x2 / stride) - round(x1 / stride)) / bins"
                )
            },
        ),
        Mistake(
            "bin rounded",
            "you rounded the size of a bin down; RoIAlign keeps it.",
            {"(x2 - x1) / stride / bins": "(x2 - x1) / stride // bins"},
        ),
        Mistake(
            "one point",
            "you read each bin at its centre alone, `samples` times.",
            {"(s + 0.5) / samples": "0.5"},
        ),
        Mistake(
            "image pixels",
            "you returned image pixels; divide by the stride.",
            {
                "x1 / stride, (x2 - x1) / stride / bins": "x1, (x2 - x1) / bins",
                "start -= 0.5": "start -= 0.5 * stride",
            },
        ),
    ),
)
