"""A large image with its ground truth, cut into overlapping tiles.

An object is in every tile that holds a pixel of it, with what lies there: its mask is
cut, and its box drawn anew. With an overlap as wide as the objects each of them is
whole in some tile.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Shaped
from PIL import Image
from torch import Tensor

from maskrcnn_scratch.data.annotation import annotation
from maskrcnn_scratch.data.coco import CocoDataset
from maskrcnn_scratch.data.layout import splits
from maskrcnn_scratch.data.transforms import Sample, crop
from maskrcnn_scratch.files import filling_folder

Corner = tuple[int, int]
"""(top, left) of a tile in its image, pixels."""


def overlap_of(tile: int, overlap: int | None) -> int:
    """The pixels that tiles share: a quarter of a tile where that is not said."""
    return tile // 4 if overlap is None else overlap


def tile_starts(size: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along an axis of ``size`` pixels; all are ``tile`` long.

    Neighbours share ``overlap`` pixels, the last two may share more. Of an axis that is
    not longer than a tile there is one tile, at 0. Raises ValueError unless
    0 <= overlap < tile.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"overlap is {overlap}; expected from 0 to below {tile}")
    last = max(size - tile, 0)
    return [*range(0, last, tile - overlap), last]


def tile_corners(size: tuple[int, int], tile: int, overlap: int) -> list[Corner]:
    """Of all tiles of an image of ``size`` (height, width), row by row."""
    height, width = size
    return [
        (top, left)
        for top in tile_starts(height, tile, overlap)
        for left in tile_starts(width, tile, overlap)
    ]


def cut_tiles(sample: Sample, tile: int, overlap: int) -> list[tuple[Corner, Sample]]:
    """Every tile with what it holds, in the tile's own frame.

    Tiles are ``tile`` x ``tile`` pixels, or as large as the image where that is less.
    """
    image, target = sample
    corners = tile_corners((image.shape[1], image.shape[2]), tile, overlap)
    return [
        ((top, left), crop(image, target, top, left, tile)) for top, left in corners
    ]


def glue_tiles(
    tiles: Sequence[tuple[Corner, Shaped[Tensor, "channels _height _width"]]],
    size: tuple[int, int],
) -> Shaped[Tensor, "channels height width"]:
    """The image of ``size`` (height, width) that tiles were cut from."""
    first = tiles[0][1]
    image = first.new_zeros(first.shape[0], *size)
    for (top, left), part in tiles:
        bottom, right = top + part.shape[1], left + part.shape[2]
        image[:, top:bottom, left:right] = part
    return image


def write_tiles(
    folder: str | Path, out: str | Path, tile: int, overlap: int
) -> dict[str, int]:
    """Cut all images of a COCO-format folder; how many tiles each split has.

    Writes PNG files ``NAME_TOP_LEFT.png`` and COCO annotations with masks; keypoints
    are left out. All files are put in place in the end, or none.

    Raises FileNotFoundError where there is no such folder, FileExistsError where
    ``out`` is not empty, ValueError for an overlap that is none.
    """
    if not splits(folder):
        raise FileNotFoundError(f"no annotations/instances_SPLIT.json in {folder}")
    if Path(out).exists() and any(Path(out).iterdir()):
        raise FileExistsError(f"{out} is not empty; give a new or empty folder")
    counts = {}
    with filling_folder(out) as draft:
        for split in splits(folder):
            dataset = CocoDataset(folder, split)
            counts[split] = write_split(dataset, draft, split, tile, overlap)
    return counts


def write_split(
    dataset: CocoDataset, folder: Path, split: str, tile: int, overlap: int
) -> int:
    """The tiles of one split; returns how many there are."""
    (folder / split).mkdir()
    (folder / "annotations").mkdir(exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(len(dataset)):
        stem = Path(dataset.images[index]["file_name"]).with_suffix("")
        for (top, left), sample in cut_tiles(dataset[index], tile, overlap):
            name = f"{'_'.join(stem.parts)}_{top}_{left}.png"
            pixels = (sample[0] * 255).round().byte().permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(folder / split / name)
            height, width = pixels.shape[:2]
            number = len(images) + 1
            images.append(
                {"id": number, "file_name": name, "width": width, "height": height}
            )
            annotations += annotate(sample, number, dataset, len(annotations) + 1)
    pairs = zip(dataset.category_ids, dataset.class_names, strict=True)
    categories = [{"id": number, "name": name} for number, name in pairs]
    contents = {"images": images, "annotations": annotations, "categories": categories}
    path = folder / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(contents), encoding="utf-8")
    return len(images)


def annotate(
    sample: Sample, image_id: int, dataset: CocoDataset, first_id: int
) -> list[dict[str, Any]]:
    """The objects of a tile in COCO's words."""
    target = sample[1]
    assert target.masks is not None
    return [
        annotation(
            mask,
            first_id + number,
            image_id,
            dataset.category_ids[int(target.labels[number]) - 1],
            int(target.crowd[number]),
        )
        for number, mask in enumerate(target.masks.numpy())
    ]
