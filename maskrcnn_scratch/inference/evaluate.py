"""A trained model on the images of a data set: COCO's figures, tables and pictures."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from maskrcnn_scratch.data import CocoDataset
from maskrcnn_scratch.evaluation import (
    Scores,
    average_recall,
    evaluate_coco,
    figures_table,
    mean_iou,
    per_class_table,
    pr_curves_figure,
    recall_table,
)
from maskrcnn_scratch.files import filling_folder
from maskrcnn_scratch.inference.files import Json, write_json
from maskrcnn_scratch.inference.found import (
    SHOWN_SCORE,
    Found,
    dataset_labels,
    detect_all,
)
from maskrcnn_scratch.inference.predict import Predictor
from maskrcnn_scratch.inference.settings import what_it_reads
from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.processes import rank


def evaluate_run(
    run: str | Path,
    data_dir: str | Path,
    out_dir: str | Path | None = None,
    split: str = "val",
    pictures: int = 8,
    console: Console | None = None,
    proposals: str | Path | None = None,
) -> dict[str, Scores]:
    """AP of a run, or a model.safetensors, on a split, by kind; prints tables.

    There are boxes, and masks and keypoints where the model has them; of an RPN alone
    there is the average recall of its proposals, printed and written, and no AP. A
    model without RPN needs a file of ``proposals``.

    Writes to ``out_dir`` (by default the run's folder, ``evaluation``):
    ``results.json`` (COCO's results list), ``metrics.json`` (all figures),
    ``pr_curves.png``, and ground truth beside detections for the first ``pictures``
    images; all of them or, where something fails, none. Under torchrun every process
    takes a part of the images, and process 0 writes and returns; the others return
    nothing.

    Raises FileNotFoundError, or ValueError where model and data do not belong together.
    """
    predictor = Predictor.load(run)
    config = predictor.model.config
    reads = what_it_reads(config)
    dataset = CocoDataset(data_dir, split, proposals=proposals, **reads)
    labels = dataset_labels(predictor.class_names, dataset.class_names)
    console = console or Console(quiet=rank() > 0)
    began = time.perf_counter()
    found = detect_all(predictor, labels, dataset, console, pictures)
    seconds = (time.perf_counter() - began) / len(dataset)
    if rank() > 0:
        return {}
    scores = scores_of(config, dataset, found)
    metrics = metrics_of(scores, dataset, found) | {
        "split": split,
        "images": len(dataset),
        "seconds_per_image": seconds,
    }
    home = Path(run) if Path(run).is_dir() else Path(run).parent
    with filling_folder(out_dir or home / "evaluation") as folder:
        write_json(folder / "results.json", all_results(found))
        write_json(folder / "metrics.json", metrics)
        for one in found[:pictures]:
            if one.picture is not None:
                one.picture.save(folder / f"{image_name(dataset, one.index)}.png")
        if scores:
            pr_curves_figure(scores, folder / "pr_curves.png")
    print_tables(console, scores, metrics.get("proposals", {}))
    return scores


def metrics_of(
    scores: dict[str, Scores], dataset: CocoDataset, found: list[Found]
) -> Json:
    """All figures by name, ready for JSON."""
    metrics = summary(scores)
    if not scores:
        metrics["proposals"] = recall_of(dataset, found)
    if "segm" in scores:
        overlap = mean_iou(dataset.annotation_file, all_results(found), SHOWN_SCORE)
        metrics["mean_iou"] = asdict(overlap)
    return metrics


def print_tables(
    console: Console, scores: dict[str, Scores], recall: dict[str, float]
) -> None:
    """AP where there is any, else average recall."""
    if scores:
        console.print(figures_table(scores))
        console.print(per_class_table(scores))
        return
    console.print(recall_table(recall))


def kinds_of(config: ModelConfig) -> list[str]:
    """What there is to score; nothing of an RPN alone."""
    kinds = {
        "bbox": config.box_head != "none",
        "segm": config.mask_head != "none",
        "keypoints": config.keypoints > 0,
    }
    return [kind for kind, there in kinds.items() if there]


def scores_of(
    config: ModelConfig, dataset: CocoDataset, found: list[Found]
) -> dict[str, Scores]:
    """COCO's figures of all images, by kind."""
    kinds, most = kinds_of(config), config.max_detections
    return evaluate_coco(dataset.annotation_file, all_results(found), kinds, most)


def all_results(found: list[Found]) -> list[Json]:
    """COCO's results list."""
    return [result for one in found for result in one.results]


def recall_of(dataset: CocoDataset, found: list[Found]) -> dict[str, float]:
    """Average recall of an RPN's proposals, by name."""
    boxes = {one.image_id: one.boxes for one in found}
    return average_recall(dataset.annotation_file, boxes)


def image_name(dataset: CocoDataset, index: int) -> str:
    """The image's file name without its suffix."""
    return Path(dataset.images[index]["file_name"]).stem


def summary(scores: dict[str, Scores]) -> Json:
    """COCO's figures and each class's AP, by kind."""
    return {
        kind: {
            **one.figures,
            "max_detections": one.max_detections,
            "class_ap": dict(zip(one.class_names, one.class_ap(), strict=True)),
        }
        for kind, one in scores.items()
    }
