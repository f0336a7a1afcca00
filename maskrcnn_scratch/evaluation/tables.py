"""Scores as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from maskrcnn_scratch.evaluation.scores import Scores

NAMES = {"bbox": "box", "segm": "mask", "keypoints": "keypoint"}


def figures_table(scores: Mapping[str, Scores]) -> Table:
    """COCO's figures, a row each, and a column a kind; a dash where a kind has none."""
    table = Table("figure", *(NAMES[kind] for kind in scores), title=limits(scores))
    for column in table.columns[1:]:
        column.justify = "right"
    for name in dict.fromkeys(name for s in scores.values() for name in s.figures):
        figures = (s.figures.get(name, -1.0) for s in scores.values())
        table.add_row(name, *map(decimal, figures))
    return table


def per_class_table(scores: Mapping[str, Scores]) -> Table:
    """AP, AP50 and AP75 of each class with its number of objects, then of all.

    Of three kinds without AP75, which a terminal of 80 columns has no place for.
    """
    bars = {"AP": None, "AP50": 0.5, "AP75": 0.75}
    if len(scores) > 2:
        del bars["AP75"]
    columns = [f"{NAMES[kind]}\n{bar}" for kind in scores for bar in bars]
    table = Table("class", "objects", *columns, title=limits(scores), show_footer=False)
    for column in table.columns[1:]:
        column.justify = "right"
    any_kind = next(iter(scores.values()))
    by_class = [kind.class_ap(bar) for kind in scores.values() for bar in bars.values()]
    for k, name in enumerate(any_kind.class_names):
        row = (decimal(values[k]) for values in by_class)
        table.add_row(name, str(any_kind.objects[k]), *row)
    table.add_section()
    totals = [kind.figures[bar.lower()] for kind in scores.values() for bar in bars]
    table.add_row("all", str(sum(any_kind.objects)), *map(decimal, totals))
    return table


def recall_table(recall: Mapping[str, float]) -> Table:
    """Average recall of proposals: by how many an image may have, and by area."""
    table = Table("average recall", "proposals")
    table.columns[1].justify = "right"
    for name, value in recall.items():
        table.add_row(name.replace("ar_", "AR@").replace("_", ", "), decimal(value))
    return table


def limits(scores: Mapping[str, Scores]) -> str:
    """What the reader of a figure has to know to compare it."""
    most = {NAMES[kind]: one.max_detections for kind, one in scores.items()}
    counts = " and ".join(f"{n} {kind}" for kind, n in most.items())
    if len(set(most.values())) == 1:
        counts = str(next(iter(most.values())))
    return f"up to {counts} detections an image and class"


def decimal(value: float) -> str:
    """Three decimals; a dash for the -1 of "no objects"."""
    return f"{value:.3f}" if value >= 0 else "-"
