"""Writing files so that a reader never meets half of one.

A file or folder is written under a hidden name beside its place, forced to the disk,
and renamed into place: the rename happens or does not, also when the process is killed
or the power fails.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing_file(path: str | Path) -> Iterator[Path]:
    """A path to write to, which takes the place of ``path`` when the block ends well.

    Where the block fails, ``path`` stays as it was and what was written is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield draft
        force_to_disk(draft)
        os.replace(draft, path)
        force_to_disk(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def filling_folder(folder: str | Path) -> Iterator[Path]:
    """An empty folder to write to; its files move to ``folder`` if the block ends well.

    Files of the same name are replaced, others stay; where the block fails, ``folder``
    is as it was.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield draft
        for source in sorted(path for path in draft.rglob("*") if path.is_file()):
            target = folder / source.relative_to(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
    finally:
        shutil.rmtree(draft)


def force_to_disk(path: Path) -> None:
    """Wait until a file's contents, or a folder's list of names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
