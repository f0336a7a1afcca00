"""What cells publish: what is kept, what goes, and what must not be there at all."""

from __future__ import annotations

import base64
import re
import site
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maskrcnn_scratch.learning.notebooks.pictures import recompressed
from maskrcnn_scratch.learning.notebooks.source import Cell, Notebook, first_line

WIDGET = "application/vnd.jupyter.widget-view+json"
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")

Output = dict[str, Any]


class BadNotebook(Exception):
    """It cannot be published; says why."""


class BadCell(BadNotebook):
    """One of its cells cannot; says which."""

    def __init__(self, cell: Cell, why: str) -> None:
        super().__init__(f"cell {cell['id']} ({first_line(cell)}): {why}")


def clean(notebook: Notebook) -> None:
    """Take out what differs from build to build, and make pictures small. In place.

    Raises:
        BadCell: a cell wrote to stderr (a warning, mostly), kept an error, shows a
            widget without a picture beside it, or prints a path of this machine or an
            address in memory.
    """
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            clean_data(output.get("data", {}))
            if why := objection(output):
                raise BadCell(cell, why)


def clean_data(data: Output) -> None:
    """Small pictures, with nothing that shows the same beside them.

    GitHub and print show no widgets, and Pillow publishes each image as JPEG too.
    """
    if "image/png" in data:
        data.pop(WIDGET, None)
        data.pop("image/jpeg", None)
        png = recompressed(base64.b64decode(data["image/png"]))
        data["image/png"] = base64.b64encode(png).decode()


def objection(output: Output) -> str | None:
    """What is wrong with one output of a cell; None where nothing is."""
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}"
    if output.get("name") == "stderr":
        return f"it writes to stderr: {output['text'].strip()}"
    if WIDGET in output.get("data", {}):
        return "it shows a widget without a picture beside it"
    for text in texts(output):
        for place in places():
            if place in text:
                return f"it prints a path of this machine: {place}"
        if found := ADDRESS.search(text):
            return f"it prints an address in memory, which changes: {found[0]}"
    return None


def texts(output: Output) -> Iterator[str]:
    """Everything readable in an output."""
    if "text" in output:
        yield output["text"]
    for kind, value in output.get("data", {}).items():
        if isinstance(value, str) and not kind.startswith("image/"):
            yield value


def places() -> set[str]:
    """Folders that are this machine's alone: no reader has them."""
    package = Path(__file__).parents[3]
    found = {package, Path.home(), Path(sys.prefix), Path(tempfile.gettempdir())}
    found |= {Path(folder) for folder in site.getsitepackages()}
    return {f"{folder}/" for folder in found if folder != Path("/")}


def largest(notebook: Notebook) -> str:
    """The three cells with the largest outputs, with their sizes."""
    sizes = [
        (sum(map(size, cell.get("outputs", []))), cell) for cell in notebook["cells"]
    ]
    sizes.sort(key=lambda pair: -pair[0])
    return ", ".join(
        f"cell {cell['id']} ({first_line(cell)}) {bytes_ / 1000:.0f} kB"
        for bytes_, cell in sizes[:3]
    )


def size(output: Output) -> int:
    """About how many bytes an output takes in the file."""
    values = [*output.get("data", {}).values(), output.get("text", "")]
    return sum(len(str(value)) for value in values)
