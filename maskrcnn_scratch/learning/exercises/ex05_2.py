"""Exercise 5.2: the anchors of all cells of a feature map."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.box_answers import draw_box_answer
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake
from maskrcnn_scratch.learning.exercises.ex04_1 import small_boxes
from maskrcnn_scratch.reference.anchors import grid_anchors


def anchors_of_a_level(
    cell: np.ndarray, stride: int, grid_size: tuple[int, int]
) -> np.ndarray:
    """The anchors of every cell of one feature map.

    Args:
        cell: (a, 4) the anchors of one cell as (x1, y1, x2, y2) in image pixels, as
            they stand at the cell in row 0, column 0.
        stride: how many image pixels a cell is wide and high.
        grid_size: (height, width) of the feature map, in cells.

    Those of the cell in row i, column j stand j * stride further to the right and
    i * stride further down. Order: row by row, in a row cell by cell, the anchors of
    a cell together and in their order.

    Returns an array (height * width * a, 4).
    """
    height, width = grid_size
    anchors = []
    for i in range(height):
        for j in range(width):
            x, y = j * stride, i * stride
            for x1, y1, x2, y2 in cell:
                anchors.append((x1 + x, y1 + y, x2 + x, y2 + y))
    return np.array(anchors)


@st.composite
def levels(draw: st.DrawFn) -> Inputs:
    """A few anchors a cell, and a small feature map."""
    return {
        "cell": draw(small_boxes(draw(st.integers(1, 3)), smallest=1)) - 4,
        "stride": draw(st.sampled_from([1, 2, 4, 8])),
        "grid_size": (draw(st.integers(1, 4)), draw(st.integers(1, 4))),
    }


def draw_wrong_anchor(inputs: Inputs, expected: Any, got: Any) -> Figure | None:
    """The anchor that is most wrong; which cell's it is stands in the title."""
    right, mine = np.asarray(expected, float), np.asarray(got, float)
    if mine.shape != right.shape or right.shape[-1:] != (4,):
        return None
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    axes = figure.subplots()
    told = draw_box_answer(axes, right, mine)
    place, k = divmod(told.row, len(inputs["cell"]))
    row, column = divmod(place, inputs["grid_size"][1])
    axes.set_title(f"{axes.get_title()}: anchor {k} of cell ({row}, {column})")
    return figure


EXERCISE = Exercise(
    id="ex05_2",
    title="The anchors of a level",
    objective="Lay anchors over a feature map, in the order of the network's output.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `anchors_of_a_level(cell, stride, grid_size)`: the anchors of one cell, "
        "repeated at every cell. The order matters as much as the numbers: anchor 17 "
        "must be the one that score 17 belongs to."
    ),
    hints=(
        "Three loops: rows, columns, and the anchors of a cell inside.",
        "Columns go with x and rows with y: the shift of a cell is "
        "(j * stride, i * stride), added to both corners.",
        "Without loops: make `shifts` of shape (height, width, 1, 4) with "
        "`np.meshgrid` or `np.indices`, add `cell`, and reshape to (-1, 4).",
    ),
    solution=anchors_of_a_level,
    laws=(
        Law("The anchors are those of the specification.", levels(), grid_anchors),
        Law(
            "The first cell has the anchors that were given.",
            levels(),
            expected=lambda cell, stride, grid_size: cell,
            got=lambda f, cell, stride, grid_size: np.asarray(
                f(cell, stride, grid_size)
            )[: len(cell)],
        ),
    ),
    mistakes=(
        Mistake(
            "x for y",
            "you moved by the row along x and by the column along y. Columns go with "
            "x, rows with y.",
            {"j * stride, i * stride": "i * stride, j * stride"},
        ),
        Mistake(
            "centre of the cell",
            "you put the anchors at the middle of the cell, half a stride further. "
            "That would look better, but the published systems begin at 0.",
            {"j * stride, i * stride": "(j + 0.5) * stride, (i + 0.5) * stride"},
        ),
        Mistake(
            "in cells",
            "you moved by cells; boxes are in image pixels, so multiply with the "
            "stride.",
            {"j * stride, i * stride": "j, i"},
        ),
        Mistake(
            "anchors outside",
            "your first loop runs over the anchors of a cell. It must be the last: the "
            "anchors of a cell stand together.",
            """
            height, width = grid_size
            anchors = []
            for x1, y1, x2, y2 in cell:
                for i in range(height):
                    for j in range(width):
                        x, y = j * stride, i * stride
                        anchors.append((x1 + x, y1 + y, x2 + x, y2 + y))
            return np.array(anchors)
            """,
        ),
        Mistake(
            "column by column",
            "you went down the columns; the order is row by row, as in memory.",
            """
            height, width = grid_size
            anchors = []
            for j in range(width):
                for i in range(height):
                    x, y = j * stride, i * stride
                    for x1, y1, x2, y2 in cell:
                        anchors.append((x1 + x, y1 + y, x2 + x, y2 + y))
            return np.array(anchors)
            """,
        ),
        Mistake(
            "grid size exchanged",
            "you took grid_size for (width, height); it is (height, width), as an "
            "array's shape.",
            {"height, width = grid_size": "width, height = grid_size"},
        ),
        Mistake(
            "one corner moved",
            "you moved the upper left corner alone, so the anchors shrink: move both "
            "corners.",
            {"x2 + x, y2 + y": "x2, y2"},
        ),
        Mistake(
            "counting from 1",
            "you counted rows and columns from 1, so that all anchors stand one stride "
            "too far.",
            {"range(height)": "range(1, height + 1)"}
            | {"range(width)": "range(1, width + 1)"},
        ),
        Mistake(
            "spread to the end",
            "you spread the cells so that the last one ends at the image's border; "
            "each is simply one stride after the one before.",
            {
                "j * stride, i * stride": "j * stride * width / max(width - 1, 1), "
                "i * stride * height / max(height - 1, 1)"
            },
        ),
        Mistake(
            "not flattened",
            "you returned one entry for each cell; a flat list of boxes is wanted: "
            "`reshape(-1, 4)`.",
            {"np.array(anchors)": "np.array(anchors).reshape(height, width, -1, 4)"},
        ),
        Mistake(
            "anchors moved with the cell's number",
            "you moved each anchor of a cell by one more stride; all anchors of a cell "
            "have the same centre.",
            {
                "append((x1 + x, y1": "append((x1 + x + stride * (len(anchors) % "
                "len(cell)), y1"
            }
            | {"x2 + x, y2": "x2 + x + stride * (len(anchors) % len(cell)), y2"},
        ),
    ),
    draw=draw_wrong_anchor,
)
