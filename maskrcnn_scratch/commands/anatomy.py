"""``maskrcnn-scratch anatomy``: every tensor from image to masks, and comparisons."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from maskrcnn_scratch.models import ModelConfig
    from maskrcnn_scratch.models.differences import Difference
    from maskrcnn_scratch.models.tensor_entries import Entry


class Backbone(StrEnum):
    """The backbones of the paper, VGG-16, and the two smaller ResNets."""

    resnet18 = "resnet18"
    resnet34 = "resnet34"
    resnet50 = "resnet50"
    resnet101 = "resnet101"
    resnext50_32x4d = "resnext50-32x4d"
    resnext101_32x4d = "resnext101-32x4d"
    resnext101_64x4d = "resnext101-64x4d"
    resnext101_32x8d = "resnext101-32x8d"
    vgg16 = "vgg16"


def anatomy(
    image: Annotated[
        int, typer.Option(help="Side of the square image, pixels.")
    ] = 1024,
    backbone: Annotated[
        Backbone | None,
        typer.Option(help="The network that reads the image; without it the preset's."),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="paper, torchvision, torchvision-v2, detectron2, matterport; or a row"
            " of the paper's tables, such as r50-c4.",
        ),
    ] = "paper",
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="NAME NAME", help="Where two presets differ, no more."),
    ] = None,
) -> None:
    """Print every tensor from image to masks with its shape, and count parameters.

    \b
    It is the paper's model with ResNet-50-FPN, for COCO's 80 classes, or a preset.
    Shapes are what torch makes of one image; no numbers are computed.

    \b
    maskrcnn-scratch anatomy
    maskrcnn-scratch anatomy --image 800 --backbone resnext101-32x8d
    maskrcnn-scratch anatomy --preset matterport
    maskrcnn-scratch anatomy --compare torchvision detectron2
    """
    from rich.console import Console

    from maskrcnn_scratch.models import presets
    from maskrcnn_scratch.models.anatomy import anatomy as tensors_of
    from maskrcnn_scratch.models.variations import with_backbone

    console = Console(highlight=False)
    if compare is not None:
        console.print(comparison(*compare))
        return
    config = presets.preset(preset)
    if backbone is not None:
        config = with_backbone(config, backbone.value)
    console.print(tensors_table(tensors_of(config, (image, image))))
    console.print(parameters_table(config))


def comparison(first: str, second: str) -> Table | str:
    """The table for two presets; or that they are equal."""
    from maskrcnn_scratch.models.differences import differences
    from maskrcnn_scratch.models.presets import preset

    rows = differences(preset(first), preset(second))
    if not rows:
        return f"{first} and {second} are equal in every field"
    return differences_table(rows, first, second)


def differences_table(rows: list[Difference], first: str, second: str) -> Table:
    """A row a field."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("field", first, second, "", box=box.SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for row in rows:
        cells = (row.field, in_words(row.first), in_words(row.second), row.meaning)
        table.add_row(*map(Text, cells))
    return table


def in_words(value: Any) -> str:
    """A value of the config as short as it can be."""
    if isinstance(value, tuple):
        return " ".join(map(in_words, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def tensors_table(entries: list[Entry]) -> Table:
    """A row a tensor, a block a part."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table("part", "tensor", "shape", "", box=box.SIMPLE_HEAD)
    part = ""
    for entry in entries:
        if part and entry.part != part:
            table.add_section()
        shape = f"[{', '.join(map(str, entry.shape))}]"
        name = entry.part if entry.part != part else ""
        table.add_row(name, entry.tensor, escape(shape), entry.note)
        part = entry.part
    return table


def parameters_table(config: ModelConfig) -> Table:
    """A row a part of the model, then the whole."""
    from rich import box
    from rich.table import Table

    from maskrcnn_scratch.models.anatomy import count_parameters

    table = Table("parameters", "all", "trained", box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    parts = count_parameters(config)
    for part in parts:
        table.add_row(part.part, f"{part.total:,}", f"{part.trained:,}")
    table.add_section()
    total, trained = (
        sum(getattr(part, name) for part in parts) for name in ("total", "trained")
    )
    table.add_row("all", f"{total:,}", f"{trained:,}")
    return table
