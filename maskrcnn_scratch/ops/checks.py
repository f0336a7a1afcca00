"""What the operators demand of their arguments, said in one voice.

A shape or a type is checked always. Values (labels in range, boxes with an area) are
checked on the CPU only: on a GPU every look at a value would stall it, and under
``torch.compile`` it would break the graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def values_can_be_checked(tensor: Tensor) -> bool:
    """Whether there are values, and a look at them costs little (see above).

    A subclass, as torch's fake tensors are, may have a shape alone.
    """
    plain = type(tensor) in (Tensor, nn.Parameter) and tensor.device.type == "cpu"
    return plain and not torch.compiler.is_compiling()


def require_shape(name: str, tensor: Tensor, shape: tuple[int | str, ...]) -> None:
    """Refuse a tensor of another shape; a string names an axis of any length."""
    fits = tensor.ndim == len(shape) and all(
        isinstance(wanted, str) or length == wanted
        for length, wanted in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(str(axis) for axis in shape)
        raise ValueError(f"{name} must be [{wanted}], not {list(tensor.shape)}")


def require_floating(name: str, tensor: Tensor) -> None:
    """Refuse integers: boxes, scores and features are real numbers."""
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must hold floating-point numbers, not {tensor.dtype}")


def require_boxes(name: str, boxes: Tensor) -> None:
    """Refuse anything but [n, 4] floats (x1, y1, x2, y2)."""
    require_shape(name, boxes, ("n", 4))
    require_floating(name, boxes)


def require_integers(name: str, tensor: Tensor) -> None:
    """Refuse real numbers, and booleans, where indices or labels are wanted."""
    if tensor.is_floating_point() or tensor.dtype == torch.bool:
        raise TypeError(f"{name} must hold integers, not {tensor.dtype}")


def require_range(name: str, tensor: Tensor, count: int) -> None:
    """Refuse integers outside 0..count-1, naming the first: -1 would mean the last."""
    if not values_can_be_checked(tensor):
        return
    wrong = torch.nonzero((tensor < 0) | (tensor >= count)).flatten()
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(
            f"{name} must be in 0..{count - 1}, but number {first} is "
            f"{int(tensor[first])}"
        )


def require_length(name: str, tensor: Tensor, other: str, length: int) -> None:
    """Refuse a tensor with another number of rows than its companion."""
    if len(tensor) != length:
        raise ValueError(
            f"{name} must have a row for each of the {length} {other}, "
            f"but has {len(tensor)}"
        )
