"""Anchors: the fixed boxes from which the RPN predicts (Ren et al. 2015, section 3.1).

At every cell of a feature map stand the same A boxes. On a feature pyramid each level
has one size (Lin et al. 2017, section 4.1): 32, 64, 128, 256, 512 pixels on P2 to P6,
in the ratios 1:2, 1:1, 2:1. Boxes are (x1, y1, x2, y2) in image pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float


def cell_anchors(
    sizes: Sequence[float], ratios: Sequence[float], rounded: bool = False
) -> Float[np.ndarray, "anchors 4"]:
    """The A anchors of one cell, centred at the origin: sizes outer, ratios inner.

    A size is the square root of the area in pixels; a ratio is h / w. So w h = size^2
    and h = ratio w, which gives w = size / sqrt(ratio), h = size sqrt(ratio).

    ``rounded`` brings the corners to whole pixels, halves to the even one, as
    torchvision does; its published weights were trained so. Rounded anchors have
    only about the right area and ratio.
    """
    anchors = []
    for size in sizes:
        for ratio in ratios:
            w = size / math.sqrt(ratio)
            h = size * math.sqrt(ratio)
            anchors.append((-w / 2, -h / 2, w / 2, h / 2))
    cell = np.array(anchors, np.float64).reshape(-1, 4)
    return np.round(cell) if rounded else cell


def grid_anchors(
    cell: Float[np.ndarray, "anchors 4"], stride: float, grid_size: tuple[int, int]
) -> Float[np.ndarray, "all_anchors 4"]:
    """The anchors of every cell of one feature map of ``grid_size`` (h, w) cells.

    The order is (h, w, A): row by row, in a row cell by cell, the A anchors of a cell
    together, as in the RPN's output after it is brought to channels-last. ``stride``
    is image pixels a cell. The anchors of the cell in row i, column j are centred at
    (j stride, i stride), the upper left corner of the pixels it stands for and not
    their middle: all published systems do so, and so must we to use their weights.
    """
    height, width = grid_size
    anchors = np.zeros((height, width, len(cell), 4))
    for i in range(height):
        for j in range(width):
            x, y = j * stride, i * stride
            anchors[i, j] = np.add(cell, (x, y, x, y))
    return anchors.reshape(-1, 4)


def pyramid_anchors(
    sizes: Sequence[float],
    ratios: Sequence[float],
    strides: Sequence[float],
    grid_sizes: Sequence[tuple[int, int]],
    rounded: bool = False,
) -> list[Float[np.ndarray, "_level_anchors 4"]]:
    """The anchors of every level of a feature pyramid, one size a level.

    An image of 1024 x 1024 pixels has 3 (256^2 + 128^2 + 64^2 + 32^2 + 16^2) = 261,888
    anchors on P2 to P6. Raises ValueError unless there are as many sizes as strides
    and grid sizes.
    """
    return [
        grid_anchors(cell_anchors([size], ratios, rounded), stride, grid_size)
        for size, stride, grid_size in zip(sizes, strides, grid_sizes, strict=True)
    ]
