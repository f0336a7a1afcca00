"""Exercise 13.3: gradients that meet in a cell."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numba import cuda

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.exercises.ex13_1 import IMPORTS
from maskrcnn_scratch.learning.kernel_checks import KernelCall, kernel_laws, recorded
from maskrcnn_scratch.learning.strategies import sixteenths
from maskrcnn_scratch.reference.bilinear import bilinear_grad


def spread_points(gradient: np.ndarray, points: np.ndarray, d_map: np.ndarray) -> None:
    """A CUDA kernel: thread n adds ``gradient[n]`` to the cells that point n read.

    Each of the four cells gets the gradient times its bilinear weight. ``points``
    (n, 2) holds (y, x) in index coordinates, all between the centres of the cells of
    ``d_map`` (height, width), which holds zeros before.

    The grid has one axis, and at least n threads. Points may share cells.
    """
    n = cuda.grid(1)
    if n >= points.shape[0]:
        return
    height, width = d_map.shape
    y, x = points[n, 0], points[n, 1]
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, along = y - top, x - left
    value = gradient[n]
    cuda.atomic.add(d_map, (top, left), (1 - down) * (1 - along) * value)
    cuda.atomic.add(d_map, (top, right), (1 - down) * along * value)
    cuda.atomic.add(d_map, (bottom, left), down * (1 - along) * value)
    cuda.atomic.add(d_map, (bottom, right), down * along * value)


@st.composite
def gradients(draw: st.DrawFn) -> Inputs:
    """Points on a small map, which often share cells, and a gradient for each."""
    height, width = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    place = st.tuples(sixteenths(0, height - 1), sixteenths(0, width - 1))
    points = np.array(draw(st.lists(place, min_size=1, max_size=5)), np.float32)
    values = st.lists(
        st.integers(-4, 4).filter(bool), min_size=len(points), max_size=len(points)
    )
    threads = draw(st.integers(1, 4))
    return {
        "gradient": np.array(draw(values), np.float32),
        "points": points,
        "shape": (height, width),
        "blocks": -(-len(points) // threads),
        "threads": threads,
    }


def call(
    gradient: np.ndarray,
    points: np.ndarray,
    shape: tuple[int, int],
    blocks: int,
    threads: int,
) -> KernelCall:
    """The launch."""
    d_map = np.zeros(shape, np.float32)
    arguments = {"gradient": gradient, "points": points, "d_map": d_map}
    return KernelCall(blocks, threads, arguments, "d_map", holds_zeros=True)


def spread_all(
    gradient: np.ndarray, points: np.ndarray, shape: tuple[int, int], **grid: Any
) -> np.ndarray:
    """The specification, summed over the points."""
    cells = np.zeros(shape)
    for value, (y, x) in zip(gradient.tolist(), points.tolist(), strict=True):
        cells += value * bilinear_grad(np.zeros(shape), y, x)[0]
    return cells


EXERCISE = Exercise(
    id="ex13_3",
    title="Gradients that meet",
    objective="Send gradients back to cells that several threads add to.",
    difficulty=2,
    minutes=20,
    task=(
        "Write the kernel `spread_points(gradient, points, d_map)`, the way back of "
        "`read_points`. Two points may lie between the same cells, and then two "
        "threads add to one number."
    ),
    hints=(
        "Cells and weights are those of the reading: chapter 1, exercise 3, for one "
        "point a thread.",
        "`d_map[i, j] += v` reads, adds and writes: another thread may write between. "
        "The recorder calls that a lost update.",
        "`cuda.atomic.add(d_map, (i, j), v)` does all three in one piece.",
    ),
    solution=spread_points,
    imports=IMPORTS,
    laws=(
        *kernel_laws(
            "The recorder finds no fault, and each cell's gradient is that of the "
            "specification.",
            *(gradients(), call, spread_all),
        ),
        Law(
            "What is sent back adds up to what came: weights sum to 1.",
            gradients(),
            expected=lambda gradient, **rest: float(gradient.sum()),
            got=lambda f, **inputs: float(np.sum(recorded(call)(f, **inputs))),
            examples=8,
        ),
    ),
    mistakes=(
        Mistake(
            "no atomic",
            "you added with `+=`: two threads may read the same old value, and one of "
            "the two updates is lost. `cuda.atomic.add` loses none.",
            """
            n = cuda.grid(1)
            if n >= points.shape[0]:
                return
            height, width = d_map.shape
            y, x = points[n, 0], points[n, 1]
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            down, along = y - top, x - left
            value = gradient[n]
            d_map[top, left] += (1 - down) * (1 - along) * value
            d_map[top, right] += (1 - down) * along * value
            d_map[bottom, left] += down * (1 - along) * value
            d_map[bottom, right] += down * along * value
            """,
        ),
        Mistake(
            "one plain addition",
            "you added to the first cell with `+=` and to the others atomically: "
            "whoever else touches a cell must do so by an atomic too.",
            {
                "cuda.atomic.add(d_map, (top, left), (1 - down)": "d_map[top, left] += "
                "((1 - down)"
            },
        ),
        Mistake(
            "overwriting",
            "you set the cells with `=`: gradients that meet in a cell add up.",
            """
            n = cuda.grid(1)
            if n >= points.shape[0]:
                return
            height, width = d_map.shape
            y, x = points[n, 0], points[n, 1]
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            down, along = y - top, x - left
            value = gradient[n]
            d_map[top, left] = (1 - down) * (1 - along) * value
            d_map[top, right] = (1 - down) * along * value
            d_map[bottom, left] = down * (1 - along) * value
            d_map[bottom, right] = down * along * value
            """,
        ),
        Mistake(
            "no guard",
            "you let every thread send a gradient; the last block has more threads "
            "than there are points left.",
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
            "you exchanged y and x: the first index of a map is its row, y.",
            {"y - top, x - left": "x - left, y - top"},
        ),
        Mistake(
            "past the end",
            "you added to the row or column after the last one: clamp the second "
            "index.",
            {"min(top + 1, height - 1), min(left + 1, width - 1)": "top + 1, left + 1"},
        ),
        Mistake(
            "nearest cell",
            "you sent all of it to one cell, as reading the nearest cell would.",
            {"y - top, x - left": "float(y - top >= 0.5), float(x - left >= 0.5)"},
        ),
        Mistake(
            "weights exchanged",
            "you gave the cells the weights of those opposite.",
            {"y - top, x - left": "1 - (y - top), 1 - (x - left)"},
        ),
        Mistake(
            "gradient forgotten",
            "you added the weights alone: multiply them with the gradient that came.",
            {"value = gradient[n]": "value = 1.0"},
        ),
        Mistake(
            "block forgotten",
            "you took the thread's number in its block for its number in the grid: "
            "every block sends the first gradients again.",
            {"cuda.grid(1)": "cuda.threadIdx.x"},
        ),
        Mistake(
            "maximum for sum",
            "you kept the largest gradient of a cell: they add up.",
            {
                "add(d_map, (top, left)": "max(d_map, (top, left)",
                "add(d_map, (top, right)": "max(d_map, (top, right)",
                "add(d_map, (bottom, left)": "max(d_map, (bottom, left)",
                "add(d_map, (bottom, right)": "max(d_map, (bottom, right)",
            },
        ),
        Mistake(
            "three cells",
            "you left out the cell at the lower right.",
            {"    cuda.atomic.add(d_map, (bottom, right), down * along * value)": ""},
        ),
    ),
)
