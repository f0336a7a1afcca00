"""Scores as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from maskrcnn_scratch.evaluation.scores import Scores
from maskrcnn_scratch.reference.average_precision import FIGURES

NAMES = {"bbox": "box", "segm": "mask"}


def figures_table(scores: Mapping[str, Scores]) -> Table:
    """COCO's twelve figures, a row each, a column for boxes and one for masks."""
    table = Table("figure", *(NAMES[kind] for kind in scores), title=limits(scores))
    for column in table.columns[1:]:
        column.justify = "right"
    for name in FIGURES:
        table.add_row(name, *(decimal(s.figures[name]) for s in scores.values()))
    return table


def per_class_table(scores: Mapping[str, Scores]) -> Table:
    """AP, AP50 and AP75 of each class with its number of objects, then of all."""
    columns = [f"{NAMES[kind]} {f}" for kind in scores for f in ("AP", "AP50", "AP75")]
    table = Table("class", "objects", *columns, title=limits(scores), show_footer=False)
    for column in table.columns[1:]:
        column.justify = "right"
    any_kind = next(iter(scores.values()))
    by_class = [
        values
        for kind in scores.values()
        for values in (kind.class_ap(), kind.class_ap(0.5), kind.class_ap(0.75))
    ]
    for k, name in enumerate(any_kind.class_names):
        row = (decimal(values[k]) for values in by_class)
        table.add_row(name, str(any_kind.objects[k]), *row)
    table.add_section()
    totals = [v for kind in scores.values() for v in (kind.ap, kind.ap50, kind.ap75)]
    table.add_row("all", str(sum(any_kind.objects)), *map(decimal, totals))
    return table


def limits(scores: Mapping[str, Scores]) -> str:
    """What the reader of a figure has to know to compare it."""
    most = next(iter(scores.values())).max_detections
    return f"up to {most} detections an image and class"


def decimal(value: float) -> str:
    """Three decimals; a dash for the -1 of "no objects"."""
    return f"{value:.3f}" if value >= 0 else "-"
