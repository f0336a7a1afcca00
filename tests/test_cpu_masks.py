"""The compiled masks: stretches of pixels, threads, types, tensors with gaps.

The laws of masks are in test_masks.py, over every floor.

Faults tried on them, and a test that caught each:
- a stretch filled, or left, where one of its two cells alone reaches the threshold ->
  test_a_threshold_between_two_cells_is_met_at_a_pixel
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrcnn_scratch import ops
from maskrcnn_scratch.cpu import masks as cpu
from maskrcnn_scratch.reference import masks as reference

SIZE = 60, 80


def boxes_around(rng: np.random.Generator, count: int = 24) -> np.ndarray:
    """Boxes in and around the image; every fourth smaller than a cell of its map."""
    corners = rng.integers(-160, 960, (count, 2)) / 16
    sides = rng.integers(16, 800, (count, 2)) / 16
    sides[::4] = rng.integers(1, 16, sides[::4].shape) / 16
    return np.concatenate([corners, corners + sides], axis=1)


def smooth_maps(rng: np.random.Generator, count: int = 24) -> np.ndarray:
    """Maps of 28 x 28 cells: a disc with a soft edge, and noise inside."""
    middle = rng.uniform(8, 20, (2, count, 1, 1))
    y, x = np.mgrid[0:28, 0:28][:, None] - middle
    maps = 1 / (1 + np.exp(np.hypot(y, x) - 9))
    maps[:, 10:14, 10:14] = rng.random((count, 4, 4))
    return maps


@pytest.mark.parametrize("threshold", [0.25, 0.5, 0.75])
def test_maps_of_28_cells_are_pasted_as_the_reference_does(
    rng: np.random.Generator, threshold: float
) -> None:
    maps, boxes = smooth_maps(rng), boxes_around(rng)
    pasted = cpu.paste_masks(maps, boxes, SIZE, threshold)
    for mask, cells, box in zip(pasted, maps, boxes, strict=True):
        values = reference.paste_probability(cells, box, SIZE)
        clear = np.abs(values - threshold) > 1e-9
        np.testing.assert_array_equal(mask[clear], (values >= threshold)[clear])
    assert 0.005 < pasted.mean() < 0.5


@pytest.mark.parametrize(
    ("threshold", "columns"),
    [
        *((0.125, [2, 3, 4, 5, 6, 7]), (0.375, [3, 4, 5, 6, 7]), (0.38, [4, 5, 6, 7])),
        *((0.625, [4, 5, 6, 7]), (0.626, [5, 6]), (0.875, [5, 6]), (0.876, [])),
    ],
)
def test_a_threshold_between_two_cells_is_met_at_a_pixel(
    threshold: float, columns: list[int]
) -> None:
    """Cells 0 and 1 of 4 pixels each: up to the last one's centre, then down again.

    The pixels' centres read 0, 0, 1/8, 3/8, 5/8, 7/8, 7/8, 5/8.
    """
    cells, box = np.array([[[0.0, 1], [0, 1]]]), np.array([[0.0, -8, 8, 16]])
    row = cpu.paste_masks(cells, box, (8, 8), threshold)[0, 4]
    assert row.nonzero()[0].tolist() == columns


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_threads_paste_and_read_the_same(
    rng: np.random.Generator, workers: int
) -> None:
    maps, boxes = smooth_maps(rng, 5), boxes_around(rng, 5)
    alone = cpu.paste_masks(maps, boxes, SIZE, 0.5)
    assert np.array_equal(cpu.paste_masks(maps, boxes, SIZE, 0.5, workers), alone)
    masks, index = rng.integers(0, 2, (2, *SIZE), np.uint8), np.arange(5) % 2
    targets = cpu.mask_targets(masks, boxes, index, 28)
    again = cpu.mask_targets(masks, boxes, index, 28, workers)
    assert np.array_equal(again, targets)


def test_targets_of_28_cells_are_the_reference_s(rng: np.random.Generator) -> None:
    """Of boxes that read each pixel several times, and of such that skip none."""
    masks, boxes = rng.integers(0, 2, (2, *SIZE), np.uint8), boxes_around(rng, 8)
    index = np.arange(8) % 2
    targets = cpu.mask_targets(masks, boxes, index, 28)
    expected = reference.mask_targets(masks, boxes, index, 28)
    np.testing.assert_allclose(targets, expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_types_of_fewer_bits_are_read_exactly(
    rng: np.random.Generator, dtype: torch.dtype
) -> None:
    """The same masks, bit for bit, as of the same numbers in float64."""
    maps = torch.from_numpy(smooth_maps(rng)).to(dtype)
    boxes = torch.from_numpy(boxes_around(rng)).to(dtype)
    pasted = ops.paste_masks(maps, boxes, SIZE)
    assert torch.equal(pasted, ops.paste_masks(maps.double(), boxes.double(), SIZE))
    masks = torch.from_numpy(rng.integers(0, 2, (2, *SIZE), np.uint8))
    index = torch.arange(len(boxes)) % 2
    targets = ops.mask_targets(masks, boxes, index, 7)
    exact = ops.mask_targets(masks, boxes.double(), index, 7)
    assert targets.dtype == dtype
    assert torch.equal(targets, exact.to(dtype))


def test_tensors_with_gaps_are_read_as_they_look(rng: np.random.Generator) -> None:
    """Masks of every other column, boxes and maps turned."""
    maps, boxes = smooth_maps(rng), boxes_around(rng)
    turned = torch.from_numpy(maps.transpose(0, 2, 1).copy()).transpose(1, 2)
    columns = torch.from_numpy(boxes.T.copy()).T
    pasted = ops.paste_masks(turned, columns, SIZE)
    assert np.array_equal(pasted.numpy(), cpu.paste_masks(maps, boxes, SIZE, 0.5))
    wide = torch.from_numpy(rng.integers(0, 2, (2, 60, 160), np.uint8))
    index = torch.arange(len(boxes)) % 2
    targets = ops.mask_targets(wide[..., ::2], columns, index, 7)
    dense = ops.mask_targets(wide[..., ::2].contiguous(), columns, index, 7)
    assert torch.equal(targets, dense)
