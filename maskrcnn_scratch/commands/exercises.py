"""``maskrcnn-scratch exercise`` and ``check``: exercises without a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskrcnn_scratch.commands.figure_name import check_figure_name


def exercise(
    exercise_id: Annotated[
        str | None, typer.Argument(metavar="[EXERCISE]", help="Such as ex01_2.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the file to fill in; never over one.")
    ] = None,
    hint: Annotated[
        int | None, typer.Option(min=1, help="Show the hints up to this one.")
    ] = None,
) -> None:
    """List the exercises, or show one, its hints, or a file to fill in.

    \b
    maskrcnn-scratch exercise
    maskrcnn-scratch exercise ex01_2 --out ex01_2.py
    maskrcnn-scratch exercise ex01_2 --hint 1
    """
    from maskrcnn_scratch.learning.answer_file import answer_file
    from maskrcnn_scratch.learning.exercises import EXERCISES, find
    from maskrcnn_scratch.learning.feedback import DIFFICULTY
    from maskrcnn_scratch.learning.feedback import hint as show_hints

    if exercise_id is None:
        for one in EXERCISES.values():
            about = f"({DIFFICULTY[one.difficulty]}, {one.minutes} min)"
            print(f"{one.id}  {one.title} {about}: {one.objective}")
        return
    found = find(exercise_id)
    if hint is not None:
        show_hints(exercise_id, hint)
    elif out is None:
        print(answer_file(found), end="")
    else:
        if out.exists():
            raise ValueError(f"{out} is there already, and is left as it is")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(answer_file(found), encoding="utf-8")
        print(f"{out} is to be filled in; maskrcnn-scratch check {exercise_id} {out}")


def check(
    exercise_id: Annotated[
        str, typer.Argument(metavar="EXERCISE", help="Such as ex01_2.")
    ],
    file: Annotated[Path, typer.Argument(help="A Python file with the function.")],
    figure: Annotated[
        Path | None, typer.Option(help="Draw what is wrong to this .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Say whether the function in a file solves an exercise, and if not, why.

    \b
    The file is run in a process of its own, for a limited time.
    Exit status 1 where it is not solved.

    \b
    maskrcnn-scratch check ex01_2 ex01_2.py --figure wrong.png
    """
    from maskrcnn_scratch.learning.answer_file import check_in_own_process

    check_figure_name(figure)
    if check_in_own_process(exercise_id, file, figure):
        raise typer.Exit(1)
