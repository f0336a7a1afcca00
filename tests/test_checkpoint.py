"""Checkpoints: whole or not at all, whenever and however the writer dies.

Faults tried, and the test that caught each:
- written straight into its final folder -> test_killed_at_any_step_the_last_one_stands
- renamed before the training state is written -> the same
- old ones removed in place, not renamed first -> the same
- old ones removed before the new one is in place -> the same
- a file, the folder or its parent not forced to the disk ->
  test_all_is_on_the_disk_before_the_rename
- folders sorted as texts, not numbers -> test_the_newest_is_the_highest_number
- drafts of killed writers never removed -> test_the_newest_two_are_kept_and_no_drafts
- momentum not saved -> test_model_and_optimizer_come_back_as_they_were
- buffers not saved (parameters only) -> the same
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import pytest
import torch
from tiny_training import StandIn, tiny_config

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.training import checkpoint
from maskrcnn_scratch.training.checkpoint import (
    checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from maskrcnn_scratch.training.loop import make_optimizer
from maskrcnn_scratch.weights.model_file import (
    find_model,
    read_model_file,
    write_model_file,
)

# One process that forks writers to be killed, since starting Python with torch is slow.
# A writer's model is its iteration in every number, so that any mixture shows.
WRITERS = """
import os, shutil, signal, sys, time
from pathlib import Path
import torch
from torch import nn
from maskrcnn_scratch.training import checkpoint

def writer(folder, size):
    model = nn.Linear(size, size, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1, momentum=0.5)
    def save(iteration):
        with torch.no_grad():
            model.weight.fill_(iteration)
            optimizer.state[model.weight]["momentum_buffer"] = model.weight.clone()
        checkpoint.save_checkpoint(folder, iteration, model, optimizer, {}, ["a"])
    return save

def kill_at_step(step):
    steps = iter(range(step))
    def mortal(call):
        def wrapped(*arguments, **keywords):
            if next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **keywords)
        return wrapped
    os.fsync = lambda descriptor: None # slow, and a kill loses nothing it would save
    for name in ("fsync", "replace", "unlink", "rmdir"):
        setattr(os, name, mortal(getattr(os, name)))
    torch.save = mortal(torch.save)

def kill_at_every_step(out):
    save = writer(out / "start", 4)
    save(1); save(2)
    step, survived = 0, False
    while not survived:
        folder = shutil.copytree(out / "start", out / f"step-{step:02d}")
        child = os.fork()
        if child == 0:
            save = writer(folder, 4)
            kill_at_step(step)
            save(3)
            os._exit(0)
        survived = os.waitpid(child, 0)[1] == 0
        step += 1

def kill_at_any_time(out):
    for delay in (0, 4, 9, 15, 22, 30):
        folder = out / f"{delay:02d}"
        child = os.fork()
        if child == 0:
            save = writer(folder, 1000)
            for iteration in range(1, 1_000_000):
                save(iteration)
        latest = time.monotonic() + 60
        while len(checkpoint.checkpoints(folder)) < 2 and time.monotonic() < latest:
            time.sleep(0.001)
        time.sleep(delay / 1000)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

out = Path(sys.argv[1])
kill_at_every_step(out / "steps")
kill_at_any_time(out / "times")
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of checkpoints whose writers died by SIGKILL."""
    out = tmp_path_factory.mktemp("killed")
    subprocess.run([sys.executable, "-c", WRITERS, out], check=True)
    return out


def assert_whole(folder: Path) -> int:
    """Every checkpoint is all of one iteration; returns the newest one's."""
    for place in checkpoints(folder):
        state = torch.load(place / "training.pt", weights_only=True)
        iteration: int = state["iteration"]
        assert int(place.name) == iteration
        (weight,) = read_model_file(place / "model.safetensors").tensors.values()
        (momentum,) = state["optimizer"]["state"].values()
        assert (weight == iteration).all()
        assert (momentum["momentum_buffer"] == iteration).all()
    return iteration


def test_killed_at_any_step_the_last_one_stands(killed: Path) -> None:
    """Killed before each call that changes the disk, one process for each."""
    runs = sorted((killed / "steps").glob("step-*"))
    assert len(runs) > 10
    found = [assert_whole(run) for run in runs]
    assert found == sorted(found)
    assert set(found) == {2, 3}
    for run in runs:  # what was left does not disturb the next one
        save_checkpoint(run, 4, *linear(), {}, ["a"])
        assert {path.name for path in run.iterdir()} <= {"000002", "000003", "000004"}


def test_killed_at_any_time_the_last_one_stands(killed: Path) -> None:
    """Killed from outside while megabytes are on their way to the disk."""
    runs = sorted((killed / "times").iterdir())
    assert len(runs) == 6
    for run in runs:
        assert assert_whole(run) >= 2


def linear() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = torch.nn.Linear(2, 2)
    return model, torch.optim.SGD(model.parameters(), lr=1)


def test_all_is_on_the_disk_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file, then the folder that lists them, is forced before it is renamed."""
    forced: dict[int, list[str]] = {}
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        forced[status.st_ino] = names(descriptor) if S_ISDIR(status.st_mode) else []
        real_fsync(descriptor)

    def names(folder: Path | int) -> list[str]:
        return sorted(os.listdir(folder))

    def replace(source: Path, target: Path) -> None:
        if source.is_dir():
            assert {path.stat().st_ino for path in source.iterdir()} <= forced.keys()
            assert forced[source.stat().st_ino] == names(source)
        else:
            assert source.stat().st_ino in forced
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    save_checkpoint(tmp_path, 1, *linear(), {}, ["a"])
    assert forced[tmp_path.stat().st_ino] == ["000001"]


def test_the_newest_is_the_highest_number(tmp_path: Path) -> None:
    for iteration in (999_998, 1_000_000):
        save_checkpoint(tmp_path, iteration, *linear(), {}, ["a"])
    names = [path.name for path in checkpoints(tmp_path)]
    assert names == ["999998", "1000000"]
    assert checkpoints(tmp_path / "nowhere") == []


def test_the_newest_two_are_kept_and_no_drafts(tmp_path: Path) -> None:
    (tmp_path / ".draft-left").mkdir()
    for iteration in (10, 20, 30, 30):
        save_checkpoint(tmp_path, iteration, *linear(), {}, ["a"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000020", "000030"]


def test_a_failed_write_leaves_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, say."""
    save_checkpoint(tmp_path, 1, *linear(), {}, ["a"])

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, 2, *linear(), {}, ["a"])
    assert [path.name for path in checkpoints(tmp_path)] == ["000001"]


def trained() -> tuple[StandIn, torch.optim.Optimizer]:
    """A stand-in after two steps, so that nothing is at its first value."""
    model = StandIn(ModelConfig()).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(tiny_config().train, model)
    for _ in range(2):
        optimizer.zero_grad()
        images = model.norm(model.conv(torch.rand(2, 3, 8, 8)))
        model.box(images.mean((2, 3))).sum().backward()
        optimizer.step()
    return model, optimizer


def flat(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {
        f"{index}.{name}": value
        for index, entry in state["state"].items()
        for name, value in entry.items()
    }


def test_model_and_optimizer_come_back_as_they_were(tmp_path: Path) -> None:
    model, optimizer = trained()
    place = save_checkpoint(tmp_path, 7, model, optimizer, {"a": 1}, ["x", "y"])
    other, other_optimizer = trained()
    assert load_checkpoint(place, other, other_optimizer) == 7
    torch.testing.assert_close(other.state_dict(), model.state_dict(), rtol=0, atol=0)
    mine, its = flat(optimizer.state_dict()), flat(other_optimizer.state_dict())
    assert len(mine) == 6
    torch.testing.assert_close(its, mine, rtol=0, atol=0)
    file = read_model_file(place / "model.safetensors")
    assert (file.config, file.class_names) == ({"a": 1}, ["x", "y"])


def test_files_that_are_none_of_ours_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError, match="no model at"):
        read_model_file(path)
    path.write_bytes(b"no tensors here")
    with pytest.raises(ValueError, match="is no safetensors file"):
        read_model_file(path)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="names no config and no classes"):
        read_model_file(path)


def test_the_final_model_goes_before_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no trained model"):
        find_model(tmp_path)
    for iteration in (999_998, 1_000_000):
        save_checkpoint(tmp_path / "checkpoints", iteration, *linear(), {}, ["a"])
    newest = tmp_path / "checkpoints" / "1000000" / "model.safetensors"
    assert find_model(tmp_path) == newest
    assert find_model(newest) == newest
    final = tmp_path / "model.safetensors"
    write_model_file(final, linear()[0], {}, ["a"])
    assert find_model(tmp_path) == final
    assert json.loads(json.dumps(read_model_file(final).class_names)) == ["a"]
