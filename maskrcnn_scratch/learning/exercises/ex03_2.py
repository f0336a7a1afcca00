"""Exercise 3.2: RoIAlign of one channel."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.roi_steps import draw_out, draw_steps
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.strategies import maps, sixteenths
from maskrcnn_scratch.reference.bilinear import bilinear
from maskrcnn_scratch.reference.roi_align import roi_align as specification
from maskrcnn_scratch.reference.roi_align import roi_align_steps


def roi_align(
    feature_map: np.ndarray,
    box: np.ndarray,
    stride: int,
    output_size: tuple[int, int],
    samples: int,
) -> np.ndarray:
    """RoIAlign of one box on one channel, with the mean and the half pixel (aligned).

    ``feature_map`` has the shape (height, width); ``box`` is (x1, y1, x2, y2) in image
    pixels, of which ``stride`` make a cell. The box is divided into ``output_size``
    (rows, columns) of equal bins, and each bin is read by ``bilinear`` at the centres
    of its samples x samples equal parts. Returns the mean of these readings for each
    bin, (rows, columns).
    """
    x1, y1, x2, y2 = box / stride - 0.5
    rows, columns = output_size
    high, wide = (y2 - y1) / rows, (x2 - x1) / columns
    out = np.zeros(output_size)
    for i, j, s, t in np.ndindex(rows, columns, samples, samples):
        y = y1 + (i + (s + 0.5) / samples) * high
        x = x1 + (j + (t + 0.5) / samples) * wide
        out[i, j] += bilinear(feature_map, y, x) / samples**2
    return out


@st.composite
def sides(draw: st.DrawFn, stride: int, low: float, high: float) -> tuple[float, float]:
    """A box's start and end in image pixels, at least half a cell apart."""
    start = draw(sixteenths(low, high - 0.5))
    end = draw(sixteenths(start + 0.5, high))
    return start * stride, end * stride


@st.composite
def readings(draw: st.DrawFn) -> Inputs:
    """A small map, and a box that leaves it by less than half a cell, or not.

    The points then stay off the places where a reading jumps to 0.
    """
    feature_map = draw(maps(largest=3))
    height, width = feature_map.shape
    stride = draw(st.sampled_from([4, 8, 16]))
    (x1, x2) = draw(sides(stride, -0.375, width + 0.375))
    (y1, y2) = draw(sides(stride, -0.375, height + 0.375))
    return {
        "feature_map": feature_map,
        "box": np.array([x1, y1, x2, y2]),
        "stride": stride,
        "output_size": (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        "samples": draw(st.integers(1, 2)),
    }


@st.composite
def ramps(draw: st.DrawFn) -> Inputs:
    """The map a + b y + c x, and a box between the centres of its outer cells."""
    height, width = draw(st.integers(2, 4)), draw(st.integers(2, 4))
    a, b, c = (draw(st.integers(-5, 5)) for _ in range(3))
    rows, columns = np.mgrid[:height, :width]
    (x1, x2) = draw(sides(8, 0.5, width - 0.5))
    (y1, y2) = draw(sides(8, 0.5, height - 0.5))
    return {
        "feature_map": a + b * rows + c * columns.astype(np.float64),
        "box": np.array([x1, y1, x2, y2]),
        "stride": 8,
        "output_size": (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        "samples": draw(st.integers(1, 2)),
    }


def align_by_reference(
    feature_map: np.ndarray,
    box: np.ndarray,
    stride: int,
    output_size: tuple[int, int],
    samples: int,
) -> np.ndarray:
    """The specification, for one box and one channel."""
    rois = np.array([[0, *box]])
    features = feature_map[None, None]
    out = specification(features, rois, output_size, 1 / stride, samples)
    return np.asarray(out[0, 0])


def ramp_at_centres(
    feature_map: np.ndarray,
    box: np.ndarray,
    stride: int,
    output_size: tuple[int, int],
    samples: int,
) -> np.ndarray:
    """A ramp's value at the centre of each bin, from its slopes."""
    down = feature_map[1, 0] - feature_map[0, 0]
    along = feature_map[0, 1] - feature_map[0, 0]
    x1, y1, x2, y2 = box / stride
    (rows, columns) = output_size
    y = y1 + (np.arange(rows) + 0.5) / rows * (y2 - y1) - 0.5
    x = x1 + (np.arange(columns) + 0.5) / columns * (x2 - x1) - 0.5
    return np.asarray(feature_map[0, 0] + down * y[:, None] + along * x)


def draw_align(inputs: Inputs, expected: Any, got: Any) -> Figure:
    """The box, its bins and the points that are read; then both outputs."""
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    first, *others = figure.subplots(1, 3, width_ratios=[2, 1, 1])
    size, scale = inputs["output_size"], 1 / inputs["stride"]
    steps = roi_align_steps(inputs["box"], size, scale, inputs["samples"])
    draw_steps(first, inputs["feature_map"], steps)
    first.set_title("where to read, in cells")
    pairs = zip(others, (expected, got), ("expected", "got"), strict=True)
    for axes, value, title in pairs:
        draw_out(axes, np.asarray(value, np.float64))
        axes.set_title(title)
    return figure


EXERCISE = Exercise(
    id="ex03_2",
    title="RoIAlign",
    objective="Write RoIAlign, and find that it is exact on a ramp.",
    difficulty=2,
    minutes=20,
    task=(
        "Write `roi_align(feature_map, box, stride, output_size, samples)`. The "
        "reading itself is `bilinear(feature_map, y, x)` of chapter 1, already "
        "imported; what is asked here is where to read, and what to do with the values."
    ),
    hints=(
        "From image pixels to index coordinates: divide by the stride, then take away "
        "1/2. A bin is `(y2 - y1) / rows` high and `(x2 - x1) / columns` wide.",
        "Bin (i, j) is read at `samples * samples` points. On each axis these are the "
        "points of exercise 3.1: `y1 + (i + (s + 0.5) / samples) * high`.",
        "Add up the readings of a bin and divide by their number, `samples**2`.",
    ),
    solution=roi_align,
    laws=(
        Law("The output is that of the specification.", readings(), align_by_reference),
        Law(
            "On a ramp a + b y + c x a bin has the value of its centre.",
            ramps(),
            ramp_at_centres,
        ),
    ),
    mistakes=(
        Mistake(
            "half a cell forgotten",
            "you read half a cell too far to the right and down: the index coordinate "
            "is x / stride less 1/2.",
            {"box / stride - 0.5": "box / stride"},
        ),
        Mistake(
            "half an image pixel",
            "you took away half an image pixel; it is half a cell, so after dividing.",
            {"box / stride - 0.5": "(box - 0.5) / stride"},
        ),
        Mistake(
            "x for y in the box",
            "you took the box for (y1, x1, y2, x2); it is (x1, y1, x2, y2).",
            {"x1, y1, x2, y2 =": "y1, x1, y2, x2 ="},
        ),
        Mistake(
            "x for y in the reading",
            "you read at (x, y); `bilinear` takes the row y first.",
            {"bilinear(feature_map, y, x)": "bilinear(feature_map, x, y)"},
        ),
        Mistake(
            "maximum",
            "you took the largest reading; the mean is asked for here.",
            {
                "out = np.zeros(output_size)": "out = np.full(output_size, -np.inf)",
                "out[i, j] += bilinear(feature_map, y, x) / samples**2": (
                    "out[i, j] = max(out[i, j], bilinear(feature_map, y, x))"
                ),
            },
        ),
        Mistake(
            "sum",
            "you added the readings up; divide by their number, samples times samples.",
            {" / samples**2": ""},
        ),
        Mistake(
            "divided once",
            "you divided by `samples`; a bin has samples times samples readings.",
            {"samples**2": "samples"},
        ),
        Mistake(
            "RoI rounded",
            "you rounded the box to whole cells: that is RoIWarp. RoIAlign rounds "
            "nothing.",
            {"box / stride - 0.5": "np.floor(box / stride + 0.5) - 0.5"},
        ),
        Mistake(
            "one point",
            "you read each bin at its centre alone.",
            {"(s + 0.5) / samples": "0.5", "(t + 0.5) / samples": "0.5"},
        ),
        Mistake(
            "starts of the parts",
            "you read at the upper left corner of each part; read at its centre.",
            {
                "(s + 0.5) / samples": "s / samples",
                "(t + 0.5) / samples": "t / samples",
            },
        ),
        Mistake(
            "nearest cell",
            "you read the nearest cell; read between the cells with `bilinear`.",
            {"feature_map, y, x": "feature_map, round(y), round(x)"},
        ),
        Mistake(
            "rows for columns",
            "you divided the width by the rows and the height by the columns.",
            {
                "(y2 - y1) / rows, (x2 - x1) / columns": (
                    "(y2 - y1) / columns, (x2 - x1) / rows"
                )
            },
        ),
    ),
    imports=(
        "import numpy as np\n\nfrom maskrcnn_scratch.reference.bilinear import bilinear"
    ),
    draw=draw_align,
)
