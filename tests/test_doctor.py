"""The doctor: healthy here, and every fault is found and comes with advice.

Deliberate faults, and the test that caught each:

- versions compared as text ("0.9" > "0.10") -> test_libraries
- a build such as 2.13.0+cpu taken for another version -> test_libraries
- an exception that a trial lets through -> test_a_broken_library_is_a_finding
- the simulator run without its switch -> test_the_simulator
- no time limit for the simulator -> test_the_simulator
- exit 0 in spite of a fault, exit 1 for a warning -> test_exit_status
- GiB and bytes mixed up -> test_disk
- a GPU that torch cannot use goes unmentioned -> test_a_gpu_that_torch_cannot_use
"""

from __future__ import annotations

import shutil
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest
import torch
from packaging.requirements import Requirement
from pycocotools import mask as mask_utils

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.data import write_shapes
from maskrcnn_scratch.doctor import libraries, machine, trials
from maskrcnn_scratch.doctor.check import Check

Usage = namedtuple("Usage", "total used free")


def test_a_healthy_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """This one, where the tests run: all libraries and trials, and a data set."""
    write_shapes(tmp_path / "shapes", train=2, val=1, size=32)
    assert main(["doctor", "--data", str(tmp_path / "shapes")]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line[9:27].strip(): line for line in lines}
    for name in ("Python", "numba", "CUDA simulator", "torch", "pycocotools", "disk"):
        assert found[name].startswith("ok"), found[name]
    assert "train 2 images" in found["data"]
    assert lines[-1].startswith("0 faults")


@pytest.mark.parametrize(
    ("installed", "severity", "found"),
    [
        ("0.10.1", "ok", "0.10.1"),
        ("0.10.1+cpu", "ok", "0.10.1+cpu"),
        ("0.11", "ok", "0.11 (tested with 0.10.1)"),
        ("0.9", "fault", "0.9, needed is >=0.10"),
        (None, "fault", "not installed"),
    ],
)
def test_libraries(
    installed: str | None, severity: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "installed_version", lambda name: installed)
    check = libraries.check_library(Requirement("wheel>=0.10"), tested="0.10.1")
    assert (check.severity, check.found) == (severity, found)
    assert bool(check.advice) == (severity == "fault")


def test_every_dependency_is_looked_at() -> None:
    """Those of this system, and the extras' apart."""
    names = {check.name for check in libraries.check_libraries()}
    assert {"torch", "numba", "pycocotools", "typer"} <= names
    assert ("numba-cuda" in names) == (sys.platform != "darwin")
    assert not {"pytest", "sphinx"} & names
    extras = {check.name for check in libraries.check_extras()}
    assert {"extra dev", "extra tensorboard"} <= extras
    assert not {"extra cuda12", "extra cuda13"} & extras


def test_a_missing_extra_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        libraries,
        "installed_version",
        lambda name: None if name == "tensorboard" else "1",
    )
    extras = {check.name: check for check in libraries.check_extras()}
    assert extras["extra tensorboard"].found == "without tensorboard"
    assert extras["extra tensorboard"].severity == "ok"


def test_the_package_itself_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    (check,) = libraries.check_libraries()
    assert (check.severity, check.found) == ("fault", "not installed")
    assert list(libraries.check_extras()) == []


def break_numba(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(numba, "njit", lambda function: 1 / 0)


def miscompile(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(numba, "njit", lambda function: lambda n: 44)


def break_torch(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "torch", None)


def break_pycocotools(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "pycocotools", None)


def mismeasure_masks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mask_utils, "area", lambda rle: 4)


@pytest.mark.parametrize(
    ("fault", "check", "found"),
    [
        (break_numba, trials.check_numba, "ZeroDivisionError"),
        (miscompile, trials.check_numba, "came out as 44"),
        (break_torch, trials.check_torch, "ModuleNotFoundError"),
        (break_pycocotools, trials.check_pycocotools, "ModuleNotFoundError"),
        (mismeasure_masks, trials.check_pycocotools, "has area 4"),
    ],
)
def test_a_broken_library_is_a_finding(
    fault: object, check: object, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    result: Check = check()
    assert result.severity == "fault"
    assert found in result.found
    assert "constraints.txt" in result.advice


@pytest.mark.parametrize(
    ("kernel", "found"),
    [
        ("raise RuntimeError('no such device')", "no such device"),
        ("import os; os.abort()", "it crashed"),
        ("import time; time.sleep(60)", "timed out"),
        (
            "import os; assert os.environ['NUMBA_ENABLE_CUDASIM'] == '1', 'off';"
            "raise RuntimeError('the switch is on')",
            "the switch is on",
        ),
    ],
)
def test_the_simulator(
    kernel: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its faults cost lessons on kernels, not the main job."""
    monkeypatch.setattr(trials, "ADD_ONE", kernel)
    monkeypatch.setattr(trials, "SIMULATOR_SECONDS", 10 if "sleep" not in kernel else 1)
    check = trials.check_simulator()
    assert check.severity == "warning"
    assert found in check.found


def test_no_gpu_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (check,) = trials.check_gpu()
    assert check.severity == "ok"


@pytest.mark.parametrize(
    ("built", "found"), [(None, "built for the CPU alone"), ("13.0", "does not see it")]
)
def test_a_gpu_that_torch_cannot_use(
    built: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    (check,) = trials.check_gpu()
    assert check.severity == "warning"
    assert found in check.found
    assert check.advice


@pytest.mark.parametrize(
    ("built", "extra"), [("12.8", "cuda12"), ("13.0", "cuda13"), ("14.1", "cuda13")]
)
def test_a_gpu_that_numba_cannot_use(
    built: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = SimpleNamespace(name="A GPU", total_memory=8 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: device)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setitem(sys.modules, "numba.cuda", None)
    seen, unseen = trials.check_gpu()
    assert (seen.severity, unseen.severity) == ("ok", "warning")
    assert "A GPU, 8 GiB" in seen.found
    assert f"[{extra}]" in unseen.advice


@pytest.mark.parametrize(
    ("gibibytes", "severity"), [(100, "ok"), (1, "warning"), (0.1, "fault")]
)
def test_disk(
    gibibytes: float, severity: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = Usage(0, 0, int(gibibytes * 2**30))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    check = machine.check_disk(tmp_path)
    assert check.severity == severity
    assert bool(check.advice) == (severity != "ok")


def test_a_folder_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine.os, "access", lambda path, mode: False)
    check = machine.check_disk(tmp_path)
    assert (check.severity, "cannot be written" in check.found) == ("fault", True)


@pytest.mark.parametrize(
    ("value", "severity"),
    [("1", "ok"), ("2", "ok"), ("0", "warning"), ("3", "warning"), ("all", "warning")],
)
def test_threads(value: str, severity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More threads than cores, or a limit that is no number."""
    monkeypatch.setattr(machine, "available_cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    check = machine.check_threads()
    assert check.severity == severity
    assert f"OMP_NUM_THREADS={value}" in check.found


def test_windows_is_said_to_be_untested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.platform, "system", lambda: "Windows")
    assert machine.check_python().severity == "warning"


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        (None, "no annotations"),
        ("{", "no valid JSON"),
        ("[]", "expected an object"),
        ("{}", "KeyError"),
    ],
)
def test_data_that_cannot_be_used(
    contents: str | None, found: str, tmp_path: Path
) -> None:
    if contents is not None:
        path = tmp_path / "annotations" / "instances_train.json"
        path.parent.mkdir()
        path.write_text(contents)
    check = machine.check_data(tmp_path)
    assert check.severity == "fault"
    assert found in check.found
    assert "data check" in check.advice


@pytest.mark.parametrize(
    ("severity", "status"), [("ok", 0), ("warning", 0), ("fault", 1)]
)
def test_exit_status(
    severity: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Only a fault is one; brackets in what was found are no markup."""
    check = Check(
        "brakes", severity, "worn [front]", "" if severity == "ok" else "stop"
    )
    monkeypatch.setattr("maskrcnn_scratch.doctor.examine", lambda data: [check])
    assert main(["doctor"]) == status
    out = capsys.readouterr().out
    assert "worn [front]" in out
    assert ("what to do" in out) == (severity != "ok")
