"""What the CUDA floor's mask kernels promise beyond the reference's laws.

Half precision, layouts, values that cannot be refused without waiting for the GPU, and
sizes at which a block has to come back for more. The laws themselves run in test_masks
and test_losses.

Deliberate faults, and the test that caught each:

- a bfloat16 logit taken for its bits -> test_half_precision_logits_are_read_exactly
- classes and pixels exchanged in the gradient -> test_the_gradient_lies_as_asked
- ``grad`` ignored; divided twice by the number of pixels -> test_the_gradient_scales
- a label or index clamped instead -> test_no_class_gives_nan, test_no_mask_gives_nan
- padding read, or counted in the mean -> test_padding_counts_nothing
- blocks that do not come back -> test_more_than_a_block_holds, test_more_tiles_than_...
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cuda_floor import DEVICE
from torch import Tensor

from maskrcnn_scratch.cuda.launch import launch
from maskrcnn_scratch.cuda.losses import (
    mask_loss,
    mask_loss_backward,
    mask_loss_naive,
    sum_rois,
)
from maskrcnn_scratch.cuda.mask_paste import paste_masks, paste_masks_naive
from maskrcnn_scratch.cuda.mask_targets import mask_targets, mask_targets_naive

TARGETS = (mask_targets, mask_targets_naive)
PASTES = (paste_masks, paste_masks_naive)
HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
Function = Callable[..., Tensor]
Problem = tuple[Tensor, Tensor, Tensor, Tensor]


def problem(n: int = 2, classes: int = 3, side: int = 3) -> Problem:
    """Logits, labels, targets and weights of 1."""
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(n, classes, side, side, generator=generator)
    labels = torch.randint(classes, (n,), generator=generator)
    goals = torch.rand(n, side, side, generator=generator)
    ones = torch.ones(n, device=DEVICE)
    return logits.to(DEVICE), labels.to(DEVICE), goals.to(DEVICE), ones


def torch_loss(
    logits: Tensor, labels: Tensor, goals: Tensor, _: Tensor
) -> tuple[Tensor, Tensor]:
    """The same by autograd, in float64."""
    leaf = logits.double().requires_grad_()
    own = leaf[torch.arange(len(labels)), labels]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(own, goals.double())
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient


def gradient_of(data: Problem, dtype: torch.dtype, *layout: bool) -> Tensor:
    logits, labels, *_ = data
    _, slopes, scale = mask_loss(*data)
    arguments = torch.ones((), device=logits.device), scale, slopes, labels
    return mask_loss_backward(*arguments, logits.shape[1], dtype, *layout)


@HALVES
def test_half_precision_logits_are_read_exactly(dtype: torch.dtype) -> None:
    """As float32 numbers; the gradient is rounded once, at the end."""
    logits, labels, goals, weights = problem()
    data = logits.to(dtype), labels, goals, weights
    loss, gradient = torch_loss(*data)
    ours, *_ = mask_loss(*data)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), loss, rtol=1e-6, atol=0)
    naive, naive_gradient = mask_loss_naive(*data)
    torch.testing.assert_close(naive, ours)
    for found in (gradient_of(data, dtype), naive_gradient):
        assert found.dtype == dtype
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(found.double(), gradient, rtol=eps, atol=1e-7)


def test_logits_lie_as_they_like() -> None:
    """Channels last, or every other column of something larger: not one bit differs."""
    logits, labels, goals, weights = problem()
    loss, slopes, scale = mask_loss(logits, labels, goals, weights)
    wide = torch.zeros(*logits.shape[:3], 6, device=DEVICE)
    wide[..., ::2] = logits
    last = logits.contiguous(memory_format=torch.channels_last)
    for other in (last, wide[..., ::2]):
        for found, expected in zip(
            mask_loss(other, labels, goals.mT.contiguous().mT, weights),
            (loss, slopes, scale),
            strict=True,
        ):
            assert torch.equal(found, expected)


@pytest.mark.parametrize(("classes", "side"), [(1, 3), (3, 1), (40, 2), (2, 7)])
def test_the_gradient_lies_as_asked(classes: int, side: int) -> None:
    """Contiguous or channels last, with the same values."""
    data = problem(2, classes, side)
    _, expected = torch_loss(*data)
    for last, form in ((False, torch.contiguous_format), (True, torch.channels_last)):
        gradient = gradient_of(data, torch.float32, last)
        assert gradient.shape == data[0].shape
        assert gradient.is_contiguous(memory_format=form)
        torch.testing.assert_close(gradient.double(), expected, rtol=1e-5, atol=1e-7)


def test_the_gradient_scales() -> None:
    """With the gradient by the loss, as a loss scaler needs it."""
    data = problem()
    _, slopes, scale = mask_loss(*data)
    grad = torch.tensor(1024.0, device=DEVICE)
    scaled = mask_loss_backward(grad, scale, slopes, data[1], 3, torch.float16)
    expected = 1024 * torch_loss(*data)[1]
    torch.testing.assert_close(scaled.double(), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("label", [-1, 3])
def test_no_class_gives_nan(label: int) -> None:
    """An error would make the host wait. The other RoI's gradient is what it was."""
    data = problem()
    data[1][0] = label
    loss, slopes, _ = mask_loss(*data)
    assert loss.isnan()
    assert slopes[0].isnan().all()
    assert not slopes[1].isnan().any()
    assert mask_loss_naive(*data)[0].isnan()
    for gradient in (gradient_of(data, torch.float32), mask_loss_naive(*data)[1]):
        assert not gradient[0].any()
        assert gradient[1].any()


def test_padding_counts_nothing() -> None:
    """Whatever stands in it; and where nothing else is, the loss is 0."""
    logits, labels, goals, _ = problem(3)
    expected, gradient = torch_loss(logits[1:], labels[1:], goals[1:], labels)
    logits[0], labels[0], goals[0] = torch.nan, -1, torch.inf
    padded = logits, labels, goals, torch.tensor([0.0, 1, 1], device=DEVICE)
    naive, naive_gradient = mask_loss_naive(*padded)
    for loss in (mask_loss(*padded)[0], naive):
        torch.testing.assert_close(loss.double(), expected)
    for found in (gradient_of(padded, torch.float32), naive_gradient):
        torch.testing.assert_close(found[1:].double(), gradient, rtol=1e-5, atol=1e-7)
        assert not found[0].any()
    nothing = logits, labels, goals, torch.zeros(3, device=DEVICE)
    assert mask_loss(*nothing)[0] == mask_loss_naive(*nothing)[0] == 0
    assert not gradient_of(nothing, torch.float32).any()


def test_more_than_a_block_holds() -> None:
    """289 pixels and 300 RoIs for 256 threads; and none at all."""
    data = problem(1, 1, 17)
    loss, *_ = mask_loss(*data)
    torch.testing.assert_close(loss.double(), torch_loss(*data)[0])
    sums, mean = torch.arange(300.0, device=DEVICE), torch.empty(2, device=DEVICE)
    ones = torch.ones(300, device=DEVICE)
    launch(sum_rois, 1, 256, sums, ones, 1.0, mean[:1], mean[1:])
    torch.testing.assert_close(mean[0].item(), 299 / 2)
    assert mask_loss(*problem(0, 1, 2))[0] == 0


@pytest.mark.parametrize("targets", TARGETS)
def test_no_mask_gives_nan(targets: Function) -> None:
    masks = torch.ones(2, 4, 4, dtype=torch.uint8, device=DEVICE)
    boxes = torch.tensor([[0.0, 0, 4, 4]] * 3, device=DEVICE)
    index = torch.tensor([-1, 1, 2], device=DEVICE)
    found = targets(masks, boxes, index, 2)
    assert found[0].isnan().all()
    assert (found[1] == 1).all()
    assert found[2].isnan().all()


@pytest.mark.parametrize("targets", TARGETS)
def test_masks_and_boxes_of_other_types_and_layouts(targets: Function) -> None:
    """Booleans, columns first, every other mask; float64 boxes."""
    masks = torch.arange(5 * 6 * 4, device=DEVICE).reshape(5, 6, 4) % 7 < 3
    boxes = torch.tensor([[0.5, 1, 3, 5], [1, 0, 4, 6]], device=DEVICE)
    index = torch.tensor([2, 0], device=DEVICE)
    expected = targets(masks[::2].byte(), boxes, index, 3)
    assert expected.dtype == torch.float32
    assert len(set(expected.flatten().tolist())) > 2
    for other in (masks[::2], masks.mT.contiguous().mT[::2]):
        assert torch.equal(targets(other, boxes.double(), index, 3), expected)


@pytest.mark.parametrize("targets", TARGETS)
def test_more_columns_than_a_block_has(targets: Function) -> None:
    """A target of 65 cells a side, one wide bin over 130 columns: any chunk counts."""
    masks = torch.eye(3, dtype=torch.uint8, device=DEVICE)[None]
    index = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    box = torch.tensor([[0.0, 0, 3, 3]], device=DEVICE)
    found = targets(masks, box, index, 65)[0]
    diagonal = found.diagonal()
    assert (diagonal[[0, 10, 32, 54, 64]] == 1).all()
    torch.testing.assert_close(found, found.T)
    wide = torch.zeros(1, 1, 130, dtype=torch.uint8, device=DEVICE)
    wide[..., 63:65] = 1
    box = torch.tensor([[0.0, 0, 130, 1]], device=DEVICE)
    torch.testing.assert_close(targets(wide, box, index, 1).item(), 2 / 130)


@HALVES
@pytest.mark.parametrize("paste", PASTES)
def test_half_precision_maps_are_read_exactly(
    paste: Function, dtype: torch.dtype
) -> None:
    """Of one class among several, as the mask head leaves them."""
    maps = torch.linspace(0, 1, 48, device=DEVICE).reshape(2, 2, 3, 4)[..., :3]
    half = maps.to(dtype)
    boxes = torch.tensor([[1.0, 2, 9, 8], [-2, 0, 5, 12]], device=DEVICE)
    found = paste(half[:, 1], boxes.double(), (12, 10), 0.6)
    assert torch.equal(found, paste(half[:, 1].float().clone(), boxes, (12, 10), 0.6))
    assert found.dtype == torch.bool
    assert found.is_contiguous()
    assert found.any()


@pytest.mark.parametrize("paste", PASTES)
def test_images_without_pixels_and_no_masks(paste: Function) -> None:
    maps, boxes = torch.ones(1, 2, 2, device=DEVICE), torch.ones(1, 4, device=DEVICE)
    for size in ((0, 3), (3, 0), (0, 0)):
        assert paste(maps, boxes, size).shape == (1, *size)
    assert paste(maps[:0], boxes[:0], (3, 4)).shape == (0, 3, 4)


def test_more_tiles_than_blocks() -> None:
    """33 tiles of one box, 32 blocks."""
    maps = torch.ones(1, 2, 2, device=DEVICE)
    box = torch.tensor([[-2000.0, -100, 4000, 100]], device=DEVICE)
    assert paste_masks(maps, box, (2, 33 * 64)).all()
