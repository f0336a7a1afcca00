"""From an object's mask to the target of the mask head, and from its map back.

Mask R-CNN, section 3: the target is "the intersection between an RoI and its associated
ground-truth mask"; section 3.1: the predicted map "is then resized to the RoI size, and
binarized at a threshold of 0.5". Boxes are xyxy in image pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import Box, add_box, around, draw_pixels
from maskrcnn_scratch.reference.masks import mask_targets, paste_mask, paste_probability

MOST_NUMBERED = 8  # cells a side whose numbers can be read
SIZE = (9.6, 3.8)  # inches
OF_OBJECT = LinearSegmentedColormap.from_list("object", ["white", palette.OBJECT])
OF_BIN = LinearSegmentedColormap.from_list("bin", ["white", palette.BIN])


@dataclass(frozen=True)
class MaskTarget:
    """The m x m target of a RoI: shares of covered bins, and these cut at one half."""

    mask: Shaped[np.ndarray, "height width"]
    roi: Box
    soft: Float[np.ndarray, "m m"]
    threshold: Float[np.ndarray, "m m"]


def draw_mask_target(
    mask: Shaped[np.ndarray, "height width"], roi: Box, m: int
) -> tuple[Figure, MaskTarget]:
    """The mask on its pixels with the RoI's bins, then its two targets."""
    first = np.zeros(1, np.int64)
    both = {
        rule: mask_targets(mask[None], roi[None], first, m, rule)[0]
        for rule in ("soft", "threshold")
    }
    told = MaskTarget(mask, roi, **both)
    figure = Figure(figsize=SIZE, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_image(left, mask.astype(np.float64), roi)
    draw_bins(left, roi, m)
    left.set_title(f"the object, the RoI and its {m} x {m} bins", fontsize=10)
    draw_map(middle, told.soft, ".2f")
    middle.set_title('rule "soft": covered share', fontsize=10)
    draw_map(right, told.threshold, ".0f")
    right.set_title('rule "threshold": 1 from 0.5 on', fontsize=10)
    return figure, told


@dataclass(frozen=True)
class PastedMask:
    """A map of probabilities, the same read at every pixel, and the mask it becomes."""

    probability: Float[np.ndarray, "m m"]
    box: Box
    values: Float[np.ndarray, "height width"]
    mask: Bool[np.ndarray, "height width"]


def draw_pasted_mask(
    probability: Float[np.ndarray, "m m"], box: Box, size: tuple[int, int]
) -> tuple[Figure, PastedMask]:
    """An m x m map stretched over its box in an image of ``size`` (height, width)."""
    told = PastedMask(
        *(probability, box, paste_probability(probability, box, size)),
        mask=paste_mask(probability, box, size),
    )
    figure = Figure(figsize=SIZE, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_map(left, probability, ".2f")
    left.set_title(f"the predicted map, {len(probability)} x {len(probability)}")
    draw_image(middle, told.values, box)
    draw_bins(middle, box, len(probability))
    middle.set_title("read at every pixel's centre")
    draw_image(right, told.mask.astype(np.float64), box)
    right.set_title(f"0.5 or more: {np.count_nonzero(told.mask)} pixels")
    for axes in (left, middle, right):
        axes.title.set_fontsize(10)
    return figure, told


def draw_image(axes: Axes, values: Float[np.ndarray, "height width"], box: Box) -> None:
    """Values in 0..1 of every pixel, white to the object's colour, and a box."""
    height, width = values.shape
    whole = np.array([0.0, 0.0, width, height])
    axes.imshow(values, cmap=OF_OBJECT, vmin=0, vmax=1, extent=(0, width, height, 0))
    draw_pixels(axes, whole)
    add_box(axes, box, "roi", fc="none", ec=palette.ROI, lw=2.5, zorder=3)
    x1, y1, x2, y2 = around(whole, box)
    axes.set(xlim=(x1 + 1, x2 - 1), ylim=(y2 - 1, y1 + 1))


def draw_bins(axes: Axes, roi: Box, m: int) -> None:
    """The borders between the m x m bins of a RoI."""
    x1, y1, x2, y2 = roi
    xs, ys = np.linspace(x1, x2, m + 1)[1:-1], np.linspace(y1, y2, m + 1)[1:-1]
    lines = [[(x, y1), (x, y2)] for x in xs] + [[(x1, y), (x2, y)] for y in ys]
    bins = LineCollection(lines, colors=palette.BIN, lw=1.4, zorder=2.5, gid="bins")
    axes.add_collection(bins)


def draw_map(axes: Axes, values: Float[np.ndarray, "m m"], digits: str) -> None:
    """Values in 0..1 of the cells of a map, white to the bins' colour, and as numbers.

    Numbers are left out where the map has too many cells for them to be read.
    """
    m = len(values)
    axes.imshow(values, cmap=OF_BIN, vmin=0, vmax=1, extent=(0, m, m, 0))
    axes.set(xlabel="column of the map", ylabel="row of the map")
    told = range(0, m, -(-m // MOST_NUMBERED))
    axes.set_xticks([j + 0.5 for j in told], [str(j) for j in told])
    axes.set_yticks([i + 0.5 for i in told], [str(i) for i in told])
    text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8.5}
    if m <= MOST_NUMBERED:
        for (i, j), value in np.ndenumerate(values):
            axes.text(j + 0.5, i + 0.5, format(value, digits), **text)
