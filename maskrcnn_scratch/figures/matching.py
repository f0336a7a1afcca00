"""Which anchors are positive, ignored or negative, over the objects of an image.

Boxes are (x1, y1, x2, y2) in image pixels.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import add_box
from maskrcnn_scratch.reference.boxes import box_iou
from maskrcnn_scratch.reference.matching import BACKGROUND, IGNORED, match

Boxes = Float[np.ndarray, "n 4"]
STYLES: dict[str, dict[str, Any]] = {
    "negative": {"ec": palette.CELL, "lw": 0.7, "ls": "-"},
    "ignored": {"ec": palette.BIN, "lw": 1.6, "ls": ":"},
    "positive": {"ec": palette.ANCHOR, "lw": 2.0, "ls": "-"},
}
"""The last is drawn over the others."""
BELOW: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}


@dataclass(frozen=True)
class Matching:
    """The IoU of every object with every anchor, and what becomes of the anchors.

    ``matched`` holds of each anchor its object's index, BACKGROUND or IGNORED.
    """

    iou: Float[np.ndarray, "objects anchors"]
    matched: Int[np.ndarray, " anchors"]

    def of_kind(self, kind: str) -> Int[np.ndarray, " n"]:
        """Indices of the anchors that are "positive", "ignored" or "negative"."""
        kinds = {"negative": BACKGROUND, "ignored": IGNORED}
        chosen = self.matched == kinds[kind] if kind in kinds else self.matched >= 0
        return np.flatnonzero(chosen)


def draw_matching(
    axes: Axes,
    image_size: tuple[int, int],
    objects: Boxes,
    anchors: Boxes,
    high: float = 0.7,
    low: float = 0.3,
    kinds: Collection[str] = tuple(STYLES),
) -> Matching:
    """The objects filled, and the anchors in three kinds of lines.

    ``image_size`` is (height, width). Anchors of other than the ``kinds`` are counted
    and not drawn. Low-quality matches are made.
    """
    iou = box_iou(objects, anchors)
    told = Matching(iou, match(iou, high, low, allow_low_quality=True))
    for box in objects:
        fill = {"fc": (palette.OBJECT, 0.35), "ec": palette.OBJECT, "lw": 2.5}
        add_box(axes, box, "object", **fill)
    lines = []
    for kind, style in STYLES.items():
        number = told.of_kind(kind)
        colour = {"color": style["ec"], "lw": style["lw"], "ls": style["ls"]}
        if kind in kinds:
            lines.append(Line2D([], [], label=f"{len(number)} {kind}", **colour))
            for index in number:
                add_box(axes, anchors[index], kind, fc="none", **style)
                axes.patches[-1].set_clip_on(True)  # they reach far beyond the image
    height, width = image_size
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axes.set(xlabel="x, pixels", ylabel="y, pixels")
    axes.legend(handles=lines, **BELOW, ncols=len(lines), frameon=False)
    return told
