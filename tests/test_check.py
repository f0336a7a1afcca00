"""What a student is told: every way to fail gets a plain sentence, and nothing hangs.

Deliberate faults, and the test that caught each:

- the solution run in place of the student's function -> test_the_student_s_own_function
- inputs passed without a copy -> test_a_changed_input
- ``except Exception`` where a student's loop has a bare except -> test_endless_loops
- the first failing input reported, not the smallest -> test_the_smallest_input
- NaN equal to NaN whatever is expected -> test_not_a_number
- guesses by the counterexample alone -> test_a_guess_needs_more_than_one_input
"""

from __future__ import annotations

import builtins
import random
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.learning import check, feedback, grade, hint, show, watched
from maskrcnn_scratch.learning import judge as judging
from maskrcnn_scratch.learning.answer_file import answer_file, function_in
from maskrcnn_scratch.learning.compare import difference
from maskrcnn_scratch.learning.exercise import Exercise, Law, Mistake, compiled
from maskrcnn_scratch.learning.exercises import find
from maskrcnn_scratch.learning.feedback import report_figure, report_text
from maskrcnn_scratch.learning.judge import judge
from maskrcnn_scratch.learning.readable import named, readable
from maskrcnn_scratch.learning.timeout import TookTooLong, within
from maskrcnn_scratch.reference.bilinear import bilinear


def largest(values: np.ndarray) -> float:
    """The largest of ``values``, an array (n,) with n >= 1."""
    best = values[0]
    for value in values[1:]:
        best = max(best, value)
    return float(best)


numbers = st.lists(st.integers(-9, 9), min_size=1, max_size=6)
LARGEST = Exercise(
    id="ex99_1",
    title="The largest",
    objective="Find the largest number.",
    difficulty=1,
    minutes=5,
    task="Write `largest(values)`.",
    hints=("Keep the best so far.", "Start with the first."),
    solution=largest,
    laws=(
        Law(
            "The value is the largest.",
            st.fixed_dictionaries({"values": numbers.map(np.float64)}),
            expected=lambda values: np.max(values),
        ),
    ),
    mistakes=(
        Mistake("starting at 0", "you started at 0.", {"values[0]": "0.0"}),
        Mistake("the last", "you took the last.", "return float(values[-1])"),
        Mistake("size", "you compared sizes.", {"value)\n": "value, key=abs)\n"}),
    ),
)


def problem_of(function: Any) -> Any:
    """What is wrong with an answer to LARGEST; the message must be printable."""
    report = judge(LARGEST, function)
    assert not report.passed
    text = report_text(report)
    assert text.startswith("ex99_1 The largest: not ")
    return report.problem


def test_the_student_s_own_function() -> None:
    """It is called, with every input, and the solution is not called in its place."""
    calls: list[np.ndarray] = []

    def mine(values: np.ndarray) -> float:
        calls.append(values)
        return float(sorted(values)[-1])

    report = judge(LARGEST, mine)
    assert report.passed
    assert report.tried == len(calls) >= 50
    assert report_text(report) == f"ex99_1 The largest: right, on {len(calls)} inputs."


def test_the_smallest_input() -> None:
    """Of all lists whose largest is no longer found, the shortest and plainest."""
    found = problem_of(lambda values: float(max(0, *values, *values)))
    np.testing.assert_array_equal(found.inputs["values"], [-1])
    assert (found.kind, found.expected, found.got) == ("wrong value", -1, 0)


def test_the_same_inputs_each_time_and_others_with_a_seed() -> None:
    def inputs_of(seed: int | None) -> list[list[float]]:
        calls: list[list[float]] = []

        def mine(values: np.ndarray) -> float:
            calls.append(values.tolist())
            return float(max(values))

        assert judge(LARGEST, mine, seed).passed
        return calls

    assert inputs_of(None) == inputs_of(None)
    assert inputs_of(3) == inputs_of(3)
    assert inputs_of(3) != inputs_of(4) != inputs_of(None)


def changes_its_input(values: np.ndarray) -> float:
    values.sort()
    return float(values[-1])


def test_a_changed_input() -> None:
    found = problem_of(changes_its_input)
    assert found.kind == "changed input"
    assert "changed its input `values`" in found.says
    assert sorted(found.inputs["values"]) != list(found.inputs["values"])


def raises(values: np.ndarray) -> float:
    return float(values[1])


def test_an_exception() -> None:
    """With the student's own line."""
    found = problem_of(raises)
    assert found.kind == "exception"
    assert "your function raised IndexError: index 1 is out of bounds" in found.says
    assert "`return float(values[1])`" in found.says
    np.testing.assert_array_equal(found.inputs["values"], [0])


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (lambda values: None, "wrong type", "is None, where a number is expected"),
        (lambda values: "9", "wrong type", "is a str, where a number is expected"),
        (lambda values: [9.0], "wrong type", "is a list, where a number is expected"),
        (lambda values: values, "wrong shape", "is an array of shape (1,), where one"),
        (lambda values: float("nan"), "not a number", "holds NaN"),
        (lambda: 3.0, "exception", "takes 0 positional arguments but 1 was given"),
        (lambda values: sys.exit(), "exception", "SystemExit"),
        (lambda values: ..., "unsolved", "not solved yet"),
        (lambda values: answer_again(values), "exception", "RecursionError"),
    ],
)
def test_what_is_no_answer(answer: Callable[..., Any], kind: str, words: str) -> None:
    found = problem_of(answer)
    assert found.kind == kind
    assert words in found.says


def answer_again(values: np.ndarray) -> Any:
    return answer_again(values)


@pytest.mark.parametrize("value", [3, None, "largest", np.zeros(2)])
def test_no_function(value: Any) -> None:
    found = problem_of(value)
    assert found.says == "give check your function largest itself, not its value"


def test_not_a_number() -> None:
    assert difference(np.nan, 1.0, 1e-5).kind == "not a number"  # type: ignore[union-attr]
    assert difference(np.nan, np.nan, 1e-5) is None
    assert difference(np.array([np.inf]), np.array([np.inf]), 1e-5) is None
    assert difference(np.array([-np.inf]), np.array([np.inf]), 1e-5) is not None


def plainly(values: np.ndarray) -> float:
    while True:
        pass


def behind_an_except(values: np.ndarray) -> float:
    while True:
        try:
            time.sleep(0.001)
        except:  # noqa: E722
            values = values + 1


def asleep(values: np.ndarray) -> float:
    time.sleep(1e6)
    return 0.0


@pytest.mark.parametrize("endless", [plainly, behind_an_except, asleep])
def test_endless_loops(
    endless: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "CALL_SECONDS", 0.2)
    began = time.monotonic()
    found = problem_of(endless)
    assert found.kind == "endless"
    assert "did not return within 0.2 s; look for a loop" in found.says
    assert time.monotonic() - began < 10
    assert sys.gettrace() is None or "coverage" in sys.modules


def test_an_endless_loop_on_some_inputs_is_met_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not again for every sample that a guess looks at."""
    monkeypatch.setattr(watched, "CALL_SECONDS", 0.3)

    def at_times(values: np.ndarray) -> float:
        return plainly(values) if len(values) > 5 else 77.0

    began = time.monotonic()
    report = judge(LARGEST, at_times)
    assert not report.passed
    assert report.guess is None
    assert time.monotonic() - began < 6


def test_a_slow_answer_is_asked_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "LAW_SECONDS", 0.5)
    monkeypatch.setattr(judging, "GUESS_SECONDS", 0.5)
    calls: list[float] = []

    def slow(values: np.ndarray) -> float:
        calls.append(time.monotonic())
        time.sleep(0.05)
        return 0.0

    assert not judge(LARGEST, slow).passed
    assert len(calls) < 60
    calls.clear()
    assert judge(LARGEST, lambda values: slow(values) + float(max(values))).passed
    assert len(calls) < 30


def test_an_endless_loop_in_another_thread() -> None:
    """Notebook front ends that run cells in threads have no signals there."""
    told: list[str] = []

    def run() -> None:
        with pytest.raises(TookTooLong):
            within(0.2, plainly, np.zeros(1))
        told.append("ended")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=20)
    assert told == ["ended"]


def test_a_limit_that_is_kept() -> None:
    """The value comes through, and no alarm goes off afterwards."""
    assert within(0.2, sum, [1, 2]) == 3
    time.sleep(0.4)


def test_a_busy_machine_makes_nothing_endless() -> None:
    """What had no processor, as in a sleep, gets four times the limit."""

    def waits() -> str:
        time.sleep(0.5)
        return "done"

    assert within(0.2, waits) == "done"
    with pytest.raises(TookTooLong):
        within(0.05, waits)


def test_a_user_s_interrupt_passes() -> None:
    def interrupted(values: np.ndarray) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(LARGEST, interrupted)


def test_values_that_change_from_call_to_call() -> None:
    calls = iter(range(10**6))

    def moody(values: np.ndarray) -> float:
        return float(max(values)) + (next(calls) == 20)

    found = problem_of(moody)
    assert found.kind == "not repeatable"
    assert "other values when it is called again" in found.says
    problem_of(lambda values: random.random())


def test_prints_are_kept_for_the_smallest_input(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def prints(values: np.ndarray) -> float:
        print("first is", values[0])
        return 0.0

    text = report_text(judge(LARGEST, prints))
    assert capsys.readouterr().out == ""
    assert "Your function printed:\n    first is 1.0" in text


def test_warnings_are_no_errors() -> None:
    def warns(values: np.ndarray) -> float:
        np.float64(1) / np.float64(0)
        return float(max(values))

    assert judge(LARGEST, warns).passed


def test_a_guess_is_by_behaviour() -> None:
    """However it is written."""
    report = judge(LARGEST, lambda values: float(np.fmax(np.max(values), 0)))
    assert report.guess is LARGEST.mistakes[0]
    assert "Perhaps: you started at 0." in report_text(report)


def test_a_guess_needs_more_than_one_input() -> None:
    """It returns 0 for [-1], as starting at 0 does, but is something else."""
    report = judge(LARGEST, lambda values: 0.0 if values[0] == -1 else 77.0)
    assert report.guess is None


def test_two_mistakes_at_once() -> None:
    """One of them is named."""

    def both(values: np.ndarray) -> float:
        return float(np.max(np.abs(values)) if len(values) == 5 else values[-1])

    report = judge(LARGEST, both)
    assert report.guess is LARGEST.mistakes[1]


def test_an_exception_is_only_like_its_own_kind() -> None:
    """A name that is missing is not told as the mistake that reads past the end."""
    past = Mistake("past the end", "you read on.", {"values[1:]": "[values[99]]"})
    exercise = replace(LARGEST, mistakes=(past,))

    def raises(error: type[Exception]) -> Callable[[np.ndarray], float]:
        def answer(values: np.ndarray) -> float:
            raise error

        return answer

    assert judge(exercise, raises(IndexError)).guess is past
    assert judge(exercise, raises(NameError)).guess is None


def test_a_law_of_several_calls() -> None:
    """A stumble in any of them is told; so is a value that the law cannot use."""
    twice = Law(
        "Doubled values give the double.",
        LARGEST.laws[0].given,
        expected=lambda values: 2 * np.max(values),
        got=lambda f, values: f(2 * values) + 0,
    )
    exercise = replace(LARGEST, laws=(twice,))
    assert judge(exercise, largest).passed
    found = judge(exercise, lambda values: None).problem
    assert found is not None
    assert found.kind == "wrong type"
    assert "could not go on" in found.says


def test_a_mistake_that_changes_nothing_in_the_solution_is_refused() -> None:
    for change in ({"no such text": ""}, {"best": "worst"}):
        with pytest.raises(ValueError, match="times in the solution's body, not once"):
            LARGEST.wrong(Mistake("none", "you", change))


def test_stub_and_solution_are_one_text() -> None:
    stub, solved, marked = LARGEST.stub(), LARGEST.solved(), LARGEST.marked()
    head = stub[: stub.index("    # YOUR CODE HERE")]
    assert solved.startswith(head)
    assert marked.startswith(head)
    assert "best" not in stub
    assert 'raise NotImplementedError("ex99_1")' in stub
    lines = [line for line in marked.splitlines() if "### " not in line]
    assert lines == solved.splitlines()
    assert compiled(solved, "largest", "<solved>")(np.array([1.0, 3.0])) == 3
    with pytest.raises(NotImplementedError):
        compiled(stub, "largest", "<stub>")(np.zeros(1))


def partly(values: np.ndarray) -> float:
    """The largest of ``values``."""
    best = values[0]
    ### BEGIN SOLUTION
    for value in values:
        best = max(best, value)
    ### END SOLUTION
    return float(best)


def test_a_stub_that_gives_a_part() -> None:
    exercise = replace(LARGEST, solution=partly, mistakes=())
    assert exercise.stub().splitlines()[-4:] == [
        "    best = values[0]",
        "    # YOUR CODE HERE",
        '    raise NotImplementedError("ex99_1")',
        "    return float(best)",
    ]
    assert "SOLUTION" not in exercise.solved()


# --- comparing ------------------------------------------------------------------------


@given(st.lists(st.integers(-9, 9), max_size=4), st.sampled_from([list, tuple]))
def test_equal_values_in_every_clothing(values: list[int], kind: type) -> None:
    array = np.array(values, np.float64)
    for dressed in (array, torch.tensor(array), kind(values), array.astype(np.float32)):
        assert difference(dressed, array, 1e-5) is None
        assert difference(dressed, values, 1e-5) is None
    assert difference({"a": kind(values)}, {"a": array}, 1e-5) is None


@pytest.mark.parametrize(
    ("got", "expected", "kind"),
    [
        (np.zeros((2, 1)), np.zeros((1, 2)), "wrong shape"),
        (np.zeros(0), np.zeros((0, 4)), "wrong shape"),
        ([[1, 2], [3]], np.zeros((2, 2)), "wrong shape"),
        ([1, 2], [1, 2, 3], "wrong shape"),
        ({"a": 1}, {"b": 1}, "wrong shape"),
        ((1, "x"), (1, 2), "wrong type"),
        (3, (3,), "wrong type"),
        (1 + 1j, 1.0, "wrong type"),
        (np.array(["a"]), np.zeros(1), "wrong type"),
        ((1, [2, 4]), (1, [2, 3]), "wrong value"),
        (True, False, "wrong value"),
        (1.0001, 1.0, "wrong value"),
        ("a", "b", "wrong value"),
        (0, None, "wrong type"),
        (np.array([1, 0]), np.array([True, True]), "wrong value"),
    ],
)
def test_unequal_values(got: Any, expected: Any, kind: str) -> None:
    found = difference(got, expected, 1e-5)
    assert found is not None
    assert found.kind == kind


def test_the_place_of_a_difference_is_named() -> None:
    found = difference((1, {"boxes": np.zeros(3)}), (1, {"boxes": np.zeros(2)}), 1e-5)
    assert found is not None
    assert found.says.startswith("your function's value[1]['boxes'] has the shape (3,)")


# --- what is printed ------------------------------------------------------------------


def test_readable_values() -> None:
    assert readable(2.0) == "2"
    assert readable(1 / 16) == "0.0625"
    assert readable(np.float32(0.1)) == "0.1"
    assert readable(np.array([[True, False]])) == "[[1 0]]"
    assert readable((1, [2.5], {"a": None})) == "(1, [2.5], {a: None})"
    assert readable(torch.zeros(2)) == "[0 0]"
    assert readable(np.zeros((0, 4))) == "an empty array of shape (0, 4)"
    assert readable(np.arange(400.0)).startswith("an array of shape (400,): 0, 1, 2,")
    assert named("m", np.eye(2)) == "m = [[1 0]\n     [0 1]]"


def test_check_prints_and_raises_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("ex01_2", lambda m, y, x: m[int(y), int(x)]) is None  # type: ignore[func-returns-value]
    out = capsys.readouterr().out
    assert "y = 0.0625" in out or "x = 0.0625" in out
    assert "expected = 0.0625\ngot      = 0\n" in out
    assert "maskrcnn-scratch exercise ex01_2 --hint 1" in out


def test_grade_raises_the_message() -> None:
    grade("ex01_2", bilinear)
    with pytest.raises(AssertionError, match="not right yet"):
        grade("ex01_2", lambda m, y, x: 0.0)


def test_a_picture_where_one_helps() -> None:
    exercise = find("ex01_2")
    wrong = judge(exercise, lambda m, y, x: 0.0)
    figure = report_figure(wrong)
    assert figure is not None
    assert "got 0" in figure.axes[0].get_title()
    assert report_figure(judge(exercise, bilinear)) is None
    assert report_figure(judge(exercise, lambda m, y, x: None)) is None
    nearest = find("ex01_3").wrong(find("ex01_3").mistakes[1])
    maps = report_figure(judge(find("ex01_3"), compiled(nearest, "spread", "<near>")))
    assert maps is not None
    assert [axes.get_title() for axes in maps.axes] == ["expected", "got"]


def test_a_picture_of_too_many_where_there_is_one() -> None:
    """NMS that keeps everything returns a longer list; other shapes have no picture."""
    everything = judge(find("ex06_1"), lambda boxes, *_: list(range(len(boxes))))
    assert everything.problem is not None
    assert everything.problem.kind == "wrong shape"
    assert report_figure(everything) is not None
    strange = judge(find("ex01_2"), lambda *_: np.zeros((3, 3)))
    assert strange.problem is not None
    assert strange.problem.kind == "wrong shape"
    assert report_figure(strange) is None


def test_hints_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    hint("ex01_1", 2)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:2] for line in lines] == ["1.", "2."]
    with pytest.raises(ValueError, match="has the hints 1 to 3, not 4"):
        hint("ex01_1", 4)
    show(bilinear)
    out = capsys.readouterr().out
    assert out.startswith("# maskrcnn_scratch.reference.bilinear.bilinear\ndef bilin")


def test_a_figure_in_a_notebook_is_a_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where pyplot was never used, so that IPython knows of no figures."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    figure = Figure(figsize=(2, 1))
    show(figure)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(feedback, "in_kernel", lambda: True)
    InteractiveShell.instance()
    try:
        with capture_output() as captured:
            show(figure)
            check("ex01_2", lambda m, y, x: 0.0)
    finally:
        InteractiveShell.clear_instance()
    starts = [b64decode(one.data["image/png"])[:4] for one in captured.outputs]
    assert starts == [b"\x89PNG"] * 2


# --- files ----------------------------------------------------------------------------


def test_a_file_from_stub_to_solution(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    assert main(["exercise", "ex01_1", "--out", str(path)]) == 0
    assert main(["check", "ex01_1", str(path)]) == 1
    assert "not solved yet" in capfd.readouterr().out
    figure = tmp_path / "wrong.png"
    path.write_text("import numpy as np\ndef read_line(v, c):\n    return v * 0 + 7\n")
    assert main(["check", "ex01_1", str(path), "--figure", str(figure)]) == 1
    assert "wrong shape" not in capfd.readouterr().out
    path.write_text(find("ex01_1").solved())
    assert main(["check", "ex01_1", str(path)]) == 0
    assert "right, on" in capfd.readouterr().out


def test_a_student_s_file_is_never_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    path.write_text("precious = 1\n")
    assert main(["exercise", "ex01_1", "--out", str(path)]) == 1
    assert "is there already, and is left as it is" in capsys.readouterr().err
    assert path.read_text() == "precious = 1\n"


def test_the_file_s_own_test_runs_the_same_check(tmp_path: Path) -> None:
    exercise = find("ex01_1")
    path = tmp_path / "mine.py"
    path.write_text(answer_file(exercise))
    with pytest.raises(AssertionError, match=r"ex01_1 .*: not solved yet"):
        function_in(path, "test_ex01_1")()
    path.write_text(answer_file(exercise).replace(exercise.stub(), exercise.solved()))
    function_in(path, "test_ex01_1")()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:\n", r"mine.py, line 1: "),
        ("def lines(v, c): pass\n", r"mine.py defines no read_line; it defines lines"),
        ("1 / 0\n", r"mine.py, run before .* raised ZeroDivisionError"),
        ("raise SystemExit(3)\n", r"mine.py, run before .* raised SystemExit"),
    ],
)
def test_a_file_that_cannot_be_checked(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        function_in(path, "read_line")
    with pytest.raises(ValueError, match="there is no such file"):
        function_in(tmp_path / "other.py", "read_line")


def test_a_call_that_no_signal_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Inside a compiled library; the process is ended from outside."""
    path = tmp_path / "mine.py"
    path.write_text("def read_line(v, c):\n    return 9 ** 9 ** 9 ** 9\n")
    module = "maskrcnn_scratch.learning.answer_file.PROCESS_SECONDS"
    monkeypatch.setattr(module, 4.0)
    began = time.monotonic()
    assert main(["check", "ex01_1", str(path)]) == 1
    assert time.monotonic() - began < 30
    assert "did not end within 4 s and was stopped" in capfd.readouterr().out


def test_a_check_starts_at_once() -> None:
    """A function of NumPy is checked without torch and numba, which start slowly."""
    program = (
        "import sys\n"
        "from maskrcnn_scratch.learning import check\n"
        "check('ex01_1', lambda values, c: 0.0)\n"
        "assert not {'torch', 'numba'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE)


def test_nothing_of_python_is_left_changed() -> None:
    before = builtins.print, sys.stdout, threading.active_count()
    judge(LARGEST, raises)
    assert (builtins.print, sys.stdout, threading.active_count()) == before
