"""RoIPool: the largest feature in each bin of a RoI rounded to whole cells.

Fast R-CNN, section 2.1; Mask R-CNN, section 3 ("RoIAlign") says what it loses. There
are two quantisations, of the RoI's corners and of the bins' borders, and two rules for
each in circulation:

``"round"``
    The layer as Fast R-CNN and torchvision compute it. Corners are rounded (half away
    from zero) and taken as the first and the last cell, so both ends belong to the
    RoI. A bin starts at the floor and ends at the ceiling of its real borders: bins
    may share cells, and no cell of the RoI is left out.

``"floor"``
    The layer as most walk-throughs tell it. Corners are floored, and so is the size of
    a bin: 665 pixels at stride 32 are 20.78 -> 20 cells, 7 bins of 20 / 7 = 2.857 -> 2
    cells. Bins stand side by side from the RoI's start; the 20 - 7 * 2 = 6 cells left
    over at its end are not read. A bin has at least one cell, so the bins of a RoI
    with fewer cells than bins run on past its end.

Under both rules a RoI has at least one cell, also where the box is empty or inside
out. Bins are clipped at the border of the map; one that has no cell there is empty: it
gives 0, and no gradient. A NaN coordinate makes bins that hold no cell.

Features are (images, channels, height, width), RoIs (n, 5) = (image index, x1, y1, x2,
y2) in image pixels; ``spatial_scale`` is 1 / stride.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from maskrcnn_scratch.reference.roi_steps import (
    AxisSteps,
    RoiSteps,
    Span,
    at_least_one_cell,
    image_of,
    spans_in_cells,
)

if TYPE_CHECKING:
    from jaxtyping import Float, Int

EMPTY = -1  # the argmax of a bin without cells


def round_half_away(c: float) -> float:
    """The nearest whole number, halves away from zero, as C's ``round``.

    0.5 -> 1, 2.5 -> 3, -0.5 -> -1. Python and NumPy round halves to even: 2.5 -> 2.
    """
    whole = float(np.trunc(c))
    return whole + math.copysign(1, c) if abs(c - whole) >= 0.5 else whole


def quantise(span: Span, rounding: str) -> Span:
    """The first quantisation: both corners to whole numbers, [x / stride]."""
    if rounding == "round":
        return Span(round_half_away(span.start), round_half_away(span.end))
    if rounding == "floor":
        return Span(float(np.floor(span.start)), float(np.floor(span.end)))
    raise ValueError(f'rounding must be "round" or "floor", not {rounding!r}')


def overlapping_bins(roi: Span, count: int) -> tuple[Span, ...]:
    """The second quantisation of ``"round"``: floor the starts, ceil the ends.

    In double precision, as published layers compute it for double features. At a few
    sizes that makes a last bin one cell too long: 7 * (29 / 7) > 29, so ceil gives 30.
    """
    size = roi.size / count
    return tuple(
        Span(
            roi.start + float(np.floor(k * size)),
            roi.start + float(np.ceil((k + 1) * size)),
        )
        for k in range(count)
    )


def whole_cell_bins(roi: Span, count: int) -> tuple[Span, ...]:
    """The second quantisation of ``"floor"``: every bin floor(size / count) cells."""
    size = float(np.floor(roi.size / count))
    size = 1.0 if size < 1 else size
    return tuple(
        Span(roi.start + k * size, roi.start + (k + 1) * size) for k in range(count)
    )


def roi_pool_steps(
    box: Float[np.ndarray, " 4"],
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    rounding: str = "round",
) -> RoiSteps:
    """Every quantisation step of one box xyxy, in image pixels."""

    def axis(roi: Span, count: int) -> AxisSteps:
        corners = quantise(roi, rounding)
        if rounding == "round":
            # The corners are cells, and the last one belongs to the RoI.
            quantised = at_least_one_cell(Span(corners.start, corners.end + 1))
            bins = overlapping_bins(quantised, count)
        else:
            quantised = at_least_one_cell(corners)
            bins = whole_cell_bins(quantised, count)
        cells = tuple(cells_of(span) for span in bins)
        return AxisSteps(1 / spatial_scale, roi, quantised, bins, cells)

    rows, columns = spans_in_cells(box, output_size, spatial_scale)
    return RoiSteps(axis(rows, output_size[0]), axis(columns, output_size[1]))


def cells_of(span: Span) -> range:
    """The cells inside a bin with whole borders; none where a border is NaN."""
    if not math.isfinite(span.size):
        return range(0)
    return range(int(span.start), int(span.end))


def roi_pool(
    features: Float[np.ndarray, "images channels height width"],
    rois: Float[np.ndarray, "rois 5"],
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    rounding: str = "round",
) -> tuple[
    Float[np.ndarray, "rois channels out_h out_w"],
    Int[np.ndarray, "rois channels out_h out_w"],
]:
    """The maximum of each bin, and where it is.

    Returns the maxima and their flat indices ``row * width + column`` into the map; of
    equal features the first in reading order. An empty bin gives 0 and index -1.
    """
    images, channels, _, _ = features.shape
    out = np.zeros((len(rois), channels, *output_size))
    argmax = np.full(out.shape, EMPTY)
    for r, roi in enumerate(rois):
        image = image_of(roi, images)
        steps = roi_pool_steps(roi[1:], output_size, spatial_scale, rounding)
        for c, i, j in np.ndindex(out.shape[1:]):
            out[r, c, i, j], argmax[r, c, i, j] = largest(
                features[image, c],
                cells_of(steps.y.bins[i]),
                cells_of(steps.x.bins[j]),
            )
    return out, argmax


def largest(
    feature_map: Float[np.ndarray, "height width"], rows: range, columns: range
) -> tuple[float, int]:
    """The largest feature of those cells of a bin that are on the map, and where."""
    height, width = feature_map.shape
    best, winner = 0.0, EMPTY
    for row in range(max(rows.start, 0), min(rows.stop, height)):
        for column in range(max(columns.start, 0), min(columns.stop, width)):
            value = float(feature_map[row, column])
            if winner == EMPTY or value > best:
                best, winner = value, row * width + column
    return best, winner


def roi_pool_backward(
    grad: Float[np.ndarray, "rois channels out_h out_w"],
    argmax: Int[np.ndarray, "rois channels out_h out_w"],
    rois: Float[np.ndarray, "rois 5"],
    input_shape: tuple[int, int, int, int],
) -> Float[np.ndarray, "images channels height width"]:
    """The gradient by the features: each bin's goes to the cell that won the bin.

    Fast R-CNN, section 2.3 ("Back-propagation through RoI pooling layers"). A cell
    that won several bins gathers the gradients of all.
    """
    images, _, _, width = input_shape
    d_features = np.zeros(input_shape)
    for r, c, i, j in np.ndindex(grad.shape):
        if argmax[r, c, i, j] != EMPTY:
            row, column = divmod(int(argmax[r, c, i, j]), width)
            image = image_of(rois[r], images)
            d_features[image, c, row, column] += grad[r, c, i, j]
    return d_features
