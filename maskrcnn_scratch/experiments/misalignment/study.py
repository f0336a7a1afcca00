"""The study as tables, each computed when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

from maskrcnn_scratch.experiments.misalignment.bounds import (
    Bound,
    bound_bins,
    bound_borders,
)
from maskrcnn_scratch.experiments.misalignment.gradient import agreement
from maskrcnn_scratch.experiments.misalignment.masks import SIZES, iou_lost
from maskrcnn_scratch.experiments.misalignment.moves import move
from maskrcnn_scratch.experiments.misalignment.shifts import (
    BINS,
    OCTAVES,
    STRIDES,
    Spread,
    all_octaves,
    objects_at,
    octave_in,
    shares,
    spread,
)
from maskrcnn_scratch.experiments.misalignment.tables import Row, Table, numbers

LAYERS = ("RoIPool floor", "RoIPool round", "RoIWarp", "RoIAlign", "RoIAlign legacy")
BY_STRIDE = tuple(f"stride {stride}" for stride in STRIDES)
LIMITS = ("least possible", "most possible", "least found", "most found")
APS = ("AP", "AP50", "AP75")


def by_stride(name: str, title: str, of: Callable[[Spread], float]) -> Table:
    """One figure of the objects' shifts at every stride, in image pixels."""
    rows = [
        (
            str(bins),
            layer,
            *numbers(of(spread(objects_at(bins, s)[layer].total)) for s in STRIDES),
        )
        for bins, layer in product(BINS, LAYERS)
    ]
    return Table(name, title, ("bins", "layer", *BY_STRIDE), tuple(rows))


def mean() -> Table:
    """Without sign."""
    title = "Mean distance of a bin from its place, image pixels"
    return by_stride("mean", title, lambda one: one.mean)


def rms() -> Table:
    """Large errors count more."""
    title = "Root mean square of the distance, image pixels"
    return by_stride("rms", title, lambda one: one.rms)


def worst() -> Table:
    """The one bin."""
    title = "Largest distance found, image pixels"
    return by_stride("worst", title, lambda one: one.worst)


def octaves() -> Table:
    """By the RoI's size in cells."""
    rows = [
        (
            str(bins),
            layer,
            *numbers(spread(octave_in(bins, c)[layer].total).rms for c in OCTAVES),
        )
        for bins, layer in product(BINS, LAYERS)
    ]
    return Table(
        "octaves",
        "Root mean square of the distance in cells, by the RoI's side in cells",
        ("bins", "layer", *(f"{least} to {2 * least}" for least in OCTAVES)),
        tuple(rows),
    )


def parts() -> Table:
    """Each quantisation alone, and its share of the whole."""
    rows = []
    for bins, layer in product(BINS, LAYERS):
        shifts = all_octaves(bins, layer)
        every = (shifts.corners, shifts.borders, shifts.reading, shifts.total)
        means = numbers(spread(one).mean for one in every)
        bias = numbers([spread(shifts.total).bias])
        percents = numbers((100 * share for share in shares(shifts)), 1)
        rows.append((str(bins), layer, *means, *bias, *percents))
    return Table(
        "parts",
        "Mean distance in cells by each step; mean with sign; share of mean square",
        (
            *("bins", "layer", "corners", "borders", "reading", "all", "with sign"),
            *("corners, %", "borders, %", "reading, %"),
        ),
        tuple(rows),
    )


def gradient() -> Table:
    """What the steps say against what the gradients say."""
    rows = [
        (layer, str(one.bins), *numbers([one.difference, one.errors]))
        for layer, one in agreement().items()
    ]
    return Table(
        "gradient",
        "Centre of mass of the gradient against the computed place, the worst bin",
        ("layer", "bins compared", "difference, cells", "in standard errors"),
        tuple(rows),
    )


def borders() -> Table:
    """The RoI's start and end."""
    rows = []
    for layer, (start, end) in bound_borders().items():
        outside = str(start.outside + end.outside)
        rows.append((layer, *limits(start), *limits(end), outside))
    return Table(
        "borders",
        "How far the RoI's borders move, cells: bound and found",
        (
            "layer",
            *(f"start: {what}" for what in LIMITS),
            *(f"end: {what}" for what in LIMITS),
            "outside",
        ),
        tuple(rows),
    )


def bounds() -> Table:
    """The bins' centres."""
    rows = [
        (str(bins), layer, *limits(bound), str(bound.outside))
        for bins in BINS
        for layer, bound in bound_bins(bins).items()
    ]
    return Table(
        "bounds",
        "How far a bin is from its place, cells: bound and found",
        ("bins", "layer", *LIMITS, "outside"),
        tuple(rows),
    )


def limits(bound: Bound) -> Row:
    """Possible, and found."""
    return numbers([bound.low, bound.high, bound.found_low, bound.found_high])


def moves() -> Table:
    """The staircase and the line."""
    rows = [
        (
            *(layer, *numbers([one.slope]), str(one.still)),
            *numbers([one.jump, one.off_line, one.seen.min(), one.seen.max()]),
        )
        for layer, one in move().items()
    ]
    return Table(
        "moves",
        "A RoI, then an object with its RoI, moved by 32 pixels at stride 16",
        (
            *("layer", "slope", "moves of 1 px without effect", "largest jump, px"),
            *("off the line, px", "object seen from, px", "to, px"),
        ),
        tuple(rows),
    )


def iou() -> Table:
    """By all of the shift."""
    title = "IoU that a perfect mask loses, beyond what it loses with RoIAlign"
    return by_size("iou", title, 0)


def iou_varying() -> Table:
    """By what cannot be learnt."""
    title = "The same, by what of the shift differs from RoI to RoI"
    return by_size("iou-varying", title, 1)


def by_size(name: str, title: str, which: int) -> Table:
    """One of the two losses, by the object's size and the stride."""
    rows = [
        (
            layer,
            str(size),
            *numbers((iou_lost(size / s)[layer][which] for s in STRIDES), 3),
        )
        for layer, size in product(LAYERS, SIZES)
        if layer != "RoIAlign"
    ]
    return Table(name, title, ("layer", "object, px", *BY_STRIDE), tuple(rows))


PAPER = (
    ("2c, stride 16, masks", "RoIPool max", (26.9, 48.8, 26.4), (30.2, 51.0, 31.8)),
    ("2c, stride 16, masks", "RoIWarp max", (27.2, 49.2, 27.1), (30.2, 51.0, 31.8)),
    ("2c, stride 16, masks", "RoIWarp mean", (27.1, 48.9, 27.1), (30.3, 51.2, 31.5)),
    ("2d, stride 32, masks", "RoIPool", (23.6, 46.5, 21.6), (30.9, 51.8, 32.1)),
    ("2d, stride 32, boxes", "RoIPool", (28.2, 52.7, 26.9), (34.0, 55.3, 36.4)),
    ("6, FPN, keypoints", "RoIPool", (59.8,), (64.2,)),
)
"""Mask R-CNN, tables 2c, 2d and 6: AP, AP50, AP75 of a layer, and of RoIAlign."""


def paper() -> Table:
    """What the paper measured."""
    rows = []
    for table, layer, its, best in PAPER:
        less = [high - low for low, high in zip(its, best, strict=True)]
        padding = [math.nan] * (len(APS) - len(its))
        figures = [*its, *padding, *less, *padding]
        rows.append((table, layer, *numbers(figures, 1)))
    return Table(
        "paper",
        "The paper's measurements on COCO minival, in points",
        ("table", "layer", *APS, *(f"{ap} less than RoIAlign" for ap in APS)),
        tuple(rows),
    )


TABLES: tuple[Callable[[], Table], ...] = (
    *(mean, rms, worst, octaves, parts, gradient, borders, bounds),
    *(moves, iou, iou_varying, paper),
)
