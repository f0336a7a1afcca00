"""``bench data``: on a small file here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskrcnn_scratch.benchmarks.annotations import write_annotations
from maskrcnn_scratch.benchmarks.reading import opened, run_data_bench, write_images
from maskrcnn_scratch.cli import main


def test_the_figures_of_a_small_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data.json"
    figures = run_data_bench(path, images=60, annotations=400, workers=1, read=32)
    assert json.loads(path.read_text())["figures"] == figures
    assert figures["images"] == 60
    assert figures["images read by 1 workers"] == 32
    assert all(value >= 0 for value in figures.values())
    assert figures["a worker's own memory after its last batch, MiB"] > 0.1
    out = capsys.readouterr().out
    assert "`maskrcnn-scratch bench data`" in out
    assert "| opening, s |" in out


@pytest.mark.slow
def test_a_hundred_thousand_images_open_in_bounded_memory(tmp_path: Path) -> None:
    """Little more than twice the file; as a whole, parsed, it takes six times it.

    ``pytest -s`` shows time and memory.
    """
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "instances_train.json"
    write_annotations(file, 100_000, 100_000)
    write_images(tmp_path, 100_000)
    dataset, figures = opened(tmp_path)
    size = file.stat().st_size / 2**20
    print(f"\n{len(dataset):,} images, {size:.0f} MiB: {figures}")
    assert len(dataset) == 100_000
    assert figures["memory while opening, MiB"] < 2.5 * size + 30
    image, target = dataset[99_999]
    assert image.shape[1:] == dataset.size(99_999)
    assert target.masks is not None
    assert len(target.masks) == len(target)


def test_options_of_the_other_suites_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", "data", "--only", "NMS"]) == 1
    assert "bench data has no --against, --only or --device" in capsys.readouterr().err
