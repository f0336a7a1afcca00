"""Bilinear interpolation as a picture: weights are areas, and what happens at borders.

Both pictures have index coordinates, those of ``reference.bilinear``: the value of
cell i sits at i, and the cell covers [i - 1/2, i + 1/2].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.reference.bilinear import bilinear, bilinear_taps

Cell = tuple[int, int]
TIMES = "\N{MULTIPLICATION SIGN}"
STEPS = 16  # points of the profile a cell


@dataclass(frozen=True)
class BilinearRead:
    """One read of a feature map, in index coordinates.

    ``place`` is (y, x) where the map is read, the point asked for clamped to the cells'
    centres; None outside of the map, where the value is 0. A square as large as a cell
    with its centre there covers the cells by their weights: ``parts`` are its pieces
    (x, y, width, height), by (row, column).
    """

    y: float
    x: float
    place: tuple[float, float] | None
    weights: dict[Cell, float]
    parts: dict[Cell, tuple[float, float, float, float]]
    value: float


def follow_read(
    feature_map: Float[np.ndarray, "height width"], y: float, x: float
) -> BilinearRead:
    """The read of a map at (y, x), in numbers; cells of weight 0 are left out."""
    height, width = feature_map.shape
    taps_y, taps_x = bilinear_taps(height, y), bilinear_taps(width, x)
    weights = {
        (row, column): y_weight * x_weight
        for row, y_weight in taps_y
        for column, x_weight in taps_x
        if y_weight * x_weight > 0
    }
    value = bilinear(feature_map, y, x)
    if not weights:
        return BilinearRead(y, x, None, {}, {}, value)
    place = (sum(r * w for r, w in taps_y), sum(c * w for c, w in taps_x))
    parts = {}
    for row, column in weights:
        top, high = overlap(place[0], row)
        left, wide = overlap(place[1], column)
        parts[row, column] = (left, top, wide, high)
    return BilinearRead(y, x, place, weights, parts, value)


def overlap(centre: float, cell: int) -> tuple[float, float]:
    """Start and length of what two stretches of length 1 share, on one axis."""
    start, end = max(centre, cell) - 0.5, min(centre, cell) + 0.5
    return start, end - start


def draw_read(
    axes: Axes, feature_map: Float[np.ndarray, "height width"], y: float, x: float
) -> BilinearRead:
    """The cells, the point read at (y, x), and the weights as areas.

    Below stands the sum with its numbers.
    """
    told = follow_read(feature_map, y, x)
    size = min(9.0, 40 / max(feature_map.shape))  # of letters, in points
    for row, column in np.ndindex(feature_map.shape):
        draw_cell(axes, told, (row, column), float(feature_map[row, column]), size)
    for left, top, wide, high in told.parts.values():
        part = Rectangle(
            *((left, top), wide, high),
            facecolor=(palette.SAMPLE, 0.25),
            edgecolor=palette.SAMPLE,
            gid="part",
        )
        axes.add_patch(part)
    if told.place and told.place != (y, x):
        axes.annotate(
            *("", told.place[::-1], (x, y)),
            arrowprops={"arrowstyle": "->", "color": palette.SAMPLE},
            gid="clamped",
        )
    axes.scatter([x], [y], s=60, color=palette.SAMPLE, zorder=4, gid="point")
    frame(axes, feature_map.shape, y, x)
    axes.set_xlabel(f"index x\n\n{as_sum(told, feature_map)}")
    return told


def draw_cell(
    axes: Axes, told: BilinearRead, cell: Cell, value: float, size: float
) -> None:
    """A cell, its centre and its value; where it is read, its weight too."""
    row, column = cell
    axes.add_patch(
        Rectangle(
            *((column - 0.5, row - 0.5), 1, 1),
            fill=False,
            edgecolor=palette.CELL,
            gid="cell",
        )
    )
    axes.scatter([column], [row], s=12, color=palette.CELL, zorder=3, gid="centre")
    text = f"{value:.3g}"
    if cell in told.weights:
        text += f"\n{TIMES} {told.weights[cell]:.4g}"
    below = row >= told.y  # away from the point
    axes.text(
        *(column, row + (0.08 if below else -0.08), text),
        ha="center",
        va="top" if below else "bottom",
        fontsize=size,
        bbox={"facecolor": (1, 1, 1, 0.7), "edgecolor": "none", "pad": 0.5},
        zorder=5,
        gid="value",
    )


def frame(axes: Axes, shape: tuple[int, ...], y: float, x: float) -> None:
    """The axes, with room for a point outside of the map."""
    height, width = shape
    axes.set_aspect("equal")
    axes.set_xlim(min(-0.5, x) - 0.2, max(width - 0.5, x) + 0.2)
    axes.set_ylim(max(height - 0.5, y) + 0.2, min(-0.5, y) - 0.2)
    axes.set(ylabel="index y", xticks=range(width), yticks=range(height))


def as_sum(told: BilinearRead, feature_map: Float[np.ndarray, "height width"]) -> str:
    """Weights times values, a line for each row of cells."""
    rows: dict[int, list[str]] = {}
    for (row, column), weight in told.weights.items():
        term = f"{weight:.4g} {TIMES} {feature_map[row, column]:.4g}"
        rows.setdefault(row, []).append(term)
    terms = "\n+ ".join(" + ".join(row) for row in rows.values())
    at = f"at y = {told.y:.4g}, x = {told.x:.4g}"
    if not terms:
        return f"{at}: outside, so {told.value:.4g}"
    return f"{at}:\n{terms} = {told.value:.4g}"


@dataclass(frozen=True)
class Profile:
    """Values along one line of a map: ``values[i]`` is read at ``(y, x[i])``.

    ``inside`` says where x is in [-1, width], outside of which a read gives 0.
    """

    y: float
    x: Float[np.ndarray, " points"]
    values: Float[np.ndarray, " points"]
    inside: Float[np.ndarray, " 2"]


def draw_profile(
    axes: Axes, feature_map: Float[np.ndarray, "height width"], y: float, x: float
) -> Profile:
    """The value along x at row coordinate ``y``, with ``x`` marked.

    From two cells before the first cell to two cells after the last.
    """
    width = feature_map.shape[1]
    steps = np.arange(-2 * STEPS, (width + 1) * STEPS + 1) / STEPS
    ends = np.array([-1.0, width])
    # The jumps: 0 right before -1 and right after the width.
    jumps = np.nextafter(ends, [-np.inf, np.inf])
    places = np.sort(np.concatenate([steps, jumps]))
    values = np.array([bilinear(feature_map, y, place) for place in places])
    inside = (places >= ends[0]) & (places <= ends[1])
    for number, part in enumerate((places < -1, inside, places > width)):
        label = "value read" if number == 1 else ""
        axes.plot(places[part], values[part], color=palette.SAMPLE, lw=2, label=label)
    for start, end in ((-1, 0), (width - 1, width)):
        label = "clamped to the border cell" if start < 0 else ""
        axes.axvspan(start, end, color=palette.PIXEL, alpha=0.5, lw=0, label=label)
    mark_ends(axes, feature_map, y, ends, jumps)
    cells = [bilinear(feature_map, y, column) for column in range(width)]
    axes.plot(cells, "o", color=palette.CELL, ms=6, label="cell centres", gid="cells")
    value = bilinear(feature_map, y, x)
    axes.plot([x], [value], "D", color="black", ms=7, label=f"x = {x:.4g}", gid="point")
    axes.set(xlabel="index x", ylabel=f"value at y = {y:.4g}")
    axes.set_xticks(range(-2, width + 2))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=8)
    return Profile(y, places, values, ends)


def mark_ends(
    axes: Axes,
    feature_map: Float[np.ndarray, "height width"],
    y: float,
    ends: Float[np.ndarray, " 2"],
    jumps: Float[np.ndarray, " 2"],
) -> None:
    """Full circles at the last points inside, empty ones at the first outside."""
    for places, fill in ((ends, palette.SAMPLE), (jumps, "white")):
        values = [bilinear(feature_map, y, place) for place in places]
        axes.plot(places, values, "o", mfc=fill, mec=palette.SAMPLE, ms=6, gid="end")
