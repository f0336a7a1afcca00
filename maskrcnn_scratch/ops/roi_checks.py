"""The arguments that all RoI layers share: what is accepted, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from maskrcnn_scratch.ops.checks import (
    require_boxes,
    require_floating,
    require_integers,
    require_length,
    require_shape,
)

Boxes = Tensor | Sequence[Tensor]
"""[K, 5] (image index, x1, y1, x2, y2), or a list of [k, 4], one an image."""
OutputSize = int | tuple[int, int]
"""Bins (height, width), or one number for both."""
Mode = Literal["mean", "max"]


def as_rois(boxes: Boxes, features: Tensor) -> Float[Tensor, "rois 5"]:
    """RoIs in one tensor, whichever way they came."""
    if isinstance(boxes, Tensor):
        require_shape("boxes", boxes, ("rois", 5))
        require_floating("boxes", boxes)
        rois = boxes
    else:
        if len(boxes) != len(features):
            raise ValueError(
                f"boxes must be a list of one tensor for each of the {len(features)} "
                f"images, not {len(boxes)}"
            )
        for image, box in enumerate(boxes):
            require_boxes(f"boxes[{image}]", box)
        rois = torch.cat(
            [
                torch.nn.functional.pad(box, (1, 0), value=image)
                for image, box in enumerate(boxes)
            ]
        )
    if rois.device != features.device:
        raise ValueError(
            f"boxes are on {rois.device}, features on {features.device}: "
            "both must be on one device"
        )
    return rois


def as_pair(output_size: OutputSize) -> tuple[int, int]:
    """(height, width) of the grid of bins."""
    pair = (output_size,) * 2 if isinstance(output_size, int) else tuple(output_size)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(
            "output_size must be one number or (height, width), at least 1, "
            f"not {output_size}"
        )
    return pair


def require_features(features: Tensor, like: Tensor) -> None:
    """Refuse features that are no maps, or not of the kind of the first level."""
    require_shape("features", features, ("images", "channels", "height", "width"))
    require_floating("features", features)
    if min(features.shape[2:]) < 1:
        raise ValueError(
            f"features must have at least one cell, not {list(features.shape)}"
        )
    if features.shape[:2] != like.shape[:2]:
        raise ValueError(
            "all levels must have the same images and channels, "
            f"not {list(like.shape[:2])} and {list(features.shape[:2])}"
        )
    if (features.dtype, features.device) != (like.dtype, like.device):
        raise TypeError(
            f"all levels must be {like.dtype} on {like.device}, "
            f"but one is {features.dtype} on {features.device}"
        )


def require_scale(spatial_scale: float) -> None:
    """Refuse a scale by which no map could have been made from an image."""
    if not spatial_scale > 0:
        raise ValueError(
            f"spatial_scale must be positive (1 / stride), not {spatial_scale}"
        )


def require_mode(mode: str) -> None:
    """Refuse any pooling but the mean and the maximum."""
    if mode not in ("mean", "max"):
        raise ValueError(f'mode must be "mean" or "max", not {mode!r}')


def require_levels(levels: Tensor, rois: int) -> None:
    """Refuse levels that are not one index a RoI."""
    require_shape("levels", levels, ("rois",))
    require_integers("levels", levels)
    require_length("levels", levels, "RoIs", rois)


def require_images(rois: Tensor, images: int) -> None:
    """Refuse RoIs that belong to no image of the batch, naming the first."""
    image = rois[:, 0]
    belongs = (image >= 0) & (image < images) & (image == image.floor())
    if not bool(belongs.all()):
        first = int(torch.nonzero(~belongs)[0])
        raise ValueError(
            f"boxes[{first}] = {rois[first].tolist()} belongs to image "
            f"{float(image[first]):g}, expected a whole number from 0 to {images - 1}"
        )
