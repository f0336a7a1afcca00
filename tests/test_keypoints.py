"""Keypoints: bins, loss and read-out.

Faults put in on purpose, and the first test that caught each:

- rounded, not floored; x for y; x bins over the height -> the_bin_holds_its_keypoint
- right or left edge outside; one bin too far -> the_bin_holds_its_keypoint
- keypoints outside moved into the box -> the_bin_holds_its_keypoint
- hidden left out, unlabelled let in -> the_bin_holds_its_keypoint
- boxes without area not left out -> a_box_without_area_holds_no_keypoint
- mean over all keypoints; gradient of the sum -> loss_and_gradient_equal_torch
- read at the bin's corner, over size - 1, x for y -> reading_the_target_returns_to_...
- the logit as score -> the_score_is_the_softmax_of_the_best_bin
- last of equal bins -> readout_by_hand
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strategies
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch.reference.keypoints import (
    keypoint_loss,
    keypoint_readout,
    keypoint_targets,
)

Array = np.ndarray[Any, np.dtype[Any]]
SIZES = st.integers(1, 7)


@st.composite
def boxes_with_keypoints(draw: st.DrawFn) -> tuple[Array, Array]:
    """Boxes (n, 4) with an area, and keypoints (n, 3, 3) in, on and around them."""
    boxes = draw(strategies.boxes(smallest=1 / 16))
    keypoints = np.zeros((len(boxes), 3, 3))
    for (x1, y1, x2, y2), points in zip(boxes, keypoints, strict=True):
        for point in points:
            on_edge = st.sampled_from([(x1, y1), (x2, y2), (x2, y1), (x1, y2)])
            near = st.tuples(
                strategies.sixteenths(-2, 34), strategies.sixteenths(0, 32)
            )
            inside = st.tuples(
                strategies.sixteenths(x1, x2), strategies.sixteenths(y1, y2)
            )
            point[:2] = draw(st.one_of(inside, near, on_edge))
            point[2] = draw(st.integers(0, 2))
    return boxes, keypoints


@st.composite
def keypoint_maps(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """Logits (2, 2, m, m), the true bins and which of them are valid."""
    size = draw(st.integers(1, 3))
    number = st.integers(-40, 40).map(lambda n: n / 8)
    count = 4 * size * size
    logits = draw(st.lists(number, min_size=count, max_size=count))
    bins = st.integers(0, size * size - 1)
    index = draw(st.lists(bins, min_size=4, max_size=4))
    valid = draw(st.lists(st.booleans(), min_size=4, max_size=4))
    shape = (2, 2, size, size)
    return (
        np.array(logits).reshape(shape),
        np.array(index).reshape(2, 2),
        np.array(valid).reshape(2, 2),
    )


def one_hot(index: Array, size: int) -> Array:
    """Maps (n, p, size, size), 1 in the bin of the index."""
    return np.eye(size * size)[index].reshape(*index.shape, size, size)


# Targets ----------------------------------------------------------------------------


@given(boxes_with_keypoints(), SIZES)
def test_the_bin_holds_its_keypoint(data: tuple[Array, Array], size: int) -> None:
    """Valid are labelled keypoints in the closed box; the bin's edges enclose them."""
    boxes, keypoints = data
    index, valid = keypoint_targets(keypoints, boxes, size)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        for j, (x, y, visibility) in enumerate(keypoints[i]):
            inside = x1 <= x <= x2 and y1 <= y <= y2
            assert valid[i, j] == (inside and visibility > 0)
            if not valid[i, j]:
                assert index[i, j] == 0
                continue
            row, column = divmod(int(index[i, j]), size)
            left, top = (x - x1) * size / (x2 - x1), (y - y1) * size / (y2 - y1)
            assert column <= left < column + 1 or (column == size - 1 and x == x2)
            assert row <= top < row + 1 or (row == size - 1 and y == y2)


@given(boxes_with_keypoints(), SIZES)
def test_reading_the_target_returns_to_the_keypoint(
    data: tuple[Array, Array], size: int
) -> None:
    """To within half a bin, and to the same bin."""
    boxes, keypoints = data
    index, valid = keypoint_targets(keypoints, boxes, size)
    found = keypoint_readout(one_hot(index, size), boxes)
    half_bin = ((boxes[:, 2:] - boxes[:, :2]) / size / 2)[:, None]
    near = np.abs(found[..., :2] - keypoints[..., :2]) <= half_bin + 1e-9
    assert near[valid].all()
    found[..., 2] = 2
    again, still_valid = keypoint_targets(found, boxes, size)
    assert still_valid.all()
    np.testing.assert_array_equal(again, index)


@given(boxes_with_keypoints(), SIZES, st.integers(-3, 3), st.integers(-3, 3))
def test_targets_move_with_the_image(
    data: tuple[Array, Array], size: int, dx: int, dy: int
) -> None:
    """Moving boxes and keypoints together changes no target."""
    boxes, keypoints = data
    shift = np.array([dx, dy, dx, dy])
    moved = keypoint_targets(keypoints + np.array([dx, dy, 0]), boxes + shift, size)
    for got, expected in zip(
        moved, keypoint_targets(keypoints, boxes, size), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@given(boxes_with_keypoints(), SIZES)
def test_transposing_the_image_transposes_the_map(
    data: tuple[Array, Array], size: int
) -> None:
    """x for y: the flat index row * m + column becomes column * m + row."""
    boxes, keypoints = data
    index, valid = keypoint_targets(keypoints, boxes, size)
    turned, same = keypoint_targets(
        keypoints[..., [1, 0, 2]], boxes[:, [1, 0, 3, 2]], size
    )
    np.testing.assert_array_equal(turned, index % size * size + index // size)
    np.testing.assert_array_equal(same, valid)


def test_targets_by_hand() -> None:
    """A box of 8 x 4 in 4 x 4 bins: each bin is 2 wide and 1 high."""
    box = np.array([[10.0, 20, 18, 24]])
    points = [
        [10, 20, 2],  # the first corner: bin (0, 0)
        [18, 24, 2],  # the last corner: bin (3, 3)
        [12, 22.5, 1],  # on an edge between columns, hidden: the right one, (2, 1)
        [11, 21, 0],  # not labelled
        [18.0625, 21, 2],  # outside
    ]
    index, valid = keypoint_targets(np.array([points]), box, 4)
    assert valid.tolist() == [[True, True, True, False, False]]
    assert index.tolist() == [[0, 15, 9, 0, 0]]


def test_a_box_without_area_holds_no_keypoint() -> None:
    """Nothing divides by its width."""
    box = np.array([[3.0, 3, 3, 8]])
    _, valid = keypoint_targets(np.array([[[3.0, 5, 2]]]), box, 4)
    assert not valid.any()


# Loss -------------------------------------------------------------------------------


@given(keypoint_maps())
def test_loss_and_gradient_equal_torch(data: tuple[Array, Array, Array]) -> None:
    """Cross-entropy over the m * m bins of the valid keypoints."""
    logits, index, valid = data
    loss, gradient = keypoint_loss(logits, index, valid)
    x = torch.tensor(logits, requires_grad=True)
    flat = x.flatten(2)[torch.tensor(valid)]
    bins = torch.tensor(index)[torch.tensor(valid)]
    expected = torch.nn.functional.cross_entropy(flat, bins, reduction="sum")
    expected = expected / max(int(valid.sum()), 1)
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), abs=1e-9)
    assert x.grad is not None
    np.testing.assert_allclose(gradient, x.grad.numpy(), atol=1e-12)


@given(keypoint_maps())
def test_keypoints_that_are_not_valid_have_no_part(
    data: tuple[Array, Array, Array],
) -> None:
    """Neither in the loss nor in the gradient; each valid map's gradient sums to 0."""
    logits, index, valid = data
    loss, gradient = keypoint_loss(logits, index, valid)
    other = np.where(valid[..., None, None], logits, 7.0)
    assert keypoint_loss(other, index, valid)[0] == loss
    assert not gradient[~valid].any()
    np.testing.assert_allclose(gradient.sum((2, 3)), 0, atol=1e-12)


def test_a_flat_map_costs_the_logarithm_of_its_bins() -> None:
    """log(m * m): for the paper's m = 56 it is 8.05, where training starts."""
    flat = np.zeros((1, 1, 56, 56))
    loss, _ = keypoint_loss(flat, np.array([[1234]]), np.array([[True]]))
    assert loss == pytest.approx(np.log(56 * 56))
    assert round(loss, 2) == 8.05


# Read-out ---------------------------------------------------------------------------


@given(keypoint_maps(), strategies.boxes(count=2, smallest=1 / 16))
def test_the_score_is_the_softmax_of_the_best_bin(
    data: tuple[Array, Array, Array], boxes: Array
) -> None:
    """And the point is inside the box, with a score of at least 1 / m^2."""
    logits = data[0]
    found = keypoint_readout(logits, boxes)
    probability = torch.tensor(logits).flatten(2).softmax(2).numpy()
    np.testing.assert_allclose(found[..., 2], probability.max(2), atol=1e-12)
    assert (found[..., 2] >= 1 / probability.shape[2] - 1e-12).all()
    assert (boxes[:, None, :2] < found[..., :2]).all()
    assert (found[..., :2] < boxes[:, None, 2:]).all()


@given(keypoint_maps(), strategies.boxes(count=2, smallest=1 / 16))
def test_flipping_map_and_box_flips_the_point(
    data: tuple[Array, Array, Array], boxes: Array
) -> None:
    """With distinct logits, so that the best bin is the same one."""
    logits = data[0] + np.arange(data[0].size).reshape(data[0].shape) / 1024
    found = keypoint_readout(logits, boxes)
    flipped_boxes = np.stack(
        [32 - boxes[:, 2], boxes[:, 1], 32 - boxes[:, 0], boxes[:, 3]], axis=1
    )
    flipped = keypoint_readout(logits[..., ::-1].copy(), flipped_boxes)
    np.testing.assert_allclose(32 - flipped[..., 0], found[..., 0], atol=1e-9)
    np.testing.assert_allclose(flipped[..., 1:], found[..., 1:], atol=1e-9)


def test_readout_by_hand() -> None:
    """Of equal bins the first wins: bin (0, 1) of 2 x 2 over a box of 8 x 4."""
    logits = np.array([[[[0.0, 2.0], [2.0, 0.0]]]])
    found = keypoint_readout(logits, np.array([[10.0, 20, 18, 24]]))
    score = np.exp(2) / (2 * np.exp(2) + 2)
    np.testing.assert_allclose(found, [[[16, 21, score]]])
