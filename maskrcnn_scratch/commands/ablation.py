"""``maskrcnn-scratch ablation``: an experiment of the paper in miniature."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskrcnn_scratch.commands.figure_name import check_figure_name

if TYPE_CHECKING:
    from rich.table import Table

    from maskrcnn_scratch.experiments.ablations import Outcome


class Name(StrEnum):
    """The experiments, as ``experiments.ablations`` has them."""

    mask_loss = "mask-loss"
    roi_layer = "roi-layer"
    roi_layer_32 = "roi-layer-32"
    roi_reduce = "roi-reduce"
    class_agnostic = "class-agnostic"
    mask_head = "mask-head"


def ablation(
    name: Annotated[Name, typer.Argument(help="Which experiment.")],
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each arm.")] = 3,
    quick: Annotated[
        bool, typer.Option("--quick", help="Runs of seconds, as in lesson 15.")
    ] = False,
    figure: Annotated[
        Path | None, typer.Option(help="Draw it to this .png, .svg or .pdf file.")
    ] = None,
) -> None:
    """Repeat an ablation of the paper in miniature: mask IoU on generated shapes.

    Backbone and mask head alone are trained, on the objects' boxes moved a little, from
    the backbone of the lessons' model. Each run takes half a minute or less.

    \b
    maskrcnn-scratch ablation roi-layer
    maskrcnn-scratch ablation mask-loss --seeds 5 --figure mask-loss.png
    """
    from rich.console import Console

    from maskrcnn_scratch.experiments import ablations
    from maskrcnn_scratch.experiments.mask_branch import FULL, QUICK, MaskScore
    from maskrcnn_scratch.figures.ablation import draw_ablation
    from maskrcnn_scratch.files import replacing_file

    check_figure_name(figure)
    experiment = getattr(ablations, name.name)()
    console = Console(highlight=False)
    scores: dict[str, list[MaskScore]] = {}
    for arm, score in ablations.runs(experiment, seeds, QUICK if quick else FULL):
        scores.setdefault(arm, []).append(score)
        seed = len(scores[arm]) - 1
        console.print(f"seed {seed}, {arm}: mean mask IoU {score.mean_iou:.3f}")
    outcome = ablations.Outcome(experiment, scores)
    console.print(outcome_table(outcome))
    if figure is not None:
        ious = {arm.name: outcome.ious(arm.name) for arm in experiment.arms}
        paper = {arm.name: arm.paper[0] for arm in experiment.arms}
        with replacing_file(figure) as draft:
            draw_ablation(ious, paper, experiment.table)[0].savefig(draft, dpi=150)
        console.print(f"Picture: {figure}", soft_wrap=True)


def outcome_table(outcome: Outcome) -> Table:
    """A row an arm: ours, how far it is from the first arm, and the paper's."""
    from rich import box
    from rich.table import Table

    arms = outcome.ablation.arms
    table = Table(box=box.SIMPLE_HEAD, caption=f"AP: {outcome.ablation.table}")
    for title in ("", "mask\nIoU", f"less than\n{arms[0].name}", "IoU >=\n0.75"):
        table.add_column(title, justify="right")
    for title in ("paper's\nAP", "less"):
        table.add_column(title, justify="right")
    for arm in arms:
        ious, strict = outcome.ious(arm.name), outcome.strict(arm.name)
        first = arm is arms[0]
        table.add_row(
            arm.name,
            f"{sum(ious) / len(ious):.3f}",
            "" if first else difference(outcome.ious(arms[0].name), ious),
            f"{sum(strict) / len(strict):.3f}",
            f"{arm.paper[0]:.1f}",
            "" if first else f"{arms[0].paper[0] - arm.paper[0]:.1f}",
        )
    return table


def difference(first: list[float], other: list[float]) -> str:
    """The paired difference, with its standard error where there are several runs."""
    from maskrcnn_scratch.experiments.ablations import paired_difference

    mean, error = paired_difference(first, other)
    return f"{mean:.3f}" if len(first) == 1 else f"{mean:.3f} ± {error:.3f}"
