"""``maskrcnn-scratch cost``."""

from __future__ import annotations

from typing import Annotated

import typer

GIB = 2**30


def cost(
    config: Annotated[str, typer.Argument(help="A preset, or a TOML file.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting."),
    ] = None,
    tera: Annotated[
        list[float] | None,
        typer.Option(
            "--tflops", min=0.001, help="Sustained by one GPU, 10^12 a second; repeat."
        ),
    ] = None,
) -> None:
    """Count what a training costs: operations, memory, and hours at a given speed.

    Nothing is trained, and no GPU is needed. An image is as large as the model's images
    get; hours are those of the operations alone.

    \b
    maskrcnn-scratch cost coco-r50-fpn --tflops 12 --tflops 60
    maskrcnn-scratch cost coco-r50-fpn --set model.depth=101
    """
    from rich.console import Console
    from rich.table import Table

    from maskrcnn_scratch.training.config import load_config
    from maskrcnn_scratch.training.cost import count_cost

    checked = load_config(config, settings or [])
    model, train = checked.model, checked.train
    found = count_cost(model)
    # Weights, their gradients and momentum (AdamW has one more), in float32.
    states = 4 if train.optimizer == "adamw" else 3
    fixed = states * 4 * found.parameters / GIB
    table = Table("one image", f"{model.image_short} x {model.image_long}")
    table.add_row("parameters", f"{found.parameters / 1e6:.1f} million")
    table.add_row("forward", f"{found.forward / 1e9:.0f} GFLOP")
    table.add_row("forward and backward", f"{found.operations / 1e9:.0f} GFLOP")
    table.add_row("kept for the backward pass", f"{found.saved / GIB:.2f} GiB")
    table.add_row("weights, gradients, optimiser", f"{fixed:.2f} GiB")
    console = Console()
    console.print(table)
    console.print(
        f"{train.iterations} iterations of {train.batch_size} images, estimated:"
    )
    table = Table("TFLOP/s", "GPUs", "images/s", "hours")
    for speed in tera or [10.0]:
        for gpus in (1, 8):
            rate, hours = (
                found.images_a_second(speed, gpus),
                found.hours(train, speed, gpus),
            )
            table.add_row(f"{speed:g}", str(gpus), f"{rate:.1f}", f"{hours:.1f}")
    console.print(table)
