"""The anchors of one cell over a picture, on any level of the pyramid.

Feature Pyramid Networks (Lin et al., 2017), section 4.1: each level has one size, 8
strides of it: 32 pixels on P2 to 512 on P6. Several sizes a cell stand within an
octave, each 2^(1 / count) of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.anchors import LevelAnchors, draw_level_anchors
from maskrcnn_scratch.figures.interactive.explore import Choice, Slider, explore

RATIOS = {
    "1:1": (1.0,),
    "2:1, 1:1, 1:2": (0.5, 1.0, 2.0),
    "3:1, 1:1, 1:3": (1 / 3, 1.0, 3.0),
}
"""h / w by the words for them, which are w:h."""


@dataclass(frozen=True)
class PlacedAnchors:
    """The anchors of a level and of the cell that holds a pixel.

    ``sizes`` are the square roots of their areas in pixels, ``cell`` is (row, column).
    """

    level: int
    stride: int
    sizes: tuple[float, ...]
    cell: tuple[int, int]
    anchors: LevelAnchors

    def sentence(self) -> str:
        """How many anchors there are, and where those drawn are."""
        rows, columns = self.anchors.grid_size
        x, y = self.anchors.shown.centre
        return (
            f"P{self.level} has {rows} x {columns} cells of {self.stride} pixels and"
            f" {self.anchors.count} anchors, {self.anchors.inside} of them within the"
            f" picture; those drawn are centred at x = {x:g}, y = {y:g}, of sizes"
            f" {', '.join(f'{size:.4g}' for size in self.sizes)}."
        )


def draw_anchor_places(
    image: UInt8[np.ndarray, "height width 3"],
    level: int,
    strides: int,
    count: int,
    ratios: tuple[float, ...],
    x: int,
    y: int,
) -> tuple[Figure, PlacedAnchors]:
    """The centres of all anchors of a level, and the anchors of the cell at a pixel.

    ``strides`` is the side of the first size in strides of the level, ``count`` the
    number of sizes, ``ratios`` are h / w. Raises ValueError where the pixel in column
    ``x``, row ``y`` is not in the picture.
    """
    stride = 2**level
    sizes = tuple(strides * stride * 2 ** (k / count) for k in range(count))
    cell = (y // stride, x // stride)
    figure = Figure(figsize=(7.5, 6.2))
    axes = figure.add_axes((0.09, 0.21, 0.88, 0.73))
    told = draw_level_anchors(axes, image, sizes, ratios, stride, cell)
    axes.set_title(axes.get_title(), fontsize=10)
    return figure, PlacedAnchors(level, stride, sizes, cell, told)


def place_anchors(
    image: UInt8[np.ndarray, "height width 3"],
    level: int = 3,
    strides: int = 8,
    count: int = 1,
    ratios: str = "2:1, 1:1, 1:2",
    x: int | None = None,
    y: int | None = None,
) -> PlacedAnchors:
    """Vary anchors over a picture; returns the numbers at the start.

    ``x``, ``y`` is a pixel, by default the middle one.
    """
    height, width = image.shape[:2]
    return explore(
        partial(draw_anchor_places, image),
        level=Choice("level", level, {f"P{k}, stride {2**k}": k for k in range(2, 7)}),
        strides=Slider("size, strides", strides, 1, 16),
        count=Slider("sizes a cell", count, 1, 3),
        ratios=Choice("ratios, w:h", RATIOS[ratios], RATIOS),
        x=Slider("x, pixels", width // 2 if x is None else x, 0, width - 1),
        y=Slider("y, pixels", height // 2 if y is None else y, 0, height - 1),
    )
