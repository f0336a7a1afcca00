"""A student's file: written to be filled in, and checked in a process of its own.

    python -m maskrcnn_scratch.learning.answer_file ex03_2 my_file.py [FIGURE]

checks it in this process: 0 right, 1 not. The command ``maskrcnn-scratch check`` runs
this one, and ends it where it does not end by itself.
"""

from __future__ import annotations

import runpy
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from maskrcnn_scratch.files import replacing_file
from maskrcnn_scratch.learning.exercise import Exercise
from maskrcnn_scratch.learning.exercises import find
from maskrcnn_scratch.learning.feedback import report_figure, report_text
from maskrcnn_scratch.learning.judge import judge
from maskrcnn_scratch.learning.timeout import TookTooLong, within

LOAD_SECONDS = 30.0
PROCESS_SECONDS = 180.0


def answer_file(exercise: Exercise) -> str:
    """What a student fills in: the task, the stub, and a test for pytest."""
    task = "\n".join(
        textwrap.fill(line, 88, initial_indent="# ", subsequent_indent="# ")
        for line in exercise.task.splitlines()
    )
    return (
        f"# {exercise.id} {exercise.title}\n#\n{task}\n#\n"
        f"# Check it: maskrcnn-scratch check {exercise.id} THIS_FILE.py\n"
        "# or with pytest: python -m pytest THIS_FILE.py\n\n"
        f"{exercise.stub()}\n\n"
        f"def test_{exercise.id}():\n"
        "    from maskrcnn_scratch.learning import grade\n\n"
        f'    grade("{exercise.id}", {exercise.name})\n'
    )


def check_in_own_process(exercise_id: str, path: Path, figure: Path | None) -> int:
    """0 where the file's function is right; what it prints goes to the terminal.

    A process that does not end is ended, whatever it is doing.
    """
    find(exercise_id)
    words = [exercise_id, str(path), *([str(figure)] if figure else [])]
    command = [sys.executable, "-m", __name__, *words]
    try:
        return subprocess.run(command, timeout=PROCESS_SECONDS).returncode
    except subprocess.TimeoutExpired:
        print(
            f"{path} did not end within {PROCESS_SECONDS:g} s and was stopped: look "
            "for a call of a library that never comes back."
        )
        return 1


def check_file(exercise_id: str, path: Path, figure: Path | None = None) -> int:
    """Run the file, check its function, print the message: 0 right, 1 not."""
    exercise = find(exercise_id)
    try:
        function = function_in(path, exercise.name)
    except ValueError as error:
        print(error)
        return 1
    report = judge(exercise, function)
    print(report_text(report))
    picture = report_figure(report)
    if figure is not None and picture is not None:
        with replacing_file(figure) as draft:
            picture.savefig(draft, dpi=150)
        print(f"Picture: {figure}")
    return 0 if report.passed else 1


def function_in(path: Path, name: str) -> Any:
    """The function of that name in the file; ValueError says what is wrong."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        namespace = within(LOAD_SECONDS, runpy.run_path, str(path))
    except KeyboardInterrupt:
        raise
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from None
    except TookTooLong:
        raise ValueError(
            f"{path} did not end within {LOAD_SECONDS:g} s outside of any function"
        ) from None
    except BaseException as error:
        raise ValueError(
            f"{path}, run before its function is called, raised "
            f"{type(error).__name__}: {error}"
        ) from None
    if name in namespace:
        return namespace[name]
    others = [
        key
        for key, value in namespace.items()
        if callable(value) and not key.startswith("_")
    ]
    found = f"; it defines {', '.join(others)}" if others else ""
    raise ValueError(f"{path} defines no {name}{found}")


def main(words: list[str]) -> int:
    """``EXERCISE FILE [FIGURE]``."""
    exercise_id, path, *figure = words
    return check_file(exercise_id, Path(path), Path(figure[0]) if figure else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
