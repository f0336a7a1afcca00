"""The notebooks that are committed: current, complete, small, and without solutions.

Nothing is executed here: `maskrcnn-scratch course build --check` does that.

Deliberate faults, and the test that caught each:

- a cell edited in the notebook alone -> test_notebooks_are_what_the_lesson_gives
- a notebook whose lesson was renamed -> test_every_notebook_has_a_lesson
- a cell not executed, or an error kept, or 510 kB -> test_notebooks_were_executed
- an empty picture, or one without words beside it -> test_pictures_can_be_seen
- a solved check in the blank notebook -> test_exercises_are_blank_and_solved
- two lines of a solution printed -> test_a_student_s_notebook_holds_no_solution
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
import pytest
from PIL import Image

from maskrcnn_scratch.learning.exercise import Exercise
from maskrcnn_scratch.learning.exercises import EXERCISES
from maskrcnn_scratch.learning.notebooks.build import MOST_BYTES, SOLUTIONS, plan
from maskrcnn_scratch.learning.notebooks.committed import difference, superfluous
from maskrcnn_scratch.learning.notebooks.outputs import objection, texts
from maskrcnn_scratch.learning.notebooks.source import (
    Lesson,
    lesson_paths,
    read_lesson,
)

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
LESSONS = [path.stem for path in lesson_paths(ROOT / "tutorial", ())]
FILES = [folder / f"{name}.ipynb" for name in LESSONS for folder in (Path(), SOLUTIONS)]
STUDENTS = [path for path in FILES if path.parent != SOLUTIONS]
TELLING = 20
"""Characters, blanks aside, from which on a line of code tells something."""


def lesson_of(name: str) -> Lesson:
    """A lesson as it is written."""
    return read_lesson(ROOT / "tutorial" / f"{name}.py")


def notebook_of(file: Path) -> Any:
    """A committed notebook."""
    path = NOTEBOOKS / file
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", LESSONS)
def test_notebooks_are_what_the_lesson_gives(name: str) -> None:
    for file, expected in plan(lesson_of(name), EXERCISES).items():
        assert difference(expected, NOTEBOOKS / file) is None


def test_every_notebook_has_a_lesson() -> None:
    assert superfluous(NOTEBOOKS, FILES) == []


def test_every_exercise_stands_in_one_lesson() -> None:
    cells = [cell for name in LESSONS for cell in lesson_of(name).cells]
    asked = Counter(cell["metadata"].get("exercise") for cell in cells)
    del asked[None]
    assert asked == Counter(EXERCISES.keys())


@pytest.mark.parametrize("file", FILES, ids=str)
def test_notebooks_were_executed(file: Path) -> None:
    """From the top, without an error, and with nothing that must not be shown."""
    assert (NOTEBOOKS / file).stat().st_size <= MOST_BYTES
    notebook = notebook_of(file)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        assert cell.metadata.keys() <= {"nbgrader", "tags"}
        for output in cell.outputs:
            assert objection(output) is None, cell.id


@pytest.mark.parametrize("file", FILES, ids=str)
def test_pictures_can_be_seen(file: Path) -> None:
    """Each is a PNG of the built kind, not too wide for a page, with words beside it.

    A picture of one colour would be an empty figure.
    """
    for cell in notebook_of(file).cells:
        for output in cell.get("outputs", []):
            for kind, value in output.get("data", {}).items():
                if kind.startswith("image/"):
                    assert kind == "image/png", cell.id
                    assert output.data["text/plain"].strip(), cell.id
                    picture = Image.open(BytesIO(base64.b64decode(value)))
                    assert picture.mode == "P", cell.id
                    assert picture.info == {}, cell.id
                    assert 50 <= picture.width <= 2000, cell.id
                    assert len(picture.getcolors() or []) > 1, cell.id


@pytest.mark.parametrize("name", LESSONS)
def test_exercises_are_blank_and_solved(name: str) -> None:
    """The outputs of the checks say so."""
    file = Path(f"{name}.ipynb")
    for path, says in ((file, "not solved yet"), (SOLUTIONS / file, "right, on")):
        for cell in notebook_of(path).cells:
            if cell.id.endswith("-check"):
                assert says in "".join(texts(cell.outputs[0])), cell.id


def telling_lines(text: str) -> set[str]:
    """The longer lines of a text, blanks and comments aside."""
    lines = {re.sub(r"\s|#.*", "", line) for line in text.splitlines()}
    return {line for line in lines if len(line) >= TELLING}


def solution_lines(exercise: Exercise) -> set[str]:
    """What a student is to find."""
    return telling_lines(exercise.solved()) - telling_lines(exercise.stub())


def written_in(file: Path) -> set[str]:
    """The lines of a notebook's code and of all it shows."""
    found: set[str] = set()
    for cell in notebook_of(file).cells:
        if cell.cell_type == "code":
            shown = [text for output in cell.outputs for text in texts(output)]
            for text in (cell.source, *shown):
                found |= telling_lines(text)
    return found


@cache
def package_lines() -> set[str]:
    """What lessons may show: the package, but for the exercises themselves."""
    package = ROOT / "maskrcnn_scratch"
    modules = set(package.rglob("*.py"))
    modules -= set((package / "learning" / "exercises").iterdir())
    return set().union(*(telling_lines(path.read_text("utf-8")) for path in modules))


@pytest.mark.parametrize("file", STUDENTS, ids=str)
def test_a_student_s_notebook_holds_no_solution(file: Path) -> None:
    """Of none all lines, and of those that are not the package's own at most one.

    One line alone may be an idiom, such as ``rows, columns = np.nonzero(mask)``.
    """
    written = written_in(file)
    for name, exercise in EXERCISES.items():
        lines = solution_lines(exercise)
        assert len(written & lines - package_lines()) <= 1, name
        assert lines - written, name


@pytest.mark.parametrize("file", STUDENTS, ids=str)
def test_the_search_would_find_a_solution(file: Path) -> None:
    """The same search finds those of the chapter in the solved notebook."""
    written = written_in(SOLUTIONS / file)
    for name, exercise in EXERCISES.items():
        if name.startswith(f"ex{file.name[:2]}_"):
            assert solution_lines(exercise) <= written, name
            assert solution_lines(exercise), f"{name} has no telling line"
