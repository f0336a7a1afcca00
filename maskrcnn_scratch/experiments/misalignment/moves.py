"""Features while something moves by less than a cell: a staircase, or a line.

Two cases on one axis, at stride 16, pixel by pixel over two cells:

- *The RoI moves.* Features are a ramp, every cell holding the image coordinate x of its
  centre, which is also the mean of x over the cell. A bin's value then is a place in
  the image, in pixels, and should move as the RoI does: slope 1.
- *An object moves, its RoI with it.* Features are what an exact backbone would give:
  the mean of the image over each cell. The image is a smooth blob in the middle of the
  RoI, so the layer should see it in the middle, always.

RoIPool takes the largest feature of a bin, the others the mean of their points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from maskrcnn_scratch.figures.roi_steps import follow_layers

STRIDE = 16
CELLS = 24  # of the map, on the axis
BINS = 7
SIDE = 100.0  # of the RoI, pixels: 6.25 cells
START = 128.0  # where it is at first: a border between cells
MOVES = np.arange(0.0, 2 * STRIDE + 1)  # pixels
SPREAD = SIDE / 8  # standard deviation of the blob, pixels

Line = Float[np.ndarray, " moves"]


@dataclass(frozen=True)
class Moves:
    """One layer, at every place of ``MOVES``; all in image pixels.

    ``features``  the mean of the bins' values on the ramp, less that at the first place
    ``seen``      how far from the RoI's middle the layer sees the blob
    """

    features: Line
    seen: Line

    @property
    def slope(self) -> float:
        """Of the straight line through the features' shift, by least squares."""
        return float(np.polyfit(MOVES, self.features, 1)[0])

    @property
    def still(self) -> int:
        """In how many of the moves by one pixel the features do not move."""
        return int((np.abs(np.diff(self.features)) < 1e-9).sum())

    @property
    def jump(self) -> float:
        """The most that the features move while the RoI moves by one pixel."""
        return float(np.abs(np.diff(self.features)).max())

    @property
    def off_line(self) -> float:
        """How far the features' shift leaves the line of slope 1 at the most.

        The line is laid so that this is as little as can be, for it does not matter
        where in a cell the RoI starts.
        """
        rest = self.features - MOVES
        return float(rest.max() - rest.min()) / 2


def move() -> dict[str, Moves]:
    """Both cases, by the layer's name."""
    ramp = (np.arange(CELLS) + 0.5) * STRIDE
    means: dict[str, list[float]] = {}
    seen: dict[str, list[float]] = {}
    for shift in MOVES:
        for name, bins in read(ramp, shift).items():
            means.setdefault(name, []).append(float(bins.mean()))
        for name, bins in read(blob(START + shift + SIDE / 2), shift).items():
            seen.setdefault(name, []).append(seen_at(bins))
    return {
        name: Moves(np.array(means[name]) - means[name][0], np.array(seen[name]))
        for name in means
    }


def read(
    axis: Float[np.ndarray, " cells"], shift: float
) -> dict[str, Float[np.ndarray, " bins"]]:
    """The bins of the RoI at ``START + shift``, of features that vary along x alone."""
    start = START + shift
    box = np.array([start, STRIDE, start + SIDE, 2 * STRIDE])
    layers = follow_layers(np.tile(axis, (4, 1)), box, (1, BINS), STRIDE)
    return {name: layer.out[0] for name, layer in layers.items()}


def blob(centre: float) -> Float[np.ndarray, " cells"]:
    """The mean over each cell of a Gaussian about ``centre``, which is 1 there.

    An integral of a Gaussian is a difference of error functions.
    """
    edges = np.arange(CELLS + 1) * STRIDE
    scaled = (edges - centre) / (SPREAD * math.sqrt(2))
    below = np.array([math.erf(edge) for edge in scaled])
    area = SPREAD * math.sqrt(math.pi / 2)
    means: Float[np.ndarray, " cells"] = np.diff(below) * area / STRIDE
    return means


def seen_at(bins: Float[np.ndarray, " bins"]) -> float:
    """The centre of mass of the bins, where they belong: pixels from the middle."""
    places = ((np.arange(BINS) + 0.5) / BINS - 0.5) * SIDE
    return float((bins * places).sum() / bins.sum())
