"""``maskrcnn-scratch train``, ``evaluate`` and ``predict``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

GENERATED = ("shapes", "shapes-tiny")  # presets that come with their data

Run = Annotated[Path, typer.Argument(help="A run's folder, or a model.safetensors.")]


def train(
    config: Annotated[str, typer.Argument(help="A preset, or a TOML file.")],
    data: Annotated[
        Path | None,
        typer.Option(help="A COCO-format folder; the shapes presets need none."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; runs/CONFIG if not given.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting."),
    ] = None,
) -> None:
    """Train a model.

    \b
    Presets: balloon, coco-r50-fpn, nuclei, people, shapes, shapes-tiny.
    Ctrl-C saves a checkpoint and stops; --resume goes on from there.

    \b
    maskrcnn-scratch train shapes-tiny
    maskrcnn-scratch train nuclei --data nuclei --set train.iterations=500
    maskrcnn-scratch train nuclei --data nuclei --resume
    torchrun --nproc-per-node 8 -m maskrcnn_scratch train coco-r50-fpn --data coco
    """
    from maskrcnn_scratch.processes import anyone, process_group, rank
    from maskrcnn_scratch.training import TrainingDiverged, load_config
    from maskrcnn_scratch.training import train as train_run

    checked = load_config(config, settings or [])
    run = out or Path("runs") / Path(config).stem
    with process_group():
        if data is None:
            data = generated_data(config, run.parent / "shapes-data", rank() == 0)
            anyone(False)  # written before the others read
        try:
            train_run(checked, data, run, resume)
        except TrainingDiverged as error:
            raise ValueError(str(error)) from error
        except KeyboardInterrupt as stop:
            if rank() == 0:
                print(stop, file=sys.stderr)
            raise typer.Exit(130) from None
        if rank() == 0:
            print(f"the run is in {run}")


def generated_data(config: str, folder: Path, write: bool) -> Path:
    """The images of a shapes preset; any other config needs images of its own."""
    if config not in GENERATED:
        raise ValueError(f"{config} needs --data DIR, a COCO-format folder")
    if not write:
        return folder
    from maskrcnn_scratch.data import write_shapes

    print(f"no --data: writing generated shapes to {folder}")
    return write_shapes(folder)


def evaluate(
    run: Run,
    data: Annotated[Path, typer.Option(help="A COCO-format folder.")],
    split: Annotated[str, typer.Option(help="Which of its splits.")] = "val",
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write; RUN/evaluation if not given."),
    ] = None,
    proposals: Annotated[
        Path | None,
        typer.Option(help="For a model without RPN: what `proposals` wrote."),
    ] = None,
) -> None:
    """Measure AP as COCO does: boxes, masks, keypoints; and draw what was found.

    \b
    maskrcnn-scratch evaluate runs/nuclei --data nuclei
    torchrun --nproc-per-node 8 -m maskrcnn_scratch evaluate runs/coco --data coco
    """
    from maskrcnn_scratch.inference import evaluate_run
    from maskrcnn_scratch.processes import process_group, rank

    target = out or (run if run.is_dir() else run.parent) / "evaluation"
    with process_group():
        evaluate_run(run, data, target, split, proposals=proposals)
        if rank() == 0:
            print(f"results, figures, curves and pictures are in {target}")


def predict(
    run: Run,
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    score: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out objects below this.")
    ] = 0.5,
    tile: Annotated[
        int | None,
        typer.Option(min=1, help="Cut images into tiles of so many pixels a side."),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(min=0, help="Pixels that tiles share; a quarter if not given."),
    ] = None,
) -> None:
    """Find the objects in images: pictures, COCO results and a table.

    \b
    Tiles are for images too large for the model. Let them overlap by as much as
    the largest objects measure: those that no tile holds whole may be lost.

    \b
    maskrcnn-scratch predict runs/nuclei photo.png folder --out found
    maskrcnn-scratch predict runs/nuclei slide.png --out found --tile 1024
    """
    from maskrcnn_scratch.inference import InTiles, Predictor, predict_files

    shared = in_tiles(tile, overlap)
    predictor = Predictor.load(run)
    shown = InTiles(predictor, *shared) if shared else predictor
    folder = predict_files(shown, images, out, score)
    print(f"pictures, results.json and objects.csv are in {folder}")


def in_tiles(tile: int | None, overlap: int | None) -> tuple[int, int] | None:
    """Side and overlap of tiles, a quarter where that is not said; None without."""
    from maskrcnn_scratch.data.tiles import overlap_of

    if tile is None:
        if overlap is not None:
            raise ValueError("--overlap needs --tile")
        return None
    return tile, overlap_of(tile, overlap)
