"""What a long or large training asks for: scaled rates, averages, fp16, validation.

Faults tried, and the test that caught each:
- AdamW scaled in proportion, the ratio upside down ->
  test_the_rate_grows_with_the_batch
- decay one step late, decay and new weight exchanged ->
  test_the_average_is_the_recursion
- own weights not put back -> test_the_average_takes_the_place_for_a_moment
- average or scaler not saved, weights kept in place of their average ->
  test_average_and_scaler_survive_a_stop
- scale never updated -> test_an_overflow_leaves_out_its_step_and_halves_the_scale
- overflows forgiven for ever -> test_overflows_without_end_are_a_divergence
- the scaled gradient clipped -> test_the_true_gradient_is_clipped
- overflows written as Infinity -> test_the_whole_model_trains_in_fp16
- the last of equal models kept, judged by boxes -> test_the_best_model_is_kept
- the model left in evaluation mode, the last iteration not evaluated ->
  test_validation_measures_what_evaluate_does
"""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tiny_training import StandIn, tiny_config
from torch import Tensor, nn

from maskrcnn_scratch.data import write_shapes
from maskrcnn_scratch.inference import evaluate_run
from maskrcnn_scratch.structures import Target
from maskrcnn_scratch.training import TrainingDiverged, load_config, run, train
from maskrcnn_scratch.training.average import WeightAverage
from maskrcnn_scratch.training.config import RunConfig, preset_names
from maskrcnn_scratch.training.loop import fit, make_optimizer, make_scaler
from maskrcnn_scratch.training.metrics import read_metrics
from maskrcnn_scratch.training.prepare import plan_text
from maskrcnn_scratch.training.schedule import base_rate
from maskrcnn_scratch.training.validation import Validation
from maskrcnn_scratch.weights.model_file import read_model_file


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", 4, 2, size=64)


def quiet() -> Console:
    return Console(file=io.StringIO())


def weights(path: Path) -> dict[str, Tensor]:
    return read_model_file(path / "model.safetensors").tensors


def rows(folder: Path) -> list[dict[str, float]]:
    found = read_metrics(folder / "metrics.jsonl")
    return [{k: v for k, v in row.items() if k != "seconds"} for row in found]


# The learning rate --------------------------------------------------------------------


@given(st.integers(1, 64), st.integers(1, 64))
def test_the_rate_grows_with_the_batch(batch: int, reference: int) -> None:
    """In proportion for SGD, with the root for AdamW."""
    sizes = {"batch_size": batch, "reference_batch": reference, "learning_rate": 0.5}
    times = batch / reference
    assert base_rate(tiny_config(**sizes).train) == pytest.approx(0.5 * times)
    adamw = tiny_config(**sizes, optimizer="adamw").train
    assert base_rate(adamw) == pytest.approx(0.5 * math.sqrt(times))


@pytest.mark.parametrize("name", preset_names())
def test_presets_train_at_the_rate_that_they_say(name: str) -> None:
    settings = load_config(name).train
    assert base_rate(settings) == settings.learning_rate


def test_the_plan_is_told() -> None:
    half = tiny_config(batch_size=8, reference_batch=16, iterations=30, accumulate=2)
    assert plan_text(half.train, 120) == (
        "30 iterations of 8 images (1 processes, 4 images at a time), 2 epochs;"
        " learning rate 0.01, scaled from 0.02 for 16"
    )


# The average of the weights -----------------------------------------------------------


def test_the_average_is_the_recursion() -> None:
    """Of weights and buffers; counters are copied. 2/11, 3/12, ... until the decay."""
    model = StandIn(tiny_config().model)
    average = WeightAverage(model, decay=0.2)
    expected = {name: t.clone().double() for name, t in model.state_dict().items()}
    for step, decay in ((1, 2 / 11), (2, 0.2), (3, 0.2)):
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.add_(step)
        average.update(model, step)
        for name, new in model.state_dict().items():
            old = expected[name]
            expected[name] = decay * old + (1 - decay) * new.double()
    expected["norm.num_batches_tracked"] = torch.tensor(6.0).double()
    found = {name: tensor.double() for name, tensor in average.tensors.items()}
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_the_average_takes_the_place_for_a_moment() -> None:
    model = StandIn(tiny_config().model)
    average = WeightAverage(model, decay=0.5)
    with torch.no_grad():
        model.box.weight.add_(1)
    own = model.box.weight.detach().clone()

    def fail() -> None:
        with average.in_place_of(model):
            torch.testing.assert_close(model.box.weight.detach(), own - 1)
            raise RuntimeError("evaluation failed")

    with pytest.raises(RuntimeError, match="evaluation failed"):
        fail()
    torch.testing.assert_close(model.box.weight.detach(), own, rtol=0, atol=0)


@pytest.mark.parametrize("changes", [{"ema": 0.5}, {"precision": "fp16"}])
def test_average_and_scaler_survive_a_stop(
    shapes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
) -> None:
    """Stopped and resumed: every bit is as if never stopped."""
    monkeypatch.setattr(run, "MaskRCNN", StandIn)
    whole = train(tiny_config(**changes), shapes, tmp_path / "whole", console=quiet())
    for count in (3, 6):
        config = tiny_config(**changes, iterations=count)
        train(config, shapes, tmp_path / "parts", count == 6, quiet())
    torch.testing.assert_close(
        weights(tmp_path / "parts"), weights(whole), rtol=0, atol=0
    )
    assert rows(tmp_path / "parts") == rows(whole)
    last = whole / "checkpoints" / "000006"
    state = torch.load(last / "training.pt", weights_only=True)
    trained = weights(last)
    if "ema" in changes:
        torch.testing.assert_close(state["average"], weights(whole), rtol=0, atol=0)
        assert not torch.equal(trained["box.weight"], state["average"]["box.weight"])
    else:
        assert state["scaler"]["scale"] == 2.0**15  # one overflow, so no default
        torch.testing.assert_close(trained, weights(whole), rtol=0, atol=0)


# fp16 ---------------------------------------------------------------------------------


class Overflowing(nn.Module):
    """The gradient is 1, but infinite in the iterations named."""

    def __init__(self, infinite_in: set[int]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))
        self.infinite_in = infinite_in
        self.calls = 0

    def forward(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        self.calls += 1
        loss = self.w.sum()
        if self.calls in self.infinite_in:
            loss = loss + (self.w - self.w.detach()).sum().abs().sqrt()
        return {"box": loss}


def batches() -> Iterator[tuple[list[Tensor], list[Target]]]:
    none = torch.zeros(0, dtype=torch.int64)
    target = Target(7, torch.zeros(0, 4), none, None, none.bool())
    while True:
        yield [torch.zeros(3, 4, 4)], [target]


def fit_fp16(
    model: nn.Module, iterations: int, **changes: object
) -> tuple[list[float], float]:
    """The weight after each iteration, and the scale in the end."""
    plain = {"momentum": 0.0, "weight_decay": 0.0, "warmup_iterations": 0}
    plain |= {"learning_rate": 0.25, "iterations": iterations, **changes}
    config = tiny_config(**plain, precision="fp16").train
    scaler = make_scaler(config, torch.device("cpu"))
    seen: list[float] = []
    fit(
        config,
        model,
        make_optimizer(config, model),
        batches(),
        lambda _, values: seen.append(next(model.parameters()).item()),
        scaler=scaler,
    )
    return seen, scaler.get_scale()


def test_an_overflow_leaves_out_its_step_and_halves_the_scale() -> None:
    """The gradient that is used is the true one, whatever the scale."""
    seen, scale = fit_fp16(Overflowing({2}), 3)
    assert seen == [0.75, 0.75, 0.5]
    assert scale == 2.0**15


def test_the_true_gradient_is_clipped() -> None:
    """Not the scaled one, which is 2^16 times as long."""
    seen, _ = fit_fp16(Overflowing(set()), 2, clip_norm=2.0)
    assert seen == [0.75, 0.5]
    seen, _ = fit_fp16(Overflowing(set()), 1, clip_norm=0.5)
    assert seen == pytest.approx([0.875])


def test_overflows_without_end_are_a_divergence() -> None:
    model = Overflowing(set(range(100)))
    with pytest.raises(TrainingDiverged, match=r"gradient_norm is (nan|inf) in .* 17,"):
        fit_fp16(model, 100)
    assert model.w.item() == 1


def test_the_whole_model_trains_in_fp16(shapes: Path, tmp_path: Path) -> None:
    """The first steps overflow and are left out; their losses are those of float32."""
    config = tiny_config(precision="fp16", iterations=4)
    out = train(config, shapes, tmp_path / "half", console=quiet())
    plain = tiny_config(iterations=1)
    exact = train(plain, shapes, tmp_path / "single", console=quiet())
    for name in ("rpn_objectness", "rpn_box", "class", "box", "mask"):
        assert rows(out)[0][name] == pytest.approx(rows(exact)[0][name], rel=0.02)
    assert "gradient_norm" not in rows(out)[0]
    assert rows(out)[-1]["gradient_norm"] > 0
    for name, tensor in weights(out).items():
        assert tensor.dtype == weights(exact)[name].dtype
        assert tensor.isfinite().all()


# torch.compile ------------------------------------------------------------------------


# In a process of its own: the compiler cannot look through the checks of shapes.
COMPILING = """
import sys
from pathlib import Path
from tiny_training import tiny_config
from maskrcnn_scratch.training import train
train(tiny_config(iterations=2, compile=True), Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_compiled_backbone_trains_alike(shapes: Path, tmp_path: Path) -> None:
    """The same losses but for rounding, and weights of the same names."""
    plain = train(tiny_config(iterations=2), shapes, tmp_path / "a", console=quiet())
    done = subprocess.run(
        [sys.executable, "-c", COMPILING, shapes, tmp_path / "b"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert weights(tmp_path / "b").keys() == weights(plain).keys()
    for one, other in zip(rows(tmp_path / "b"), rows(plain), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


# Validation ---------------------------------------------------------------------------


def test_the_best_model_is_kept(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By mask AP, the first of equal ones, also by a run that is resumed."""
    monkeypatch.setattr(run, "MaskRCNN", StandIn)
    given = {2: 0.25, 4: 0.5, 6: 0.5, 8: 0.25}
    iterations: list[int] = []

    def measure(self: Validation, model: nn.Module) -> dict[str, float]:
        iterations.append(2 * len(iterations) + 2)
        return {"box_ap": 1 / iterations[-1], "mask_ap": given[iterations[-1]]}

    monkeypatch.setattr(Validation, "measure", measure)
    out = tmp_path / "run"
    for count in (4, 8):
        config = tiny_config(iterations=count, evaluate_every=2)
        train(config, shapes, out, count == 8, quiet())
        if count == 4:
            fourth = weights(out)
    assert iterations == [2, 4, 6, 8]
    assert [row.get("mask_ap") for row in rows(out)] == [
        given.get(iteration) for iteration in range(1, 9)
    ]
    torch.testing.assert_close(weights(out / "best"), fourth, rtol=0, atol=0)


def rpn_alone(config: RunConfig) -> RunConfig:
    model = replace(config.model, box_head="none", mask_head="none")
    return config.model_copy(update={"model": model})


def test_validation_measures_what_evaluate_does(shapes: Path, tmp_path: Path) -> None:
    """The model as it is then, and training goes on as if nothing had been."""
    plain = train(
        tiny_config(iterations=4), shapes, tmp_path / "plain", console=quiet()
    )
    config = tiny_config(iterations=4, evaluate_every=3)
    out = train(config, shapes, tmp_path / "run", console=quiet())
    torch.testing.assert_close(weights(out), weights(plain), rtol=0, atol=0)
    found = rows(out)
    assert ["mask_ap" in row for row in found] == [False, False, True, True]
    scores = evaluate_run(out, shapes, console=quiet())
    assert found[-1]["box_ap"] == pytest.approx(scores["bbox"].ap)
    assert found[-1]["mask_ap"] == pytest.approx(scores["segm"].ap)


def test_an_rpn_alone_is_judged_by_its_recall(shapes: Path, tmp_path: Path) -> None:
    config = rpn_alone(tiny_config(iterations=2, evaluate_every=2))
    out = train(config, shapes, tmp_path / "run", console=quiet())
    said = Console(file=io.StringIO())
    assert evaluate_run(out, shapes, console=said) == {}
    metrics = json.loads((out / "evaluation" / "metrics.json").read_text())
    assert rows(out)[-1]["ar_1000"] == pytest.approx(metrics["proposals"]["ar_1000"])
    assert 0 < metrics["proposals"]["ar_1000"] <= 1
    assert "AR@1000" in said.file.getvalue()  # type: ignore[attr-defined]
    assert (out / "best" / "model.safetensors").is_file()


def test_validation_wants_the_same_classes(shapes: Path, tmp_path: Path) -> None:
    path = tmp_path / "shapes"
    write_shapes(path, 1, 1, size=64)
    file = next((path / "annotations").glob("*val*"))
    contents = json.loads(file.read_text())
    contents["categories"][0]["name"] = "blob"
    file.write_text(json.dumps(contents))
    with pytest.raises(ValueError, match="must be the same, in the same order"):
        train(tiny_config(evaluate_every=1), path, tmp_path / "run", console=quiet())
    assert not (tmp_path / "run").exists()
