"""Where a COCO-format folder keeps its annotations and images.

Known are ``DIR/annotations/instances_SPLIT.json``, ``person_keypoints_SPLIT.json`` and
the same with COCO's year, and images in ``DIR/SPLIT``, ``DIR/SPLIT2017``,
``DIR/images`` or ``DIR`` itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KINDS = ("instances", "person_keypoints")
YEARS = ("", "2017")


def annotation_file(folder: str | Path, split: str, keypoints: bool = False) -> Path:
    """The split's annotations; raises FileNotFoundError naming what was tried.

    Where a folder has two kinds, as COCO's, ``keypoints`` says which is wanted.
    """
    kinds = reversed(KINDS) if keypoints else KINDS
    names = [f"{kind}_{split}{year}.json" for kind in kinds for year in YEARS]
    for name in names:
        path = Path(folder) / "annotations" / name
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"no annotations of split {split!r} in {Path(folder) / 'annotations'};"
        f" expected {' or '.join(names)}"
    )


def splits(folder: str | Path) -> list[str]:
    """The splits that have annotations, by name."""
    found = set()
    for kind in KINDS:
        for path in (Path(folder) / "annotations").glob(f"{kind}_*.json"):
            found.add(path.stem.removeprefix(f"{kind}_").removesuffix("2017"))
    return sorted(found)


def image_folder(folder: str | Path, split: str, names: Sequence[str]) -> Path:
    """The first folder that holds any of these images.

    Raises FileNotFoundError naming what was tried.
    """
    root = Path(folder)
    tried = [root / split, root / f"{split}2017", root / "images", root]
    for candidate in tried:
        if any((candidate / name).is_file() for name in names):
            return candidate
    raise FileNotFoundError(
        f"none of the {len(names)} images, such as {names[0]}, is in any of"
        f" {', '.join(str(path) for path in tried)}"
    )


def read_json(path: Path) -> dict[str, Any]:
    """The file's contents; raises ValueError where it is no JSON object."""
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no valid JSON: {error}") from error
    if not isinstance(contents, dict):
        raise ValueError(
            f"{path} holds a {type(contents).__name__}; expected an object"
        )
    return contents
