"""The small records that carry data from floor to floor.

Boxes are float ``(x1, y1, x2, y2)`` in image pixels; the pixel in row i, column j
covers ``[j, j + 1) x [i, i + 1)``. Labels are contiguous, 1..K; 0 is the background.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor

Record = TypeVar("Record", bound="_Record")


@dataclass(frozen=True)
class _Record:
    """Tensors that move between devices together."""

    def to(self: Record, device: torch.device | str) -> Record:
        """The same record on another device."""
        moved = {
            field.name: value.to(device, non_blocking=True)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class Target(_Record):
    """The ground truth of one image, in the frame of the image the model sees.

    ``masks`` are 0 or 1. ``crowd`` marks regions that hold many objects: training
    leaves them out, evaluation lets detections fall into them. ``keypoints`` are
    ``(x, y, v)`` with COCO's visibility v: 0 not labelled, 1 hidden, 2 visible.
    ``proposals`` are boxes that another model found before, best first. Masks,
    keypoints and proposals are None where a model needs none.
    """

    image_id: int
    boxes: Float32[Tensor, "objects 4"]
    labels: Int64[Tensor, " objects"]
    masks: UInt8[Tensor, "objects height width"] | None
    crowd: Bool[Tensor, " objects"]
    keypoints: Float32[Tensor, "objects points 3"] | None = None
    proposals: Float32[Tensor, "proposals 4"] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, index: Tensor) -> Target:
        """The objects that ``index`` (integers or a boolean mask) names."""
        return replace(
            self,
            boxes=self.boxes[index],
            labels=self.labels[index],
            masks=None if self.masks is None else self.masks[index],
            crowd=self.crowd[index],
            keypoints=None if self.keypoints is None else self.keypoints[index],
        )


@dataclass(frozen=True)
class Detections(_Record):
    """What the model found in one image, best score first.

    ``mask_probabilities`` are the m x m maps of the predicted class, each stretched
    over its box; ``masks`` are the same pasted into the image and thresholded;
    ``keypoints`` are (x, y, score). Each is None where it has not been computed.
    """

    boxes: Float[Tensor, "detections 4"]
    scores: Float[Tensor, " detections"]
    labels: Int64[Tensor, " detections"]
    mask_probabilities: Float[Tensor, "detections m m"] | None = None
    masks: Bool[Tensor, "detections height width"] | None = None
    keypoints: Float[Tensor, "detections points 3"] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, index: Tensor) -> Detections:
        """The detections that ``index`` (integers or a boolean mask) names."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        return Detections(**{name: value[index] for name, value in known.items()})

    def rows_yx(self) -> Float[Tensor, "detections 6"]:
        """A table of [y1, x1, y2, x2, class, score], as matterport's system has it.

        Its classes are numbered as ours, 1..K. Its boxes are in pixels, y first.
        """
        x1, y1, x2, y2 = self.boxes.unbind(1)
        columns = [y1, x1, y2, x2, self.labels.to(self.boxes.dtype), self.scores]
        return torch.stack(columns, dim=1)
