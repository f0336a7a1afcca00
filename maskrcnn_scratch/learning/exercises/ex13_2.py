"""Exercise 13.2: a thread for each point that is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numba import cuda

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Mistake
from maskrcnn_scratch.learning.exercises.ex01_1 import HALF_PIXEL
from maskrcnn_scratch.learning.exercises.ex13_1 import IMPORTS, counted_maps
from maskrcnn_scratch.learning.kernel_checks import KernelCall, kernel_laws
from maskrcnn_scratch.learning.strategies import sixteenths
from maskrcnn_scratch.reference.bilinear import bilinear


def read_points(feature_map: np.ndarray, points: np.ndarray, out: np.ndarray) -> None:
    """A CUDA kernel: thread n reads the map at ``points[n]`` and writes ``out[n]``.

    ``feature_map`` has the shape (height, width), ``points`` (n, 2) holds (y, x) in
    index coordinates: cell (i, j) sits at y = i, x = j. All points lie between the
    centres of the cells, 0 <= y <= height - 1 and the same for x.

    The grid has one axis, and at least n threads. ``out`` (n,) holds nothing before.
    """
    n = cuda.grid(1)
    if n >= points.shape[0]:
        return
    height, width = feature_map.shape
    y, x = points[n, 0], points[n, 1]
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, along = y - top, x - left
    upper = (1 - along) * feature_map[top, left] + along * feature_map[top, right]
    lower = (1 - along) * feature_map[bottom, left] + along * feature_map[bottom, right]
    out[n] = (1 - down) * upper + down * lower


@st.composite
def maps_and_points(draw: st.DrawFn) -> Inputs:
    """A small map, points between its cells, and a grid for them."""
    feature_map = draw(counted_maps(largest=4))
    height, width = feature_map.shape
    place = st.tuples(sixteenths(0, height - 1), sixteenths(0, width - 1))
    points = np.array(draw(st.lists(place, min_size=1, max_size=6)), np.float32)
    threads = draw(st.integers(1, 4))
    return {
        "feature_map": feature_map,
        "points": points,
        "blocks": -(-len(points) // threads),
        "threads": threads,
    }


def call(
    feature_map: np.ndarray, points: np.ndarray, blocks: int, threads: int
) -> KernelCall:
    """The launch."""
    out = np.empty(len(points), np.float32)
    arguments = {"feature_map": feature_map, "points": points, "out": out}
    return KernelCall(blocks, threads, arguments, "out")


def read_all(feature_map: np.ndarray, points: np.ndarray, **grid: Any) -> np.ndarray:
    """The specification, point by point."""
    return np.array([bilinear(feature_map, y, x) for y, x in points.tolist()])


EXERCISE = Exercise(
    id="ex13_2",
    title="A thread for each point",
    objective="Turn the loop of bilinear reading into a kernel.",
    difficulty=2,
    minutes=20,
    task=(
        "Write the kernel `read_points(feature_map, points, out)`. What the loop over "
        "points did in chapter 1, one thread does now for one point."
    ),
    hints=(
        "`n = cuda.grid(1)` is the thread's point; without a point it returns at once.",
        "`top = int(y)`, and the row below it is `min(top + 1, height - 1)`: the last "
        "row has none below. The same along x.",
        "Mix along x in the upper row and in the lower one; then mix these two along "
        "y, with the weight y - top for the lower.",
    ),
    solution=read_points,
    imports=IMPORTS,
    laws=kernel_laws(
        "The recorder finds no fault, and each value is that of the specification.",
        *(maps_and_points(), call, read_all),
    ),
    mistakes=(
        Mistake(
            "half a cell",
            HALF_PIXEL,
            {
                "y, x = points[n, 0], points[n, 1]": "y, x = points[n, 0] - 0.5, "
                "points[n, 1] - 0.5"
            },
        ),
        Mistake(
            "no guard",
            "you let every thread read a point; the last block has more threads than "
            "there are points left.",
            {"if n >= points.shape[0]:": "if False:"},
        ),
        Mistake(
            "guard one too far",
            "you let thread number n through where there are n points: the last has "
            "the number n - 1.",
            {"n >= points.shape[0]": "n > points.shape[0]"},
        ),
        Mistake(
            "x for y",
            "you exchanged y and x: `points[n, 0]` is y, the row.",
            {"y, x = points[n, 0], points[n, 1]": "x, y = points[n, 0], points[n, 1]"},
        ),
        Mistake(
            "past the end",
            "you read the row or column after the last one, which weighs nothing, but "
            "is read all the same: clamp the second index.",
            {"min(top + 1, height - 1), min(left + 1, width - 1)": "top + 1, left + 1"},
        ),
        Mistake(
            "block forgotten",
            "you took the thread's number in its block for its number in the grid.",
            {"cuda.grid(1)": "cuda.threadIdx.x"},
        ),
        Mistake(
            "wrong stride",
            "you multiplied the block's number with the number of blocks: it is the "
            "block's size, blockDim.x.",
            {"cuda.grid(1)": "cuda.blockIdx.x * cuda.gridDim.x + cuda.threadIdx.x"},
        ),
        Mistake(
            "counted from one",
            "you count threads from 1, so the first point is never read.",
            {"cuda.grid(1)": "cuda.grid(1) + 1"},
        ),
        Mistake(
            "weights exchanged",
            "you gave the cells the weights of those opposite.",
            {"y - top, x - left": "1 - (y - top), 1 - (x - left)"},
        ),
        Mistake(
            "floor",
            "you took the cell above and to the left alone: that is rounding down.",
            {"y - top, x - left": "0.0, 0.0"},
        ),
        Mistake(
            "nearest cell",
            "you took the nearest cell alone: that is rounding, not mixing.",
            {"y - top, x - left": "float(y - top >= 0.5), float(x - left >= 0.5)"},
        ),
        Mistake(
            "one axis",
            "you mixed along x alone: the rows above and below must be mixed too.",
            {"(1 - down) * upper + down * lower": "upper"},
        ),
        Mistake(
            "one place for all",
            "you wrote every result to the same place: thread n writes `out[n]`.",
            {"out[n] =": "out[0] ="},
        ),
    ),
)
