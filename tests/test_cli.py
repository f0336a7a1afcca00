"""The command line: quick help, one clear line for bad input, nothing half-written.

Deliberate faults, and the test that caught each:

- torch imported where commands are defined -> test_help_needs_no_heavy_import
- a library's ValueError reported as the user's -> test_a_bug_keeps_its_trace
- an OSError let through -> test_bad_input_is_one_line
- exit 0 after an error -> test_bad_input_is_one_line
- a message of several lines printed as it is -> test_any_message_becomes_one_line
- a preset left out of the help -> test_help_of_train_names_every_preset
- Ctrl-C ends with 0 -> test_ctrl_c_says_where_it_stopped
- `train` ignores --resume -> test_from_images_to_predictions
- `data check` exits with 0 for errors -> test_data_check_exits_with_1_for_errors
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_training import tiny_config

from maskrcnn_scratch import cli
from maskrcnn_scratch.cli import main
from maskrcnn_scratch.data import write_shapes
from maskrcnn_scratch.training import TrainingDiverged
from maskrcnn_scratch.training.config import config_to_toml, preset_names

COMMANDS = [
    ["demo"],
    ["train"],
    ["evaluate"],
    ["predict"],
    ["data", "shapes"],
    ["data", "check"],
    ["weights", "inspect"],
    ["weights", "convert"],
    ["weights", "lesson"],
    ["ablation"],
    ["course", "build"],
    ["anatomy"],
    ["misalignment"],
    ["doctor"],
    ["bench"],
]
HEAVY = {"torch", "numba", "numpy", "matplotlib", "PIL", "pycocotools", "pandas"}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"maskrcnn-scratch {' '.join(command)}" in out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert command[0] in out


def test_help_of_train_names_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "--help"])
    out = capsys.readouterr().out
    assert preset_names()
    for name in preset_names():
        assert name in out


def test_help_needs_no_heavy_import() -> None:
    """So that it answers at once."""
    code = (
        "import sys; from maskrcnn_scratch.cli import main; main(['--help']);"
        f"print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert "misalignment" in captured.out + captured.err
    assert "error" not in captured.err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["trian", "shapes"], 2, "trian"),
        (["train"], 2, "config"),
        (["train", "shapse-tiny"], 1, "did you mean shapes-tiny?"),
        (["train", "nuclei"], 1, "nuclei needs --data DIR"),
        (["train", "nuclei", "--data", "none"], 1, "no annotations of split 'train'"),
        (
            ["train", "shapes-tiny", "--set", "train.iteratoins=3"],
            1,
            "unknown setting train.iteratoins; the nearest is train.iterations",
        ),
        (["train", "shapes-tiny", "--set", "iterations"], 1, "expected KEY=VALUE"),
        (
            ["train", "nuclei", "--data", "none", "--out", "new", "--resume"],
            1,
            "new holds no run to resume",
        ),
        (["evaluate", "none", "--data", "none"], 1, "none holds no trained model"),
        (["evaluate", "none"], 2, "--data"),
        (["predict", "none", "photo.png", "--out", "found"], 1, "no trained model"),
        (["predict", "none", "x.png", "--out", "y", "--score", "2"], 2, "--score"),
        (["data", "check", "none"], 1, "no annotations"),
        (["data", "shapes", "--out", "new", "--size", "8"], 1, "size is 8 pixels"),
        (["data", "shapes", "--out", "new", "--val", "0"], 1, "val is 0"),
        (["data", "shapes", "--out", "a-file"], 1, "a-file"),
        (["demo", "--out", "a-file"], 1, "a-file"),
        (["doctor", "--bogus"], 2, "--bogus"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line(
    arguments: list[str],
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says what was wrong, and leaves the folder as it was."""
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    assert main(arguments) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_any_message_becomes_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    cli.complain("first\n  second")
    assert capsys.readouterr().err == "error: first second\n"


def test_a_bug_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ValueError from a library is a wrong call of ours."""

    def wrong_call(*_: object) -> None:
        np.zeros(3).reshape(2, 2)

    monkeypatch.setattr("maskrcnn_scratch.figures.misalignment.follow", wrong_call)
    with pytest.raises(ValueError, match="reshape"):
        main(["misalignment"])


def test_an_error_of_the_system_names_the_file() -> None:
    error = FileNotFoundError(2, "No such file or directory", "x/y.png")
    assert cli.explanation(error) == "x/y.png: No such file or directory"
    assert cli.explanation(OSError("no room")) == "no room"


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt("stopped after iteration 7"), 130, "after iteration 7"),
        (TrainingDiverged("mask is nan in iteration 3"), 1, "mask is nan"),
    ],
)
def test_ctrl_c_says_where_it_stopped(
    error: BaseException,
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr("maskrcnn_scratch.training.train", stop)
    arguments = ["train", "nuclei", "--data", str(tmp_path), "--out", str(tmp_path)]
    assert main(arguments) == status
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_the_module_is_the_command() -> None:
    """``python -m maskrcnn_scratch``, with its exit status."""
    done = subprocess.run(
        [sys.executable, "-m", "maskrcnn_scratch", "misalignment", "--stride", "0"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "error: stride is 0; it must be more than 0\n"


def test_from_images_to_predictions(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """data shapes, data check, train, --resume, evaluate, predict, in a row."""
    monkeypatch.chdir(tmp_path)
    sizes = ["--train", "6", "--val", "2", "--size", "64"]
    assert main(["data", "shapes", "--out", "set", *sizes]) == 0
    assert main(["data", "check", "set"]) == 0
    assert "0 errors" in capsys.readouterr().out
    Path("tiny.toml").write_text(config_to_toml(tiny_config()))
    command = ["train", "tiny.toml", "--data", "set"]
    assert main([*command, "--set", "train.iterations=2"]) == 0
    assert iterations(Path("runs/tiny")) == [1, 2]
    assert main(command) == 1  # there is a run already
    assert "--resume" in capsys.readouterr().err
    assert main([*command, "--resume", "--set", "train.iterations=3"]) == 0
    assert iterations(Path("runs/tiny")) == [1, 2, 3]

    assert main(["evaluate", "runs/tiny", "--data", "set"]) == 0
    assert "runs/tiny/evaluation" in capsys.readouterr().out
    figures = json.loads(Path("runs/tiny/evaluation/metrics.json").read_text())
    assert {"bbox", "segm"} <= figures.keys()

    photo = np.zeros((40, 50, 3), np.uint8)
    Image.fromarray(photo).save("photo.png")
    found = ["predict", "runs/tiny", "photo.png", "set/val", "--out", "found"]
    assert main(found) == 0
    assert len(list(Path("found").glob("*.png"))) == 3
    assert Path("found/objects.csv").is_file()


def iterations(run: Path) -> list[int]:
    """Those that a run's metrics tell of."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["iteration"] for line in lines]


def test_data_check_exits_with_1_for_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_shapes(tmp_path / "set", train=2, val=1, size=32)
    (folder / "train" / "000001.png").unlink()
    assert main(["data", "check", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "error: instances_train.json, image 1: no image at" in out


def test_shapes_need_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Written beside the run."""
    monkeypatch.chdir(tmp_path)
    seen: list[Any] = []
    monkeypatch.setattr("maskrcnn_scratch.training.train", lambda *a: seen.extend(a))
    monkeypatch.setattr("maskrcnn_scratch.data.write_shapes", lambda folder: folder)
    assert main(["train", "shapes-tiny"]) == 0
    _, data, run, resume = seen
    assert (data, run) == (Path("runs/shapes-data"), Path("runs/shapes-tiny"))
    assert resume is False
