"""RoIWarp: the RoI rounded to whole cells as RoIPool does, then read as RoIAlign does.

Multi-task Network Cascades (MNC; Dai et al., 2016), section 4, for a crop with a
gradient; Mask R-CNN, section 3 and table 2c, where it shows that bilinear reading alone
does not help: what matters is not to quantise the RoI.

The corners are rounded (half away from zero) to borders between cells: a border moves
by at most half a cell, and a RoI keeps at least one cell. Everything after that is
RoIAlign with ``aligned=True``, so the quantised corners are the one difference. (MNC's
own code reads one point a bin, at its top left corner, and pools afterwards.)

Features are (images, channels, height, width), RoIs (n, 5) = (image index, x1, y1, x2,
y2) in image pixels; ``spatial_scale`` is 1 / stride. ``sampling_ratio`` and ``mode``
mean what they mean in RoIAlign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maskrcnn_scratch.reference.roi_align import (
    axis_points,
    read_bins,
    read_bins_backward,
)
from maskrcnn_scratch.reference.roi_pool import quantise
from maskrcnn_scratch.reference.roi_steps import (
    AxisSteps,
    RoiSteps,
    Span,
    at_least_one_cell,
    image_of,
    spans_in_cells,
)

if TYPE_CHECKING:
    from jaxtyping import Float


def roi_warp_steps(
    box: Float[np.ndarray, " 4"],
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
    rounding: str = "round",
) -> RoiSteps:
    """The quantised RoI, bins and sample points of one box xyxy, in image pixels.

    The layer rounds; ``rounding="floor"`` shows the same under the walk-throughs' rule.
    """

    def axis(roi: Span, count: int) -> AxisSteps:
        quantised = at_least_one_cell(quantise(roi, rounding))
        points = axis_points(quantised, count, sampling_ratio)
        bins = quantised.parts(count)
        return AxisSteps(1 / spatial_scale, roi, quantised, bins, points)

    rows, columns = spans_in_cells(box, output_size, spatial_scale)
    return RoiSteps(axis(rows, output_size[0]), axis(columns, output_size[1]))


def roi_warp(
    features: Float[np.ndarray, "images channels height width"],
    rois: Float[np.ndarray, "rois 5"],
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
    mode: str = "mean",
) -> Float[np.ndarray, "rois channels out_h out_w"]:
    """Each RoI as a grid of ``output_size``, by the ``mode`` ("mean" or "max")."""
    images, channels, _, _ = features.shape
    out = np.zeros((len(rois), channels, *output_size))
    for r, roi in enumerate(rois):
        steps = roi_warp_steps(roi[1:], output_size, spatial_scale, sampling_ratio)
        out[r] = read_bins(features[image_of(roi, images)], steps, mode)
    return out


def roi_warp_backward(
    grad: Float[np.ndarray, "rois channels out_h out_w"],
    features: Float[np.ndarray, "images channels height width"],
    rois: Float[np.ndarray, "rois 5"],
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
    mode: str = "mean",
) -> Float[np.ndarray, "images channels height width"]:
    """The gradient by the features, given ``grad`` by the output.

    By the RoI the gradient is 0 wherever there is one: rounding has slope 0.
    """
    d_features = np.zeros(features.shape)
    for r, roi in enumerate(rois):
        steps = roi_warp_steps(roi[1:], output_size, spatial_scale, sampling_ratio)
        image = image_of(roi, len(features))
        d_features[image] += read_bins_backward(grad[r], features[image], steps, mode)
    return d_features
