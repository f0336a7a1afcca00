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
from maskrcnn_scratch.figures.boxes import Box, add_box, around, draw_pixels

PANEL = 4.1  # inches wide
COLUMNS = 2

Detected = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Boxes (n, 4), scores (n,) and labels (n,) of one image."""


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


def draw_detected(size: tuple[int, int], expected: Detected, got: Detected) -> Figure:
    """Two lists of detections side by side in an image of ``size`` (height, width).

    Those of one list that the other does not have are dashed.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    lists = ((expected, got), (got, expected))
    for axes, title, (own, other) in zip(
        figure.subplots(1, 2), ("expected", "got"), lists, strict=True
    ):
        frame = np.array([0.0, 0.0, size[1], size[0]])
        draw_pixels(axes, around(frame, *own[0], *other[0]))
        add_box(axes, frame, "image", fc=(palette.PIXEL, 0.4), ec="none", zorder=0.4)
        for box, score, label in zip(*own, strict=True):
            shared = has(other, box, score, label)
            color, line = (palette.ROI, "-") if shared else (palette.FAULT, "--")
            kind = "shared" if shared else "alone"
            add_box(axes, box, kind, fc="none", ec=color, ls=line, lw=2)
            text = f"{label:g}: {score:.2f}"
            paper = {"fc": "white", "ec": color, "pad": 1.0}
            axes.text(box[0], box[1], text, fontsize=8, va="top", bbox=paper, zorder=5)
        axes.set_title(f"{title}: {len(own[0])} (class: score)")
    return figure


def has(detected: Detected, box: Box, score: float, label: float) -> bool:
    """Whether the list holds this very detection."""
    boxes, scores, labels = detected
    same = np.isclose(boxes, box, atol=1e-4).all(axis=1)
    same &= np.isclose(scores, score, atol=1e-4) & (labels == label)
    return bool(same.any())
