"""The generated shapes as a folder of PNG files with COCO annotations."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskrcnn_scratch.data.annotation import annotation
from maskrcnn_scratch.data.shapes import CLASS_NAMES, Scene, draw_scene

CREATOR = "maskrcnn-scratch data shapes"


def write_shapes(
    folder: str | Path,
    train: int = 1600,
    val: int = 200,
    size: int = 128,
    seed: int = 0,
) -> Path:
    """Write ``train`` + ``val`` images of ``size`` x ``size`` pixels and return folder.

    The same arguments give the same bytes. All is written beside the target first and
    put in place in the end, so nothing half-written is left behind. An earlier shapes
    folder is replaced.

    Raises ValueError for counts below 1, FileExistsError where the folder holds
    anything that this function did not write.
    """
    if train < 1 or val < 1:
        raise ValueError(f"train is {train} and val is {val}; expected 1 or more each")
    target = Path(folder).resolve()
    if target.exists() and not is_replaceable(target):
        raise FileExistsError(
            f"{target} is there and is no shapes folder; give a new or empty folder"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{target.name}-", dir=target.parent
    ) as name:
        fresh = Path(name) / "fresh"
        # Image ids differ between the splits, so that a mix-up shows.
        write_split(fresh, "train", range(train), size, seed)
        write_split(fresh, "val", range(train, train + val), size, seed)
        if target.exists():
            target.rename(Path(name) / "replaced")
        fresh.rename(target)
    return target


def write_split(root: Path, split: str, scenes: range, size: int, seed: int) -> None:
    """Images and annotations of one split; scene i gets image id i + 1."""
    (root / split).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in scenes:
        scene = draw_scene(size, np.random.default_rng([seed, index]))
        name = f"{index + 1:06d}.png"
        Image.fromarray(scene.pixels).save(root / split / name, compress_level=1)
        images.append(
            {"id": index + 1, "file_name": name, "width": size, "height": size}
        )
        annotations += annotate(scene, index + 1, first_id=len(annotations) + 1)
    contents = {
        "info": {"description": CREATOR, "seed": seed},
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": 1 + i, "name": name, "supercategory": "shape"}
            for i, name in enumerate(CLASS_NAMES)
        ],
    }
    path = root / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(contents), encoding="utf-8")


def annotate(scene: Scene, image_id: int, first_id: int) -> list[dict[str, Any]]:
    """What is visible of each shape, as exact run lengths."""
    return [
        annotation(mask, first_id + number, image_id, label)
        for number, (mask, label) in enumerate(
            zip(scene.masks, scene.labels, strict=True)
        )
    ]


def is_replaceable(folder: Path) -> bool:
    """Whether the folder is empty, or holds what write_shapes wrote and no more."""
    if not folder.is_dir():
        return False
    expected = set()
    for split in ("train", "val"):
        path = folder / "annotations" / f"instances_{split}.json"
        if path.is_file():
            contents = json.loads(path.read_text(encoding="utf-8"))
            if contents.get("info", {}).get("description") != CREATOR:
                return False
            expected |= {folder / split / im["file_name"] for im in contents["images"]}
            expected.add(path)
    return {path for path in folder.rglob("*") if not path.is_dir()} <= expected
