"""Two boxes: how much they overlap, and the deltas from one to the other.

Boxes are (x1, y1, x2, y2) in image pixels; the pixel in row i, column j covers
[j, j + 1) x [i, i + 1), so the grid lines of the pictures are the pixels' borders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.reference.boxes import (
    box_area,
    box_iou,
    decode_boxes,
    encode_boxes,
    intersection_area,
)

Box = Float[np.ndarray, " 4"]
Arrow = tuple[float, float, float, float]

MOST_LINES = 60  # on an axis: beyond, the pixels' borders would be one grey area


@dataclass(frozen=True)
class Overlap:
    """Two boxes, what they share (None where nothing), and areas in square pixels."""

    a: Box
    b: Box
    shared: Box | None
    area_a: float
    area_b: float
    intersection: float
    union: float
    iou: float


def draw_overlap(axes: Axes, a: Box, b: Box) -> Overlap:
    """Intersection and union shaded, their areas and the IoU written."""
    area_a, area_b = (float(area) for area in box_area(np.stack([a, b])))
    intersection = intersection_area(a, b)
    corners = np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])])
    told = Overlap(
        *(a, b, corners if intersection > 0 else None, area_a, area_b, intersection),
        union=area_a + area_b - intersection,
        iou=float(box_iou(a[None], b[None])[0, 0]),
    )
    draw_pixels(axes, around(a, b))
    for name, box, area, color in (
        ("a", a, area_a, palette.ROI),
        ("b", b, area_b, palette.OBJECT),
    ):
        label = f"{name.upper()}: {size_of(box)} = {area:.4g}"
        fill = {"fc": (color, 0.25), "ec": color, "lw": 2.5}
        add_box(axes, box, name, label=label, ls="-" if name == "a" else "--", **fill)
    if told.shared is not None:
        label = f"intersection: {size_of(corners)} = {intersection:.4g}"
        hatched = {"hatch": "///", "ec": "black", "lw": 0, "label": label}
        add_box(axes, corners, "intersection", fc="none", **hatched)
    axes.set_title(
        f"IoU = {intersection:.4g} / ({area_a:.4g} + {area_b:.4g} - {intersection:.4g})"
        f" = {intersection:.4g} / {told.union:.4g} = {told.iou:.4g}"
    )
    legend_below(axes)
    return told


@dataclass(frozen=True)
class Coding:
    """Deltas (dx, dy, dw, dh) without weights, and the two steps of decoding.

    ``moved`` is the reference box after dx and dy alone, ``decoded`` after all four.
    ``arrows`` holds (x, y, right, down) in pixels: dx, dy, then what dw adds at the
    right and left edge, and dh at the lower and upper one.
    """

    reference_box: Box
    box: Box
    deltas: Float[np.ndarray, " 4"]
    moved: Box
    decoded: Box
    arrows: list[Arrow]


def draw_coding(axes: Axes, reference_box: Box, box: Box) -> Coding:
    """The deltas as arrows: centre to centre, then edge to edge.

    Raises ValueError for an empty box.
    """
    deltas = encode_boxes(reference_box[None], box[None])
    moved = decode_boxes(reference_box[None], deltas * (1, 1, 0, 0))[0]
    decoded = decode_boxes(reference_box[None], deltas)[0]
    arrows = coding_arrows(reference_box, moved, decoded)
    draw_pixels(axes, around(reference_box, moved, decoded))
    style: dict[str, Any] = {"fc": "none", "ec": palette.ANCHOR}
    add_box(axes, reference_box, "reference", label="reference box", lw=2, **style)
    add_box(axes, moved, "moved", label="moved by dx, dy", lw=1.2, ls=":", **style)
    label = "and stretched by dw, dh: the box"
    fill = {"fc": (palette.OBJECT, 0.25), "ec": palette.OBJECT, "lw": 3, "zorder": 0.9}
    add_box(axes, decoded, "decoded", label=label, **fill)
    draw_arrows(axes, arrows)
    axes.set_title(coding_formulas(reference_box, box, deltas[0]), fontsize=11)
    legend_below(axes)
    return Coding(reference_box, box, deltas[0], moved, decoded, arrows)


def coding_arrows(reference_box: Box, moved: Box, decoded: Box) -> list[Arrow]:
    """(x, y, right, down) of the six arrows, in the order of ``Coding.arrows``."""
    (xa, ya), (x, y) = centre(reference_box), centre(moved)
    left, up, right, down = (float(change) for change in decoded - moved)
    x1, y1, x2, y2 = (float(edge) for edge in moved)
    return [
        *[(xa, ya, x - xa, 0.0), (x, ya, 0.0, y - ya)],
        *[(x2, y, right, 0.0), (x1, y, left, 0.0)],
        *[(x, y2, 0.0, down), (x, y1, 0.0, up)],
    ]


def draw_arrows(axes: Axes, arrows: list[Arrow]) -> None:
    """Arrows in pixels, each with the name of its delta."""
    x, y, right, down = np.array(arrows).T
    scale: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1}
    axes.quiver(x, y, right, down, width=0.006, zorder=4, gid="arrows", **scale)
    (_, _, dx, _), (_, _, _, dy), dw, _, dh, _ = arrows
    # The names of dx and dy stand outside the corner that the two arrows make.
    away = (-6 if dx < 0 else 6, -6 if dy < 0 else 6)
    draw_name(axes, "dx", arrows[0], (0, away[1]))
    draw_name(axes, "dy", arrows[1], (away[0], 0))
    draw_name(axes, "dw", dw, (0, 6))
    draw_name(axes, "dh", dh, (6, 0))


def draw_name(axes: Axes, name: str, arrow: Arrow, away: tuple[int, int]) -> None:
    """A name beside an arrow, ``away`` points to the right and up; none if it is 0."""
    x, y, right, down = arrow
    if not (right or down):
        return
    axes.annotate(
        *(name, (x + right / 2, y + down / 2), away),
        textcoords="offset points",
        ha={0: "center", 6: "left", -6: "right"}[away[0]],
        va={0: "center", 6: "bottom", -6: "top"}[away[1]],
        fontsize=12,
    )


def coding_formulas(reference_box: Box, box: Box, deltas: Box) -> str:
    """The four deltas with the numbers that they come from, on two lines."""
    sides = zip(centre(reference_box), centre(box), strict=True)
    names = ("dx", "dy", "dw", "dh")
    parts = []
    for axis, (from_, to) in enumerate(sides):
        size = reference_box[axis + 2] - reference_box[axis]
        parts.append(f"({to:.4g} - {from_:.4g}) / {size:.4g}")
    for axis in (0, 1):
        size = reference_box[axis + 2] - reference_box[axis]
        parts.append(f"log({box[axis + 2] - box[axis]:.4g} / {size:.4g})")
    texts = [
        f"{name} = {part} = {delta:.4g}"
        for name, part, delta in zip(names, parts, deltas, strict=True)
    ]
    return "      ".join(texts[:2]) + "\n" + "      ".join(texts[2:])


def draw_pixels(axes: Axes, region: Box) -> None:
    """The borders of the pixels in a region; y grows downwards, as in images."""
    x1, y1, x2, y2 = region
    for low, high, lines in (
        (x1, x2, [[(x, y1), (x, y2)] for x in np.arange(np.ceil(x1), x2 + 1)]),
        (y1, y2, [[(x1, y), (x2, y)] for y in np.arange(np.ceil(y1), y2 + 1)]),
    ):
        if high - low <= MOST_LINES:
            grid = LineCollection(lines, colors=palette.PIXEL, lw=0.8, zorder=0.5)
            axes.add_collection(grid)
    axes.set(xlim=(x1, x2), ylim=(y2, y1), aspect="equal")
    axes.set(xlabel="x, pixels", ylabel="y, pixels")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(9, integer=True))


def add_box(axes: Axes, box: Box, gid: str, **style: Any) -> None:
    """A box as a rectangle that is not cut where it touches the region's border."""
    x1, y1, x2, y2 = (float(edge) for edge in box)
    corner = (x1, y1)
    axes.add_patch(Rectangle(corner, x2 - x1, y2 - y1, gid=gid, clip_on=False, **style))


def legend_below(axes: Axes, ncols: int = 3) -> None:
    """Outside of the picture: within it there is no corner that is always free."""
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=ncols, frameon=False
    )


def around(*boxes: Box) -> Box:
    """The whole pixels that hold all boxes, and one more on each side."""
    all_boxes = np.stack(boxes)
    low = np.floor(all_boxes[:, :2].min(axis=0)) - 1
    return np.concatenate([low, np.ceil(all_boxes[:, 2:].max(axis=0)) + 1])


def centre(box: Box) -> tuple[float, float]:
    """(x, y)."""
    x1, y1, x2, y2 = box
    return float(x1 + x2) / 2, float(y1 + y2) / 2


def size_of(box: Box) -> str:
    """Width x height, as it is written in pictures."""
    x1, y1, x2, y2 = box
    return f"{x2 - x1:.4g} x {y2 - y1:.4g}"
