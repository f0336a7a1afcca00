"""``maskrcnn-scratch weights``: look into a file, convert one, make the lessons'."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from maskrcnn_scratch.weights.published_file import PublishedFile

app = typer.Typer(
    help="Look into a file of weights, convert one, or make those of the lessons.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(help="A .pth, .pkl, .h5 or .safetensors file.")]


class Lesson(StrEnum):
    """The small models that lessons open with."""

    shapes = "shapes"
    figures = "figures"


class Source(StrEnum):
    """Whose weights can be converted."""

    torchvision = "torchvision"
    detectron2 = "detectron2"
    matterport = "matterport"
    imagenet = "imagenet"


@app.command()
def inspect(file: File) -> None:
    """List the tensors of a file, and say whose weights they seem to be.

    \b
    Reading runs no code from the file.

    \b
    maskrcnn-scratch weights inspect maskrcnn_resnet50_fpn_coco.pth
    """
    from rich.console import Console

    from maskrcnn_scratch.weights.identify import refusal, system_of
    from maskrcnn_scratch.weights.published_file import read_published

    published = read_published(file)
    Console(highlight=False).print(tensors_table(published))
    system = system_of(published.tensors)
    print(f"format: {published.format}")
    print(f"system: {system or 'not known'}")
    if system is not None and (lacking := refusal(system, published.tensors)):
        print(f"cannot be converted: it has {lacking}")
    if published.others:
        print(f"entries that are no tensors: {', '.join(published.others)}")


def tensors_table(file: PublishedFile) -> Table:
    """A row a tensor, then the whole."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table("tensor", "shape", "type", "numbers", box=box.SIMPLE_HEAD)
    table.columns[3].justify = "right"
    for name, tensor in file.tensors.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        shape = escape(str(list(tensor.shape)))
        table.add_row(escape(name), shape, kind, f"{tensor.numel():,}")
    table.add_section()
    total = sum(tensor.numel() for tensor in file.tensors.values())
    table.add_row(f"{len(file.tensors)} tensors", "", "", f"{total:,}")
    return table


@app.command()
def convert(
    file: File,
    source: Annotated[Source, typer.Option("--from", help="Whose weights they are.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    classes: Annotated[
        str | None,
        typer.Option(help="Names of classes 1, 2, ..., with commas between."),
    ] = None,
    norm_eps: Annotated[
        float | None,
        typer.Option(min=0, help="What a torchvision model's norms were made with."),
    ] = None,
) -> None:
    """Turn published weights into a model file of ours, with its conventions.

    \b
    All tensors find their place, or each that does not is named
    and nothing is written. Reading runs no code from the file.
    A file for ImageNet gives a backbone, for train.initial_weights.

    \b
    maskrcnn-scratch weights convert model.pth --from torchvision --out m.safetensors
    maskrcnn-scratch predict m.safetensors photo.jpg --out found
    """
    from maskrcnn_scratch.weights.convert import convert as convert_file
    from maskrcnn_scratch.weights.fit import Misfit

    names = None if classes is None else [name.strip() for name in classes.split(",")]
    try:
        plan = convert_file(file, source.value, out, names, norm_eps)
    except Misfit as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    kind = "backbone" if plan.backbone_only else f"{plan.config.num_classes} classes"
    print(f"{plan.title}, {kind}: written to {out}")
    for note in plan.notes:
        print(f"- {note}")


@app.command()
def lesson(
    name: Annotated[Lesson, typer.Argument(help="Which of them.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting."),
    ] = None,
) -> None:
    """Train again a small model that lessons open with.

    \b
    On generated images alone, from random weights, on one CPU core
    in about a quarter of an hour (shapes) or less (figures).

    \b
    maskrcnn-scratch weights lesson shapes --out shapes.safetensors
    maskrcnn-scratch predict shapes.safetensors photo.jpg --out found
    """
    from maskrcnn_scratch.experiments.lesson_weights import train_lesson_model

    train_lesson_model(name.value, out, tuple(settings or ()))
    print(f"written to {out}")
