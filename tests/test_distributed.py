"""Training and evaluation in two processes: the same as in one, also if one dies.

The processes are real ones, started by torchrun; what they run is in two_processes.py.

Faults tried, and the test that caught each:
- counts not summed over processes, random numbers that differ between processes ->
  test_two_processes_give_the_gradients_of_one
- a sum for a mean -> test_the_processes_understand_each_other
- no resuming after a restart, checkpoints written by all processes ->
  test_a_killed_worker_is_restarted_and_nothing_is_lost
- any run taken over, or without a restart ->
  test_a_restart_takes_over_its_own_run_alone
- every process evaluates all images, results not put in order ->
  test_evaluation_counts_each_image_once
- each process stops by itself -> test_ctrl_c_in_one_process_stops_all_at_one_iteration
- the first share for all, shares of micro-batches forgotten ->
  test_shares_are_equal_and_make_up_the_batch
- frozen norms made synchronous -> test_synchronised_norms_keep_their_names
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import tiny_config
from torch import Tensor, nn
from two_processes import Result, gradients

from maskrcnn_scratch.data import write_shapes
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.training import prepare
from maskrcnn_scratch.training.config import ConfigError, RunConfig, config_to_toml
from maskrcnn_scratch.training.folder import claim, was_restarted
from maskrcnn_scratch.training.metrics import read_metrics
from maskrcnn_scratch.weights.model_file import read_model_file

HERE = Path(__file__).parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
TORCHRUN += ["--nproc-per-node", "2"]
PATIENCE = 180  # seconds; a run takes about 15
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE}"}


def torchrun(*words: str | Path, status: int = 0) -> str:
    """Run in two processes; returns what they print."""
    running = subprocess.Popen(
        [*TORCHRUN, *words],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = running.communicate(timeout=PATIENCE)
    finally:
        running.terminate()  # and torchrun its processes
    assert running.returncode == status, said
    return said


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Square images of 64 pixels: all batches are padded alike."""
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", 5, 5, size=64)


@pytest.fixture(scope="module")
def together(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what two processes computed."""
    out = tmp_path_factory.mktemp("together")
    torchrun(HERE / "two_processes.py", "compute", shapes, out)
    return out


def assert_same(found: Result, expected: Result, tolerance: float) -> None:
    """Relative to the largest gradient of each parameter, and to each loss."""
    (losses, slopes), (expected_losses, expected_slopes) = found, expected
    assert losses.keys() == expected_losses.keys()
    for name, loss in expected_losses.items():
        torch.testing.assert_close(losses[name], loss, rtol=tolerance, atol=0)
    assert slopes.keys() == expected_slopes.keys()
    for name, slope in expected_slopes.items():
        scale = float(slope.abs().max())
        torch.testing.assert_close(
            slopes[name], slope, rtol=0, atol=tolerance * scale, msg=name
        )


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(shapes: Path, together: Path) -> None:
    """Of the doubled batch, with anchors and RoIs drawn at random, not as many each."""
    found: Result = torch.load(together / "gradients.pt")
    assert_same(found, gradients(tiny_config(batch_size=4), shapes), 1e-4)
    assert {"rpn_objectness", "rpn_box", "class", "box", "mask"} == found[0].keys()


@pytest.mark.slow
def test_the_processes_understand_each_other(together: Path) -> None:
    """(0, 0) and (1, 2); one item of process 0, two of process 1."""
    first, second = (torch.load(together / f"talk-{rank}.pt") for rank in (0, 1))
    assert first["averaged"] == second["averaged"] == [0.5, 1.0]
    assert first["anyone"] == second["anyone"] == [True, False]
    assert first["gathered"] == [(0, "a"), (1, "a"), (1, "b")]
    assert second["gathered"] == []


# Runs ---------------------------------------------------------------------------------


def train(config: RunConfig, data: Path, out: Path, status: int = 0) -> str:
    """By the command line."""
    path = out.with_suffix(".toml")
    path.write_text(config_to_toml(config), encoding="utf-8")
    words = ["-m", "maskrcnn_scratch", "train", path, "--data", data, "--out", out]
    return torchrun(*words, status=status)


def rows(run: Path) -> list[dict[str, float]]:
    """The metrics but for the time."""
    found = read_metrics(run / "metrics.jsonl")
    return [{k: v for k, v in row.items() if k != "seconds"} for row in found]


def weights(run: Path) -> dict[str, Tensor]:
    return read_model_file(run / "model.safetensors").tensors


@pytest.fixture(scope="module")
def undisturbed(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes, with evaluations on the way."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    said = train(tiny_config(**LONG), shapes, out)
    assert said.count("iteration 9/10 ") == 1
    assert said.count("(2 processes, 1 images at a time)") == 1
    assert said.count("the run is in") == 1
    return out


LONG = {"iterations": 10, "checkpoint_every": 4, "evaluate_every": 5, "ema": 0.5}


@pytest.mark.slow
def test_a_killed_worker_is_restarted_and_nothing_is_lost(
    shapes: Path, undisturbed: Path
) -> None:
    """SIGKILL in iteration 6; torchrun starts both again, from iteration 4."""
    out = undisturbed.with_name("killed")
    out.with_suffix(".toml").write_text(config_to_toml(tiny_config(**LONG)))
    words = ["--max-restarts", "1", HERE / "two_processes.py", "train", shapes, out]
    said = torchrun(*words)
    assert "SIGKILL" in said or "exitcode: -9" in said, said
    assert said.count("iteration 5/10 ") == 2
    torch.testing.assert_close(weights(out), weights(undisturbed), rtol=0, atol=0)
    assert rows(out) == rows(undisturbed)


def test_a_restart_takes_over_its_own_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that was refused the folder is started again too."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert not was_restarted(tmp_path)
    claim(tmp_path)
    assert was_restarted(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert not was_restarted(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    for other in ("os.getppid", "maskrcnn_scratch.processes.gethostname"):
        with monkeypatch.context() as patched:
            patched.setattr(other, lambda: 0)
            assert not was_restarted(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "another")
    assert not was_restarted(tmp_path)


@pytest.mark.slow
def test_evaluation_counts_each_image_once(shapes: Path, undisturbed: Path) -> None:
    """Five images and two processes: the results of one process, in their order."""
    from maskrcnn_scratch.inference import evaluate_run

    one, two = undisturbed.with_name("one"), undisturbed.with_name("two")
    scores = evaluate_run(undisturbed, shapes, one)
    words = ["evaluate", undisturbed, "--data", shapes, "--out", two]
    said = torchrun("-m", "maskrcnn_scratch", *words)
    assert said.count("results, figures, curves") == 1
    assert {p.name for p in one.iterdir()} == {p.name for p in two.iterdir()}
    results = [json.loads((f / "results.json").read_text()) for f in (one, two)]
    assert results[0] == results[1]
    assert {result["image_id"] for result in results[0]} == {6, 7, 8, 9, 10}
    figures = [json.loads((f / "metrics.json").read_text()) for f in (one, two)]
    for found in figures:
        found.pop("seconds_per_image")
    assert figures[0] == figures[1]
    last = rows(undisturbed)[-1]
    assert last["box_ap"] == pytest.approx(scores["bbox"].ap)
    assert last["mask_ap"] == pytest.approx(scores["segm"].ap)


@pytest.mark.slow
def test_ctrl_c_in_one_process_stops_all_at_one_iteration(
    shapes: Path, undisturbed: Path
) -> None:
    """The step is finished and saved; it is process 1 alone that is told."""
    out = undisturbed.with_name("stopped")
    path = out.with_suffix(".toml")
    path.write_text(config_to_toml(tiny_config(iterations=100_000)))
    words = ["-m", "maskrcnn_scratch", "train", path, "--data", shapes, "--out", out]
    running = subprocess.Popen(
        [*TORCHRUN, *words], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    try:
        latest = time.monotonic() + PATIENCE
        while len(read_metrics(out / "metrics.jsonl")) < 3:
            assert time.monotonic() < latest
            time.sleep(0.05)
        os.kill(second_of(running.pid), signal.SIGINT)
        _, said = running.communicate(timeout=60)
    finally:
        running.terminate()
    assert running.returncode != 0
    count = len(rows(out))
    assert said.count(f"stopped after iteration {count},") == 1, said
    newest = max(path.name for path in (out / "checkpoints").iterdir())
    assert newest == f"{count:06d}"


def second_of(torchrun: int) -> int:
    """The id of the process that is number 1."""
    for line in Path("/proc").glob(f"{torchrun}/task/*/children"):
        for child in line.read_text().split():
            if b"\0RANK=1\0" in Path(f"/proc/{child}/environ").read_bytes():
                return int(child)
    raise AssertionError("torchrun has started no second process")


def test_shares_are_equal_and_make_up_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of three processes; a batch that does not divide is refused by name."""
    monkeypatch.setattr(prepare, "world_size", lambda: 3)
    images = list(range(12))
    taken = []
    for rank in range(3):
        monkeypatch.setattr(prepare, "rank", lambda rank=rank: rank)
        taken.append(images[prepare.own_share(tiny_config(batch_size=12).train)])
    assert taken == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    wrong = tiny_config(batch_size=12, accumulate=4).train
    assert prepare.own_share(wrong) == slice(8, 12)
    for changes in ({"batch_size": 4}, {"batch_size": 6, "accumulate": 3}):
        with pytest.raises(ConfigError, match=r"train\.batch_size is \d, but 3 proc"):
            prepare.own_share(tiny_config(**changes).train)


def test_sync_batch_norm_is_refused_where_there_is_none() -> None:
    plain = tiny_config().model
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    with pytest.raises(ConfigError, match=r"sync_batch_norm needs GPUs: .* CPUs"):
        prepare.check_sync(replace(plain, norm="bn"), cpu)
    with pytest.raises(ConfigError, match=r'model\.norm is "gn", not "bn"'):
        prepare.check_sync(plain, gpu)
    prepare.check_sync(replace(plain, norm="bn"), gpu)
    prepare.check_sync(replace(plain, head_norm="bn"), gpu)


def test_synchronised_norms_keep_their_names() -> None:
    config = replace(tiny_config().model, norm="bn", frozen_stages=2)
    model = MaskRCNN(config)
    before = model.state_dict()
    prepare.synchronise_norms(model)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    model.train()
    norms = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }
    for name, norm in norms.items():
        frozen = name.startswith(("backbone.bn1", "backbone.layer1"))
        assert isinstance(norm, nn.SyncBatchNorm) != frozen, name
        assert norm.training != frozen, name
