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
- last of equal bins or pixels -> the two tests of readouts by hand
- a = -1/2; cells beyond the ends 0, or mirrored -> resizing_is_bicubic
- half a pixel; x for y; the box not rounded up, or not scaled back; ceil for floor ->
  the_best_pixel_of_the_resized_map, readout_of_resized_maps_by_hand
- rows kept where a box has fewer pixels than bins -> the_best_pixel_of_...
- a box below one pixel not widened -> readout_of_resized_maps_by_hand
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import strategies
import torch
from floors import Floor, floors
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from maskrcnn_scratch import ops
from maskrcnn_scratch.cpu import keypoints as cpu
from maskrcnn_scratch.reference.keypoints import cubic_matrix


def floors_of(function: str) -> pytest.MarkDecorator:
    """Every floor that the function stands on."""
    return pytest.mark.parametrize("floor", floors("keypoints", function), ids=str)


target_floors = floors_of("keypoint_targets")
loss_floors = floors_of("keypoint_loss")
readout_floors = floors_of("keypoint_readout")
resized_floors = floors_of("keypoint_readout_resized")
REFERENCE = floors("keypoints")[0]

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


@target_floors
@given(boxes_with_keypoints(), SIZES)
def test_the_bin_holds_its_keypoint(
    floor: Floor, data: tuple[Array, Array], size: int
) -> None:
    """Valid are labelled keypoints in the closed box; the bin's edges enclose them."""
    boxes, keypoints = data
    index, valid = floor.keypoint_targets(keypoints, boxes, size)
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


@readout_floors
@given(boxes_with_keypoints(), SIZES)
def test_reading_the_target_returns_to_the_keypoint(
    floor: Floor, data: tuple[Array, Array], size: int
) -> None:
    """To within half a bin, and to the same bin."""
    boxes, keypoints = data
    index, valid = floor.keypoint_targets(keypoints, boxes, size)
    found = floor.keypoint_readout(one_hot(index, size), boxes)
    half_bin = ((boxes[:, 2:] - boxes[:, :2]) / size / 2)[:, None]
    near = np.abs(found[..., :2] - keypoints[..., :2]) <= half_bin + 1e-9
    assert near[valid].all()
    found[..., 2] = 2
    again, still_valid = floor.keypoint_targets(found, boxes, size)
    assert still_valid.all()
    np.testing.assert_array_equal(again, index)


@target_floors
@given(boxes_with_keypoints(), SIZES, st.integers(-3, 3), st.integers(-3, 3))
def test_targets_move_with_the_image(
    floor: Floor, data: tuple[Array, Array], size: int, dx: int, dy: int
) -> None:
    """Moving boxes and keypoints together changes no target."""
    boxes, keypoints = data
    shift = np.array([dx, dy, dx, dy])
    moved = floor.keypoint_targets(
        keypoints + np.array([dx, dy, 0]), boxes + shift, size
    )
    for got, expected in zip(
        moved, floor.keypoint_targets(keypoints, boxes, size), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@target_floors
@given(boxes_with_keypoints(), SIZES)
def test_transposing_the_image_transposes_the_map(
    floor: Floor, data: tuple[Array, Array], size: int
) -> None:
    """x for y: the flat index row * m + column becomes column * m + row."""
    boxes, keypoints = data
    index, valid = floor.keypoint_targets(keypoints, boxes, size)
    turned, same = floor.keypoint_targets(
        keypoints[..., [1, 0, 2]], boxes[:, [1, 0, 3, 2]], size
    )
    np.testing.assert_array_equal(turned, index % size * size + index // size)
    np.testing.assert_array_equal(same, valid)


@target_floors
def test_targets_by_hand(floor: Floor) -> None:
    """A box of 8 x 4 in 4 x 4 bins: each bin is 2 wide and 1 high."""
    box = np.array([[10.0, 20, 18, 24]])
    points = [
        [10, 20, 2],  # the first corner: bin (0, 0)
        [18, 24, 2],  # the last corner: bin (3, 3)
        [12, 22.5, 1],  # on an edge between columns, hidden: the right one, (2, 1)
        [11, 21, 0],  # not labelled
        [18.0625, 21, 2],  # outside
    ]
    index, valid = floor.keypoint_targets(np.array([points]), box, 4)
    assert valid.tolist() == [[True, True, True, False, False]]
    assert index.tolist() == [[0, 15, 9, 0, 0]]


@target_floors
def test_a_box_without_area_holds_no_keypoint(floor: Floor) -> None:
    """Nothing divides by its width."""
    box = np.array([[3.0, 3, 3, 8]])
    _, valid = floor.keypoint_targets(np.array([[[3.0, 5, 2]]]), box, 4)
    assert not valid.any()


# Loss -------------------------------------------------------------------------------


@loss_floors
@given(keypoint_maps())
def test_loss_and_gradient_equal_torch(
    floor: Floor, data: tuple[Array, Array, Array]
) -> None:
    """Cross-entropy over the m * m bins of the valid keypoints."""
    logits, index, valid = data
    loss, gradient = floor.keypoint_loss(logits, index, valid)
    x = torch.tensor(logits, requires_grad=True)
    flat = x.flatten(2)[torch.tensor(valid)]
    bins = torch.tensor(index)[torch.tensor(valid)]
    expected = torch.nn.functional.cross_entropy(flat, bins, reduction="sum")
    expected = expected / max(int(valid.sum()), 1)
    expected.backward()
    floor.assert_close(loss, float(expected.detach()))
    assert x.grad is not None
    floor.assert_close(gradient, x.grad.numpy())


@loss_floors
@given(data=keypoint_maps(), garbage=st.sampled_from([np.nan, np.inf, 7.0]))
def test_keypoints_that_are_not_valid_have_no_part(
    floor: Floor, data: tuple[Array, Array, Array], garbage: float
) -> None:
    """Neither in the loss nor in the gradient; each valid map's gradient sums to 0.

    A RoI may be padding, and its logits anything.
    """
    logits, index, valid = data
    loss, gradient = floor.keypoint_loss(logits, index, valid)
    other = np.where(valid[..., None, None], logits, garbage)
    again, same = floor.keypoint_loss(other, index, valid)
    assert again == loss
    np.testing.assert_array_equal(same, gradient)
    assert not gradient[~valid].any()
    floor.assert_close(gradient.sum((2, 3)), np.zeros(valid.shape))


@loss_floors
def test_a_flat_map_costs_the_logarithm_of_its_bins(floor: Floor) -> None:
    """log(m * m): for the paper's m = 56 it is 8.05, where training starts."""
    flat = np.zeros((1, 1, 56, 56))
    loss, _ = floor.keypoint_loss(flat, np.array([[1234]]), np.array([[True]]))
    assert loss == pytest.approx(np.log(56 * 56))
    assert round(loss, 2) == 8.05


# Read-out ---------------------------------------------------------------------------


@readout_floors
@given(keypoint_maps(), strategies.boxes(count=2, smallest=1 / 16))
def test_the_score_is_the_softmax_of_the_best_bin(
    floor: Floor, data: tuple[Array, Array, Array], boxes: Array
) -> None:
    """And the point is inside the box, with a score of at least 1 / m^2."""
    logits = data[0]
    found = floor.keypoint_readout(logits, boxes)
    probability = torch.tensor(logits).flatten(2).softmax(2).numpy()
    np.testing.assert_allclose(found[..., 2], probability.max(2), atol=1e-12)
    assert (found[..., 2] >= 1 / probability.shape[2] - 1e-12).all()
    assert (boxes[:, None, :2] < found[..., :2]).all()
    assert (found[..., :2] < boxes[:, None, 2:]).all()


@readout_floors
@given(keypoint_maps(), strategies.boxes(count=2, smallest=1 / 16))
def test_flipping_map_and_box_flips_the_point(
    floor: Floor, data: tuple[Array, Array, Array], boxes: Array
) -> None:
    """With distinct logits, so that the best bin is the same one."""
    logits = data[0] + np.arange(data[0].size).reshape(data[0].shape) / 1024
    found = floor.keypoint_readout(logits, boxes)
    flipped_boxes = np.stack(
        [32 - boxes[:, 2], boxes[:, 1], 32 - boxes[:, 0], boxes[:, 3]], axis=1
    )
    flipped = floor.keypoint_readout(logits[..., ::-1].copy(), flipped_boxes)
    np.testing.assert_allclose(32 - flipped[..., 0], found[..., 0], atol=1e-9)
    np.testing.assert_allclose(flipped[..., 1:], found[..., 1:], atol=1e-9)


@readout_floors
def test_readout_by_hand(floor: Floor) -> None:
    """Of equal bins the first wins: bin (0, 1) of 2 x 2 over a box of 8 x 4."""
    logits = np.array([[[[0.0, 2.0], [2.0, 0.0]]]])
    found = floor.keypoint_readout(logits, np.array([[10.0, 20, 18, 24]]))
    score = np.exp(2) / (2 * np.exp(2) + 2)
    np.testing.assert_allclose(found, [[[16, 21, score]]])


# Read-out from maps resized to their boxes -------------------------------------------


@given(st.integers(1, 9), st.integers(1, 30))
def test_resizing_is_bicubic(cells: int, pixels: int) -> None:
    """As torch has it: every pixel's weights add up to 1, up to four cells each."""
    matrix = cubic_matrix(pixels, cells)
    np.testing.assert_allclose(matrix.sum(1), 1)
    assert ((matrix != 0).sum(1) <= 4).all()
    columns = torch.eye(cells, dtype=torch.float64)[:, None, None]
    expected = torch.nn.functional.interpolate(
        columns.expand(-1, 1, 2, -1), (2, pixels), mode="bicubic", align_corners=False
    )
    np.testing.assert_allclose(matrix.T, expected[:, 0, 0].numpy(), atol=1e-12)


@resized_floors
@given(data=keypoint_maps(), boxes=strategies.boxes(count=2, extent=12))
@example(
    data=(np.zeros((2, 2, 1, 1)), np.zeros(0), np.zeros(0)),
    boxes=np.array([[0.0, 0, 0, 0], [1, 2, 68, 5]]),
)
@example(
    data=(np.arange(16.0).reshape(2, 2, 2, 2) % 7, np.zeros(0), np.zeros(0)),
    boxes=np.array([[0.0, 0, 3, 70], [1, 2, 81.5, 3]]),
)
@example(  # boxes of fewer pixels than bins: rows are skipped
    data=(np.arange(144.0).reshape(2, 2, 6, 6) * 5 % 11, np.zeros(0), np.zeros(0)),
    boxes=np.array([[0.0, 0, 3, 3], [1, 2, 5, 3.5]]),
)
def test_the_best_pixel_of_the_resized_map(
    floor: Floor, data: tuple[Array, Array, Array], boxes: Array
) -> None:
    """The place is the centre of a pixel that no other exceeds; the score its logit."""
    logits = data[0]
    size = logits.shape[2]
    found = floor.keypoint_readout_resized(logits, boxes)
    assert found.shape == (2, 2, 3)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        sides = np.maximum([x2 - x1, y2 - y1], 1)
        pixels = np.ceil(sides).astype(int)
        a_x, a_y = (cubic_matrix(int(side), size) for side in pixels)
        for j in range(2):
            resized = a_y @ logits[i, j] @ a_x.T
            place = (found[i, j, :2] - [x1, y1]) * pixels / sides - 0.5
            column, row = np.round(place).astype(int)
            np.testing.assert_allclose(place, [column, row], atol=1e-3)
            floor.assert_close(found[i, j, 2], resized.max())
            floor.assert_close(resized[row, column], resized.max())


@resized_floors
@given(data=keypoint_maps(), left=st.integers(-3, 3), top=st.integers(-3, 3))
def test_a_box_of_as_many_pixels_as_bins_is_read_as_it_is(
    floor: Floor, data: tuple[Array, Array, Array], left: int, top: int
) -> None:
    """Then both rules find the same place."""
    logits = data[0]
    size = float(logits.shape[2])
    boxes = np.array([[left, top, left + size, top + size]] * 2)
    found = floor.keypoint_readout_resized(logits, boxes)
    expected = REFERENCE.keypoint_readout(logits, boxes)
    floor.assert_close(found[..., :2], expected[..., :2])
    floor.assert_close(found[..., 2], logits.max((2, 3)))


@resized_floors
def test_readout_of_resized_maps_by_hand(floor: Floor) -> None:
    """Of equal pixels the first; a box of 2.5 x 0.5 has 3 x 1, and is read 1 high.

    Four pixels of two cells lie at -1/4, 1/4, 3/4 and 5/4. The last one reads cell 0
    from a distance of 5/4, where the kernel is -27/256; all else of it is cell 1.
    """
    flat = np.zeros((1, 1, 2, 2))
    found = floor.keypoint_readout_resized(flat, np.array([[10, 20, 12.5, 20.5]]))
    floor.assert_close(found, [[[10 + 2.5 / 6, 20.5, 0]]])
    corner = np.array([[[[0.0, 0], [0, 8]]]])
    found = floor.keypoint_readout_resized(corner, np.array([[0.0, 0, 4, 2]]))
    floor.assert_close(found, [[[3.5, 1.5, 8 * (1 + 27 / 256)]]])


@pytest.mark.parametrize(
    "floor", floors("keypoints", "keypoint_readout_resized")[1:], ids=str
)
def test_no_box_of_an_image_has_no_keypoints(floor: Floor) -> None:
    """NaN, instead of reading without end."""
    boxes = np.array([[0, 0, np.inf, 4], [0, np.nan, 2, 2], [0, 0, 2, 1e9]])
    found = floor.keypoint_readout_resized(np.zeros((3, 2, 2, 2)), boxes)
    assert np.isnan(found).all()


@resized_floors
def test_without_rois_there_is_nothing(floor: Floor) -> None:
    logits, boxes, none = np.zeros((0, 2, 3, 3)), np.zeros((0, 4)), np.zeros((0, 2))
    assert floor.keypoint_readout_resized(logits, boxes).shape == (0, 2, 3)
    loss, gradient = floor.keypoint_loss(logits, none.astype(np.int64), none > 0)
    assert loss == 0
    assert gradient.shape == logits.shape
    if floor.has("keypoint_targets"):
        index, valid = floor.keypoint_targets(np.zeros((0, 2, 3)), boxes, 3)
        assert index.shape == valid.shape == (0, 2)


# On the CPU --------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_threads_change_nothing(rng: np.random.Generator, workers: int) -> None:
    """Bit for bit."""
    logits, index = rng.normal(size=(5, 3, 8, 8)), rng.integers(0, 64, (5, 3))
    valid = rng.random((5, 3)) > 0.3
    loss, stats, scale = cpu.keypoint_loss(logits, index, valid)
    again = cpu.keypoint_loss(logits, index, valid, workers)
    for one, two in zip((loss, stats, scale), again, strict=True):
        np.testing.assert_array_equal(one, two)
    arguments = (float(scale), stats, logits, index, valid)
    np.testing.assert_array_equal(
        cpu.keypoint_loss_backward(*arguments, workers),
        cpu.keypoint_loss_backward(*arguments),
    )
    corners, sides = rng.uniform(0, 40, (2, 5, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1)
    np.testing.assert_array_equal(
        cpu.keypoint_readout_resized(logits, boxes, workers),
        cpu.keypoint_readout_resized(logits, boxes),
    )


def test_wrong_arguments_are_refused() -> None:
    """An index of a keypoint that is not valid may be anything."""
    logits = torch.zeros(1, 2, 3, 3)
    index, valid = torch.tensor([[8, -1]]), torch.tensor([[True, False]])
    assert ops.keypoint_loss(logits, index, valid) == pytest.approx(np.log(9))
    for wrong in (-1, 9):
        with pytest.raises(ValueError, match=rf"index must be in 0\.\.8.* is {wrong}"):
            ops.keypoint_loss(logits, torch.tensor([[wrong, 0]]), valid)
    with pytest.raises(ValueError, match="size must be at least 1"):
        ops.keypoint_targets(torch.zeros(1, 2, 3), torch.zeros(1, 4), 0)


# Beside torchvision ------------------------------------------------------------------


@pytest.fixture
def peer() -> Any:
    """torchvision's functions, where it is installed."""
    pytest.importorskip("torchvision")
    return importlib.import_module("torchvision.models.detection.roi_heads")


def people(rng: np.random.Generator, count: int = 40) -> tuple[Tensor, Tensor]:
    """Boxes of up to 300 pixels; keypoints in and around them, of any visibility."""
    corners, sides = rng.uniform(0, 300, (2, count, 1, 2))
    points = corners + rng.uniform(-0.1, 1.1, (count, 17, 2)) * sides
    visibility = rng.integers(0, 3, (count, 17, 1))
    boxes = np.concatenate([corners, corners + sides], axis=2)[:, 0]
    keypoints = np.concatenate([points, visibility], axis=2)
    return torch.tensor(boxes).float(), torch.tensor(keypoints).float()


def test_torchvision_has_the_same_targets_and_loss(
    peer: Any, rng: np.random.Generator
) -> None:
    """And the same gradient."""
    boxes, keypoints = people(rng)
    index, valid = ops.keypoint_targets(keypoints, boxes, 56)
    expected_index, expected_valid = peer.keypoints_to_heatmap(keypoints, boxes, 56)
    assert torch.equal(valid, expected_valid.bool())
    assert torch.equal(index, expected_index)
    assert 0 < valid.sum() < valid.numel()
    logits = torch.tensor(rng.normal(0, 3, (40, 17, 56, 56))).float().requires_grad_()
    ours = ops.keypoint_loss(logits, index, valid)
    theirs = peer.keypointrcnn_loss(logits, [boxes], [keypoints], [torch.arange(40)])
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
    (gradient,), (expected,) = (
        torch.autograd.grad(loss, logits) for loss in (ours, theirs)
    )
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-9)


def test_torchvision_reads_the_same_keypoints(
    peer: Any, rng: np.random.Generator
) -> None:
    """Also of boxes less than a pixel wide."""
    boxes, _ = people(rng)
    boxes[:5, 2:] = boxes[:5, :2] + torch.rand(5, 2)
    logits = torch.tensor(rng.normal(0, 3, (40, 17, 56, 56))).float()
    found = ops.keypoint_readout(logits, boxes, "resized")
    places, scores = peer.heatmaps_to_keypoints(logits, boxes)
    torch.testing.assert_close(found[..., :2], places[..., :2], rtol=0, atol=1e-3)
    torch.testing.assert_close(found[..., 2], scores, rtol=1e-5, atol=1e-5)
