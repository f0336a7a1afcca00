"""``maskrcnn-scratch data``: make a data set, or look for what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Make a data set, or check one.", no_args_is_help=True)


@app.command()
def shapes(
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    train: Annotated[int, typer.Option(help="Images to train on.")] = 1600,
    val: Annotated[int, typer.Option(help="Images to evaluate on.")] = 200,
    size: Annotated[int, typer.Option(help="Side of the images, pixels.")] = 128,
    seed: Annotated[int, typer.Option(help="Another seed, other images.")] = 0,
) -> None:
    """Write generated images of overlapping shapes, with COCO annotations.

    \b
    Rectangles, ellipses, triangles and stars.
    The same arguments give the same files.

    \b
    maskrcnn-scratch data shapes --out shapes
    maskrcnn-scratch data shapes --out large --size 512 --train 200 --seed 1
    """
    from maskrcnn_scratch.data import write_shapes

    folder = write_shapes(out, train, val, size, seed)
    print(f"{train} + {val} images of {size} x {size} pixels in {folder}")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A COCO-format folder.")],
    split: Annotated[
        str | None, typer.Option(help="One split alone, such as train.")
    ] = None,
) -> None:
    """Look for everything that is wrong or odd in a data set, and say what to do.

    \b
    Opens every image. Exits with 1 where there are errors:
    what training refuses, or what would spoil it.

    \b
    maskrcnn-scratch data check nuclei
    """
    from maskrcnn_scratch.data import check_dataset, report

    findings = check_dataset(folder, split)
    print(report(findings))
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


@app.command()
def tile(
    folder: Annotated[Path, typer.Argument(help="A COCO-format folder.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    tile: Annotated[int, typer.Option(min=1, help="Side of a tile, pixels.")] = 1024,
    overlap: Annotated[
        int | None,
        typer.Option(min=0, help="Pixels that tiles share; a quarter if not given."),
    ] = None,
) -> None:
    """Cut large images into overlapping tiles, with their annotations.

    \b
    An object is in every tile that holds a pixel of it, with what lies there.

    \b
    maskrcnn-scratch data tile slides --out tiles --tile 1024
    """
    from maskrcnn_scratch.data.tiles import overlap_of, write_tiles

    shared = overlap_of(tile, overlap)
    for split, count in write_tiles(folder, out, tile, shared).items():
        print(f"{split}: {count} tiles")
    print(f"they are in {out}")
