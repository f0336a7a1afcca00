"""``maskrcnn-scratch demo``: train, evaluate and show, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo"),
) -> None:
    """Train a small Mask R-CNN on generated shapes and show what it finds.

    \b
    From random weights, in a few minutes on two cores, without downloads.
    An earlier demo in the same place is replaced.

    \b
    maskrcnn-scratch demo
    """
    from rich.console import Console

    from maskrcnn_scratch.demo import run_demo

    console = Console(highlight=False, soft_wrap=True)
    done = run_demo(out, console=console)
    console.print(f"trained in {done.training_seconds / 60:.1f} minutes")
    for kind, scores in done.scores.items():
        name = {"bbox": "box ", "segm": "mask"}[kind]
        console.print(f"{name} AP {scores.ap:.3f}, AP50 {scores.ap50:.3f}")
    for name, path in done.pictures.items():
        console.print(f"{name}: {path}")
