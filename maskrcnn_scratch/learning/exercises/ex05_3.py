"""Exercise 5.3: which anchor is number n of a whole feature pyramid?"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.reference.anchors import pyramid_anchors

Grids = list[tuple[int, int]]
Place = tuple[int, int, int, int]


def place_of_anchor(
    index: int, grid_sizes: list[tuple[int, int]], per_cell: int
) -> tuple[int, int, int, int]:
    """Which anchor stands at ``index`` in the list of all anchors of a pyramid.

    Args:
        index: from 0; it lies within the list.
        grid_sizes: (height, width) in cells of each level, the first level first.
        per_cell: how many anchors a cell has, on every level.

    The list holds level after level; in a level row by row, in a row cell by cell, the
    anchors of a cell together.

    Returns (level, row, column, anchor), each counted from 0.
    """
    level = 0
    while index >= grid_sizes[level][0] * grid_sizes[level][1] * per_cell:
        index -= grid_sizes[level][0] * grid_sizes[level][1] * per_cell
        level += 1
    cell, anchor = divmod(index, per_cell)
    row, column = divmod(cell, grid_sizes[level][1])
    return level, row, column, anchor


@st.composite
def numbers(draw: st.DrawFn) -> Inputs:
    """Any number of a small pyramid, often the first one of a level."""
    side = st.integers(1, 5)
    grid_sizes = draw(st.lists(st.tuples(side, side), min_size=1, max_size=3))
    per_cell = draw(st.integers(1, 3))
    counts = [height * width * per_cell for height, width in grid_sizes]
    ends = np.cumsum([0, *counts]).tolist()  # the last is no anchor's number
    anywhere = st.integers(0, ends[-1] - 1)
    index = draw(st.one_of(anywhere, st.sampled_from(ends[:-1])))
    return {"index": index, "grid_sizes": grid_sizes, "per_cell": per_cell}


def all_places(grid_sizes: Grids, per_cell: int) -> list[Place]:
    """Every place, in the order of the list."""
    return [
        (level, row, column, anchor)
        for level, (height, width) in enumerate(grid_sizes)
        for row in range(height)
        for column in range(width)
        for anchor in range(per_cell)
    ]


def place_listed(index: int, grid_sizes: Grids, per_cell: int) -> Place:
    """By counting them off."""
    return all_places(grid_sizes, per_cell)[index]


def listed_anchor(index: int, grid_sizes: Grids, per_cell: int) -> np.ndarray:
    """That anchor of the specification, of the sizes 1, 2, 4 and strides 4, 8, 16."""
    levels = len(grid_sizes)
    anchors = pyramid_anchors(
        *([1.0, 2.0, 4.0][:levels], [1.0, 4.0, 16.0][:per_cell]),
        *([4.0, 8.0, 16.0][:levels], grid_sizes),
    )
    anchor: np.ndarray = np.concatenate(anchors)[index]
    return anchor


def anchor_at(f: Any, index: int, grid_sizes: Grids, per_cell: int) -> np.ndarray:
    """The anchor at the place that a function names, from its level, row and column."""
    level, row, column, anchor = (int(one) for one in f(index, grid_sizes, per_cell))
    size, stride, ratio = 2.0**level, 4 * 2.0**level, 4.0**anchor
    w, h = size / np.sqrt(ratio), size * np.sqrt(ratio)
    x, y = column * stride, row * stride
    return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


CELLS = "grid_sizes[level][0] * grid_sizes[level][1]"
LEVEL = f"{CELLS} * per_cell"

EXERCISE = Exercise(
    id="ex05_3",
    title="Which anchor is it?",
    objective="Find the level, cell and form of an anchor from its number.",
    difficulty=2,
    minutes=15,
    task=(
        "The best score of a picture belongs to anchor 200,000. Where is that? Write "
        "`place_of_anchor(index, grid_sizes, per_cell)`, which turns a number in the "
        "list of all anchors into level, row, column and anchor."
    ),
    hints=(
        "A level of height x width cells has height * width * per_cell anchors. While "
        "`index` is not on this level, take so many off and go to the next.",
        "Within a level the anchor runs fastest: "
        "`cell, anchor = divmod(index, per_cell)`.",
        "Of the cells the column runs faster: `row, column = divmod(cell, width)`.",
    ),
    imports="",
    solution=place_of_anchor,
    laws=(
        Law("The place is found by counting off.", numbers(), place_listed),
        Law(
            "The specification has the anchor of that place at this number.",
            numbers(),
            expected=listed_anchor,
            got=anchor_at,
        ),
    ),
    mistakes=(
        Mistake(
            "height for width",
            "you divided by the height to find the row: a row has as many cells as the "
            "map is wide.",
            {"(cell, grid_sizes[level][1])": "(cell, grid_sizes[level][0])"},
        ),
        Mistake(
            "column by column",
            "you exchanged row and column: the list goes row by row, so the column is "
            "the rest of the division.",
            {
                "row, column = divmod(cell, grid_sizes[level][1])": "column, row = "
                "divmod(cell, grid_sizes[level][0])"
            },
        ),
        Mistake(
            "row and column exchanged",
            "you returned the column before the row.",
            {"level, row, column, anchor": "level, column, row, anchor"},
        ),
        Mistake(
            "anchors outside",
            "you took the cells to run fastest; the anchors of a cell stand together.",
            {"divmod(index, per_cell)": f"divmod(index, {CELLS})[::-1]"},
        ),
        Mistake(
            "anchors a cell forgotten",
            "you counted cells where anchors are meant: a level has height x width x "
            "per_cell of them.",
            {
                f"while index >= {LEVEL}": f"while index >= {CELLS}",
                f"index -= {LEVEL}": f"index -= {CELLS}",
            },
        ),
        Mistake(
            "one too many on a level",
            "you left the number after a level's last anchor on that level: numbers "
            "count from 0, so the level ends before its count.",
            {"while index >= ": "while index > "},
        ),
        Mistake(
            "the first level alone",
            "you looked on the first level alone: a number beyond it belongs to the "
            "next one.",
            {f"while index >= {LEVEL}:": "while False:"},
        ),
        Mistake(
            "levels backwards",
            "you began with the last level; the first level is first in the list.",
            {"level = 0": "grid_sizes = grid_sizes[::-1]\n    level = 0"},
        ),
        Mistake(
            "counting from 1",
            "you counted the levels from 1 (P2 is level 0 here).",
            {"return level,": "return level + 1,"},
        ),
        Mistake(
            "anchor forgotten",
            "you divided the number itself by the width: first take out which of the "
            "cell's anchors it is.",
            {"divmod(cell, grid": "divmod(index, grid"},
        ),
        Mistake(
            "levels of one size",
            "you took all levels to be as large as the first.",
            {
                f"while index >= {LEVEL}": "while index >= grid_sizes[0][0] * "
                "grid_sizes[0][1] * per_cell",
                f"index -= {LEVEL}": "index -= grid_sizes[0][0] * grid_sizes[0][1] * "
                "per_cell",
            },
        ),
    ),
)
