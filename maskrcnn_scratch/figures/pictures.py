"""Pictures side by side, each under its title."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

SIDE = 2.15  # inches a picture


def draw_pictures(
    pictures: Sequence[Image.Image], titles: Sequence[str], columns: int = 4
) -> Figure:
    """In rows of ``columns``; titles may have several lines.

    Raises ValueError where there are not as many titles as pictures, or none.
    """
    if not pictures or len(pictures) != len(titles):
        raise ValueError(f"{len(pictures)} pictures and {len(titles)} titles")
    rows = -(-len(pictures) // columns)
    lines = max(title.count("\n") + 1 for title in titles)
    height = SIDE + 0.17 * lines + 0.1
    figure = Figure(figsize=(SIDE * columns, height * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, picture, title in zip(panels, pictures, titles, strict=False):
        axes.imshow(np.asarray(picture))
        axes.set_title(title, size=9)
    return figure
