"""What only a real GPU can show; skipped visibly where there is none.

The property suites run their laws on the GPU too (floor "cuda-gpu"). Here is the rest:
operators give what they give on the CPU, wait for nobody, work on torch's current
stream, in CUDA graphs and in whole training steps, and repeat themselves bit by bit
where asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.mask_rcnn import MaskRCNN
from maskrcnn_scratch.structures import Target

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

SCALES = (0.25, 0.125)
RULE = ops.LevelRule(k0=1, canonical=30.0, k_min=0, k_max=1)


def pyramid(device: str = "cuda", dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Two levels of two images of 64 x 64 pixels, 40 channels, channels last."""
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 40, side, side, generator=generator) for side in (16, 8)]
    return [
        one.to(device, dtype, memory_format=torch.channels_last).requires_grad_()
        for one in maps
    ]


def some_rois(device: str = "cuda", count: int = 50) -> Tensor:
    """RoIs of both images and of sides from 2 to 60 pixels."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(2, (count, 1), generator=generator)
    corner = torch.rand(count, 2, generator=generator) * 40
    sides = 2 + torch.rand(count, 2, generator=generator) * 58
    return torch.cat([image, corner, corner + sides], dim=1).to(device)


def aligned(maps: list[Tensor], rois: Tensor) -> Tensor:
    return ops.multiscale_roi_align(maps, rois, RULE, 7, SCALES)


LAYERS: dict[str, Callable[[list[Tensor], Tensor], Tensor]] = {
    "roi_align of a pyramid": aligned,
    "roi_align, adaptive": lambda maps, rois: ops.roi_align(maps[0], rois, 7, 0.25, 0),
    "roi_align, maximum": lambda maps, rois: ops.roi_align(
        maps[0], rois, 7, 0.25, 2, True, "max"
    ),
    "roi_pool": lambda maps, rois: ops.roi_pool(maps[0], rois, 7, 0.25),
    "roi_warp": lambda maps, rois: ops.roi_warp(maps[0], rois, 7, 0.25),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


@contextmanager
def no_waiting() -> Iterator[None]:
    """An error where the host would wait for the GPU."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def forward_and_backward(name: str, device: str, dtype: torch.dtype) -> list[Tensor]:
    """A layer's output, and its gradient by the maps for a fixed one from above."""
    maps = pyramid(device, dtype)
    out = LAYERS[name](maps, some_rois(device))
    used = maps if name == "roi_align of a pyramid" else maps[:1]
    weights = torch.linspace(-1, 1, out.numel(), device=device).view(out.shape)
    return [out, *torch.autograd.grad(out, used, weights.to(dtype))]


@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_layers_give_what_they_give_on_the_cpu(name: str, dtype: torch.dtype) -> None:
    found = forward_and_backward(name, "cuda", dtype)
    expected = forward_and_backward(name, "cpu", dtype)
    for one, two in zip(found, expected, strict=True):
        scale = float(two.detach().abs().max())
        tolerance = scale * {torch.float32: 1e-5}.get(dtype, 2 * torch.finfo(dtype).eps)
        torch.testing.assert_close(one.cpu(), two, rtol=0, atol=tolerance)


@every_layer
def test_layers_do_not_wait(name: str) -> None:
    forward_and_backward(name, "cuda", torch.float32)  # compiled by now
    maps, rois = pyramid(), some_rois()
    with no_waiting():
        LAYERS[name](maps, rois).sum().backward()


@every_layer
def test_deterministic_gradients_are_the_same_every_time(name: str) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        runs = [forward_and_backward(name, "cuda", torch.float32) for _ in range(3)]
    finally:
        torch.use_deterministic_algorithms(False)
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))
    by_atomics = forward_and_backward(name, "cuda", torch.float32)
    for one, two in zip(by_atomics, runs[0], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def masks_and_losses() -> dict[str, Callable[[], Any]]:
    """The other operators of a training step, ready to run."""
    device = "cuda"
    boxes, masks = some_rois()[:, 1:], torch.ones(3, 64, 64, device=device).byte()
    index, labels = torch.arange(50, device=device) % 3, torch.ones(50).long().cuda()
    maps = torch.rand(50, 28, 28, device=device)
    logits = torch.randn(50, 4, 28, 28, device=device, requires_grad=True)
    weights = torch.arange(50.0, device=device) % 2
    keypoints = torch.rand(50, 4, 3, device=device) * 64
    cells, sizes = torch.rand(2, 3, 4, device=device), torch.full((1, 2), 64.0).cuda()
    deltas, scores = torch.randn(1, 50, 4).cuda(), torch.rand(1, 50).cuda()
    return {
        "match": lambda: ops.match(boxes[:5], boxes, 0.7, 0.3, True),
        "mask_targets": lambda: ops.mask_targets(masks, boxes, index, 28),
        "paste_masks": lambda: ops.paste_masks(maps, boxes, (64, 64)),
        "mask_loss": lambda: ops.mask_loss(logits, labels, maps, weights).backward(),
        "keypoint_loss": lambda: ops.keypoint_loss(
            logits, *ops.keypoint_targets(keypoints, boxes, 28)
        ).backward(),
        "keypoint_readout": lambda: ops.keypoint_readout(logits, boxes, "resized"),
        "anchors": lambda: ops.pyramid_anchors(cells, (4, 8), [(16, 16), (8, 8)]),
        "decode": lambda: ops.decode_proposals(
            boxes, deltas, scores, labels[None].cumsum(1) - 1, sizes
        ),
    }


MASKS = ["match", "mask_targets", "paste_masks", "mask_loss"]


@pytest.mark.parametrize("name", [*MASKS, "keypoint_loss", "keypoint_readout"])
def test_other_operators_do_not_wait(name: str) -> None:
    operator = masks_and_losses()[name]
    operator()
    with no_waiting():
        operator()


@pytest.mark.parametrize("name", ["anchors", "decode"])
def test_anchors_and_decoding_do_not_wait(name: str) -> None:
    test_other_operators_do_not_wait(name)


def test_nms_is_that_of_the_cpu() -> None:
    rois = some_rois(count=5000)
    scores = torch.rand(5000, device="cuda")
    segments = torch.arange(5000, device="cuda") % 5
    kept = ops.batched_nms(rois[:, 1:], scores, segments, 0.5)
    expected = ops.batched_nms(rois[:, 1:].cpu(), scores.cpu(), segments.cpu(), 0.5)
    assert torch.equal(kept.cpu(), expected)


def test_float64_passes_gradcheck() -> None:
    maps = [one[:1, :2].detach().double().requires_grad_() for one in pyramid()]
    rois = some_rois(count=3).double()
    rois[:, 0] = 0
    assert torch.autograd.gradcheck(
        lambda *levels: ops.multiscale_roi_align(levels, rois, RULE, 3, SCALES), maps
    )


def test_launches_are_on_the_current_stream() -> None:
    """What a stream computes first is there for the launch behind it."""
    maps, rois = [one.detach() for one in pyramid()], some_rois()
    expected = aligned([one * 2 for one in maps], rois)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        doubled = [one * 2 for one in maps]
        out = aligned(doubled, rois)
    stream.synchronize()
    torch.testing.assert_close(out, expected)


def test_outputs_come_from_torch() -> None:
    maps, rois = [one.detach() for one in pyramid()], some_rois()
    aligned(maps, rois)
    before = torch.cuda.memory_allocated()
    out = aligned(maps, rois)
    assert torch.cuda.memory_allocated() - before >= out.nbytes


def test_a_cuda_graph_replays_roi_align() -> None:
    maps, rois = [one.detach() for one in pyramid()], some_rois()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):  # compiled outside of the capture
        aligned(maps, rois)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = aligned(maps, rois)
    for one in maps:
        one.mul_(-3)
    graph.replay()
    torch.testing.assert_close(out, aligned(maps, rois))


def a_batch(device: str) -> tuple[list[Tensor], list[Target]]:
    """An image with two objects."""
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(3, 96, 128, generator=generator)
    boxes = torch.tensor([[10.0, 10, 50, 60], [60, 20, 120, 90]])
    masks = torch.zeros(2, 96, 128, dtype=torch.uint8)
    masks[0, 10:60, 10:50] = 1
    masks[1, 20:90, 60:120] = 1
    target = Target(0, boxes, torch.tensor([1, 2]), masks, torch.tensor([False, False]))
    return [image.to(device)], [target.to(device)]


def test_a_training_step_does_not_wait() -> None:
    """From the images to the gradients: RPN, sampling, heads, losses and back."""
    torch.manual_seed(0)
    model = MaskRCNN(ModelConfig(num_classes=2, depth=18)).train().cuda()
    images, targets = a_batch("cuda")
    for _ in range(2):  # the first time kernels are compiled
        sum(model(images, targets).values()).backward()
    with no_waiting():
        sum(model(images, targets).values()).backward()


def test_proposals_do_not_wait() -> None:
    model = MaskRCNN(ModelConfig(num_classes=2, depth=18)).eval().cuda()
    images, _ = a_batch("cuda")
    with torch.no_grad():
        sizes = torch.tensor([[96.0, 128.0]], device="cuda")
        maps = model.feature_maps(model.batch(images))
        model.proposals(maps, sizes, None)
        with no_waiting():
            model.proposals(model.feature_maps(model.batch(images)), sizes, None)


def test_a_training_step_gives_the_losses_of_the_cpu() -> None:
    """With every anchor and RoI sampled, nothing is left to chance."""
    config = ModelConfig(num_classes=2, depth=18, rpn_samples=10**6, roi_samples=10**6)
    torch.manual_seed(0)
    model = MaskRCNN(config).train()
    expected = model(*a_batch("cpu"))
    found = model.cuda()(*a_batch("cuda"))
    for name, loss in expected.items():
        torch.testing.assert_close(found[name].cpu(), loss, rtol=1e-3, atol=1e-4)
