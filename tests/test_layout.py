"""The house's rules: floors import downward only, and every module fits one sitting.

Faults tried: ops importing models -> test_floors_import_downward_only; a function of
61 lines -> test_functions_are_short; a module of 300 -> test_modules_fit_one_sitting.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "maskrcnn_scratch"

# Rooms by floor, from the ground up; a room may use what stands below it. Rooms of one
# floor stand apart.
FLOORS = [
    {"reference", "cpu", "structures", "files"},
    {"data", "ops", "figures"},
    {"models", "evaluation", "doctor"},
    {"weights"},
    {"inference"},
    {"training"},
    {"demo"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST_MODULE = 260
LONGEST_FUNCTION = 60


def room(path: Path) -> str:
    """The folder, or the file, right under the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """(room, line) of each import from this package."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            whole = node.module == "maskrcnn_scratch"
            names = (
                [f"maskrcnn_scratch.{alias.name}" for alias in node.names]
                if whole
                else [node.module]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "maskrcnn_scratch" and len(parts) > 1 and parts[1] in LEVEL:
                yield parts[1], node.lineno


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_every_room_has_a_floor() -> None:
    assert {room(path) for path in MODULES} - {"__init__"} == set(LEVEL)


@pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_floors_import_downward_only(path: Path) -> None:
    own = room(path)
    for other, line in imported_rooms(parsed(path)):
        if other != own:
            assert LEVEL[other] < LEVEL[own], f"line {line} imports {other}"


def test_modules_fit_one_sitting() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in MODULES}
    long = {path.name: n for path, n in lengths.items() if n > LONGEST_MODULE}
    assert not long


def test_functions_are_short() -> None:
    long = {}
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long[f"{path.name}:{node.name}"] = lines
    assert not long
