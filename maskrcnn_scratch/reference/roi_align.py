"""RoIAlign: features read at exact places, nothing rounded.

Mask R-CNN, section 3, "RoIAlign". The RoI stays where it is (x / 16, not [x / 16]), and
so do the borders of its bins; each bin reads the feature map by bilinear interpolation
at S x S regular sample points, the centres of its S x S equal parts, and takes their
mean or their maximum.

``aligned=True`` places the points rightly: cell i covers [i, i + 1) and its value sits
at its centre, so the index coordinate is x / stride - 0.5. ``aligned=False`` is the
first published implementation, which takes x / stride itself for the index coordinate
and so reads half a cell too far to the right and bottom; it also stretches a RoI to at
least one cell. Weights trained with one go with that one.

``sampling_ratio`` is S; 0 or less means adaptive: ceil(RoI size / number of bins), so
that the points are at most one cell apart. A RoI of size 0 or inside out then has no
points, and gives 0; with a fixed ratio an inside-out RoI is read mirrored (when
``aligned``). A NaN coordinate makes points outside of any map, which read 0.

Features are (images, channels, height, width), RoIs (n, 5) = (image index, x1, y1, x2,
y2) in image pixels; ``spatial_scale`` is 1 / stride.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from maskrcnn_scratch.reference.bilinear import bilinear, bilinear_taps
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


def axis_points(
    roi: Span, count: int, sampling_ratio: int, aligned: bool = True
) -> tuple[tuple[float, ...], ...]:
    """The sample points of ``count`` equal bins of a RoI on one axis.

    Returns index coordinates: point s of S in bin k lies at
    start + (k + (s + 1/2) / S) * bin_size, less half a cell when ``aligned``.
    """
    bin_size = roi.size / count
    start = roi.start - 0.5 if aligned else roi.start
    samples = sampling_ratio
    if sampling_ratio <= 0:
        samples = math.ceil(bin_size) if 0 < bin_size < math.inf else 0
    return tuple(
        tuple(
            start + k * bin_size + (s + 0.5) * bin_size / samples
            for s in range(samples)
        )
        for k in range(count)
    )


def roi_align_steps(
    box: Float[np.ndarray, " 4"],
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
) -> RoiSteps:
    """The RoI, bins and sample points of one box xyxy, in image pixels."""

    def axis(roi: Span, count: int) -> AxisSteps:
        kept = roi if aligned else at_least_one_cell(roi)
        points = axis_points(kept, count, sampling_ratio, aligned)
        return AxisSteps(1 / spatial_scale, roi, kept, kept.parts(count), points)

    rows, columns = spans_in_cells(box, output_size, spatial_scale)
    return RoiSteps(axis(rows, output_size[0]), axis(columns, output_size[1]))


def sample_points(
    box: Float[np.ndarray, " 4"],
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
) -> tuple[Float[np.ndarray, "out_h samples_y"], Float[np.ndarray, "out_w samples_x"]]:
    """Where one box xyxy is read: index coordinates (rows, columns), a line a bin."""
    steps = roi_align_steps(box, output_size, spatial_scale, sampling_ratio, aligned)
    return np.array(steps.y.points), np.array(steps.x.points)


def sample_weights(values: list[float], mode: str) -> list[float]:
    """How much each sample of a bin counts in its mean or maximum.

    These are also the derivatives of the pooled value by the samples: 1/n each for the
    mean; for the maximum 1 for the winner (the first, where several tie), 0 for the
    others.
    """
    if mode == "mean":
        return [1 / len(values) for _ in values]
    if mode == "max":
        winner = max(range(len(values)), key=values.__getitem__, default=None)
        return [float(s == winner) for s in range(len(values))]
    raise ValueError(f'mode must be "mean" or "max", not {mode!r}')


def read_bins(
    features: Float[np.ndarray, "channels height width"], steps: RoiSteps, mode: str
) -> Float[np.ndarray, "channels out_h out_w"]:
    """The mean or maximum of one image's features at the points of every bin."""
    out = np.zeros((len(features), len(steps.y.bins), len(steps.x.bins)))
    for c, i, j in np.ndindex(out.shape):
        values = [bilinear(features[c], y, x) for y, x in steps.points(i, j)]
        weights = sample_weights(values, mode)
        out[c, i, j] = sum(w * v for w, v in zip(weights, values, strict=True))
    return out


def read_bins_backward(
    grad: Float[np.ndarray, "channels out_h out_w"],
    features: Float[np.ndarray, "channels height width"],
    steps: RoiSteps,
    mode: str,
) -> Float[np.ndarray, "channels height width"]:
    """The gradient of ``read_bins`` by the features: bin -> samples -> cells."""
    d_features = np.zeros(features.shape)
    _, height, width = features.shape
    for c, i, j in np.ndindex(grad.shape):
        points = steps.points(i, j)
        values = [bilinear(features[c], y, x) for y, x in points]
        weights = sample_weights(values, mode)
        for (y, x), weight in zip(points, weights, strict=True):
            for row, y_weight in bilinear_taps(height, y):
                for column, x_weight in bilinear_taps(width, x):
                    share = weight * y_weight * x_weight
                    d_features[c, row, column] += share * grad[c, i, j]
    return d_features


def roi_align(
    features: Float[np.ndarray, "images channels height width"],
    rois: Float[np.ndarray, "rois 5"],
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
    mode: str = "mean",
) -> Float[np.ndarray, "rois channels out_h out_w"]:
    """Each RoI as a grid of ``output_size``, by the ``mode`` ("mean" or "max")."""
    images, channels, _, _ = features.shape
    out = np.zeros((len(rois), channels, *output_size))
    for r, roi in enumerate(rois):
        steps = roi_align_steps(
            roi[1:], output_size, spatial_scale, sampling_ratio, aligned
        )
        out[r] = read_bins(features[image_of(roi, images)], steps, mode)
    return out


def roi_align_backward(
    grad: Float[np.ndarray, "rois channels out_h out_w"],
    features: Float[np.ndarray, "images channels height width"],
    rois: Float[np.ndarray, "rois 5"],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
    mode: str = "mean",
) -> Float[np.ndarray, "images channels height width"]:
    """The gradient by the features, given ``grad`` by the output.

    Each bin's gradient goes to the cells that its samples read, by their weights. The
    maximum sends it through the winning sample alone; the mean needs no ``features``
    but their shape.
    """
    d_features = np.zeros(features.shape)
    for r, roi in enumerate(rois):
        steps = roi_align_steps(
            roi[1:], grad.shape[2:], spatial_scale, sampling_ratio, aligned
        )
        image = image_of(roi, len(features))
        d_features[image] += read_bins_backward(grad[r], features[image], steps, mode)
    return d_features


def axis_matrix(
    size: int, points: Sequence[Sequence[float]]
) -> Float[np.ndarray, "bins size"]:
    """A row a bin: how much it reads of each cell of an axis, on average."""
    matrix = np.zeros((len(points), size))
    for k, bin_points in enumerate(points):
        for point in bin_points:
            for cell, weight in bilinear_taps(size, point):
                matrix[k, cell] += weight / len(bin_points)
    return matrix


def roi_align_separable(
    features: Float[np.ndarray, "images channels height width"],
    rois: Float[np.ndarray, "rois 5"],
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
) -> Float[np.ndarray, "rois channels out_h out_w"]:
    """RoIAlign with the mean, as two matrix products: A_y F A_x^T.

    The points of a bin form a grid and a bilinear weight is a product, row weight by
    column weight: so the mean over the points is a sum over rows of sums over columns.
    """
    images, channels, height, width = features.shape
    out = np.zeros((len(rois), channels, *output_size))
    for r, roi in enumerate(rois):
        steps = roi_align_steps(
            roi[1:], output_size, spatial_scale, sampling_ratio, aligned
        )
        a_y = axis_matrix(height, steps.y.points)
        a_x = axis_matrix(width, steps.x.points)
        out[r] = a_y @ features[image_of(roi, images)] @ a_x.T
    return out
