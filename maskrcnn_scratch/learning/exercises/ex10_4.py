"""Exercise 10.4: from the mask head's output to the pixels of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.masks import draw_bins, draw_image
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.strategies import sixteenths
from maskrcnn_scratch.reference.bilinear import bilinear
from maskrcnn_scratch.reference.masks import paste_probability


def pasted(
    logits: np.ndarray,
    label: int,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
) -> np.ndarray:
    """The probability that each pixel of the image belongs to the detected object.

    ``logits`` (k, m, m): the masks of the classes 1..k, before the sigmoid; class c has
    the mask c - 1. ``label``: the predicted class, 1..k. ``box`` = (x1, y1, x2, y2) in
    image pixels, with x1 < x2 and y1 < y2, where the pixel in row i, column j covers
    [j, j + 1) x [i, i + 1). The m x m probabilities (sigmoids) are stretched over the
    box, in equal cells, each with its value at its centre. Between the centres they are
    read bilinearly, at the centre of every pixel. Around the map lies one ring of cells
    of probability 0; from the centres of the ring outwards all is 0. Returns
    (height, width) for ``size`` = (height, width).
    """
    probability = 1 / (1 + np.exp(-logits[label - 1]))
    ringed = np.pad(probability, 1)
    m = len(probability)
    x1, y1, x2, y2 = box
    values = np.zeros(size)
    for row in range(size[0]):
        for column in range(size[1]):
            v = (row + 0.5 - y1) * m / (y2 - y1) - 0.5
            u = (column + 0.5 - x1) * m / (x2 - x1) - 0.5
            values[row, column] = bilinear(ringed, v + 1, u + 1)
    return values


@st.composite
def predictions(draw: st.DrawFn) -> Inputs:
    """Maps of one or two classes, and a box that may stick out of a small image."""
    k, m = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    width, height = draw(sixteenths(0.5, 6)), draw(sixteenths(0.5, 6))
    x1, y1 = draw(sixteenths(-1, 3)), draw(sixteenths(-1, 3))
    return {
        "logits": maps_of(draw, k, m),
        "label": draw(st.integers(1, k)),
        "box": (x1, y1, x1 + width, y1 + height),
        "size": (draw(st.integers(1, 5)), draw(st.integers(1, 5))),
    }


def maps_of(draw: st.DrawFn, k: int, m: int) -> np.ndarray:
    """Whole logits of k maps."""
    values = st.lists(st.integers(-4, 4), min_size=k * m * m, max_size=k * m * m)
    return np.array(draw(values), np.float64).reshape(k, m, m)


def specified(
    logits: np.ndarray,
    label: int,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
) -> np.ndarray:
    """The specification, given the class's map of probabilities."""
    probability = np.exp(-np.logaddexp(0, -logits[label - 1]))
    return paste_probability(probability, np.array(box), size)


@st.composite
def cells_on_pixels(draw: st.DrawFn) -> Inputs:
    """A box in which each cell of the map lies on one pixel."""
    k, m = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    x1, y1 = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    return {
        "logits": maps_of(draw, k, m),
        "label": draw(st.integers(1, k)),
        "box": (float(x1), float(y1), float(x1 + m), float(y1 + m)),
        "size": (y1 + m + draw(st.integers(0, 1)), x1 + m + draw(st.integers(0, 1))),
    }


def copied(
    logits: np.ndarray,
    label: int,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
) -> np.ndarray:
    """Every cell's probability on its own pixel, 0 elsewhere."""
    x1, y1, x2, y2 = (int(edge) for edge in box)
    values = np.zeros(size)
    values[y1:y2, x1:x2] = 1 / (1 + np.exp(-logits[label - 1]))
    return values


def draw_pasted(inputs: Inputs, expected: Any, got: Any) -> Figure:
    """The box with the map's cells, on what is expected and on what came."""
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    values = np.asarray(got.detach() if hasattr(got, "detach") else got, np.float64)
    box = np.array(inputs["box"])
    pictures = ((expected, "expected"), (values, "got"))
    for axes, (one, title) in zip(figure.subplots(1, 2), pictures, strict=True):
        draw_image(axes, one, box)
        draw_bins(axes, box, inputs["logits"].shape[1])
        axes.set_title(title)
        text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
        text["bbox"] = {"fc": "white", "ec": "none", "pad": 0.8}
        for (row, column), value in np.ndenumerate(one):
            axes.text(column + 0.5, row + 0.5, f"{value:.2f}", zorder=5, **text)
    return figure


EXERCISE = Exercise(
    id="ex10_4",
    title="Back into the image",
    objective="Paste the predicted class's mask into the image without a shift.",
    difficulty=3,
    minutes=20,
    task=(
        "Write `pasted(logits, label, box, size)`: choose the mask of the predicted "
        "class, stretch it over the box, and read it at the centre of every pixel of "
        "the image. `bilinear(feature_map, y, x)` of chapter 1 is imported. Cutting "
        "the result at 0.5 would give the object's mask."
    ),
    hints=(
        "First the class, then the sigmoid, then the reading. "
        "`ringed = np.pad(probability, 1)` puts the ring of zeros around the map.",
        "The centre of the pixel in column j is j + 1/2. The share of the box before "
        "it is (j + 1/2 - x1) / (x2 - x1), so as many of the m cells lie before it: m "
        "times that share.",
        "`bilinear` counts from the centre of cell 0, so subtract 1/2; and the ring "
        "makes cell 0 of the map the cell 1 of `ringed`, so add 1.",
    ),
    solution=pasted,
    laws=(
        Law("The values are those of the specification.", predictions(), specified),
        Law(
            "Where each cell lies on one pixel, the map is copied.",
            cells_on_pixels(),
            copied,
        ),
    ),
    mistakes=(
        Mistake(
            "pixel corners",
            "you read at the corner of each pixel; its centre is half a pixel further.",
            {"row + 0.5": "row", "column + 0.5": "column"},
        ),
        Mistake(
            "cell corners",
            "you forgot that the value of a cell sits at its centre: subtract half a "
            "cell before you read.",
            {"/ (y2 - y1) - 0.5": "/ (y2 - y1)", "/ (x2 - x1) - 0.5": "/ (x2 - x1)"},
        ),
        Mistake(
            "corners on corners",
            "you put the outermost cells' centres on the box's edges, as "
            "`align_corners` does: the cells divide the box evenly.",
            {
                "* m / (y2 - y1) - 0.5": "* (m - 1) / (y2 - y1)",
                "* m / (x2 - x1) - 0.5": "* (m - 1) / (x2 - x1)",
            },
        ),
        Mistake(
            "no ring",
            "you read the map without its ring of zeros: towards the box's edges the "
            "probability must fall.",
            {
                "bilinear(ringed, v + 1, u + 1)": "bilinear(probability, v, u) "
                "if -1 < v < m and -1 < u < m else 0.0"
            },
        ),
        Mistake(
            "ring not counted",
            "you put the ring around the map, but read as if it was not there: cell 0 "
            "of the map is now cell 1.",
            {"v + 1, u + 1": "v, u"},
        ),
        Mistake(
            "x for y",
            "you exchanged rows and columns: the first index of a map is its row, y.",
            {"v + 1, u + 1": "u + 1, v + 1"},
        ),
        Mistake(
            "nearest cell",
            "you read the nearest cell: mix the four around the point.",
            {"v + 1, u + 1": "np.floor(v + 1.5), np.floor(u + 1.5)"},
        ),
        Mistake(
            "mask of the next class",
            "you took the mask of the next class: class c has the mask c - 1.",
            {"logits[label - 1]": "logits[label]"},
        ),
        Mistake(
            "the surest class",
            "you took at each cell the class that is surest there; the box head has "
            "chosen the class.",
            {"logits[label - 1]": "logits.max(axis=0)"},
        ),
        Mistake(
            "softmax",
            "you took a softmax over the classes: each class's mask has a sigmoid of "
            "its own.",
            {
                "1 / (1 + np.exp(-logits[label - 1]))": "(np.exp(logits) / "
                "np.exp(logits).sum(axis=0))[label - 1]"
            },
        ),
        Mistake(
            "sigmoid afterwards",
            "you stretched the logits and took the sigmoid of what you read; outside "
            "of the box that gives 1/2.",
            {
                "1 / (1 + np.exp(-logits[label - 1]))": "logits[label - 1]",
                "return values": "return 1 / (1 + np.exp(-values))",
            },
        ),
        Mistake(
            "no sigmoid",
            "you pasted the logits; take their sigmoid first.",
            {"1 / (1 + np.exp(-logits[label - 1]))": "logits[label - 1]"},
        ),
        Mistake(
            "xywh for xyxy",
            "you took the box's last two numbers for its width and height; they are "
            "its other corner.",
            {"(y2 - y1)": "y2", "(x2 - x1)": "x2"},
        ),
        Mistake(
            "cut at one half",
            "you returned which pixels are the object's; the probabilities are asked "
            "for.",
            {"return values": "return (values >= 0.5).astype(float)"},
        ),
    ),
    imports="import numpy as np\n\nfrom maskrcnn_scratch.reference.bilinear import "
    "bilinear",
    draw=draw_pasted,
)
