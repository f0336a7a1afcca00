"""What the operators promise beyond the components' laws.

The laws themselves run over this floor in the components' own suites. Here: arguments
are checked, gradients are those of the function, compiled graphs and threads change
nothing, and float32, bfloat16 and any memory format are taken.

Faults tried, and the test that caught each:

- > for >= where a level begins, a border moved ->
  test_a_rule_chooses_the_levels_that_fpn_levels_gives
- shapes propagated wrongly, for bins (memory format too), boxes and anchors ->
  test_operators_are_registered_rightly
- no look at the number of levels, or at max_keep -> test_wrong_arguments_are_named
"""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from maskrcnn_scratch import ops
from maskrcnn_scratch.cpu import threads
from maskrcnn_scratch.cpu.compiled import forget_stale_kernels
from maskrcnn_scratch.reference import masks as reference_masks
from maskrcnn_scratch.reference.fpn_levels import fpn_levels

BOXES = torch.tensor([[1.0, 1, 5, 6], [2, 1, 6, 6], [20, 3, 30, 9]])
ROIS = torch.cat([torch.tensor([[0.0], [1], [0]]), BOXES], dim=1)
SCORES = torch.tensor([0.5, 0.9, 0.7])
FEATURES = torch.randn(2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
SCALES = [1 / 2, 1 / 4]

Layer = Callable[..., Tensor]
LAYERS: dict[str, Layer] = {
    "align mean": lambda x, rois: ops.roi_align(x, rois, (2, 3), 0.5, 2, True),
    "align max": lambda x, rois: ops.roi_align(x, rois, 2, 0.5, 0, False, "max"),
    "warp mean": lambda x, rois: ops.roi_warp(x, rois, (2, 3), 0.5),
    "warp max": lambda x, rois: ops.roi_warp(x, rois, 2, 0.5, 1, "max"),
    "pool round": lambda x, rois: ops.roi_pool(x, rois, (2, 3), 0.5),
    "pool floor": lambda x, rois: ops.roi_pool(x, rois, 2, 0.5, "floor"),
    "pyramid": lambda x, rois: ops.multiscale_roi_align(
        [x, x[..., ::2, ::2]],
        rois,
        (torch.arange(len(rois)) + 1) // 2 % 2,
        (2, 3),
        SCALES,
    ),
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())


@pytest.fixture
def own_checks() -> Iterator[None]:
    """Without the tests' run-time shape checks, as users run the package."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def restore_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# Arguments

INDEX = torch.tensor([0, 1, 0])
MASKS = torch.ones(2, 8, 9, dtype=torch.uint8)
LOGITS = torch.zeros(3, 4)

WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "boxes of five columns": (
        lambda: ops.box_area(ROIS),
        ValueError,
        r"boxes must be \[n, 4\], not \[3, 5\]",
    ),
    "boxes of integers": (
        lambda: ops.box_iou(BOXES, BOXES.long()),
        TypeError,
        r"b must hold floating-point numbers, not torch.int64",
    ),
    "an empty box to encode": (
        lambda: ops.encode_boxes(BOXES, BOXES * torch.tensor([1, 1, 0, 1])),
        ValueError,
        r"boxes\[0\] is \(1, 1, 0, 6\): encoding needs x2 > x1 and y2 > y1",
    ),
    "an empty anchor": (
        lambda: ops.encode_boxes(BOXES * 0, BOXES),
        ValueError,
        r"reference_boxes\[0\] is \(0, 0, 0, 0\)",
    ),
    "deltas of other boxes": (
        lambda: ops.decode_boxes(BOXES, BOXES[:2]),
        ValueError,
        "deltas must have a row for each of the 3 reference boxes, but has 2",
    ),
    "a ratio of 0": (
        lambda: ops.cell_anchors((32,), (0.0, 1.0)),
        ValueError,
        r"sizes and ratios must be positive, not \(32,\) and \(0.0, 1.0\)",
    ),
    "a stride of 0": (
        lambda: ops.grid_anchors(BOXES, 0, (2, 2)),
        ValueError,
        "stride must be positive, not 0",
    ),
    "unknown level rounding": (
        lambda: ops.fpn_levels(BOXES, rounding="ceil"),  # type: ignore[arg-type]
        ValueError,
        "rounding must be 'floor' or 'round', not 'ceil'",
    ),
    "thresholds the wrong way round": (
        lambda: ops.match(BOXES, BOXES, 0.3, 0.7, True),
        ValueError,
        "low must be at most high, but low = 0.7, high = 0.3",
    ),
    "a fraction above 1": (
        lambda: ops.sample(INDEX, 2, 1.5),
        ValueError,
        r"positive_fraction in \[0, 1\], not 2 and 1.5",
    ),
    "scores of other boxes": (
        lambda: ops.nms(BOXES, SCORES[:2], 0.5),
        ValueError,
        "scores must have a row for each of the 3 boxes, but has 2",
    ),
    "an IoU in percent": (
        lambda: ops.nms(BOXES, SCORES, 50),
        ValueError,
        r"iou_threshold must be in \[0, 1\], not 50",
    ),
    "fewer than no survivors": (
        lambda: ops.batched_nms(BOXES, SCORES, INDEX, 0.5, -1),
        ValueError,
        "max_keep must not be negative, not -1",
    ),
    "classes as floats": (
        lambda: ops.batched_nms(BOXES, SCORES, SCORES, 0.5),
        TypeError,
        "idxs must hold integers, not torch.float32",
    ),
    "a label too many": (
        lambda: ops.softmax_cross_entropy(LOGITS, torch.tensor([0, 4, 1])),
        ValueError,
        r"labels must be in 0..3, but number 1 is 4",
    ),
    "a background among mask labels": (
        lambda: ops.mask_loss(
            torch.zeros(3, 2, 5, 5), torch.tensor([0, 1, -1]), torch.zeros(3, 5, 5)
        ),
        ValueError,
        r"labels must be in 0..1, but number 2 is -1",
    ),
    "targets that would broadcast": (
        lambda: ops.smooth_l1_loss(BOXES, BOXES[:1], 1.0),
        ValueError,
        r"x and target must have one shape, not \[3, 4\] and \[1, 4\]",
    ),
    "a negative beta": (
        lambda: ops.smooth_l1_loss(BOXES, BOXES, -1.0),
        ValueError,
        "beta must be at least 0, not -1",
    ),
    "one feature map without its batch": (
        lambda: ops.roi_align(FEATURES[0], ROIS, 2),
        ValueError,
        r"features must be \[images, channels, height, width\], not \[3, 8, 9\]",
    ),
    "features of integers": (
        lambda: ops.roi_pool(FEATURES.long(), ROIS, 2),
        TypeError,
        "features must hold floating-point numbers, not torch.int64",
    ),
    "features without cells": (
        lambda: ops.roi_warp(FEATURES[:, :, :0], ROIS, 2),
        ValueError,
        r"at least one cell, not \[2, 3, 0, 9\]",
    ),
    "RoIs without an image": (
        lambda: ops.roi_align(FEATURES, BOXES, 2),
        ValueError,
        r"boxes must be \[rois, 5\], not \[3, 4\]",
    ),
    "a RoI of an image that is not there": (
        lambda: ops.roi_align(FEATURES[:1], ROIS, 2),
        ValueError,
        r"boxes\[1\] = .* belongs to image 1, expected a whole number from 0 to 0",
    ),
    "x1 where the image should be": (
        lambda: ops.roi_pool(FEATURES, ROIS + 0.5, 2),
        ValueError,
        "belongs to image 0.5, expected a whole number from 0 to 1",
    ),
    "a list of boxes too short": (
        lambda: ops.roi_align(FEATURES, [BOXES], 2),
        ValueError,
        "one tensor for each of the 2 images, not 1",
    ),
    "no bins": (
        lambda: ops.roi_align(FEATURES, ROIS, (2, 0)),
        ValueError,
        r"one number or \(height, width\), at least 1, not \(2, 0\)",
    ),
    "no scale": (
        lambda: ops.roi_warp(FEATURES, ROIS, 2, spatial_scale=0),
        ValueError,
        r"spatial_scale must be positive \(1 / stride\), not 0",
    ),
    "an unknown mode": (
        lambda: ops.roi_align(FEATURES, ROIS, 2, mode="sum"),  # type: ignore[arg-type]
        ValueError,
        """mode must be "mean" or "max", not 'sum'""",
    ),
    "an unknown rounding": (
        lambda: ops.roi_pool(FEATURES, ROIS, 2, rounding="ceil"),  # type: ignore[arg-type]
        ValueError,
        "rounding must be 'round' or 'floor', not 'ceil'",
    ),
    "a level without its scale": (
        lambda: ops.multiscale_roi_align([FEATURES] * 2, ROIS, INDEX, 2, [0.5]),
        ValueError,
        "not 2 levels and 1 scales",
    ),
    "a level that is not there": (
        lambda: ops.multiscale_roi_align([FEATURES], ROIS, INDEX, 2, [0.5]),
        ValueError,
        r"levels must be in 0..0, but number 1 is 1",
    ),
    "fewer levels than RoIs": (
        lambda: ops.multiscale_roi_align([FEATURES], ROIS, INDEX[:2], 2, [0.5]),
        ValueError,
        "levels must have a row for each of the 3 RoIs, but has 2",
    ),
    "levels of other channels": (
        lambda: ops.multiscale_roi_align(
            [FEATURES, FEATURES[:, :2]], ROIS, INDEX, 2, SCALES
        ),
        ValueError,
        r"the same images and channels, not \[2, 3\] and \[2, 2\]",
    ),
    "levels of other types": (
        lambda: ops.multiscale_roi_align(
            [FEATURES, FEATURES.double()], ROIS, INDEX, 2, SCALES
        ),
        TypeError,
        "all levels must be torch.float32 on cpu, but one is torch.float64 on cpu",
    ),
    "a mask as floats": (
        lambda: ops.mask_targets(MASKS.float(), BOXES, INDEX, 7),
        TypeError,
        "masks must be uint8, not torch.float32",
    ),
    "a mask that is not there": (
        lambda: ops.mask_targets(MASKS[:1], BOXES, INDEX, 7),
        ValueError,
        r"index must be in 0..0, but number 1 is 1",
    ),
    "an unknown target rule": (
        lambda: ops.mask_targets(MASKS, BOXES, INDEX, 7, "hard"),  # type: ignore[arg-type]
        ValueError,
        "rule must be 'soft' or 'threshold', not 'hard'",
    ),
    "maps that are not square": (
        lambda: ops.paste_masks(torch.zeros(3, 4, 5), BOXES, (8, 9)),
        ValueError,
        r"probabilities must be \[n, m, m\], not \[3, 4, 5\]",
    ),
    "a threshold that every pixel reaches": (
        lambda: ops.paste_masks(torch.zeros(3, 4, 4), BOXES, (8, 9), 0.0),
        ValueError,
        "threshold positive",
    ),
    "an unknown rule to paste": (
        lambda: ops.paste_masks(torch.zeros(3, 4, 4), BOXES, (8, 9), 0.5, "best"),  # type: ignore[arg-type]
        ValueError,
        "rule must be 'centres' or 'integer', not 'best'",
    ),
    "an unknown rule to read keypoints": (
        lambda: ops.keypoint_readout(torch.zeros(3, 2, 4, 4), BOXES, "best"),  # type: ignore[arg-type]
        ValueError,
        "rule must be 'bin' or 'resized', not 'best'",
    ),
    "keypoints without visibility": (
        lambda: ops.keypoint_targets(torch.zeros(3, 2, 2), BOXES, 4),
        ValueError,
        r"keypoints must be \[n, points, 3\], not \[3, 2, 2\]",
    ),
    "a bin for each RoI alone": (
        lambda: ops.keypoint_loss(torch.zeros(3, 2, 4, 4), INDEX, INDEX > 0),
        ValueError,
        r"index must be \[3, 2\], not \[3\]",
    ),
}


@pytest.mark.usefixtures("own_checks")
@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_wrong_arguments_are_named(
    case: tuple[Callable[[], Any], type[Exception], str],
) -> None:
    call, error, message = case
    with pytest.raises(error, match=message):
        call()


def test_nothing_in_nothing_out() -> None:
    none, no_index = BOXES[:0], INDEX[:0]
    assert ops.nms(none, SCORES[:0], 0.5).tolist() == []
    assert ops.roi_align(FEATURES, ROIS[:0], (2, 3)).shape == (0, 3, 2, 3)
    assert ops.roi_pool(FEATURES, [none, none], 2).shape == (0, 3, 2, 2)
    assert ops.mask_targets(MASKS[:0], none, no_index, 7).shape == (0, 7, 7)
    assert ops.paste_masks(torch.zeros(0, 4, 4), none, (8, 9)).shape == (0, 8, 9)
    assert ops.match(none, BOXES, 0.7, 0.3, True).tolist() == [-1, -1, -1]
    assert ops.match(BOXES, none, 0.7, 0.3, True).tolist() == []
    logits = torch.zeros(0, 4, requires_grad=True)
    loss = ops.softmax_cross_entropy(logits, no_index)
    loss.backward()  # a batch without positives still has a graph
    assert loss.item() == 0
    assert logits.grad is not None


# Gradients


@every_layer
def test_gradients_are_those_of_the_layer(layer: Layer) -> None:
    features = FEATURES.double().requires_grad_()
    assert gradcheck(lambda x: layer(x, ROIS.double()), (features,))


def test_gradients_of_boxes_and_losses() -> None:
    boxes = BOXES.double().requires_grad_()
    moved = (BOXES.double() + torch.tensor([0.5, -0.25, 1, 2])).requires_grad_()
    logits = torch.randn(3, 4, 2, 2, dtype=torch.float64).requires_grad_()
    targets = torch.rand(3, 2, 2, dtype=torch.float64)
    assert gradcheck(ops.box_iou, (boxes, moved))
    assert gradcheck(ops.encode_boxes, (boxes, moved))
    assert gradcheck(ops.decode_boxes, (boxes, moved * 0.01))
    assert gradcheck(lambda x: ops.clip_boxes(x, (5, 7)), (boxes * 1.1,))
    assert gradcheck(lambda x: ops.smooth_l1_loss(x, moved, 0.75), (boxes,))
    assert gradcheck(
        lambda x: ops.softmax_cross_entropy(x, INDEX), (logits.flatten(1),)
    )
    assert gradcheck(lambda x: ops.mask_loss(x, INDEX, targets), (logits,))
    classes = INDEX.clamp(max=logits.shape[1] - 2)
    assert gradcheck(lambda x: ops.softmax_mask_loss(x, classes, targets), (logits,))
    points = torch.tensor([[True, False]] * 3)
    bins = INDEX[:, None].expand(-1, 2)
    assert gradcheck(lambda x: ops.keypoint_loss(x, bins, points), (logits[:, :2],))


def test_no_gradient_where_the_loss_has_a_kink_or_boxes_are_empty() -> None:
    """Formulas with a 0 / 0 in a branch not taken would put NaN into the gradient."""
    x = torch.zeros(3, requires_grad=True)
    (at_target,) = torch.autograd.grad(ops.smooth_l1_loss(x, torch.zeros(3), 0.0), x)
    assert at_target.tolist() == [0, 0, 0]
    half = torch.full((3,), 0.25)
    (at_zero,) = torch.autograd.grad(ops.sigmoid_cross_entropy(x, half), x)
    assert at_zero.tolist() == pytest.approx([0.25 / 3] * 3)
    empty = torch.zeros(2, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(ops.box_iou(empty, empty).sum(), empty)
    assert gradient.isfinite().all()


def test_a_gradient_reaches_each_level_and_only_where_it_was_read() -> None:
    pyramid = [FEATURES.clone().requires_grad_() for _ in range(3)]
    levels = torch.tensor([0, 0, 2])
    out = ops.multiscale_roi_align(pyramid, ROIS, levels, 2, [0.5, 0.5, 0.25])
    gradients = torch.autograd.grad(out.sum(), pyramid)
    # Every bin reads with weights that sum to 1: so much reaches the maps in all.
    assert [round(g.sum().item()) for g in gradients] == [2 * 12, 0, 12]
    assert not gradients[2][1].any()  # the RoI on level 2 is of image 0


# Types and memory


@every_layer
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rounds_once(layer: Layer, dtype: torch.dtype) -> None:
    features = FEATURES.to(dtype).requires_grad_()
    exact = FEATURES.to(dtype).float().requires_grad_()
    out, wanted = layer(features, ROIS), layer(exact, ROIS)
    assert out.dtype == dtype
    assert torch.equal(out, wanted.to(dtype))
    (gradient,) = torch.autograd.grad(out.sum(), features)
    (wanted_gradient,) = torch.autograd.grad(wanted.sum(), exact)
    assert gradient.dtype == dtype
    torch.testing.assert_close(gradient, wanted_gradient.to(dtype))


@every_layer
def test_float32_is_close_to_float64(layer: Layer) -> None:
    out = layer(FEATURES, ROIS)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.double(), layer(FEATURES.double(), ROIS.double()))


def test_a_rule_chooses_the_levels_that_fpn_levels_gives() -> None:
    """And an empty box, or one of NaN, is read from the first."""
    rule = ops.LevelRule(k0=1, canonical=4.0, k_min=0, k_max=2)
    maps = [torch.full((1, 1, 8, 8), float(level)) for level in range(3)]
    sides = [0.5, 1.99, 2.0, 3.99, 4.0, 7.99, 8.0, 100.0, 0.0, float("nan")]
    boxes = torch.tensor([[0.0, 1, 1, 1 + side, 1 + side] for side in sides])
    settings = (1, [1 / 32] * 3, 1, False)
    found = ops.multiscale_roi_align(maps, boxes[:-2], rule, *settings)
    levels = ops.fpn_levels(boxes[:, 1:], 1, 4.0, 0, 2)
    assert found.flatten().round().int().tolist() == levels[:-2].tolist()
    assert levels.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 0, 0]
    with pytest.raises(ValueError, match="the rule has 3 levels, but there are 2"):
        ops.multiscale_roi_align(maps[:2], boxes, rule, 1, [1.0] * 2)


@every_layer
def test_the_memory_format_does_not_matter(layer: Layer) -> None:
    """But for what comes out: it is as what went in, gradients too."""
    last = FEATURES.contiguous(memory_format=torch.channels_last).requires_grad_()
    strided = FEATURES.repeat_interleave(2, dim=3)[..., ::2].requires_grad_()
    first = FEATURES.clone().requires_grad_()
    outs = [layer(x, ROIS) for x in (last, strided, first)]
    grads = [
        torch.autograd.grad(out.square().sum(), x)[0]
        for out, x in zip(outs, (last, strided, first), strict=True)
    ]
    formats = (torch.channels_last, *[torch.contiguous_format] * 2)
    for out, grad, given in zip(outs, grads, formats, strict=True):
        assert out.is_contiguous(memory_format=given)
        assert grad.is_contiguous(memory_format=given)
        assert torch.equal(out, outs[0])
        assert torch.equal(grad, grads[0])


def test_a_list_of_boxes_is_their_images_in_order() -> None:
    listed = ops.roi_align(FEATURES, [BOXES[:1], BOXES[1:]], 2, 0.5, 2)
    rois = torch.cat([torch.tensor([[0.0], [1], [1]]), BOXES], dim=1)
    assert torch.equal(listed, ops.roi_align(FEATURES, rois, 2, 0.5, 2))


def test_the_pyramid_is_its_levels_one_by_one() -> None:
    pyramid = [FEATURES, FEATURES[..., ::2, 1:]]
    levels = torch.tensor([1, 0, 1])
    out = ops.multiscale_roi_align(pyramid, ROIS, levels, (2, 3), SCALES)
    for roi, level, bins in zip(ROIS, levels, out, strict=True):
        alone = ops.roi_align(
            pyramid[level], roi[None], (2, 3), SCALES[level], 2, aligned=True
        )
        assert torch.equal(bins, alone[0])


@pytest.mark.parametrize("mode", ["mean", "max"])
def test_a_box_of_a_billion_pixels_takes_no_longer_than_the_map(mode: str) -> None:
    """Adaptive sampling asks for a billion points a bin; those outside read 0."""
    huge = torch.tensor([[0, -1e9, -1e9, 1e9, 1e9], [0, 0, 0, 1e300, 2]]).double()
    ones = torch.ones(1, 1, 4, 6, dtype=torch.float64, requires_grad=True)
    out = ops.roi_align(ones, huge, 1, 1.0, 0, True, mode)  # type: ignore[arg-type]
    share = 5 * 7 / 4e18 if mode == "mean" else 1  # points within [-1, size]
    assert out[0].item() == pytest.approx(share)
    (gradient,) = torch.autograd.grad(out[0].sum(), ones)
    assert gradient.sum().item() == pytest.approx(share)


def test_float32_nms_is_exact_at_the_threshold() -> None:
    """Two classes of boxes, IoU 1/2 in each: adding class offsets would round it."""
    third = 1 / 3
    boxes = torch.tensor([[0, 0, 3, 1], [1, 0, 3, 1], [1, 0, 4, 1], [3, 0, 4, 1]])
    boxes = (boxes * third).float()
    scores, classes = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 1, 0, 7])
    assert ops.batched_nms(boxes, scores, classes, 0.5).tolist() == [0, 1, 2, 3]
    assert ops.batched_nms(boxes, scores, classes, 0.49).tolist() == [0, 1, 3]


def test_float32_levels_are_exact_at_their_borders() -> None:
    """Sides of 112, 224, 448 and their neighbours; w h rounds across the border."""
    sides = torch.tensor([112.0, 224, 448])
    below, above = sides.nextafter(0 * sides), sides.nextafter(2 * sides)
    sizes = torch.cartesian_prod(*[torch.cat([below, sides, above])] * 2)
    boxes = torch.cat([torch.zeros_like(sizes), sizes], dim=1)
    levels = ops.fpn_levels(boxes)
    assert levels.tolist() == fpn_levels(boxes.double().numpy()).tolist()


# Masks: reference.masks has its own suite


def mask_cases() -> Iterator[tuple[Tensor, Tensor]]:
    """(map, box) pairs: within, across the border, outside, flat and inverted boxes."""
    generator = torch.Generator().manual_seed(0)
    boxes = [
        *([2, 3, 9, 7], [-4.5, -2.25, 6, 20], [5.5, 5.5, 6.25, 6], [0, 0, 12, 10]),
        *([20, 20, 30, 30], [4, 4, 4, 8], [8, 8, 4, 4], [-30, -30, 60, 60]),
    ]
    for box in boxes:
        probability = torch.rand(5, 5, dtype=torch.float64, generator=generator)
        yield probability, torch.tensor(box, dtype=torch.float64)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 1.0])
def test_pasting_equals_the_reference(threshold: float) -> None:
    for probability, box in mask_cases():
        pasted = ops.paste_masks(probability[None], box[None], (10, 12), threshold)[0]
        wanted = reference_masks.paste_mask(
            probability.numpy(), box.numpy(), (10, 12), threshold
        )
        assert pasted.tolist() == wanted.tolist(), box


@pytest.mark.parametrize("rule", ["soft", "threshold"])
def test_mask_targets_equal_the_reference(rule: str) -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 2, (3, 10, 12), dtype=torch.uint8, generator=generator)
    boxes = torch.stack([box for _, box in mask_cases()])
    index = torch.arange(len(boxes)) % 3
    targets = ops.mask_targets(masks, boxes, index, 4, rule)  # type: ignore[arg-type]
    wanted = reference_masks.mask_targets(
        masks.numpy(), boxes.numpy(), index.numpy(), 4, rule
    )
    torch.testing.assert_close(targets, torch.from_numpy(wanted))


# Graphs


def every_operator() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Each registered operator with arguments."""
    x = FEATURES.clone().requires_grad_()
    pyramid = [x, FEATURES[..., ::2, ::2].clone().requires_grad_()]
    for mode in ("mean", "max"):
        for where in ((INDEX, [math.nan]), (None, [30.0])):
            yield "roi_align", (pyramid, ROIS, *where, 2, 3, SCALES, 2, True, mode)
        yield "roi_warp", (x, ROIS, 2, 3, 0.5, 2, mode)
    last = FEATURES.contiguous(memory_format=torch.channels_last).requires_grad_()
    given = (INDEX * 0, [math.nan])
    yield "roi_align", ([last], ROIS, *given, 2, 3, [0.5], 2, True, "mean")
    yield "roi_pool", (x, ROIS, 2, 3, 0.5, "round")
    yield "segmented_nms", (BOXES, SCORES, INDEX, 0.5, None)
    yield "segmented_nms", (BOXES, SCORES, INDEX, 0.5, 1)
    yield "match", (BOXES, BOXES[1:], 0.7, 0.3, True)
    yield "mask_fractions", (MASKS, BOXES, INDEX, 7)
    yield "paste_masks", (torch.rand(3, 4, 4), BOXES, 8, 9, 0.5)
    yield "keypoint_targets", (torch.rand(3, 2, 3), BOXES, 7)
    maps, bins = torch.rand(3, 2, 4, 4).requires_grad_(), INDEX[:, None].expand(-1, 2)
    yield "keypoint_loss", (maps, bins, bins > 0)
    yield "keypoint_readout_resized", (torch.rand(3, 2, 4, 4), BOXES)
    yield "pyramid_anchors", (torch.rand(2, 3, 4), [4.0, 8.0], [3, 2], [5, 3])
    deltas, sizes, ones = torch.rand(1, 3, 4), torch.rand(2, 2), [1.0] * 4
    chosen = (SCORES[None, :2], INDEX[None, :2])
    yield "decode_proposals", (BOXES, deltas, *chosen, sizes[:1], ones, 0.0)
    scores = torch.rand(3, 2)
    yield "decode_detections", (ROIS, torch.rand(3, 2, 4), scores, sizes, 0.5, ones)


@pytest.mark.usefixtures("own_checks")  # symbolic sizes are no ints
@pytest.mark.parametrize(("name", "args"), list(every_operator()))
def test_operators_are_registered_rightly(name: str, args: tuple[Any, ...]) -> None:
    """torch's own examination: schema, autograd, shape propagation, compiled graphs."""
    torch.library.opcheck(getattr(torch.ops.maskrcnn_scratch, name).default, args)


@pytest.mark.usefixtures("own_checks")
@every_layer
def test_a_compiled_layer_is_the_layer(layer: Layer) -> None:
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x, y = FEATURES.clone().requires_grad_(), FEATURES.clone().requires_grad_()
    out, wanted = compiled(x, ROIS), layer(y, ROIS)
    assert torch.equal(out, wanted)
    out.square().sum().backward()
    wanted.square().sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.grad)  # type: ignore[arg-type]


@pytest.mark.usefixtures("own_checks")
def test_boxes_losses_and_suppression_compile_into_one_graph() -> None:
    def head(deltas: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        boxes = ops.clip_boxes(ops.decode_boxes(BOXES, deltas), (20, 25))
        kept = ops.nms(boxes, logits[:, 1], 0.3)
        loss = ops.softmax_cross_entropy(logits, INDEX)
        goals = ops.encode_boxes(BOXES, BOXES + 1)
        return boxes[kept], loss + ops.smooth_l1_loss(deltas, goals, 0.5)

    compiled = torch.compile(head, backend="aot_eager", fullgraph=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):  # another number of survivors needs no other graph
        deltas, logits = torch.randn(2, 3, 4, generator=generator)
        boxes, loss = compiled(deltas, logits)
        wanted_boxes, wanted_loss = head(deltas, logits)
        assert torch.equal(boxes, wanted_boxes)
        torch.testing.assert_close(loss, wanted_loss)


# Threads and processes


@pytest.mark.usefixtures("restore_threads")
@every_layer
def test_threads_change_nothing(layer: Layer) -> None:
    """Bit for bit: sums are taken in one order whoever takes them."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(40, 4, generator=generator) * 18
    images = torch.randint(0, 2, (40, 1), generator=generator)
    rois = torch.cat([images, corners], dim=1)  # some inside out
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        features = FEATURES.repeat(1, 16, 1, 1).requires_grad_()
        out = layer(features, rois)
        (gradient,) = torch.autograd.grad(out.square().sum(), features)
        results.append((out, gradient))
    for out, gradient in results[1:]:
        assert torch.equal(out, results[0][0])
        assert torch.equal(gradient, results[0][1])


@pytest.mark.usefixtures("restore_threads")
def test_kernels_use_as_many_threads_as_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(3)
    allowed = []
    run = threads.run

    def watched(tasks: Sequence[threads.Task], workers: int) -> None:
        allowed.append(workers)
        run(tasks, workers)

    monkeypatch.setattr(threads, "run", watched)
    features = FEATURES.clone().requires_grad_()
    for layer in LAYERS.values():
        layer(features, ROIS).sum().backward()
    ops.match(BOXES, BOXES, 0.7, 0.3, False)
    ops.mask_targets(MASKS, BOXES, INDEX, 7)
    ops.paste_masks(torch.rand(3, 4, 4), BOXES, (8, 9))
    assert allowed == [3] * (2 * len(LAYERS) + 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.usefixtures("restore_threads")
def test_kernels_run_in_a_forked_worker() -> None:
    """A DataLoader forks its workers; the parent's threads are not there any more."""
    torch.set_num_threads(2)
    features = FEATURES.repeat(1, 16, 1, 1)
    ops.roi_align(features, ROIS, 2)  # the threads exist

    def work() -> None:
        torch.set_num_threads(1)  # as DataLoader does; torch's own threads hang too
        ops.roi_align(features, ROIS, 2)
        threads.run([lambda: None] * 4, 2)

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(60)
    hung = child.is_alive()
    child.kill()
    assert not hung
    assert child.exitcode == 0


def test_an_error_in_a_thread_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        threads.run([lambda: None, lambda: 1 / 0], 2)


def test_kernels_older_than_any_source_are_forgotten(tmp_path: Path) -> None:
    """numba would not notice a change in a function that a kernel calls."""
    (tmp_path / "__pycache__").mkdir()
    kernel = tmp_path / "__pycache__" / "kernel.nbi"
    source = tmp_path / "source.py"
    kernel.touch()
    source.touch()
    os.utime(source, (1, 1))
    forget_stale_kernels(tmp_path)
    assert kernel.exists()
    os.utime(kernel, (0, 0))
    forget_stale_kernels(tmp_path)
    assert not kernel.exists()


def test_anchors_of_a_1024_image() -> None:
    """3 (256^2 + 128^2 + 64^2 + 32^2 + 16^2) anchors on P2 to P6."""
    count = 0
    for size, stride in zip((32, 64, 128, 256, 512), (4, 8, 16, 32, 64), strict=True):
        cell = ops.cell_anchors((size,), (0.5, 1.0, 2.0))
        grid = math.ceil(1024 / stride)
        count += len(ops.grid_anchors(cell, stride, (grid, grid)))
    assert count == 261_888
