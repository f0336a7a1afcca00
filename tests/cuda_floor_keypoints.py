"""Keypoints on the CUDA floor, NumPy in and out.

The loss and the read-out stand twice: the fast kernels under the component's name, the
naive ones beside. Targets have one kernel alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from cuda_floor import DEVICE, to_array, to_tensor

from maskrcnn_scratch.cuda import keypoint_loss as losses
from maskrcnn_scratch.cuda import keypoints

Function = Callable[..., Any]


def with_arrays(function: Function) -> Function:
    """``function`` with arrays for its tensors."""

    def call(*args: Any) -> Any:
        return to_array(function(*map(to_tensor, args)))

    return call


def keypoint_loss(*arrays: Any) -> Any:
    logits, index, valid = map(to_tensor, arrays)
    loss, stats, scale = losses.keypoint_loss(logits, index, valid)
    one = torch.ones((), device=DEVICE)
    gradient = losses.keypoint_loss_backward(one, scale, stats, logits, index, valid)
    return float(loss), to_array(gradient)


def keypoint_loss_naive(*arrays: Any) -> Any:
    loss, gradient = with_arrays(losses.keypoint_loss_naive)(*arrays)
    return float(loss), gradient


COMPONENTS: dict[str, dict[str, Function]] = {
    "keypoints": {
        "keypoint_targets": with_arrays(keypoints.keypoint_targets),
        "keypoint_loss": keypoint_loss,
        "keypoint_readout_resized": with_arrays(keypoints.keypoint_readout_resized),
    },
    "keypoints_naive": {
        "keypoint_loss": keypoint_loss_naive,
        "keypoint_readout_resized": with_arrays(
            keypoints.keypoint_readout_resized_naive
        ),
    },
}
