"""Operators on tensors that have shapes and no values: the meta device, fake tensors.

There a look at a value is an error; so these calls show that shapes depend on shapes
alone, and that nothing on a GPU would be waited for.

Deliberate faults, and the test that caught each:

- labels, indices or weights checked whatever the device -> both kinds of tensors
- a result with a length that values decide -> both kinds of tensors
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from maskrcnn_scratch import ops

KINDS: dict[str, tuple[Callable[[], AbstractContextManager[object]], str]] = {
    "meta": (nullcontext, "meta"),
    "fake": (FakeTensorMode, "cpu"),
}
every_kind = pytest.mark.parametrize(("mode", "device"), KINDS.values(), ids=KINDS)
Mode = Callable[[], AbstractContextManager[object]]


def leaf(*shape: int, device: str) -> Tensor:
    return torch.zeros(*shape, device=device, requires_grad=True)


def losses(device: str) -> list[tuple[Tensor, Tensor]]:
    """Every loss beside what it is differentiated by; rows with weights."""
    labels, weights = torch.zeros(3, device=device).long(), torch.ones(3, device=device)
    rows, anchors = leaf(3, 4, device=device), leaf(3, device=device)
    maps, pose = leaf(3, 4, 5, 5, device=device), leaf(3, 17, 8, 8, device=device)
    goals = torch.zeros(3, 5, 5, device=device)
    boxes = torch.zeros(3, 4, device=device)
    keypoints = torch.zeros(3, 17, 3, device=device)
    bins = ops.keypoint_targets(keypoints, boxes, 8)
    return [
        (ops.softmax_cross_entropy(rows, labels), rows),
        (ops.softmax_cross_entropy(rows, labels, weights), rows),
        (
            ops.sigmoid_cross_entropy(anchors, torch.zeros_like(anchors), weights),
            anchors,
        ),
        (ops.smooth_l1_loss(rows, boxes, 1.0, weights), rows),
        (ops.mask_loss(maps, labels, goals, weights), maps),
        (ops.softmax_mask_loss(maps, labels, goals, weights), maps),
        (ops.keypoint_loss(pose, *bins), pose),
    ]


@every_kind
def test_losses_and_gradients_have_shapes(mode: Mode, device: str) -> None:
    with mode():
        for loss, x in losses(device):
            (gradient,) = torch.autograd.grad(loss, x)
            assert loss.shape == ()
            assert gradient.shape == x.shape


@every_kind
def test_read_outs_have_shapes(mode: Mode, device: str) -> None:
    with mode():
        boxes, pose = torch.zeros(3, 4, device=device), leaf(3, 17, 8, 8, device=device)
        maps = torch.zeros(3, 5, 5, device=device)
        assert ops.keypoint_readout(pose, boxes, "bin").shape == (3, 17, 3)
        assert ops.keypoint_readout(pose, boxes, "resized").shape == (3, 17, 3)
        assert ops.paste_masks(maps, boxes, (7, 9)).shape == (3, 7, 9)
        pasted = ops.paste_masks(maps, boxes, (7, 9), rule="integer")
        assert pasted.shape == (3, 7, 9)
        assert pasted.dtype == torch.bool
