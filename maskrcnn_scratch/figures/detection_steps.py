"""From RoIs to detections: the same image with what is left after each step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import add_box

PANEL = 4.1  # inches wide
COLUMNS = 2


def draw_detection_steps(
    image: UInt8[np.ndarray, "height width 3"],
    steps: Mapping[str, Float[np.ndarray, "_n 4"]],
    captions: Sequence[str],
) -> tuple[Figure, dict[str, int]]:
    """A panel for each step, its boxes (xyxy, pixels) as outlines.

    ``captions`` stand at the boxes of the last step. Returns how many boxes each step
    has. Raises ValueError where a step is missing, or a caption.
    """
    if not steps or len(captions) != len(list(steps.values())[-1]):
        raise ValueError(
            f"{len(steps)} steps and {len(captions)} captions; expected a step or more,"
            " and a caption for each box of the last one"
        )
    counts = {title: len(boxes) for title, boxes in steps.items()}
    columns = min(COLUMNS, len(steps))
    rows = math.ceil(len(steps) / columns)
    height, width = image.shape[:2]
    size = (PANEL * columns, (PANEL * height / width + 0.3) * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels[len(steps) :]:
        axes.remove()
    for axes, (title, boxes) in zip(panels, steps.items(), strict=False):
        axes.imshow(image, extent=(0, width, height, 0), alpha=0.6)
        for box in boxes:
            add_box(axes, box, "box", fc="none", ec=palette.ROI, lw=1.3)
        axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
        axes.set_title(f"{title}: {len(boxes)}", fontsize=10)
    text: dict[str, Any] = {"fontsize": 8, "va": "top", "ha": "left"}
    text["path_effects"] = [withStroke(linewidth=2.5, foreground="white")]
    axes = panels[len(steps) - 1]
    for box, caption in zip(boxes, captions, strict=True):
        x, y = float(box[0]), float(box[1])
        axes.text(x + width / 80, y + height / 80, caption, **text)
    return figure, counts
