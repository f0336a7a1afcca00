"""``maskrcnn-scratch bench``: times, memory and agreement beside another library."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Suite(StrEnum):
    """What is measured."""

    ops = "ops"
    model = "model"
    data = "data"


class Device(StrEnum):
    """Where."""

    cpu = "cpu"
    cuda = "cuda"


class Peer(StrEnum):
    """What to compare with."""

    torchvision = "torchvision"


def bench(
    suite: Annotated[
        Suite, typer.Argument(help="Single operators, the model, or reading.")
    ],
    device: Annotated[Device, typer.Option(help="Where to run.")] = Device.cpu,
    against: Annotated[
        Peer | None, typer.Option(help="Another library, which must be installed.")
    ] = None,
    only: Annotated[
        str, typer.Option(help="Only the cases with this in their names.")
    ] = "",
    json: Annotated[
        Path | None, typer.Option(help="Write all figures to this file, too.")
    ] = None,
) -> None:
    """Measure speed and memory, as a Markdown table with ratios.

    \b
    Both libraries take turns in one process, warm; times are medians, ratios are
    of neighbouring turns and stand with their quartiles. Memory is the most that
    one call holds beyond its inputs. The suite data, which has no rival, opens an
    annotation file of COCO's size and reads images in workers.

    \b
    maskrcnn-scratch bench ops
    maskrcnn-scratch bench model --against torchvision --json model.json
    """
    if suite is Suite.data:
        from maskrcnn_scratch.benchmarks.reading import run_data_bench

        if against or only or device is not Device.cpu:
            raise ValueError("bench data has no --against, --only or --device")
        run_data_bench(json)
        return
    from maskrcnn_scratch.benchmarks.command import run_bench

    run_bench(
        "ops" if suite is Suite.ops else "model",
        device.value,
        against is not None,
        only,
        json,
    )
