"""One picture on its way through Mask R-CNN, from pixels to the best object's mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn_scratch.figures import palette

MOST_MAPS = 3
SHOWN_PROPOSALS = 20


@dataclass(frozen=True)
class ModelWalk:
    """What the panels show: cells a side of each map, and how many boxes."""

    cells: dict[str, tuple[int, int]]
    proposals: int
    mask_size: tuple[int, int]


def draw_model_walk(
    image: Float[np.ndarray, "height width 3"],
    maps: Mapping[str, Float[np.ndarray, "_c _h _w"]],
    proposals: Float[np.ndarray, "p 4"],
    name: str,
    box: Float[np.ndarray, " 4"],
    probabilities: Float[np.ndarray, "m m"],
    mask: Bool[np.ndarray, "height width"],
) -> tuple[Figure, ModelWalk]:
    """Image, feature maps (their strength), proposals, one box, its mask, pasted.

    Boxes are (x1, y1, x2, y2) in pixels of the image; proposals best first; ``maps``
    are at most three by name. Raises ValueError for more.
    """
    if len(maps) > MOST_MAPS:
        raise ValueError(f"{len(maps)} maps; there is room for {MOST_MAPS}")
    figure = Figure(figsize=(10, 5.3), layout="constrained")
    upper, lower = figure.subplots(2, MOST_MAPS + 1)
    panel(upper[0], image, "image")
    strengths = {title: np.sqrt((values**2).sum(0)) for title, values in maps.items()}
    for axes, (title, strength) in zip(upper[1:], strengths.items(), strict=False):
        height, width = strength.shape
        panel(axes, strength, f"{title}: {height} x {width} cells")
    shown = proposals[:SHOWN_PROPOSALS]
    panel(lower[0], image, f"the {len(shown)} best proposals")
    for one in shown:
        outline(lower[0], one, palette.BIN, 0.8)
    panel(lower[1], image, f"a detection: {name}")
    outline(lower[1], box, palette.BIN, 2)
    height, width = probabilities.shape
    panel(lower[2], probabilities, f"its mask: {height} x {width}")
    panel(lower[3], mask, "pasted, cut at one half")
    for axes in upper[1 + len(maps) :]:
        axes.set_axis_off()
    return figure, ModelWalk(
        {title: (len(s), s.shape[1]) for title, s in strengths.items()},
        len(shown),
        (height, width),
    )


def panel(axes: Axes, values: np.ndarray, title: str) -> None:
    """An image in colour, anything else from white to black."""
    axes.imshow(values, cmap="Greys", interpolation="nearest")
    axes.set_title(title, size=10)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.autoscale(False)


def outline(
    axes: Axes, box: Float[np.ndarray, " 4"], colour: str, width: float
) -> None:
    """A box of pixel corners; imshow puts pixel centres at whole numbers."""
    x1, y1, x2, y2 = box - 0.5
    axes.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], color=colour, lw=width)
