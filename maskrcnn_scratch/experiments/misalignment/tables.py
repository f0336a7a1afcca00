"""Tables as text: CSV files to compare with, Markdown in a page, numbers rounded.

Rounding makes machines agree: a number in a committed table may differ from one that is
computed again by one in its last digit, everything else must be the same.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskrcnn_scratch.files import replacing_file

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A name for its file, what it shows, and its cells as they are written."""

    name: str
    title: str
    columns: Row
    rows: tuple[Row, ...]


def number(value: float, digits: int = 2) -> str:
    """Rounded; no minus before a zero, and nothing for NaN."""
    if math.isnan(value):
        return ""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def numbers(values: Iterable[float], digits: int = 2) -> Row:
    """Several."""
    return tuple(number(value, digits) for value in values)


def write_csv(table: Table, folder: Path) -> None:
    """``NAME.csv``: the columns' names, then the rows."""
    with (folder / f"{table.name}.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([table.columns, *table.rows])


def read_csv(path: Path) -> list[Row]:
    """All lines, the columns' names first."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return [tuple(row) for row in csv.reader(file)]


def check_csv(table: Table, folder: Path) -> None:
    """ValueError where the file of the table in the folder is another table.

    It names the first difference; OSError where there is no such file.
    """
    path = folder / f"{table.name}.csv"
    lines = read_csv(path)
    expected = [table.columns, *table.rows]
    if len(lines) != len(expected):
        raise ValueError(f"{path} has {len(lines)} lines, computed: {len(expected)}")
    for place, (found, computed) in enumerate(zip(lines, expected, strict=True), 1):
        if len(found) != len(computed):
            raise ValueError(f"{path}, line {place}, has {len(found)} cells,"
                             f" computed: {len(computed)}")  # fmt: skip
        for column, one, other in zip(table.columns, found, computed, strict=True):
            if not same(one, other):
                raise ValueError(
                    f"{path}, line {place}, {column}: {one!r}, computed: {other!r}"
                )


def same(one: str, other: str) -> bool:
    """Equal, or numbers of as many digits that differ by one in the last."""
    if one == other:
        return True
    pattern = r"-?\d+\.(\d+)"
    matches = re.fullmatch(pattern, one), re.fullmatch(pattern, other)
    if not all(matches):
        return False
    digits = {len(match[1]) for match in matches if match}
    unit = 10.0 ** -min(digits)
    return len(digits) == 1 and abs(float(one) - float(other)) < 1.5 * unit


def markdown(columns: Row, rows: Sequence[Row]) -> str:
    """A table of Markdown; columns of numbers lean to the right."""
    numeric = [all(cell == "" or is_number(cell) for cell in cells)
               for cells in zip(*rows, strict=True)]  # fmt: skip
    rule = tuple("---:" if right else "---" for right in numeric)
    return "\n".join(f"| {' | '.join(row)} |" for row in [columns, rule, *rows])


def is_number(cell: str) -> bool:
    """Digits, with a sign and decimals or without."""
    return re.fullmatch(r"-?\d+(\.\d+)?", cell) is not None


def fill_page(path: Path, tables: Iterable[Table]) -> None:
    """Put the tables into a page of Markdown, each between its marks."""
    page = with_tables(path.read_text("utf-8"), tables)
    with replacing_file(path) as draft:
        draft.write_text(page, "utf-8")


def with_tables(page: str, tables: Iterable[Table]) -> str:
    """The page with each table between its two marks, and its title above it.

    The marks are ``<!-- table NAME -->`` and ``<!-- end NAME -->``. Raises ValueError
    where a table has none.
    """
    for table in tables:
        start, end = f"<!-- table {table.name} -->", f"<!-- end {table.name} -->"
        before, mark, rest = page.partition(start)
        _, closing, after = rest.partition(end)
        if not mark or not closing:
            raise ValueError(f"the page has no {start} with {end} after it")
        body = markdown(table.columns, table.rows)
        page = f"{before}{start}\n\n{table.title}:\n\n{body}\n\n{end}{after}"
    return page
