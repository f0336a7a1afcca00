"""``maskrcnn-scratch doctor``: what works on this machine, and what to do if not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

COLORS = {"ok": "green", "warning": "yellow", "fault": "red"}


def doctor(
    data: Annotated[
        Path | None, typer.Option(help="A COCO-format folder to look at too.")
    ] = None,
) -> None:
    """Check Python, libraries, numba, GPU, disk and data; say what to do.

    Exits with 1 where a fault would stop training or evaluation.

    \b
    maskrcnn-scratch doctor
    maskrcnn-scratch doctor --data nuclei
    """
    from rich.console import Console
    from rich.markup import escape

    from maskrcnn_scratch.doctor import examine

    console = Console(highlight=False, soft_wrap=True)
    counts = {"warning": 0, "fault": 0}
    for check in examine(data):
        color = COLORS[check.severity]
        console.print(
            f"[{color}]{check.severity:8}[/] {check.name:18} {escape(check.found)}"
        )
        if check.advice:
            console.print(f"{'':8} {'what to do:':18} {escape(check.advice)}")
        if check.severity != "ok":
            counts[check.severity] += 1
    console.print(f"{counts['fault']} faults, {counts['warning']} warnings")
    if counts["fault"]:
        raise typer.Exit(1)
