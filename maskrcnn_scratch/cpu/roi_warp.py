"""RoIWarp, compiled: corners rounded as RoIPool's, then read as RoIAlign reads.

Equal to ``reference.roi_warp``. Features are as in ``roi_align``, RoIs (n, 5) = (image
index, x1, y1, x2, y2) in image pixels.
"""

from __future__ import annotations

import numpy as np

from maskrcnn_scratch.cpu.compiled import Array
from maskrcnn_scratch.cpu.roi_align import read_spans, read_spans_backward
from maskrcnn_scratch.cpu.roi_pool import at_least_one, round_half_away


def roi_warp(
    features: Array,
    rois: Array,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    mode: str,
    workers: int = 1,
    planar: bool = False,
) -> Array:
    """Each RoI as a grid of bins: (n, out_h, out_w, channels), or as planes."""
    spans = warped_spans(rois, spatial_scale)
    levels = np.zeros(len(rois), np.int64)
    rest = (output_size, sampling_ratio, mode, workers, planar)
    return read_spans([features], rois, levels, spans, *rest)


def roi_warp_backward(
    grad: Array,
    features: Array | None,
    shape: tuple[int, int, int, int],
    rois: Array,
    spatial_scale: float,
    sampling_ratio: int,
    workers: int = 1,
    planar: bool = False,
) -> Array:
    """The gradient by features of ``shape``; given ``features``, of the maximum."""
    spans = warped_spans(rois, spatial_scale)
    levels = np.zeros(len(rois), np.int64)
    maps = None if features is None else [features]
    (d_features,) = read_spans_backward(
        grad, maps, [shape], rois, levels, spans, sampling_ratio, workers, planar
    )
    return d_features


def warped_spans(rois: Array, spatial_scale: float) -> Array:
    """(y start, y size, x start, x size) in cells: whole, and at least one cell long.

    Starts are index coordinates, half a cell less.
    """
    x1, y1, x2, y2 = round_half_away(rois[:, 1:].T * rois.dtype.type(spatial_scale))
    height, width = at_least_one(y2 - y1), at_least_one(x2 - x1)
    return np.stack([y1 - 0.5, height, x1 - 0.5, width], axis=1)
