"""Laws of RoIAlign.

Faults tried -> the tests that caught them:

- no half cell when aligned, or one when legacy: the 5x5 table, both ramps, a bin a cell
- samples at the corners of their parts: the same, the points divide each bin evenly
- adaptive by floor for ceil: adaptive points are at most one cell apart, a flat map
- adaptive by the RoI, not by the bin: adaptive points ..., adaptive is the fixed ratio
- adaptive samples for inside-out RoIs: without a size there is nothing to sample
- only ratio 0 adaptive: ratio 0 and -1 mean the same
- legacy without least size: legacy stretches a roi to one cell
- aligned with least size: a roi of size 0 is one bilinear read, a ramp, mirrored
- x for y, height for width: a ramp, swapping x and y, a flat map
- sum for mean: a flat map stays flat, no value beyond those of the map
- the first sample for the maximum, or the largest magnitude: the maximum is no less
  than the mean, two by two samples equal a grid twice as fine
- the last of equal samples: of equal samples the first takes the gradient
- backward with y's weights for x, or without x's: backward is the adjoint of forward
- backward that overwrites: the same, inside the map no gradient is lost
- image 0 always, forward or backward: images and channels do not mix; backward ...
- A_y, A_x swapped, not averaged, overwritten: the separable form equals the loops
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from floors import Floor, floors
from hypothesis import given
from hypothesis import strategies as st
from strategies import Array, feature_maps, grids, rois, rois_within, sixteenths

from maskrcnn_scratch.reference.bilinear import bilinear
from maskrcnn_scratch.reference.roi_align import (
    axis_matrix,
    roi_align,
    roi_align_backward,
    roi_align_separable,
    roi_align_steps,
    sample_points,
)

EVERY_FLOOR = pytest.mark.parametrize("floor", floors("roi_align"), ids=str)
BOTH_ALIGNMENTS = pytest.mark.parametrize("aligned", [True, False])
BOTH_MODES = pytest.mark.parametrize("mode", ["mean", "max"])
RATIOS = st.sampled_from((0, 1, 2))
HEIGHT, WIDTH = 6, 7


def ramp(y: Array | float, x: Array | float) -> Array:
    """A plane over the map, in cells."""
    return np.asarray(1 + 3 * y - 2 * x)


def ramp_map() -> Array:
    """The plane's values at the centres of the cells, as features."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    return ramp(rows + 0.5, columns + 0.5)[None, None]


def bin_centres(roi: Array, grid: tuple[int, int]) -> tuple[Array, Array]:
    """Where the bins of a RoI lie in cells at stride 1: a column y and a row x."""
    _, x1, y1, x2, y2 = roi
    y = y1 + (np.arange(grid[0]) + 0.5) * (y2 - y1) / grid[0]
    x = x1 + (np.arange(grid[1]) + 0.5) * (x2 - x1) / grid[1]
    return y[:, None], x


# Numbers worked by hand


@EVERY_FLOOR
def test_the_5x5_table(floor: Floor) -> None:
    """Features 0..24 row by row, RoI (1, 1, 3, 3), 4 x 4 bins, one sample a bin."""
    features = np.arange(25.0).reshape(1, 1, 5, 5)
    rois = np.array([[0, 1, 1, 3, 3.0]])
    steps = np.arange(4) * 0.5
    table = 5 * steps[:, None] + steps  # a bin lower: + 2.5; a bin further right: + 0.5
    aligned = floor.roi_align(features, rois, (4, 4), 1.0, 1, True)
    floor.assert_close(aligned[0, 0], 4.5 + table)  # 4.5 .. 13.5
    legacy = floor.roi_align(features, rois, (4, 4), 1.0, 1, False)
    floor.assert_close(legacy[0, 0], 7.5 + table)  # 7.5 .. 16.5


def test_665_pixels_at_stride_32() -> None:
    """20.78125 cells stay 20.78125, and 7 bins 2.96875 each: nothing is lost."""
    steps = roi_align_steps(np.array([0, 0, 665, 665.0]), (7, 7), 1 / 32, 2)
    axis = steps.x
    assert axis.roi == axis.quantised == (0, 20.78125)
    assert axis.bin_size == 2.96875
    assert axis.bins[-1] == (17.8125, 20.78125)
    assert (axis.lost, axis.covered) == (0, 20.78125)
    # The two points of the first bin: a quarter and three quarters, less half a cell.
    assert axis.points[0] == (2.96875 * 0.25 - 0.5, 2.96875 * 0.75 - 0.5)


@EVERY_FLOOR
def test_the_four_samples_of_a_bin_by_hand(floor: Floor) -> None:
    """One bin of one cell between the centres of four: samples 1/4 and 3/4 across.

    Two rows a quarter and three quarters down, (8, 44) and (24, 100), then the same
    across: 17, 35 and 43, 81.
    """
    features = np.array([[[[0.0, 16.0], [32.0, 128.0]]]])
    rois = np.array([[0, 0.5, 0.5, 1.5, 1.5]])
    mean = floor.roi_align(features, rois, (1, 1), 1.0, 2, True, "mean")
    floor.assert_close(mean.item(), (17 + 35 + 43 + 81) / 4)
    largest = floor.roi_align(features, rois, (1, 1), 1.0, 2, True, "max")
    floor.assert_close(largest.item(), 81)


# Where it reads


@EVERY_FLOOR
@given(rois_within(HEIGHT, WIDTH, margin=0.5, smallest=1 / 16), grids(), RATIOS)
def test_aligned_reads_a_ramp_at_the_bins_centres(
    floor: Floor, rois: Array, grid: tuple[int, int], ratio: int
) -> None:
    out = floor.roi_align(ramp_map(), rois, grid, 1.0, ratio, True)
    for r, roi in enumerate(rois):
        floor.assert_close(out[r, 0], ramp(*bin_centres(roi, grid)))


@EVERY_FLOOR
@given(rois_within(HEIGHT - 1, WIDTH - 1, smallest=1), grids(), RATIOS)
def test_legacy_reads_a_ramp_half_a_cell_too_far(
    floor: Floor, rois: Array, grid: tuple[int, int], ratio: int
) -> None:
    out = floor.roi_align(ramp_map(), rois, grid, 1.0, ratio, False)
    for r, roi in enumerate(rois):
        y, x = bin_centres(roi, grid)
        floor.assert_close(out[r, 0], ramp(y + 0.5, x + 0.5))


@EVERY_FLOOR
@given(
    rois_within(HEIGHT, WIDTH, margin=0.5, smallest=1 / 16), grids(), st.integers(1, 2)
)
def test_the_maximum_of_a_ramp_is_its_last_sample(
    floor: Floor, rois: Array, grid: tuple[int, int], ratio: int
) -> None:
    """Of S samples the last lies (1/2 - 1/(2S)) bins from the bin's centre."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    features = (2.0 * rows + 5 * columns)[
        None, None
    ]  # at y = row + 1/2, x = column + 1/2
    out = floor.roi_align(features, rois, grid, 1.0, ratio, True, "max")
    for r, (_, x1, y1, x2, y2) in enumerate(rois):
        y, x = bin_centres(rois[r], grid)
        share = 0.5 - 0.5 / ratio
        last_y, last_x = (
            y + share * (y2 - y1) / grid[0],
            x + share * (x2 - x1) / grid[1],
        )
        floor.assert_close(out[r, 0], 2 * (last_y - 0.5) + 5 * (last_x - 0.5))


@EVERY_FLOOR
@BOTH_MODES
@given(feature_maps(channels=2))
def test_a_bin_a_cell_gives_the_map_itself(
    floor: Floor, mode: str, features: Array
) -> None:
    height, width = features.shape[2:]
    rois = np.array([[0, 0, 0, width * 8, height * 8.0]])
    out = floor.roi_align(features, rois, (height, width), 1 / 8, 1, True, mode)
    floor.assert_close(out, features)


@EVERY_FLOOR
@given(feature_maps(), sixteenths(-2, 8), sixteenths(-2, 8))
def test_a_roi_of_size_0_is_one_bilinear_read(
    floor: Floor, features: Array, y: float, x: float
) -> None:
    """At every place, the border of the map and beyond among them."""
    rois = np.array([[0, x + 0.5, y + 0.5, x + 0.5, y + 0.5]])
    for mode in ("mean", "max"):
        out = floor.roi_align(features, rois, (1, 1), 1.0, 1, True, mode)
        floor.assert_close(out.item(), bilinear(features[0, 0], y, x))


@EVERY_FLOOR
def test_reads_end_one_cell_outside_the_map(floor: Floor) -> None:
    features = np.array([[[[5.0, 5.0], [7.0, 7.0]]]])
    reads = {-1.0625: 0, -1: 5, 0: 5, 1: 7, 2: 7, 2.0625: 0}
    rois = np.array([[0, 1, y + 0.5, 1, y + 0.5] for y in reads])
    out = floor.roi_align(features, rois, (1, 1), 1.0, 1, True)
    floor.assert_close(out.ravel(), list(reads.values()))


@given(rois(images=1), grids(), RATIOS, st.booleans())
def test_the_points_divide_each_bin_evenly(
    rois: Array, grid: tuple[int, int], ratio: int, aligned: bool
) -> None:
    for roi in rois:
        steps = roi_align_steps(roi[1:], grid, 0.5, ratio, aligned)
        ys, xs = sample_points(roi[1:], grid, 0.5, ratio, aligned)
        for axis, points in ((steps.y, ys), (steps.x, xs)):
            assert points.shape[0] == len(axis.bins)
            if ratio > 0:
                assert points.shape[1] == ratio
            half = 0.5 if aligned else 0
            for span, of_bin in zip(axis.bins, points + half, strict=True):
                for s, point in enumerate(of_bin):
                    share = (s + 0.5) / len(of_bin)
                    assert point == pytest.approx(span.start + share * span.size)


@BOTH_ALIGNMENTS
@given(rois_within(12, 12, smallest=1), grids())
def test_adaptive_points_are_at_most_one_cell_apart(
    aligned: bool, rois: Array, grid: tuple[int, int]
) -> None:
    for roi in rois:
        for axis in vars(roi_align_steps(roi[1:], grid, 1.0, 0, aligned)).values():
            count = len(axis.points[0])
            assert axis.bin_size / count <= 1  # close enough
            assert count == 1 or axis.bin_size / (count - 1) > 1  # and no more of them


@BOTH_ALIGNMENTS
@given(rois_within(12, 12, smallest=1), grids(), RATIOS)
def test_the_misalignment_is_none_or_half_a_cell(
    aligned: bool, rois: Array, grid: tuple[int, int], ratio: int
) -> None:
    for roi in rois:
        for axis in vars(roi_align_steps(roi[1:], grid, 1.0, ratio, aligned)).values():
            assert axis.corner_shift == pytest.approx([0] * len(axis.bins))
            assert axis.border_shift == pytest.approx([0] * len(axis.bins))
            half = 0 if aligned else 0.5
            assert axis.shift == pytest.approx([half] * len(axis.bins), abs=1e-12)


@EVERY_FLOOR
@given(
    feature_maps(),
    rois(extent=12),
    grids(),
    st.booleans(),
)
def test_two_by_two_samples_equal_a_grid_twice_as_fine_then_pooled(
    floor: Floor, features: Array, rois: Array, grid: tuple[int, int], aligned: bool
) -> None:
    """The "interpolate to 14 x 14, then pool to 7 x 7" of crop-and-resize codes."""
    finer = (2 * grid[0], 2 * grid[1])
    for mode, pool in (("mean", np.mean), ("max", np.max)):
        out = floor.roi_align(features, rois, grid, 0.5, 2, aligned, mode)
        fine = floor.roi_align(features, rois, finer, 0.5, 1, aligned, mode)
        blocks = fine.reshape(len(rois), 1, grid[0], 2, grid[1], 2)
        floor.assert_close(out, pool(blocks, axis=(3, 5)))


# What it computes


@EVERY_FLOOR
@BOTH_MODES
@given(feature_maps(), rois(extent=12), grids(), RATIOS, st.booleans())
def test_no_value_beyond_those_of_the_map(
    floor: Floor,
    mode: str,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    ratio: int,
    aligned: bool,
) -> None:
    """0 belongs to them: it is what a point outside reads."""
    out = floor.roi_align(features, rois, grid, 0.5, ratio, aligned, mode)
    assert out.shape == (len(rois), 1, *grid)
    slack = 10 * floor.tolerance
    assert out.max(initial=0) <= features.max(initial=0) + slack
    assert out.min(initial=0) >= features.min(initial=0) - slack


@EVERY_FLOOR
@BOTH_ALIGNMENTS
@BOTH_MODES
@given(rois_within(HEIGHT, WIDTH, smallest=1), grids(), RATIOS)
def test_a_flat_map_stays_flat(
    floor: Floor,
    mode: str,
    aligned: bool,
    rois: Array,
    grid: tuple[int, int],
    ratio: int,
) -> None:
    features = np.full((1, 1, HEIGHT, WIDTH), -3.0)
    out = floor.roi_align(features, rois, grid, 1.0, ratio, aligned, mode)
    floor.assert_close(out, np.full(out.shape, -3.0))


@EVERY_FLOOR
@given(feature_maps(), rois(extent=12), grids(), RATIOS, st.integers(-3, 3))
def test_the_mean_is_linear_in_the_features(
    floor: Floor,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    ratio: int,
    factor: int,
) -> None:
    other = np.cos(np.arange(features.size)).reshape(features.shape)
    floor.assert_close(
        floor.roi_align(features + factor * other, rois, grid, 0.5, ratio),
        floor.roi_align(features, rois, grid, 0.5, ratio)
        + factor * floor.roi_align(other, rois, grid, 0.5, ratio),
    )


@EVERY_FLOOR
@given(feature_maps(), rois(extent=12), grids(), RATIOS, st.booleans())
def test_the_maximum_is_no_less_than_the_mean(
    floor: Floor,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    ratio: int,
    aligned: bool,
) -> None:
    mean = floor.roi_align(features, rois, grid, 0.5, ratio, aligned, "mean")
    largest = floor.roi_align(features, rois, grid, 0.5, ratio, aligned, "max")
    assert (largest >= mean - 10 * floor.tolerance).all()
    if ratio == 1:
        floor.assert_close(mean, largest)


@given(feature_maps(images=2, channels=2), rois(images=2), grids(), RATIOS)
def test_the_separable_form_equals_the_loops(
    features: Array, rois: Array, grid: tuple[int, int], ratio: int
) -> None:
    for aligned in (True, False):
        np.testing.assert_allclose(
            roi_align_separable(features, rois, grid, 0.5, ratio, aligned),
            roi_align(features, rois, grid, 0.5, ratio, aligned),
            atol=1e-12,
        )


@given(st.integers(1, 6), rois_within(6, 6, smallest=1), grids(), RATIOS)
def test_rows_of_the_axis_matrix_are_shares(
    size: int, rois: Array, grid: tuple[int, int], ratio: int
) -> None:
    for roi in rois:
        points = roi_align_steps(roi[1:], grid, 1.0, ratio).x.points
        matrix = axis_matrix(size, points)
        inside = [np.mean([-1 <= p <= size for p in of_bin]) for of_bin in points]
        assert (matrix >= 0).all()
        np.testing.assert_allclose(matrix.sum(axis=1), inside)


# Where nothing may change


@EVERY_FLOOR
@BOTH_ALIGNMENTS
@BOTH_MODES
@given(feature_maps(), st.data(), grids(), RATIOS, *[st.integers(0, 2)] * 2)
def test_moving_the_roi_with_the_map_by_whole_strides(
    floor: Floor,
    mode: str,
    aligned: bool,
    features: Array,
    data: st.DataObject,
    grid: tuple[int, int],
    ratio: int,
    down: int,
    right: int,
) -> None:
    """The map is padded with its own border, which is what RoIAlign reads there."""
    height, width = features.shape[2:]
    rois = data.draw(rois_within(height, width))
    padding = ((0, 0), (0, 0), (down, 0), (right, 0))
    moved = np.pad(features, padding, mode="edge")
    stride = 4
    rois[:, 1:] *= stride
    step = stride * np.array([0, right, down, right, down])
    floor.assert_close(
        floor.roi_align(moved, rois + step, grid, 1 / stride, ratio, aligned, mode),
        floor.roi_align(features, rois, grid, 1 / stride, ratio, aligned, mode),
    )


@EVERY_FLOOR
@BOTH_ALIGNMENTS
@BOTH_MODES
@given(feature_maps(), rois(extent=12), grids(), RATIOS)
def test_swapping_x_and_y_transposes(
    floor: Floor,
    mode: str,
    aligned: bool,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    ratio: int,
) -> None:
    out = floor.roi_align(features, rois, grid, 0.5, ratio, aligned, mode)
    turned, swapped = features.swapaxes(2, 3).copy(), rois[:, [0, 2, 1, 4, 3]]
    other = floor.roi_align(turned, swapped, grid[::-1], 0.5, ratio, aligned, mode)
    floor.assert_close(out, other.swapaxes(2, 3))


@EVERY_FLOOR
@BOTH_MODES
@given(feature_maps(), rois(extent=12), grids(), RATIOS)
def test_flipping_the_map_flips_the_output(
    floor: Floor,
    mode: str,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    ratio: int,
) -> None:
    """Aligned only: half a cell to the right is half a cell to the left, flipped."""
    out = floor.roi_align(features, rois, grid, 0.5, ratio, True, mode)
    mirrored = rois.copy()
    mirrored[:, [1, 3]] = 2 * features.shape[3] - rois[:, [3, 1]]
    flipped = features[..., ::-1].copy()
    other = floor.roi_align(flipped, mirrored, grid, 0.5, ratio, True, mode)
    floor.assert_close(out, other[..., ::-1])


@EVERY_FLOOR
@BOTH_MODES
@given(feature_maps(images=2, channels=3), rois(images=2), RATIOS, st.booleans())
def test_images_and_channels_do_not_mix(
    floor: Floor,
    mode: str,
    features: Array,
    rois: Array,
    ratio: int,
    aligned: bool,
) -> None:
    out = floor.roi_align(features, rois, (2, 1), 0.5, ratio, aligned, mode)
    for r, c in np.ndindex(out.shape[:2]):
        image = int(rois[r, 0])
        alone = floor.roi_align(
            features[image : image + 1, c : c + 1],
            np.array([[0, *rois[r, 1:]]]),
            *((2, 1), 0.5, ratio, aligned, mode),
        )
        floor.assert_close(out[r, c], alone[0, 0])


@EVERY_FLOOR
@BOTH_MODES
@given(feature_maps(), st.data(), grids(), sixteenths(0, 0.5))
def test_a_small_step_of_the_roi_makes_a_small_change(
    floor: Floor,
    mode: str,
    features: Array,
    data: st.DataObject,
    grid: tuple[int, int],
    step: float,
) -> None:
    """What RoIPool and RoIWarp cannot promise: nothing jumps."""
    height, width = features.shape[2:]
    rois = data.draw(rois_within(height, width))
    steepest = np.abs(np.diff(features, axis=3)).max(initial=0)
    out = floor.roi_align(features, rois, grid, 1.0, 2, True, mode)
    moved = rois + step * np.array([0, 1, 0, 1, 0])
    change = floor.roi_align(features, moved, grid, 1.0, 2, True, mode) - out
    assert np.abs(change).max(initial=0) <= step * steepest + 20 * floor.tolerance


# Its gradient


@EVERY_FLOOR
@BOTH_ALIGNMENTS
@given(
    feature_maps(images=2, channels=2),
    rois(images=2, extent=12),
    grids(),
    RATIOS,
    st.integers(0, 99),
)
def test_backward_of_the_mean_is_the_adjoint_of_forward(
    floor: Floor,
    aligned: bool,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    ratio: int,
    seed: int,
) -> None:
    """<backward(g), f> = <g, forward(f)>, for any f, whatever map backward is given."""
    rng = np.random.default_rng(seed)
    out = floor.roi_align(features, rois, grid, 0.5, ratio, aligned)
    grad = rng.integers(-4, 5, out.shape).astype(np.float64)
    other = rng.integers(-4, 5, features.shape).astype(np.float64)
    d_features = floor.roi_align_backward(grad, other, rois, 0.5, ratio, aligned)
    assert d_features.shape == features.shape
    floor.assert_close((d_features * features).sum(), (grad * out).sum())


@EVERY_FLOOR
@BOTH_ALIGNMENTS
@given(
    feature_maps(images=2, channels=2),
    rois(images=2, extent=12),
    grids(),
    RATIOS,
    st.integers(0, 99),
)
def test_backward_of_the_maximum(
    floor: Floor,
    aligned: bool,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    ratio: int,
    seed: int,
) -> None:
    """Adjoint at the features themselves: every winner passes on its own weight."""
    rng = np.random.default_rng(seed)
    out = floor.roi_align(features, rois, grid, 0.5, ratio, aligned, "max")
    grad = rng.integers(-4, 5, out.shape).astype(np.float64)
    d_features = floor.roi_align_backward(
        grad, features, rois, 0.5, ratio, aligned, "max"
    )
    floor.assert_close((d_features * features).sum(), (grad * out).sum())


def test_backward_of_the_maximum_against_finite_differences(
    rng: np.random.Generator,
) -> None:
    features = rng.normal(size=(1, 1, 5, 6))
    rois = np.array([[0, 0.3, 0.7, 4.9, 4.1], [0, -1, 2, 3, 9.5]])
    grad = rng.normal(size=(2, 1, 2, 3))
    d_features = roi_align_backward(grad, features, rois, 1.0, 2, True, "max")
    step = 1e-6
    for cell in np.ndindex(features.shape):
        up, down = features.copy(), features.copy()
        up[cell] += step
        down[cell] -= step
        change = roi_align(up, rois, (2, 3), 1.0, 2, True, "max") - roi_align(
            down, rois, (2, 3), 1.0, 2, True, "max"
        )
        expected = (grad * change).sum() / (2 * step)
        assert d_features[cell] == pytest.approx(expected, abs=1e-8), cell


@EVERY_FLOOR
def test_of_equal_samples_the_first_takes_the_gradient(floor: Floor) -> None:
    """Four samples, one at each corner cell of a flat 2 x 2 block."""
    features = np.ones((1, 1, 2, 2))
    rois = np.array([[0, 0, 0, 2, 2.0]])
    grad = np.full((1, 1, 1, 1), 8.0)
    d_features = floor.roi_align_backward(grad, features, rois, 1.0, 2, True, "max")
    floor.assert_close(d_features[0, 0], [[8, 0], [0, 0]])


@EVERY_FLOOR
@BOTH_MODES
@given(rois_within(HEIGHT, WIDTH, smallest=1), grids(), RATIOS)
def test_inside_the_map_no_gradient_is_lost(
    floor: Floor, mode: str, rois: Array, grid: tuple[int, int], ratio: int
) -> None:
    grad = 1.0 + np.arange(len(rois) * grid[0] * grid[1]).reshape(-1, 1, *grid)
    d_features = floor.roi_align_backward(
        grad, ramp_map(), rois, 1.0, ratio, True, mode
    )
    floor.assert_close(d_features.sum(), grad.sum())


# At the edges


@EVERY_FLOOR
@BOTH_MODES
def test_no_rois(floor: Floor, mode: str) -> None:
    features, none = np.ones((1, 2, 3, 3)), np.zeros((0, 5))
    out = floor.roi_align(features, none, (2, 2), 1.0, 0, True, mode)
    assert out.shape == (0, 2, 2, 2)
    d_features = floor.roi_align_backward(out, features, none, 1.0, 0, True, mode)
    assert d_features.shape == features.shape
    assert not d_features.any()


@EVERY_FLOOR
@BOTH_ALIGNMENTS
@given(feature_maps(), rois(extent=12), grids())
def test_ratio_0_and_minus_1_mean_the_same(
    floor: Floor, aligned: bool, features: Array, rois: Array, grid: tuple[int, int]
) -> None:
    floor.assert_close(
        floor.roi_align(features, rois, grid, 0.5, 0, aligned),
        floor.roi_align(features, rois, grid, 0.5, -1, aligned),
    )


@EVERY_FLOOR
@BOTH_ALIGNMENTS
@given(
    feature_maps(),
    *[sixteenths(-2, 8)] * 2,
    sixteenths(1, 9),
    st.sampled_from((1, 2, 4)),
)
def test_adaptive_is_the_fixed_ratio_that_the_size_asks_for(
    floor: Floor,
    aligned: bool,
    features: Array,
    y: float,
    x: float,
    side: float,
    bins: int,
) -> None:
    rois, grid = np.array([[0, x, y, x + side, y + side]]), (bins, bins)
    ratio = math.ceil(side / bins)
    for mode in ("mean", "max"):
        floor.assert_close(
            floor.roi_align(features, rois, grid, 1.0, 0, aligned, mode),
            floor.roi_align(features, rois, grid, 1.0, ratio, aligned, mode),
        )


@EVERY_FLOOR
@given(feature_maps(), rois(extent=12), grids(), st.integers(1, 2))
def test_an_inside_out_roi_is_read_mirrored(
    floor: Floor, features: Array, rois: Array, grid: tuple[int, int], ratio: int
) -> None:
    out = floor.roi_align(features, rois, grid, 0.5, ratio, True)
    mirrored = floor.roi_align(
        features, rois[:, [0, 3, 2, 1, 4]], grid, 0.5, ratio, True
    )
    floor.assert_close(out, mirrored[..., ::-1])


@EVERY_FLOOR
def test_without_a_size_there_is_nothing_to_sample_adaptively(floor: Floor) -> None:
    """An aligned RoI of size 0 has ceil(0) samples; inside out, none either."""
    rois = np.array([[0, 2, 1, 2, 3], [0, 1, 2, 3, 2], [0, 3, 3, 1, 1.0]])
    features = np.ones((1, 1, 4, 4))
    assert not floor.roi_align(features, rois, (2, 2), 1.0, 0, True).any()
    assert not floor.roi_align(features, rois, (2, 2), 1.0, 0, True, "max").any()
    grad = np.ones((3, 1, 2, 2))
    assert not floor.roi_align_backward(grad, features, rois, 1.0, 0, True).any()


@EVERY_FLOOR
@given(feature_maps(), rois(extent=8), grids(), RATIOS)
def test_legacy_stretches_a_roi_to_one_cell(
    floor: Floor, features: Array, rois: Array, grid: tuple[int, int], ratio: int
) -> None:
    stretched = rois.copy()
    stretched[:, 3:] = np.maximum(rois[:, 3:], rois[:, 1:3] + 1)
    floor.assert_close(
        floor.roi_align(features, rois, grid, 1.0, ratio, False),
        floor.roi_align(features, stretched, grid, 1.0, ratio, False),
    )


@EVERY_FLOOR
def test_points_outside_count_as_zero_in_the_mean(floor: Floor) -> None:
    """Four samples down a map of two rows, at 0.5, 2.5, 4.5 and 6.5: one is inside."""
    features = np.full((1, 1, 2, 2), 6.0)
    rois = np.array([[0, 0, 0, 2, 8.0]])
    out = floor.roi_align(features, rois, (1, 1), 1.0, 4, True)
    assert out.item() == pytest.approx(6 / 4)
    assert floor.roi_align(-features, rois, (1, 1), 1.0, 4, True, "max").item() == 0


@EVERY_FLOOR
@BOTH_MODES
@BOTH_ALIGNMENTS
def test_a_roi_far_from_the_map_reads_zero(
    floor: Floor, mode: str, aligned: bool
) -> None:
    rois = np.array([[0, 9, 0, 12, 3], [0, 0, -9, 3, -6], [0, -9, -9, -6, -6.0]])
    features = np.ones((1, 1, 4, 4))
    out = floor.roi_align(features, rois, (2, 2), 1.0, 0, aligned, mode)
    assert not out.any()
    d_features = floor.roi_align_backward(
        np.ones(out.shape), features, rois, 1.0, 0, aligned, mode
    )
    assert not d_features.any()


@EVERY_FLOOR
@BOTH_MODES
@BOTH_ALIGNMENTS
def test_a_map_of_one_cell_is_flat(floor: Floor, mode: str, aligned: bool) -> None:
    rois = np.array([[0, 0, 0, 1, 1], [0, -0.5, -0.5, 0.5, 0.5]])
    features = np.full((1, 1, 1, 1), 7.0)
    out = floor.roi_align(features, rois, (2, 2), 1.0, 2, aligned, mode)
    floor.assert_close(out, np.full((2, 1, 2, 2), 7.0))


@EVERY_FLOOR
@BOTH_MODES
@BOTH_ALIGNMENTS
@pytest.mark.parametrize("corner", [1, 2, 3, 4])
@pytest.mark.parametrize("ratio", [0, 2])
def test_a_nan_coordinate_reads_zero(
    floor: Floor, mode: str, aligned: bool, corner: int, ratio: int
) -> None:
    features = np.ones((1, 1, 4, 4))
    rois = np.array([[0, 0, 0, 3, 3], [0, 0, 0, 3, 3.0]])
    rois[0, corner] = math.nan
    out = floor.roi_align(features, rois, (2, 2), 1.0, ratio, aligned, mode)
    assert not out[0].any()
    floor.assert_close(out[1], np.ones((1, 2, 2)))  # its neighbour is unharmed
    d_features = floor.roi_align_backward(
        np.ones(out.shape), features, rois, 1.0, ratio, aligned, mode
    )
    floor.assert_close(d_features.sum(), 4)


def test_wrong_arguments_are_named() -> None:
    features, rois = np.ones((2, 1, 3, 3)), np.array([[0, 0, 0, 2, 2.0]])
    with pytest.raises(ValueError, match=r"mode must be .* 'median'"):
        roi_align(features, rois, (2, 2), mode="median")
    with pytest.raises(ValueError, match=r"output_size .* \(2, 0\)"):
        roi_align(features, rois, (2, 0))
    with pytest.raises(ValueError, match="spatial_scale must be positive"):
        roi_align(features, rois, (2, 2), math.nan)
    with pytest.raises(ValueError, match="expected a whole number from 0 to 1"):
        roi_align(features, np.array([[2, 0, 0, 2, 2.0]]), (2, 2))


# Against the published layer


@BOTH_ALIGNMENTS
@pytest.mark.parametrize("ratio", [-1, 0, 1, 2, 3])
def test_it_equals_torchvision(
    aligned: bool, ratio: int, rng: np.random.Generator
) -> None:
    ops = pytest.importorskip("torchvision.ops")
    torch = pytest.importorskip("torch")
    for _ in range(12):
        features = rng.normal(size=(2, 2, *rng.integers(1, 9, 2)))
        # Adaptive sampling of inside-out boxes crashes torchvision.
        low, smallest = rng.uniform(-8, 16, (4, 2)), -4 if ratio > 0 else 0
        corners = np.hstack([low, low + rng.uniform(smallest, 12, (4, 2))])
        rois = np.column_stack([rng.integers(0, 2, 4), corners])
        grid = tuple(int(side) for side in rng.integers(1, 5, 2))
        theirs_in = torch.tensor(features, requires_grad=True)
        theirs = ops.roi_align(theirs_in, torch.tensor(rois), grid, 0.5, ratio, aligned)
        ours = roi_align(features, rois, grid, 0.5, ratio, aligned)
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-12)
        grad = rng.normal(size=ours.shape)
        theirs.backward(torch.tensor(grad))
        np.testing.assert_allclose(
            roi_align_backward(grad, features, rois, 0.5, ratio, aligned),
            theirs_in.grad.numpy(),
            atol=1e-12,
        )
