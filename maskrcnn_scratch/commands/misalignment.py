"""``maskrcnn-scratch misalignment``: RoIPool, RoIWarp and RoIAlign step by step.

``misalignment study`` measures what the steps do to many RoIs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskrcnn_scratch.commands.figure_name import check_figure_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from maskrcnn_scratch.experiments.misalignment.tables import Table as StudyTable
    from maskrcnn_scratch.figures.misalignment import Misalignment
    from maskrcnn_scratch.reference.roi_steps import AxisSteps

app = typer.Typer()


@app.callback(invoke_without_command=True)
def misalignment(
    context: typer.Context,
    image: Annotated[int, typer.Option(help="Side of the image, pixels.")] = 800,
    object_side: Annotated[
        float, typer.Option("--object", help="Side of the object, pixels.")
    ] = 665,
    stride: Annotated[int, typer.Option(help="Image pixels a feature cell.")] = 32,
    out_size: Annotated[int, typer.Option(help="Bins a side.")] = 7,
    start: Annotated[
        float, typer.Option(help="Where the object begins, x = y, pixels.")
    ] = 0,
    figure: Annotated[
        Path | None, typer.Option(help="Draw it to this .png, .svg or .pdf file.")
    ] = None,
) -> None:
    """Show where RoIPool, RoIWarp and RoIAlign read, and how far off that is.

    \b
    A square object in a square image is followed through every step.
    Rows and columns do the same, so the tables show one axis.

    \b
    maskrcnn-scratch misalignment
    maskrcnn-scratch misalignment --stride 16 --start 100 --figure steps.png
    """
    if context.invoked_subcommand is not None:
        refuse_options(context)
        return
    from rich.console import Console

    from maskrcnn_scratch.figures.misalignment import draw_misalignment, follow
    from maskrcnn_scratch.files import replacing_file

    check_figure_name(figure)
    told = follow(image, object_side, stride, out_size, start)
    console = Console(highlight=False)
    console.print(
        f"An object of {object_side:g} x {object_side:g} pixels in an image of "
        f"{image} x {image}, at stride {stride}: the feature map has "
        f"{told.cells} x {told.cells} cells, of which the object takes "
        f"{object_side:g} / {stride} = {number(told.roi.size)} a side."
    )
    console.print(steps_table(told))
    console.print(shifts_table(told))
    if figure is not None:
        with replacing_file(figure) as draft:
            draw_misalignment(told).savefig(draft, dpi=150)
        console.print(f"Picture: {figure}", soft_wrap=True)


def refuse_options(context: typer.Context) -> None:
    """The study has its own: those of a single object would be lost on it."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ValueError(
                f"the study takes none of the options before it (here: {name})"
            )


@app.command()
def study(
    out: Annotated[
        Path | None, typer.Option(help="Write tables (.csv) and pictures here.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Put the tables between the marks of this page.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Compare the tables with those in this folder.")
    ] = None,
) -> None:
    """Measure the misalignment of each layer over many RoIs, and print all tables.

    \b
    Takes about a quarter of a minute. With --check it exits with 1 at the first
    difference: a number may differ by one in its last digit.

    \b
    maskrcnn-scratch misalignment study --check docs/misalignment
    maskrcnn-scratch misalignment study --out study
    """
    from rich.console import Console
    from rich.progress import track

    from maskrcnn_scratch.experiments.misalignment.study import TABLES
    from maskrcnn_scratch.experiments.misalignment.tables import check_csv, fill_page

    for needed in (page, check):
        if needed is not None:
            needed.stat()  # fails now rather than after the work
    console = Console(highlight=False)
    tables = [
        make() for make in track(TABLES, "Measuring", console=console, transient=True)
    ]
    for table in tables:
        console.print(study_table(table))
    if out is not None:
        write_study(tables, out)
        console.print(f"Tables and pictures: {out}", soft_wrap=True)
    if page is not None:
        fill_page(page, tables)
    if check is not None:
        for table in tables:
            check_csv(table, check)
        console.print(f"The tables in {check} are the same.", soft_wrap=True)


def study_table(table: StudyTable) -> Table:
    """One of the study's tables, for the terminal."""
    from rich import box
    from rich.table import Table

    shown = Table(title=table.title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in table.columns:
        text = name in ("table", "layer")
        shown.add_column(name, justify="left" if text else "right", no_wrap=text)
    for row in table.rows:
        shown.add_row(*row)
    return shown


def write_study(tables: list[StudyTable], out: Path) -> None:
    """``NAME.csv`` for every table, and the pictures."""
    from maskrcnn_scratch.experiments.misalignment.pictures import PICTURES
    from maskrcnn_scratch.experiments.misalignment.tables import write_csv
    from maskrcnn_scratch.files import filling_folder

    with filling_folder(out) as draft:
        for table in tables:
            write_csv(table, draft)
        for name, draw in PICTURES.items():
            draw().savefig(draft / f"{name}.png", dpi=150)


def steps_table(told: Misalignment) -> Table:
    """Every quantisation of every layer, and the errors they make."""
    table = new_table("all in cells", told)
    for section in sections(told.stride):
        for name, value in section.items():
            table.add_row(name, *map(value, told.layers.values()))
        table.add_section()
    return table


def sections(stride: int) -> list[dict[str, Callable[[AxisSteps], str]]]:
    """The rows of the table: a name, and what to say of one layer."""
    return [
        {
            "the RoI: start": lambda steps: number(steps.roi.start),
            "end": lambda steps: number(steps.roi.end),
            "size": lambda steps: number(steps.roi.size),
        },
        {
            "1. RoI used: start": lambda steps: number(steps.quantised.start),
            "end": lambda steps: number(steps.quantised.end),
            "size": lambda steps: number(steps.quantised.size),
            "error of size": lambda steps: signed(-steps.lost),
            "in pixels": lambda steps: signed(-steps.lost * stride),
        },
        {
            "2. bin: size / bins": lambda steps: number(steps.bin_size),
            "bin used": lambda steps: span_of([one.size for one in steps.bins]),
            "from first to last": lambda steps: number(steps.covered),
            "error of that": lambda steps: signed(steps.covered - steps.roi.size),
            "in pixels": lambda steps: signed(
                (steps.covered - steps.roi.size) * stride
            ),
        },
        {"3. reads a bin": lambda steps: reads(steps)},
        {
            "worst shift by 1.": lambda steps: signed(worst(steps.corner_shift)),
            "by 2.": lambda steps: signed(worst(steps.border_shift)),
            "by 3.": lambda steps: signed(worst(steps.reading_shift)),
            "by all": lambda steps: signed(worst(steps.shift)),
            "in pixels": lambda steps: signed(worst(steps.shift) * stride),
        },
    ]


def shifts_table(told: Misalignment) -> Table:
    """For each bin, how far from its place it reads, in image pixels."""
    table = new_table("shift of bin, pixels", told)
    columns = [steps.shift for steps in told.layers.values()]
    for bin_, shifts in enumerate(zip(*columns, strict=True)):
        table.add_row(str(bin_), *(signed(shift * told.stride) for shift in shifts))
    return table


def new_table(title: str, told: Misalignment) -> Table:
    """A column for the steps' names, then one for each layer."""
    from rich import box
    from rich.table import Table

    table = Table(title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in told.layers:
        table.add_column(name.replace(" ", "\n"), justify="right")
    return table


def number(value: float) -> str:
    """At most five decimals, which any stride up to 32 needs: 20.78125, 20."""
    return f"{value:.5f}".rstrip("0").rstrip(".")


def signed(value: float) -> str:
    """With its sign, and 0 for what is 0 but for rounding of floats."""
    return "0" if abs(value) < 5e-6 else f"{'+' if value > 0 else ''}{number(value)}"


def span_of(sizes: list[float]) -> str:
    """``4`` where all are the same, else ``3 to 5``."""
    least, most = number(min(sizes)), number(max(sizes))
    return least if least == most else f"{least} to {most}"


def reads(steps: AxisSteps) -> str:
    """How many features a bin takes in: whole cells, or points in between."""
    return span_of([float(len(points) ** 2) for points in steps.points])


def worst(shifts: tuple[float, ...]) -> float:
    """The largest, whichever way."""
    return max(shifts, key=abs)
