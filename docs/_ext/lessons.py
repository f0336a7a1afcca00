"""The lessons' pages: the committed notebooks, each figure with words beside it."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from repository import PACKAGE, ROOT, lessons, on_the_site

Cell = dict[str, Any]


def lesson_pages() -> dict[str, str]:
    """Files under ``docs/lessons`` with their text."""
    course = (ROOT / "tutorial" / "README.md").read_text("utf-8")
    names = "\n".join(lessons())
    toc = f"```{{toctree}}\n:hidden:\n\n{names}\n```\n"
    pages = {"index.md": f"{on_the_site(course, 'tutorial')}\n{toc}"}
    for name in lessons():
        notebook = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8"))
        describe(notebook)
        pages[f"{name}.ipynb"] = json.dumps(notebook)
    return pages


def describe(notebook: dict[str, Any]) -> None:
    """Give every cell with a picture its alternative text. In place."""
    drawers: dict[str, str] = {}  # functions that draw: their modules
    heading = ""
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = (re.findall(r"^#+ (.+)$", source, re.MULTILINE) or [heading])[-1]
            continue
        tree = ast.parse(source)
        drawers |= {
            name.name: node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for name in node.names
            if node.module.startswith("maskrcnn_scratch.")
        }
        if words := spoken(cell) or drawn(tree, drawers) or written(tree):
            alt = f"{heading.replace('`', '')}: {words}"
            cell["metadata"]["mystnb"] = {"image": {"alt": alt}}


def spoken(cell: Cell) -> str:
    """What a figure with controls says of itself; "" of others."""
    said = [one.get("metadata", {}).get("image/png", {}) for one in cell["outputs"]]
    return " ".join(one["alt"] for one in said if "alt" in one)


def drawn(tree: ast.Module, drawers: dict[str, str]) -> str:
    """What the first function that draws says that it draws; "" without any."""
    called = [
        (node.lineno, node.func.id)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    names = [name for _, name in sorted(called) if name in drawers]
    names = [name for name in names if name.startswith("draw_")]
    return summary(drawers[names[0]], names[0]) if names else ""


def summary(module: str, function: str) -> str:
    """The first paragraph of a function's docstring."""
    file = PACKAGE.parent / (module.replace(".", "/") + ".py")
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            first = (ast.get_docstring(node) or "").partition("\n\n")[0]
            return " ".join(first.replace("``", "").split())
    raise ValueError(f"{module} has no function {function}")


def written(tree: ast.Module) -> str:
    """What stands on the axes that a cell draws itself; "" where it draws none."""
    titles = {"title": "titled", "xlabel": "across", "ylabel": "up"}
    words = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        given = {one.arg: one.value for one in node.keywords}
        if node.args:
            given[node.func.attr.removeprefix("set_")] = node.args[0]
        for name, value in given.items():
            if name in titles and isinstance(value, ast.Constant):
                words.append(f"{titles[name]}: {value.value!s}")
    return "; ".join(words)
