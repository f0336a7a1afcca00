"""What a model finds in the images of a data set, in the data set's labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor

from maskrcnn_scratch.data import CocoDataset
from maskrcnn_scratch.evaluation import detections_to_coco
from maskrcnn_scratch.inference.files import Json
from maskrcnn_scratch.inference.overlay import draw_comparison
from maskrcnn_scratch.inference.predict import Predictor
from maskrcnn_scratch.processes import gathered, rank, world_size
from maskrcnn_scratch.structures import Detections
from maskrcnn_scratch.weights.coco_classes import NO_CLASS

SHOWN_SCORE = 0.5  # pictures and mean IoU are of detections with this score or more


@dataclass(frozen=True)
class Found:
    """What was found in one image."""

    index: int
    """The image's place in the data set."""
    image_id: int
    results: list[Json]
    """As COCO lists them."""
    picture: Image.Image | None
    """Ground truth beside detections, of the first images."""

    @property
    def boxes(self) -> Float[Tensor, "n 4"]:
        """(x1, y1, x2, y2) in pixels, best first."""
        boxes = torch.tensor([one["bbox"] for one in self.results]).view(-1, 4)
        return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)


def detect_all(
    predictor: Predictor,
    labels: Int64[Tensor, " labels"],
    dataset: CocoDataset,
    console: Console,
    pictures: int = 0,
) -> list[Found]:
    """What is in every image, in order; with pictures of the first ``pictures``.

    Several processes take every so manieth image each: none is left out and none comes
    twice, also where their number does not divide. Process 0 gets all, the others none.
    """
    categories = dict(enumerate(dataset.category_ids, start=1))
    own: list[Found] = []
    for index in track(
        range(rank(), len(dataset), world_size()),
        "evaluating",
        console=console,
        disable=not console.is_terminal or console.quiet,
    ):
        image, target = dataset[index]
        found = relabelled(predictor(image, proposals=target.proposals), labels)
        results = detections_to_coco(found, target.image_id, categories)
        picture = None
        if index < pictures:
            picture = draw_comparison(
                image, target, shown(found), dataset.class_names, dataset.skeleton
            )
        own.append(Found(index, target.image_id, results, picture))
    return sorted(gathered(own), key=lambda one: one.index)


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
    found = found.select(labels[found.labels] > 0)
    return replace(found, labels=labels[found.labels])


def shown(found: Detections) -> Detections:
    """Those sure enough to be drawn."""
    return found.select(found.scores >= SHOWN_SCORE)
