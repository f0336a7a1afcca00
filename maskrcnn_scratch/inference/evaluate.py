"""A trained model on the images of a data set: COCO's figures, tables and pictures."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Int64
from rich.console import Console
from rich.progress import track
from torch import Tensor

from maskrcnn_scratch.data import CocoDataset
from maskrcnn_scratch.evaluation import (
    MeanIoU,
    Scores,
    detections_to_coco,
    evaluate_coco,
    figures_table,
    mean_iou,
    per_class_table,
    pr_curves_figure,
)
from maskrcnn_scratch.files import filling_folder
from maskrcnn_scratch.inference.files import Json, write_json
from maskrcnn_scratch.inference.overlay import draw_comparison
from maskrcnn_scratch.inference.predict import Predictor
from maskrcnn_scratch.structures import Detections
from maskrcnn_scratch.weights.coco_classes import NO_CLASS

SHOWN_SCORE = 0.5  # pictures and mean IoU are of detections with this score or more


def evaluate_run(
    run: str | Path,
    data_dir: str | Path,
    out_dir: str | Path | None = None,
    split: str = "val",
    pictures: int = 8,
    console: Console | None = None,
) -> dict[str, Scores]:
    """Box and mask AP of a run, or a model.safetensors, on a split; prints tables.

    Writes to ``out_dir`` (by default the run's folder, ``evaluation``):
    ``results.json`` (COCO's results list), ``metrics.json`` (all figures),
    ``pr_curves.png``, and ground truth beside detections for the first ``pictures``
    images; all of them or, where something fails, none.

    Raises FileNotFoundError, or ValueError where model and data do not belong together.
    """
    predictor = Predictor.load(run)
    dataset = CocoDataset(data_dir, split)
    labels = dataset_labels(predictor.class_names, dataset.class_names)
    console = console or Console()
    home = Path(run) if Path(run).is_dir() else Path(run).parent
    with filling_folder(out_dir or home / "evaluation") as folder:
        began = time.perf_counter()
        results = detect_all(predictor, labels, dataset, folder, pictures, console)
        seconds = (time.perf_counter() - began) / len(dataset)
        most = predictor.model.config.max_detections
        scores = evaluate_coco(dataset.annotation_file, results, max_detections=most)
        overlap = mean_iou(dataset.annotation_file, results, SHOWN_SCORE)
        write_json(folder / "results.json", results)
        metrics = summary(scores, overlap) | {
            "split": split,
            "images": len(dataset),
            "seconds_per_image": seconds,
        }
        write_json(folder / "metrics.json", metrics)
        pr_curves_figure(scores, folder / "pr_curves.png")
    console.print(figures_table(scores))
    console.print(per_class_table(scores))
    return scores


def dataset_labels(known: list[str], given: list[str]) -> Int64[Tensor, " labels"]:
    """The data set's label for each of the model's, 0 where it has none.

    Labels that no class has (of weights that number COCO's classes with holes) are left
    out. Raises ValueError unless the classes are the same, in the same order.
    """
    is_class = [not name.startswith(NO_CLASS) for name in known]
    classes = [name for name, real in zip(known, is_class, strict=True) if real]
    if classes != given:
        raise ValueError(
            f"the model knows the classes {', '.join(classes)}; the data set has"
            f" {', '.join(given)}: they must be the same, in the same order"
        )
    real = torch.tensor([False, *is_class])
    return real.cumsum(0) * real


def relabelled(found: Detections, labels: Int64[Tensor, " labels"]) -> Detections:
    """In the data set's labels, without those that it has not."""
    kept = labels[found.labels] > 0
    fields = {
        name: value[kept] for name, value in vars(found).items() if value is not None
    }
    return Detections(**fields | {"labels": labels[found.labels[kept]]})


def detect_all(
    predictor: Predictor,
    labels: Int64[Tensor, " labels"],
    dataset: CocoDataset,
    folder: Path,
    pictures: int,
    console: Console,
) -> list[Json]:
    """COCO results of every image; the first ``pictures`` are drawn into ``folder``."""
    categories = dict(enumerate(dataset.category_ids, start=1))
    results: list[Json] = []
    for index in track(
        range(len(dataset)),
        "evaluating",
        console=console,
        disable=not console.is_terminal,
    ):
        image, target = dataset[index]
        found = relabelled(predictor(image), labels)
        results += detections_to_coco(found, target.image_id, categories)
        if index < pictures:
            picture = draw_comparison(image, target, shown(found), dataset.class_names)
            picture.save(folder / f"{image_name(dataset, index)}.png")
    return results


def shown(found: Detections) -> Detections:
    """Those sure enough to be drawn."""
    kept = found.scores >= SHOWN_SCORE
    return Detections(
        boxes=found.boxes[kept],
        scores=found.scores[kept],
        labels=found.labels[kept],
        masks=None if found.masks is None else found.masks[kept],
    )


def image_name(dataset: CocoDataset, index: int) -> str:
    """The image's file name without its suffix."""
    return Path(dataset.images[index]["file_name"]).stem


def summary(scores: dict[str, Scores], overlap: MeanIoU) -> Json:
    """All figures by name, ready for JSON."""
    by_kind = {
        kind: {
            **one.figures,
            "max_detections": one.max_detections,
            "class_ap": dict(zip(one.class_names, one.class_ap(), strict=True)),
        }
        for kind, one in scores.items()
    }
    return {**by_kind, "mean_iou": asdict(overlap)}
