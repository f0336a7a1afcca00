"""Examples of mask targets, mask paste and mask loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskrcnn_scratch.cuda.launch import launch
from maskrcnn_scratch.cuda.losses import (
    mask_loss,
    mask_loss_backward,
    mask_loss_naive,
)
from maskrcnn_scratch.cuda.mask_paste import paste_masks, paste_masks_naive, paste_tiles
from maskrcnn_scratch.cuda.mask_targets import mask_targets, mask_targets_naive

BOXES = [[1.25, 0.5, 6.0, 4.75], [-3.0, 2.0, 9.5, 40.0], [2.0, 2.0, 2.0, 5.0]]


def boxes(device: str) -> Tensor:
    """Within the image of 6 x 9, beyond it, and without area."""
    return torch.tensor(BOXES, device=device)


def targets(function: Any, device: str) -> Tensor:
    masks = torch.arange(2 * 6 * 9, device=device).reshape(2, 6, 9) % 5 < 2
    index = torch.tensor([1, 0, 1], device=device)
    result: Tensor = function(masks, boxes(device), index, 5)
    return result


def large_bin(device: str, dtype: torch.dtype) -> Tensor:
    """One bin of 66 x 66 points: its rows and its columns come in two parts each."""
    masks = torch.ones(1, 66, 66, dtype=torch.uint8, device=device)
    box = torch.tensor([[0.0, 0, 66, 66]], device=device)
    return mask_targets(masks, box, torch.zeros(1, dtype=torch.int64, device=device), 1)


def pasted(function: Any, device: str, dtype: torch.dtype) -> Tensor:
    maps = torch.linspace(0, 1, 48, device=device).reshape(3, 4, 4).to(dtype)
    result: Tensor = function(maps, boxes(device), (6, 9), 0.5)
    return result


def in_float64(device: str, dtype: torch.dtype) -> Tensor:
    """Boxes as torchvision's rule to paste leaves them."""
    maps = torch.linspace(0, 1, 48, device=device).reshape(3, 4, 4).to(dtype)
    return paste_masks(maps, boxes(device).double(), (6, 9), 0.5)


def two_tiles(device: str, dtype: torch.dtype) -> Tensor:
    """Of one block, which has to use its shared memory twice."""
    maps = torch.linspace(0, 1, 16, device=device).reshape(1, 4, 4).to(dtype)
    out = torch.zeros(1, 40, 3, dtype=torch.uint8, device=device)
    box = torch.tensor([[0.0, 0, 3, 40]], device=device)
    launch(paste_tiles, 1, (32, 2), maps, box, 0.5, out)
    return out


def loss_arguments(device: str, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Two RoIs, and one that is padding."""
    logits = torch.linspace(-3, 3, 3 * 3 * 9, device=device).reshape(3, 3, 3, 3)
    labels = torch.tensor([2, 0, -1], device=device)
    goals = torch.linspace(0, 1, 27, device=device).reshape(3, 3, 3)
    weights = torch.tensor([1.0, 1, 0], device=device)
    return logits.to(dtype), labels, goals, weights


def loss_and_gradients(device: str, dtype: torch.dtype) -> tuple[Tensor, ...]:
    logits, labels, goals, weights = loss_arguments(device, dtype)
    loss, slopes, scale = mask_loss(logits, labels, goals, weights)
    arguments = torch.ones((), device=device), scale, slopes, labels, 3, dtype
    gradients = [mask_loss_backward(*arguments, last) for last in (False, True)]
    return loss, *gradients


EXAMPLES = {
    "mask_targets": lambda device, dtype: targets(mask_targets, device),
    "mask_targets_naive": lambda device, dtype: targets(mask_targets_naive, device),
    "mask_targets_large_bin": large_bin,
    "paste_masks": lambda device, dtype: pasted(paste_masks, device, dtype),
    "paste_masks_naive": lambda device, dtype: pasted(paste_masks_naive, device, dtype),
    "paste_masks_in_float64": in_float64,
    "paste_tiles": two_tiles,
    "mask_loss": loss_and_gradients,
    "mask_loss_naive": lambda device, dtype: mask_loss_naive(
        *loss_arguments(device, dtype)
    ),
}
