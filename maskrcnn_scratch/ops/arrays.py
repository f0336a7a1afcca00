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


def real(tensor: Tensor) -> Tensor:
    """Boxes, scores or maps in a type that kernels compare in: float32 or float64."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def real_array(tensor: Tensor) -> Array:
    """Boxes, scores or maps as float32 or float64, one row after the other in memory.

    A copy only where they are not: kernels are compiled for these types and that order.
    """
    return to_array(real(tensor).contiguous())


def workers() -> int:
    """How many threads a kernel may use: as many as torch's own operators."""
    return torch.get_num_threads()
