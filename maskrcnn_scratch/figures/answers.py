"""What was expected beside what came, as pictures: feedback on exercises."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from maskrcnn_scratch.figures import palette

LARGEST = 32  # cells a side of a map that is drawn with its numbers left out


def draw_answer(expected: Any, got: Any) -> Figure | None:
    """Two maps side by side, the cells that differ marked; None for other values."""
    try:
        right, mine = as_map(expected), as_map(got)
    except (TypeError, ValueError):
        return None
    if right.shape != mine.shape or right.ndim != 2 or min(right.shape) < 1:
        return None
    if right.size < 2 or max(right.shape) > LARGEST:
        return None
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    axes = figure.subplots(1, 2)
    wrong = ~np.isclose(right, mine, rtol=1e-5, atol=1e-5, equal_nan=True)
    values = np.concatenate([right.ravel(), mine.ravel()])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
    for one, value, title in zip(axes, (right, mine), ("expected", "got"), strict=True):
        draw_map(one, value, (low, high), title)
    mark(axes[1], wrong)
    axes[1].set_xlabel(f"{int(wrong.sum())} of {wrong.size} cells differ")
    return figure


def as_map(value: Any) -> np.ndarray:
    """An array of two axes, in float64: of a vector the one row."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.squeeze(np.asarray(value, dtype=np.float64))
    return array[None] if array.ndim == 1 else array


def draw_map(
    axes: Axes, value: np.ndarray, limits: tuple[float, float], title: str
) -> None:
    """A map in greys, with its numbers where they fit."""
    low, high = limits
    axes.imshow(
        value, cmap=ListedColormap([str(0.45 + 0.55 * i / 63) for i in range(64)]),
        vmin=low, vmax=max(high, low + 1e-9),
    )  # fmt: skip
    if max(value.shape) <= 8:
        for (row, column), one in np.ndenumerate(value):
            axes.text(column, row, f"{one:.3g}", ha="center", va="center", fontsize=9)
    axes.set(title=title, xticks=[], yticks=[])


def mark(axes: Axes, wrong: np.ndarray) -> None:
    """Frames around the cells that differ."""
    from matplotlib.patches import Rectangle

    for row, column in np.argwhere(wrong):
        axes.add_patch(
            Rectangle(
                *((column - 0.45, row - 0.45), 0.9, 0.9),
                fill=False,
                edgecolor=palette.FAULT,
                linewidth=2,
            )
        )
