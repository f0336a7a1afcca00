"""The boxes that an RPN proposes, over the image and its objects.

Boxes are (x1, y1, x2, y2) in image pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import add_box, around
from maskrcnn_scratch.reference.boxes import box_iou

Boxes = Float[np.ndarray, "n 4"]
SHADED = 0.5  # of the picture's colours, so that boxes stand out


@dataclass(frozen=True)
class ShownProposals:
    """How well proposals hold the objects of an image.

    ``iou`` is the greatest that each object has with any of them, 0 where there are
    none; ``found`` are those objects for which it is at least the threshold.
    """

    iou: Float[np.ndarray, " objects"]
    found: tuple[int, ...]


def tell_proposals(objects: Boxes, proposals: Boxes, enough: float) -> ShownProposals:
    """The numbers of the figure; see ``draw_proposals``."""
    iou = box_iou(objects, proposals).max(axis=1, initial=0.0)
    return ShownProposals(iou, tuple(map(int, np.flatnonzero(iou >= enough))))


def draw_proposals(
    axes: Axes,
    image: UInt8[np.ndarray, "height width 3"],
    objects: Boxes,
    proposals: Boxes,
    enough: float = 0.5,
) -> ShownProposals:
    """Proposals in blue; objects bright, dashed where no proposal holds them.

    A proposal holds an object when their IoU is at least ``enough``.
    """
    told = tell_proposals(objects, proposals, enough)
    height, width = image.shape[:2]
    pale = 255 - (255 - image.astype(np.float64)) * SHADED
    axes.imshow(pale.astype(np.uint8), extent=(0, width, height, 0))
    for box in proposals:
        add_box(axes, box, "proposal", fc="none", ec=palette.ROI, lw=0.9)
    for number, box in enumerate(objects):
        line = "-" if number in told.found else "--"
        add_box(axes, box, "object", fc="none", ec=palette.QUANTISED, lw=2.2, ls=line)
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.set_title(
        f"{len(proposals)} proposals hold {len(told.found)} of {len(objects)} objects",
        fontsize=10,
    )
    return told


def draw_two_lists(image_size: tuple[int, int], expected: Boxes, got: Boxes) -> Figure:
    """Boxes that are expected beside those that came, numbered, over the image's area.

    ``image_size`` is (height, width) in pixels.
    """
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    height, width = image_size
    whole = np.array([0.0, 0.0, width, height])
    finite = np.isfinite(got).all(axis=1)
    x1, y1, x2, y2 = around(whole, *expected, *got[finite])
    both = (("expected", expected, "-"), ("got", got, "--"))
    for axes, (title, boxes, line) in zip(figure.subplots(1, 2), both, strict=True):
        add_box(axes, whole, "image", fc=(palette.PIXEL, 0.5), ec=palette.CELL)
        for number, box in enumerate(boxes):
            add_box(axes, box, "box", fc="none", ec=palette.ROI, lw=2, ls=line)
            axes.text(float(box[0]) + 0.3, float(box[1]) + 0.3, str(number), va="top")
        axes.set(xlim=(x1, x2), ylim=(y2, y1), aspect="equal", title=title)
        axes.set(xlabel="x, pixels", ylabel="y, pixels")
    return figure
