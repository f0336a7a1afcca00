"""Exercise 14.1: the one bin that a keypoint makes hot."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.keypoints import draw_target_bins, fill_bins
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.strategies import sixteenths
from maskrcnn_scratch.reference.keypoints import keypoint_targets


def target_bin(keypoint: np.ndarray, roi: np.ndarray, size: int) -> int:
    """The flat index of the bin that holds a keypoint, or -1 if it gives no loss.

    Args:
        keypoint: (x, y, v) in image pixels; v is 0 not labelled, 1 hidden, 2 visible.
        roi: (x1, y1, x2, y2) in image pixels, x2 > x1 and y2 > y1, cut into
            size x size equal bins.
        size: bins a side, m.

    The flat index of the bin in row r, column c is r * size + c. A bin holds its left
    and its upper edge; the last bin of a row or column holds the RoI's right or lower
    edge too. A keypoint that is not labelled, or is outside of the RoI, gives no loss;
    a hidden one does.
    """
    x, y, v = keypoint
    x1, y1, x2, y2 = roi
    if v == 0 or not (x1 <= x <= x2 and y1 <= y <= y2):
        return -1
    column = min(int((x - x1) * size / (x2 - x1)), size - 1)
    row = min(int((y - y1) * size / (y2 - y1)), size - 1)
    return row * size + column


@st.composite
def points_and_rois(draw: st.DrawFn) -> Inputs:
    """A keypoint in a RoI, often on an edge, sometimes outside."""
    x1, y1 = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    w, h = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    size = draw(st.sampled_from((2, 4, 8)))
    places = []
    for low, side in ((x1, w), (y1, h)):
        inside = sixteenths(0, side)
        beside = st.sampled_from((-1.0, side + 1.0))
        place = inside | inside | st.just(float(side)) | beside
        places.append(low + draw(place))
    v = draw(st.sampled_from((2, 1, 0)))
    return {
        "keypoint": np.array([*places, v], np.float64),
        "roi": np.array([x1, y1, x1 + w, y1 + h], np.float64),
        "size": size,
    }


def bin_wanted(keypoint: np.ndarray, roi: np.ndarray, size: int) -> int:
    """The specification, of one point in one RoI."""
    index, valid = keypoint_targets(keypoint[None, None], roi[None], size)
    return int(index[0, 0]) if valid[0, 0] else -1


@st.composite
def bin_centres(draw: st.DrawFn) -> Inputs:
    """The middle of some bin of a RoI whose bins are whole pixels."""
    size = draw(st.sampled_from((2, 3, 5)))
    wide, high = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    row, column = draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1))
    x1, y1 = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    keypoint = [x1 + (column + 0.5) * wide, y1 + (row + 0.5) * high, 2]
    return {
        "keypoint": np.array(keypoint),
        "roi": np.array([x1, y1, x1 + size * wide, y1 + size * high], np.float64),
        "size": size,
    }


def draw_bins(inputs: Inputs, expected: Any, got: Any) -> Figure:
    """The RoI, the keypoint, its bin, and in another colour the bin that came."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    roi, size = inputs["roi"], inputs["size"]
    draw_target_bins(axes, inputs["keypoint"][None], roi, size)
    title = f"expected {expected}, got {float(got):g}"
    if 0 <= float(got) < size**2:
        fill_bins(axes, roi, size, [divmod(int(got), size)], palette.FAULT)
        title += " (pink)"
    axes.set_title(title)
    return figure


EXERCISE = Exercise(
    id="ex14_1",
    title="The hot bin",
    objective="Turn a keypoint into the target of its map, edges included.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `target_bin(keypoint, roi, size)`: the place of the one in the one-hot "
        "mask of a keypoint."
    ),
    hints=(
        "First the cases without loss: v is 0, or the point lies outside of the RoI. "
        "Its edges belong to it.",
        "The part of the way from x1 to x2 is (x - x1) / (x2 - x1); times `size`, "
        "rounded down, it is the column.",
        "On the right edge this gives `size`, one too many: "
        "`min(column, size - 1)`. The same for rows.",
    ),
    solution=target_bin,
    laws=(
        Law("The bin is that of the specification.", points_and_rois(), bin_wanted),
        Law(
            "The middle of a bin lies in that bin.",
            bin_centres(),
            expected=lambda keypoint, roi, size: bin_wanted(keypoint, roi, size),
        ),
    ),
    mistakes=(
        Mistake(
            "rounded",
            "you rounded to the nearest whole number: bin i reaches from i to i + 1, "
            "so round down.",
            {
                "int((x - x1) * size / (x2 - x1))": "round((x - x1) * size / (x2 - "
                "x1))",
                "int((y - y1) * size / (y2 - y1))": "round((y - y1) * size / (y2 - "
                "y1))",
            },
        ),
        Mistake(
            "x for y",
            "you exchanged rows and columns: the flat index is row * size + column.",
            {"row * size + column": "column * size + row"},
        ),
        Mistake(
            "right edge outside",
            "you take a point on the right or lower edge for outside: it belongs to "
            "the last bin, since boxes are drawn through the outermost keypoints.",
            {"x <= x2 and y1 <= y <= y2": "x < x2 and y1 <= y < y2"},
        ),
        Mistake(
            "no last bin",
            "you left a point on the right edge in column `size`, which is the first "
            "of the next row: clamp to `size - 1`.",
            {
                "min(int((x - x1) * size / (x2 - x1)), size - 1)": "int((x - x1) * "
                "size / (x2 - x1))",
                "min(int((y - y1) * size / (y2 - y1)), size - 1)": "int((y - y1) * "
                "size / (y2 - y1))",
            },
        ),
        Mistake(
            "pulled into the RoI",
            "you gave a point outside the nearest bin of the RoI: it gives no loss.",
            {
                " or not (x1 <= x <= x2 and y1 <= y <= y2)": "",
                "    column = ": "    x, y = min(max(x, x1), x2), min(max(y, y1), y2)\n"
                "    column = ",
            },
        ),
        Mistake(
            "hidden left out",
            "you left hidden points out: v = 1 means that somebody knew where it is.",
            {"v == 0": "v < 2"},
        ),
        Mistake(
            "not labelled",
            "you gave a point that is not labelled a bin: with v = 0 nobody knows "
            "where it is.",
            {"v == 0 or ": ""},
        ),
        Mistake(
            "in the image",
            "you counted from the image's corner: subtract the RoI's x1 and y1.",
            {"(x - x1)": "x", "(y - y1)": "y"},
        ),
        Mistake(
            "width for height",
            "you divided x by the height and y by the width of the RoI.",
            {
                "(x - x1) * size / (x2 - x1)": "(x - x1) * size / (y2 - y1)",
                "(y - y1) * size / (y2 - y1)": "(y - y1) * size / (x2 - x1)",
            },
        ),
        Mistake(
            "one bin too few",
            "you spread the points from the first bin's centre to the last one's: "
            "multiply with `size`, not with `size - 1`.",
            {
                "(x - x1) * size": "(x - x1) * (size - 1)",
                "(y - y1) * size": "(y - y1) * (size - 1)",
            },
        ),
        Mistake(
            "pixel for bin",
            "you returned the pixel's place in the RoI: bins are not pixels.",
            {
                "(x - x1) * size / (x2 - x1)": "x - x1",
                "(y - y1) * size / (y2 - y1)": "y - y1",
            },
        ),
        Mistake(
            "side with + 1",
            "you gave the RoI x2 - x1 + 1 pixels: it is x2 - x1 wide.",
            {"/ (x2 - x1)": "/ (x2 - x1 + 1)", "/ (y2 - y1)": "/ (y2 - y1 + 1)"},
        ),
    ),
    draw=draw_bins,
)
