"""One mask for each class: whether classes compete, and what each of them predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import Box, add_box
from maskrcnn_scratch.figures.masks import OF_BIN
from maskrcnn_scratch.reference.losses import mask_loss, softmax_mask_loss

PANEL = 1.75  # inches


@dataclass(frozen=True)
class Competition:
    """The loss of one pixel inside an object, over the logit of another class."""

    other: Float[np.ndarray, " logits"]
    sigmoid: Float[np.ndarray, " logits"]
    softmax: Float[np.ndarray, " logits"]


def draw_competition(axes: Axes, own: float, largest: float = 6.0) -> Competition:
    """Both losses while another class's logit goes from -largest to largest.

    Two classes; ``own`` is the logit of the true one, whose target is 1, and the
    softmax's background has the logit 0.
    """
    other = np.linspace(-largest, largest, 49)
    label, target = np.array([0]), np.ones((1, 1, 1))
    sigmoid, softmax = np.zeros(len(other)), np.zeros(len(other))
    for place, logit in enumerate(other):
        maps = np.array([0.0, own, logit]).reshape(1, 3, 1, 1)
        sigmoid[place] = mask_loss(maps[:, 1:], label, target)[0]
        softmax[place] = softmax_mask_loss(maps, label, target)[0]
    axes.plot(
        other, softmax, color=palette.QUANTISED, lw=2, label="softmax over the classes"
    )
    axes.plot(
        other, sigmoid, color=palette.SAMPLE, lw=2, ls="--",
        label="a sigmoid for each class",
    )  # fmt: skip
    axes.set(xlabel="logit of another class", ylabel="loss of the pixel")
    axes.set_title(f"the true class's logit stays at {own:g}", fontsize=10)
    axes.grid(color=palette.PIXEL, lw=0.5)
    axes.legend()
    return Competition(other, sigmoid, softmax)


@dataclass(frozen=True)
class ClassMaps:
    """For each object what share of each class's map is 0.5 or more."""

    shares: Float[np.ndarray, "objects classes"]


def draw_class_maps(
    image: UInt8[np.ndarray, "height width 3"],
    boxes: Float[np.ndarray, "objects 4"],
    maps: Float[np.ndarray, "objects classes m m"],
    labels: Sequence[int],
    names: Sequence[str],
) -> tuple[Figure, ClassMaps]:
    """A row for each object: its box in the image, then the maps of all classes.

    ``maps`` are probabilities; ``labels`` the predicted classes, 1..K, whose maps are
    framed. Raises ValueError where there are no objects.
    """
    if not len(boxes):
        raise ValueError("there are no objects whose masks could be drawn")
    rows, columns = len(boxes), 1 + len(names)
    size = (PANEL * columns, PANEL * rows + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for row, box, own, label in zip(panels, boxes, maps, labels, strict=True):
        draw_crop(row[0], image, box)
        for number, (axes, values) in enumerate(zip(row[1:], own, strict=True), 1):
            draw_probabilities(axes, values, chosen=number == label)
    for axes, title in zip(panels[0], ("the RoI", *names), strict=True):
        axes.set_title(title, fontsize=10)
    return figure, ClassMaps((maps >= 0.5).mean(axis=(2, 3)))


def draw_crop(axes: Axes, image: UInt8[np.ndarray, "height width 3"], box: Box) -> None:
    """The image around a box, with a quarter of the box's sides as margin."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(edge) for edge in box)
    margin = max(x2 - x1, y2 - y1) / 4
    axes.imshow(image, extent=(0, width, height, 0))
    halo = [withStroke(linewidth=5, foreground="white")]  # seen on any colour
    add_box(axes, box, "roi", fc="none", ec=palette.ROI, lw=2.5, path_effects=halo)
    axes.set(xlim=(x1 - margin, x2 + margin), ylim=(y2 + margin, y1 - margin))
    axes.set(xticks=[], yticks=[], facecolor=palette.PIXEL)


def draw_probabilities(
    axes: Axes, values: Float[np.ndarray, "m m"], chosen: bool
) -> None:
    """One map, white to the bins' colour, framed where its class was predicted."""
    axes.imshow(values, cmap=OF_BIN, vmin=0, vmax=1)
    frame: dict[str, Any] = {"color": palette.CELL, "lw": 0.8}
    if chosen:
        frame = {"color": palette.ROI, "lw": 3.5}
    for spine in axes.spines.values():
        spine.set(**frame)
    axes.set(xticks=[], yticks=[], gid="chosen" if chosen else "other")
