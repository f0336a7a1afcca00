"""Exercise 10.3: what the mask head should predict in a RoI."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.masks import draw_bins, draw_image, draw_map
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.masks import mask_targets


def target_of(mask: np.ndarray, box: tuple[int, int, int, int], m: int) -> np.ndarray:
    """The m x m target of the RoI ``box``: 1 in a bin of which half or more is object.

    ``mask`` (height, width): the object, 0 or 1. ``box`` = (x1, y1, x2, y2) in image
    pixels, where the pixel in row i, column j covers [j, j + 1) x [i, i + 1). Its
    corners are whole, it lies in the image, and it is a whole multiple of m pixels wide
    and high, so the m x m equal bins consist of whole pixels. Returns (m, m), 0 or 1.
    """
    x1, y1, x2, y2 = box
    target = np.zeros((m, m))
    rows, columns = (y2 - y1) // m, (x2 - x1) // m
    for i in range(m):
        for j in range(m):
            top, left = y1 + i * rows, x1 + j * columns
            covered = mask[top : top + rows, left : left + columns]
            target[i, j] = covered.mean() >= 0.5
    return target


@st.composite
def objects_and_rois(draw: st.DrawFn) -> Inputs:
    """An object on a few pixels, and a RoI that its bins divide evenly."""
    m = draw(st.integers(1, 3))
    across, down = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    x1, y1 = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    x2, y2 = x1 + m * across, y1 + m * down
    height, width = y2 + draw(st.integers(0, 2)), x2 + draw(st.integers(0, 2))
    count = height * width
    pixels = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    mask = np.array(pixels, np.uint8).reshape(height, width)
    return {"mask": mask, "box": (x1, y1, x2, y2), "m": m}


def specified(mask: np.ndarray, box: tuple[int, int, int, int], m: int) -> np.ndarray:
    """The specification, which reads the mask bilinearly, here at pixel centres."""
    boxes = np.array([box], np.float64)
    targets = mask_targets(mask[None], boxes, np.array([0]), m, "threshold")
    return targets.reshape(m, m)


@st.composite
def filled_corners(draw: st.DrawFn) -> Inputs:
    """An object that fills the bins above and left of some bin, and nothing else."""
    inputs = draw(objects_and_rois())
    (x1, y1, x2, y2), m = inputs["box"], inputs["m"]
    i, j = draw(st.integers(0, m)), draw(st.integers(0, m))
    mask = np.zeros(inputs["mask"].shape, np.uint8)
    mask[: y1 + i * (y2 - y1) // m, : x1 + j * (x2 - x1) // m] = 1
    return inputs | {"mask": mask}


def filled_bins(mask: np.ndarray, box: tuple[int, int, int, int], m: int) -> np.ndarray:
    """1 in the bins that the object fills: by its first row and column outside."""
    x1, y1, x2, y2 = box
    rows, columns = np.arange(m) * (y2 - y1) // m, np.arange(m) * (x2 - x1) // m
    down, along = mask.any(axis=1).sum(), mask.any(axis=0).sum()
    inside = np.outer(y1 + rows < down, x1 + columns < along)
    return inside.astype(np.float64)


def draw_targets(inputs: Inputs, expected: Any, got: Any) -> Figure:
    """The object with the RoI's bins, the right target, and what came."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    box = np.array(inputs["box"], np.float64)
    draw_image(left, inputs["mask"].astype(np.float64), box)
    draw_bins(left, box, inputs["m"])
    left.set_title("object, RoI, bins")
    values = np.asarray(got.detach() if hasattr(got, "detach") else got, np.float64)
    for axes, one, title in ((middle, expected, "expected"), (right, values, "got")):
        draw_map(axes, one, ".3g")
        axes.set_title(title)
    return figure


EXERCISE = Exercise(
    id="ex10_3",
    title="The target of a RoI",
    objective="Cut an object's mask to a RoI and bring it to m x m.",
    difficulty=1,
    minutes=15,
    task=(
        "Write `target_of(mask, box, m)`: the part of the object's mask that lies in "
        "the RoI, as m x m bins, 1 where the object covers half of the bin or more. "
        "Here every bin consists of whole pixels."
    ),
    hints=(
        "A bin is `(x2 - x1) // m` pixels wide and `(y2 - y1) // m` high. The first "
        "index of a mask is its row, y.",
        "Bin (i, j) begins at row `y1 + i * rows` and column `x1 + j * columns`; the "
        "mean of its pixels is the share that is covered.",
        "`target[i, j] = mask[top : top + rows, left : left + columns].mean() >= 0.5`",
    ),
    solution=target_of,
    laws=(
        Law("The target is that of the specification.", objects_and_rois(), specified),
        Law(
            "Bins that the object fills are 1, those that it does not touch 0.",
            filled_corners(),
            filled_bins,
        ),
    ),
    mistakes=(
        Mistake(
            "x for y",
            "you exchanged x and y: the first index of a mask is its row, y.",
            {
                "(y2 - y1) // m, (x2 - x1) // m": "(x2 - x1) // m, (y2 - y1) // m",
                "y1 + i * rows, x1 + j * columns": "x1 + i * rows, y1 + j * columns",
            },
        ),
        Mistake(
            "turned over",
            "you returned the target with rows and columns exchanged.",
            {"target[i, j]": "target[j, i]"},
        ),
        Mistake(
            "more than half",
            "you asked for more than half; exactly half of a bin is 1 too.",
            {">= 0.5": "> 0.5"},
        ),
        Mistake(
            "any pixel",
            "you took every bin that the object touches; it must cover half of it.",
            {">= 0.5": "> 0"},
        ),
        Mistake(
            "the share",
            'you returned the covered share; that is the rule "soft", and here the '
            "share is cut at one half.",
            {".mean() >= 0.5": ".mean()"},
        ),
        Mistake(
            "one pixel a bin",
            "you read one pixel of each bin: all of its pixels count.",
            {"covered.mean()": "covered[0, 0]"},
        ),
        Mistake(
            "middle pixel",
            "you read the pixel in the middle of each bin: all of its pixels count.",
            {"covered.mean()": "covered[rows // 2, columns // 2]"},
        ),
        Mistake(
            "the whole mask",
            "you began at the corner of the image; the target is the part of the mask "
            "within the RoI.",
            {"y1 + i * rows, x1 + j * columns": "i * rows, j * columns"},
        ),
        Mistake(
            "inclusive end",
            "you took a row and a column too many: pixel x2 lies outside of the box.",
            {
                "top + rows, left : left + columns": "top + rows + 1, left : left + "
                "columns + 1"
            },
        ),
        Mistake(
            "one pixel off",
            "you began a pixel too late: the pixel in column j covers [j, j + 1), so "
            "the box begins with column x1.",
            {
                "y1 + i * rows, x1 + j * columns": "y1 + 1 + i * rows, "
                "x1 + 1 + j * columns"
            },
        ),
        Mistake(
            "xywh for xyxy",
            "you took the box's last two numbers for its width and height; they are "
            "its other corner.",
            {"(y2 - y1) // m, (x2 - x1) // m": "y2 // m, x2 // m"},
        ),
        Mistake(
            "square bins",
            "you made the bins as high as they are wide; each axis has its own size.",
            {"(y2 - y1) // m, (x2": "(x2 - x1) // m, (x2"},
        ),
    ),
    draw=draw_targets,
)
