"""Laws of RoIWarp. Its reading and its gradient are RoIAlign's, tested there as well.

Faults tried -> the tests that caught them:

- corners kept, or floored: a roi is read as the whole cells next to it, it is roi align
  of the quantised roi, the output stands still until a corner jumps
- RoIPool's inclusive end (+ 1): a border moves by at most half a cell
- no least size: empty and inverted boxes have one cell
- legacy half cell: on a ramp the error is the shift of the corners
- bins of the RoI itself in the steps: a border moves by at most half a cell
- image 0 always in backward, or the mean's for max: it is roi align of the quantised
  roi
- backward that overwrites: backward is the adjoint of forward
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from floors import Floor, floors
from hypothesis import given
from hypothesis import strategies as st
from strategies import Array, feature_maps, grids, rois, rois_within, sixteenths

from maskrcnn_scratch.reference.roi_align import roi_align, roi_align_backward
from maskrcnn_scratch.reference.roi_pool import round_half_away
from maskrcnn_scratch.reference.roi_warp import (
    roi_warp,
    roi_warp_backward,
    roi_warp_steps,
)

EVERY_FLOOR = pytest.mark.parametrize("floor", floors("roi_warp"), ids=str)
BOTH_MODES = pytest.mark.parametrize("mode", ["mean", "max"])
RATIOS = st.sampled_from((0, 1, 2))


def to_whole_cells(rois: Array, stride: float) -> Array:
    """The RoIs moved onto the borders of cells, at least one cell wide and high."""
    whole = rois.copy()
    for index in np.ndindex(len(rois), 4):
        corner = index[0], index[1] + 1
        whole[corner] = round_half_away(rois[corner] / stride)
    whole[:, 3:] = np.maximum(whole[:, 3:], whole[:, 1:3] + 1)
    whole[:, 1:] *= stride
    return whole


# Numbers worked by hand


def test_665_pixels_at_stride_32() -> None:
    """The corner moves to 21 cells (20 when floored); the bins are not rounded."""
    box = np.array([0, 0, 665, 665.0])
    axis = roi_warp_steps(box, (7, 7), 1 / 32).x
    assert axis.quantised == (0, 21)
    assert (axis.lost, axis.lost * axis.stride) == (-0.21875, -7)
    assert axis.bin_size == axis.bins[0].size == 3

    axis = roi_warp_steps(box, (7, 7), 1 / 32, rounding="floor").x
    assert axis.quantised == (0, 20)
    assert (axis.lost, axis.lost * axis.stride) == (0.78125, 25)
    assert axis.bin_size == axis.bins[0].size == pytest.approx(2.857, abs=5e-4)
    assert axis.covered == pytest.approx(20)


@EVERY_FLOOR
def test_a_roi_is_read_as_the_whole_cells_next_to_it(floor: Floor) -> None:
    """(0.5, 1.4375) to (2.4375, 3.5) is read as (1, 1) to (2, 4): cells (1..3, 1)."""
    features = np.arange(25.0).reshape(1, 1, 5, 5)
    rois = np.array([[0, 0.5, 1.4375, 2.4375, 3.5]])
    out = floor.roi_warp(features, rois, (3, 1), 1.0, 1)
    floor.assert_close(out[0, 0], [[6], [11], [16]])


# The quantised RoI


@given(sixteenths(-9, 9), sixteenths(0, 9), st.integers(1, 5))
def test_a_border_moves_by_at_most_half_a_cell(
    low: float, size: float, count: int
) -> None:
    """At stride 32 that is 16 pixels; a RoI below one cell is stretched to one."""
    box = 32 * np.array([low, low, low + size, low + size])
    axis = roi_warp_steps(box, (count, count), 1 / 32).x
    assert abs(axis.quantised.start - axis.roi.start) <= 1 / 2
    if axis.quantised.size > 1:
        assert abs(axis.quantised.end - axis.roi.end) <= 1 / 2
    assert axis.quantised.size >= 1
    assert axis.quantised.size == int(axis.quantised.size)
    assert axis.bins == axis.even_bins
    assert axis.border_shift == pytest.approx([0] * count)
    assert axis.shift == pytest.approx(axis.corner_shift)


@EVERY_FLOOR
@BOTH_MODES
@given(feature_maps(images=2, channels=2), rois(images=2, extent=24), grids(), RATIOS)
def test_it_is_roi_align_of_the_quantised_roi(
    floor: Floor,
    mode: str,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    ratio: int,
) -> None:
    whole = to_whole_cells(rois, 4)
    out = floor.roi_warp(features, rois, grid, 1 / 4, ratio, mode)
    floor.assert_close(out, roi_align(features, whole, grid, 1 / 4, ratio, True, mode))
    grad = np.cos(np.arange(out.size)).reshape(out.shape)
    floor.assert_close(
        floor.roi_warp_backward(grad, features, rois, grid, 1 / 4, ratio, mode),
        roi_align_backward(grad, features, whole, 1 / 4, ratio, True, mode),
    )


@EVERY_FLOOR
@given(rois_within(6, 7, margin=0.5, smallest=1), grids(), RATIOS)
def test_on_a_ramp_the_error_is_the_shift_of_the_corners(
    floor: Floor, rois: Array, grid: tuple[int, int], ratio: int
) -> None:
    """A plane shows where a bin is read: its centre, moved by ``corner_shift``."""
    rows, columns = np.indices((8, 9))
    features = (4.0 * rows - columns)[None, None]
    rois[:, 1:] += 1  # a cell away from the border
    out = floor.roi_warp(features, rois, grid, 1.0, ratio)
    for r, roi in enumerate(rois):
        steps = roi_warp_steps(roi[1:], grid, 1.0, ratio)
        y = [span.centre for span in steps.y.ideal_bins] + np.array(
            steps.y.corner_shift
        )
        x = [span.centre for span in steps.x.ideal_bins] + np.array(
            steps.x.corner_shift
        )
        floor.assert_close(out[r, 0], 4 * (y[:, None] - 0.5) - (x - 0.5))


@EVERY_FLOOR
def test_the_output_stands_still_until_a_corner_jumps(floor: Floor) -> None:
    """So its derivative by the RoI is 0 almost everywhere: RoIAlign's is not."""
    features = np.arange(36.0).reshape(1, 1, 6, 6) ** 2
    rois = np.array([[0, 1, 1, x2, 4] for x2 in (2.5, 2.9375, 3.4375, 3.5)])
    out = floor.roi_warp(features, rois, (2, 2))
    floor.assert_close(out[1], out[0])
    floor.assert_close(out[2], out[0])
    assert not np.allclose(out[3], out[0])


# What it computes


@EVERY_FLOOR
@BOTH_MODES
@given(feature_maps(), rois(extent=12), grids(), RATIOS)
def test_no_value_beyond_those_of_the_map(
    floor: Floor,
    mode: str,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    ratio: int,
) -> None:
    out = floor.roi_warp(features, rois, grid, 0.5, ratio, mode)
    assert out.shape == (len(rois), 1, *grid)
    slack = 10 * floor.tolerance
    assert out.max(initial=0) <= features.max(initial=0) + slack
    assert out.min(initial=0) >= features.min(initial=0) - slack


@EVERY_FLOOR
@BOTH_MODES
@given(
    feature_maps(images=2),
    rois(images=2, extent=12),
    grids(),
    RATIOS,
    st.integers(0, 9),
)
def test_backward_is_the_adjoint_of_forward(
    floor: Floor,
    mode: str,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    ratio: int,
    seed: int,
) -> None:
    """<backward(g), f> = <g, forward(f)>: for the mean it is linear, and the maximum
    passes each gradient on by the weights of its winner."""
    rng = np.random.default_rng(seed)
    out = floor.roi_warp(features, rois, grid, 0.5, ratio, mode)
    grad = rng.integers(-4, 5, out.shape).astype(np.float64)
    d_features = floor.roi_warp_backward(grad, features, rois, grid, 0.5, ratio, mode)
    assert d_features.shape == features.shape
    floor.assert_close((d_features * features).sum(), (grad * out).sum())


@EVERY_FLOOR
@BOTH_MODES
@given(feature_maps(), st.data(), grids(), *[st.integers(0, 2)] * 2)
def test_moving_the_roi_with_the_map_by_whole_strides(
    floor: Floor,
    mode: str,
    features: Array,
    data: st.DataObject,
    grid: tuple[int, int],
    down: int,
    right: int,
) -> None:
    height, width = features.shape[2:]
    rois = data.draw(rois_within(height, width))
    padding = ((0, 0), (0, 0), (down, 0), (right, 0))
    moved = np.pad(features, padding, mode="edge")
    stride = 4
    rois[:, 1:] *= stride
    step = stride * np.array([0, right, down, right, down])
    floor.assert_close(
        floor.roi_warp(moved, rois + step, grid, 1 / stride, 2, mode),
        floor.roi_warp(features, rois, grid, 1 / stride, 2, mode),
    )


@EVERY_FLOOR
@BOTH_MODES
@given(feature_maps(), rois(extent=12), grids(), RATIOS)
def test_swapping_x_and_y_transposes(
    floor: Floor,
    mode: str,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    ratio: int,
) -> None:
    out = floor.roi_warp(features, rois, grid, 0.5, ratio, mode)
    turned, swapped = features.swapaxes(2, 3).copy(), rois[:, [0, 2, 1, 4, 3]]
    other = floor.roi_warp(turned, swapped, grid[::-1], 0.5, ratio, mode)
    floor.assert_close(out, other.swapaxes(2, 3))


# At the edges


@EVERY_FLOOR
@BOTH_MODES
def test_no_rois(floor: Floor, mode: str) -> None:
    features, none = np.ones((1, 2, 3, 3)), np.zeros((0, 5))
    out = floor.roi_warp(features, none, (2, 2), 1.0, 2, mode)
    assert out.shape == (0, 2, 2, 2)
    back = floor.roi_warp_backward(out, features, none, (2, 2), 1.0, 2, mode)
    assert not back.any()


@EVERY_FLOOR
@BOTH_MODES
def test_empty_and_inverted_boxes_have_one_cell(floor: Floor, mode: str) -> None:
    features = np.arange(16.0).reshape(1, 1, 4, 4)
    rois = np.array([[0, 2, 1, 2, 1], [0, 2, 1, 1, 0], [0, 2.25, 1.25, 2.4, 1.4]])
    out = floor.roi_warp(features, rois, (1, 1), 1.0, 1, mode)
    floor.assert_close(out.ravel(), [6, 6, 6])


@EVERY_FLOOR
@BOTH_MODES
def test_outside_the_map_it_reads_zero(floor: Floor, mode: str) -> None:
    rois = np.array([[0, 6, 0, 8, 2], [0, -9, 0, -2, 2], [0, 0, 6, 2, 9.0]])
    out = floor.roi_warp(np.ones((1, 1, 4, 4)), rois, (2, 2), 1.0, 2, mode)
    assert not out.any()


@EVERY_FLOOR
@BOTH_MODES
def test_a_map_of_one_cell_is_flat(floor: Floor, mode: str) -> None:
    rois = np.array([[0, 0, 0, 1, 1.0]])
    out = floor.roi_warp(np.full((1, 1, 1, 1), 7.0), rois, (2, 2), 1.0, 2, mode)
    floor.assert_close(out, np.full((1, 1, 2, 2), 7.0))


@EVERY_FLOOR
@BOTH_MODES
@pytest.mark.parametrize("corner", [1, 2, 3, 4])
def test_a_nan_coordinate_reads_zero(floor: Floor, mode: str, corner: int) -> None:
    features = np.ones((1, 1, 4, 4))
    rois = np.array([[0, 0, 0, 3, 3], [0, 0, 0, 3, 3.0]])
    rois[0, corner] = math.nan
    out = floor.roi_warp(features, rois, (2, 2), 1.0, 2, mode)
    assert not out[0].any()
    floor.assert_close(out[1], np.ones((1, 2, 2)))  # its neighbour is unharmed
    grad = np.ones(out.shape)
    back = floor.roi_warp_backward(grad, features, rois, (2, 2), 1.0, 2, mode)
    floor.assert_close(back.sum(), 4)


def test_wrong_arguments_are_named() -> None:
    features, rois = np.ones((2, 1, 3, 3)), np.array([[0, 0, 0, 2, 2.0]])
    grad = np.ones((1, 1, 2, 2))
    with pytest.raises(ValueError, match=r"mode must be .* 'sum'"):
        roi_warp(features, rois, (2, 2), mode="sum")
    with pytest.raises(ValueError, match=r"mode must be .* 'sum'"):
        roi_warp_backward(grad, features, rois, (2, 2), mode="sum")
    with pytest.raises(ValueError, match="expected a whole number from 0 to 1"):
        roi_warp(features, np.array([[7, 0, 0, 2, 2.0]]), (2, 2))
    with pytest.raises(ValueError, match=r"rounding must be .* 'up'"):
        roi_warp_steps(rois[0, 1:], (2, 2), rounding="up")
