"""The bridge between tensors and the compiled floor, which knows arrays alone.

Here tensors are on the CPU, or on a GPU in float64 and travel to the CPU and back;
``on_gpu`` has the others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskrcnn_scratch.cpu.compiled import Array


def to_array(tensor: Tensor) -> Array:
    """The tensor's memory as an array; from a GPU, a copy."""
    array: Array = tensor.detach().cpu().numpy()
    return array


def real_array(tensor: Tensor) -> Array:
    """Boxes, scores or maps as float32 or float64, one row after the other in memory.

    A copy only where they are not: kernels are compiled for these types and that order.
    """
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    return to_array(tensor.contiguous())


def workers() -> int:
    """How many threads a kernel may use: as many as torch's own operators."""
    return torch.get_num_threads()


def rois_array(rois: Tensor) -> Array:
    """RoIs in float64, as the kernels place them."""
    return to_array(rois.double())


def channels_last(features: Tensor) -> Array:
    """[N, C, H, W] features as an array (N, H, W, C) of float32 or float64.

    Without a copy where they are in torch's channels_last memory format and of one of
    these types; bfloat16 and float16 become float32.
    """
    if features.dtype not in (torch.float32, torch.float64):
        features = features.float()
    return to_array(features.permute(0, 2, 3, 1).contiguous())


def from_channels_last(array: Array, like: Tensor) -> Tensor:
    """An array (N, H, W, C) as a channels_last tensor, of ``like``'s type and place."""
    tensor = torch.from_numpy(array).to(like.device, like.dtype)
    return tensor.permute(0, 3, 1, 2)


def channels_last_shape(features: Tensor) -> tuple[int, int, int, int]:
    """(N, H, W, C) of [N, C, H, W] features."""
    images, channels, height, width = features.shape
    return images, height, width, channels


def empty_channels_last(features: Tensor) -> Tensor:
    """What a gradient by the features looks like, for torch's shape propagation."""
    return features.new_empty(channels_last_shape(features)).permute(0, 3, 1, 2)


def empty_bins(features: Tensor, rois: Tensor, height: int, width: int) -> Tensor:
    """What a RoI layer returns, for torch's shape propagation."""
    shape = (rois.shape[0], height, width, features.shape[1])
    return features.new_empty(shape).permute(0, 3, 1, 2)
