"""``maskrcnn-scratch proposals``: what an RPN finds, as a file and in figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def proposals(
    run: Annotated[
        Path, typer.Argument(help="A run's folder, or a model.safetensors.")
    ],
    data: Annotated[Path, typer.Option(help="A COCO-format folder.")],
    out: Annotated[Path, typer.Option(help="The file to write, *.safetensors.")],
    split: Annotated[str, typer.Option(help="Which of its splits.")] = "train",
    most: Annotated[
        int | None, typer.Option(min=1, help="Proposals an image; the model's own.")
    ] = None,
) -> None:
    """Write a model's proposals and measure their average recall.

    \b
    A model with model.rpn = false learns from such a file (data.proposals); so several
    can share one set, as in the paper's ablations.

    \b
    maskrcnn-scratch proposals runs/rpn --data coco --out train.safetensors
    """
    from rich.console import Console

    from maskrcnn_scratch.evaluation import recall_table
    from maskrcnn_scratch.inference.propose import write_run_proposals

    recall = write_run_proposals(run, data, out, split, most)
    Console(highlight=False).print(recall_table(recall))
    print(f"the proposals are in {out}")
