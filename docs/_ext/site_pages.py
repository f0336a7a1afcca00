"""Sphinx extension: the pages that are made when a build starts, and their links."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api import api_pages
from claims_pages import claim_pages
from lessons import lesson_pages
from repository import DOCS, ROOT, on_the_site
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer


def write(folder: Path, pages: Mapping[str, str | bytes]) -> None:
    """Make a folder hold these files alone; what has not changed keeps its date."""
    for name, content in pages.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        if not file.exists() or file.read_bytes() != data:
            file.write_bytes(data)
    for file in folder.rglob("*.*"):
        if str(file.relative_to(folder)) not in pages:
            file.unlink()


def make_pages(app: Sphinx) -> None:
    """Everything that is not written by hand."""
    write(DOCS / "lessons", lesson_pages())
    write(DOCS / "api", api_pages())
    write(DOCS / "claims", claim_pages(app.outdir.parent / "claims"))


def turn_links(app: Sphinx, name: str, source: list[str]) -> None:
    """Links into the repository become links within the site."""
    if app.env.doc2path(name).suffix == ".md":
        source[0] = on_the_site(source[0], f"docs/{name}/..")


def copy_explorer(app: Sphinx, error: Exception | None) -> None:
    """It is a page of its own, and stays in its folder."""
    if error is None and (DOCS / "explorer").exists():
        shutil.copytree(DOCS / "explorer", app.outdir / "explorer", dirs_exist_ok=True)


def source_of(app: Sphinx, module: str) -> tuple[str, dict[str, Any]]:
    """For viewcode, which would import the module."""
    file = ROOT / (module.replace(".", "/") + ".py")
    analyzer = ModuleAnalyzer.for_file(file, module)
    analyzer.find_tags()
    return analyzer.code, analyzer.tags


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers all of it."""
    app.connect("builder-inited", make_pages)
    app.connect("source-read", turn_links)
    app.connect("viewcode-find-source", source_of)
    app.connect("build-finished", copy_explorer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
