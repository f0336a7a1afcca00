"""``maskrcnn-scratch anatomy``: every tensor from image to masks."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from maskrcnn_scratch.models import ModelConfig
    from maskrcnn_scratch.models.anatomy import Entry


class Backbone(StrEnum):
    """The backbones of the paper, and the two smaller ResNets."""

    resnet18 = "resnet18"
    resnet34 = "resnet34"
    resnet50 = "resnet50"
    resnet101 = "resnet101"
    resnext50_32x4d = "resnext50-32x4d"
    resnext101_32x8d = "resnext101-32x8d"


SETTINGS: dict[Backbone, dict[str, Any]] = {
    Backbone.resnet18: {"depth": 18},
    Backbone.resnet34: {"depth": 34},
    Backbone.resnet50: {"depth": 50},
    Backbone.resnet101: {"depth": 101},
    Backbone.resnext50_32x4d: {"depth": 50, "groups": 32, "width_per_group": 4},
    Backbone.resnext101_32x8d: {"depth": 101, "groups": 32, "width_per_group": 8},
}


def anatomy(
    image: Annotated[
        int, typer.Option(help="Side of the square image, pixels.")
    ] = 1024,
    backbone: Annotated[
        Backbone, typer.Option(help="The network that reads the image.")
    ] = Backbone.resnet50,
) -> None:
    """Print every tensor from image to masks with its shape, and count parameters.

    \b
    It is the paper's model with FPN, for COCO's 80 classes.
    Shapes are what torch makes of one image; no numbers are computed.

    \b
    maskrcnn-scratch anatomy
    maskrcnn-scratch anatomy --image 800 --backbone resnext101-32x8d
    """
    from rich.console import Console

    from maskrcnn_scratch.models import ModelConfig
    from maskrcnn_scratch.models.anatomy import anatomy as tensors_of

    config = ModelConfig(**SETTINGS[backbone])
    console = Console(highlight=False)
    console.print(tensors_table(tensors_of(config, (image, image))))
    console.print(parameters_table(config))


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
