"""Mask targets, mask paste and mask loss of the CUDA floor, NumPy in and out.

Each stands twice: the fast kernels under the component's name, the naive ones beside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from cuda_floor import DEVICE, to_array, to_tensor

from maskrcnn_scratch.cuda import losses, mask_paste, mask_targets

Function = Callable[..., Any]


def with_arrays(function: Function) -> Function:
    """``function`` with arrays for its tensors."""

    def call(*args: Any) -> Any:
        return to_array(function(*map(to_tensor, args)))

    return call


def paste_of(function: Function) -> Function:
    """One mask at a time, as the reference has it."""

    def call(
        probability: Any, box: Any, size: tuple[int, int], threshold: float = 0.5
    ) -> Any:
        arrays = probability[None], box[None]
        return with_arrays(function)(*arrays, size, threshold)[0]

    return call


def ones(labels: Any) -> torch.Tensor:
    """Every RoI counts."""
    return torch.ones(len(labels), device=DEVICE)


def mask_loss(logits: Any, labels: Any, targets: Any) -> Any:
    """The loss and the gradient, which is the same in both layouts."""
    maps, classes, goals = (to_tensor(value) for value in (logits, labels, targets))
    loss, slopes, scale = losses.mask_loss(maps, classes, goals, ones(labels))
    arguments = (
        *(torch.ones((), device=DEVICE), scale, slopes, classes),
        *(logits.shape[1], torch.float32),
    )
    gradient = losses.mask_loss_backward(*arguments)
    channels_last = losses.mask_loss_backward(*arguments, channels_last=True)
    assert channels_last.shape == gradient.shape
    assert channels_last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(gradient, channels_last)
    return float(loss), to_array(gradient)


def mask_loss_naive(logits: Any, labels: Any, targets: Any) -> Any:
    arguments = logits, labels, targets, ones(labels)
    loss, gradient = with_arrays(losses.mask_loss_naive)(*arguments)
    return float(loss), gradient


COMPONENTS: dict[str, dict[str, Function]] = {
    "masks": {
        "mask_targets": with_arrays(mask_targets.mask_targets),
        "paste_mask": paste_of(mask_paste.paste_masks),
    },
    "masks_naive": {
        "mask_targets": with_arrays(mask_targets.mask_targets_naive),
        "paste_mask": paste_of(mask_paste.paste_masks_naive),
    },
    "losses": {"mask_loss": mask_loss},
    "losses_naive": {"mask_loss": mask_loss_naive},
}
