"""Exercise 2.3: the maximum of each bin, and where it stands."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.answers import draw_answer
from maskrcnn_scratch.figures.misalignment import square
from maskrcnn_scratch.figures.roi_steps import cell
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.roi_pool import largest
from maskrcnn_scratch.reference.roi_steps import Span

Bins = list[tuple[int, int]]


def pool(
    feature_map: np.ndarray,
    row_bins: list[tuple[int, int]],
    column_bins: list[tuple[int, int]],
) -> tuple[np.ndarray, np.ndarray]:
    """The largest value of each bin, and where it is.

    ``feature_map`` has the shape (height, width). A bin is a pair (start, end) of
    ``row_bins`` and one of ``column_bins``, in cells; the end does not belong to it. A
    bin may reach past the map on any side: only its cells on the map count.

    Returns two arrays of the shape (row bins, column bins): the maxima, and their flat
    indices ``row * width + column`` into the map. A bin without a cell on the map gives
    0 and index -1. No two cells of the map have the same value.
    """
    height, width = feature_map.shape
    shape = (len(row_bins), len(column_bins))
    out, argmax = np.zeros(shape), np.full(shape, -1)
    for i, (top, bottom) in enumerate(row_bins):
        for j, (left, right) in enumerate(column_bins):
            best = -np.inf
            for row in range(max(top, 0), min(bottom, height)):
                for column in range(max(left, 0), min(right, width)):
                    if feature_map[row, column] > best:
                        best = feature_map[row, column]
                        out[i, j] = best
                        argmax[i, j] = row * width + column
    return out, argmax


@st.composite
def bins(draw: st.DrawFn, cells: int) -> Bins:
    """One to three bins of one to three cells, on the map or in part beside it."""
    starts = draw(st.lists(st.integers(-2, cells), min_size=1, max_size=3))
    return [(start, start + draw(st.integers(1, 3))) for start in starts]


@st.composite
def maps_and_bins(draw: st.DrawFn) -> Inputs:
    """A map of unlike values, more often negative than not, and bins."""
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    count = height * width
    values = draw(st.permutations(range(count)))
    above = draw(st.integers(0, count))  # values from -above upwards
    feature_map = np.array(values, np.float64).reshape(height, width) - above
    return {
        "feature_map": feature_map,
        "row_bins": draw(bins(height)),
        "column_bins": draw(bins(width)),
    }


def pool_by_reference(
    feature_map: np.ndarray, row_bins: Bins, column_bins: Bins
) -> tuple[np.ndarray, np.ndarray]:
    """The specification, bin by bin."""
    found = [
        [largest(feature_map, range(*rows), range(*columns)) for columns in column_bins]
        for rows in row_bins
    ]
    both = np.array(found, np.float64)
    return both[..., 0], both[..., 1].astype(int)


def values_at(
    f: Any, feature_map: np.ndarray, row_bins: Bins, column_bins: Bins
) -> np.ndarray:
    """What stands where the function says, less what it says stands there."""
    out, argmax = (np.asarray(one) for one in f(feature_map, row_bins, column_bins))
    there = np.append(feature_map.ravel(), 0.0)  # index -1 is the 0 at the end
    return np.asarray(there[argmax.astype(int)] - out)


def draw_bins(inputs: Inputs, expected: Any, got: Any) -> Figure | None:
    """The map with all bins; then the maxima expected and got, with their indices."""
    if not isinstance(expected, tuple):  # the second law's
        return draw_answer(expected, got)
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    first, *others = figure.subplots(1, 3)
    feature_map = inputs["feature_map"]
    for (row, column), value in np.ndenumerate(feature_map):
        first.add_patch(cell(row, column))
        first.text(column + 0.5, row + 0.5, f"{value:g}", ha="center", va="center")
    for rows in inputs["row_bins"]:
        for columns in inputs["column_bins"]:
            first.add_patch(square(Span(*columns), Span(*rows), "bin"))
    top, bottom = limits(inputs["row_bins"], feature_map.shape[0])
    left, right = limits(inputs["column_bins"], feature_map.shape[1])
    first.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    first.set(title="map and bins", xlabel="cells", ylabel="cells")
    pairs = zip(others, (expected, got), ("expected", "got"), strict=True)
    for axes, (out, argmax), title in pairs:
        draw_maxima(axes, np.asarray(out), np.asarray(argmax), title)
    return figure


def limits(bins: Bins, cells: int) -> tuple[float, float]:
    """From the first to the last of the map and its bins, with a margin."""
    starts, ends = zip(*bins, strict=True)
    return min(0, *starts) - 0.2, max(cells, *ends) + 0.2


def draw_maxima(axes: Axes, out: np.ndarray, argmax: np.ndarray, title: str) -> None:
    """A value and an index in each bin."""
    for (i, j), value in np.ndenumerate(out):
        axes.add_patch(square(Span(j, j + 1), Span(i, i + 1), "bin"))
        text = f"{value:g}\nat {argmax[i, j]:g}"
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", color="black")
    rows, columns = out.shape
    axes.set(xlim=(-0.1, columns + 0.1), ylim=(rows + 0.1, -0.1), aspect="equal")
    axes.set_title(title, color=palette.FAULT if title == "got" else "black")
    axes.set_axis_off()


EXERCISE = Exercise(
    id="ex02_3",
    title="The maximum of each bin",
    objective="Pool bins by their maximum, and keep what the way back needs.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `pool(feature_map, row_bins, column_bins)`: RoIPool on one channel, "
        "once its bins are known. Beside each maximum it tells where it stands."
    ),
    hints=(
        "First clip a bin to the map: rows from `max(top, 0)` to "
        "`min(bottom, height)`, columns alike. Without that a row of -1 silently reads "
        "the last row.",
        "The best so far must start below every value, at `-np.inf`: maps may be "
        "negative all over. A bin without cells then keeps 0 and -1, with which the "
        "two arrays are filled at the start.",
        "`np.argmax` of a cut-out counts within the cut-out; the flat index into the "
        "map is `row * width + column` with the map's own row, column and width.",
    ),
    solution=pool,
    laws=(
        Law("The maxima are the specification's.", maps_and_bins(), pool_by_reference),
        Law(
            "At the index stands the maximum.",
            maps_and_bins(),
            expected=lambda feature_map, row_bins, column_bins: np.zeros(
                (len(row_bins), len(column_bins))
            ),
            got=values_at,
        ),
    ),
    mistakes=(
        Mistake(
            "starts at 0",
            "you started the search at 0, so no negative value can win. Start at minus "
            "infinity.",
            {"best = -np.inf": "best = 0.0"},
        ),
        Mistake(
            "inclusive end",
            "you read one row and one column too many: a bin's end does not belong to "
            "it.",
            {
                "min(bottom, height)": "min(bottom + 1, height)",
                "min(right, width)": ("min(right + 1, width)"),
            },
        ),
        Mistake(
            "not clipped at the start",
            "you did not clip the bins at 0: a negative index silently reads from the "
            "other end of the map.",
            {"max(top, 0)": "top", "max(left, 0)": "left"},
        ),
        Mistake(
            "not clipped at the end",
            "you did not clip the bins at the map's end.",
            {"min(bottom, height)": "bottom", "min(right, width)": "right"},
        ),
        Mistake(
            "index in the bin",
            "you counted the index from the bin's own corner; it is one of the map.",
            {
                "row * width + column\n": (
                    "(row - max(top, 0)) * (min(right, width) - max(left, 0)) + column"
                    " - max(left, 0)\n"
                )
            },
        ),
        Mistake(
            "height for width",
            "you multiplied the row by the height: each row before it has `width` "
            "cells.",
            {"row * width + column": "row * height + column"},
        ),
        Mistake(
            "x for y",
            "you exchanged rows and columns: the first index of a map is its row.",
            {
                "feature_map[row, column] > best": "feature_map.T[row, column] > best",
                "best = feature_map[row, column]": "best = feature_map.T[row, column]",
                "height, width =": "width, height =",
            },
        ),
        Mistake(
            "mean",
            "you took the mean; RoIPool takes the largest value.",
            {
                "    return out, argmax": """
    for i, (top, bottom) in enumerate(row_bins):
        for j, (left, right) in enumerate(column_bins):
            inside = feature_map[max(top, 0):max(bottom, 0), max(left, 0):max(right, 0)]
            out[i, j] = inside.mean() if inside.size else 0
    return out, argmax"""
            },
        ),
        Mistake(
            "empty bins are infinite",
            "you returned minus infinity for a bin without cells; it gives 0.",
            {"np.zeros(shape)": "np.full(shape, -np.inf)"},
        ),
        Mistake(
            "empty bins name a cell",
            "you gave a bin without cells the index 0, which is a cell of the map; it "
            "has the index -1.",
            {"np.full(shape, -1)": "np.zeros(shape, int)"},
        ),
    ),
    draw=draw_bins,
)
