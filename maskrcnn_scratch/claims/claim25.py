"""The same network serves keypoints and cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from maskrcnn_scratch.claims.cells import CLASS_NAME, generate_cells, train_on_cells
from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict
from maskrcnn_scratch.data.stick_figures import (
    CLASS_NAMES,
    KEYPOINT_NAMES,
    SKELETON,
    generate_figures,
)
from maskrcnn_scratch.data.transforms import Sample
from maskrcnn_scratch.experiments.lesson_weights import SIZE
from maskrcnn_scratch.figures.pictures import draw_pictures
from maskrcnn_scratch.inference import Predictor
from maskrcnn_scratch.inference.found import shown
from maskrcnn_scratch.inference.overlay import draw_detections, draw_target
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.models.differences import differences
from maskrcnn_scratch.reference.average_precision import (
    Annotation,
    Detection,
    average_precision,
)
from maskrcnn_scratch.reference.boxes import box_iou
from maskrcnn_scratch.reference.keypoints import keypoint_loss, keypoint_targets
from maskrcnn_scratch.structures import Detections
from maskrcnn_scratch.weights.lesson import lesson_model

SEED = 31  # of the images tested on; no model has seen them
NEAR = 0.1  # of a figure's longer side: so far off a point may be
MATCHED = 0.5  # box IoU of a figure that was found
ITERATIONS, IMAGES = 400, 40


@dataclass(frozen=True)
class Uses:
    """What two models of one kind find in images of people and of cells."""

    fields: list[str]
    """Of the config, in which the models differ."""
    parts: list[str]
    """That only the model for people has."""
    one_hot: tuple[int, int, float]
    """Cells a side of a keypoint's target, ones in it, and by how much its
    cross-entropy is not the reference's keypoint loss."""
    people: tuple[int, int]
    """Figures found, of how many."""
    near: float
    """Of their labelled points, the part that is read nearly where it is."""
    guessed: float
    """The same if every point were guessed in the middle of its box."""
    people_ap: dict[str, float]
    cells_before: dict[str, float]
    """Mask AP of the model for people on cells, by the name of the figure."""
    cells_ap: dict[str, float]
    """And after training on cells."""
    pictures: list[Image.Image]


def measure(iterations: int = ITERATIONS, images: int = IMAGES, seed: int = 0) -> Uses:
    """The lessons' model on people; then on cells, before a training and after."""
    figures, _ = lesson_model("figures")
    trained = train_on_cells(iterations, seed)
    people, cells = generate_figures(images, SIZE, SEED), generate_cells(images, SEED)
    found_people = detect(figures, people)
    found_cells = detect(trained, cells)
    own, kept = figures.state_dict(), trained.state_dict()
    near, guessed, found = keypoint_shares(people, found_people)
    return Uses(
        [one.field for one in differences(figures.config, trained.config)],
        sorted({name.split(".")[0] for name in own.keys() - kept.keys()}),
        one_hot_target(figures.config.keypoint_size, people[0]),
        (found, sum(len(target) for _, target in people)),
        near,
        guessed,
        mask_ap(people, found_people),
        mask_ap(cells, detect(figures, cells)),
        mask_ap(cells, found_cells),
        [
            *pictures_of(people[0], found_people[0], CLASS_NAMES, SKELETON),
            *pictures_of(cells[0], found_cells[0], (CLASS_NAME,)),
        ],
    )


def detect(model: MaskRCNN, samples: Sequence[Sample]) -> list[Detections]:
    """What the model finds in each image."""
    predictor = Predictor(model, [CLASS_NAME])
    return [predictor(image) for image, _ in samples]


def mask_ap(samples: Sequence[Sample], found: Sequence[Detections]) -> dict[str, float]:
    """COCO's figures for the masks."""
    annotations, detections = [], []
    for (_, target), one in zip(samples, found, strict=True):
        assert target.masks is not None
        assert one.masks is not None
        for true in target.masks.bool().numpy():
            area = float(true.sum())
            annotations.append(Annotation(target.image_id, 1, true, area))
        for mask, score in zip(one.masks.numpy(), one.scores.tolist(), strict=True):
            detections.append(Detection(target.image_id, 1, mask, score))
    return average_precision(annotations, detections)


def keypoint_shares(
    samples: Sequence[Sample], found: Sequence[Detections]
) -> tuple[float, float, int]:
    """Near points, as read and as guessed, of the figures found; and how many."""
    near, guessed, matched = [], [], 0
    for (_, target), one in zip(samples, found, strict=True):
        sure = shown(one)
        assert target.keypoints is not None
        assert sure.keypoints is not None
        boxes = target.boxes.double().numpy()
        iou = box_iou(boxes, sure.boxes.double().numpy())
        for box, row, true in zip(boxes, iou, target.keypoints.numpy(), strict=True):
            if len(row) == 0 or row.max() < MATCHED:
                continue
            matched += 1
            labelled = true[true[:, 2] > 0, :2]
            mine = sure.keypoints[int(row.argmax())].numpy()[true[:, 2] > 0, :2]
            reach = NEAR * (box[2:] - box[:2]).max()
            middle = (box[:2] + box[2:]) / 2
            near += (np.hypot(*(mine - labelled).T) <= reach).tolist()
            guessed += (np.hypot(*(middle - labelled).T) <= reach).tolist()
    return float(np.mean(near)), float(np.mean(guessed)), matched


def one_hot_target(size: int, sample: Sample) -> tuple[int, int, float]:
    """The first point's target as a mask, and the loss as a sum over that mask."""
    _, target = sample
    assert target.keypoints is not None
    points = target.keypoints[:1, :1].double().numpy()
    index, valid = keypoint_targets(points, target.boxes[:1].double().numpy(), size)
    mask = np.zeros(size * size)
    mask[index[0, 0]] = valid[0, 0]
    logits = np.random.default_rng(0).normal(size=(1, 1, size, size))
    loss, _ = keypoint_loss(logits, index, valid)
    log_softmax = logits.ravel() - np.log(np.exp(logits).sum())
    return size, int(mask.sum()), abs(loss + float(mask @ log_softmax))


def pictures_of(
    sample: Sample,
    found: Detections,
    names: Sequence[str],
    skeleton: Sequence[tuple[int, int]] = (),
) -> list[Image.Image]:
    """The ground truth and what was found."""
    image, target = sample
    return [
        draw_target(image, target, names, skeleton),
        draw_detections(image, shown(found), names, skeleton),
    ]


def evidence(told: Uses) -> Iterator[Step | Table]:
    """The network, then people, then cells."""
    only = told.fields == ["keypoints"] and told.parts == ["keypoint_head"]
    yield Step("settings in which the two models differ", ", ".join(told.fields), only)
    yield Step("parts that people alone need", ", ".join(told.parts), only)
    size, ones, off = told.one_hot
    hot = f"{size} x {size}, {ones} of them 1"
    yield Step("a keypoint's target: a mask of", hot, ones == 1)
    yield Step("cross-entropy with it less the loss", f"{off:.0e}", off < 1e-9)
    found, people = told.people
    yield Step("people, generated: found", f"{found} of {people}", found > 0.8 * people)
    points = f"{told.near:.2f}"
    yield Step(f"of {len(KEYPOINT_NAMES)} points, near where they are", points,
               told.near > 0.7)  # fmt: skip
    guessed = told.guessed
    yield Step("guessed in the box's middle", f"{guessed:.2f}", guessed < 0.3)
    yield Table(
        "Mask AP on fresh generated images",
        ("model, images", "AP", "AP50", "AP75"),
        tuple(
            (name, *(f"{ap[key]:.2f}" for key in ("ap", "ap50", "ap75")))
            for name, ap in (
                ("for people, people", told.people_ap),
                ("for people, cells", told.cells_before),
                ("trained on cells, cells", told.cells_ap),
            )
        ),
    )
    before, after = told.cells_before["ap50"], told.cells_ap["ap50"]
    yield Step("cells: AP50 before the training", f"{before:.2f}", before < 0.2)
    yield Step("and after", f"{after:.2f}", after > 0.5)


def draw(told: Uses) -> Figure:
    """One image of each kind: ground truth, and what was found."""
    titles = ("people: ground truth", "found", "cells: ground truth", "found")
    return draw_pictures(told.pictures, titles)


def alt(told: Uses) -> str:
    """The picture in words."""
    return (
        "Two images, each with its ground truth and what was found: stick figures with "
        f"masks and {len(KEYPOINT_NAMES)} keypoints, and bright cells with masks."
    )


CLAIM = Claim(
    number=25,
    claim="The same network serves human pose, with keypoints as one-hot masks, and "
    "the detection of tumours and cells.",
    places=(Place.SUMMARY,),
    verdict=Verdict.CONDITION,
    right="It does for people and cells, after a training of its own for each; of "
    "tumours nothing is shown: these are generated images, not medical ones.",
    paper="Section 5: keypoints as one-hot 56 x 56 masks; Table 4, keypoint AP 62.7, "
    "with masks 63.1. The paper has no medical images.",
    lesson="14_keypoints",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
    small=f"the lessons' small model, trained on generated cells for {ITERATIONS} "
    f"iterations of 4 images of 128 x 128, one seed, 1 to 2 minutes; {IMAGES} images "
    "of each kind tested.",
    quick={"iterations": 30, "images": 8},
)
