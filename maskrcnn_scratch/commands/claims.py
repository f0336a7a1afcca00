"""``maskrcnn-scratch claims``: what is said about Mask R-CNN, and whether it is so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from maskrcnn_scratch.commands.figure_name import check_figure_name

if TYPE_CHECKING:
    import rich.table
    from rich.console import Console

    from maskrcnn_scratch.claims.claim import Claim, Step, Table


def claims(
    number: Annotated[
        int | None, typer.Argument(metavar="[N]", help="Show the evidence of claim N.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smaller run, where a claim needs one.")
    ] = False,
    figure: Annotated[
        Path | None, typer.Option(help="Draw it to this .png, .svg or .pdf file.")
    ] = None,
) -> None:
    """List what is said about Mask R-CNN, or compute the evidence for one claim.

    Nothing of the evidence is stored: it is computed when you ask. Ends with status 1
    if it should not bear the verdict out.

    \b
    maskrcnn-scratch claims
    maskrcnn-scratch claims 1 --figure claim1.png
    """
    from maskrcnn_scratch.claims import NUMBERS, find

    if number is None:
        if quick or figure is not None:
            raise ValueError("--quick and --figure need the number of a claim")
        list_claims([find(one) for one in NUMBERS])
        return
    check_figure_name(figure)
    show(find(number), quick, figure)


def list_claims(every: list[Claim[Any]]) -> None:
    """A paragraph a claim: its number and text, where it is made, the verdict."""
    from rich.padding import Padding

    console = plain_console()
    for claim in every:
        console.print(f"{claim.number}. {claim.claim}", style="bold")
        console.print(Padding(f"In {'; '.join(claim.places)}.", (0, 0, 0, 4)))
        console.print(Padding(f"{claim.verdict}: {claim.right}", (0, 0, 1, 4)))


def show(claim: Claim[Any], quick: bool, figure: Path | None) -> None:
    """Evidence, verdict and sources; typer.Exit(1) if they do not agree."""
    from maskrcnn_scratch.claims.claim import borne_out
    from maskrcnn_scratch.files import replacing_file

    console = plain_console()
    console.print(f"Claim {claim.number}. {claim.claim}", style="bold")
    console.print(f"In {'; '.join(claim.places)}.")
    if claim.small:
        console.print(f"In miniature: {claim.small}")
    measured = with_progress(claim.measure, claim.quick if quick else {})
    lines = list(claim.evidence(measured))
    console.print("\nComputed now:")
    for block in blocks(lines):
        console.print(block)
    console.print(f"Verdict: {claim.verdict}. {claim.right}", style="bold")
    console.print(f"Paper: {claim.paper}")
    console.print(f"Lesson: tutorial/{claim.lesson}.py")
    if figure is not None:
        with replacing_file(figure) as draft:
            claim.draw(measured).savefig(draft, dpi=150)
        console.print(f"Picture: {figure}", soft_wrap=True)
    if not borne_out(lines):
        console.print("The evidence does not bear the verdict out.", style="bold")
        raise typer.Exit(1)


def plain_console() -> Console:
    """Brackets stay what they are: [x / 16] is no markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False)


def with_progress(measure: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """What is measured; experiments tell through the log how far they are."""
    from rich.console import Console
    from rich.logging import RichHandler

    progress = RichHandler(console=Console(stderr=True), show_path=False)
    log = logging.getLogger("maskrcnn_scratch.claims")
    log.addHandler(progress)
    log.setLevel(logging.INFO)
    try:
        return measure(**arguments)
    finally:
        log.removeHandler(progress)


def blocks(lines: Iterable[Step | Table]) -> Iterator[rich.table.Table | str]:
    """The evidence in order: neighbouring steps become one table."""
    from maskrcnn_scratch.claims.claim import Step

    for of_steps, group in groupby(lines, lambda line: isinstance(line, Step)):
        if of_steps:
            yield steps_table(cast("Iterable[Step]", group))
        else:
            for values in cast("Iterable[Table]", group):
                yield f"  {values.title}"
                yield values_table(values)


def steps_table(steps: Iterable[Step]) -> rich.table.Table:
    """What is computed, what came out, and whether it is as the verdict needs it."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    marks = {None: "", True: "yes", False: "NO"}
    for step in steps:
        table.add_row(f"  {step.says}", step.value, marks[step.holds])
    return table


def values_table(values: Table) -> rich.table.Table:
    """A table of evidence, without its title."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in values.columns:
        table.add_column(column)
    for row in values.rows:
        table.add_row(*row)
    return table
