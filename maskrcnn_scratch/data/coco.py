"""A COCO-format folder as a dataset of images with their ground truth."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt
from torch import Tensor
from torch.utils.data import Dataset

from maskrcnn_scratch.data.annotation_file import keypoint_names, read_annotations
from maskrcnn_scratch.data.annotations import Json, decode_masks, to_rle
from maskrcnn_scratch.data.images import read_pixels, to_float
from maskrcnn_scratch.data.layout import annotation_file, image_folder
from maskrcnn_scratch.data.proposals import read_proposals
from maskrcnn_scratch.data.transforms import Sample
from maskrcnn_scratch.structures import Target

Transform = Callable[[Tensor, Target, torch.Generator], Sample]


@dataclass(frozen=True)
class Stored:
    """What the cache holds of one image: pixels as read, masks as run lengths."""

    pixels: UInt[np.ndarray, "height width 3"]
    rles: list[Json]


class CocoDataset(Dataset[Sample]):
    """The images of one split; an item is (RGB in 0..1 [3, h, w], Target).

    Labels are 1..K by rising category id, so holes in the ids do not matter; label l is
    called ``class_names[l - 1]``. Images come by rising id, those without objects too.
    Boxes are cut to their image, objects without area left out, with a warning that
    counts both.

    ``dataset[index]`` is the item as in epoch 0, ``dataset[epoch, index]`` as in any
    other: what the transform draws depends on (seed, epoch, index) alone, never on the
    worker or on what was loaded before, so that a resumed run sees the same images.

    ``masks=False`` leaves masks away, and annotations need no segmentation;
    ``keypoints=True`` prefers ``person_keypoints_SPLIT.json`` where there are both.

    ``proposals`` is a file that ``write_proposals`` wrote; a target gets the
    ``most_proposals`` best of its image.

    ``cache=True`` keeps decoded images in memory (in that of each worker).

    Raises FileNotFoundError for missing annotations or images, ValueError for
    annotations or proposals that cannot be used, naming the first faults;
    check_dataset finds all.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str,
        transform: Transform | None = None,
        *,
        annotations: str | Path | None = None,
        masks: bool = True,
        keypoints: bool = False,
        proposals: str | Path | None = None,
        most_proposals: int = 2000,
        seed: int = 0,
        cache: bool = False,
    ) -> None:
        self.transform = transform
        self.seed = seed
        self.annotation_file = (
            annotation_file(folder, split, keypoints)
            if annotations is None
            else Path(annotations)
        )
        content = read_annotations(self.annotation_file, masks)
        if content.repaired:
            counts = ", ".join(f"{n} {kind}" for kind, n in content.repaired.items())
            warnings.warn(
                f"{self.annotation_file}: objects left out or cut to their image"
                f" (`data check` lists them): {counts}",
                stacklevel=2,
            )
        self.images = content.images
        self.folder = existing_images(folder, split, self.images)
        categories = content.categories
        self.class_names: list[str] = [category["name"] for category in categories]
        self.category_ids: list[int] = [category["id"] for category in categories]
        self.keypoint_names = keypoint_names(categories)
        self.skeleton = skeleton_of(categories)
        self._objects = content.objects
        self._masks = masks
        self._most_proposals = most_proposals
        self._proposals = None if proposals is None else read_proposals(proposals)
        if self._proposals is not None:
            self._proposals.require(self.images.ids.tolist())
        self._cache: dict[int, Stored] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        stored = self._stored(index)
        image = to_float(stored.pixels)
        target = self._objects.target(index, int(self.images.ids[index]))
        if self._masks:
            masks = decode_masks(stored.rles, self.size(index))
            target = replace(target, masks=masks)
        if self._proposals is not None:
            boxes = self._proposals.of(target.image_id, self._most_proposals)
            target = replace(target, proposals=boxes)
        if self.transform is None:
            return image, target
        return self.transform(image, target, generator(self.seed, epoch, index))

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of an image before any transform, as annotated."""
        height, width = self.images.sizes[index].tolist()
        return height, width

    @property
    def keypoint_swap(self) -> tuple[int, ...] | None:
        """What each keypoint becomes in the mirror: left_x and right_x change places.

        None where objects have no keypoints.
        """
        names = self.keypoint_names
        return tuple(names.index(mirrored_name(n, names)) for n in names) or None

    def _stored(self, index: int) -> Stored:
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        size = self.size(index)
        stored = Stored(
            pixels=read_pixels(self.folder / self.images[index]["file_name"], size),
            rles=[to_rle(s, size) for s in self._objects.segmentations(index)],
        )
        if self._cache is not None:
            self._cache[index] = stored
        return stored


def generator(*seeds: int) -> torch.Generator:
    """A generator of its own for each tuple of whole numbers."""
    state = np.random.SeedSequence(seeds).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def existing_images(folder: str | Path, split: str, images: Sequence[Json]) -> Path:
    """The folder of the images; raises FileNotFoundError unless all are there."""
    names = [image["file_name"] for image in images]
    place = image_folder(folder, split, names)
    missing = [name for name in names if not (place / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(names)} images are missing in {place},"
            f" the first is {missing[0]}"
        )
    return place


def skeleton_of(categories: list[Json]) -> list[tuple[int, int]]:
    """Pairs of keypoints that a picture joins, counted from 0; empty for none.

    COCO counts from 1. Raises ValueError where a pair names no keypoint.
    """
    for category in categories:
        points = range(1, len(category.get("keypoints") or []) + 1)
        pairs = category.get("skeleton") or []
        if points and pairs:
            if any(len(pair) != 2 or not set(pair) <= set(points) for pair in pairs):
                raise ValueError(
                    f"the skeleton of category {category['name']} names other points"
                    f" than 1 to {len(points)}: {pairs}"
                )
            return [(one - 1, other - 1) for one, other in pairs]
    return []


def mirrored_name(name: str, names: list[str]) -> str:
    """The twin on the other side, or the name itself."""
    for side, other in (("left", "right"), ("right", "left")):
        if side in name and (twin := name.replace(side, other)) in names:
            return twin
    return name
