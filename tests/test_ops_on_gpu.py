"""The operators' way to the CUDA floor gives what their way over the CPU gives.

Without a GPU the functions that torch would call for tensors on one are called by hand,
in numba's simulator; with one, the operators themselves are, on both devices.

Deliberate faults, and the test that caught each:

- ``max_keep`` not passed on -> test_nms
- float64 masks from a GPU where shapes were propagated as float32 -> test_mask_targets
- the gradient of the mask loss without the factor from above -> test_mask_loss
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from maskrcnn_scratch import ops
from maskrcnn_scratch.cuda.launch import SIMULATED
from maskrcnn_scratch.ops import on_gpu, roi_on_gpu
from maskrcnn_scratch.ops.fused_losses import mask_loss_on_gpu

OPERATORS = torch.ops.maskrcnn_scratch


def on_device(name: str, *arguments: Any) -> Any:
    """An operator's result where kernels run: on the GPU, or simulated."""
    if SIMULATED:
        module = roi_on_gpu if name.startswith("roi") else on_gpu
        return getattr(module, name)(*arguments)
    return getattr(OPERATORS, name)(*map(to_gpu, arguments))


def to_gpu(argument: Any) -> Any:
    """Tensors, and lists of them, on the GPU."""
    if isinstance(argument, list):
        return [to_gpu(entry) for entry in argument]
    return argument.cuda() if isinstance(argument, Tensor) else argument


@pytest.fixture(autouse=True)
def same_numbers_every_time() -> None:
    torch.manual_seed(0)


def boxes_of(count: int, seed: int = 0, size: float = 40) -> Tensor:
    """Random boxes of some pixels."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * size
    sides = torch.rand(count, 2, generator=generator) * size / 2 + 1
    return torch.cat([corner, corner + sides], dim=1)


@pytest.mark.parametrize("max_keep", [None, 0, 5, 1000])
def test_nms(max_keep: int | None) -> None:
    boxes, scores = boxes_of(70), torch.rand(70).half()
    segments = torch.arange(70) % 3
    kept = on_device("segmented_nms", boxes, scores, segments, 0.3, max_keep)
    expected = ops.batched_nms(boxes, scores, segments, 0.3, max_keep)
    assert kept.tolist() == expected.tolist()


def test_nms_of_many_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With tables of the width of the longest segment, not of all boxes."""
    monkeypatch.setattr(on_gpu, "MANY_BOXES", 100)
    boxes, scores = boxes_of(150), torch.rand(150)
    segments = torch.arange(150) % 7 // 2
    kept = on_device("segmented_nms", boxes, scores, segments, 0.3, None)
    expected = ops.batched_nms(boxes, scores, segments, 0.3)
    assert kept.tolist() == expected.tolist()


@pytest.mark.parametrize("lost", [0, 1, 70])
def test_nms_survivors(lost: int) -> None:
    """Scores of -inf mark boxes that are not there."""
    boxes, scores = boxes_of(70), torch.rand(70)
    scores[:lost] = -torch.inf
    segments = torch.arange(70) % 3
    survive = on_device("nms_survivors", boxes, scores, segments, 0.3, 24)
    expected = ops.nms_survivors(boxes, scores, segments, 0.3, 24)
    assert survive.tolist() == expected.tolist()
    there = torch.arange(lost, 70)
    kept = ops.batched_nms(boxes[there], scores[there], segments[there], 0.3)
    assert there[kept].sort().values.tolist() == expected.nonzero()[:, 0].tolist()


def test_pyramid_anchors() -> None:
    cells = torch.stack([ops.cell_anchors((size,), (0.5, 1, 2)) for size in (8, 16)])
    levels = ops.pyramid_anchors(cells, (4, 8), [(3, 5), (2, 3)])
    found = on_device("pyramid_anchors", cells, [4.0, 8.0], [3, 2], [5, 3])
    assert torch.equal(found.cpu(), torch.cat(levels))


def test_decode_proposals() -> None:
    anchors, deltas = boxes_of(20), torch.randn(2, 20, 4)
    scores, index = torch.randn(2, 6), torch.randint(20, (2, 6))
    sizes, weights = torch.tensor([[60.0, 50.0], [50.0, 60.0]]), (10.0, 10.0, 5.0, 5.0)
    arguments = (anchors, deltas, scores, index, sizes, weights, 9.0)
    expected = ops.decode_proposals(*arguments)
    found = on_device("decode_proposals", *arguments[:5], list(weights), 9.0)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), two)
    assert expected[1].isinf().any()
    assert not expected[1].isinf().all()


def test_decode_detections() -> None:
    rois = torch.cat([torch.tensor([[0.0], [1.0], [1.0]]), boxes_of(3)], dim=1)
    deltas, scores = torch.randn(3, 4, 4), torch.rand(3, 4)
    sizes, weights = torch.tensor([[30.0, 25.0], [20.0, 40.0]]), (10.0, 10.0, 5.0, 5.0)
    boxes, kept = ops.decode_detections(rois, deltas, scores, sizes, 0.5, weights)
    found, found_kept = on_device(
        "decode_detections", rois, deltas, scores, sizes, 0.5, list(weights)
    )
    good = scores > 0.5
    assert torch.equal(found_kept.cpu(), kept)
    assert torch.equal(kept, torch.where(good, scores, -torch.inf))
    torch.testing.assert_close(found.cpu()[good], boxes[good])
    assert good.any()


@pytest.mark.parametrize("allow_low_quality", [True, False])
def test_match(allow_low_quality: bool) -> None:
    arguments = (boxes_of(5, seed=1), boxes_of(60, seed=2), 0.6, 0.2, allow_low_quality)
    matched = on_device("match", *arguments)
    assert matched.tolist() == ops.match(*arguments).tolist()
    assert len(set(matched.tolist())) > 2


def test_mask_targets() -> None:
    masks = (torch.rand(3, 20, 24) > 0.5).to(torch.uint8)
    boxes, index = boxes_of(4, size=16), torch.tensor([0, 2, 1, 1])
    fractions = on_device("mask_fractions", masks, boxes, index, 5)
    expected = ops.mask_targets(masks, boxes, index, 5)
    torch.testing.assert_close(fractions.cpu(), expected)


def test_paste_masks() -> None:
    maps, boxes = torch.rand(3, 6, 6), boxes_of(3, size=16)
    pasted = on_device("paste_masks", maps, boxes, 20, 24, 0.5)
    assert torch.equal(pasted.cpu(), ops.paste_masks(maps, boxes, (20, 24)))
    assert pasted.any()


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0, 2])])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_mask_loss(layout: torch.memory_format, weights: Tensor | None) -> None:
    device = "cpu" if SIMULATED else "cuda"
    logits = torch.randn(3, 4, 6, 6).contiguous(memory_format=layout)
    labels, targets = torch.tensor([1, 3, 0]), torch.rand(3, 6, 6)

    def loss_and_gradient(function: Any, place: str) -> tuple[Tensor, Tensor]:
        x = logits.to(place).requires_grad_()
        there = None if weights is None else weights.to(place)
        loss = function(x, labels.to(place), targets.to(place), there)
        (gradient,) = torch.autograd.grad(3 * loss, x)
        return loss.detach().cpu(), gradient.cpu()

    loss, gradient = loss_and_gradient(mask_loss_on_gpu, device)
    expected, expected_gradient = loss_and_gradient(ops.mask_loss, "cpu")
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)
    assert gradient.is_contiguous(memory_format=layout)


def people(count: int = 3) -> tuple[Tensor, Tensor]:
    """Boxes, and four keypoints around each: some beyond it, some not labelled."""
    boxes = boxes_of(count)
    shares = torch.rand(count, 4, 2) * 1.5 - 0.25
    points = boxes[:, None, :2] + shares * (boxes[:, 2:] - boxes[:, :2])[:, None]
    flags = torch.randint(3, (count, 4, 1)).float()
    return boxes, torch.cat([points, flags], dim=2)


def test_keypoint_targets() -> None:
    boxes, keypoints = people(9)
    found = on_device("keypoint_targets", keypoints, boxes, 7)
    expected = ops.keypoint_targets(keypoints, boxes, 7)
    for one, two in zip(found, expected, strict=True):
        assert torch.equal(one.cpu(), two)
    assert expected[1].any()
    assert not expected[1].all()


def test_keypoint_readout() -> None:
    boxes, logits = boxes_of(3), torch.randn(3, 2, 5, 5)
    found = on_device("keypoint_readout_resized", logits, boxes)
    expected = ops.keypoint_readout(logits, boxes, "resized")
    torch.testing.assert_close(found.cpu(), expected)


def test_keypoint_loss() -> None:
    """With the gradient that comes from above; channels last or not."""
    boxes, keypoints = people()
    index, valid = ops.keypoint_targets(keypoints, boxes, 6)
    logits, grad = torch.randn(3, 4, 6, 6), torch.tensor(3.0)
    expected = OPERATORS.keypoint_loss(logits, index, valid)
    arguments = grad, expected[2], expected[1], logits, index, valid
    gradient = OPERATORS.keypoint_loss_backward(*arguments)
    for form in (torch.contiguous_format, torch.channels_last):
        maps = logits.contiguous(memory_format=form)
        found = on_device("keypoint_loss", maps, index, valid)
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one.cpu(), two)
        arguments = grad, found[2], found[1], maps, index, valid
        back = on_device("keypoint_loss_backward", *arguments)
        torch.testing.assert_close(back.cpu(), gradient)


def test_shapes_of_the_mask_loss_are_propagated() -> None:
    device = "cpu" if SIMULATED else "cuda"
    logits = torch.randn(2, 3, 4, 4, device=device, requires_grad=True)
    labels = torch.tensor([2, 0], device=device)
    targets = torch.rand(2, 4, 4, device=device)
    weights = torch.ones(2, device=device)
    torch.library.opcheck(OPERATORS.mask_loss, (logits, labels, targets, weights))


SCALES = [0.25, 0.125]


def some_rois(count: int = 7) -> Tensor:
    """RoIs of two images."""
    return torch.cat([torch.arange(float(count))[:, None] % 2, boxes_of(count)], dim=1)


def pyramid(layout: torch.memory_format) -> list[Tensor]:
    """Two levels of two images of 32 x 40 pixels."""
    maps = torch.randn(2, 3, 8, 10), torch.randn(2, 3, 4, 5)
    return [one.contiguous(memory_format=layout) for one in maps]


every_layout = pytest.mark.parametrize(
    "layout", [torch.contiguous_format, torch.channels_last], ids=str
)


def assert_same(found: Tensor, expected: Tensor) -> None:
    """In values, shape and memory format."""
    torch.testing.assert_close(found.cpu(), expected)
    assert found.stride() == expected.stride()


@every_layout
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_roi_align(
    layout: torch.memory_format, mode: str, deterministic: bool, monkeypatch: Any
) -> None:
    maps, rois = pyramid(layout), some_rois()
    where = (None, [300.0])
    settings = (SCALES, 2, True, mode)
    forward = (maps, rois, *where, 2, 3, *settings)
    expected = OPERATORS.roi_align(*forward)
    assert_same(on_device("roi_align", *forward), expected)
    grad, sizes = torch.randn(expected.shape), [2, 8, 10, 4, 5]
    planar = layout == torch.contiguous_format
    read = maps if mode == "max" else []
    backward = (grad, read, rois, *where, sizes, planar, *settings[:3])
    if deterministic:
        monkeypatch.setattr(roi_on_gpu, "deterministic", lambda: True)
    found = on_device("roi_align_backward", *backward)
    for one, two in zip(found, OPERATORS.roi_align_backward(*backward), strict=True):
        assert_same(one, two)


@every_layout
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_roi_warp(layout: torch.memory_format, mode: str) -> None:
    (maps, _), rois = pyramid(layout), some_rois()
    forward = (maps, rois, 2, 3, 0.25, 2, mode)
    expected = OPERATORS.roi_warp(*forward)
    assert_same(on_device("roi_warp", *forward), expected)
    grad, planar = torch.randn(expected.shape), layout == torch.contiguous_format
    read = maps if mode == "max" else None
    backward = (grad, read, rois, [2, 3, 8, 10], planar, 0.25, 2)
    found = on_device("roi_warp_backward", *backward)
    assert_same(found, OPERATORS.roi_warp_backward(*backward))


@every_layout
def test_roi_pool(layout: torch.memory_format) -> None:
    (maps, _), rois = pyramid(layout), some_rois()
    forward = (maps, rois, 2, 3, 0.25, "round")
    expected, winners = OPERATORS.roi_pool(*forward)
    found, argmax = on_device("roi_pool", *forward)
    assert_same(found, expected)
    assert_same(argmax, winners)
    assert_same(on_device("roi_pool_maxima", *forward), expected)
    grad, planar = torch.randn(expected.shape), layout == torch.contiguous_format
    backward = (grad, winners, rois, [2, 3, 8, 10], planar)
    found = on_device("roi_pool_backward", *backward)
    assert_same(found, OPERATORS.roi_pool_backward(*backward))
