"""Where a bin's value comes from, by the layers' own gradients.

The centre of mass of a bin's gradient by the features is where the bin reads. For the
layers that interpolate it is exact, for they are linear. RoIPool's maximum sends the
gradient to the one cell that won; over features that are independent of each other
every cell of the bin wins equally often, so the mean over many maps of noise tends to
the middle of the bin's cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from maskrcnn_scratch.experiments.misalignment.shifts import (
    SEED,
    log_uniform,
    steps_along,
)
from maskrcnn_scratch.figures.misalignment import SAMPLES
from maskrcnn_scratch.reference.roi_align import roi_align_backward
from maskrcnn_scratch.reference.roi_pool import roi_pool, roi_pool_backward
from maskrcnn_scratch.reference.roi_warp import roi_warp_backward

MAPS = 200  # of noise, for RoIPool
CELLS = 32  # of a map, enough for every RoI here
Features = Float[np.ndarray, "1 maps rows cells"]
Gradient = Float[np.ndarray, "1 maps 1 bins"]
Roi = Float[np.ndarray, "1 5"]
Backward = Callable[[Gradient, Features, Roi, float], Features]


@dataclass(frozen=True)
class Agreement:
    """How far the gradient's centres are from those of ``AxisSteps``, at the most.

    ``difference`` is in cells; ``errors`` counts standard errors of a mean over the
    maps of noise, and is NaN for a layer that needs none.
    """

    bins: int
    difference: float
    errors: float


def pool_backward(
    rounding: str, grad: Gradient, features: Features, roi: Roi, scale: float
) -> Features:
    """RoIPool there and back."""
    _, argmax = roi_pool(features, roi, (1, grad.shape[-1]), scale, rounding)
    return roi_pool_backward(grad, argmax, roi, features.shape)


def warp_backward(
    grad: Gradient, features: Features, roi: Roi, scale: float
) -> Features:
    """RoIWarp, which asks for the output's size."""
    size = (1, grad.shape[-1])
    return roi_warp_backward(grad, features, roi, size, scale, SAMPLES)


def align_backward(
    aligned: bool, grad: Gradient, features: Features, roi: Roi, scale: float
) -> Features:
    """RoIAlign, with the half pixel or without."""
    return roi_align_backward(grad, features, roi, scale, SAMPLES, aligned)


BACKWARDS: dict[str, Backward] = {
    "RoIPool floor": partial(pool_backward, "floor"),
    "RoIPool round": partial(pool_backward, "round"),
    "RoIWarp": warp_backward,
    "RoIAlign": partial(align_backward, True),
    "RoIAlign legacy": partial(align_backward, False),
}


def gradient_centres(
    name: str, interval: Float[np.ndarray, " 2"], bins: int, features: Features
) -> Float[np.ndarray, " bins"]:
    """The centre of mass of each bin's gradient, in cells; ``interval`` is in cells.

    The mean over the maps of ``features``, for the layer of this name.
    """
    start, end = interval
    roi = np.array([[0, start, 0, end, 1.0]])
    places = np.arange(features.shape[-1]) + 0.5
    centres = np.zeros(bins)
    for k in range(bins):
        grad = np.zeros((1, features.shape[1], 1, bins))
        grad[..., k] = 1
        mass = BACKWARDS[name](grad, features, roi, 1.0).sum(axis=(0, 1, 2))
        centres[k] = (mass * places).sum() / mass.sum()
    return centres


def agreement(count: int = 10, bins: int = 7) -> dict[str, Agreement]:
    """Gradient against ``AxisSteps`` on RoIs of 1 to 24 cells, by the layer's name."""
    rng = np.random.default_rng(SEED)
    sample = 2 + log_uniform(count, 1, 24, room=1, seed=SEED)
    return {
        name: worst([compare(name, interval, bins, rng) for interval in sample])
        for name in BACKWARDS
    }


def compare(
    name: str, interval: Float[np.ndarray, " 2"], bins: int, rng: np.random.Generator
) -> Agreement:
    """One RoI: the worst of its bins."""
    steps = steps_along(interval, bins, 1)[name]
    expected = np.array([span.centre for span in steps.ideal_bins]) + steps.shift
    pool = name.startswith("RoIPool")
    features = rng.random((1, MAPS if pool else 1, 3, CELLS))
    off = np.abs(gradient_centres(name, interval, bins, features) - expected)
    if not pool:
        return Agreement(bins, float(off.max()), math.nan)
    # A winner is uniform over the bin's cells; a single cell leaves it no choice.
    errors = np.array([standard_error(len(points)) for points in steps.points])
    in_errors = off / np.maximum(errors, 1e-9)
    return Agreement(bins, float(off.max()), float(in_errors.max()))


def standard_error(count: int) -> float:
    """Of the mean place of ``MAPS`` winners among ``count`` cells."""
    return math.sqrt((count**2 - 1) / 12 / MAPS)


def worst(found: list[Agreement]) -> Agreement:
    """The largest differences of all RoIs."""
    return Agreement(
        sum(one.bins for one in found),
        max(one.difference for one in found),
        max(one.errors for one in found),
    )
