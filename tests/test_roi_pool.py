"""Laws of RoIPool.

Faults tried -> the tests that caught them:

- halves to even, or up instead of away from 0: halves round away from zero, the layer
  rounds halves, how far the first quantisation moves a corner
- floor for round: 665 pixels as the layer computes it, the bounds in image pixels
- no inclusive end (+ 1): 8 cells into 7 bins, 8x8 by hand, flipping
- bin starts ceiled, or ends floored: rounded bins hold their real borders, 8x8 by hand
- "floor" bins of real size, or of 0 cells: floored bins are equal and side by side
- a bin one cell longer: 665 pixels, floored bins are equal and side by side
- x for y: every output is a feature of its bin, 8x8 by hand
- the last of equal features: of equal features the first wins
- the maximum starts at 0: negative features do not lose to an empty bin, scaling
- argmax as row * height + column: every output is a feature of its bin
- image 0 or channel 0 always: images and channels do not mix; backward is the adjoint
- backward that overwrites: every filled bin passes its gradient to one cell
- backward through empty bins: the same, backward is the adjoint of forward
- the last column never read, or rows below 0 wrapping: every output is a feature of its
  bin, swapping x and y
- no least size of the RoI: rounded bins hold ..., floored bins are equal ..., empty and
  inverted boxes have one cell

And in roi_steps, which the three layers share:

- x and y swapped: 8x8 by hand, moving by whole strides (in all three)
- the scale divides: 665 pixels at stride 32 (in all three)
- a NaN span widened to one cell: a nan coordinate (in all three)
- one cell back from the end, not on from the start: empty and inverted boxes
- a negative image index wraps: wrong arguments are named
- shifts without the half cell: the two shifts add up
- ``lost`` with the wrong sign: 665 pixels at stride 32
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from floors import Floor, floors
from hypothesis import given
from hypothesis import strategies as st
from strategies import Array, feature_maps, grids, rois, sixteenths

from maskrcnn_scratch.reference.roi_pool import (
    EMPTY,
    quantise,
    roi_pool,
    roi_pool_backward,
    roi_pool_steps,
    round_half_away,
)
from maskrcnn_scratch.reference.roi_steps import AxisSteps, Span

EVERY_FLOOR = pytest.mark.parametrize("floor", floors("roi_pool"), ids=str)
BOTH_RULES = pytest.mark.parametrize("rounding", ["round", "floor"])

# Sixty-four features, laid out so that the two rules pick different ones.
EIGHT_BY_EIGHT = np.array(
    [
        [88, 44, 14, 16, 37, 77, 96, 28],
        [19, 45, 49, 78, 64, 83, 71, 92],
        [17, 35, 73, 55, 90, 27, 87, 26],
        [9, 57, 63, 85, 20, 45, 18, 51],
        [34, 21, 48, 70, 15, 81, 84, 22],
        [32, 59, 75, 33, 91, 24, 61, 66],
        [30, 50, 13, 58, 65, 6, 38, 80],
        [11, 29, 54, 93, 42, 47, 89, 69],
    ],
    np.float64,
)


def one_axis(
    low: float, high: float, bins: int, stride: float = 1, rounding: str = "round"
) -> AxisSteps:
    """The steps of a box from low to high, in image pixels, on either axis."""
    box = np.array([low, low, high, high], np.float64)
    steps = roi_pool_steps(box, (bins, bins), 1 / stride, rounding)
    assert steps.x == steps.y
    return steps.x


def edges(spans: tuple[Span, ...]) -> list[tuple[float, float]]:
    return [tuple(span) for span in spans]


# Numbers worked by hand


def test_halves_round_away_from_zero() -> None:
    table = {0.5: 1, 1.5: 2, 2.5: 3, -0.5: -1, -1.5: -2, -2.5: -3}
    table |= {0.0: 0, 0.49999999999999994: 0, 2.4375: 2, -2.4375: -2, 20.78125: 21}
    assert {c: round_half_away(c) for c in table} == table


def test_665_pixels_at_stride_32_as_the_walkthroughs_tell_it() -> None:
    """Floor: 20.78125 -> 20 cells, 25 pixels lost; 20 / 7 = 2.857 -> 2; 14 covered."""
    axis = one_axis(0, 665, 7, stride=32, rounding="floor")
    assert axis.roi == (0, 20.78125)
    assert axis.quantised == (0, 20)
    assert (axis.lost, axis.lost * axis.stride) == (0.78125, 25)
    assert axis.bin_size == pytest.approx(2.857, abs=5e-4)
    assert edges(axis.bins) == [
        (0, 2),
        (2, 4),
        (4, 6),
        (6, 8),
        (8, 10),
        (10, 12),
        (12, 14),
    ]
    assert axis.covered == 14
    # The last bin should lie at 17.8 to 20.8, and lies 6.3 cells = 201.5 pixels before.
    assert axis.shift[-1] * axis.stride == pytest.approx(-201.5)


def test_665_pixels_at_stride_32_as_the_layer_computes_it() -> None:
    """Round: 20.78 -> cell 21, which belongs to the RoI; bins overlap and cover it."""
    axis = one_axis(0, 665, 7, stride=32)
    assert axis.quantised == (0, 22)
    assert axis.bin_size == pytest.approx(22 / 7)
    assert edges(axis.bins) == [
        (0, 4),
        (3, 7),
        (6, 10),
        (9, 13),
        (12, 16),
        (15, 19),
        (18, 22),
    ]
    assert axis.covered == 22


def test_8_cells_into_7_bins() -> None:
    """Under the layer's rule every bin mixes two cells, and inner cells count twice.

    Under the walk-throughs' rule each bin has one cell, and the last cell is not read.
    """
    pairs = [(k, k + 2) for k in range(7)]
    assert edges(one_axis(0, 7, 7).bins) == pairs
    singles = [(k, k + 1) for k in range(7)]
    assert edges(one_axis(0, 8, 7, rounding="floor").bins) == singles


@EVERY_FLOOR
def test_8x8_to_2x2_by_hand(floor: Floor) -> None:
    """Seven columns (0 to 6) and five rows (3 to 7) of the map, into 2 x 2 bins.

    Round: 3.5 columns and 2.5 rows a bin become columns 0-3 and 3-6, rows 3-5 and 5-7.
    Floor: 3 columns and 2 rows a bin: columns 0-2 and 3-5, rows 3-4 and 5-6.
    """
    features = EIGHT_BY_EIGHT[None, None]
    out, argmax = floor.roi_pool(features, np.array([[0, 0, 3, 6, 7.0]]), (2, 2))
    np.testing.assert_array_equal(out[0, 0], [[85, 91], [93, 93]])
    cells = [[3 * 8 + 3, 5 * 8 + 4], [7 * 8 + 3, 7 * 8 + 3]]
    np.testing.assert_array_equal(argmax[0, 0], cells)

    rois = np.array([[0, 0, 3, 7, 8.0]])
    out, argmax = floor.roi_pool(features, rois, (2, 2), 1.0, "floor")
    np.testing.assert_array_equal(out[0, 0], [[63, 85], [75, 91]])
    cells = [[3 * 8 + 2, 3 * 8 + 3], [5 * 8 + 2, 5 * 8 + 4]]
    np.testing.assert_array_equal(argmax[0, 0], cells)


# The two quantisations


@given(sixteenths(-9, 9), sixteenths(-9, 9))
def test_how_far_the_first_quantisation_moves_a_corner(low: float, high: float) -> None:
    """At most half a cell when rounding, less than a whole one when flooring."""
    corners = np.array([low, high])
    rounded = np.array(quantise(Span(low, high), "round"))
    assert (rounded == rounded.astype(int)).all()
    assert (abs(rounded - corners) <= 1 / 2).all()
    floored = np.array(quantise(Span(low, high), "floor"))
    assert (floored == floored.astype(int)).all()
    assert (floored <= corners).all()
    assert (corners - floored < 1).all()


def test_the_bounds_in_image_pixels_are_reached() -> None:
    """At stride 16: 8 pixels when rounding, just under 16 when flooring."""
    assert quantise(Span(8 / 16, 24 / 16), "round") == (1, 2)  # 16 and 32 pixels
    assert quantise(Span(15.9375 / 16, 24 / 16), "floor") == (0, 1)  # 0 and 16 pixels


@given(sixteenths(-4, 9), sixteenths(-4, 9), st.integers(1, 9))
def test_rounded_bins_hold_their_real_borders_and_leave_no_cell_out(
    low: float, high: float, count: int
) -> None:
    axis = one_axis(low, high, count)
    assert axis.quantised.size >= 1
    for real, held in zip(axis.even_bins, axis.bins, strict=True):
        assert real.start - 1 < held.start <= real.start + 1e-9
        assert real.end - 1e-9 <= held.end < real.end + 1
    assert axis.bins[0].start == axis.quantised.start
    assert axis.bins[-1].end == axis.quantised.end
    for before, after in itertools.pairwise(axis.bins):
        assert before.start <= after.start <= before.end <= after.end


@given(sixteenths(-4, 9), sixteenths(-4, 9), st.integers(1, 9))
def test_floored_bins_are_equal_and_stand_side_by_side(
    low: float, high: float, count: int
) -> None:
    axis = one_axis(low, high, count, rounding="floor")
    assert axis.quantised.size >= 1
    size = max(1, axis.quantised.size // count)
    starts = [axis.quantised.start + k * size for k in range(count)]
    assert edges(axis.bins) == [(start, start + size) for start in starts]
    left_over = axis.quantised.size - axis.covered
    assert left_over < count  # less than one cell a bin
    assert (left_over < 0) == (axis.quantised.size < count)  # bins run past the end


@BOTH_RULES
@given(sixteenths(-4, 9), sixteenths(-4, 9), st.integers(1, 5))
def test_the_two_shifts_add_up(
    rounding: str, low: float, high: float, count: int
) -> None:
    axis = one_axis(low, high, count, 4, rounding)
    for parts in zip(
        axis.corner_shift,
        axis.border_shift,
        axis.reading_shift,
        axis.shift,
        strict=True,
    ):
        assert sum(parts[:3]) == pytest.approx(parts[3])
        assert parts[2] == pytest.approx(0)  # all cells of a bin are read


def test_29_cells_into_7_bins_round_in_double_precision() -> None:
    """7 * (29 / 7) is a little more than 29, and its ceiling 30: one cell too many.

    Published layers compute borders so; in single precision it happens at 57 cells.
    The reference follows them in double precision.
    """
    assert one_axis(0, 28, 7).bins[-1] == (24, 30)
    assert one_axis(0, 27, 7).bins[-1] == (24, 28)


# The layer


@EVERY_FLOOR
@BOTH_RULES
@given(feature_maps(images=2, channels=2), rois(images=2, extent=24), grids())
def test_every_output_is_a_feature_of_its_bin_and_the_largest(
    floor: Floor, rounding: str, features: Array, rois: Array, grid: tuple[int, int]
) -> None:
    out, argmax = floor.roi_pool(features, rois, grid, 0.25, rounding)
    assert out.shape == argmax.shape == (len(rois), 2, *grid)
    height, width = features.shape[2:]
    for r, c, i, j in np.ndindex(out.shape):
        steps = roi_pool_steps(rois[r, 1:], grid, 0.25, rounding)
        (top, bottom), (left, right) = steps.y.bins[i], steps.x.bins[j]
        rows = slice(int(max(top, 0)), int(max(bottom, 0)))
        columns = slice(int(max(left, 0)), int(max(right, 0)))
        feature_map = features[int(rois[r, 0]), c]
        if feature_map[rows, columns].size == 0:
            assert (out[r, c, i, j], argmax[r, c, i, j]) == (0, EMPTY)
            continue
        assert out[r, c, i, j] == feature_map[rows, columns].max()
        row, column = divmod(int(argmax[r, c, i, j]), width)
        assert feature_map[row, column] == out[r, c, i, j]
        assert row in range(height)[rows]
        assert column in range(width)[columns]


@EVERY_FLOOR
def test_the_layer_rounds_halves_away_from_zero(floor: Floor) -> None:
    """Boxes without a width have the one cell that their corner rounds to."""
    corners = [-0.5, 0.4375, 0.5, 1.5, 2.5, 3.4375]
    rois = np.array([[0, x, 0, x, 0] for x in corners])
    out, _ = floor.roi_pool(np.arange(1.0, 6).reshape(1, 1, 1, 5), rois, (1, 1))
    np.testing.assert_array_equal(out.ravel(), [0, 1, 2, 3, 4, 4])  # -1 is outside


@EVERY_FLOOR
def test_of_equal_features_the_first_wins(floor: Floor) -> None:
    _, argmax = floor.roi_pool(
        np.ones((1, 1, 4, 4)), np.array([[0, 1, 1, 3, 3.0]]), (2, 2)
    )
    np.testing.assert_array_equal(argmax[0, 0], [[5, 6], [9, 10]])


@EVERY_FLOOR
@BOTH_RULES
@given(feature_maps(), rois(extent=6), grids(), st.integers(1, 4), st.integers(-4, 4))
def test_scaling_and_lifting_the_features_does_the_same_to_the_output(
    floor: Floor,
    rounding: str,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    factor: int,
    lift: int,
) -> None:
    out, argmax = floor.roi_pool(features, rois, grid, 1.0, rounding)
    lifted, same = floor.roi_pool(factor * features + lift, rois, grid, 1.0, rounding)
    np.testing.assert_array_equal(argmax, same)
    np.testing.assert_array_equal(
        lifted, np.where(argmax == EMPTY, 0, factor * out + lift)
    )


@EVERY_FLOOR
@BOTH_RULES
@given(feature_maps(), rois(extent=24, outside=0), grids(), *[st.integers(0, 2)] * 2)
def test_moving_the_roi_with_the_map_by_whole_strides(
    floor: Floor,
    rounding: str,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    down: int,
    right: int,
) -> None:
    moved = np.pad(features, ((0, 0), (0, 0), (down, 0), (right, 0)))
    stride = 4
    step = stride * np.array([0, right, down, right, down])
    out, _ = floor.roi_pool(features, rois, grid, 1 / stride, rounding)
    same, _ = floor.roi_pool(moved, rois + step, grid, 1 / stride, rounding)
    np.testing.assert_array_equal(out, same)


@EVERY_FLOOR
@BOTH_RULES
@given(feature_maps(), rois(extent=6), grids())
def test_swapping_x_and_y_transposes(
    floor: Floor, rounding: str, features: Array, rois: Array, grid: tuple[int, int]
) -> None:
    out, _ = floor.roi_pool(features, rois, grid, 1.0, rounding)
    swapped, _ = floor.roi_pool(
        features.swapaxes(2, 3).copy(),
        rois[:, [0, 2, 1, 4, 3]],
        grid[::-1],
        1.0,
        rounding,
    )
    np.testing.assert_array_equal(out, swapped.swapaxes(2, 3))


@EVERY_FLOOR
@given(feature_maps(), st.data(), grids())
def test_flipping_the_map_flips_the_output_of_whole_cells(
    floor: Floor, features: Array, data: st.DataObject, grid: tuple[int, int]
) -> None:
    """Corners name cells, so column c becomes width - 1 - c."""
    width = features.shape[3]
    cell = st.integers(0, width - 1)
    x1, x2 = sorted((data.draw(cell), data.draw(cell)))
    rois = np.array([[0, x1, 0, x2, 3.0]])
    flipped = np.array([[0, width - 1 - x2, 0, width - 1 - x1, 3.0]])
    out, _ = floor.roi_pool(features, rois, grid)
    other, _ = floor.roi_pool(features[..., ::-1].copy(), flipped, grid)
    np.testing.assert_array_equal(out, other[..., ::-1])


@EVERY_FLOOR
@given(feature_maps(images=2, channels=3), rois(images=2, extent=6))
def test_images_and_channels_do_not_mix(
    floor: Floor, features: Array, rois: Array
) -> None:
    out, argmax = floor.roi_pool(features, rois, (2, 2))
    for r, c in np.ndindex(out.shape[:2]):
        image = int(rois[r, 0])
        alone, where = floor.roi_pool(
            features[image : image + 1, c : c + 1],
            np.array([[0, *rois[r, 1:]]]),
            (2, 2),
        )
        np.testing.assert_array_equal(out[r, c], alone[0, 0])
        np.testing.assert_array_equal(argmax[r, c], where[0, 0])


# Its gradient


@EVERY_FLOOR
@BOTH_RULES
@given(
    feature_maps(images=2, channels=2),
    rois(images=2, extent=24),
    grids(),
    st.integers(0, 99),
)
def test_backward_is_the_adjoint_of_forward(
    floor: Floor,
    rounding: str,
    features: Array,
    rois: Array,
    grid: tuple[int, int],
    seed: int,
) -> None:
    """<backward(g), d> is the change of <g, output> when features change by d.

    With the features pulled apart no maximum changes hands, so the step is exact.
    """
    rng = np.random.default_rng(seed)
    features = rng.permutation(features.size).reshape(features.shape) - 3.0
    change = rng.integers(-4, 5, features.shape) / 16
    out, argmax = floor.roi_pool(features, rois, grid, 0.25, rounding)
    changed, _ = floor.roi_pool(features + change, rois, grid, 0.25, rounding)
    grad = rng.integers(-4, 5, out.shape).astype(np.float64)
    d_features = floor.roi_pool_backward(grad, argmax, rois, features.shape)
    assert d_features.shape == features.shape
    floor.assert_close((d_features * change).sum(), (grad * (changed - out)).sum())
    floor.assert_close((d_features * features).sum(), (grad * out).sum())


@EVERY_FLOOR
@given(feature_maps(images=2), rois(images=2, extent=6))
def test_every_filled_bin_passes_its_gradient_to_one_cell(
    floor: Floor, features: Array, rois: Array
) -> None:
    out, argmax = floor.roi_pool(features, rois, (2, 2))
    grad = 1.0 + np.arange(out.size).reshape(out.shape)
    d_features = floor.roi_pool_backward(grad, argmax, rois, features.shape)
    floor.assert_close(d_features.sum(), grad[argmax != EMPTY].sum())


# At the edges


@EVERY_FLOOR
@BOTH_RULES
def test_no_rois(floor: Floor, rounding: str) -> None:
    features, none = np.ones((1, 2, 3, 3)), np.zeros((0, 5))
    out, argmax = floor.roi_pool(features, none, (2, 2), 1.0, rounding)
    assert out.shape == argmax.shape == (0, 2, 2, 2)
    assert not floor.roi_pool_backward(out, argmax, none, features.shape).any()


@EVERY_FLOOR
@BOTH_RULES
def test_empty_and_inverted_boxes_have_one_cell(floor: Floor, rounding: str) -> None:
    features = np.arange(16.0).reshape(1, 1, 4, 4)
    rois = np.array([[0, 2, 1, 2, 1], [0, 2, 1, 1, 0], [0, 2, 1, -9, -9.0]])
    out, _ = floor.roi_pool(features, rois, (1, 1), 1.0, rounding)
    np.testing.assert_array_equal(out.ravel(), [6, 6, 6])


@EVERY_FLOOR
@BOTH_RULES
def test_a_roi_outside_the_map_is_empty(floor: Floor, rounding: str) -> None:
    rois = np.array([[0, 4, 0, 8, 2], [0, -9, 0, -2, 2], [0, 0, 4, 2, 9.0]])
    out, argmax = floor.roi_pool(np.ones((1, 1, 4, 4)), rois, (2, 2), 1.0, rounding)
    assert not out.any()
    assert (argmax == EMPTY).all()


@EVERY_FLOOR
@BOTH_RULES
def test_negative_features_do_not_lose_to_an_empty_bin(
    floor: Floor, rounding: str
) -> None:
    rois = np.array([[0, 0, 0, 2, 2.0]])
    out, _ = floor.roi_pool(np.full((1, 1, 3, 3), -5.0), rois, (1, 1), 1.0, rounding)
    assert out.item() == -5


@EVERY_FLOOR
@BOTH_RULES
def test_a_map_of_one_cell(floor: Floor, rounding: str) -> None:
    """More bins than cells: rounded bins share it; floored bins run past the end."""
    out, _ = floor.roi_pool(
        np.full((1, 1, 1, 1), 7.0),
        np.array([[0, 0, 0, 0.25, 0.25]]),
        (2, 2),
        1.0,
        rounding,
    )
    expected = {"round": [[7, 7], [7, 7]], "floor": [[7, 0], [0, 0]]}
    np.testing.assert_array_equal(out[0, 0], expected[rounding])


@EVERY_FLOOR
@BOTH_RULES
@pytest.mark.parametrize("corner", [1, 2, 3, 4])
def test_a_nan_coordinate_makes_every_bin_empty(
    floor: Floor, rounding: str, corner: int
) -> None:
    rois = np.array([[0, 0, 0, 3, 3], [0, 0, 0, 3, 3.0]])
    rois[0, corner] = math.nan
    out, argmax = floor.roi_pool(np.ones((1, 1, 4, 4)), rois, (2, 2), 1.0, rounding)
    assert not out[0].any()
    assert (argmax[0] == EMPTY).all()
    assert (out[1] == 1).all()  # and its neighbour is unharmed


@BOTH_RULES
def test_the_steps_of_a_nan_box(rounding: str) -> None:
    box = np.array([0, 0, math.nan, 3])
    steps = roi_pool_steps(box, (2, 2), 1.0, rounding)
    assert [list(cells) for cells in steps.x.points] == [[], []]
    assert all(math.isnan(shift) for shift in steps.x.shift)
    assert steps.y.quantised.size in (3, 4)  # the other axis is unharmed


def test_wrong_arguments_are_named() -> None:
    features, rois = np.ones((2, 1, 3, 3)), np.array([[0, 0, 0, 2, 2.0]])
    with pytest.raises(ValueError, match=r"rounding must be .* 'ceil'"):
        roi_pool(features, rois, (2, 2), 1.0, "ceil")
    with pytest.raises(ValueError, match=r"output_size .* \(0, 2\)"):
        roi_pool(features, rois, (0, 2))
    with pytest.raises(ValueError, match="spatial_scale must be positive"):
        roi_pool(features, rois, (2, 2), 0.0)
    for image in (2.0, -1.0, 0.5, math.nan):
        wrong = np.array([[image, 0, 0, 2, 2]])
        with pytest.raises(ValueError, match="expected a whole number from 0 to 1"):
            roi_pool(features, wrong, (2, 2))


# Against the published layer


def test_it_equals_torchvision(rng: np.random.Generator) -> None:
    ops = pytest.importorskip("torchvision.ops")
    torch = pytest.importorskip("torch")
    for _ in range(40):
        features = rng.normal(size=(2, 2, *rng.integers(1, 9, 2)))
        corners = np.round(rng.uniform(-8, 20, (4, 4)) * 2) / 2
        rois = np.column_stack([rng.integers(0, 2, 4), corners])
        grid = tuple(int(side) for side in rng.integers(1, 8, 2))
        theirs_in = torch.tensor(features, requires_grad=True)
        theirs = ops.roi_pool(theirs_in, torch.tensor(rois), grid, 0.5)
        ours, argmax = roi_pool(features, rois, grid, 0.5)
        np.testing.assert_array_equal(ours, theirs.detach().numpy())
        grad = rng.normal(size=ours.shape)
        theirs.backward(torch.tensor(grad))
        np.testing.assert_allclose(
            roi_pool_backward(grad, argmax, rois, features.shape),
            theirs_in.grad.numpy(),
            atol=1e-12,
        )
