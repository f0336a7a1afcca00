"""``bench data``: on a small file here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskrcnn_scratch.benchmarks.reading import run_data_bench
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


def test_options_of_the_other_suites_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", "data", "--only", "NMS"]) == 1
    assert "bench data has no --against, --only or --device" in capsys.readouterr().err
