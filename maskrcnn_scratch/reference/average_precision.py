"""COCO's average precision, from detections to the twelve figures.

For one class and one IoU threshold: detections, best score first, each take the free
ground-truth object that they overlap most, if the IoU reaches the threshold. A taker is
a true positive, the others are false positives. Going down the list, recall grows and
precision = true / (true + false) goes up and down; the average precision is the mean,
over 101 recall levels, of the best precision at that recall or more. AP then averages
over IoU thresholds 0.50, 0.55, ..., 0.95 and over classes (Mask R-CNN section 4: "We
report the standard COCO metrics including AP (averaged over IoU thresholds), AP50,
AP75, and APS, APM, APL"). AR is the recall reached, averaged in the same way.

Some objects do not count, for or against: crowd regions, and objects outside the area
range that a figure is about. A detection that takes one of these is left out. So is one
that takes nothing and lies outside the area range itself.

A region is either a box (4,), xyxy in image pixels, or a bitmap [height, width].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Integer, Shaped

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_LEVELS = np.linspace(0.0, 1.0, 101)
AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
FIGURES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar_1", "ar_10", "ar", "ar_small", "ar_medium", "ar_large"),
)


@dataclass(frozen=True)
class Annotation:
    """One ground-truth object, or a crowd of them. ``area`` is in square pixels."""

    image: int
    category: int
    region: Shaped[np.ndarray, "*region"]
    area: float
    crowd: bool = False


@dataclass(frozen=True)
class Detection:
    """One detected object."""

    image: int
    category: int
    region: Shaped[np.ndarray, "*region"]
    score: float


@dataclass(frozen=True)
class Scene:
    """One class in one image: objects, detections by falling score, their IoU."""

    objects: list[Annotation]
    detections: list[Detection]
    iou: Float[np.ndarray, "detections objects"]


def region_area(region: Shaped[np.ndarray, "*region"]) -> float:
    """The area of a box or of a bitmap, in square pixels."""
    if region.ndim == 2:
        return float(np.count_nonzero(region))
    x1, y1, x2, y2 = region
    return float((x2 - x1) * (y2 - y1))


def intersection_area(
    a: Shaped[np.ndarray, "*region"], b: Shaped[np.ndarray, "*region"]
) -> float:
    """The area that two boxes, or two bitmaps, share."""
    if a.ndim == 2:
        return float(np.count_nonzero((a != 0) & (b != 0)))
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return float(max(width, 0) * max(height, 0))


def region_iou(detection: Detection, annotation: Annotation) -> float:
    """Intersection over union; over the detection's own area for a crowd.

    A detection inside a crowd region so has an "IoU" of 1: it may be one of the crowd.
    """
    shared = intersection_area(detection.region, annotation.region)
    if shared == 0:
        return 0.0
    whole = region_area(detection.region)
    if not annotation.crowd:
        whole += region_area(annotation.region) - shared
    return shared / whole


def match_detections(
    iou: Float[np.ndarray, "detections objects"],
    ignored: Bool[np.ndarray, " objects"],
    crowd: Bool[np.ndarray, " objects"],
    threshold: float,
) -> Integer[np.ndarray, " detections"]:
    """The object each detection takes, or -1; detections come by falling score.

    Objects that count come first: an ignored one is taken only where none of them
    reaches the threshold. An object is taken once; a crowd any number of times. Of
    equal overlaps the object later in the list wins.
    """
    bar = min(threshold, 1 - 1e-10)  # so that a perfect overlap passes a threshold of 1
    taken = np.zeros(len(ignored), bool)
    matches = np.full(len(iou), -1)
    for d in range(len(iou)):
        for group in (~ignored, ignored):
            free = [g for g in np.flatnonzero(group) if crowd[g] or not taken[g]]
            near = [g for g in free if iou[d, g] >= bar]
            if near:
                best = max(near, key=lambda g: (iou[d, g], g))
                matches[d] = best
                taken[best] = True
                break
    return matches


def scenes_of(
    annotations: Sequence[Annotation], detections: Sequence[Detection]
) -> list[Scene]:
    """One class's objects and detections, image by image in the order of the ids.

    The sort is stable: detections with equal scores keep the order of the list.
    """
    scenes = []
    images = {item.image for item in annotations} | {item.image for item in detections}
    for image in sorted(images):
        objects = [item for item in annotations if item.image == image]
        found = [item for item in detections if item.image == image]
        found.sort(key=lambda item: -item.score)
        iou = np.array([[region_iou(d, g) for g in objects] for d in found])
        scenes.append(Scene(objects, found, iou.reshape(len(found), len(objects))))
    return scenes


def judge(
    scene: Scene, threshold: float, area: tuple[float, float], limit: int
) -> tuple[list[tuple[float, bool]], int]:
    """(score, hit) of each detection that counts, and how many objects count."""

    def outside(size: float) -> bool:
        return not area[0] <= size <= area[1]

    crowd = np.array([item.crowd for item in scene.objects], bool)
    ignored = crowd | np.array([outside(item.area) for item in scene.objects], bool)
    matches = match_detections(scene.iou[:limit], ignored, crowd, threshold)
    verdicts = []
    for detection, match in zip(scene.detections, matches, strict=False):
        if match >= 0 and not ignored[match]:
            verdicts.append((detection.score, True))
        elif match < 0 and not outside(region_area(detection.region)):
            verdicts.append((detection.score, False))
    return verdicts, int(np.count_nonzero(~ignored))


def precision_curve(
    hits: Bool[np.ndarray, " detections"], objects: int
) -> tuple[Float[np.ndarray, " levels"], float]:
    """Precision at the 101 recall levels, and the recall reached in the end.

    ``hits`` says of each detection, best score first, whether it is a true positive.
    At each level the best precision from there on counts; beyond the last recall, 0.
    """
    true = np.cumsum(hits)
    recall = true / objects
    precision = true / np.arange(1, len(hits) + 1)
    for i in reversed(range(len(hits) - 1)):
        precision[i] = max(precision[i], precision[i + 1])
    curve = np.zeros(len(RECALL_LEVELS))
    for i, place in enumerate(np.searchsorted(recall, RECALL_LEVELS)):
        if place < len(hits):
            curve[i] = precision[place]
    return curve, float(recall[-1]) if len(hits) else 0.0


def class_curve(
    scenes: Sequence[Scene], threshold: float, area: str, limit: int
) -> tuple[Float[np.ndarray, " levels"], float] | None:
    """One class's precision curve and recall; None where no object counts.

    ``limit`` detections of the class count in each image. Across images, too, equal
    scores stay in the order of images and of the list.
    """
    judged = [judge(scene, threshold, AREAS[area], limit) for scene in scenes]
    objects = sum(count for _, count in judged)
    if objects == 0:
        return None
    verdicts = [verdict for verdicts, _ in judged for verdict in verdicts]
    verdicts.sort(key=lambda verdict: -verdict[0])
    return precision_curve(np.array([hit for _, hit in verdicts], bool), objects)


def average_precision(
    annotations: Sequence[Annotation],
    detections: Sequence[Detection],
    limits: tuple[int, int, int] = (1, 10, 100),
) -> dict[str, float]:
    """COCO's twelve figures, by name, in COCO's order; -1 where no object counts.

    ``ap`` and ``ar`` average over all IoU thresholds, areas and classes that have
    objects; ``ar_1`` and ``ar_10`` allow the first two ``limits`` of detections a class
    and image, all others the third. The region decides whether boxes or masks are
    compared; all must be of one kind. Equal to pycocotools, which takes a detection's
    area from its region as long as results hold no second one.
    """
    scenes = [
        scenes_of(
            [item for item in annotations if item.category == category],
            [item for item in detections if item.category == category],
        )
        for category in sorted({item.category for item in annotations})
    ]
    most = limits[2]

    def means(
        area: str, limit: int, thresholds: Iterable[float] = IOU_THRESHOLDS
    ) -> tuple[float, float]:
        """AP and AR over all classes and the thresholds."""
        curves = [class_curve(s, t, area, limit) for s in scenes for t in thresholds]
        known = [curve for curve in curves if curve is not None]
        if not known:
            return -1.0, -1.0
        precisions, recalls = zip(*known, strict=True)
        return float(np.mean(precisions)), float(np.mean(recalls))

    by_area = {area: means(area, most) for area in AREAS}
    values = [
        by_area["all"][0],
        means("all", most, IOU_THRESHOLDS[:1])[0],
        means("all", most, IOU_THRESHOLDS[5:6])[0],
        *[by_area[area][0] for area in ("small", "medium", "large")],
        means("all", limits[0])[1],
        means("all", limits[1])[1],
        *[by_area[area][1] for area in AREAS],
    ]
    return dict(zip(FIGURES, values, strict=True))
