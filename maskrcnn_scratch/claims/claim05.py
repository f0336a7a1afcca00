"""RoIAlign interpolates to 14 x 14, then pools to 7 x 7."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import (
    Claim,
    Place,
    Step,
    Table,
    Verdict,
    number,
)
from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.reference.crop_and_resize import crop_and_resize, points
from maskrcnn_scratch.reference.roi_align import roi_align, roi_align_steps
from maskrcnn_scratch.reference.roi_steps import AxisSteps

IMAGE, STRIDE, OBJECT = 800, 32, 665
CELLS = IMAGE // STRIDE
COARSE, FINE = 7, 14
ROIS = 8

Grid = Float[np.ndarray, "rois channels _h _w"]


@dataclass(frozen=True)
class TwoSteps:
    """How far several ways are from RoIAlign with 2 x 2 points in 7 x 7 bins.

    ``apart`` is the largest difference over random RoIs, on features of standard
    deviation 1. ``align`` holds the steps of an object along one axis, and ``crop`` the
    index coordinates at which crop_and_resize reads it.
    """

    apart: dict[str, float]
    align: AxisSteps
    crop: Float[np.ndarray, " 14"]


def measure(seed: int = 5) -> TwoSteps:
    """Over random RoIs, and for the object of 665 pixels at the image's corner."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((1, 1, CELLS, CELLS))
    # crop_and_resize gives 0 between the border of the map and its outer cells' centres
    sides = rng.uniform(200, 600, ROIS)
    x1, y1 = rng.uniform(STRIDE, IMAGE - STRIDE - sides, (2, ROIS))
    rois = np.column_stack([np.zeros(ROIS), x1, y1, x1 + sides, y1 + sides])

    def align(size: int, samples: int, mode: str = "mean") -> Grid:
        scale = 1 / STRIDE
        return roi_align(features, rois, (size, size), scale, samples, mode=mode)

    def crop(boxes: Float[np.ndarray, "rois 5"]) -> Grid:
        return crop_and_resize(features, boxes, (FINE, FINE), (IMAGE, IMAGE))

    four = align(COARSE, 2)
    ways = {
        "mean": pooled(align(FINE, 1)) - four,
        "largest": pooled(align(FINE, 1), "max") - align(COARSE, 2, "max"),
        "nine points": align(COARSE, 3) - four,
        "crop_and_resize": pooled(crop(rois)) - four,
        "moved boxes": pooled(crop(moved(rois))) - four,
    }
    box = np.array([0, 0, OBJECT, OBJECT], np.float64)
    return TwoSteps(
        {name: float(abs(way).max()) for name, way in ways.items()},
        roi_align_steps(box, (COARSE, COARSE), 1 / STRIDE, 2).x,
        points(0, OBJECT - 1, IMAGE, CELLS, FINE),
    )


def pooled(fine: Grid, mode: str = "mean") -> Grid:
    """The mean or the largest of each 2 x 2 block of a 14 x 14 grid."""
    blocks = fine.reshape(*fine.shape[:2], COARSE, 2, COARSE, 2)
    reduced: Grid = blocks.max((3, 5)) if mode == "max" else blocks.mean((3, 5))
    return reduced


def moved(rois: Float[np.ndarray, "rois 5"]) -> Float[np.ndarray, "rois 5"]:
    """Boxes for which crop_and_resize reads where RoIAlign reads the given ones.

    Its first read is at pixel x1 and its last at x2 - 1, pixel p being cell
    p (V - 1) / (W - 1): so those pixels must be the first and the last centre.
    """
    part = (rois[:, 3:] - rois[:, 1:3]) / FINE
    first = (rois[:, 1:3] + part / 2) / STRIDE - 0.5
    last = (rois[:, 3:] - part / 2) / STRIDE - 0.5
    pixels = (IMAGE - 1) / (CELLS - 1)
    return np.concatenate([rois[:, :1], first * pixels, last * pixels + 1], axis=1)


def evidence(told: TwoSteps) -> Iterator[Step | Table]:
    """Where the two are equal, and where not."""
    apart = told.apart
    yield Step(f"{ROIS} random RoIs, features of deviation 1:", "apart by")
    for name in ("mean", "largest"):
        yield Step(
            f"14 x 14 centres, then the {name} of each 2 x 2",
            number(apart[name], 9),
            apart[name] < 1e-12,
        )
    yield Step(
        "but not the same: bins of 3 x 3 points",
        number(apart["nine points"], 3),
        apart["nine points"] > 0.01,
    )
    yield Step(
        "nor crop_and_resize to 14 x 14, then 2 x 2",
        number(apart["crop_and_resize"], 3),
        apart["crop_and_resize"] > 0.1,
    )
    yield Step(
        "the same: crop_and_resize, boxes moved to fit",
        number(apart["moved boxes"], 9),
        apart["moved boxes"] < 1e-9,
    )
    first, last = outwards(told)
    yield Step(
        f"unmoved, {OBJECT} / {STRIDE}: its outer reads lie outwards",
        f"{first:.1f}, {last:.1f} pixels",
        min(first, last) > 1,
    )


def outwards(told: TwoSteps) -> tuple[float, float]:
    """How far crop_and_resize's first and last read lie outside RoIAlign's, pixels."""
    first, last = told.align.points[0][0], told.align.points[-1][-1]
    return (first - told.crop[0]) * STRIDE, (told.crop[-1] - last) * STRIDE


def draw(told: TwoSteps) -> Figure:
    """Both rows of reads on the bins of the object, along one axis."""
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    axes = figure.subplots()
    for border in [span.start for span in told.align.bins] + [told.align.roi.end]:
        axes.axvline(border, color=palette.BIN, lw=1, zorder=1)
    align = np.ravel(told.align.points) + 0.5
    for row, (reads, colour) in enumerate(
        ((align, palette.SAMPLE), (told.crop + 0.5, palette.FAULT))
    ):
        axes.plot(reads, np.full(FINE, row), "o", color=colour, ms=6)
    axes.plot([align, told.crop + 0.5], [0, 1], color="0.6", lw=0.8, zorder=0)
    axes.set_yticks([0, 1], ["RoIAlign,\n2 x 2 a bin", "crop_and_resize,\n14 x 14"])
    axes.set(ylim=(1.5, -0.5), xlabel=f"cells of {STRIDE} image pixels; lines: bins")
    return figure


def alt(told: TwoSteps) -> str:
    """The picture in words."""
    first, last = outwards(told)
    return (
        f"The {COARSE} bins of an object of {OBJECT} pixels along one axis, and two "
        f"rows of {FINE} reads. RoIAlign's are two in each bin, evenly; "
        f"crop_and_resize's are spread wider, by {first:.0f} pixels at the first and "
        f"{last:.0f} at the last."
    )


CLAIM = Claim(
    number=5,
    claim="RoIAlign interpolates the RoI to 14 x 14 values and then pools them to "
    "7 x 7.",
    places=(Place.BLOG, Place.SUMMARY),
    verdict=Verdict.CONDITION,
    right="The same as 2 x 2 points a bin where the 14 x 14 reads are the centres of "
    "equal parts; crop_and_resize, with which this was done, spreads its reads up to "
    "the RoI's outer pixels.",
    paper="Section 3, RoIAlign: four regularly sampled points in each bin, then their "
    "maximum or mean; no 14 x 14.",
    lesson="03_roi_align",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
