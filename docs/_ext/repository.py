"""The repository, as the site's pages need it: its modules, its lessons, its links."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "maskrcnn_scratch"
FLOORS = (
    *("reference", "cpu", "cuda", "ops", "models", "weights", "data", "evaluation"),
    *("inference", "training", "figures", "learning", "experiments", "claims"),
    "benchmarks",
)
"""The folders with pages in the API, in the order of the floors."""
SKIPPED = re.compile(r"learning/exercises/|claims/claim\d|__init__$")
LINK = re.compile(r"\[([^\]\[]*)\]\(([^()\s]+)\)")


@cache
def modules() -> dict[str, ast.Module]:
    """Every module with a page of its own, such as ``cpu/roi_align``, as a tree."""
    files = [
        file for floor in FLOORS for file in sorted((PACKAGE / floor).rglob("*.py"))
    ]
    names = {
        str(file.relative_to(PACKAGE).with_suffix("")): file
        for file in [PACKAGE / "structures.py", *files]
    }
    return {
        name: ast.parse(file.read_text("utf-8"))
        for name, file in names.items()
        if not SKIPPED.search(name)
    }


@cache
def lessons() -> dict[str, str]:
    """The text of each lesson by its name, such as ``03_roi_align``."""
    files = sorted((ROOT / "tutorial").glob("[0-9][0-9]_*.py"))
    return {file.stem: file.read_text("utf-8") for file in files}


def title(lesson: str) -> str:
    """The heading of a lesson: its number and name."""
    found = re.search(r"^# # (.+)$", lessons()[lesson], re.MULTILINE)
    assert found
    return found[1]


def on_the_site(text: str, folder: str) -> str:
    """A page of Markdown with its links to files of the repository turned.

    A lesson leads to its page, a module to its page in the API, a notebook is a
    download. Of what has no page, code say, the words are left.

    Args:
        text: the page.
        folder: where it stands, from the repository's root.
    """

    def turned(link: re.Match[str]) -> str:
        words, target = link.groups()
        path, _, anchor = target.partition("#")
        if not path or "://" in target or target.startswith(("mailto:", "path:")):
            return link[0]
        file = (ROOT / folder / path).resolve()
        if file == DOCS / "explorer" / "index.html":  # no page of Sphinx's
            return f'<a href="{target}">{words}</a>'
        if not file.exists():  # another page made here, or a mistake: Sphinx will tell
            return link[0]
        if file.is_relative_to(DOCS):
            page = "/" + str(file.relative_to(DOCS))
        elif file.parent == ROOT / "tutorial":
            page = f"/lessons/{'index.md' if file.stem == 'README' else file.stem}"
        elif file.parent == ROOT / "notebooks":
            return f"[{words}](path:/../notebooks/{file.name})"
        elif file == ROOT / "README.md":
            page = "/index.md"
        elif file.is_relative_to(PACKAGE):
            name = str(file.relative_to(PACKAGE).with_suffix(""))
            name += "/index" * (name in FLOORS)
            page = f"/api/{name}" if name in modules() or file.is_dir() else ""
        else:
            page = ""
        return f"[{words}]({page}{'#' * bool(anchor)}{anchor})" if page else words

    return LINK.sub(turned, text)
