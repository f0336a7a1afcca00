"""The benchmark command: honest arithmetic, whole files, clear words; no speed itself.

Where torchvision is installed, every case also runs beside it, in small; else that test
says that it was left out.

Deliberate faults, and the test that caught each:

- ratio upside down, or of medians -> test_a_ratio_is_of_one_round
- every round in the same order -> test_works_take_turns
- the slower of their ways taken -> test_the_best_of_their_ways_counts
- a NaN taken for agreement; targets missed told as met -> test_what_is_missed_is_said
- memory before the call counted, or not given back -> test_memory_is_that_of_the_call
- JSON written as rows come -> test_an_interrupted_run_leaves_nothing
- a case on other inputs than theirs -> test_cases_agree_with_torchvision
- background rows put last -> test_our_weights_under_their_names
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch.benchmarks import command, measure, memory, report, run
from maskrcnn_scratch.benchmarks.cases import Case, Pair, Sizes
from maskrcnn_scratch.benchmarks.inputs import clustered_boxes, covered_bytes, scores
from maskrcnn_scratch.benchmarks.measure import Spread, ratios, spread
from maskrcnn_scratch.benchmarks.run import OnGPU, Row, Side
from maskrcnn_scratch.benchmarks.torchvision_model import CONVENTIONS
from maskrcnn_scratch.cli import main
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.weights.torchvision_names import to_torchvision

TINY = Sizes(
    image=(64, 96),
    channels=3,
    rois=5,
    nms=(20, 30),
    nms_a_level=6,
    objects=2,
    masks=4,
    mask_targets=3,
    train_image=(64, 64),
    train_images=1,
)
CPU = torch.device("cpu")
HAS_TORCHVISION = importlib.util.find_spec("torchvision") is not None


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small shapes, and one round of one call."""
    monkeypatch.setattr(command, "SIZES", TINY)
    for name, value in {"LEAST_ROUNDS": 1, "MOST_ROUNDS": 1, "WARM_UP": 0}.items():
        monkeypatch.setattr(measure, name, value)
    monkeypatch.setattr(measure, "LEAST_SAMPLE", 0.0)


def test_a_spread_is_three_quartiles() -> None:
    assert spread([4, 1, 3, 2, 5]) == Spread(2, 3, 4)
    assert spread([7]) == Spread(7, 7, 7)


def test_a_ratio_is_of_one_round() -> None:
    """A machine that slows down by the round changes no ratio."""
    assert ratios([1, 2, 4, 8], [3, 6, 12, 24]) == Spread(3, 3, 3)
    assert ratios([2, 2, 2], [2, 4, 6]) == Spread(1.5, 2, 2.5)


def test_works_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warm first; then each once a round, every second round in reverse."""
    monkeypatch.setattr(measure, "LEAST_ROUNDS", 3)
    monkeypatch.setattr(measure, "BUDGET", 0.0)
    log: list[str] = []
    works = {name: lambda name=name: log.append(name) for name in "abc"}

    def timer(work: Any, calls: int) -> float:
        work()
        return 1.0

    times = measure.paired_seconds(works, timer)
    assert times == {name: [1.0] * 3 for name in "abc"}
    assert "".join(log) == "aabbcc" + "abc" + "cba" + "abc"


def test_a_short_work_is_called_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LEAST_SAMPLE", 1.0)
    asked: list[int] = []

    def timer(work: Any, calls: int) -> float:
        asked.append(calls)
        return 0.125

    measure.paired_seconds({"a": lambda: None}, timer)
    assert asked[0] == 1
    assert set(asked[1:]) == {8}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(1.23456, "1235"), (0.1, "100"), (0.0999, "99.9"), (0.00012345, "0.123")],
)
def test_times_are_shown_with_three_figures(seconds: float, shown: str) -> None:
    assert report.milliseconds(seconds) == shown


def test_the_clock_gives_seconds_a_call() -> None:
    import time

    seconds = measure.seconds_on_cpu(lambda: time.sleep(0.01), 3)
    assert 0.01 <= seconds < 0.1


def side(name: str, seconds: float, peak: int | None = None) -> Side:
    return Side(name=name, seconds=Spread(seconds, seconds, seconds), peak_bytes=peak)


def on_gpu(times_the_floor: float, target: float | None) -> OnGPU:
    return OnGPU(
        launch_seconds=1,
        device_seconds=1,
        times_the_floor=times_the_floor,
        floor_target=target,
    )


def case(pair: Pair, **rest: Any) -> Case:
    return Case(name="a case", shapes="2 x 3", prepare=lambda _: pair, **rest)


@pytest.mark.usefixtures("_quick")
def test_the_best_of_their_ways_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    took = {"ours": 1.0, "slow": 9.0, "quick": 3.0}
    monkeypatch.setattr(measure, "seconds_on_cpu", lambda work, _: took[work()])
    pair = Pair(
        ours=lambda: "ours",
        theirs=lambda: {name: lambda name=name: name for name in ("slow", "quick")},
        difference=lambda a, b: {"letters": float(len(a + b))},
    )
    row = run.run_case(
        case(pair, cpu_target=3.5, limits={"letters": 9}), CPU, True, None
    )
    assert row.theirs is not None
    assert row.theirs.name == "quick"
    assert row.ratio == Spread(3, 3, 3)
    assert row.differences == {"letters": 9}
    assert row.missed() == ["speed"]


@pytest.mark.usefixtures("_quick")
def test_alone_there_is_nothing_to_compare() -> None:
    def theirs() -> dict[str, Any]:
        raise AssertionError("the other library was asked for")

    pair = Pair(ours=lambda: 1, theirs=theirs, difference=lambda a, b: {})
    row = run.run_case(case(pair, cpu_target=3.5), CPU, False, None)
    assert (row.theirs, row.ratio, row.target, row.missed()) == (None, None, None, [])


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, []),
        ({"ratio": Spread(1.0, 1.9, 4.0)}, ["speed"]),
        ({"ratio": Spread(1.0, 1.9, 4.0), "target": None}, []),
        ({"ours": side("ours", 1, 8 << 20)}, ["memory"]),
        ({"ours": side("ours", 1, None)}, []),
        ({"differences": {"pixels": 1.5, "other": 99.0}}, ["agreement"]),
        ({"differences": {"pixels": float("nan")}}, ["agreement"]),
        ({"gpu": on_gpu(3.0, 2.5)}, ["floor"]),
        ({"gpu": on_gpu(2.0, 2.5)}, []),
        ({"gpu": on_gpu(9.0, None)}, []),
    ],
)
def test_what_is_missed_is_said(change: dict[str, Any], missed: list[str]) -> None:
    fine: dict[str, Any] = {
        "case": "a case",
        "shapes": "2 x 3",
        "ours": side("ours", 1, 4 << 20),
        "theirs": side("NCHW", 2, 4 << 20),
        "ratio": Spread(1.9, 2.0, 2.1),
        "target": 2.0,
        "differences": {"pixels": 1.0, "other": 5.0},
        "limits": {"pixels": 1.0},
    }
    row = Row(**(fine | change))
    assert row.missed() == missed
    words = {"speed": "MISSED", "memory": "MORE", "agreement": "DIFFERS"}
    for kind, word in (words | {"floor": "MISSED"}).items():
        if kind in missed:
            assert word in report.table_line(row)
        elif word not in [words.get(other, "MISSED") for other in missed]:
            assert word not in report.table_line(row)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells")
def test_memory_is_that_of_the_call() -> None:
    """The most at a time; not what was there before, nor what the call gave back."""
    before = torch.ones(40 << 18)  # MiB of float32

    def once() -> torch.Tensor:
        return torch.ones(32 << 18)

    def twice() -> torch.Tensor:
        (once() + 1).sum()
        return before[:5] + 1

    def reused() -> torch.Tensor:  # the system's allocator keeps it for the next call
        return torch.ones(20 << 18)

    works = ((once, 32), (twice, 64), (lambda: before.sum(), 0), (reused, 20))
    for work, mebibytes in works:
        for _ in range(3):
            work()
        found = memory.peak_bytes(work, CPU)
        assert found is not None
        assert abs(found / 2**20 - mebibytes) < 3


def test_device_time_over_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 MB at 1 GB/s takes 1 ms; a kernel of 3 ms takes 3 times as long."""
    monkeypatch.setattr(measure, "device_seconds", lambda *_: 3e-3)
    monkeypatch.setattr(measure, "launch_seconds", lambda *_: 1e-5)
    pair = Pair(lambda: 0, dict, lambda a, b: {}, least_bytes=10**6)
    found = run.taken_apart(case(pair, floor_target=2.5), pair, 1e9)
    assert found.times_the_floor == pytest.approx(3)
    assert (found.launch_seconds, found.floor_target) == (1e-5, 2.5)
    nothing = Pair(lambda: 0, dict, lambda a, b: {})
    assert run.taken_apart(case(nothing), nothing, 1e9).times_the_floor is None


def test_the_copy_s_bandwidth_is_of_this_world() -> None:
    """Between 0.1 and 10,000 GB/s."""
    assert 1e8 < measure.copy_bandwidth(CPU, mebibytes=8) < 1e13


def test_cells_under_boxes_count_once() -> None:
    """Two boxes over rows 0..2, columns 0..3 of a map of 2 channels."""
    feature = torch.zeros(1, 2, 5, 6)
    boxes = torch.tensor([[0.0, 0, 8, 4], [1, 1, 9, 5]])
    assert covered_bytes(feature, boxes, 4) == 3 * 4 * 2 * 4


@given(st.integers(1, 60), st.integers(1, 50), st.integers(1, 50))
def test_random_boxes_lie_in_the_image(count: int, height: int, width: int) -> None:
    boxes = clustered_boxes(count, (height, width))
    assert boxes.shape == (count, 4)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] >= boxes[:, :2]).all()
    assert (boxes[:, 2:] <= torch.tensor([width, height])).all()
    assert len(scores(count, CPU).unique()) == count


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("suite", ["ops", "model"])
def test_the_command(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line a case, and the same figures in the file."""
    path = tmp_path / "new" / "figures.json"
    only = [] if suite == "ops" else ["--only", "evaluation, float32"]
    assert main(["bench", suite, *only, "--json", str(path)]) == 0
    table = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("|")
    ]
    contents = json.loads(path.read_text("utf-8"))
    names = [
        one.name for one in command.all_cases(suite) if not only or only[1] in one.name
    ]
    assert [row["case"] for row in contents["rows"]] == names
    assert len(table) == 2 + len(names)
    assert len({line.count("|") for line in table}) == 1
    for line, row in zip(table[2:], contents["rows"], strict=True):
        assert row["case"] in line
        assert report.milliseconds(row["ours"]["seconds"]["median"]) in line
    assert contents["command"].startswith(f"maskrcnn-scratch bench {suite}")
    assert contents["machine"]["threads"] == torch.get_num_threads()
    assert contents["machine"]["torch"] == torch.__version__


@given(
    st.builds(
        Row,
        case=st.text(),
        shapes=st.text(),
        ours=st.builds(
            Side,
            name=st.just("ours"),
            seconds=st.builds(Spread, *[st.floats(1e-9, 1e3)] * 3),
            peak_bytes=st.none() | st.integers(0, 2**40),
        ),
        ratio=st.none() | st.builds(Spread, *[st.floats(1e-3, 1e6)] * 3),
        differences=st.dictionaries(st.text(), st.floats(allow_nan=False)),
    )
)
def test_figures_come_back_from_the_file(row: Row) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        report.write_json(path, "a command", {"cores": 2}, [row])
        contents = json.loads(path.read_text("utf-8"))
    assert contents["rows"] == [asdict(row) | {"missed": row.missed()}]
    assert (contents["command"], contents["machine"]) == ("a command", {"cores": 2})


@pytest.mark.usefixtures("_quick")
def test_an_interrupted_run_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No JSON file where there was none, and the old one where there was."""
    done: Iterator[None] = iter([None])
    honest = run.run_case

    def stop_at_the_second(*arguments: Any) -> Row:
        if next(done, "stop") == "stop":
            raise KeyboardInterrupt
        return honest(*arguments)

    monkeypatch.setattr(run, "run_case", stop_at_the_second)
    old = tmp_path / "figures.json"
    old.write_text("old")
    assert main(["bench", "ops", "--json", str(old)]) == 130
    assert old.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
    assert "RoIAlign" in capsys.readouterr().out  # what was measured has been shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against", "torchvision"], "pip install torchvision"),
        (["--device", "cuda"], "torch finds no GPU"),
        (["--only", "no such"], "no such case; there are RoIAlign"),
    ],
)
def test_what_cannot_run_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)  # as if not installed
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = tmp_path / "figures.json"
    assert main(["bench", "ops", *arguments, "--json", str(path)]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not path.exists()


def test_our_weights_under_their_names() -> None:
    """Each tensor once, in its own shape but for the background's row in front."""
    with torch.device("meta"):
        state = MaskRCNN(CONVENTIONS).state_dict()
    renamed = to_torchvision(state, CONVENTIONS)
    assert len(renamed) == len(state)
    shapes = [tuple(tensor.shape) for tensor in renamed.values()]
    grown = {
        name: (tuple(tensor.shape), shape)
        for (name, tensor), shape in zip(state.items(), shapes, strict=True)
        if tuple(tensor.shape) != shape
    }
    assert grown == {
        "box_head.deltas.weight": ((360, 1024), (364, 1024)),
        "box_head.deltas.bias": ((360,), (364,)),
        "mask_head.net.mask_logits.weight": ((90, 256, 1, 1), (91, 256, 1, 1)),
        "mask_head.net.mask_logits.bias": ((90,), (91,)),
    }
    bias = to_torchvision({"box_head.deltas.bias": torch.ones(4)}, CONVENTIONS)
    assert bias["roi_heads.box_predictor.bbox_pred.bias"].tolist() == [0] * 4 + [1] * 4
    with pytest.raises(ValueError, match=r"nothing like box_head\.body\.blocks"):
        to_torchvision({"box_head.body.blocks.0": torch.ones(1)}, CONVENTIONS)


@pytest.mark.skipif(not HAS_TORCHVISION, reason="torchvision is not installed")
@pytest.mark.usefixtures("_quick")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suite", ["ops", "model"])
def test_cases_agree_with_torchvision(suite: str) -> None:
    """What both return is as near as the published tables demand."""
    for one in command.all_cases(suite):
        row = run.run_case(one, CPU, True, None)
        assert "agreement" not in row.missed(), (one.name, row.differences)
