"""What a student meets: ``check``, ``hint``, ``exercise``, ``show``, and ``grade``."""

from __future__ import annotations

import inspect
from contextlib import suppress
from io import BytesIO
from typing import Any

from matplotlib.figure import Figure

from maskrcnn_scratch.figures.answers import draw_answer
from maskrcnn_scratch.figures.interactive.explore import in_kernel
from maskrcnn_scratch.learning.compare import WRONG_VALUE
from maskrcnn_scratch.learning.exercise import Exercise
from maskrcnn_scratch.learning.exercises import find
from maskrcnn_scratch.learning.judge import Report, judge
from maskrcnn_scratch.learning.readable import named

DOTS = 90  # an inch
DIFFICULTY = {1: "easy", 2: "middling", 3: "hard"}


def check(exercise_id: str, function: Any, seed: int | None = None) -> None:
    """Say whether ``function`` solves the exercise, and if not, on which input.

    The message shows the smallest failing input that was found, what is expected there
    and what came, and names the misconception that behaves the same; in a notebook a
    picture follows where one helps. Nothing is raised.
    """
    report = judge(find(exercise_id), function, seed)
    print(report_text(report))
    figure = report_figure(report)
    if figure is not None:
        show_figure(figure)


def grade(exercise_id: str, function: Any, seed: int | None = None) -> None:
    """The same, as a test: AssertionError with the message, unless it is solved."""
    report = judge(find(exercise_id), function, seed)
    if not report.passed:
        raise AssertionError(report_text(report))


def hint(exercise_id: str, step: int = 1) -> None:
    """Print the hints of an exercise up to ``step``, which counts from 1."""
    hints = find(exercise_id).hints
    if not 1 <= step <= len(hints):
        raise ValueError(f"{exercise_id} has the hints 1 to {len(hints)}, not {step}")
    for number, text in enumerate(hints[:step], 1):
        print(f"{number}. {text}")


def exercise(exercise_id: str) -> None:
    """Announce an exercise where a lesson runs as a plain script."""
    found = find(exercise_id)
    print(
        f"{found.id} {found.title} ({DIFFICULTY[found.difficulty]}, "
        f"{found.minutes} min): not solved here. Its file to fill in: "
        f"maskrcnn-scratch exercise {found.id}"
    )


def show(*objects: Any) -> None:
    """Print the source of functions or classes, as it stands in the package.

    Of a figure, show the picture where this runs in a notebook.
    """
    for one in objects:
        if isinstance(one, Figure):
            show_figure(one)
            continue
        text = inspect.getsource(one).rstrip()
        origin = f"# {one.__module__}.{one.__qualname__}"
        if in_kernel():
            from IPython.display import Markdown, display

            display(Markdown(f"```python\n{origin}\n{text}\n```"))
        else:
            print(f"{origin}\n{text}\n")


def show_figure(figure: Figure) -> None:
    """The picture, where this runs in a notebook.

    As PNG: IPython draws figures by itself only once pyplot has been used.
    """
    if in_kernel():
        from IPython.display import Image, display

        png = BytesIO()
        figure.savefig(png, format="png", dpi=DOTS)
        display(Image(png.getvalue()))


def report_text(report: Report) -> str:
    """The message, in plain sentences."""
    exercise, problem = report.exercise, report.problem
    head = f"{exercise.id} {exercise.title}"
    if problem is None:
        return f"{head}: right, on {report.tried} inputs."
    if problem.kind == "unsolved":
        return f"{head}: not solved yet. {hint_line(exercise)}"
    lines = [f"{head}: not right yet."]
    if problem.law:
        lines.append(f"The law: {problem.law}")
    if problem.says != WRONG_VALUE:
        lines.append(f"{problem.says[0].upper()}{problem.says[1:]}.")
    if problem.inputs:
        lines.append("The smallest input found that shows it:")
        lines += [indented(named(*item)) for item in problem.inputs.items()]
    if problem.got is not None or (problem.kind == "wrong type" and problem.inputs):
        lines.append(named("expected", problem.expected))
        lines.append(named("got     ", problem.got))
    if problem.printed:
        lines.append("Your function printed:")
        lines += [f"    {line}" for line in problem.printed.splitlines()[:10]]
    if report.guess is not None:
        lines.append(f"Perhaps: {report.guess.says}")
    lines.append(hint_line(exercise))
    return "\n".join(lines)


def hint_line(exercise: Exercise) -> str:
    """Where help is, from where this is read."""
    if in_kernel():
        return f'{len(exercise.hints)} hints: hint("{exercise.id}", 1) and so on.'
    return (
        f"{len(exercise.hints)} hints: maskrcnn-scratch exercise {exercise.id} "
        "--hint 1 and so on."
    )


def indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def report_figure(report: Report) -> Figure | None:
    """A picture of the problem, where one helps."""
    problem = report.problem
    if problem is None or problem.figure is not None:
        return problem.figure() if problem and problem.figure else None
    draw, case = report.exercise.draw, (problem.inputs, problem.expected, problem.got)
    if problem.kind == "wrong shape" and draw is not None:
        with suppress(
            Exception
        ):  # a list too long has a picture, other things have not
            return draw(*case)
    if problem.kind != "wrong value":
        return None
    return draw_answer(*case[1:]) if draw is None else draw(*case)
