"""The steps from a box in the image to the features a RoI layer reads, as data.

RoIPool, RoIWarp and RoIAlign all divide a RoI of any size into a fixed grid of bins.
Three steps tell them apart (Mask R-CNN, section 3, "RoIAlign"):

========  ==================  ==================  =======================
layer     the RoI's corners   the bins' borders   what a bin reads
========  ==================  ==================  =======================
RoIPool   to whole cells      to whole cells      every cell inside it
RoIWarp   to whole cells      kept                sample points inside it
RoIAlign  kept                kept                sample points inside it
========  ==================  ==================  =======================

Each layer's module has a function that returns these steps (``roi_pool_steps``,
``roi_warp_steps``, ``roi_align_steps``), and the layer itself computes from them, so
what a figure or a table shows is what the layer does.

Rows and columns never mix: everything here happens on one axis at a time.
Two coordinates occur, both in cells of the feature map:

- *cells*: image pixels divided by the stride. Cell i covers [i, i + 1).
- *index*: the value of cell i sits at i. It is the cell's centre, so
  index = cells - 0.5; it is what ``bilinear`` takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float


class Span(NamedTuple):
    """A stretch of one axis, from ``start`` up to ``end``, in cells."""

    start: float
    end: float

    @property
    def size(self) -> float:
        """Length in cells; negative where the box is inside out."""
        return self.end - self.start

    @property
    def centre(self) -> float:
        """The point half-way."""
        return (self.start + self.end) / 2

    def parts(self, count: int) -> tuple[Span, ...]:
        """The span cut into ``count`` equal parts."""
        size = self.size / count
        return tuple(
            Span(self.start + k * size, self.start + (k + 1) * size)
            for k in range(count)
        )


@dataclass(frozen=True)
class AxisSteps:
    """Every number of one RoI on one axis, in the order in which they arise.

    ``stride``     image pixels a cell (1 / spatial_scale)
    ``roi``        the RoI in cells, as the box says
    ``quantised``  the RoI that the layer goes on with
    ``bins``       the bins that the layer goes on with
    ``points``     for each bin, the index coordinates at which features are read

    Shifts are in cells, one a bin, positive towards larger coordinates; times
    ``stride`` they are image pixels. ``corner_shift``, ``border_shift`` and
    ``reading_shift`` add up to ``shift``: each step's share of the misalignment.
    """

    stride: float
    roi: Span
    quantised: Span
    bins: tuple[Span, ...]
    points: tuple[Sequence[float], ...]

    @property
    def ideal_bins(self) -> tuple[Span, ...]:
        """Equal parts of the RoI itself: the bins if nothing were quantised."""
        return self.roi.parts(len(self.bins))

    @property
    def even_bins(self) -> tuple[Span, ...]:
        """Equal parts of the quantised RoI: the bins if only corners were quantised."""
        return self.quantised.parts(len(self.bins))

    @property
    def bin_size(self) -> float:
        """The side of an even bin in cells, before any rounding of the bins."""
        return self.quantised.size / len(self.bins)

    @property
    def lost(self) -> float:
        """Cells of the RoI that quantising its corners cut off (negative: added)."""
        return self.roi.size - self.quantised.size

    @property
    def covered(self) -> float:
        """Cells from the start of the first bin to the end of the last."""
        return self.bins[-1].end - self.bins[0].start

    @property
    def corner_shift(self) -> tuple[float, ...]:
        """How far the first quantisation, of the RoI, moves each bin's centre."""
        return _shifts(self.ideal_bins, self.even_bins)

    @property
    def border_shift(self) -> tuple[float, ...]:
        """How far the second quantisation, of the bins, moves each bin's centre."""
        return _shifts(self.even_bins, self.bins)

    @property
    def reading_shift(self) -> tuple[float, ...]:
        """How far the middle of what a bin reads lies from the bin's centre.

        NaN for a bin that reads nothing.
        """
        return tuple(
            _mean(points) + 0.5 - span.centre
            for span, points in zip(self.bins, self.points, strict=True)
        )

    @property
    def shift(self) -> tuple[float, ...]:
        """The misalignment: from where a bin belongs to the middle of what it reads."""
        return tuple(
            _mean(points) + 0.5 - span.centre
            for span, points in zip(self.ideal_bins, self.points, strict=True)
        )


@dataclass(frozen=True)
class RoiSteps:
    """The steps of one RoI: rows (y) and columns (x)."""

    y: AxisSteps
    x: AxisSteps

    def points(self, i: int, j: int) -> list[tuple[float, float]]:
        """The index coordinates (y, x) that the bin in row i, column j reads."""
        return [(y, x) for y in self.y.points[i] for x in self.x.points[j]]


def spans_in_cells(
    box: Float[np.ndarray, " 4"], output_size: tuple[int, int], spatial_scale: float
) -> tuple[Span, Span]:
    """A box xyxy in image pixels as spans (rows, columns) in cells.

    Raises ValueError where the grid has no bins or the scale is not positive: every
    RoI layer starts here.
    """
    if min(output_size) < 1:
        raise ValueError(f"output_size must be at least (1, 1), not {output_size}")
    if not spatial_scale > 0:
        raise ValueError(
            f"spatial_scale must be positive (1 / stride), not {spatial_scale}"
        )
    x1, y1, x2, y2 = (float(c) * spatial_scale for c in box)
    return Span(y1, y2), Span(x1, x2)


def at_least_one_cell(span: Span) -> Span:
    """The span, stretched from its start to one cell where it is shorter or inverted.

    A NaN border is not less than anything, so it stays NaN.
    """
    return Span(span.start, span.start + 1) if span.size < 1 else span


def image_of(roi: Float[np.ndarray, " 5"], images: int) -> int:
    """The index of the image a RoI row (image, x1, y1, x2, y2) belongs to."""
    index = float(roi[0])
    if index not in range(images):
        raise ValueError(
            f"the RoI {roi.tolist()} belongs to image {index:g}, "
            f"expected a whole number from 0 to {images - 1}"
        )
    return int(index)


def _shifts(before: tuple[Span, ...], after: tuple[Span, ...]) -> tuple[float, ...]:
    return tuple(b.centre - a.centre for a, b in zip(before, after, strict=True))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
