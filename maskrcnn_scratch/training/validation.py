"""Evaluation now and then during training, and the best model so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from maskrcnn_scratch.data import CocoDataset
from maskrcnn_scratch.inference.evaluate import kinds_of, recall_of, scores_of
from maskrcnn_scratch.inference.found import dataset_labels, detect_all
from maskrcnn_scratch.inference.predict import Predictor
from maskrcnn_scratch.inference.settings import what_it_reads
from maskrcnn_scratch.processes import rank
from maskrcnn_scratch.training.config import RunConfig
from maskrcnn_scratch.training.metrics import Row, read_metrics
from maskrcnn_scratch.weights.model_file import write_model_file

FIGURES = {"bbox": "box_ap", "segm": "mask_ap", "keypoints": "keypoint_ap"}
WORTH = ["bbox", "keypoints", "segm"]  # the last of these that there is, is the judge
RECALL = "ar_1000"  # of an RPN alone


class Validation:
    """AP on ``data.val_split``; keeps the model with the best mask AP.

    Without masks AP of keypoints counts, or else of boxes; of an RPN alone the average
    recall of 1000 proposals. Process 0 keeps the model in ``out``'s ``best``.
    """

    def __init__(
        self, config: RunConfig, dataset: CocoDataset, class_names: list[str], out: Path
    ) -> None:
        """Raises ValueError where the classes are not those of the training images."""
        self.config, self.dataset, self.out = config, dataset, out
        self.class_names = class_names
        self.labels = dataset_labels(class_names, dataset.class_names)
        kinds = kinds_of(config.model)
        self.judge = FIGURES[max(kinds, key=WORTH.index)] if kinds else RECALL

    def is_due(self, iteration: int) -> bool:
        """After every so many iterations, and after the last."""
        every = self.config.train.evaluate_every
        return iteration % every == 0 or iteration == self.config.train.iterations

    def __call__(self, model: Any, header: tuple[Any, list[str]]) -> Row:
        """The figures by name, in process 0; nothing in the others."""
        figures = self.measure(model)
        if figures and figures[self.judge] > self.best_so_far():
            write_model_file(self.out / "best" / "model.safetensors", model, *header)
        return figures

    def best_so_far(self) -> float:
        """In the run's metrics, so that a resumed run knows it too."""
        rows = read_metrics(self.out / "metrics.jsonl")
        return max((row[self.judge] for row in rows if self.judge in row), default=-1.0)

    def measure(self, model: Any) -> Row:
        """Each process finds the objects of its part of the images."""
        training = model.training
        predictor = Predictor(model, self.class_names, self.config.evaluate)
        found = detect_all(predictor, self.labels, self.dataset, Console(quiet=True))
        model.train(training)
        if rank() > 0:
            return {}
        scores = scores_of(self.config.model, self.dataset, found)
        figures = {FIGURES[kind]: one.ap for kind, one in scores.items()}
        return figures or recall_of(self.dataset, found)


def open_validation(
    config: RunConfig, data_dir: str | Path, class_names: list[str], out: Path
) -> Validation | None:
    """None where the config asks for none."""
    if config.train.evaluate_every == 0:
        return None
    dataset = CocoDataset(
        data_dir,
        config.data.val_split,
        proposals=config.data.val_proposals,
        most_proposals=config.data.most_proposals,
        cache=config.data.cache,
        **what_it_reads(config.model),
    )
    return Validation(config, dataset, class_names, out)
