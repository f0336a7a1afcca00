"""The lessons: their form, their map, and that each runs as a plain script.

Deliberate faults, and the test that caught each:

- a chapter's minutes that forget an exercise -> test_minutes_and_prerequisites
- a formula without an assert in the cells after it -> test_a_formula_has_an_assert
- a row of the map left as it was -> test_the_map_tells_of_every_lesson
- plt.show() in a lesson, which warns -> test_each_lesson_runs_as_a_script
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jupytext")

from maskrcnn_scratch.learning.exercises import EXERCISES
from maskrcnn_scratch.learning.notebooks.source import (
    Cell,
    Lesson,
    lesson_paths,
    read_lesson,
)

ROOT = Path(__file__).parents[1]
LESSONS = [read_lesson(path) for path in lesson_paths(ROOT / "tutorial", ())]
MAP = (ROOT / "tutorial" / "README.md").read_text("utf-8")
LONG = {"11", "15", "16"}  # they train models; CI executes them as notebooks
each = pytest.mark.parametrize("lesson", LESSONS, ids=lambda one: one.name)

HEAD = re.compile(
    r"# (?P<number>\d+) (?P<title>[^\n]+)\n\n.+?"
    r"\*\*After this chapter you can\*\*\n\n(?:- .+?\n)+\n"
    r"\*\*Before:\*\* (?P<before>[^\n]+)\n"
    r"\*\*Minutes:\*\* (?P<minutes>\d+), of which (?P<solving>\d+) for the exercises\.",
    re.DOTALL,
)


def head_of(lesson: Lesson) -> re.Match[str]:
    found = HEAD.fullmatch(lesson.cells[0]["source"])
    assert found, lesson.cells[0]["source"]
    return found


def exercises_of(number: str) -> list[str]:
    return [id_ for id_ in EXERCISES if id_.startswith(f"ex{number}_")]


def test_all_chapters_are_there() -> None:
    assert [lesson.number for lesson in LESSONS] == [f"{n:02}" for n in range(17)]
    assert len(EXERCISES) >= 30


@each
def test_minutes_and_prerequisites(lesson: Lesson) -> None:
    """The first cell says what a chapter takes, and names earlier chapters alone."""
    head = head_of(lesson)
    assert int(head["number"]) == int(lesson.number)
    ids = exercises_of(lesson.number)
    assert int(head["solving"]) == sum(EXERCISES[id_].minutes for id_ in ids)
    assert int(head["minutes"]) >= int(head["solving"]) + 15
    chapters = re.findall(r"\d+", head["before"])
    assert chapters == sorted(chapters, key=int)
    assert all(int(chapter) < int(lesson.number) for chapter in chapters)


@each
def test_a_lesson_ends_with_exercises_summary_and_reading(lesson: Lesson) -> None:
    text = "\n".join(
        cell["source"] for cell in lesson.cells if cell["cell_type"] == "markdown"
    )
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[-3:] == ["Exercises", "Summary", "To read"]
    asked = [
        cell["metadata"]["exercise"]
        for cell in lesson.cells
        if "exercise" in cell["metadata"]
    ]
    assert asked == exercises_of(lesson.number)
    assert len(asked) >= 2
    assert any("show(" in cell["source"] for cell in code_cells(lesson.cells))


def code_cells(cells: list[Cell]) -> list[Cell]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


@each
def test_a_formula_has_an_assert(lesson: Lesson) -> None:
    """In one of the next three cells of code."""
    for place, cell in enumerate(lesson.cells):
        if cell["cell_type"] == "markdown" and "$$" in cell["source"]:
            after = code_cells(lesson.cells[place + 1 :])[:3]
            assert any("assert" in one["source"] for one in after), cell["source"]


@each
def test_the_map_tells_of_every_lesson(lesson: Lesson) -> None:
    """Its row: title with links, minutes, exercises, what comes before."""
    head = head_of(lesson)
    ids = exercises_of(lesson.number)
    title = f"[{head['title']}]({lesson.name}.py)"
    notebook = f"[notebook](../notebooks/{lesson.name}.ipynb)"
    before = ", ".join(re.findall(r"\d+", head["before"])) or "none"
    cells = [head["number"], title, notebook, head["minutes"], str(len(ids)), before]
    assert f"| {' | '.join(cells)} |" in MAP


def test_the_map_names_nothing_that_is_not_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", MAP):
        assert (ROOT / "tutorial" / link).exists(), link
    total = sum(int(head_of(lesson)["minutes"]) for lesson in LESSONS)
    assert f"{len(LESSONS)} chapters, {len(EXERCISES)} exercises" in MAP
    assert f"about {round(total / 60)} hours" in MAP
    for heading in ("Student", "Instructor", "Reader who verifies"):
        assert f"\n### {heading}\n" in MAP


@pytest.mark.slow
@pytest.mark.parametrize(
    "lesson",
    [one for one in LESSONS if one.number not in LONG],
    ids=lambda one: one.name,
)
def test_each_lesson_runs_as_a_script(lesson: Lesson, tmp_path: Path) -> None:
    """From any folder, without a display, without a warning, leaving nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "tutorial" / f"{lesson.name}.py"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for id_ in exercises_of(lesson.number):
        assert f"{id_} {EXERCISES[id_].title} (" in done.stdout
    assert list(tmp_path.iterdir()) == []
