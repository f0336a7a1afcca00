"""Masks between their two frames as operators: the image's and a box's m x m grid.

Boxes are (x1, y1, x2, y2) in pixels of the image; the pixel in row i, column j has its
centre at (j + 0.5, i + 0.5). Neither operator is differentiable: targets are data, and
pasted masks booleans.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from maskrcnn_scratch.cpu import masks as cpu
from maskrcnn_scratch.ops.arrays import real, real_array, to_array, workers
from maskrcnn_scratch.ops.checks import (
    require_boxes,
    require_floating,
    require_integers,
    require_length,
    require_range,
    require_shape,
)

Rule = Literal["soft", "threshold"]
PasteRule = Literal["centres", "integer"]


def mask_targets(
    masks: UInt8[Tensor, "objects height width"],
    boxes: Float[Tensor, "n 4"],
    index: Int64[Tensor, " n"],
    size: int,
    rule: Rule = "soft",
) -> Float[Tensor, "n size size"]:
    """What the mask head has to learn: each box's part of its object's mask.

    The mask ``masks[index[n]]`` (0 or 1) is read over ``boxes[n]`` by RoIAlign, aligned
    and adaptive, as size x size cells. ``"soft"`` returns the fractions;
    ``"threshold"`` cuts them at one half. In the boxes' dtype.
    """
    require_shape("masks", masks, ("objects", "height", "width"))
    if masks.dtype != torch.uint8:
        raise TypeError(f"masks must be uint8, not {masks.dtype}")
    require_boxes("boxes", boxes)
    require_shape("index", index, ("n",))
    require_integers("index", index)
    require_length("index", index, "boxes", len(boxes))
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    if rule not in ("soft", "threshold"):
        raise ValueError(f"rule must be 'soft' or 'threshold', not {rule!r}")
    fractions: Tensor = _mask_fractions(masks, boxes, index, size)
    if rule == "threshold":
        fractions = (fractions >= 0.5).to(fractions.dtype)
    return fractions.to(boxes.dtype)


def paste_masks(
    probabilities: Float[Tensor, "n m m"],
    boxes: Float[Tensor, "n 4"],
    image_size: tuple[int, int],
    threshold: float = 0.5,
    rule: PasteRule = "centres",
) -> Bool[Tensor, "n height width"]:
    """Each m x m map stretched over its box, read at pixel centres, and thresholded.

    Beyond the centres of its outer cells a map fades to 0 within one cell. By the rule
    ``"centres"``, detectron2's, the box stays where it is; so at threshold 0.5 no pixel
    outside it is set. ``"integer"`` first moves its edges to whole pixels, as
    torchvision does (``reference.masks.in_whole_pixels``).
    """
    require_shape("probabilities", probabilities, ("n", "m", "m"))
    require_floating("probabilities", probabilities)
    if probabilities.shape[1] != probabilities.shape[2]:
        raise ValueError(
            f"probabilities must be [n, m, m], not {list(probabilities.shape)}"
        )
    require_boxes("boxes", boxes)
    require_length("boxes", boxes, "maps", len(probabilities))
    height, width = image_size
    if min(height, width) < 0 or not threshold > 0:
        raise ValueError(
            "image_size must not be negative and threshold positive, "
            f"not {image_size} and {threshold}"
        )
    if rule not in ("centres", "integer"):
        raise ValueError(f"rule must be 'centres' or 'integer', not {rule!r}")
    if rule == "integer":
        boxes = _in_whole_pixels(real(boxes), probabilities.shape[1])
    pasted: Tensor = _paste_masks(probabilities, boxes, height, width, threshold)
    return pasted


def _in_whole_pixels(boxes: Tensor, m: int) -> Tensor:
    """Where torchvision puts maps of m x m cells, in float64.

    Corners are computed in the boxes' own type and in torchvision's order of steps: on
    the other side of a whole pixel, a mask would move by one.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    middle, half = (low + high) * 0.5, (high - low) * 0.5 * ((m + 2) / m)
    start, end = (middle - half).trunc().double(), (middle + half).trunc().double()
    cell = (end - start + 1) / (m + 2)
    return torch.cat([start + cell, start + cell * (m + 1)], dim=1)


@torch.library.custom_op(
    "maskrcnn_scratch::mask_fractions",
    mutates_args=(),
    schema="(Tensor masks, Tensor boxes, Tensor index, int size) -> Tensor",
)
def _mask_fractions(masks: Tensor, boxes: Tensor, index: Tensor, size: int) -> Tensor:
    require_range("index", index.cpu(), len(masks))
    fractions = cpu.mask_targets(
        to_array(masks.contiguous()),
        real_array(boxes),
        to_array(index),
        size,
        workers(),
    )
    return torch.from_numpy(fractions).to(boxes.device)


@_mask_fractions.register_fake
def _(masks: Tensor, boxes: Tensor, index: Tensor, size: int) -> Tensor:
    dtype = torch.float32 if boxes.is_cuda else torch.float64
    return boxes.new_empty((boxes.shape[0], size, size), dtype=dtype)


@torch.library.custom_op(
    "maskrcnn_scratch::paste_masks",
    mutates_args=(),
    schema="(Tensor probabilities, Tensor boxes, int height, int width, "
    "float threshold) -> Tensor",
)
def _paste_masks(
    probabilities: Tensor, boxes: Tensor, height: int, width: int, threshold: float
) -> Tensor:
    pasted = cpu.paste_masks(
        real_array(probabilities),
        real_array(boxes),
        (height, width),
        threshold,
        workers(),
    )
    return torch.from_numpy(pasted).to(boxes.device)


@_paste_masks.register_fake
def _(
    probabilities: Tensor, boxes: Tensor, height: int, width: int, threshold: float
) -> Tensor:
    return boxes.new_empty((boxes.shape[0], height, width), dtype=torch.bool)
