"""The misalignment study: its measures, its tables, its page, its command.

Deliberate faults, and the test that caught each:

- bias without sign -> test_a_spread_in_numbers
- shares of magnitudes -> test_shares_add_up_and_can_be_negative
- sides uniform, not log-uniform -> test_rois_are_drawn_as_told
- shifts left in cells -> test_in_cells_nothing_depends_on_the_stride
- starts on whole cells -> test_rois_are_drawn_as_told
- places of cells without the half
  -> test_gradients_of_linear_layers_lie_where_the_steps_say
- legacy and aligned swapped in the backward
  -> test_gradients_of_linear_layers_lie_where_the_steps_say
- floor and round swapped in the backward
  -> test_a_winner_among_independent_features_is_in_the_middle_on_average
- standard error of a continuous bin -> test_gradients_over_noise_agree
- bound of RoIWarp without stretching -> test_every_bin_and_border_is_within_its_bounds
- bound of RoIPool (floor) half as large
  -> test_every_bin_and_border_is_within_its_bounds
- bound of RoIPool (floor) too large -> test_bounds_are_reached
- inclusive end forgotten in the bounds
  -> test_every_bin_and_border_is_within_its_bounds
- outside counts one side -> test_values_outside_are_counted
- the blob sampled at centres, not averaged -> test_the_blob_is_averaged_over_cells
- off the line at one side only -> test_moves_in_numbers
- masks move with their shift -> test_a_mask_moves_against_its_shift
- rows and columns of a shift swapped -> test_a_mask_moves_against_its_shift
- mean shift taken over bins, not over RoIs
  -> test_losses_fall_with_size_and_constant_shifts_can_be_learnt
- outline's box from the wrong axis -> test_outlines_fill_their_boxes
- minus before a zero -> test_numbers_as_text
- two in the last digit forgiven -> test_one_in_the_last_digit_is_forgiven
- only rows compared, not columns' names -> test_the_first_difference_is_named
- bound and worst swapped in the picture -> test_the_picture_of_errors
- varying loss drawn at the left -> test_the_pictures_of_moves_and_masks
- worst drawn from the mean -> test_the_pictures_numbers_are_the_tables_numbers
- study prints the bare command's tables too -> test_the_command_writes_and_checks
- missing folder noticed after the work -> test_what_is_missing_is_said_at_once
- --check compares nothing -> test_the_command_writes_and_checks
"""

from __future__ import annotations

import itertools
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from strategies import sixteenths

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.experiments import ablations
from maskrcnn_scratch.experiments.misalignment import (
    bounds,
    gradient,
    masks,
    moves,
    pictures,
    shifts,
    study,
    tables,
)
from maskrcnn_scratch.experiments.misalignment.tables import Table
from maskrcnn_scratch.figures import misalignment_study as figures
from maskrcnn_scratch.reference.fpn_levels import fpn_level
from maskrcnn_scratch.reference.masks import paste_mask
from maskrcnn_scratch.reference.roi_pool import roi_pool, roi_pool_backward

DOCS = Path(__file__).parents[1] / "docs"
COMMITTED = DOCS / "misalignment"
PAGE = (DOCS / "misalignment.md").read_text("utf-8")
PARTS = ("corners", "borders", "reading")
LINEAR = ("RoIWarp", "RoIAlign", "RoIAlign legacy")


# The tables that are committed --------------------------------------------------------


@pytest.mark.slow
def test_the_committed_tables_are_what_is_computed_now() -> None:
    """In a process of its own: here every call of the reference is checked, slowly."""
    words = ["misalignment", "study", "--check", str(COMMITTED)]
    done = subprocess.run(
        [sys.executable, "-m", "maskrcnn_scratch", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    assert "are the same" in done.stdout
    for title in re.findall(r"^<!-- table .*? -->\n\n(.*):$", PAGE, re.MULTILINE):
        assert title in " ".join(done.stdout.split())


def test_the_page_holds_the_tables() -> None:
    names = {path.stem for path in COMMITTED.glob("*.csv")}
    assert names == set(re.findall(r"<!-- table (.*?) -->", PAGE))
    assert len(names) == len(study.TABLES)
    for name in names:
        columns, *rows = tables.read_csv(COMMITTED / f"{name}.csv")
        _, rest = PAGE.split(f"<!-- table {name} -->")
        body, _ = rest.split(f"<!-- end {name} -->")
        _, _, shown = body.strip().partition(":\n\n")
        assert shown == tables.markdown(columns, rows), name


def committed(name: str, *keys: str) -> dict[str, float]:
    """The numbers of the row that begins with these cells, by column."""
    columns, *rows = tables.read_csv(COMMITTED / f"{name}.csv")
    (row,) = [row for row in rows if row[: len(keys)] == keys]
    cells = dict(zip(columns, row, strict=True))
    return {
        name: float(cell) for name, cell in list(cells.items())[len(keys) :] if cell
    }


def test_what_the_page_says_of_distances() -> None:
    """Half a stride, a fifth, nothing; floors grow with the number of bins."""
    strides = {f"stride {stride}": stride for stride in shifts.STRIDES}
    for bins, (column, stride) in itertools.product((7, 14, 28), strides.items()):
        means = {
            layer: committed("mean", str(bins), layer)[column] / stride
            for layer in study.LAYERS
        }
        assert 0.49 < means["RoIPool round"] < 0.56
        assert means["RoIAlign"] == 0
        if stride <= 16:  # objects of at least a cell
            assert 0.19 < means["RoIWarp"] < 0.21
            assert means["RoIAlign legacy"] == 0.5
            worst = committed("worst", str(bins), "RoIWarp")[column]
            assert worst <= stride / 2
        worst = committed("worst", str(bins), "RoIPool round")[column] / stride
        assert 1.4 < worst < 1.9
    floor, rounded = (
        [committed("rms", n, layer)["stride 16"] for n in ("7", "14", "28")]
        for layer in ("RoIPool floor", "RoIPool round")
    )
    assert floor[2] > 2 * floor[1] > 4 * floor[0]
    assert rounded[2] < 1.1 * rounded[0]
    assert f"{len(shifts.objects())} and {5 * len(shifts.octave(1))} of them" in PAGE
    assert f"over {gradient.MAPS} maps of noise" in PAGE.replace("\n", " ")
    assert f"Objects are {masks.OBJECTS} rectangles" in PAGE


def test_what_the_page_says_of_shares_and_sizes() -> None:
    for bins in ("7", "14", "28"):
        rounded = committed("parts", bins, "RoIPool round")
        assert rounded["corners, %"] > 90
        assert rounded["with sign"] > 0.9 * rounded["all"]
        assert committed("parts", bins, "RoIPool floor")["borders, %"] > 98
        assert committed("parts", bins, "RoIAlign legacy")["reading, %"] == 100
        for layer in study.LAYERS[1:]:
            sizes = committed("octaves", bins, layer).values()
            assert max(sizes) - min(sizes) <= 0.055
            parts = committed("parts", bins, layer)
            whole = sum(parts.get(f"{name}, %", 0) for name in PARTS)
            assert abs(whole - (0 if layer == "RoIAlign" else 100)) < 0.15


def test_no_bin_is_out_of_bounds_and_the_bounds_are_tight() -> None:
    """RoIPool (round) comes as near as whole numbers let it."""
    rest = {}
    for bins, layer in itertools.product((7, 14, 28), study.LAYERS):
        row = committed("bounds", str(bins), layer)
        assert row["outside"] == 0
        low = row["least found"] - row["least possible"]
        high = row["most possible"] - row["most found"]
        if layer == "RoIPool round":
            rest[bins] = (low, high)
        else:
            assert max(abs(low), abs(high)) <= 0.025
    assert all(0 <= b < a for a, b in zip(rest[7], rest[14], strict=True))
    assert all(0 <= b < a for a, b in zip(rest[14], rest[28], strict=True))
    assert max(rest[28]) <= 0.11
    for layer in study.LAYERS:
        row = committed("borders", layer)
        assert row["outside"] == 0
        for end, which in itertools.product(("start", "end"), ("least", "most")):
            assert row[f"{end}: {which} possible"] == row[f"{end}: {which} found"]


def test_what_the_page_says_of_moves() -> None:
    for layer in ("RoIPool floor", "RoIPool round"):
        row = committed("moves", layer)
        assert (row["moves of 1 px without effect"], row["largest jump, px"]) == (
            30,
            16,
        )
    warp = committed("moves", "RoIWarp")
    assert (warp["moves of 1 px without effect"], warp["largest jump, px"]) == (28, 8)
    for layer in LINEAR[1:]:
        row = committed("moves", layer)
        assert (row["slope"], row["off the line, px"]) == (1, 0)
    align, legacy = (committed("moves", layer) for layer in LINEAR[1:])
    assert -0.1 < align["object seen from, px"] < align["to, px"] < 0.1
    assert -8.1 < legacy["object seen from, px"] < legacy["to, px"] < -7.8


def test_what_the_page_says_of_masks_and_the_paper() -> None:
    for size, (column, stride) in itertools.product(
        masks.SIZES, ((f"stride {stride}", stride) for stride in shifts.STRIDES)
    ):
        if (cells := size / stride) >= 1:
            pool, warp, legacy = (
                committed("iou-varying", layer, str(size))[column]
                for layer in ("RoIPool round", "RoIWarp", "RoIAlign legacy")
            )
            assert warp < pool < warp + 0.1
            assert cells < 2 or legacy == 0
    losses = committed("iou", "RoIPool round", "128")
    assert list(losses.values()) == sorted(losses.values())
    pool = committed("paper", "2c, stride 16, masks", "RoIPool max")
    warp = committed("paper", "2c, stride 16, masks", "RoIWarp max")
    coarse = committed("paper", "2d, stride 32, masks", "RoIPool")
    less = "AP less than RoIAlign"
    assert 0 < pool[less] - warp[less] < 0.5 < pool[less] < coarse[less]
    for row in (pool, coarse):
        assert row["AP75 less than RoIAlign"] > row["AP50 less than RoIAlign"]


def test_the_paper_s_numbers_are_those_of_the_ablations() -> None:
    rows = {(table[:2], layer): (its, best) for table, layer, its, best in study.PAPER}
    align, warp, pool = (arm.paper for arm in ablations.roi_layer().arms)
    assert rows["2c", "RoIPool max"] == (pool, align)
    assert rows["2c", "RoIWarp max"] == (warp, align)
    align, pool = (arm.paper for arm in ablations.roi_layer_32().arms)
    assert study.PAPER[3][2:] == (pool, align)


def test_with_fpn_rois_have_14_to_28_cells() -> None:
    for side in np.geomspace(112, 895.9, 200):
        level = fpn_level(np.array([0, 0, side, side]))
        assert 14 <= side / 2**level < 28


# Where bins read ----------------------------------------------------------------------


@given(
    st.sampled_from(LINEAR), sixteenths(1, 3), sixteenths(0.125, 12), st.integers(1, 5)
)
def test_gradients_of_linear_layers_lie_where_the_steps_say(
    name: str, start: float, side: float, bins: int
) -> None:
    interval = np.array([start, start + side])
    steps = shifts.steps_along(interval, bins, 1)[name]
    expected = [span.centre for span in steps.ideal_bins] + np.array(steps.shift)
    found = gradient.gradient_centres(name, interval, bins, np.zeros((1, 1, 3, 18)))
    assert np.allclose(found, expected)


def test_a_winner_among_independent_features_is_in_the_middle_on_average() -> None:
    """All orders of four features: exactly, for each bin of both rules."""
    orders = np.array(list(itertools.permutations(range(4))), np.float64)
    features = np.repeat(orders[None, :, None, :], 2, axis=2)
    interval = np.array([0.0, 2.75])  # 3 cells under round's ends, 2 under floor
    for name in ("RoIPool floor", "RoIPool round"):
        steps = shifts.steps_along(interval, 2, 1)[name]
        found = gradient.gradient_centres(name, interval, 2, features)
        assert np.allclose(found, [span.centre for span in steps.bins])


def test_the_backward_pass_goes_to_the_winner() -> None:
    """``gradient_centres`` on one map is the winner's place."""
    features = np.array([[3.0, 9, 1, 2], [0, 0, 0, 0]])[None, None]
    found = gradient.gradient_centres(
        "RoIPool round", np.array([0.0, 3.0]), 2, features
    )
    roi = np.array([[0, 0, 0, 3.0, 1]])
    out, argmax = roi_pool(features, roi, (1, 2), 1.0)
    assert argmax.ravel().tolist() == [1, 3]
    assert found.tolist() == [1.5, 3.5]
    assert roi_pool_backward(out, argmax, roi, features.shape)[0, 0, 0, 1] == 9


@pytest.mark.parametrize("name", ["RoIPool floor", "RoIPool round"])
def test_gradients_over_noise_agree(name: str) -> None:
    rng = np.random.default_rng(1)
    one = gradient.compare(name, np.array([2.3, 20.9]), 7, rng)
    assert one.bins == 7
    assert 0 < one.difference < 1
    assert one.errors < 4
    assert gradient.standard_error(1) == 0
    expected = np.std(np.arange(5)) / math.sqrt(gradient.MAPS)
    assert np.isclose(gradient.standard_error(5), expected)


def test_at_the_border_of_the_map_a_read_is_off_by_up_to_half_a_cell() -> None:
    found = gradient.gradient_centres(
        "RoIAlign", np.array([0.0, 1.0]), 2, np.zeros((1, 1, 3, 4))
    )
    assert found.tolist() == [0.5, 0.75]  # not 0.25 and 0.75


@given(sixteenths(0, 8), sixteenths(0.25, 20), st.integers(1, 8))
def test_in_cells_nothing_depends_on_the_stride(
    start: float, side: float, bins: int
) -> None:
    interval = np.array([[start, start + side]])
    here = shifts.measure(interval, bins, 1)
    for name, there in shifts.measure(16 * interval, bins, 16).items():
        assert np.allclose(there.total, 16 * here[name].total)
        assert np.allclose(there.corners, 16 * here[name].corners)


def test_rois_are_drawn_as_told() -> None:
    drawn = shifts.log_uniform(4000, 2, 32, room=8, seed=0)
    starts, sides = drawn[:, 0], drawn[:, 1] - drawn[:, 0]
    assert (starts.min() >= 0) & (starts.max() < 8)
    assert (sides.min() >= 2) & (sides.max() <= 32 + 1e-9)
    octaves = np.histogram(np.log2(sides), bins=4, range=(1, 5))[0]
    places = np.histogram(starts % 1, bins=4, range=(0, 1))[0]
    for counts in (octaves, places):
        assert np.all(np.abs(counts - 1000) < 150)
    assert np.array_equal(drawn, shifts.log_uniform(4000, 2, 32, room=8, seed=0))
    assert shifts.objects().max() <= 1024


def test_a_spread_in_numbers() -> None:
    one = shifts.spread(np.array([[3.0, -5.0], [0.0, 4.0]]))
    assert (one.bias, one.mean, one.worst) == (0.5, 3, 5)
    assert np.isclose(one.rms, math.sqrt(50 / 4))


def test_shares_add_up_and_can_be_negative() -> None:
    corners, borders = np.array([[3.0, 0.0]]), np.array([[-1.0, 4.0]])
    found = shifts.shares(shifts.Shifts(corners, borders, np.zeros((1, 2))))
    # totals 2 and 4: mean squares 10; corners 6 / 2, borders (-2 + 16) / 2
    assert np.allclose(found, (0.3, 0.7, 0))
    undone = shifts.shares(shifts.Shifts(corners, -3 * corners, 0 * corners))
    assert np.allclose(undone, (-0.5, 1.5, 0))
    assert all(map(math.isnan, shifts.shares(shifts.Shifts(*[0 * corners] * 3))))


# Bounds -------------------------------------------------------------------------------


@given(st.floats(0, 9, width=32), st.floats(1 / 64, 40, width=32), st.integers(1, 9))
def test_every_bin_and_border_is_within_its_bounds(
    start: float, side: float, bins: int
) -> None:
    interval = np.array([start, start + side])
    for name, steps in shifts.steps_along(interval, bins, 1).items():
        low, high = bounds.bin_bounds(name, bins, interval[1] - interval[0])
        assert np.all(np.array(steps.shift) >= low - 1e-9)
        assert np.all(np.array(steps.shift) <= high + 1e-9)
        if interval[1] - interval[0] >= 1:
            (start_low, start_high), (end_low, end_high) = bounds.BORDERS[name]
            moved = steps.quantised.start - steps.roi.start
            assert start_low <= moved <= start_high
            assert end_low <= steps.quantised.end - steps.roi.end <= end_high


def test_bounds_are_reached() -> None:
    """Flooring adds up; stretching moves the last bin most; ends are inclusive."""
    nearly = 1 - 1e-6
    cases = {
        "RoIPool floor": (np.array([nearly, 13 + nearly]), -1),  # 13 cells, 7 bins of 1
        "RoIWarp": (np.array([0.5, 0.5 + 1e-6]), 1),  # to the cell from 1 to 2
        "RoIAlign legacy": (np.array([0.25, 0.25 + 1e-6]), 1),
        "RoIPool round": (np.array([0.5, 7.5]), 1),  # the cells 1 to 8
    }
    for name, (interval, sign) in cases.items():
        found = np.array(shifts.steps_along(interval, 7, 1)[name].shift)
        low, high = bounds.bin_bounds(name, 7, interval[1] - interval[0])
        bound = high if sign > 0 else low
        if name == "RoIPool round":  # 8 cells into 7 bins: the first has all of it
            assert np.isclose(found[0], 0.5 + 1 / 14 + 3 / 7)
            assert bound[0] - found[0] < 1 / 7
        else:
            assert np.allclose(found, bound, atol=1e-5)


def test_the_search_looks_at_jumps() -> None:
    found = bounds.near_jumps(3)
    sides = found[:, 1] - found[:, 0]
    assert sides.min() == 1
    assert sides.max() < 4
    assert (
        {0, 0.5, 0.5 - 1 / 64, 1 - 1 / 64} == set(found[:, 0]) == set(found[:, 1] % 1)
    )


def test_values_outside_are_counted() -> None:
    values = np.array([-1.0, 0, 0.5, 1, 1.1])
    assert bounds.outside(values, np.zeros(5), np.ones(5)) == 2


# Moves --------------------------------------------------------------------------------


def test_a_whole_stride_moves_features_by_a_stride() -> None:
    for one in moves.move().values():
        assert np.allclose(one.features[16:], one.features[:17] + 16)
        assert np.allclose(one.seen[16:], one.seen[:17])


def test_moves_in_numbers() -> None:
    stairs = np.floor(moves.MOVES / 8) * 8
    one = moves.Moves(stairs, stairs)
    assert (one.still, one.jump) == (28, 8)
    assert one.off_line == 3.5  # 0 to 7 behind the line
    line = moves.Moves(2 * moves.MOVES + 1, stairs)
    assert np.isclose(line.slope, 2)
    assert (line.still, line.jump, line.off_line) == (0, 2, 16)


def test_the_blob_is_averaged_over_cells() -> None:
    """Against the mean of the Gaussian at many points of each cell."""
    x = (np.arange(moves.CELLS * 1000) + 0.5) * moves.STRIDE / 1000
    wave = np.exp(-(((x - 180.3) / moves.SPREAD) ** 2) / 2)
    assert np.allclose(moves.blob(180.3), wave.reshape(-1, 1000).mean(1), atol=1e-6)


def test_where_a_blob_is_seen() -> None:
    bins = np.zeros(moves.BINS)
    bins[3] = 2
    assert moves.seen_at(bins) == 0
    bins[4] = 2
    assert np.isclose(moves.seen_at(bins), moves.SIDE / moves.BINS / 2)


# Masks --------------------------------------------------------------------------------

SQUARE = masks.Outline(0, 0.0, np.array([-0.85, -0.85]), np.array([0.85, 0.85]))
FULL = np.ones((masks.GRID, masks.GRID), bool)


def test_a_mask_moves_against_its_shift() -> None:
    """Bins that read 3 / 28 further right see the left part of it too late."""
    shift = np.zeros((2, masks.BINS))
    shift[0] = 3 / masks.CELLS
    mask = masks.perfect_mask(SQUARE, shift)
    assert np.all(mask[:, :-3] == 1)
    assert np.all(mask[:, -3:] == 0)
    # Pasting rounds the four corners off, by a point of the grid each.
    points = masks.GRID**2
    assert masks.mask_iou(SQUARE, FULL, shift) == 25 / 28 - 4 / points
    assert masks.mask_iou(SQUARE, FULL, 0 * shift) == 1 - 4 / points
    assert np.array_equal(masks.perfect_mask(SQUARE, shift[::-1]), mask.T)


def test_masks_are_pasted_as_the_reference_does() -> None:
    mask = np.random.default_rng(0).random((masks.CELLS, masks.CELLS))
    box, size = np.array([0.0, 0, masks.GRID, masks.GRID]), (masks.GRID, masks.GRID)
    assert np.array_equal(masks.pasted(mask), paste_mask(mask, box, size))


def test_a_bin_moves_its_two_cells() -> None:
    shift = np.zeros((2, masks.BINS))
    shift[1, 4] = 1
    mask = masks.perfect_mask(SQUARE, shift)
    assert np.flatnonzero(mask[:, 0] == 0).tolist() == [8, 9]


def test_outlines_fill_their_boxes() -> None:
    kinds = {outline.kind for outline in masks.outlines()}
    assert kinds == {0, 1, 2, 3}
    for truth in masks.truths():
        assert 0.25 < truth.mean() <= 1
        for side in (truth[:3], truth[-3:], truth[:, :3], truth[:, -3:]):
            assert side.any()


def test_losses_fall_with_size_and_constant_shifts_can_be_learnt() -> None:
    small, large = masks.iou_lost(4), masks.iou_lost(32)
    assert small.keys() == set(study.LAYERS) - {"RoIAlign"}
    for name, (whole, varying) in small.items():
        assert large[name][0] < whole < 1
        assert large[name][1] <= varying <= whole + 0.01
    assert abs(small["RoIAlign legacy"][1]) < 1e-12 < 0.3 < small["RoIAlign legacy"][0]
    whole, varying = small["RoIWarp"]  # it rounds as often up as down
    assert abs(whole - varying) < 0.02
    sides = np.diff(masks.rois_of(4), axis=1)
    assert sides.min() >= 4 / math.sqrt(2)
    assert sides.max() <= 4 * math.sqrt(2)


# Tables -------------------------------------------------------------------------------

TABLE = Table("t", "A title", ("layer", "px"), (("a", "1.00"), ("b", "-2.50")))


def test_numbers_as_text() -> None:
    values = [1.005, -0.004, -2.5, math.nan]
    assert tables.numbers(values, 2) == ("1.00", "0.00", "-2.50", "")
    assert tables.number(0.5, 3) == "0.500"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        *(("1.00", "1.01", True), ("1.00", "1.02", False), ("-0.01", "0.00", True)),
        *(("1.0", "1.00", False), ("3", "4", False), ("a", "b", False)),
        *(("", "0.00", False), ("0.100", "0.101", True), ("9.99", "10.00", True)),
    ],
)
def test_one_in_the_last_digit_is_forgiven(one: str, other: str, same: bool) -> None:
    assert tables.same(one, other) is same


def test_the_first_difference_is_named(tmp_path: Path) -> None:
    tables.write_csv(TABLE, tmp_path)
    path = tmp_path / "t.csv"
    assert path.read_bytes() == b"layer,px\na,1.00\nb,-2.50\n"
    tables.check_csv(TABLE, tmp_path)
    for text, message in (
        ("layer,px\na,1.00\nb,-2.40\n", "line 3, px: '-2.40', computed: '-2.50'"),
        ("layer,px\nc,1.00\nb,-2.40\n", "line 2, layer: 'c', computed: 'a'"),
        ("layer,cells\na,1.00\nb,-2.50\n", "line 1, px: 'cells', computed: 'px'"),
        ("layer,px\na,1.00\n", "has 2 lines, computed: 3"),
        ("layer,px\na\nb,-2.50\n", "line 2, has 1 cells, computed: 2"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=re.escape(message)):
            tables.check_csv(TABLE, tmp_path)


def test_tables_in_a_page() -> None:
    page = "# P\n\n<!-- table t -->\nold\n<!-- end t -->\n\nrest\n"
    filled = tables.with_tables(page, [TABLE])
    assert filled == (
        "# P\n\n<!-- table t -->\n\nA title:\n\n"
        "| layer | px |\n| --- | ---: |\n| a | 1.00 |\n| b | -2.50 |\n\n"
        "<!-- end t -->\n\nrest\n"
    )
    assert tables.with_tables(filled, [TABLE]) == filled
    for broken in ("# P\n", "<!-- end t -->\n<!-- table t -->\n"):
        with pytest.raises(ValueError, match="has no <!-- table t -->"):
            tables.with_tables(broken, [TABLE])


# Pictures -----------------------------------------------------------------------------


def drawn(figure: Figure, name: str) -> list[np.ndarray]:
    """The heights of the lines of this name, panel by panel."""
    lines = [line for axes in figure.axes for line in axes.lines]
    return [np.asarray(line.get_ydata()) for line in lines if line.get_gid() == name]


def test_the_picture_of_errors() -> None:
    values = {"RoIWarp": np.array([1.0, 2]), "RoIAlign": np.array([0.0, 0])}
    told = figures.Errors(
        7,
        (4, 8),
        values,
        {k: 2 * v for k, v in values.items()},
        {k: 3 * v for k, v in values.items()},
    )
    figure = figures.draw_errors(told)
    for times, name in enumerate(("mean", "largest found", "bound"), 1):
        (line,) = drawn(figure, name)  # and none for RoIAlign
        assert np.array_equal(line, times * values["RoIWarp"])
    assert figure.axes[1].texts[0].get_text() == "0 at every stride"
    assert figure.axes[0].get_title() == "RoIWarp"


def test_the_pictures_of_moves_and_masks() -> None:
    told = pictures.steps()
    figure = figures.draw_steps(told)
    for name in study.LAYERS:
        above, below = drawn(figure, name)
        assert np.array_equal(above, told.features[name])
        assert np.array_equal(below, told.seen[name])
    lost = figures.Lost(
        np.array([0.5, 1, 2]),
        {"RoIWarp": np.array([3.0, 2, 1])},
        {"RoIWarp": np.array([2.0, 1, 0])},
    )
    left, right = drawn(figures.draw_lost(lost), "RoIWarp")
    assert (left.tolist(), right.tolist()) == ([3, 2, 1], [2, 1, 0])
    assert [figures.fraction(size) for size in lost.cells] == ["1/2", "1", "2"]


def test_the_pictures_numbers_are_the_tables_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pictures, "STRIDES", (64,))
    told = pictures.errors()
    for name in study.LAYERS:
        for which in ("mean", "worst"):
            row = committed(which, str(pictures.BINS), name)
            value = getattr(told, which)[name][0]
            assert abs(value - row["stride 64"]) < 0.011
        assert told.worst[name][0] <= told.bound[name][0] + 1e-9


# The command --------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study of one small table and one empty picture."""
    monkeypatch.setattr(study, "TABLES", (lambda: TABLE,))
    monkeypatch.setattr(pictures, "PICTURES", {"p": Figure})


@pytest.mark.usefixtures("quick")
def test_the_command_writes_and_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "new" / "study", tmp_path / "page.md"
    page.write_text("<!-- table t -->\n<!-- end t -->\n")
    words = ["misalignment", "study", "--out", str(out), "--page", str(page)]
    assert main(words) == 0
    assert {path.name for path in out.iterdir()} == {"t.csv", "p.png"}
    assert "| b | -2.50 |" in page.read_text()
    printed = capsys.readouterr().out
    assert "A title" in printed
    assert "-2.50" in printed
    assert "An object of" not in printed  # what the bare command prints
    assert main(["misalignment", "study", "--check", str(out)]) == 0
    assert "are the same" in capsys.readouterr().out
    (out / "t.csv").write_text("layer,px\na,1.00\nb,-2.40\n")
    assert main(["misalignment", "study", "--check", str(out)]) == 1
    captured = capsys.readouterr()
    assert "line 3, px: '-2.40', computed: '-2.50'" in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("option", ["--check", "--page"])
def test_what_is_missing_is_said_at_once(
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(study, "TABLES", None)  # nothing may be computed
    missing = tmp_path / "missing"
    assert main(["misalignment", "study", option, str(missing)]) == 1
    error = capsys.readouterr().err
    assert error == f"error: {missing}: No such file or directory\n"


@pytest.mark.usefixtures("quick")
def test_other_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("no marks")
    for option in ("--check", "--page", "--out"):
        assert main(["misalignment", "study", option, str(file)]) == 1
        assert capsys.readouterr().err.count("\n") == 1


def test_options_of_a_single_object_are_not_lost_on_the_study(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["misalignment", "--image", "400", "study"]) == 1
    assert "(here: image)" in capsys.readouterr().err
