"""FCIS and Mask R-CNN where objects overlap."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict
from maskrcnn_scratch.data.batches import collate
from maskrcnn_scratch.data.transforms import Sample
from maskrcnn_scratch.experiments.ablations import paired_difference
from maskrcnn_scratch.experiments.fcis import (
    FCIS,
    FULL,
    MASK_RCNN,
    OVERLAPPING,
    PARTS,
    QUICK,
    SIZE,
    Answers,
    PositionSensitive,
    answer_change,
    answers,
    test_pairs,
    train,
)
from maskrcnn_scratch.experiments.mask_branch import MaskBranch, Scale, given_boxes
from maskrcnn_scratch.figures.fcis import Pair, draw_pair

SHOWN = 0.5  # largest IoU of the two boxes that are drawn
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One branch after one training."""

    alone: float
    """Mean mask IoU of objects that stand alone."""
    pairs: float
    """Of those whose box overlaps the other's, by an IoU of ``OVERLAPPING`` or more."""
    shared_error: float
    false_edges: Float[np.ndarray, "2 2"]
    answer_change: float

    @property
    def lost(self) -> float:
        """What overlap costs in mask IoU."""
        return self.alone - self.pairs


@dataclass(frozen=True)
class Overlaps:
    """The runs of each branch, one a seed, and a pair of objects to look at."""

    runs: dict[str, list[Run]]
    pair: Pair


def measure(seeds: int = 3, scale: Scale = FULL) -> Overlaps:
    """Train both branches once a seed, on the same images."""
    samples = test_pairs(scale.test_images)
    runs: dict[str, list[Run]] = {MASK_RCNN: [], FCIS: []}
    for seed in range(seeds):
        told, branches = {}, {}
        for name in runs:
            branches[name] = train(name, seed, scale)
            told[name] = answers(branches[name], samples)
            change = answer_change(branches[name], samples[:1])
            runs[name].append(run_of(told[name], change))
            log.info("seed %d, %s: trained", seed, name)
    return Overlaps(runs, pair_of(samples, told, branches[FCIS]))


def run_of(told: Answers, change: float) -> Run:
    """The figures of one training."""
    return Run(
        alone=told.mean_iou(told.overlap == 0),
        pairs=told.mean_iou(told.overlap >= OVERLAPPING),
        shared_error=told.shared_error(),
        false_edges=told.false_edges(),
        answer_change=change,
    )


@torch.no_grad()
def pair_of(
    samples: list[Sample], told: dict[str, Answers], branch: MaskBranch
) -> Pair:
    """Of the pairs that can be told apart, the one with most bins in shared parts."""
    assert isinstance(branch, PositionSensitive)
    truth = told[FCIS]
    fit = (truth.overlap > 0) & (truth.overlap < SHOWN)
    object_ = int(np.argmax(truth.shared.sum((1, 2)) * fit))
    ends = np.cumsum([len(target) for _, target in samples])
    place = int(np.searchsorted(ends, object_, side="right"))
    both = slice(int(ends[place]) - 2, int(ends[place]))
    images, targets = collate([samples[place]])
    maps = branch.score_maps(images)[0]
    return Pair(
        image=(images[0] * 255).round().byte().permute(1, 2, 0).numpy(),
        boxes=given_boxes(targets[0]).double().numpy(),
        true=truth.true[both],
        found={name: one.found[both] for name, one in told.items()},
        assembled=branch.scores(images, targets).double().numpy(),
        maps=maps.double().numpy().reshape(2, PARTS, PARTS, *maps.shape[1:]),
    )


def evidence(told: Overlaps) -> Iterator[Step | Table]:
    """The artefact, why it is there, and what it costs."""
    ours, fcis = told.runs[MASK_RCNN], told.runs[FCIS]
    yield from false_edges(ours, fcis)
    yield from same_answer(ours, fcis)
    fields = ("alone", "pairs", "lost")
    yield Table(
        f"mask IoU, seeds: {len(fcis)}",
        ("", "alone", f"box IoU {OVERLAPPING:g} or more", "lost"),
        tuple(
            (name, *(f"{mean(runs, field):.3f}" for field in fields))
            for name, runs in told.runs.items()
        ),
    )
    yield more("FCIS loses more in overlaps, by", ours, fcis, "lost")


def false_edges(ours: list[Run], fcis: list[Run]) -> Iterator[Step | Table]:
    """The line: FCIS's false edges stand where parts meet."""
    yield Table(
        "edges found where there is none, of 1000 pairs of neighbouring bins",
        ("", "between parts", "within a part"),
        tuple(
            (name, *(f"{1000 * rate:.0f}" for rate in edges(runs).mean(axis=(0, 1))))
            for name, runs in ((MASK_RCNN, ours), (FCIS, fcis))
        ),
    )
    for way, says in enumerate(("upright", "level")):
        rates = edges(fcis)[:, way]
        between, within = rates.T
        yield Step(
            f"FCIS: {says} ones between parts, in proportion",
            f"x {ratio(rates):.2f}",
            bool((between > within).all()),
        )
    rates = edges(ours).mean(axis=1)
    between, within = rates.T
    yield Step(
        "Mask R-CNN: at the same places",
        f"x {ratio(rates):.2f}",
        bool((between < within).all()),
    )


def same_answer(ours: list[Run], fcis: list[Run]) -> Iterator[Step]:
    """Why: FCIS does not know for which box a pixel of a part is asked."""
    change = max(run.answer_change for run in fcis)
    yield Step(
        "FCIS: change of logits when a box moves in its parts",
        f"{change:.4f}",
        change < 1e-3,
    )
    change = min(run.answer_change for run in ours)
    yield Step("Mask R-CNN: the same", f"{change:.4f}", change > 0.1)
    yield Step(
        "wrong of bins in the same part of both boxes: FCIS",
        f"{mean(fcis, 'shared_error'):.1%}",
    )
    yield Step("Mask R-CNN", f"{mean(ours, 'shared_error'):.1%}")
    yield more("FCIS answers more of them wrongly, by", ours, fcis, "shared_error")


def more(says: str, ours: list[Run], fcis: list[Run], field: str) -> Step:
    """Whether FCIS has more, by two standard errors; one run alone cannot say."""
    values = [[getattr(run, field) for run in runs] for runs in (fcis, ours)]
    larger, error = paired_difference(*values)
    if len(ours) == 1:
        return Step(f"{says} (one run)", f"{larger:.3f}")
    return Step(says, f"{larger:.3f} +- {error:.3f}", larger > 2 * error)


def mean(runs: list[Run], field: str) -> float:
    """Of one figure over the runs."""
    return float(np.mean([getattr(run, field) for run in runs]))


def edges(runs: list[Run]) -> Float[np.ndarray, "runs 2 2"]:
    """``Answers.false_edges`` of every run."""
    return np.stack([run.false_edges for run in runs])


def ratio(rates: Float[np.ndarray, "runs 2"]) -> float:
    """Between parts over within."""
    between, within = rates.mean(axis=0)
    return float(between / within)


def draw(told: Overlaps) -> Figure:
    """A pair of objects, its masks, and FCIS's maps."""
    return draw_pair(told.pair)[0]


def alt(told: Overlaps) -> str:
    """The picture in words."""
    wrong = {
        name: int((found != told.pair.true).sum())
        for name, found in told.pair.found.items()
    }
    said = ", ".join(f"{count} of {name}" for name, count in wrong.items())
    return (
        "Two shapes of one class, one over the other; for each its box, the true mask, "
        f"the mask of either branch with wrong bins in pink ({said}), and FCIS's "
        f"inside and outside scores in {PARTS} x {PARTS} parts. Below, the "
        f"{2 * PARTS**2} score maps that the parts are copied from."
    )


CLAIM = Claim(
    number=26,
    claim="FCIS's masks show a systematic artefact, a line, where objects overlap, for "
    "which its architecture is to blame; Mask R-CNN's do not.",
    places=(Place.SUMMARY,),
    verdict=Verdict.TRUE,
    right=f"With {PARTS} x {PARTS} parts: a pixel in the same part of two boxes gets "
    "one answer for both, and false edges stand between parts, upright and level.",
    paper="Section 4.1 and figure 6; Table 1, mask AP: FCIS with OHEM 29.2, Mask R-CNN "
    "33.1, ResNet-101 both.",
    lesson="10_mask_head",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
    small="masks alone, of one or two generated shapes in images of "
    f"{SIZE} pixels, boxes given; {PARTS} x {PARTS} parts where FCIS has 7 x 7 (with "
    "more, fewer pixels lie in one part of two boxes), no classes; a ResNet-18 of 16 "
    f"channels where published ones have 64; {FULL.train_images} images, "
    f"{FULL.iterations} iterations, 3 seeds, about 3 minutes. Quick: "
    f"{QUICK.train_images} images, {QUICK.iterations} iterations, 1 seed, 12 seconds.",
    quick={"seeds": 1, "scale": QUICK},
)
