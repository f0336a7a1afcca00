"""What only the CUDA floor promises of its RoI layers: the rest is in test_roi_*.py.

Deliberate faults, and the test that caught each:

- no half cell when aligned, or a least size of one cell then; points at the corners of
  their parts; reads that end at the first cell
  -> test_every_roi_is_read_from_its_own_level
- the window of points near the map without its margin, or begun too late
  -> test_a_box_far_wider_than_the_map
- a stretch of rows that takes the first rows' points
  -> test_how_the_work_is_shared_out_does_not_tell
- tables filled beyond their end -> test_more_points_than_the_tables_hold
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from cuda_floor import DEVICE
from cuda_floor_roi import small_launches
from torch import Tensor

from maskrcnn_scratch.cpu.fpn_levels import area_borders
from maskrcnn_scratch.cuda import launch, roi_bins
from maskrcnn_scratch.cuda.bilinear import bilinear, bilinear_grad, bilinear_naive
from maskrcnn_scratch.cuda.fpn_levels import fpn_levels
from maskrcnn_scratch.cuda.roi_align import (
    multiscale_roi_align,
    multiscale_roi_align_backward,
    roi_align,
    roi_align_backward,
    roi_align_naive,
)
from maskrcnn_scratch.cuda.roi_pool import roi_pool, roi_pool_backward
from maskrcnn_scratch.cuda.roi_warp import roi_warp_backward
from maskrcnn_scratch.reference import roi_align as reference

BOTH_MODES = pytest.mark.parametrize("mode", ["mean", "max"])
TYPES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
SCALES = [0.5, 0.25, 0.125]
BORDERS = area_borders(1, 8.0, 1, 3)  # areas 16^2 and 32^2
GRID = (3, 2)


@pytest.fixture(autouse=True)
def quick() -> Any:
    """Blocks of 4 threads, as in the property suites."""
    with small_launches():
        yield


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(DEVICE)


def pyramid(channels: int = 3) -> list[Tensor]:
    """Three levels of two images of 48 x 40 pixels."""
    return [random(2, 24 >> k, 20 >> k, channels, seed=k) for k in range(3)]


def some_rois() -> Tensor:
    """On every level, of both images, across the border, flat, inverted and NaN."""
    boxes = [
        [0.0, 1, 2, 10, 11],
        [1, 3, 4, 22, 20],
        [0, -6, 2, 39, 47],
        [1, 30, 40, 50, 60],
        [0, 5, 5, 5, 30],
        [1, 20, 20, 4, 9],
        [0, math.nan, 1, 8, 9],
        [1, 2, 2, 17.5, 18.5],
    ]
    return torch.tensor(boxes, device=DEVICE)


def by_level(function: Callable[..., Any], maps: list[Tensor], mode: str) -> Tensor:
    """RoIAlign of each RoI by the reference, on the level its area says."""
    rows = []
    for roi in some_rois().cpu().double().numpy():
        area = max(roi[3] - roi[1], 0) * max(roi[4] - roi[2], 0)
        level = sum(area >= side**2 for side in (16, 32))
        planes = maps[level].cpu().double().permute(0, 3, 1, 2).numpy()
        rows.append(function(planes, roi[None], GRID, SCALES[level], 2, True, mode)[0])
    return torch.from_numpy(np.stack(rows)).permute(0, 2, 3, 1)


# All levels in one launch


@BOTH_MODES
def test_every_roi_is_read_from_its_own_level(mode: str) -> None:
    maps = pyramid()
    out = multiscale_roi_align(maps, some_rois(), GRID, SCALES, BORDERS, 2, True, mode)
    expected = by_level(reference.roi_align, maps, mode)
    torch.testing.assert_close(out.cpu().double(), expected, rtol=0, atol=2e-6)


@BOTH_MODES
@pytest.mark.parametrize("deterministic", [False, True])
def test_gradients_of_a_pyramid_are_the_adjoint(mode: str, deterministic: bool) -> None:
    """<backward(g), f> = <g, forward(f)>, summed over the levels."""
    maps, rois = pyramid(), some_rois()
    settings = SCALES, BORDERS, 2, True, mode
    out = multiscale_roi_align(maps, rois, GRID, *settings)
    grad = random(*out.shape, seed=9)
    back = multiscale_roi_align_backward(
        grad, maps, rois, *settings, deterministic=deterministic
    )
    got = sum(float((d * f).sum()) for d, f in zip(back, maps, strict=True))
    assert all(d.abs().sum() > 0 for d in back)
    assert got == pytest.approx(float((grad * out).sum()), rel=1e-5)


def test_levels_may_be_given() -> None:
    """Given the levels that the areas say, the same; given others, those."""
    maps, rois = pyramid(), some_rois()
    levels = fpn_levels(rois[:, 1:], 1, 8.0, 1, 3) - 1
    assert set(levels.tolist()) == {0, 1, 2}
    grad = random(len(rois), *GRID, 3)
    for mode in ("mean", "max"):
        settings = SCALES, BORDERS, 2, True, mode
        ours = multiscale_roi_align(maps, rois, GRID, *settings)
        given = multiscale_roi_align(maps, rois, GRID, *settings, levels=levels)
        torch.testing.assert_close(given, ours, rtol=0, atol=0)
        coarsest = torch.full_like(levels, 2)
        other = multiscale_roi_align(maps, rois, GRID, *settings, levels=coarsest)
        alone = roi_align(maps[2], rois, GRID, SCALES[2], 2, True, mode)
        torch.testing.assert_close(other, alone, rtol=0, atol=0)
        back = multiscale_roi_align_backward(
            grad, maps, rois, *settings, levels=coarsest
        )
        assert [bool(d.any()) for d in back] == [False, False, True]


@BOTH_MODES
def test_a_roi_of_no_image_or_level_is_nan_and_sends_nothing(mode: str) -> None:
    maps = pyramid()
    rois = some_rois()[:5].clone()
    rois[:4, 0] = torch.tensor([2, -1, 0.5, math.nan])
    levels = torch.tensor([0, 0, 0, 0, 3], device=DEVICE)
    settings = SCALES, BORDERS, 2, True, mode
    out = multiscale_roi_align(maps, rois, GRID, *settings, levels=levels)
    assert out.isnan().all()
    assert roi_align_naive(maps[0], rois[:4], GRID, 0.5, 2, True, mode).isnan().all()
    for deterministic in (False, True):
        back = multiscale_roi_align_backward(
            torch.ones_like(out),
            maps,
            rois,
            *settings,
            levels=levels,
            deterministic=deterministic,
        )
        assert not any(d.any() for d in back)


def test_roi_pool_of_no_image_is_nan_and_sends_nothing() -> None:
    feature, rois = random(2, 4, 4, 3), some_rois()[:2].clone()
    rois[:, 0] = torch.tensor([2, 0.5])
    out, argmax = roi_pool(feature, rois, GRID)
    assert out.isnan().all()
    assert (argmax == -1).all()
    for deterministic in (False, True):
        shape = (2, 4, 4, 3)
        grad, winners = torch.ones_like(out), torch.zeros_like(argmax)
        assert not roi_pool_backward(grad, winners, rois, shape, deterministic).any()


# Ways of launching, which must not tell


@BOTH_MODES
@pytest.mark.parametrize("ratio", [0, 2])
def test_how_the_work_is_shared_out_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, mode: str, ratio: int
) -> None:
    """One row of bins a block or many; one block a RoI or eight, backward."""
    feature, rois, grid = pyramid()[0], some_rois(), (5, 2)
    results = []
    for blocks in (1, 1000):
        monkeypatch.setattr(roi_bins, "BLOCKS", blocks)
        out = roi_align(feature, rois, grid, 0.5, ratio, True, mode)
        back = roi_align_backward(out, feature, rois, 0.5, ratio, True, mode)
        results.append((out, back))
    torch.testing.assert_close(results[0], results[1])


def test_more_channels_than_threads() -> None:
    """259 channels: two blocks side by side, the second with 3."""
    rois, grid = some_rois()[2:3], (2, 1)
    feature = random(1, 6, 5, 3).repeat(1, 1, 1, 87)[..., :259].contiguous()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "WARP", 32)
        out = roi_align(feature, rois, grid, 0.125)
        pooled, _ = roi_pool(feature, rois, grid, 0.125)
        back = roi_align_backward(out, feature, rois, 0.125)
    for tensor in (out, pooled, back):
        few = tensor[..., :3]
        assert few.any()
        repeated = few.repeat(1, 1, 1, 87)[..., :259]
        torch.testing.assert_close(tensor, repeated, rtol=0, atol=0)


@BOTH_MODES
def test_strides_do_not_tell(mode: str) -> None:
    """Channels last, planes, every second channel, every second image, transposed."""
    plain, rois = random(2, 6, 5, 2), some_rois()
    planes = plain.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    thinned = random(4, 6, 5, 4)
    thinned[::2, :, :, ::2] = plain
    turned = plain.transpose(1, 2).contiguous().transpose(1, 2)
    out = roi_align(plain, rois, GRID, 0.125, 2, True, mode)
    back = roi_align_backward(out, plain, rois, 0.125, 2, True, mode)
    for feature in (planes, thinned[::2, :, :, ::2], turned):
        assert not feature.is_contiguous()
        other = roi_align(feature, rois, GRID, 0.125, 2, True, mode)
        torch.testing.assert_close(other, out, rtol=0, atol=0)
        grad = out.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
        other = roi_align_backward(grad, feature, rois, 0.125, 2, True, mode)
        torch.testing.assert_close(other, back)
        pooled = roi_pool(feature, rois, GRID, 0.125)
        torch.testing.assert_close(pooled, roi_pool(plain, rois, GRID, 0.125))


def test_levels_of_mixed_strides() -> None:
    maps, rois = pyramid(), some_rois()
    mixed = [maps[0], maps[1].transpose(1, 2).contiguous().transpose(1, 2), maps[2]]
    settings = GRID, SCALES, BORDERS
    torch.testing.assert_close(
        multiscale_roi_align(mixed, rois, *settings),
        multiscale_roi_align(maps, rois, *settings),
        rtol=0,
        atol=0,
    )


# 16 bits in, float32 sums


@TYPES
@BOTH_MODES
def test_16_bits_are_rounded_once(dtype: torch.dtype, mode: str) -> None:
    feature, rois = random(2, 6, 5, 3).to(dtype), some_rois()
    settings = 0.125, 2, True, mode
    out = roi_align(feature, rois, GRID, *settings)
    exact = roi_align(feature.float(), rois, GRID, *settings)
    assert out.dtype == dtype
    torch.testing.assert_close(out, exact.to(dtype), rtol=0, atol=0)
    for deterministic in (False, True):
        back = roi_align_backward(out, feature, rois, *settings, deterministic)
        exact = roi_align_backward(
            out.float(), feature.float(), rois, *settings, deterministic
        )
        assert back.dtype == dtype
        torch.testing.assert_close(back, exact.to(dtype))


@TYPES
def test_16_bits_in_roi_pool_and_bilinear(dtype: torch.dtype) -> None:
    feature, rois = random(2, 6, 5, 3).to(dtype), some_rois()
    out, argmax = roi_pool(feature, rois, GRID, 0.125)
    exact, same = roi_pool(feature.float(), rois, GRID, 0.125)
    assert torch.equal(out.float(), exact)
    assert torch.equal(argmax, same)
    back = roi_pool_backward(out, argmax, rois, (2, 6, 5, 3))
    exact = roi_pool_backward(exact, argmax, rois, (2, 6, 5, 3))
    torch.testing.assert_close(back, exact.to(dtype))
    points = torch.tensor([[0.25, 1.5], [9.0, 0.0], [2.75, 3.125]], device=DEVICE)
    for read in (bilinear, bilinear_naive):
        value, exact = read(feature[0], points), read(feature[0].float(), points)
        torch.testing.assert_close(value, exact.to(dtype), rtol=0, atol=0)
    d_map, d_points = bilinear_grad(value, feature[0], points)
    assert (d_map.dtype, d_points.dtype) == (dtype, torch.float32)


# Without atomics


@BOTH_MODES
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
def test_the_deterministic_gradient_is_the_same_gradient(
    mode: str, aligned: bool, ratio: int
) -> None:
    """On a map of more than one run of cells, and with more bins than a table."""
    feature, rois, grid = random(2, 3, 18, 2), some_rois(), (2, 17)
    grad = random(len(rois), *grid, 2, seed=5)
    settings = feature, rois, 0.5, ratio, aligned, mode
    expected = roi_align_backward(grad, *settings)
    assert expected.any()
    torch.testing.assert_close(
        roi_align_backward(grad, *settings, deterministic=True), expected
    )


def test_the_deterministic_gradients_of_the_other_layers() -> None:
    feature, rois = random(2, 6, 5, 2), some_rois()
    grad = random(len(rois), *GRID, 2, seed=5)
    settings = grad, feature, rois, 0.125
    torch.testing.assert_close(
        roi_warp_backward(*settings, deterministic=True), roi_warp_backward(*settings)
    )
    _, argmax = roi_pool(feature, rois, GRID, 0.125)
    shape = (2, 6, 5, 2)
    torch.testing.assert_close(
        roi_pool_backward(grad, argmax, rois, shape, deterministic=True),
        roi_pool_backward(grad, argmax, rois, shape),
    )
    points = random(5, 2).abs() * 3
    some = random(5, 2)
    torch.testing.assert_close(
        bilinear_grad(some, feature[0], points, deterministic=True),
        bilinear_grad(some, feature[0], points),
    )


# Wild boxes, and more points than tables hold


@BOTH_MODES
@pytest.mark.parametrize("extent", [1e3, 1e6, 1e12])
def test_a_box_far_wider_than_the_map(mode: str, extent: float) -> None:
    """Looked at near the map alone. One bin in the middle holds all the map."""
    feature = random(1, 2, 3, 1)
    rois = torch.tensor([[0, -extent, 0, extent, 2.0]], device=DEVICE)
    out = roi_align(feature, rois, (2, 3), 1.0, 0, True, mode)
    naive = roi_align_naive(feature, rois, (2, 3), 1.0, 0, True, mode)
    torch.testing.assert_close(out, naive)
    assert not out[:, :, [0, 2]].any()
    if mode == "mean":  # points are a cell apart but for what rounding up leaves over
        total = feature.sum(2) * 3 / (2 * extent)
        torch.testing.assert_close(out[:, :, 1], total, rtol=0.2, atol=2 / extent)
    else:
        assert (out >= 0).all()  # points outside read 0


@BOTH_MODES
def test_more_points_than_the_tables_hold(mode: str) -> None:
    """65 bins of 4 points: a RoI that the fast kernels leave to the naive ones."""
    feature = random(1, 2, 9, 1)
    rois = torch.tensor([[0, 0.5, 0.25, 8.5, 1.5]], device=DEVICE)
    for grid in ((1, 65), (65, 1)):
        settings = 1.0, 4, True, mode
        out = roi_align(feature, rois, grid, *settings)
        planes = feature.permute(0, 3, 1, 2).cpu().double().numpy()
        expected = reference.roi_align(
            planes, rois.cpu().double().numpy(), grid, *settings
        )
        got = out.permute(0, 3, 1, 2).cpu().numpy()
        np.testing.assert_allclose(got, expected, atol=2e-6)
        back = roi_align_backward(out, feature, rois, *settings)
        assert float((back * feature).sum()) == pytest.approx(
            float((out * out).sum()), rel=1e-5
        )


def test_empty_batches_launch_nothing() -> None:
    nothing = torch.zeros(0, 5, device=DEVICE)
    feature = random(2, 3, 3, 2)
    out = roi_align(feature, nothing, GRID)
    assert out.shape == (0, *GRID, 2)
    assert not roi_align_backward(out, feature, nothing).any()
    assert roi_align(feature[..., :0], some_rois(), GRID).shape == (8, *GRID, 0)
    assert roi_pool(feature, nothing, GRID)[0].shape == (0, *GRID, 2)
    assert bilinear(feature[0], nothing[:, :2]).shape == (0, 2)
    assert fpn_levels(nothing[:, 1:]).shape == (0,)
