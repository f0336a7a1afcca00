"""Training: the schedule, the loop, and runs that stop, die, resume and repeat.

Most runs train a stand-in of a few weights; the whole model is trained where it matters
that nothing in it escapes the seeds.

Faults tried, and the test that caught each:
- loader starts at batch 0 when resumed -> test_a_stopped_run_ends_as_if_never_stopped
- random numbers not seeded anew in each iteration -> the same
- seeded by the iteration alone, or by the sum -> test_the_loop_seeds_each_iteration,
  test_every_seed_and_iteration_draws_its_own
- momentum not restored -> the same
- rate of the iteration before -> test_the_optimizer_gets_the_rate_of_its_iteration
- warm-up one iteration too long -> test_warm_up_rises_in_a_line
- step taken at, not after, its iteration -> test_the_papers_schedule
- cosine over iterations - 1 (never quite 0, or early) -> test_cosine_falls_to_zero
- gradient not clipped, or clipped by value -> test_the_gradient_is_clipped_as_a_whole
- the step taken before the check of finiteness -> test_a_loss_that_is_no_number_stops
- gradients never looked at -> test_a_gradient_that_is_no_number_stops
- Ctrl-C stops within the step, or saves nothing -> test_ctrl_c_saves_and_resumes
- the handler of Ctrl-C not put back -> the same
- the second Ctrl-C swallowed -> test_a_second_ctrl_c_stops_at_once
- metrics of lost iterations kept -> test_a_killed_run_ends_as_if_never_killed
- half a last line read as a row -> test_half_a_line_is_forgotten
- weight decay left out of norms -> test_weight_decay_is_on_every_parameter
- frozen parameters given to the optimiser -> the same
- num_classes left at its default -> test_classes_are_the_datas
- a run overwritten -> test_a_folder_in_use_is_refused
- settings of the old run ignored on resume -> test_a_resumed_run_keeps_its_settings
- micro-batches summed, the first one taken each time, other random numbers in each ->
  test_micro_batches_add_up_to_the_batch
"""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tiny_training import StandIn, tiny_config
from torch import Tensor, nn

from maskrcnn_scratch.data import CocoDataset, make_loader, write_shapes
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.structures import Target
from maskrcnn_scratch.training import (
    ConfigError,
    RunConfig,
    TrainingDiverged,
    load_config,
    load_run,
    loop,
    run,
    train,
)
from maskrcnn_scratch.training.loop import (
    add_gradients,
    fit,
    make_optimizer,
    make_scaler,
    seed_all,
)
from maskrcnn_scratch.training.metrics import MetricsLog, read_metrics
from maskrcnn_scratch.training.progress import TrainingProgress
from maskrcnn_scratch.training.schedule import learning_rate
from maskrcnn_scratch.weights.model_file import read_model_file

TrainConfig = type(RunConfig().train)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of 64 pixels to train on, so that epochs end in the middle."""
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", 5, 2, size=64)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the stand-in in place of Mask R-CNN."""
    monkeypatch.setattr(run, "MaskRCNN", StandIn)


def quiet() -> Console:
    return Console(file=io.StringIO())


def weights(folder: Path) -> dict[str, Tensor]:
    return read_model_file(folder / "model.safetensors").tensors


def rows(folder: Path) -> list[dict[str, float]]:
    """The metrics but for the time, which no two runs share."""
    found = read_metrics(folder / "metrics.jsonl")
    return [{k: v for k, v in row.items() if k != "seconds"} for row in found]


def assert_same_run(one: Path, other: Path) -> None:
    """Equal to the last bit."""
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=0)
    assert rows(one) == rows(other)


# The schedule -------------------------------------------------------------------------


def test_the_papers_schedule() -> None:
    """160k iterations at 0.02, divided by 10 at 120k (section 3.1)."""
    paper = RunConfig().train
    rates = [learning_rate(paper, i) for i in (501, 120_000, 120_001, 160_000)]
    assert rates == pytest.approx([0.02, 0.02, 0.002, 0.002], rel=1e-12)


@given(st.integers(2, 50), st.integers(0, 16))
def test_warm_up_rises_in_a_line(length: int, sixteenths: int) -> None:
    """From the factor in iteration 1, in equal steps, to all right after."""
    factor = sixteenths / 16
    config = TrainConfig(
        warmup_iterations=length, warmup_factor=factor, learning_rate=1.0
    )
    rates = torch.tensor(
        [learning_rate(config, i) for i in range(1, length + 2)], dtype=torch.float64
    )
    assert rates[0] == factor
    assert rates[-1] == 1
    assert learning_rate(config, length + 2) == 1
    expected = torch.full_like(rates[1:], (1 - factor) / length)
    torch.testing.assert_close(rates.diff(), expected, rtol=0, atol=1e-12)


@given(st.integers(1, 60))
def test_cosine_falls_to_zero(iterations: int) -> None:
    """All at first, half half-way, never rising, and 0 one iteration after the end."""
    config = TrainConfig(
        iterations=iterations,
        schedule="cosine",
        warmup_iterations=0,
        learning_rate=1.0,
    )
    rates = [learning_rate(config, i) for i in range(1, iterations + 2)]
    assert rates[0] == 1
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert rates[-2] > 0
    if iterations % 2 == 0:
        assert rates[iterations // 2] == pytest.approx(0.5)


@given(st.lists(st.integers(1, 20), max_size=4), st.integers(1, 30))
def test_steps_multiply(steps: list[int], iteration: int) -> None:
    config = TrainConfig(
        warmup_iterations=0, steps=tuple(steps), step_factor=0.5, learning_rate=1.0
    )
    past = len([step for step in steps if step < iteration])
    assert learning_rate(config, iteration) == 0.5**past


# The loop -----------------------------------------------------------------------------


def batches() -> Iterator[tuple[list[Tensor], list[Target]]]:
    """One image without content, numbered 41, 42, ..."""
    number = 40
    while True:
        number += 1
        yield (
            [torch.ones(3, 4, 4)],
            [
                Target(
                    image_id=number,
                    boxes=torch.tensor([[0.0, 0, 2, 2]]),
                    labels=torch.tensor([1]),
                    masks=torch.ones(1, 4, 4, dtype=torch.uint8),
                    crowd=torch.tensor([False]),
                )
            ],
        )


class Quadratic(nn.Module):
    """Loss ``slope * w``, so that the gradient is ``slope`` in each of four weights."""

    def __init__(self, slope: float = 3.0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(4))
        self.slope = slope
        self.calls = 0

    def forward(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        self.calls += 1
        return {"box": self.slope * self.w.sum(), "mask": 0 * self.w.sum()}


def settings(**changes: object) -> RunConfig:
    plain = {"momentum": 0.0, "weight_decay": 0.0, "warmup_iterations": 0}
    return tiny_config(**{**plain, **changes})


def fit_quadratic(model: Quadratic, **changes: object) -> list[dict[str, float]]:
    config = settings(**changes).train
    seen: list[dict[str, float]] = []
    optimizer = make_optimizer(config, model)
    fit(config, model, optimizer, batches(), lambda _, values: seen.append(values))
    return seen


def test_the_optimizer_gets_the_rate_of_its_iteration() -> None:
    """Plain gradient descent: the weight falls by slope times each rate in turn."""
    model = Quadratic()
    changes = {"iterations": 7, "schedule": "cosine", "warmup_iterations": 3}
    seen = fit_quadratic(model, **changes)
    rates = [learning_rate(settings(**changes).train, i) for i in range(1, 8)]
    assert [values["learning_rate"] for values in seen] == rates
    torch.testing.assert_close(model.w.detach(), torch.full((4,), 1 - 3 * sum(rates)))


def test_what_is_reported_is_what_happened() -> None:
    (values,) = fit_quadratic(Quadratic(), iterations=1)
    assert (values["box"], values["mask"], values["loss"]) == (12.0, 0.0, 12.0)
    assert values["gradient_norm"] == 6.0  # 3 in each of four
    assert values["seconds"] > 0


def test_the_gradient_is_clipped_as_a_whole() -> None:
    """Its direction stays, its length is the bound; a shorter one is untouched."""
    for bound, expected in ((2.0, 1.0), (9.0, 3.0), (0.0, 3.0)):
        model = Quadratic()
        fit_quadratic(model, iterations=1, clip_norm=bound, learning_rate=1.0)
        torch.testing.assert_close(1 - model.w.detach(), torch.full((4,), expected))


class Faulty(Quadratic):
    """Good for two iterations; then a loss, or a gradient, that is no number."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def forward(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        losses = super().forward(images, targets)
        if self.calls == 3 and self.fault == "gradient":
            # The square root of 0 is 0; its derivative is not finite.
            losses["mask"] = (self.w - self.w.detach()).sum().abs().sqrt()
        elif self.calls == 3:
            losses["mask"] = losses["mask"] + float(self.fault)
        return losses


@pytest.mark.parametrize("fault", ["nan", "inf", "-inf"])
def test_a_loss_that_is_no_number_stops(fault: str) -> None:
    """Named: the loss, the iteration, the images. The weights stay finite."""
    model = Faulty(fault)
    message = (
        rf"^mask is {fault} in iteration 3, images 43\. Lower train\.learning_rate"
    )
    with pytest.raises(TrainingDiverged, match=message):
        fit_quadratic(model)
    assert model.calls == 3
    assert model.w.isfinite().all()


def test_a_gradient_that_is_no_number_stops() -> None:
    model = Faulty("gradient")
    with pytest.raises(TrainingDiverged, match=r"^gradient_norm is (nan|inf) in iter"):
        fit_quadratic(model)
    assert model.w.isfinite().all()


@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 9), st.integers(1, 9))
def test_every_seed_and_iteration_draws_its_own(
    seed: int, iteration: int, other_seed: int, other_iteration: int
) -> None:
    """Also where seed + iteration is the same."""
    seed_all(seed, iteration)
    drawn = torch.rand(4)
    seed_all(other_seed, other_iteration)
    same = (seed, iteration) == (other_seed, other_iteration)
    assert torch.equal(torch.rand(4), drawn) == same


def test_the_loop_seeds_each_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(loop, "seed_all", lambda *numbers: asked.append(numbers))
    fit_quadratic(Quadratic(), iterations=3, seed=8)
    assert asked == [(8, 1), (8, 2), (8, 3)]


def test_micro_batches_add_up_to_the_batch(shapes: Path) -> None:
    """Of Mask R-CNN, where each image has as many anchors and RoIs to learn from."""
    config = tiny_config(batch_size=4)
    few = {"rpn_samples": 8, "roi_samples": 8, "roi_positive_fraction": 1 / 8}
    torch.manual_seed(0)
    model = MaskRCNN(replace(config.model, num_classes=4, **few)).train()
    dataset = CocoDataset(shapes, "train")
    batch = next(iter(make_loader(dataset, batch_size=4)))
    found = []
    for parts in (1, 2, 4):
        config = tiny_config(batch_size=4, accumulate=parts)
        model.zero_grad()
        scaler = make_scaler(config.train, torch.device("cpu"))
        losses = add_gradients(config.train, model, scaler, batch, 1)
        slopes = {name: p.grad for name, p in model.named_parameters()}
        found.append({**losses, **slopes})
    for one in found[1:]:
        for name, value in one.items():
            scale = float(found[0][name].abs().max())
            torch.testing.assert_close(
                value, found[0][name], rtol=0, atol=1e-4 * scale, msg=name
            )


def test_adamw_is_torchs() -> None:
    config = tiny_config(optimizer="adamw", weight_decay=0.5, learning_rate=0.25).train
    optimizer = make_optimizer(config, Quadratic())
    assert type(optimizer) is torch.optim.AdamW
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.25, 0.5)


def test_weight_decay_is_on_every_parameter() -> None:
    """As in the paper: norms and biases too; but for what is frozen."""
    model = StandIn(ModelConfig())
    model.box.requires_grad_(False)
    (group,) = make_optimizer(RunConfig().train, model).param_groups
    assert (group["momentum"], group["weight_decay"]) == (0.9, 1e-4)
    expected = [*model.conv.parameters(), *model.norm.parameters()]
    assert [id(p) for p in group["params"]] == [id(p) for p in expected]


def test_bf16_computes_in_bf16_and_keeps_weights_in_float32(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = set()

    class Watched(StandIn):
        def forward(
            self, images: list[Tensor], targets: list[Target]
        ) -> dict[str, Tensor]:
            kinds.add(self.conv(torch.stack(images)).dtype)
            return super().forward(images, targets)

    monkeypatch.setattr(run, "MaskRCNN", Watched)
    out = train(tiny_config(precision="bf16"), shapes, tmp_path / "run", False, quiet())
    assert kinds == {torch.bfloat16}
    assert {t.dtype for t in weights(out).values() if t.is_floating_point()} == {
        torch.float32
    }


# Runs ---------------------------------------------------------------------------------


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own answer to Ctrl-C, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt_at(iteration: int, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Press Ctrl-C ``count`` times while the loss of this iteration is computed."""
    real = StandIn.forward
    calls = iter(range(1, 1000))

    def forward(model: StandIn, *arguments: object) -> dict[str, Tensor]:
        if next(calls) == iteration:
            for _ in range(count):
                os.kill(os.getpid(), signal.SIGINT)
        return real(model, *arguments)

    monkeypatch.setattr(StandIn, "forward", forward)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(("workers", "optimizer"), [(0, "sgd"), (2, "adamw")])
def test_a_stopped_run_ends_as_if_never_stopped(
    shapes: Path, tmp_path: Path, workers: int, optimizer: str
) -> None:
    """2 N iterations = N iterations, a new start, N more: every bit, workers or not."""
    data = tiny_config().data.model_copy(update={"workers": workers})
    config = tiny_config(optimizer=optimizer)
    whole = train(config, shapes, tmp_path / "whole", False, quiet())
    for iterations in (3, 6):
        config = tiny_config(optimizer=optimizer, iterations=iterations)
        config = config.model_copy(update={"data": data})
        train(config, shapes, tmp_path / "parts", iterations == 6, quiet())
    assert_same_run(whole, tmp_path / "parts")
    assert len(rows(whole)) == 6


@pytest.mark.usefixtures("stand_in", "ctrl_c")
def test_ctrl_c_saves_and_resumes(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is finished and saved; what it says to do works."""
    config = tiny_config(checkpoint_every=100)
    before = signal.getsignal(signal.SIGINT)
    whole = train(config, shapes, tmp_path / "whole", False, quiet())
    with monkeypatch.context() as patched:
        interrupt_at(3, patched, count=1)
        with pytest.raises(KeyboardInterrupt, match=r"iteration 3, .* --resume"):
            train(config, shapes, tmp_path / "parts", False, quiet())
    assert signal.getsignal(signal.SIGINT) == before
    assert [row["iteration"] for row in rows(tmp_path / "parts")] == [1, 2, 3]
    assert [p.name for p in (tmp_path / "parts" / "checkpoints").iterdir()] == [
        "000003"
    ]
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    train(config, shapes, tmp_path / "parts", True, quiet())
    assert_same_run(whole, tmp_path / "parts")


@pytest.mark.usefixtures("stand_in", "ctrl_c")
def test_a_second_ctrl_c_stops_at_once(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(4, monkeypatch, count=2)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(), shapes, tmp_path / "run", False, quiet())
    assert [row["iteration"] for row in rows(tmp_path / "run")] == [1, 2, 3]


DYING = """
import os, signal, sys
from pathlib import Path
import torch
from tiny_training import StandIn, tiny_config
from maskrcnn_scratch.training import run

class Dying(StandIn):
    calls = 0
    def forward(self, images, targets):
        Dying.calls += 1
        if Dying.calls == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(images, targets)

run.MaskRCNN = Dying
run.train(tiny_config(), Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.usefixtures("stand_in")
def test_a_killed_run_ends_as_if_never_killed(shapes: Path, tmp_path: Path) -> None:
    """SIGKILL in iteration 6; the checkpoint is of iteration 4, the metrics go on."""
    out = tmp_path / "killed"
    killed = subprocess.run(
        [sys.executable, "-c", DYING, shapes, out],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "iteration 5/6" in killed.stdout
    assert len(rows(out)) == 5
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 6, "lo')
    train(tiny_config(), shapes, out, True, quiet())
    assert_same_run(
        train(tiny_config(), shapes, tmp_path / "whole", False, quiet()), out
    )


def test_the_whole_model_resumes_and_repeats(shapes: Path, tmp_path: Path) -> None:
    """Mask R-CNN itself: stopped or not, equal seeds give equal bits, others do not."""
    whole = train(tiny_config(iterations=4), shapes, tmp_path / "a", False, quiet())
    for iterations in (2, 4):
        config = tiny_config(iterations=iterations)
        train(config, shapes, tmp_path / "b", iterations == 4, quiet())
    assert_same_run(whole, tmp_path / "b")
    other = tiny_config(iterations=1, seed=1)
    train(other, shapes, tmp_path / "c", False, quiet())
    assert rows(tmp_path / "c")[0] != rows(whole)[0]
    model, config, class_names = load_run(whole)
    assert isinstance(model, MaskRCNN)
    assert not model.training
    assert class_names == ["rectangle", "ellipse", "triangle", "star"]
    assert config == load_config(whole / "config.toml")
    assert model.config == config.model
    torch.testing.assert_close(model.state_dict(), weights(whole), rtol=0, atol=0)


@pytest.mark.usefixtures("stand_in")
def test_a_run_holds_what_it_promises(shapes: Path, tmp_path: Path) -> None:
    config = tiny_config()
    out = train(config, str(shapes), str(tmp_path / "deep" / "run"), False, quiet())
    assert {path.name for path in out.iterdir()} == {
        "config.toml",
        "metrics.jsonl",
        "checkpoints",
        "model.safetensors",
    }
    assert sorted(p.name for p in (out / "checkpoints").iterdir()) == [
        "000004",
        "000006",
    ]
    saved = load_config(out / "config.toml")
    assert saved.model == replace(config.model, num_classes=4)
    assert saved.train == config.train
    (first, *_) = rows(out)
    assert list(first) == [
        "iteration",
        "box",
        "size",
        "gradient_norm",
        "loss",
        "learning_rate",
    ]
    assert first["loss"] == pytest.approx(first["box"] + first["size"])


@pytest.mark.usefixtures("stand_in")
def test_a_folder_in_use_is_refused(shapes: Path, tmp_path: Path) -> None:
    out = train(tiny_config(), shapes, tmp_path / "run", False, quiet())
    before = weights(out)
    with pytest.raises(FileExistsError, match=r"run holds a run; .*--resume"):
        train(tiny_config(seed=1), shapes, out, False, quiet())
    torch.testing.assert_close(weights(out), before, rtol=0, atol=0)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="notes is not empty"):
        train(tiny_config(), shapes, tmp_path / "notes", False, quiet())
    with pytest.raises(FileNotFoundError, match="holds no run to resume"):
        train(tiny_config(), shapes, tmp_path / "new", True, quiet())
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("stand_in")
def test_a_resumed_run_keeps_its_settings(shapes: Path, tmp_path: Path) -> None:
    out = train(tiny_config(iterations=2), shapes, tmp_path / "run", False, quiet())
    wrong = tiny_config(iterations=4, learning_rate=0.5)
    with pytest.raises(ConfigError, match=r"train\.learning_rate = 0\.02, not 0\.5"):
        train(wrong, shapes, out, True, quiet())
    train(tiny_config(iterations=4, print_every=7), shapes, out, True, quiet())
    assert len(rows(out)) == 4
    assert load_config(out / "config.toml").train.iterations == 4


@pytest.mark.usefixtures("stand_in")
def test_classes_are_the_datas(shapes: Path, tmp_path: Path) -> None:
    config = tiny_config()
    wrong = config.model_copy(update={"model": replace(config.model, num_classes=7)})
    with pytest.raises(ConfigError, match="num_classes is 7, but the data has 4"):
        train(wrong, shapes, tmp_path / "run", False, quiet())
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("stand_in")
def test_divergence_leaves_the_last_checkpoint(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = CocoDataset.__getitem__
    seen: list[object] = []

    def spoilt(dataset: CocoDataset, key: tuple[int, int]) -> tuple[Tensor, Target]:
        image, target = real(dataset, key)
        seen.append(key)
        return (image * math.nan if len(seen) == 9 else image), target

    monkeypatch.setattr(CocoDataset, "__getitem__", spoilt)
    with pytest.raises(TrainingDiverged, match=r"box is nan in iteration 5, images \d"):
        train(tiny_config(), shapes, tmp_path / "run", False, quiet())
    names = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert sorted(names) == ["000002", "000004"]


# Metrics and progress -----------------------------------------------------------------


def test_half_a_line_is_forgotten(tmp_path: Path) -> None:
    """Killed while writing: what is complete counts, up to the checkpoint."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"iteration": 1}\n{"iteration": 2}\n{"iteration": 3}\n{"itera')
    with MetricsLog(path, iteration=2) as log:
        log.append(3, {"loss": 0.5})
    assert path.read_text().endswith('{"iteration": 3, "loss": 0.5}\n')
    assert [row["iteration"] for row in read_metrics(path)] == [1, 2, 3]


def test_a_row_is_on_the_file_at_once(tmp_path: Path) -> None:
    """A plot can follow the run."""
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.append(1, {"loss": 2.0})
        assert json.loads(path.read_text()) == {"iteration": 1, "loss": 2.0}


def test_tensorboard_missing_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"maskrcnn-scratch\[tensorboard\]"):
        MetricsLog(tmp_path / "metrics.jsonl", tensorboard=True)
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_every_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: Path, purge_step: int) -> None:
            written.append(("purge", 0.0, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def close(self) -> None:
            written.append(("close", 0.0, 0))

    fake = SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    with MetricsLog(tmp_path / "metrics.jsonl", 4, tensorboard=True) as log:
        log.append(5, {"loss": 2.0})
    assert written == [("purge", 0.0, 5), ("loss", 2.0, 5), ("close", 0.0, 0)]


def test_progress_is_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with TrainingProgress(0, 7, 3, Console(file=out)) as progress:
        for iteration in range(1, 8):
            progress.advance(iteration, loss=float(iteration), rate=0.02)
    lines = out.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "iteration 3/7",
        "iteration 6/7",
        "iteration 7/7",
    ]
    assert "loss 2.000  lr 0.02  left 0:00:0" in lines[0]


def test_progress_is_a_bar_in_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with TrainingProgress(0, 2, 1, console) as progress:
        progress.advance(1, loss=1.0, rate=0.02)
        progress.advance(2, loss=1.0, rate=0.02)
    assert "2/2" in out.getvalue()
    assert "iteration" not in out.getvalue()
