"""Exercise 16.1: COCO's box around a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pycocotools import mask as mask_utils

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake


def box_of_mask(mask: np.ndarray) -> tuple[int, int, int, int]:
    """COCO's box [x, y, width, height] around the pixels of a mask.

    ``mask`` is bool of the shape (height, width). The pixel in row i, column j covers
    [j, j + 1) x [i, i + 1): x and y are where the first pixel begins, and one pixel
    alone is 1 wide and 1 high. An empty mask has the box (0, 0, 0, 0).
    """
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return 0, 0, 0, 0
    x, y = int(columns.min()), int(rows.min())
    return x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y


@st.composite
def masks(draw: st.DrawFn) -> Inputs:
    """A small mask of a few pixels; empty now and then."""
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    mask = np.zeros((height, width), bool)
    for _ in range(draw(st.integers(0, 4))):
        mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    return {"mask": mask}


def box_by_coco(mask: np.ndarray) -> tuple[int, ...]:
    """COCO's own tool."""
    rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    return tuple(int(side) for side in mask_utils.toBbox(rle))


def draw_boxes(inputs: Inputs, expected: Any, got: Any) -> Figure | None:
    """The mask with both boxes."""
    if len(expected) != 4:
        return None
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    for axes, box, title in zip(
        figure.subplots(1, 2), (expected, got), ("expected", "got"), strict=True
    ):
        draw_box(axes, inputs["mask"], [float(side) for side in box])
        axes.set_title(f"{title}: " + ", ".join(f"{float(side):g}" for side in box))
    return figure


def draw_box(axes: Axes, mask: np.ndarray, box: list[float]) -> None:
    """A mask's pixels, and a box [x, y, width, height] on them."""
    height, width = mask.shape
    for row, column in np.ndindex(height, width):
        color = palette.OBJECT if mask[row, column] else "white"
        pixel = Rectangle((column, row), 1, 1, facecolor=color, edgecolor=palette.PIXEL)
        axes.add_patch(pixel)
    x, y, wide, high = box
    style: dict[str, Any] = {"fill": False, "edgecolor": palette.ROI, "lw": 3}
    axes.add_patch(Rectangle((x, y), wide, high, **style))
    right, bottom = max(width, x + wide), max(height, y + high)
    axes.set(xlim=(min(0, x) - 0.3, right + 0.3), ylim=(bottom + 0.3, min(0, y) - 0.3))
    axes.set(aspect="equal", xlabel="x, pixels", ylabel="y, pixels")


EXERCISE = Exercise(
    id="ex16_1",
    title="The box of a mask",
    objective="Write COCO's box of an object, with the pixel that is easily lost.",
    difficulty=1,
    minutes=10,
    task=(
        "Write `box_of_mask(mask)`, in the order and with the sizes that COCO's "
        "annotations have."
    ),
    hints=(
        "`rows, columns = np.nonzero(mask)` gives the places of all pixels. x comes "
        "from the columns, y from the rows.",
        "The last pixel ends one after its index. From column 2 to column 4 are three "
        "pixels: 4 + 1 - 2.",
        "The minimum of nothing is an error: return zeros for an empty mask first.",
    ),
    solution=box_of_mask,
    laws=(
        Law("The box is that of COCO's own tool.", masks(), box_by_coco),
        Law(
            "Of the mask turned over its diagonal, x and y change places, and width "
            "and height.",
            masks(),
            expected=lambda mask: [box_by_coco(mask)[i] for i in (1, 0, 3, 2)],
            got=lambda f, mask: f(np.ascontiguousarray(mask.T)),
        ),
    ),
    mistakes=(
        Mistake(
            "a pixel lost",
            "you took the last index minus the first: from column 2 to column 4 are "
            "three pixels, so add 1.",
            {
                "int(columns.max()) + 1 - x": "int(columns.max()) - x",
                "int(rows.max()) + 1 - y": "int(rows.max()) - y",
            },
        ),
        Mistake(
            "corners",
            "you returned (x1, y1, x2, y2); COCO's box is [x, y, width, height].",
            {
                "int(columns.max()) + 1 - x": "int(columns.max()) + 1",
                "int(rows.max()) + 1 - y": "int(rows.max()) + 1",
            },
        ),
        Mistake(
            "last pixel as a corner",
            "you returned the first and the last pixel; COCO's box is [x, y, width, "
            "height].",
            {
                "int(columns.max()) + 1 - x": "int(columns.max())",
                "int(rows.max()) + 1 - y": "int(rows.max())",
            },
        ),
        Mistake(
            "y first",
            "you exchanged rows and columns: x is a column, and comes first.",
            {"rows, columns = np.nonzero(mask)": "columns, rows = np.nonzero(mask)"},
        ),
        Mistake(
            "width and height exchanged",
            "you returned the height before the width.",
            {
                "int(columns.max()) + 1 - x, int(rows.max()) + 1 - y": (
                    "int(rows.max()) + 1 - y, int(columns.max()) + 1 - x"
                )
            },
        ),
        Mistake(
            "counted from 1",
            "you counted pixels from 1: the first pixel of an image begins at 0.",
            {"x, y, int(": "x + 1, y + 1, int("},
        ),
        Mistake(
            "centre",
            "you returned the box's centre; x and y are its upper left corner.",
            {
                "    x, y = int(columns.min()), int(rows.min())\n": (
                    "    x, y = int(columns.min()), int(rows.min())\n"
                    "    wide, high = int(columns.max()) + 1, int(rows.max()) + 1\n"
                    "    return (x + wide) / 2, (y + high) / 2, wide - x, high - y\n"
                )
            },
        ),
        Mistake(
            "pixels counted",
            "you counted the rows and columns that hold pixels; gaps inside of the "
            "object belong to the box.",
            {
                "int(columns.max()) + 1 - x": "len(set(columns.tolist()))",
                "int(rows.max()) + 1 - y": "len(set(rows.tolist()))",
            },
        ),
        Mistake(
            "a pixel too many",
            "you added a pixel twice: the width is last + 1 - first.",
            {
                "int(columns.max()) + 1 - x": "int(columns.max()) + 2 - x",
                "int(rows.max()) + 1 - y": "int(rows.max()) + 2 - y",
            },
        ),
        Mistake(
            "empty mask",
            "you did not look after empty masks: their box is (0, 0, 0, 0).",
            {"len(rows) == 0": "False"},
        ),
    ),
    draw=draw_boxes,
)
