"""COCO's figures through pycocotools, with a settable limit of detections an image."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_scratch.data.annotations import to_rle
from maskrcnn_scratch.evaluation.ground_truth import (
    GroundTruth,
    Json,
    read_ground_truth,
)
from maskrcnn_scratch.evaluation.keypoints import (
    MOST_PERSONS,
    extent,
    keypoint_count,
    oks_sigmas,
)
from maskrcnn_scratch.evaluation.results import FIELD, check_results
from maskrcnn_scratch.reference.average_precision import FIGURES, IOU_THRESHOLDS

ALL, SMALL, MEDIUM, LARGE = range(4)  # COCO's area ranges


@dataclass(frozen=True)
class Scores:
    """How good one kind of detection is: "bbox", "segm" or "keypoints".

    ``figures`` are COCO's by name, twelve of boxes and masks (``ap``, ``ap50``, ...,
    ``ar_large``), ten of keypoints (none of small objects, nor ``ar_1`` and ``ar_10``,
    but ``ar50`` and ``ar75``); all but ``ar_1`` and ``ar_10`` at ``max_detections`` an
    image and class; -1 where there are no objects. ``precision`` is what they rest on:
    at IoU (or OKS) 0.50, 0.55, ..., 0.95 and recall 0.00, 0.01, ..., 1.00, for each
    class by ascending category id.
    """

    kind: str
    max_detections: int
    figures: dict[str, float]
    class_names: tuple[str, ...]
    objects: tuple[int, ...]
    precision: Float[np.ndarray, "thresholds levels classes"]

    @property
    def ap(self) -> float:
        """AP over IoU 0.50 to 0.95, over all classes."""
        return self.figures["ap"]

    @property
    def ap50(self) -> float:
        """AP at IoU 0.50."""
        return self.figures["ap50"]

    @property
    def ap75(self) -> float:
        """AP at IoU 0.75."""
        return self.figures["ap75"]

    def class_ap(self, iou: float | None = None) -> list[float]:
        """AP of each class, over all thresholds or at one of them; -1: no objects."""
        chosen = self.precision
        if iou is not None:
            chosen = chosen[np.isclose(IOU_THRESHOLDS, iou)]
        return [mean_of_known(chosen[:, :, k]) for k in range(chosen.shape[2])]


def evaluate_coco(
    ground_truth: GroundTruth,
    results: list[Json] | str | Path,
    kinds: Sequence[str] = ("bbox", "segm"),
    max_detections: int = 100,
    keypoint_sigmas: Sequence[float] | None = None,
) -> dict[str, Scores]:
    """Scores of COCO results (a list or a JSON file), by kind; nothing is printed.

    With 100 detections the figures are those of ``COCOeval.summarize``, which knows no
    other limit. The area that sorts a detection into small, medium and large is that
    of its box for "bbox", of its mask for "segm", of the box around its points for
    "keypoints". Of those 20 an image count, as in COCO; ``keypoint_sigmas``, one for
    each point, are COCO's where objects have its 17. Neither ground truth nor results
    are changed. Raises ValueError for results that cannot belong to the ground truth.
    """
    unknown = [kind for kind in kinds if kind not in FIELD]
    if unknown or max_detections < 1:
        raise ValueError(
            f"kinds are {list(kinds)} and max_detections {max_detections}; expected"
            f" some of {list(FIELD)} and at least 1"
        )
    if isinstance(results, str | Path):
        results = json.loads(Path(results).read_text(encoding="utf-8"))
    if not isinstance(results, list):
        raise ValueError(f"results are a {type(results).__name__}; expected a list")
    truth = read_ground_truth(ground_truth, "segm" in kinds, "keypoints" in kinds)
    check_results(truth, results, kinds)
    scores = {}
    for kind in kinds:
        if kind == "keypoints":
            sigmas = oks_sigmas(keypoint_count(truth), keypoint_sigmas)
            scores[kind] = evaluate_kind(truth, results, kind, MOST_PERSONS, sigmas)
        else:
            scores[kind] = evaluate_kind(truth, results, kind, max_detections)
    return scores


def evaluate_kind(
    truth: Json,
    results: Sequence[Json],
    kind: str,
    max_detections: int,
    sigmas: Float[np.ndarray, " points"] | None = None,
) -> Scores:
    """Scores of one kind, of checked results; ``sigmas`` are for keypoints."""
    images = {image["id"]: image for image in truth["images"]}
    found = [
        as_annotation(number, result, kind, images[result["image_id"]])
        for number, result in enumerate(results, start=1)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        found_coco = as_coco(truth | {"annotations": found})
        evaluation = COCOeval(as_coco(truth), found_coco, kind)
        if sigmas is None:
            evaluation.params.maxDets = [1, min(10, max_detections), max_detections]
        else:
            evaluation.params.maxDets = [max_detections]
            evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    categories = sorted(truth["categories"], key=lambda category: category["id"])
    counted = [a["category_id"] for a in truth["annotations"] if not a["iscrowd"]]
    return Scores(
        kind=kind,
        max_detections=max_detections,
        figures=(twelve_figures if sigmas is None else ten_figures)(precision, recall),
        class_names=tuple(str(category["name"]) for category in categories),
        objects=tuple(counted.count(category["id"]) for category in categories),
        precision=precision[:, :, :, ALL, -1],
    )


def as_annotation(number: int, result: Json, kind: str, image: Json) -> Json:
    """A result as pycocotools wants it: numbered, and with the area of its kind."""
    entry = {name: result[name] for name in ("image_id", "category_id", "score")}
    entry |= {"id": number, "iscrowd": 0}
    if kind == "bbox":
        _, _, width, height = result["bbox"]
        return entry | {"bbox": result["bbox"], "area": width * height}
    if kind == "keypoints":
        box, area = extent(result["keypoints"])
        return entry | {"keypoints": result["keypoints"], "bbox": box, "area": area}
    mask = to_rle(result["segmentation"], (image["height"], image["width"]))
    return entry | {"segmentation": mask, "area": float(mask_utils.area(mask))}


def as_coco(contents: Json) -> COCO:
    """pycocotools' index over the contents; ``loadRes`` fails where there are none."""
    coco = COCO()
    coco.dataset = contents
    coco.createIndex()
    return coco


def twelve_figures(
    precision: Float[np.ndarray, "thresholds levels classes areas limits"],
    recall: Float[np.ndarray, "thresholds classes areas limits"],
) -> dict[str, float]:
    """COCO's figures from the arrays of ``COCOeval.accumulate``, by name."""
    half, three_quarters = 0, 5  # places among the IoU thresholds
    parts = [
        precision[..., ALL, -1],
        precision[half, ..., ALL, -1],
        precision[three_quarters, ..., ALL, -1],
        *(precision[..., area, -1] for area in (SMALL, MEDIUM, LARGE)),
        *(recall[..., ALL, limit] for limit in (0, 1)),
        *(recall[..., area, -1] for area in (ALL, SMALL, MEDIUM, LARGE)),
    ]
    return dict(zip(FIGURES, map(mean_of_known, parts), strict=True))


def ten_figures(
    precision: Float[np.ndarray, "thresholds levels classes areas limits"],
    recall: Float[np.ndarray, "thresholds classes areas limits"],
) -> dict[str, float]:
    """COCO's figures of keypoints: there is no area range of small objects."""
    figures = {}
    for name, values in (("ap", precision), ("ar", recall)):
        by_area = np.moveaxis(values[..., -1], -1, 0)
        figures[name] = mean_of_known(by_area[0])
        figures[f"{name}50"] = mean_of_known(by_area[0, 0])
        figures[f"{name}75"] = mean_of_known(by_area[0, 5])
        figures[f"{name}_medium"] = mean_of_known(by_area[1])
        figures[f"{name}_large"] = mean_of_known(by_area[2])
    return figures


def mean_of_known(values: Float[np.ndarray, "*shape"]) -> float:
    """The mean without the -1 of classes that have no objects; -1 if all have none."""
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.0
