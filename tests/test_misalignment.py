"""The misalignment command: its numbers, its tables, its picture.

Deliberate faults, and the test that caught each:

- feature map of floor(image / stride) cells -> test_a_partly_covered_cell_counts
- the object's start ignored -> test_whole_strides_change_nothing_but_the_place
- sample points drawn at their index, not at their place, half a cell further
  -> test_the_picture_shows_the_steps
- shifts drawn in cells, not pixels -> test_the_picture_shows_the_steps
- legacy and aligned RoIAlign swapped -> test_each_layer_is_off_by_what_it_quantises
- sign of "error of size" turned -> test_the_walk_through_of_the_seeds
- floor and round swapped -> test_the_walk_through_of_the_seeds
- picture saved straight to its place -> test_a_failed_picture_leaves_the_old_one
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.figures.misalignment import (
    Misalignment,
    draw_misalignment,
    follow,
)

STRIDES = st.sampled_from([4, 8, 16, 32])
BINS = st.integers(1, 8)
SIXTEENTHS = st.integers(16, 40 * 16).map(lambda n: n / 16)  # cells


def told_by(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list]:
    """What the command prints: the cells of each row, by the row's name.

    Names repeat, so a name holds a list of rows.
    """
    assert main(["misalignment", *arguments]) == 0
    rows: dict[str, list] = {}
    for line in capsys.readouterr().out.splitlines():
        name, *cells = re.split(r"\s{2,}", line.strip())
        rows.setdefault(name, []).append(cells)
    return rows


def test_the_walk_through_of_the_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    """800 pixels, 665 of them the object, stride 32, 7 bins (CLAIMS 1 to 3)."""
    told = follow(800, 665.0, 32, 7)
    assert told.cells == 25
    assert told.roi.size == 20.78125
    pool, layer = told.layers["RoIPool floor"], told.layers["RoIPool round"]
    assert (pool.quantised.size, pool.lost, pool.lost * 32) == (20, 0.78125, 25)
    assert (round(pool.bin_size, 3), pool.bins[0].size, pool.covered) == (2.857, 2, 14)
    assert layer.quantised.end == 22  # cells 0 to 21, as 20.78 rounds to 21
    assert told.layers["RoIWarp"].quantised.end == 21
    assert told.layers["RoIAlign"].bin_size == 2.96875

    rows = told_by(capsys)
    quantised = ["-0.78125", "+1.21875", "+0.21875", "0", "0"]
    assert rows["error of size"] == [quantised]
    assert rows["in pixels"][0] == ["-25", "+39", "+7", "0", "0"]
    assert rows["2. bin: size / bins"][0][0] == "2.85714"
    assert rows["bin used"] == [["2", "4", "3", "2.96875", "2.96875"]]
    assert rows["in pixels"][-1] == ["-201.5", "+22.5", "+6.5", "0", "+16"]
    assert rows["6"] == [["-201.5", "+22.5", "+6.5", "0", "+16"]]
    assert "3. reads a bin" in rows


@given(STRIDES, BINS, SIXTEENTHS, SIXTEENTHS)
def test_each_layer_is_off_by_what_it_quantises(
    stride: int, bins: int, side: float, start: float
) -> None:
    """Nothing, half a cell, or no more than the corners' rounding."""
    told = follow(81 * stride, side * stride, stride, bins, start * stride)
    assert np.allclose(told.layers["RoIAlign"].shift, 0)
    assert np.allclose(told.layers["RoIAlign legacy"].shift, 0.5)
    assert np.abs(told.layers["RoIWarp"].shift).max() <= 0.5 + 1e-9
    for steps in told.layers.values():
        parts = [steps.corner_shift, steps.border_shift, steps.reading_shift]
        assert np.allclose(np.sum(parts, axis=0), steps.shift)


@given(STRIDES, BINS, SIXTEENTHS, SIXTEENTHS, st.integers(1, 9))
def test_whole_strides_change_nothing_but_the_place(
    stride: int, bins: int, side: float, start: float, cells: int
) -> None:
    here = follow(90 * stride, side * stride, stride, bins, start * stride)
    moved = (start + cells) * stride
    there = follow(90 * stride, side * stride, stride, bins, moved)
    assert there.roi.start == here.roi.start + cells
    for name, steps in here.layers.items():
        assert np.allclose(there.layers[name].shift, steps.shift)
        assert there.layers[name].lost == steps.lost
        assert there.layers[name].roi == there.roi


@given(STRIDES, BINS, st.integers(1, 6), st.integers(0, 5))
def test_an_object_on_the_grid_is_met_by_all_but_inclusive_ends(
    stride: int, bins: int, cells_a_bin: int, start: int
) -> None:
    """Whole cells a bin: there is nothing to quantise."""
    side = bins * cells_a_bin * stride
    told = follow(start * stride + side, float(side), stride, bins, start * stride)
    for name in ("RoIPool floor", "RoIWarp", "RoIAlign"):
        assert np.allclose(told.layers[name].shift, 0)
        assert told.layers[name].covered == bins * cells_a_bin
    assert told.layers["RoIPool round"].lost == -1


def test_a_partly_covered_cell_counts() -> None:
    assert follow(801, 665.0, 32, 7).cells == 26


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "0"], "image is 0; it must be more than 0"),
        (["--object", "-1"], "object is -1.0; it must be more than 0"),
        (["--object", "nan"], "object is nan; it must be more than 0"),
        (["--stride", "-4"], "stride is -4; it must be more than 0"),
        (["--out-size", "0"], "out-size is 0; it must be more than 0"),
        (["--start", "136"], "665 pixels that starts at 136 leaves the image of 800"),
        (["--start", "-1"], "starts at -1 leaves the image"),
        (["--figure", "x.gif"], "--figure x.gif: the name must end in .pdf, .png"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["misalignment", *arguments]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize("told", [follow(), follow(400, 133.0, 16, 3, 70.5)])
def test_the_picture_shows_the_steps(told: Misalignment) -> None:
    """Every rectangle, point and line is where the numbers say, in cells or pixels."""
    *panels, shifts = draw_misalignment(told).axes
    for panel, (name, steps) in zip(panels, told.layers.items(), strict=True):
        worst = np.abs(steps.shift).max() * told.stride
        assert panel.get_title() == f"{name}: off by at most {worst:.4g} pixels"
        assert rectangles(panel, "roi") == [square_of(steps.roi, steps.roi)]
        used = square_of(steps.quantised, steps.quantised)
        assert rectangles(panel, "quantised") == [used]
        assert sorted(rectangles(panel, "bin")) == sorted(
            square_of(columns, rows) for rows in steps.bins for columns in steps.bins
        )
        (scatter,) = panel.collections
        index = {c for points in steps.points for c in points}
        assert {tuple(place) for place in np.asarray(scatter.get_offsets())} == {
            (x + 0.5, y + 0.5) for x in index for y in index
        }
        top, bottom = sorted(panel.get_ylim())
        assert panel.get_ylim() == (bottom, top)  # y grows downwards, as in images
        assert bottom > told.cells
    for line, steps in zip(shifts.lines, told.layers.values(), strict=False):
        assert np.allclose(line.get_ydata(), np.array(steps.shift) * told.stride)


def rectangles(panel: Axes, kind: str) -> list[tuple[float, float, float, float]]:
    """(x, y, width, height) of the rectangles of a kind."""
    return [
        (*patch.get_xy(), patch.get_width(), patch.get_height())
        for patch in panel.patches
        if isinstance(patch, Rectangle) and patch.get_gid() == kind
    ]


def square_of(columns: object, rows: object) -> tuple[float, float, float, float]:
    """The same for two spans."""
    return (columns.start, rows.start, columns.size, rows.size)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_picture_is_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"steps.{suffix}"
    assert main(["misalignment", "--figure", str(path)]) == 0
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(start)
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_picture_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "steps.png"
    path.write_bytes(b"old")

    def fail(self: Figure, target: Path, **_: object) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Figure, "savefig", fail)
    assert main(["misalignment", "--figure", str(path)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
