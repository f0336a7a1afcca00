"""Average precision by hand: the list of detections, then precision over recall.

One class at one IoU threshold, as COCO counts it; what is left out of the count
(detections of a crowd) is in neither the table nor the curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.boxes import legend_below
from maskrcnn_scratch.reference.average_precision import (
    AREAS,
    RECALL_LEVELS,
    Annotation,
    Detection,
    judge,
    precision_curve,
    scenes_of,
)

MOST_ROWS = 16  # of the table: a handful of detections
COLUMNS = ("score", "hit", "TP", "FP", "precision", "recall")


@dataclass(frozen=True)
class PrecisionRecall:
    """Detections by falling score, and the curve that they give.

    ``true`` and ``false`` count the hits and the others so far; precision and recall
    are those of the list up to there; ``best`` is the best precision from there on.
    ``curve`` is ``best`` read at the 101 levels of recall, and ``ap`` its mean.
    """

    objects: int
    scores: Float[np.ndarray, " detections"]
    hits: Bool[np.ndarray, " detections"]
    true: Int[np.ndarray, " detections"]
    false: Int[np.ndarray, " detections"]
    precision: Float[np.ndarray, " detections"]
    recall: Float[np.ndarray, " detections"]
    best: Float[np.ndarray, " detections"]
    curve: Float[np.ndarray, " levels"]
    ap: float


def tell_average_precision(
    annotations: Sequence[Annotation],
    detections: Sequence[Detection],
    iou_threshold: float = 0.5,
) -> PrecisionRecall:
    """The numbers for the objects and detections of one class, in all images.

    Raises ValueError where no object counts, for then recall has no value, and where
    no detection does.
    """
    scenes = scenes_of(annotations, detections)
    judged = [judge(s, iou_threshold, AREAS["all"], len(s.detections)) for s in scenes]
    objects = sum(count for _, count in judged)
    verdicts = [verdict for verdicts, _ in judged for verdict in verdicts]
    verdicts.sort(key=lambda verdict: -verdict[0])
    if not objects or not verdicts:
        raise ValueError(
            f"{objects} objects and {len(verdicts)} detections count;"
            " the curve needs one of each"
        )
    hits = np.array([hit for _, hit in verdicts], bool)
    true, false = np.cumsum(hits), np.cumsum(~hits)
    precision = true / (true + false)
    curve, _ = precision_curve(hits, objects)
    return PrecisionRecall(
        objects=objects,
        scores=np.array([score for score, _ in verdicts]),
        hits=hits,
        true=true,
        false=false,
        precision=precision,
        recall=true / objects,
        best=np.maximum.accumulate(precision[::-1])[::-1],
        curve=curve,
        ap=float(np.mean(curve)),
    )


def draw_average_precision(told: PrecisionRecall) -> Figure:
    """A table of the detections, and beside it precision over recall."""
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    draw_table(left, told)
    draw_curve(right, told)
    return figure


def draw_table(axes: Axes, told: PrecisionRecall) -> None:
    """A row for each detection, hits in the colour of objects.

    Raises ValueError for more than ``MOST_ROWS`` detections.
    """
    if len(told.hits) > MOST_ROWS:
        raise ValueError(
            f"{len(told.hits)} detections; a table that can be read holds {MOST_ROWS}"
        )
    rows = [
        [
            f"{told.scores[k]:.4g}",
            "yes" if told.hits[k] else "no",
            str(told.true[k]),
            str(told.false[k]),
            f"{told.true[k]}/{k + 1} = {told.precision[k]:.3f}",
            f"{told.true[k]}/{told.objects} = {told.recall[k]:.3f}",
        ]
        for k in range(len(told.hits))
    ]
    widths = (0.13, 0.1, 0.09, 0.09, 0.3, 0.29)
    low = max(0.0, 1 - 0.085 * (len(rows) + 1))
    table = axes.table(
        rows,
        colLabels=COLUMNS,
        colWidths=widths,
        bbox=Bbox.from_extents(0, low, 1, 1),
        cellLoc="center",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    for (row, _), cell in table.get_celld().items():
        cell.set_edgecolor(palette.PIXEL)
        if row and told.hits[row - 1]:
            cell.set_facecolor((palette.OBJECT, 0.35))
    axes.set_axis_off()
    axes.set_title(f"{told.objects} objects; detections by falling score", fontsize=10)


def draw_curve(axes: Axes, told: PrecisionRecall) -> None:
    """Precision over recall as the list grows, its envelope, and the 101 reads."""
    line: dict[str, Any] = {"color": palette.CELL, "lw": 1.2, "ls": "--"}
    axes.plot(
        told.recall,
        told.precision,
        gid="list",
        zorder=2,
        label="as the list grows",
        **line,
    )
    for hit, mark, color in ((True, "o", palette.OBJECT), (False, "X", palette.FAULT)):
        axes.scatter(
            told.recall[told.hits == hit],
            told.precision[told.hits == hit],
            s=70,
            marker=mark,
            color=color,
            edgecolors="black",
            zorder=4,
            clip_on=False,
            gid="hits" if hit else "false",
            label="after a hit" if hit else "after a false positive",
        )
    # Up to a detection's recall its precision can still be had, and beyond the last
    # one none can.
    recall = np.concatenate([[0], told.recall, [told.recall[-1], 1]])
    best = np.concatenate([told.best[:1], told.best, [0, 0]])
    axes.step(recall, best, where="pre", color="black", lw=1.5, gid="best", zorder=2.5)
    axes.scatter(
        RECALL_LEVELS,
        told.curve,
        s=9,
        color=palette.SAMPLE,
        zorder=3,
        clip_on=False,
        gid="levels",
        label="best from there on, read at 101 levels",
    )
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.grid(color=palette.PIXEL, lw=0.5)
    axes.set_title(
        f"AP = {told.curve.sum():.4g} / {len(told.curve)} = {told.ap:.4f}", fontsize=10
    )
    legend_below(axes, ncols=2)
