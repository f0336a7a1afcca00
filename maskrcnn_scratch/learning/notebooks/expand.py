"""From a lesson to its two notebooks, not yet executed.

A cell that stands for an exercise becomes three: what is asked, the student's function,
and its check. They carry nbgrader's metadata (schema 3), so that the same cells can be
handed out, collected and marked.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping

from maskrcnn_scratch.learning.exercise import Exercise
from maskrcnn_scratch.learning.feedback import DIFFICULTY
from maskrcnn_scratch.learning.notebooks.source import (
    Cell,
    Lesson,
    Notebook,
    first_line,
)

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python"}
KERNEL["name"] = "python3"


Answer = Callable[[Exercise], tuple[str, str]]
"""What stands in an exercise's two code cells: the function, and its check."""


def blank(exercise: Exercise) -> tuple[str, str]:
    """For students."""
    return exercise.stub(), checked(exercise)


def solved(exercise: Exercise) -> tuple[str, str]:
    """For the notebook with solutions."""
    return exercise.solved(), checked(exercise)


def checked(exercise: Exercise) -> str:
    """The call that checks the function of a notebook."""
    return f'check("{exercise.id}", {exercise.name})'


def expanded(
    lesson: Lesson, exercises: Mapping[str, Exercise], answer: Answer
) -> Notebook:
    """The lesson as a notebook, its exercises written by ``answer``.

    An ordinary cell's id comes from its text, so that an edit of one cell changes no
    other id; the three of an exercise are named after it.

    Raises:
        ValueError: a cell names an exercise that there is not, or of another chapter,
            or twice, or holds something else beside it.
    """
    cells: list[Cell] = []
    seen: Counter[tuple[str, str]] = Counter()
    for cell in lesson.cells:
        if "exercise" in cell["metadata"] or cell["source"].startswith("exercise("):
            cells += exercise_cells(exercise_of(cell, lesson, exercises), answer)
        else:
            key = cell["cell_type"], cell["source"]
            cells.append({**cell, "id": cell_id(*key, seen[key])})
            seen[key] += 1
    ids = Counter(cell["id"] for cell in cells)
    if twice := [name for name, count in ids.items() if count > 1]:
        raise ValueError(f"{lesson.name}: {twice[0]} stands there twice")
    for cell in cells:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    language = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
    metadata = {
        "kernelspec": dict(KERNEL),
        "language_info": {**language, "pygments_lexer": "ipython3"},
        "maskrcnn_scratch": {"sources": fingerprint(cells)},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def fingerprint(cells: list[Cell]) -> str:
    """A hash of what is written in the cells; not of their outputs."""
    written = [[cell["cell_type"], cell["source"]] for cell in cells]
    return hashlib.sha256(json.dumps(written).encode()).hexdigest()


def cell_id(kind: str, source: str, occurrence: int) -> str:
    """Twelve hexadecimal digits, the same in every build."""
    text = f"{kind}\n{occurrence}\n{source}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def exercise_of(
    cell: Cell, lesson: Lesson, exercises: Mapping[str, Exercise]
) -> Exercise:
    """The exercise that a cell stands for; see ``expanded`` for its errors."""
    name = cell["metadata"].get("exercise")
    if name is None or cell["source"] != f'exercise("{name}")':
        raise ValueError(
            f"{lesson.name}, cell {first_line(cell)!r}: a cell of an exercise is "
            f'# %% exercise="ID" with the single line exercise("ID")'
        )
    if name not in exercises or not name.startswith(f"ex{lesson.number}_"):
        raise ValueError(f"{lesson.name}: chapter {lesson.number} has no {name}")
    return exercises[name]


def exercise_cells(exercise: Exercise, answer: Answer) -> list[Cell]:
    """What is asked, the function, and its check."""
    name = exercise.id
    function, check = answer(exercise)
    return [
        cell("markdown", f"{name}-text", asked(exercise), locked=True),
        cell("code", name, function.strip(), solution=True),
        cell(
            "code",
            f"{name}-check",
            check,
            grade=True,
            locked=True,
            points=exercise.points,
        ),
    ]


def cell(kind: str, name: str, source: str, **marks: bool | int) -> Cell:
    """A cell with nbgrader's metadata; ``marks`` are those that are not False."""
    nbgrader: Cell = {"schema_version": 3, "grade_id": name, "cell_type": kind}
    nbgrader |= {"grade": False, "solution": False, "locked": False, "task": False}
    nbgrader |= marks
    return {
        "cell_type": kind,
        "id": name,
        "source": source,
        "metadata": {"nbgrader": nbgrader},
    }


def asked(exercise: Exercise) -> str:
    """The text above an exercise, in Markdown, its hints folded away."""
    _, _, number = exercise.id.partition("_")
    chapter = int(exercise.id[2:4])
    effort = f"{DIFFICULTY[exercise.difficulty]}, about {exercise.minutes} minutes"
    parts = [
        f"### Exercise {chapter}.{number}: {exercise.title}",
        f"`{exercise.id}`: {effort}. Objective: {exercise.objective}",
        exercise.task.strip(),
    ]
    for count, hint in enumerate(exercise.hints, 1):
        head = f"<details><summary>Hint {count}</summary>"
        parts += [head, hint.strip(), "</details>"]
    return "\n\n".join(parts)
