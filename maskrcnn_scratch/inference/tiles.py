"""Prediction on an image that is too large for the model, tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maskrcnn_scratch.data.tiles import Corner, tile_corners
from maskrcnn_scratch.inference.predict import Predictor
from maskrcnn_scratch.ops import batched_nms
from maskrcnn_scratch.structures import Detections

BORDER = 2.0
"""A box that ends within so many pixels of a tile's inner border is cut by it."""


@dataclass(frozen=True)
class InTiles:
    """A predictor that is shown overlapping tiles of ``tile`` x ``tile`` pixels.

    1. Each tile's boxes, masks and keypoints are moved to where the tile lies.
    2. Boxes that end at a tile's inner border are left out: what they hold is cut, and
       whole in a neighbour if ``overlap`` is wider than it by 2 ``BORDER``. Of objects
       wider than that nothing may be left.
    3. NMS over all tiles, class by class, at the model's own IoU: in the overlap
       objects are found twice.

    An image of one tile is predicted as it is without tiles.
    """

    predictor: Predictor
    tile: int
    overlap: int

    @property
    def class_names(self) -> list[str]:
        """The predictor's."""
        return self.predictor.class_names

    def __call__(
        self, image: Float[Tensor, "3 height width"], score_threshold: float = 0.0
    ) -> Detections:
        """What is in the image, as ``Predictor`` says it, best score first."""
        size = (image.shape[1], image.shape[2])
        corners = tile_corners(size, self.tile, self.overlap)
        if len(corners) == 1:
            return self.predictor(image, score_threshold)
        parts = []
        for top, left in corners:
            seen = image[:, top : top + self.tile, left : left + self.tile]
            found = self.predictor(seen, score_threshold)
            extent = (seen.shape[1], seen.shape[2])
            whole = ~cut_by_border(found.boxes, (top, left), extent, size)
            # Masks of the whole image are large: those that stay are pasted below.
            parts.append(moved(replace(found.select(whole), masks=None), (top, left)))
        found = joined(parts)
        nms_iou = self.predictor.model.config.nms_iou
        found = found.select(
            batched_nms(found.boxes, found.scores, found.labels, nms_iou)
        )
        return replace(found, masks=self.predictor.paste(found, size))


def cut_by_border(
    boxes: Float[Tensor, "n 4"],
    corner: Corner,
    extent: tuple[int, int],
    size: tuple[int, int],
) -> Bool[Tensor, " n"]:
    """Whether a box ends where its tile does and the image does not.

    Boxes are in the frame of the tile at ``corner``, which covers ``extent``
    (height, width) of the image of ``size``.
    """
    (top, left), (height, width) = corner, extent
    near = torch.cat(
        [boxes[:, :2] < BORDER, boxes[:, 2:] > boxes.new_tensor(extent[::-1]) - BORDER],
        dim=1,
    )
    inner = [left > 0, top > 0, left + width < size[1], top + height < size[0]]
    return (near & torch.tensor(inner)).any(dim=1)


def moved(found: Detections, corner: Corner) -> Detections:
    """From the frame of a tile to that of its image."""
    top, left = corner
    points = found.keypoints
    if points is not None:
        points = points + points.new_tensor([left, top, 0])
    boxes = found.boxes + found.boxes.new_tensor([left, top, left, top])
    return replace(found, boxes=boxes, keypoints=points)


def joined(parts: Sequence[Detections]) -> Detections:
    """All in one list."""
    columns = {
        field.name: [getattr(part, field.name) for part in parts]
        for field in fields(Detections)
    }
    return Detections(
        **{
            name: torch.cat(rows)
            for name, rows in columns.items()
            if rows[0] is not None
        }
    )
