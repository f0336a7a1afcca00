"""Writing a course for nbgrader: an assignment for each chapter.

Nothing that nbgrader copies to students holds a lesson's text source: it would bring
the exercises' solutions with it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from maskrcnn_scratch.files import filling_folder
from maskrcnn_scratch.learning.course.hidden import SEED
from maskrcnn_scratch.learning.exercise import Exercise
from maskrcnn_scratch.learning.notebooks.expand import checked, expanded
from maskrcnn_scratch.learning.notebooks.source import lesson_paths, read_lesson

CONFIG = '''"""nbgrader's settings. Run nbgrader in this folder.

The seed draws the inputs of the hidden tests. Keep it from students: whoever knows it
can write a function for those inputs alone.
"""

import os

c = get_config()  # noqa: F821

os.environ["{variable}"] = "{seed}"
c.CourseDirectory.course_id = "maskrcnn_scratch"
c.ExecutePreprocessor.timeout = 300  # seconds a cell; lessons train small models
c.ClearSolutions.enforce_metadata = True
'''


def create_course(
    folder: Path,
    tutorial: Path,
    exercises: Mapping[str, Exercise],
    chapters: Sequence[str] = (),
    seed: int | None = None,
) -> list[str]:
    """Write ``source/`` and ``nbgrader_config.py``; returns the assignments' names.

    Args:
        folder: the course; it must not exist, or be empty.
        tutorial: the folder of lessons.
        exercises: by id.
        chapters: numbers or names of lessons; all, if empty.
        seed: of the hidden tests; a random one, if None.

    Raises:
        ValueError: there is something in the folder, no such chapter, or a bad seed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty, and is left as it is")
    if seed is not None and seed < 0:
        raise ValueError(f"--seed must be 0 or more, not {seed}")
    if seed is None:
        seed = random.SystemRandom().randrange(10**9)
    lessons = [read_lesson(path) for path in lesson_paths(tutorial, chapters)]
    notebooks = {one.name: expanded(one, exercises, for_nbgrader) for one in lessons}
    with filling_folder(folder) as draft:
        for name, notebook in notebooks.items():
            path = draft / "source" / name / f"{name}.ipynb"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(notebook, indent=1) + "\n", "utf-8")
        config = CONFIG.format(variable=SEED, seed=seed)
        (draft / "nbgrader_config.py").write_text(config, "utf-8")
    return list(notebooks)


def for_nbgrader(exercise: Exercise) -> tuple[str, str]:
    """The function with nbgrader's marks; the check, and a hidden test below it."""
    check = (
        f"{checked(exercise)}\n"
        "### BEGIN HIDDEN TESTS\n"
        "from maskrcnn_scratch.learning.course.hidden import hidden_test\n"
        "\n"
        f'hidden_test("{exercise.id}", {exercise.name})\n'
        "### END HIDDEN TESTS"
    )
    return exercise.marked(), check
