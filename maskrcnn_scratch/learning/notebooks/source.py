"""The lessons of ``tutorial/``, as cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Cell = dict[str, Any]
Notebook = dict[str, Any]

NAME = re.compile(r"(?P<number>\d\d)_\w+")
OF_JUPYTEXT = {"lines_to_next_cell", "lines_to_end_of_cell_marker"}


@dataclass(frozen=True)
class Lesson:
    """A chapter: its name, such as ``03_roi_align``, and its cells as they are written.

    A cell has ``cell_type`` (code or markdown), ``source`` and ``metadata``, which
    holds ``exercise`` (an id), ``tags`` (a list) or nothing.
    """

    name: str
    cells: list[Cell]

    @property
    def number(self) -> str:
        """The two digits before the name."""
        return self.name[:2]


def lesson_paths(tutorial: Path, wanted: Sequence[str]) -> list[Path]:
    """The lessons in their order: those wanted by number or by name, or all.

    Raises:
        ValueError: there is no lesson, or none of a wanted name.
    """
    paths = [path for path in sorted(tutorial.glob("*.py")) if NAME.match(path.stem)]
    if not paths:
        raise ValueError(f"no lessons NN_name.py in {tutorial}: is --tutorial right?")
    names = {path.stem for path in paths} | {path.stem[:2] for path in paths}
    asked = {one.zfill(2) for one in wanted}
    if unknown := sorted(asked - names):
        raise ValueError(f"no lesson {', '.join(unknown)} in {tutorial}")
    return [path for path in paths if not asked or {path.stem, path.stem[:2]} & asked]


def read_lesson(path: Path) -> Lesson:
    """The cells of a file in jupytext's format py:percent.

    Raises:
        ValueError: a cell has other metadata than ``exercise`` and ``tags``.
    """
    jupytext = course_library("jupytext")
    read = jupytext.reads(path.read_text("utf-8"), fmt="py:percent")
    cells = []
    for cell in read.cells:
        metadata = {k: v for k, v in cell.metadata.items() if k not in OF_JUPYTEXT}
        if others := metadata.keys() - {"exercise", "tags"}:
            raise ValueError(
                f"{path.name}, cell {first_line(cell)!r}: {', '.join(sorted(others))} "
                "beside %% says nothing here; exercise and tags do"
            )
        kind = cell.cell_type
        cells.append({"cell_type": kind, "source": cell.source, "metadata": metadata})
    return Lesson(path.stem, cells)


def first_line(cell: Cell) -> str:
    """What names a cell to its author."""
    return str(cell["source"]).strip().partition("\n")[0]


def course_library(name: str) -> Any:
    """A library of the extra ``course``.

    Raises:
        OSError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise OSError(
            f"{error.name} is not installed: pip install 'maskrcnn-scratch[course]'"
        ) from error
