"""Test time: 300 or 1000 proposals, NMS, masks for the best 100 alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from maskrcnn_scratch.claims.claim import Claim, Place, Step, Table, Verdict
from maskrcnn_scratch.data import generate_shapes
from maskrcnn_scratch.figures.detection_steps import draw_detection_steps
from maskrcnn_scratch.inference.settings import PredictSettings
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.models.box_head import BoxHead
from maskrcnn_scratch.models.mask_rcnn import image_sizes
from maskrcnn_scratch.models.presets import PAPER, preset
from maskrcnn_scratch.models.roi_features import roi_features, to_rois
from maskrcnn_scratch.ops import paste_masks
from maskrcnn_scratch.reference.masks import paste_mask
from maskrcnn_scratch.structures import Detections
from maskrcnn_scratch.weights.lesson import lesson_model

TILES = 6  # along each side of the mosaic; a tile is an image of 128 x 128
SEED = 7  # of the tiles, none of which the lessons' model has seen
COMPARED = 5  # masks, the best
STEPS = ("proposals", "surer than 0.05", "after NMS", "the best, with masks")


@dataclass(frozen=True)
class Inference:
    """What is left after each step in one crowded image."""

    picture: UInt8[np.ndarray, "height width 3"]
    objects: int
    boxes: dict[str, Float[np.ndarray, "_n 4"]]
    """By step."""
    c4_proposals: int
    """Of the paper's C4 model, with narrow layers of random weights."""
    mask_rois: int
    """RoIs that the mask head has read."""
    on_detections: bool
    """Whether it read them at the boxes of the detections."""
    own_class: float
    """The largest difference of a detection's map from its class's of all K maps."""
    other_class: float
    """And from the next class's."""
    differing: int
    """Pixels, of the best masks, where the model's paste is not the reference's."""


def measure() -> Inference:
    """The lessons' model with the paper's numbers, on a mosaic of fresh images."""
    model = with_the_papers_numbers()
    assert model.box_head is not None
    assert model.mask_head is not None
    image, objects = mosaic()
    read: list[Tensor] = []
    model.mask_head.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    with torch.no_grad():
        maps, sizes = model.feature_maps(model.batch([image])), image_sizes([image])
        proposals = model.proposals(maps, sizes, None)
        (found,) = model.detect(maps, proposals, sizes)
        rois = to_rois([proposals[0].boxes])
        features = roi_features(model.config, maps, rois, model.config.box_pool)
        unlimited = without_limit(model.box_head, features, rois, sizes)
        own = to_rois([found.boxes])
        features = roi_features(model.config, maps, own, model.config.mask_pool)
        every_map = model.mask_head.net(read[0]).sigmoid()
    stages = (proposals[0].boxes, *(one.boxes for one in unlimited), found.boxes)
    return Inference(
        (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8),
        objects,
        {step: boxes.numpy() for step, boxes in zip(STEPS, stages, strict=True)},
        c4_proposals(image),
        sum(len(one) for one in read),
        torch.equal(features, read[0]),
        difference(found, every_map, 0),
        difference(found, every_map, 1),
        differing_pixels(found, (image.shape[1], image.shape[2])),
    )


def with_the_papers_numbers() -> MaskRCNN:
    """The lessons' weights, tested as the paper's ResNet-50-FPN is."""
    lesson, _ = lesson_model("shapes")
    config = replace(
        lesson.config,
        rpn_pre_nms_test=PAPER.rpn_pre_nms_test,
        rpn_post_nms_test=PAPER.rpn_post_nms_test,
        score_threshold=PAPER.score_threshold,
        nms_iou=PAPER.nms_iou,
        max_detections=PAPER.max_detections,
    )
    model = MaskRCNN(config).eval()
    model.load_state_dict(lesson.state_dict())
    return model


def mosaic() -> tuple[Float[Tensor, "3 side side"], int]:
    """Many generated images as one, and how many objects it has."""
    samples = generate_shapes(TILES**2, seed=SEED)
    images = [image for image, _ in samples]
    rows = [
        torch.cat(images[i : i + TILES], dim=2) for i in range(0, len(images), TILES)
    ]
    return torch.cat(rows, dim=1), sum(len(target) for _, target in samples)


def without_limit(
    head: BoxHead, features: Tensor, rois: Tensor, sizes: Tensor
) -> list[Detections]:
    """All boxes over the score threshold, and those that NMS leaves of them."""
    config = replace(head.config, max_detections=10**6)
    logits, deltas = head(features)
    found = []
    for nms_iou in (1.0, config.nms_iou):
        head.config = replace(config, nms_iou=nms_iou)
        found += head.detect(logits, deltas, rois, sizes)
    return found


def c4_proposals(image: Float[Tensor, "3 side side"]) -> int:
    """How many the paper's C4 model keeps of what it proposes."""
    torch.manual_seed(0)
    config = replace(preset("r50-c4"), depth=18, stem_width=8)
    model = MaskRCNN(config).eval()
    with torch.no_grad():
        maps = model.feature_maps(model.batch([image]))
        (proposals,) = model.proposals(maps, image_sizes([image]), None)
    return len(proposals.boxes)


def difference(
    found: Detections, every_map: Float[Tensor, "detections k m m"], further: int
) -> float:
    """From the map of each detection's class, or of a class ``further`` in the list."""
    assert found.mask_probabilities is not None
    classes = (found.labels - 1 + further) % every_map.shape[1]
    chosen = every_map[torch.arange(len(found)), classes]
    return float((found.mask_probabilities - chosen).abs().max())


def differing_pixels(found: Detections, size: tuple[int, int]) -> int:
    """The best masks by the operator and by the reference: resized, cut at one half."""
    assert found.mask_probabilities is not None
    best = found.select(torch.arange(COMPARED))
    maps = found.mask_probabilities[:COMPARED]
    threshold = PredictSettings().mask_threshold
    masks = paste_masks(maps, best.boxes, size, threshold).numpy()
    pairs = zip(maps.double().numpy(), best.boxes.double().numpy(), strict=True)
    expected = [paste_mask(probability, box, size, 0.5) for probability, box in pairs]
    return int((masks != np.stack(expected)).sum())


def evidence(told: Inference) -> Iterator[Step | Table]:
    """How many boxes there are after each step, and what the masks are."""
    height, width = told.picture.shape[:2]
    yield Step("an image of generated shapes", f"{height} x {width}")
    yield Step("objects in it", str(told.objects))
    counts = {step: len(boxes) for step, boxes in told.boxes.items()}
    given, sure, left, best = counts.values()
    yield Step("FPN: proposals, after the RPN's own NMS", str(given), given == 1000)
    yield Step("C4: the same", str(told.c4_proposals), told.c4_proposals == 300)
    yield Step("boxes surer than 0.05, all classes", str(sure), sure > left)
    yield Step("after NMS within each class", str(left), left > best)
    yield Step("the best of them", str(best), best == 100)
    rois = told.mask_rois
    yield Step("RoIs that the mask branch reads", str(rois), rois == best)
    place = "detected boxes" if told.on_detections else "elsewhere"
    yield Step("where it reads them", place, told.on_detections)
    own, other = told.own_class, told.other_class
    yield Step("a mask less its class's map, at most", f"{own:.0e}", own < 1e-4)
    yield Step("less the next class's map, at most", f"{other:.2f}", other > 0.5)
    exact = told.differing == 0
    says = f"{COMPARED} masks, resized and cut at 0.5: wrong pixels"
    yield Step(says, str(told.differing), exact)


def draw(told: Inference) -> Figure:
    """The boxes that are left after each step."""
    figure, _ = draw_detection_steps(told.picture, told.boxes, [""] * told.mask_rois)
    return figure


def alt(told: Inference) -> str:
    """The picture in words."""
    counts = [f"{step}: {len(boxes)}" for step, boxes in told.boxes.items()]
    return f"An image of many shapes with the boxes of each step. {'; '.join(counts)}."


CLAIM = Claim(
    number=23,
    claim="Test time: boxes are predicted for 300 (C4) or 1000 (FPN) proposals, then "
    "NMS; the mask branch runs on the 100 best alone, and the mask of the predicted "
    "class is resized to the RoI and cut at 0.5.",
    places=(Place.SUMMARY,),
    verdict=Verdict.TRUE,
    right="So it is; the mask branch reads the detected boxes, not the proposals they "
    "come from.",
    paper="Section 3.1, inference, with these numbers.",
    lesson="11_mask_rcnn",
    measure=measure,
    evidence=evidence,
    draw=draw,
    alt=alt,
)
