"""Build notebooks from lessons, or check those that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from maskrcnn_scratch.files import filling_folder
from maskrcnn_scratch.learning.exercise import Exercise
from maskrcnn_scratch.learning.notebooks import committed
from maskrcnn_scratch.learning.notebooks.execute import executed
from maskrcnn_scratch.learning.notebooks.expand import blank, expanded, solved
from maskrcnn_scratch.learning.notebooks.outputs import BadNotebook, clean, largest
from maskrcnn_scratch.learning.notebooks.source import (
    Lesson,
    Notebook,
    course_library,
    lesson_paths,
    read_lesson,
)

MOST_BYTES = 500_000
SECONDS = 90.0
SECONDS_OF = {"11": 240.0}  # it trains a model
SOLUTIONS = Path("solutions")


@dataclass
class Report:
    """What became of one lesson.

    Attributes:
        runs: a line for each notebook that was executed: seconds and size.
        kept: notebooks that somebody has edited, and that were therefore left alone.
        problems: why the lesson's notebooks were not written, or are not current.
    """

    lesson: str
    runs: list[str] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def build(
    tutorial: Path,
    out: Path,
    exercises: Mapping[str, Exercise],
    wanted: Sequence[str] = (),
    jobs: int = 1,
) -> Iterator[Report]:
    """Write each lesson's two notebooks, executed, to ``out`` and ``out/solutions``.

    Of a lesson where a cell fails nothing is written. A notebook that was edited since
    it was built is never written over.

    Args:
        tutorial: the folder of lessons.
        out: the folder of notebooks.
        exercises: by id.
        wanted: numbers or names of lessons; all, if empty.
        jobs: how many notebooks run at a time.
    """
    for report, texts in run_all(plans(tutorial, exercises, wanted), jobs):
        if not report.problems:
            report.kept = write(texts, out)
        yield report


def write(texts: dict[Path, str], out: Path) -> list[Path]:
    """Put notebooks into their folder; returns those that were edited, and stay."""
    edited = [path for path in texts if not committed.is_ours(out / path)]
    with filling_folder(out) as draft:
        for path in texts.keys() - set(edited):
            (draft / path).parent.mkdir(exist_ok=True)
            (draft / path).write_text(texts[path], "utf-8")
    return [out / path for path in edited]


def check(
    tutorial: Path,
    out: Path,
    exercises: Mapping[str, Exercise],
    wanted: Sequence[str] = (),
    jobs: int = 1,
) -> Iterator[Report]:
    """Execute every lesson as ``build`` does, and compare with what is in ``out``.

    Cells, their ids and the metadata must agree; outputs need not, since a last digit
    may differ from machine to machine. Arguments as for ``build``.
    """
    planned = plans(tutorial, exercises, wanted)
    for report, _ in run_all(planned, jobs):
        for path, notebook in planned[report.lesson].items():
            if found := committed.difference(notebook, out / path):
                report.problems.append(found)
        yield report
    if not wanted:
        expected = [path for notebooks in planned.values() for path in notebooks]
        yield Report("other files", problems=committed.superfluous(out, expected))


Plan = dict[Path, Notebook]
"""A lesson's notebooks, not yet executed, by where they go inside the folder."""


def plans(
    tutorial: Path, exercises: Mapping[str, Exercise], wanted: Sequence[str]
) -> dict[str, Plan]:
    """Of each wanted lesson, by its name, in order."""
    lessons = [read_lesson(path) for path in lesson_paths(tutorial, wanted)]
    return {lesson.name: plan(lesson, exercises) for lesson in lessons}


def plan(lesson: Lesson, exercises: Mapping[str, Exercise]) -> Plan:
    """The student's notebook and the solved one."""
    file = Path(f"{lesson.name}.ipynb")
    return {
        file: expanded(lesson, exercises, blank),
        SOLUTIONS / file: expanded(lesson, exercises, solved),
    }


def run_all(
    planned: dict[str, Plan], jobs: int
) -> Iterator[tuple[Report, dict[Path, str]]]:
    """Each lesson's report and the text of its executed notebooks, in order."""
    from matplotlib import font_manager  # finds its fonts now, not in every kernel

    assert font_manager
    stop = Event()
    pool = ThreadPoolExecutor(jobs)
    futures = {
        name: {path: pool.submit(run, name, one, stop) for path, one in plan.items()}
        for name, plan in planned.items()
    }
    try:
        for name, running in futures.items():
            yield report_of(name, running)
    finally:  # Ctrl-C, for one: wait for the cells that run, and no longer
        stop.set()
        pool.shutdown(cancel_futures=True)


def report_of(
    lesson: str, running: dict[Path, Future[tuple[str, float]]]
) -> tuple[Report, dict[Path, str]]:
    """Wait for a lesson's notebooks."""
    report, texts = Report(lesson), {}
    for path, future in running.items():
        which = "solved" if path.parent == SOLUTIONS else "student"
        try:
            texts[path], seconds = future.result()
        except BadNotebook as error:
            report.problems.append(f"{lesson}, {which}: {error}")
        else:
            size = len(texts[path].encode()) / 1000
            report.runs.append(f"{which} {seconds:.1f} s, {size:.0f} kB")
    return report, texts


def run(lesson: str, notebook: Notebook, stop: Event) -> tuple[str, float]:
    """The text of the executed notebook, and the seconds it took.

    Raises:
        BadNotebook: a cell fails or shows what it must not, or it is too large.
    """
    limit = SECONDS_OF.get(lesson[:2], SECONDS)
    done, seconds = executed(notebook, limit, stop)
    done["metadata"] = notebook["metadata"]
    clean(done)
    text = str(course_library("nbformat").writes(done)) + "\n"
    if len(text.encode()) > MOST_BYTES:
        raise BadNotebook(
            f"it has {len(text.encode()) / 1000:.0f} kB, more than "
            f"{MOST_BYTES / 1000:.0f}; most in {largest(done)}"
        )
    return text, seconds
