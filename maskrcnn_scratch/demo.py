"""The whole road in one go: make images, train, evaluate, and show what was found."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from maskrcnn_scratch.data import CocoDataset, write_shapes
from maskrcnn_scratch.evaluation import Scores
from maskrcnn_scratch.figures.contact_sheet import contact_sheet
from maskrcnn_scratch.figures.losses import draw_losses
from maskrcnn_scratch.files import replacing_file
from maskrcnn_scratch.inference import Predictor, evaluate_run
from maskrcnn_scratch.inference.overlay import draw_detections
from maskrcnn_scratch.training import load_config, train
from maskrcnn_scratch.training.metrics import read_metrics

CONFIG = "shapes-tiny"
SHOWN, COLUMNS, SIDE = 12, 4, 480  # images in the picture of predictions
SHOWN_SCORE = 0.5


@dataclass(frozen=True)
class Demo:
    """What came of it: scores by kind ("bbox", "segm"), and pictures by name."""

    scores: dict[str, Scores]
    training_seconds: float
    pictures: dict[str, Path]


def run_demo(
    out: Path,
    settings: Sequence[str] = (),
    train_images: int = 1600,
    val_images: int = 200,
    console: Console | None = None,
) -> Demo:
    """Train on generated shapes, and evaluate on images that training never saw.

    Everything goes to ``out``; a run that an earlier demo left there is replaced.
    """
    console = console or Console()
    config = load_config(CONFIG, settings)
    data, run = out / "data", out / "run"
    console.print(f"writing {train_images} + {val_images} images of generated shapes")
    write_shapes(data, train_images, val_images)
    if (run / "config.toml").is_file():
        shutil.rmtree(run)
    began = time.perf_counter()
    train(config, data, run, console=console)
    seconds = time.perf_counter() - began
    scores = evaluate_run(run, data, out / "evaluation", console=console)
    pictures = {
        "predictions": draw_predictions(run, data, out / "predictions.png"),
        "losses": draw_run(run, out / "losses.png"),
        "precision over recall": out / "evaluation" / "pr_curves.png",
        "beside the ground truth": out / "evaluation",
    }
    return Demo(scores, seconds, pictures)


def draw_predictions(run: Path, data: Path, path: Path) -> Path:
    """What the model finds in the first images it has not seen."""
    predictor, dataset = Predictor.load(run), CocoDataset(data, "val")
    pictures = []
    for index in range(min(SHOWN, len(dataset))):
        image, _ = dataset[index]
        found = predictor(image, SHOWN_SCORE)
        pictures.append(draw_detections(image, found, predictor.class_names))
    with replacing_file(path) as draft:
        contact_sheet(pictures, COLUMNS, SIDE).save(draft)
    return path


def draw_run(run: Path, path: Path) -> Path:
    """The run's losses."""
    figure, _ = draw_losses(read_metrics(run / "metrics.jsonl"))
    with replacing_file(path) as draft:
        figure.savefig(draft, dpi=120)
    return path
