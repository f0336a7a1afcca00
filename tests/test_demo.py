"""The demo, in a size that takes seconds: all parts run, all pictures are there.

Deliberate faults, and the test that caught each:

- an earlier run not replaced -> test_a_second_demo_replaces_the_first
- a folder that is no run removed -> test_what_is_no_run_is_left_alone
- losses drawn without smoothing, or shifted -> test_moving_mean
- pictures of the sheet in columns instead of rows -> test_contact_sheet
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_training import tiny_config

from maskrcnn_scratch import demo
from maskrcnn_scratch.figures.contact_sheet import GAP, contact_sheet
from maskrcnn_scratch.figures.losses import LOSSES, draw_losses, moving_mean
from maskrcnn_scratch.training.config import config_to_toml


@pytest.fixture
def tiny_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A demo that trains for three iterations; the folder it writes to."""
    config = tmp_path / "tiny.toml"
    config.write_text(config_to_toml(tiny_config(iterations=3)))
    monkeypatch.setattr(demo, "CONFIG", str(config))
    return tmp_path / "demo"


def test_a_second_demo_replaces_the_first(tiny_demo: Path) -> None:
    for _ in range(2):
        done = demo.run_demo(tiny_demo, train_images=4, val_images=2)
        assert set(done.scores) == {"bbox", "segm"}
        assert done.training_seconds > 0
        for path in done.pictures.values():
            assert path.exists()
    assert (tiny_demo / "run" / "model.safetensors").is_file()
    with Image.open(tiny_demo / "predictions.png") as sheet:
        assert sheet.width == demo.COLUMNS * (demo.SIDE + GAP) + GAP


def test_what_is_no_run_is_left_alone(tiny_demo: Path) -> None:
    mine = tiny_demo / "run" / "diary.txt"
    mine.parent.mkdir(parents=True)
    mine.touch()
    with pytest.raises(FileExistsError, match="not empty"):
        demo.run_demo(tiny_demo, train_images=2, val_images=1)
    assert mine.exists()


def test_losses_are_drawn_as_they_are_told() -> None:
    rows = [
        {"iteration": i, **{name: n + 1 / i for n, name in enumerate(LOSSES, 1)}}
        for i in range(1, 201)
    ]
    figure, curves = draw_losses(rows)
    (axes,) = figure.axes
    for line, name in zip(axes.lines, LOSSES, strict=True):
        assert np.array_equal(line.get_ydata(), curves[name])
        window = [row[name] for row in rows[10:14]]  # 2 % of 200
        at = np.flatnonzero(line.get_xdata() == 12.5)
        assert curves[name][at] == pytest.approx(np.mean(window))
    with pytest.raises(ValueError, match="no rows"):
        draw_losses([])


def test_moving_mean() -> None:
    assert moving_mean([1, 2, 6], 1).tolist() == [1, 2, 6]
    assert moving_mean([1, 2, 6], 2).tolist() == [1.5, 4]


def test_contact_sheet() -> None:
    """Row after row; large pictures shrink and small ones stay."""
    colors = ["red", "lime", "blue"]
    sizes = [(40, 20), (10, 10), (8, 16)]
    pictures = [
        Image.new("RGB", size, color) for size, color in zip(sizes, colors, strict=True)
    ]
    sheet = contact_sheet(pictures, columns=2, side=10)
    assert sheet.size == (2 * 10 + 3 * GAP, 2 * 10 + 3 * GAP)
    assert sheet.getpixel((GAP, GAP)) == (255, 0, 0)
    assert sheet.getpixel((GAP, GAP + 6)) == (255, 255, 255)  # 40 x 20 became 10 x 5
    assert sheet.getpixel((2 * GAP + 10, GAP)) == (0, 255, 0)
    assert sheet.getpixel((GAP, 2 * GAP + 10)) == (0, 0, 255)
