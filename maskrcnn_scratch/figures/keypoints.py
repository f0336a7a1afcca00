"""Keypoints as places on a grid: the bin that is the target, and what a head predicts.

Mask R-CNN, section 5. Boxes are (x1, y1, x2, y2) and keypoints (x, y, v) in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import Box, add_box, around, draw_pixels
from maskrcnn_scratch.figures.masks import draw_bins
from maskrcnn_scratch.reference.keypoints import keypoint_readout, keypoint_targets

HEAT = LinearSegmentedColormap.from_list("heat", ["white", palette.QUANTISED])
HIDDEN = 1  # COCO's v of a labelled keypoint that something hides
FAINT = 0.3  # the power of a probability, as a part of the greatest, that is shown
PALE = 0.55  # of the picture's colours, under a heatmap


@dataclass(frozen=True)
class TargetBins:
    """(row, column) of each keypoint's bin; None where there is no loss."""

    bins: tuple[tuple[int, int] | None, ...]


def draw_target_bins(
    axes: Axes, keypoints: Float[np.ndarray, "points 3"], roi: Box, size: int
) -> TargetBins:
    """A RoI with its size x size bins; those that hold a keypoint are filled.

    Keypoints are dots, hidden ones rings, and crosses where they have no bin; those
    that are not labelled (v = 0) are left out.
    """
    index, valid = keypoint_targets(keypoints[None], roi[None], size)
    bins: list[tuple[int, int] | None] = []
    for flat, is_valid in zip(index[0].tolist(), valid[0], strict=True):
        bins.append(divmod(flat, size) if is_valid else None)
    points = [np.array([x, y, x, y]) for x, y, v in keypoints if v > 0]
    draw_pixels(axes, around(around(roi, *points)))
    fill_bins(axes, roi, size, [place for place in bins if place], palette.BIN)
    draw_bins(axes, roi, size)
    add_box(axes, roi, "roi", fc="none", ec=palette.ROI, lw=2.5)
    for number, (place, (x, y, v)) in enumerate(zip(bins, keypoints, strict=True)):
        if v > 0:
            full = palette.SAMPLE if v != HIDDEN else "none"
            style: dict[str, Any] = {"marker": "o", "mfc": full, "mec": palette.SAMPLE}
            if place is None:
                style = {"marker": "x", "mec": palette.FAULT}
            axes.plot(x, y, ls="", ms=8, mew=2, gid="keypoint", zorder=4, **style)
            away: dict[str, Any] = {"xytext": (6, 5), "textcoords": "offset points"}
            axes.annotate(str(number), (x, y), gid="number", zorder=5, **away)
    return TargetBins(tuple(bins))


def fill_bins(
    axes: Axes, roi: Box, size: int, places: Sequence[tuple[int, int]], color: str
) -> None:
    """Bins (row, column) of a RoI in a colour."""
    x1, y1, x2, y2 = roi
    wide, high = (x2 - x1) / size, (y2 - y1) / size
    for row, column in places:
        corner = (float(x1 + column * wide), float(y1 + row * high))
        axes.add_patch(
            Rectangle(corner, wide, high, fc=(color, 0.5), ec="none", gid="bin")
        )


@dataclass(frozen=True)
class ShownMaps:
    """Each map's probabilities, (points, m, m), and what is read from it.

    ``places`` holds (x, y, probability), the best bin's centre in image pixels.
    """

    probabilities: Float[np.ndarray, "points m m"]
    places: Float[np.ndarray, "points 3"]


def draw_keypoint_maps(
    image: UInt8[np.ndarray, "height width 3"],
    logits: Float[np.ndarray, "points m m"],
    box: Box,
    names: Sequence[str],
    columns: int = 4,
) -> tuple[Figure, ShownMaps]:
    """Every point's map over its box, and a ring around the best bin's centre.

    The stronger the colour, the greater the probability, as a part of the map's own
    greatest to the power 0.3: so that what is far less likely is seen as well.
    ``logits`` are those of one object, before the softmax.
    """
    shifted = np.exp(logits - logits.max(axis=(1, 2), keepdims=True))
    probabilities = shifted / shifted.sum(axis=(1, 2), keepdims=True)
    told = ShownMaps(probabilities, keypoint_readout(logits[None], box[None])[0])
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(1.9 * columns, 2.2 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flatten())
    height, width = image.shape[:2]
    pale = (255 - (255 - image.astype(np.float64)) * PALE).astype(np.uint8)
    x1, y1, x2, y2 = (float(edge) for edge in box)
    for axes, heat, name, (x, y, score) in zip(
        panels, probabilities, names, told.places, strict=False
    ):
        axes.imshow(pale, extent=(0, width, height, 0))
        extent = (x1, x2, y2, y1)
        strength = (heat / heat.max()) ** FAINT
        style: dict[str, Any] = {"alpha": strength, "interpolation": "none"}
        axes.imshow(strength, cmap=HEAT, vmin=0, vmax=1, extent=extent, **style)
        add_box(axes, box, "box", fc="none", ec=palette.ROI, lw=1.5)
        axes.plot(x, y, "o", mfc="none", mec="black", ms=13, mew=1.4, gid="place")
        left, top, right, bottom = around(box)
        axes.set(xlim=(left - 3, right + 3), ylim=(bottom + 3, top - 3))
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{name} {score:.2f}", fontsize=9)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    return figure, told
