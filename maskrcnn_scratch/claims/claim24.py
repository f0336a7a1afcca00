"""Large images in tiles, and curves of mean IoU."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict
from maskrcnn_scratch.data.shapes import to_sample
from maskrcnn_scratch.data.tiles import (
    cut_tiles,
    glue_tiles,
    tile_corners,
    tile_starts,
)
from maskrcnn_scratch.experiments.lesson_weights import SIZE
from maskrcnn_scratch.experiments.mask_branch import TEST_SEED
from maskrcnn_scratch.experiments.tiles import (
    FULL,
    LARGE,
    OVERLAP,
    QUICK,
    Curve,
    TileScale,
    covered,
    draw_large,
    train_on_tiles,
    ways_to_predict,
)
from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.inference import Predictor
from maskrcnn_scratch.inference.overlay import draw_objects
from maskrcnn_scratch.weights.lesson import lesson_model

TILE, SHARED = 1024, 256  # pixels
HEIGHT, WIDTH = 2000, 3000  # of an image to be cut
THEIRS = 0.66, 0.60  # train, test: the document's figures
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tiles:
    """What cutting keeps, what predicting in tiles finds, and the curves."""

    least_covered: int
    """In how many of the 1024 x 1024 tiles a pixel of the image is, at least."""
    image_kept: bool
    masks_kept: bool
    found: dict[str, float]
    """Mean IoU of the objects, of large images shown whole and in tiles."""
    curves: list[Curve]


def measure(seeds: int = 3, scale: TileScale = FULL) -> Tiles:
    """Cut, predict with the lessons' model, train."""
    image_kept, masks_kept = cut_and_glued()
    scenes = [draw_large(TEST_SEED, number) for number in range(scale.test_images)]
    ways = ways_to_predict(Predictor(*lesson_model("shapes")))
    found = {name: covered(way, scenes).per_object for name, way in ways.items()}
    curves = []
    for seed in range(seeds):
        curves.append(train_on_tiles(seed, scale))
        log.info("seed %d: trained", seed)
    return Tiles(least_covered(), image_kept, masks_kept, found, curves)


def least_covered() -> int:
    """Counted over every row and column: a pixel is in rows x columns of tiles."""
    least = 1
    for size in (HEIGHT, WIDTH):
        starts = np.array(tile_starts(size, TILE, SHARED))
        pixels = np.arange(size)[:, None]
        inside = (starts <= pixels) & (pixels < starts + TILE)
        least *= int(inside.sum(axis=1).min())
    return least


def cut_and_glued() -> tuple[bool, bool]:
    """Whether an image, and its objects' masks, come back as they were."""
    image, target = to_sample(draw_large(TEST_SEED, 0), 1)
    # With a label of its own an object is known again in every tile.
    target = replace(target, labels=torch.arange(1, len(target) + 1))
    assert target.masks is not None
    tiles = cut_tiles((image, target), SIZE - 30, OVERLAP)
    masks = []
    for corner, (part, own) in tiles:
        assert own.masks is not None
        every = torch.zeros(len(target), *part.shape[1:], dtype=torch.uint8)
        every[own.labels - 1] = own.masks
        masks.append((corner, every))
    size = (LARGE, LARGE)
    glued = glue_tiles([(corner, part) for corner, (part, _) in tiles], size)
    return torch.equal(glued, image), torch.equal(glue_tiles(masks, size), target.masks)


def evidence(told: Tiles) -> Iterator[Step | Table]:
    """Cutting, predicting, training."""
    count = len(tile_corners((HEIGHT, WIDTH), TILE, SHARED))
    yield Step(
        f"{WIDTH} x {HEIGHT} pixels in tiles of {TILE}, {SHARED} shared", f"{count}"
    )
    least = told.least_covered
    yield Step("tiles that a pixel is in, at least", f"{least}", least >= 1)
    for says, kept in (("image", told.image_kept), ("masks", told.masks_kept)):
        yield Step(f"{says} cut and put together: as before", answer(kept), kept)
    whole, tiles = told.found["whole"], told.found["tiles"]
    yield Step(f"mean IoU, images of {LARGE} pixels shown whole", f"{whole:.3f}")
    yield Step(f"in tiles of {SIZE}, as in the training", f"{tiles:.3f}", tiles > whole)
    train, test = last(told)
    yield Table(
        "mean IoU at the end of a training on tiles",
        ("", "train", "test", "difference"),
        (
            row("the document, its own images", *THEIRS),
            row(f"here, seeds: {len(told.curves)}", train, test),
        ),
    )
    apart = [curve.train[-1] - curve.test[-1] for curve in told.curves]
    yield Step("train above test, at least by", f"{min(apart):.3f}", min(apart) > 0)
    steps = np.abs(np.diff([curve.test for curve in told.curves])).mean(axis=0)
    yield Step(
        "test: last change of the curve, first change",
        f"{steps[-1]:.3f}, {steps[0]:.3f}",
        bool(steps[-1] < steps[0]),
    )


def answer(kept: bool) -> str:
    """In a word."""
    return "yes" if kept else "no"


def row(name: str, train: float, test: float) -> tuple[str, ...]:
    """Of the table."""
    return name, f"{train:.2f}", f"{test:.2f}", f"{train - test:.2f}"


def last(told: Tiles) -> tuple[float, float]:
    """Mean IoU at the end, train and test, over the runs."""
    train = np.mean([curve.train[-1] for curve in told.curves])
    return float(train), float(np.mean([curve.test[-1] for curve in told.curves]))


def draw(told: Tiles) -> Figure:
    """A large image, found whole and in tiles; the curves."""
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    *panels, curves = figure.subplots(1, 3)
    image, _ = to_sample(draw_large(TEST_SEED, 1), 1)
    ways = ways_to_predict(Predictor(*lesson_model("shapes")))
    for axes, (name, way) in zip(panels, ways.items(), strict=True):
        found = way(image)
        drawn = draw_objects(image, found.boxes, found.masks, [""] * len(found))
        axes.imshow(drawn, extent=(0, LARGE, LARGE, 0))
        iou = f"mean IoU of all images {told.found[name]:.2f}"
        axes.set_title(f"{name}: {len(found)} found here\n{iou}", fontsize=10)
        axes.set(xticks=[], yticks=[])
    for top, left in tile_corners((LARGE, LARGE), SIZE, OVERLAP):
        panels[1].add_patch(
            Rectangle((left, top), SIZE, SIZE, fc="none", ec="black", lw=1, ls="--")
        )
    draw_curves(curves, told.curves)
    return figure


def draw_curves(axes: Axes, curves: list[Curve]) -> None:
    """Train and test, a thin line a run, and their means."""
    runs = {
        "train": (palette.ROI, [curve.train for curve in curves]),
        "test": (palette.QUANTISED, [curve.test for curve in curves]),
    }
    at = curves[0].iterations
    for name, (color, values) in runs.items():
        for one in values:
            axes.plot(at, one, color=color, lw=0.7, alpha=0.6)
        axes.plot(at, np.mean(values, axis=0), color=color, lw=2.5, label=name)
    axes.set(
        xlabel="iteration",
        ylabel="mean IoU",
    )
    axes.set_title("trained on tiles", fontsize=10)
    axes.grid(color=palette.PIXEL, lw=0.5)
    axes.legend()


def alt(told: Tiles) -> str:
    """The picture in words."""
    train, test = last(told)
    return (
        f"A generated image of {LARGE} pixels twice, with what a model for {SIZE} "
        f"pixels finds: shown whole, mean IoU {told.found['whole']:.2f}; in nine "
        f"dashed tiles, {told.found['tiles']:.2f}. Beside them mean IoU over the "
        f"iterations of a training on tiles, which ends at {train:.2f} for the images "
        f"trained on and {test:.2f} for others."
    )


CLAIM = Claim(
    number=24,
    claim="Large images are cut into tiles of 1024 x 1024 pixels, their labels alike; "
    "mean IoU converges to 0.66 on the training set and about 0.6 on the test set.",
    places=(Place.SUMMARY,),
    verdict=Verdict.CONDITION,
    right="A sound way to work, and training lies above test; but 0.66 and 0.60 are of "
    "images that the document does not name, and cannot be computed again.",
    paper="Section 3.1: the paper scales images to a shorter side of 800 pixels, cuts "
    "no tiles, and measures AP, not mean IoU.",
    lesson="16_your_images",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
    small=f"tiles of {SIZE} pixels out of generated images of {LARGE}; the lessons' "
    "model predicts; backbone and mask head alone, boxes given, are trained on "
    f"{FULL.train_images} images, {FULL.iterations} iterations, 3 seeds, about 2 "
    f"minutes. Quick: {QUICK.train_images} images, {QUICK.iterations} iterations, 1 "
    "seed, 8 seconds.",
    quick={"seeds": 1, "scale": QUICK},
)
