"""Resizing, flipping and cropping an image together with its ground truth.

Every function takes and returns ``(image, target)`` and keeps boxes, masks, keypoints
and proposals on the same pixels: a point at x in an image of width w goes to
``x * new_w / w`` when it is resized and to ``w - x`` when it is mirrored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor

from maskrcnn_scratch.data.resize import Filter, ResizeRule, resize_image
from maskrcnn_scratch.structures import Target

Sample = tuple[Float[Tensor, "3 _height _width"], Target]


def resize(image: Tensor, target: Target, rule: ResizeRule) -> Sample:
    """Scale to the size that the rule gives."""
    size = rule.size((image.shape[1], image.shape[2]))
    return resize_to(image, target, size, rule.filter)


def resize_to(
    image: Tensor, target: Target, size: tuple[int, int], filter: Filter = "antialias"
) -> Sample:
    """Scale to exactly ``size`` (height, width), each axis by its own ratio.

    Masks take the nearest pixel, so they stay 0 or 1.
    """
    if (image.shape[1], image.shape[2]) == size:
        return image, target
    ratio_y, ratio_x = size[0] / image.shape[1], size[1] / image.shape[2]
    rows = nearest(image.shape[1], size[0])
    columns = nearest(image.shape[2], size[1])
    ratios = torch.tensor([ratio_x, ratio_y, ratio_x, ratio_y])
    masks = target.masks
    target = replace(
        move_boxes(target, lambda boxes: boxes * ratios),
        masks=None
        if masks is None
        else masks.index_select(1, rows).index_select(2, columns),
        keypoints=None
        if target.keypoints is None
        else target.keypoints * torch.tensor([ratio_x, ratio_y, 1.0]),
    )
    return resize_image(image, size, filter), target


def move_boxes(
    target: Target,
    move: Callable[[Float32[Tensor, "n 4"]], Float32[Tensor, "n 4"]],
) -> Target:
    """Objects' boxes and proposals at their new places."""
    proposals = target.proposals
    return replace(
        target,
        boxes=move(target.boxes),
        proposals=None if proposals is None else move(proposals),
    )


def nearest(old: int, new: int) -> Int64[Tensor, " new"]:
    """The old pixel under each new pixel's centre: floor((i + 1/2) old / new)."""
    return (2 * torch.arange(new) + 1) * old // (2 * new)


def horizontal_flip(
    image: Float[Tensor, "3 height width"],
    target: Target,
    keypoint_swap: Sequence[int] | None = None,
) -> Sample:
    """Mirror left to right.

    ``keypoint_swap[i]`` is the keypoint that i becomes: a mirrored left hand is a right
    hand. None leaves their order.
    """
    return mirror(image, target, axis=0, keypoint_swap=keypoint_swap)


def vertical_flip(
    image: Float[Tensor, "3 height width"],
    target: Target,
    keypoint_swap: Sequence[int] | None = None,
) -> Sample:
    """Mirror top to bottom; ``keypoint_swap`` as for horizontal_flip."""
    return mirror(image, target, axis=1, keypoint_swap=keypoint_swap)


def mirror(
    image: Float[Tensor, "3 height width"],
    target: Target,
    axis: int,
    keypoint_swap: Sequence[int] | None,
) -> Sample:
    """Flip x (axis 0) or y (axis 1)."""
    extent = image.shape[2 - axis]
    keypoints = target.keypoints
    if keypoints is not None:
        keypoints = keypoints.clone()
        labelled = keypoints[..., 2] > 0
        keypoints[..., axis] = torch.where(
            labelled, extent - keypoints[..., axis], keypoints[..., axis]
        )
        keypoints = swapped(keypoints, keypoint_swap)
    masks = None if target.masks is None else target.masks.flip(2 - axis)
    flipped = move_boxes(target, lambda boxes: mirrored_boxes(boxes, axis, extent))
    return image.flip(2 - axis), replace(flipped, masks=masks, keypoints=keypoints)


def mirrored_boxes(
    boxes: Float32[Tensor, "n 4"], axis: int, extent: int
) -> Float32[Tensor, "n 4"]:
    """x (axis 0) or y (axis 1) to ``extent`` less it; the corners change places."""
    mirrored = boxes.clone()
    mirrored[:, axis] = extent - boxes[:, axis + 2]
    mirrored[:, axis + 2] = extent - boxes[:, axis]
    return mirrored


def transpose(
    image: Float[Tensor, "3 _h _w"],
    target: Target,
    keypoint_swap: Sequence[int] | None = None,
) -> Sample:
    """Swap x and y, mirroring at the diagonal.

    With the two flips this makes every quarter turn; ``keypoint_swap`` as for them.
    """
    keypoints = target.keypoints
    if keypoints is not None:
        keypoints = swapped(keypoints[..., [1, 0, 2]], keypoint_swap)
    masks = target.masks
    return image.transpose(1, 2).contiguous(), replace(
        move_boxes(target, lambda boxes: boxes[:, [1, 0, 3, 2]]),
        masks=None if masks is None else masks.transpose(1, 2).contiguous(),
        keypoints=keypoints,
    )


def swapped(
    keypoints: Float32[Tensor, "objects points 3"], keypoint_swap: Sequence[int] | None
) -> Float32[Tensor, "objects points 3"]:
    """Each keypoint in its mirror twin's place."""
    return keypoints if keypoint_swap is None else keypoints[:, list(keypoint_swap)]


def crop(
    image: Float[Tensor, "3 _h _w"], target: Target, top: int, left: int, side: int
) -> Sample:
    """Cut out at most ``side`` x ``side`` pixels; what lies outside is lost.

    Boxes are drawn anew around the masks that remain, since the part of an object that
    is left may be smaller than the part of its box; without masks they are cut, as
    proposals are. Keypoints outside become unlabelled. Objects with no pixel left are
    dropped, and so are proposals.
    """
    image = image[:, top : top + side, left : left + side].contiguous()
    size = (image.shape[1], image.shape[2])
    target = move_boxes(target, lambda boxes: cut_boxes(boxes, top, left, size))
    target = replace(
        target,
        masks=None
        if target.masks is None
        else target.masks[:, top : top + side, left : left + side].contiguous(),
        keypoints=None
        if target.keypoints is None
        else cut_keypoints(target.keypoints, top, left, size),
        proposals=None
        if target.proposals is None
        else target.proposals[has_extent(target.proposals)],
    )
    target = drop_empty(target)
    if target.masks is not None:
        target = replace(target, boxes=boxes_around(target.masks))
    return image, target


def cut_boxes(
    boxes: Float32[Tensor, "n 4"], top: int, left: int, size: tuple[int, int]
) -> Float32[Tensor, "n 4"]:
    """In the frame of a window of ``size`` (height, width), and within it."""
    height, width = size
    moved = boxes - torch.tensor([left, top, left, top])
    return moved.clamp(min=0).minimum(torch.tensor([width, height, width, height]))


def cut_keypoints(
    keypoints: Float32[Tensor, "objects points 3"],
    top: int,
    left: int,
    size: tuple[int, int],
) -> Float32[Tensor, "objects points 3"]:
    """In the frame of a window of ``size`` (height, width); zero where not inside."""
    keypoints = keypoints - torch.tensor([left, top, 0])
    x, y, v = keypoints.unbind(-1)
    inside = (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0]) & (v > 0)
    return keypoints * inside[..., None]


def has_extent(boxes: Float32[Tensor, "n 4"]) -> Bool[Tensor, " n"]:
    """Whether a box has both width and height."""
    return (boxes[:, 2:] > boxes[:, :2]).all(1)


def boxes_around(
    masks: UInt8[Tensor, "objects height width"],
) -> Float32[Tensor, "objects 4"]:
    """The tight box of each mask; every mask needs a pixel."""
    filled = masks.numpy()
    sides = []
    for axis in (1, 2):  # the columns that hold a pixel, then the rows
        hit = filled.max(axis, initial=0)
        first = hit.argmax(1)
        last = hit.shape[1] - hit[:, ::-1].argmax(1)
        sides += [first, last]
    x1, x2, y1, y2 = sides
    return torch.from_numpy(np.stack([x1, y1, x2, y2], axis=1)).float()


def drop_empty(target: Target) -> Target:
    """The objects of which something is left.

    Too small a scale can lose all pixels of a mask; without masks boxes count.
    """
    kept = (
        has_extent(target.boxes)
        if target.masks is None
        else torch.from_numpy(target.masks.numpy().any((1, 2)))
    )
    return target if bool(kept.all()) else target.select(kept)
