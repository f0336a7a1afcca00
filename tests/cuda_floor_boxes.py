"""NMS, boxes, matching and anchors of the CUDA floor, with reference/'s signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from cuda_floor import to_array, to_tensor

from maskrcnn_scratch.cuda import anchors, boxes, matching, nms
from maskrcnn_scratch.cuda.nms_naive import segmented_nms_naive
from maskrcnn_scratch.reference import anchors as reference_anchors

Function = Callable[..., Any]


def exactly(array: Any) -> Any:
    """As float32 where that holds the numbers, else as float64: both are served."""
    if not isinstance(array, np.ndarray) or array.dtype != np.float64:
        return to_tensor(array)
    with np.errstate(over="ignore"):
        fits = np.array_equal(array.astype(np.float32), array, equal_nan=True)
    return to_tensor(array, torch.float32 if fits else torch.float64)


def tensors(function: Function) -> Function:
    """``function`` with arrays for its tensors, real numbers as float32."""

    def with_arrays(*args: Any, **kwargs: Any) -> Any:
        named = {name: to_tensor(value) for name, value in kwargs.items()}
        return to_array(function(*map(to_tensor, args), **named))

    return with_arrays


def cut(suppress: Function) -> Function:
    """NMS as (boxes, scores, ...) -> the survivors alone."""

    def with_arrays(*args: Any, **kwargs: Any) -> Any:
        kept, count = suppress(*map(exactly, args), **kwargs)
        assert (kept[count:] == -1).all()
        return to_array(kept[:count])

    return with_arrays


def naive_nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    return cut(segmented_nms_naive)(boxes, scores, None, iou_threshold)


def match_iou(iou: Any, *settings: Any) -> Any:
    """Of IoU in float64: 0.7 is no number of float32."""
    return to_array(matching.match_iou(to_tensor(iou, torch.float64), *settings))


def match_boxes(boxes_gt: Any, boxes: Any, *settings: Any) -> Any:
    return to_array(matching.match(exactly(boxes_gt), exactly(boxes), *settings))


def cells(sizes: Any, ratios: Any, rounded: bool = False) -> np.ndarray:
    """Cell anchors are made on the host; only the grids are kernels."""
    return reference_anchors.cell_anchors(sizes, ratios, rounded)


def pyramid_anchors(
    sizes: Any, ratios: Any, strides: Any, grid_sizes: Any, rounded: bool = False
) -> Any:
    levels = np.stack([cells([size], ratios, rounded) for size in sizes])
    every = tensors(anchors.pyramid_anchors)(levels, strides, grid_sizes)
    counts = [height * width * len(ratios) for height, width in grid_sizes]
    return np.split(every, np.cumsum(counts)[:-1])


COMPONENTS: dict[str, dict[str, Function]] = {
    "nms": {"nms": cut(nms.nms), "segmented_nms": cut(nms.segmented_nms)},
    "nms_naive": {"nms": naive_nms, "segmented_nms": cut(segmented_nms_naive)},
    "boxes": {
        name: tensors(getattr(boxes, name))
        for name in (
            *("box_area", "box_iou", "clip_boxes"),
            *("encode_boxes", "decode_boxes"),
        )
    },
    "boxes_naive": {
        "box_area": tensors(boxes.box_area),
        "box_iou": tensors(boxes.box_iou_naive),
    },
    "matching": {"match_boxes": match_boxes},
    "matching_naive": {"match": match_iou},
    "anchors": {"pyramid_anchors": pyramid_anchors},
    "anchors_naive": {"grid_anchors": tensors(anchors.grid_anchors)},
}
