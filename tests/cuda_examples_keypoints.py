"""Examples of keypoint targets, loss and read-out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskrcnn_scratch.cuda.keypoint_loss import (
    keypoint_loss,
    keypoint_loss_backward,
    keypoint_loss_naive,
)
from maskrcnn_scratch.cuda.keypoints import (
    keypoint_readout_resized,
    keypoint_readout_resized_naive,
    keypoint_targets,
)

BOXES = [[1.25, 0.5, 6.0, 4.75], [0.0, 0.0, 0.25, 7.0]]
TALL = [[0.0, 0.0, 2.0, 66.0], [0.0, 0.0, float("nan"), 2.0]]


def maps(device: str, dtype: torch.dtype) -> Tensor:
    """Of two RoIs and two points, 3 x 3 bins."""
    logits = torch.arange(2.0 * 2 * 9, device=device).reshape(2, 2, 3, 3) * 5 % 7
    return logits.to(dtype)


def targets(device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    points = [[[2.0, 2, 2], [6.0, 4.75, 1]], [[0.125, 3, 0], [9.0, 3, 2]]]
    boxes = torch.tensor(BOXES, device=device)
    return keypoint_targets(torch.tensor(points, device=device), boxes, 3)


def loss_arguments(device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    index = torch.tensor([[0, 8], [4, -1]], device=device)
    valid = torch.tensor([[True, True], [True, False]], device=device)
    return maps(device, dtype), index, valid


def loss_and_gradient(device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    arguments = loss_arguments(device, dtype)
    loss, stats, scale = keypoint_loss(*arguments)
    one = torch.ones((), device=device)
    return loss, keypoint_loss_backward(one, scale, stats, *arguments)


def readout(
    function: Any, device: str, dtype: torch.dtype, rows: list[list[float]] = BOXES
) -> Tensor:
    boxes = torch.tensor(rows, device=device)
    result: Tensor = function(maps(device, dtype), boxes)
    return result


def many_rows(device: str, dtype: torch.dtype) -> Tensor:
    """More than a block has weights for at a time, and a box that is none."""
    return readout(keypoint_readout_resized, device, dtype, TALL)


EXAMPLES = {
    "keypoint_targets": targets,
    "keypoint_loss": loss_and_gradient,
    "keypoint_loss_naive": lambda device, dtype: keypoint_loss_naive(
        *loss_arguments(device, dtype)
    ),
    "keypoint_readout": lambda device, dtype: readout(
        keypoint_readout_resized, device, dtype
    ),
    "keypoint_readout_many_rows": many_rows,
    "keypoint_readout_naive": lambda device, dtype: readout(
        keypoint_readout_resized_naive, device, dtype
    ),
}
