"""Maps and bins as the compiled RoI layers take them: which memory format, which type.

A RoI layer keeps the memory format of its features. Features in torch's channels_last
format are read in place, and give bins and gradients in that format; any others are
taken as NCHW (``planar``), made contiguous if they are not, and give NCHW. That takes
about twice as long (``maskrcnn-scratch bench ops --only RoI``), for it is turned in
blocks, and needs some MiB for each thread's block.

bfloat16 is read and written as it is, through its bits; float16 becomes float32 for the
kernels. Either way sums are float32, and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from maskrcnn_scratch.cpu.compiled import Array
from maskrcnn_scratch.cpu.numbers import HALF
from maskrcnn_scratch.ops.arrays import real, to_array

IN_PLACE = (torch.float32, torch.float64, torch.bfloat16)


def is_planar(features: Tensor) -> bool:
    """Whether [N, C, H, W] features are planes: the channels are not innermost."""
    return bool(features.stride(1) != 1)


def rois_array(rois: Tensor) -> Array:
    """RoIs in their own float32 or float64, in which the kernels place them."""
    return to_array(real(rois))


def maps_array(maps: Tensor, planar: bool, bits: bool = True) -> Array:
    """[N, C, H, W] as an array (N, H, W, C), or (N, C, H, W) where ``planar``.

    A copy only where the memory is in another order, or the type not one of the
    kernels'. bfloat16 becomes its bits, or where ``bits`` is false, float32.
    """
    if maps.dtype not in IN_PLACE or (maps.dtype == torch.bfloat16 and not bits):
        maps = maps.float()
    if not planar:
        maps = maps.permute(0, 2, 3, 1)
    maps = maps.contiguous()
    if maps.dtype == torch.bfloat16:
        return to_array(maps.view(torch.int16)).view(HALF)
    return to_array(maps)


def from_maps_array(array: Array, planar: bool, like: Tensor) -> Tensor:
    """The way back, to ``like``'s type and device; integers keep their type."""
    if array.dtype == HALF:
        maps = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    else:
        maps = torch.from_numpy(array)
    dtype = like.dtype if maps.is_floating_point() else maps.dtype
    maps = maps.to(like.device, dtype)
    return maps if planar else maps.permute(0, 3, 1, 2)


def in_order(sizes: Sequence[int], planar: bool) -> tuple[int, int, int, int]:
    """The sizes [N, C, H, W] in the order of memory."""
    images, channels, height, width = sizes
    if planar:
        return images, channels, height, width
    return images, height, width, channels


def empty_maps(sizes: Sequence[int], planar: bool, like: Tensor) -> Tensor:
    """[N, C, H, W] of a memory format, for torch's shape propagation."""
    maps = like.new_empty(in_order(sizes, planar))
    return maps if planar else maps.permute(0, 3, 1, 2)


def shapes_of(sizes: Sequence[int], grad: Tensor) -> list[tuple[int, int, int, int]]:
    """[N, C, H, W] of each level."""
    images, *sides = sizes
    channels = grad.shape[1]
    return [
        (images, channels, height, width)
        for height, width in zip(sides[::2], sides[1::2], strict=True)
    ]
