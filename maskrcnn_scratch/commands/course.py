"""``maskrcnn-scratch course``: notebooks, and a class with nbgrader."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Build the notebooks; start a class.", no_args_is_help=True)

Chapters = Annotated[
    list[str] | None,
    typer.Argument(help="Numbers or names, such as 03; all, if none is given."),
]


@app.command()
def build(
    chapters: Chapters = None,
    tutorial: Annotated[
        Path, typer.Option(help="The folder of lessons, NN_name.py.")
    ] = Path("tutorial"),
    out: Annotated[Path, typer.Option(help="The folder of notebooks.")] = Path(
        "notebooks"
    ),
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Write nothing; fail where a notebook is not current."
        ),
    ] = False,
    jobs: Annotated[
        int, typer.Option(min=1, help="How many notebooks to run at a time.")
    ] = 1,
) -> None:
    """Turn the lessons into executed notebooks, blank for students and solved.

    \b
    Needs the extra "course". A notebook that was edited since
    it was built is left as it is. Exit status 1 where a cell
    fails, a notebook was left, or --check finds a difference.

    \b
    maskrcnn-scratch course build 03 04
    maskrcnn-scratch course build --check --jobs 2
    """
    from maskrcnn_scratch.learning.exercises import EXERCISES
    from maskrcnn_scratch.learning.notebooks import build as builder

    work = builder.check if check else builder.build
    well = True
    for report in work(tutorial, out, EXERCISES, chapters or [], jobs):
        if report.runs:
            print(f"{report.lesson}: {'; '.join(report.runs)}", flush=True)
        for path in report.kept:
            print(
                f"{path} was edited since it was built: left as it is "
                "(rename it to have it built again)",
                file=sys.stderr,
            )
        for problem in report.problems:
            print(f"error: {problem}", file=sys.stderr)
        well = well and not report.kept and not report.problems
    if not well:
        raise typer.Exit(1)


@app.command()
def create(
    folder: Annotated[Path, typer.Argument(help="The new course's folder.")],
    chapters: Annotated[
        list[str] | None,
        typer.Option(
            help="A number or name, such as 03; again for more. All, if none."
        ),
    ] = None,
    tutorial: Annotated[
        Path, typer.Option(help="The folder of lessons, NN_name.py.")
    ] = Path("tutorial"),
    seed: Annotated[
        int | None,
        typer.Option(help="Draws the hidden tests' inputs; random, if none."),
    ] = None,
) -> None:
    """Write a course for nbgrader: an assignment for each chapter.

    \b
    Needs the extra "course"; nbgrader itself comes with the
    extra "instructor". Then, inside the new folder:
    nbgrader generate_assignment 01_bilinear
    nbgrader autograde 01_bilinear

    \b
    maskrcnn-scratch course create my-course --chapters 01 --chapters 02
    """
    from maskrcnn_scratch.learning.course.create import create_course
    from maskrcnn_scratch.learning.exercises import EXERCISES

    names = create_course(folder, tutorial, EXERCISES, chapters or [], seed)
    print(f"{folder}: {len(names)} assignments, {', '.join(names)}")
    print(f"The seed of the hidden tests stands in {folder / 'nbgrader_config.py'}.")
