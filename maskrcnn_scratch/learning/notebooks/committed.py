"""The notebooks that lie in the folder: whose they are, and whether they are current.

Each built notebook records a hash of its sources. Where the hash no longer fits, or
there is none, somebody has worked in the file, and it is theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from maskrcnn_scratch.learning.notebooks.expand import fingerprint
from maskrcnn_scratch.learning.notebooks.source import Notebook


def read_notebook(path: Path) -> Notebook:
    """A notebook of format 4, the lines of each cell joined.

    Raises:
        ValueError: the file holds no such notebook.
    """
    try:
        notebook: Notebook = json.loads(path.read_text("utf-8"))
        for cell in notebook["cells"]:
            cell["source"] = "".join(cell["source"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no notebook") from error
    return notebook


def is_ours(path: Path) -> bool:
    """Whether the place is free, or holds what some build wrote, with no edit since."""
    if not path.exists():
        return True
    try:
        notebook = read_notebook(path)
        recorded = notebook["metadata"]["maskrcnn_scratch"]["sources"]
        return bool(recorded == fingerprint(notebook["cells"]))
    except (ValueError, KeyError, TypeError):
        return False


def difference(expected: Notebook, path: Path) -> str | None:
    """Where a notebook is not what its lesson gives, outputs aside; None: nowhere."""
    if not path.exists():
        return f"{path} is missing: make notebooks"
    found = read_notebook(path)
    pairs = zip(expected["cells"], found["cells"], strict=False)
    for place, (wanted, got) in enumerate(pairs, 1):
        for part in ("id", "cell_type", "source", "metadata"):
            if wanted[part] != got.get(part):
                return (
                    f"{path}: the {part} of cell {place} ({wanted['id']}) is not {OF}"
                )
    if len(expected["cells"]) != len(found["cells"]):
        return f"{path}: the number of cells is not {OF}"
    for part in ("metadata", "nbformat", "nbformat_minor"):
        if expected[part] != found.get(part):
            return f"{path}: its {part} is not {OF}"
    return None


OF = "that of its lesson: make notebooks"


def superfluous(out: Path, expected: Iterable[Path]) -> list[str]:
    """Notebooks in the folder that no lesson gives."""
    found = {path.relative_to(out) for path in out.rglob("*.ipynb")}
    found = {path for path in found if ".ipynb_checkpoints" not in path.parts}
    return [f"{out / path} has no lesson" for path in sorted(found - set(expected))]
