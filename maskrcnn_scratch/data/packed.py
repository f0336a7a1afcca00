"""Images and objects in a few arrays, which processes share and never copy.

A worker that is forked shares memory with its parent until either writes to it, and
Python writes to an object (its count of references) whenever it looks at one. A list of
a million annotations is so copied into each worker, little by little; an array is not.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from pydantic_core import from_json, to_json

from maskrcnn_scratch.data.annotations import at_pixel_centres
from maskrcnn_scratch.structures import Target

Json = dict[str, Any]


class PackedTexts:
    """A growing list of byte strings, end to end in one buffer."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ends = array("q", [0])

    def append(self, text: bytes) -> None:
        """At the end."""
        self._buffer += text
        self._ends.append(len(self._buffer))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> bytes:
        return bytes(self._buffer[self._ends[index] : self._ends[index + 1]])


class PackedImages(Sequence[Json]):
    """COCO's records of images by rising id, with the four fields that are used."""

    def __init__(self, images: Sequence[Json]) -> None:
        images = sorted(images, key=lambda image: int(image["id"]))
        self.ids: Int[np.ndarray, " images"] = np.array(
            [image["id"] for image in images], np.int64
        )
        self.sizes: Int[np.ndarray, "images 2"] = np.array(
            [(image["height"], image["width"]) for image in images], np.int64
        )
        self._names = PackedTexts()
        for image in images:
            self._names.append(to_json(image["file_name"]))

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Json: ...
    @overload
    def __getitem__(self, index: slice) -> list[Json]: ...
    def __getitem__(self, index: int | slice) -> Json | list[Json]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        height, width = self.sizes[index].tolist()
        return {
            "id": int(self.ids[index]),
            "file_name": from_json(self._names[index]),
            "height": height,
            "width": width,
        }


class ObjectPacker:
    """Takes annotations one after another, and forgets all that is not used."""

    def __init__(self, masks: bool) -> None:
        self._image_ids = array("q")
        self._category_ids = array("q")
        self._boxes = array("d")
        self._crowd = array("b")
        self._keypoints = array("f")
        self._keypoint_counts = array("q")
        self._outlines = PackedTexts() if masks else None

    def add(self, annotation: Json) -> None:
        """An annotation without errors, that has area."""
        self._image_ids.append(annotation["image_id"])
        self._category_ids.append(annotation["category_id"])
        self._boxes.extend(annotation["bbox"])
        self._crowd.append(bool(annotation.get("iscrowd", 0)))
        keypoints = annotation.get("keypoints") or []
        self._keypoints.extend(keypoints)
        self._keypoint_counts.append(len(keypoints))
        if self._outlines is not None:
            self._outlines.append(to_json(annotation["segmentation"]))

    def packed(
        self,
        images: PackedImages,
        category_ids: Sequence[int],
        points: int,
    ) -> PackedObjects:
        """By image, boxes cut to it; category ids rise; an object has ``points``."""
        index = np.searchsorted(images.ids, as_numpy(self._image_ids, np.int64))
        labels = np.searchsorted(category_ids, as_numpy(self._category_ids, np.int64))
        return PackedObjects(
            rows=np.argsort(index, kind="stable"),
            ends=np.searchsorted(np.sort(index), np.arange(len(images) + 1)),
            boxes=self._boxes_in(images.sizes[index]),
            labels=labels + 1,
            crowd=as_numpy(self._crowd, np.int8) > 0,
            keypoints=self._keypoints_of(points) if points else None,
            outlines=self._outlines,
        )

    def _boxes_in(
        self, sizes: Int[np.ndarray, "objects 2"]
    ) -> Float32[np.ndarray, "objects 4"]:
        """(x1, y1, x2, y2), cut to images of these (height, width)."""
        boxes = as_numpy(self._boxes, np.float64).reshape(-1, 4).copy()
        boxes[:, 2:] += boxes[:, :2]
        for axis in range(4):
            boxes[:, axis].clip(0, sizes[:, 1 - axis % 2], out=boxes[:, axis])
        return np.asarray(boxes, np.float32)

    def _keypoints_of(self, points: int) -> Float32[np.ndarray, "objects points 3"]:
        """(x, y, v) at pixel centres; objects without keypoints have zeros."""
        counts = as_numpy(self._keypoint_counts, np.int64)
        there = counts == 3 * points
        flat = as_numpy(self._keypoints, np.float32)[np.repeat(there, counts)]
        keypoints = np.zeros((len(counts), points, 3), np.float32)
        keypoints[there] = at_pixel_centres(flat.reshape(-1, points, 3))
        return keypoints


class PackedObjects:
    """The objects of all images; those of image i are ``rows[ends[i]:ends[i + 1]]``."""

    def __init__(
        self,
        rows: Int[np.ndarray, " objects"],
        ends: Int[np.ndarray, " ends"],
        boxes: Float32[np.ndarray, "objects 4"],
        labels: Int[np.ndarray, " objects"],
        crowd: Bool[np.ndarray, " objects"],
        keypoints: Float32[np.ndarray, "objects points 3"] | None,
        outlines: PackedTexts | None,
    ) -> None:
        self.rows = rows
        self.ends = ends
        self.boxes = boxes
        self.labels = labels
        self.crowd = crowd
        self.keypoints = keypoints
        self.outlines = outlines

    def target(self, index: int, image_id: int) -> Target:
        """The record of image ``index``, without masks."""
        rows = self.rows[self.ends[index] : self.ends[index + 1]]
        return Target(
            image_id=image_id,
            boxes=torch.from_numpy(self.boxes[rows]),
            labels=torch.from_numpy(self.labels[rows]),
            masks=None,
            crowd=torch.from_numpy(self.crowd[rows]),
            keypoints=None
            if self.keypoints is None
            else torch.from_numpy(self.keypoints[rows]),
        )

    def segmentations(self, index: int) -> list[Any]:
        """COCO's polygons or run lengths of image ``index``; empty without masks."""
        if self.outlines is None:
            return []
        rows = self.rows[self.ends[index] : self.ends[index + 1]].tolist()
        return [from_json(self.outlines[row]) for row in rows]


def as_numpy(values: Any, dtype: Any) -> Any:
    """The memory of an ``array.array``; an empty one has none."""
    return np.frombuffer(values, dtype) if len(values) else np.zeros(0, dtype)
