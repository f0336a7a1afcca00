"""Every exercise: its solution passes, and each wrong solution is told apart.

The wrong solutions are the faults planted in the checkers; what is tested for each is
that the check fails, and that the guess is that very misconception.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from maskrcnn_scratch.learning import judge as judging
from maskrcnn_scratch.learning.exercise import Exercise, Mistake, compiled
from maskrcnn_scratch.learning.exercises import EXERCISES, find
from maskrcnn_scratch.learning.feedback import report_figure
from maskrcnn_scratch.learning.judge import judge

CASES = [
    pytest.param(exercise, mistake, id=f"{exercise.id}: {mistake.name}")
    for exercise in EXERCISES.values()
    for mistake in exercise.mistakes
]
each = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda one: one.id)


@each
def test_the_solution_passes(exercise: Exercise) -> None:
    """Its text alone, as a student would write it, on the usual and on other inputs."""
    solution = compiled(exercise.solved(), exercise.name, f"<{exercise.id}>")
    for seed in (None, 1):
        report = judge(exercise, solution, seed)
        assert report.passed, report


@pytest.mark.parametrize(("exercise", "mistake"), CASES)
def test_each_mistake_is_told(
    exercise: Exercise, mistake: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first two as students see them, others without a search for less."""
    first = mistake in exercise.mistakes[:2]
    if not first:
        monkeypatch.setattr(judging, "PHASES", (Phase.generate,))
    text = exercise.wrong(mistake)
    report = judge(exercise, compiled(text, exercise.name, f"<{exercise.id} wrong>"))
    assert not report.passed
    assert report.guess is mistake, (report.problem, report.guess)
    figure = report_figure(report) if first else None
    if figure is not None:
        FigureCanvasAgg(figure).draw()


@each
def test_the_stub_is_unsolved(exercise: Exercise) -> None:
    stub = exercise.stub()
    report = judge(exercise, compiled(stub, exercise.name, f"<{exercise.id} stub>"))
    assert report.problem is not None
    assert report.problem.kind == "unsolved"
    assert exercise.solution.__doc__ is not None


@each
def test_an_exercise_is_complete(exercise: Exercise) -> None:
    assert len(exercise.mistakes) >= 8
    names = [mistake.name for mistake in exercise.mistakes]
    assert len(names) == len(set(names))
    assert len(exercise.hints) >= 2
    assert exercise.laws
    assert 1 <= exercise.difficulty <= 3
    assert exercise.minutes > 0
    for sentence in (exercise.objective, *(law.says for law in exercise.laws)):
        assert sentence.endswith("."), sentence


def test_ids_count_up_in_each_chapter() -> None:
    by_chapter: dict[str, list[str]] = {}
    for id_ in EXERCISES:
        by_chapter.setdefault(id_[:4], []).append(id_)
    for chapter, ids in by_chapter.items():
        assert ids == [f"{chapter}_{number}" for number in range(1, len(ids) + 1)]
        assert len(ids) >= 2, chapter


def test_an_unknown_exercise_is_named() -> None:
    with pytest.raises(ValueError, match=r"no exercise 'ex01_9'; there is ex01_"):
        find("ex01_9")


def test_vectorised_and_torch_solutions_pass() -> None:
    import torch

    def read_map(feature_map: np.ndarray, y: float, x: float) -> torch.Tensor:
        """Tent weights over all cells, in float32."""
        values = torch.tensor(feature_map, dtype=torch.float32)
        weights = []
        for size, c in zip(values.shape, (y, x), strict=True):
            inside = -1 <= c <= size
            tent = 1 - (torch.arange(size) - min(max(c, 0.0), size - 1.0)).abs()
            weights.append(tent.clamp(min=0) * inside)
        return weights[0] @ values @ weights[1]

    assert judge(find("ex01_2"), read_map).passed
