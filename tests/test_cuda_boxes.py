"""What the CUDA floor's NMS and fused decoding promise beyond the reference's laws.

Faults tried, and a test that caught each:
- a box drops itself; a tile looks at the boxes of the next segment; columns one tile
  too few for the longest segment; words of the tile itself for those of a later one;
  the rows of other segments alive -> test_segments_lie_anyhow_on_tiles_of_64
- words forgotten, or kept, from step to step; a barrier left out; a dropped box that
  drops others; bits that suppress set where they should be cleared -> the same
- earlier tiles left out where there are more than a block looks at ->
  test_a_chain_goes_on_from_tile_to_tile
- a survivor too many; the count of another segment's survivors, or their rank ->
  test_no_segment_keeps_more_than_asked_for
- no early stop -> test_the_scan_stops_when_it_has_enough
- decided in float32 where that cannot tell -> test_a_threshold_is_met_in_float64
- an index before the first anchor; sides of the least size kept; one side looked at;
  height and width swapped -> test_proposals_are_decoded_clipped_and_marked,
  test_proposals_of_no_anchor_and_of_no_number_are_marked
- a score at the threshold kept; the image after the last read ->
  test_detections_are_decoded_clipped_and_marked

Rows of another block's segment read while it writes them: the recorder alone sees it,
in test_cuda_kernels.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from cuda_floor import DEVICE, to_array
from torch import Tensor

from maskrcnn_scratch.cuda import nms, predictions
from maskrcnn_scratch.cuda.launch import SIMULATED, launch
from maskrcnn_scratch.cuda.nms_order import longest_segment
from maskrcnn_scratch.reference import boxes as reference_boxes
from maskrcnn_scratch.reference import nms as reference


def on_device(array: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.from_numpy(np.asarray(array)).to(DEVICE, dtype)


def crowd(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes in quarters of a pixel, that float32 holds, and scores with ties."""
    corners = rng.integers(0, 200, (n, 2)) / 4
    boxes = np.concatenate([corners, corners + rng.integers(16, 120, (n, 2)) / 4], 1)
    return boxes, rng.integers(0, 99, n) / 99


def suppressed(
    boxes: np.ndarray, scores: np.ndarray, segments: np.ndarray, **settings: Any
) -> list[int]:
    """The survivors at 0.5, after a look at what stands behind them."""
    kept, count = nms.segmented_nms(
        on_device(boxes), on_device(scores), on_device(segments, torch.int64), 0.5,
        **settings,
    )  # fmt: skip
    assert kept.shape == (len(boxes),)
    assert count.shape == ()
    assert kept.dtype == count.dtype == torch.int64
    assert (kept[count:] == -1).all()
    return kept[:count].tolist()


# --- NMS: tiles of 64 boxes


@pytest.mark.parametrize(
    "sizes", [(64,), (65,), (128, 1), (1, 128), (63, 66, 64), (20, 150), (3,) * 50]
)
def test_segments_lie_anyhow_on_tiles_of_64(
    rng: np.random.Generator, sizes: tuple[int, ...]
) -> None:
    """Within one, across one border or more, from border to border."""
    segments = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    boxes, scores = crowd(rng, len(segments))
    expected = reference.segmented_nms(boxes, scores, segments, 0.5).tolist()
    assert 0 < len(expected) <= len(boxes)
    assert suppressed(boxes, scores, segments) == expected
    assert suppressed(boxes, scores, segments, longest=max(sizes)) == expected


@pytest.mark.parametrize("sizes", [(), (1,), (3, 1, 7, 2), (70, 80)])
def test_the_longest_segment_is_found(
    rng: np.random.Generator, sizes: tuple[int, ...]
) -> None:
    segments = rng.permutation(np.repeat(5 - 3 * np.arange(len(sizes)), sizes))
    found = longest_segment(on_device(segments, torch.int64))
    assert found.shape == ()
    assert found == max(sizes, default=0)


@pytest.mark.parametrize("slices", [1, 2, 8])
def test_a_chain_goes_on_from_tile_to_tile(
    monkeypatch: pytest.MonkeyPatch, slices: int
) -> None:
    """However many threads look at a row of tiles, or back at the earlier ones.

    Each box overlaps the next by 3/4, the one after it by 5/9 and the third by 2/5:
    every third stays, and who stays in the last tile depends on the first.
    """
    monkeypatch.setattr(nms, "MASK_SLICES", slices)
    monkeypatch.setattr(nms, "SCAN_SLICES", slices)
    left = 2.0 * np.arange(260)
    boxes = np.stack([left, 0 * left, left + 14, 0 * left + 1], axis=1)
    falling = -left
    alone = np.zeros(260, np.int64)
    assert suppressed(boxes, falling, alone) == list(range(0, 260, 3))
    assert suppressed(boxes[1:], falling[1:], alone[1:]) == list(range(0, 259, 3))


def test_what_a_box_drops_is_dropped_tiles_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 260 boxes the first and the last but one are equal, the others apart."""
    monkeypatch.setattr(nms, "SCAN_SLICES", 2)
    left = 2.0 * np.arange(260)
    left[258] = 0
    boxes = np.stack([left, 0 * left, left + 1, 0 * left + 1], axis=1)
    kept = suppressed(boxes, -np.arange(260.0), np.zeros(260, np.int64))
    assert kept == [n for n in range(260) if n != 258]


@pytest.mark.skipif(not SIMULATED, reason="reads out of range where it is wrong")
def test_the_scan_stops_when_it_has_enough() -> None:
    """The words of the second tile are not even there."""
    words = torch.zeros(1, 2, 64, dtype=torch.uint64)
    stops, survives = torch.full((128,), 128), torch.zeros(128, dtype=torch.uint8)
    launch(nms.scan_kernel, 2, 64, words, stops, 64, survives)
    assert survives.tolist() == [1] * 64 + [0] * 64


def test_sorted_boxes_need_no_sorting(rng: np.random.Generator) -> None:
    """The best of two levels, as top-k hands them out."""
    boxes, _ = crowd(rng, 100)
    scores = np.concatenate([np.arange(70.0)[::-1], np.arange(30.0)[::-1]])
    segments = np.repeat([0, 1], [70, 30])
    stops = on_device(np.repeat([70, 100], [70, 30]), torch.int64)
    survives = nms.survivors(on_device(boxes), stops, 0.5, longest=70)
    expected = reference.segmented_nms(boxes, scores, segments, 0.5)
    assert np.flatnonzero(to_array(survives)).tolist() == sorted(expected)


def test_inputs_need_not_be_contiguous(rng: np.random.Generator) -> None:
    boxes, scores = crowd(rng, 40)
    expected = reference.nms(boxes, scores, 0.5).tolist()
    wide = on_device(np.repeat(boxes, 2, axis=1))[:, ::2]
    every_other = on_device(np.repeat(scores, 2))[::2]
    kept, count = nms.nms(wide, every_other, 0.5)
    assert kept[:count].tolist() == expected
    columns = on_device(boxes.T.copy()).T
    kept, count = nms.nms(columns, every_other, 0.5)
    assert kept[:count].tolist() == expected


def test_a_threshold_is_met_in_float64() -> None:
    """IoU 1/3 + 4e-9 and 1/3 - 4e-9, which float32 cannot tell from each other."""
    side, sliver = 2.0**13, 2.0**-13
    boxes = np.array([[0, 0, side, 1], [0, 0, side / 3, 1], [0, 0, 0, 0]])
    for shift, survivors in ((sliver, [0]), (-sliver, [0, 1])):
        boxes[1, 2] = np.float64(np.float32(side / 3)) + shift
        kept, count = nms.nms(
            on_device(boxes[:2], torch.float64), on_device([0.9, 0.8]), 1 / 3
        )
        assert kept[:count].tolist() == survivors
        assert reference.nms(boxes[:2], np.array([0.9, 0.8]), 1 / 3).tolist() == (
            survivors
        )


@pytest.mark.parametrize("scale", [1e-22, 1e-18, 1.0, 1e15, 1e18])
def test_areas_beyond_float32_are_no_matter(scale: float) -> None:
    boxes = np.array([[0, 0, 8, 1], [2, 0, 10, 1], [4, 0, 12, 1]]) * scale
    for dtype in (torch.float32, torch.float64):
        kept, count = nms.nms(on_device(boxes, dtype), on_device([3, 2, 1]), 0.5)
        assert kept[:count].tolist() == [0, 2]


# --- decoding, clipping and filtering at once


def wild(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Deltas, one in ten of which takes a box out of the image."""
    return np.float32(
        rng.normal(0, 1, shape) * rng.choice([0.1, 9], shape, p=[0.9, 0.1])
    )


def decoded(
    box: np.ndarray, delta: np.ndarray, size: Any, weights: reference_boxes.Weights
) -> np.ndarray:
    """What the reference makes of one box."""
    box, delta = np.float64(box[None]), np.float64(delta[None])
    moved = reference_boxes.decode_boxes(box, delta, weights)
    height, width = map(int, size)
    return reference_boxes.clip_boxes(moved, (height, width))[0]


def test_proposals_are_decoded_clipped_and_marked(rng: np.random.Generator) -> None:
    anchors = np.float32(crowd(rng, 12)[0])
    deltas, scores = wild(rng, 2, 12, 4), np.float32(rng.normal(size=(2, 9)))
    index = np.stack([rng.permutation(12)[:9] for _ in range(2)])
    sizes, weights = np.array([[40, 60], [64, 32]]), (1.0, 2.0, 4.0, 8.0)
    boxes, kept = predictions.decode_proposals(
        on_device(anchors), on_device(deltas), on_device(scores),
        on_device(index, torch.int64), on_device(sizes), weights, min_size=4.0,
    )  # fmt: skip
    dropped = 0
    for n, k in np.ndindex(2, 9):
        anchor = index[n, k]
        expected = decoded(anchors[anchor], deltas[n, anchor], sizes[n], weights)
        np.testing.assert_allclose(to_array(boxes)[n, k], expected, atol=1e-4)
        small = (expected[2:] - expected[:2]).min() <= 4
        assert kept[n, k] == (-math.inf if small else scores[n, k])
        dropped += small
    assert 0 < dropped < 18


def test_proposals_of_no_anchor_and_of_no_number_are_marked() -> None:
    anchors = on_device([[0, 0, 4, 4], [0, 0, 4, math.nan], [0, 0, 0, 4]])
    index = on_device([[-1, 0, 1, 2, 3]], torch.int64)
    boxes, kept = predictions.decode_proposals(
        anchors, torch.zeros(1, 3, 4, device=DEVICE), on_device(np.ones((1, 5))),
        index, on_device([[9, 9]]),
    )  # fmt: skip
    assert kept.tolist() == [[-math.inf, 1, -math.inf, -math.inf, -math.inf]]
    assert boxes[0, [0, 4]].isnan().all()
    assert boxes[0, 1].tolist() == [0, 0, 4, 4]


def test_detections_are_decoded_clipped_and_marked(rng: np.random.Generator) -> None:
    """Of two images; the last RoIs are of a third, of one before the first, of NaN."""
    images = np.array([0, 1, 0, 1, 1, 2, -1, math.nan])
    rois = np.float32(np.column_stack([images, crowd(rng, 8)[0]]))
    deltas, scores = wild(rng, 8, 3, 4), np.float32(rng.random((8, 3)))
    scores[0] = 0.25, math.nan, 0.5
    sizes, weights = np.array([[40, 60], [64, 32]]), (10.0, 10.0, 5.0, 5.0)
    boxes, kept = predictions.decode_detections(
        on_device(rois), on_device(deltas), on_device(scores),
        on_device(sizes, torch.int64), 0.25,
    )  # fmt: skip
    assert kept[0].tolist() == [-math.inf, -math.inf, 0.5]
    for r, k in np.ndindex(5, 3):
        expected = decoded(rois[r, 1:], deltas[r, k], sizes[int(images[r])], weights)
        np.testing.assert_allclose(to_array(boxes)[r, k], expected, atol=1e-4)
        above = scores[r, k] > 0.25
        assert kept[r, k] == (scores[r, k] if above else -math.inf)
    assert boxes[5:].isnan().all()
    assert (kept[5:] == -math.inf).all()


def test_boxes_marked_by_their_score_come_last_and_drop_nothing(
    rng: np.random.Generator,
) -> None:
    """So what is filtered need not be taken out before NMS."""
    boxes, scores = crowd(rng, 60)
    marked = rng.random(60) < 0.5
    sound = np.flatnonzero(~marked)
    expected = sound[reference.nms(boxes[sound], scores[sound], 0.5)].tolist()
    scores[marked] = -math.inf
    kept = suppressed(boxes, scores, np.zeros(60, np.int64))
    assert kept[: len(expected)] == expected
    assert marked[kept[len(expected) :]].all()
