"""Every tensor of the model from image to masks, with its shape.

The real model runs on torch's meta device: tensors there have a shape and no values,
so any backbone and any image size take a moment and no memory. What depends on values
(NMS, the score threshold) is taken at its limit: all proposals, n detections.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maskrcnn_scratch.models.box_head import BoxHead, Res5
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.keypoint_head import KeypointHead
from maskrcnn_scratch.models.mask_head import MaskHead
from maskrcnn_scratch.models.mask_rcnn import MaskRCNN
from maskrcnn_scratch.models.roi_features import Maps, roi_features, to_rois
from maskrcnn_scratch.models.rpn import RPN
from maskrcnn_scratch.models.tensor_entries import Entry, entry, layers_of, recorded
from maskrcnn_scratch.structures import Detections

N = "n"  # detections in an image, at most ``max_detections``
P = "p"  # proposals that another model found

ROI_LAYERS = {
    "align": "RoIAlign",
    "pool": "RoIPool",
    "warp": "RoIWarp",
    "corners": "crop and resize",
}


def anatomy(config: ModelConfig, image_size: tuple[int, int]) -> list[Entry]:
    """The tensors for one image of ``image_size`` (height, width), in their order.

    Raises ValueError for sizes below 1.
    """
    height, width = image_size
    if min(image_size) < 1:
        raise ValueError(f"an image has 1 pixel or more a side, not {height} x {width}")
    with torch.device("meta"), torch.no_grad():
        model = MaskRCNN(config).eval()
        image = torch.empty(3, height, width)
        batch = model.batch([image])
        with recorded({"backbone": model.backbone}) as output:
            maps = model.feature_maps(batch)
        steps = ["normalised", "zero-padded"]
        if config.pad_before_mean:
            steps.reverse()
        entries = [
            entry("image", "image", image, "RGB in 0..1"),
            entry("image", "batch", batch, ", ".join(steps)),
            *(
                entry("backbone", f"C{n}", c, f"stride {2**n}")
                for n, c in enumerate(output["backbone"], 2)
            ),
        ]
        if model.fpn is not None:
            entries += [
                entry("FPN", f"P{n}", p, f"stride {2**n}") for n, p in maps.items()
            ]
        count: int | str = P
        if model.rpn is not None:
            found, count = rpn_entries(model.rpn, maps)
            entries += found
        if model.box_head is not None:
            entries += box_entries(model.box_head, maps, count)
        if model.mask_head is not None:
            entries += mask_entries(model, model.mask_head, maps, image_size)
        if model.keypoint_head is not None:
            entries += keypoint_entries(model.keypoint_head, maps)
        return entries


def rpn_entries(rpn: RPN, maps: Maps) -> tuple[list[Entry], int]:
    """From feature maps to the proposals, and how many these are at most."""
    config = rpn.config
    letter = "P" if config.features == "fpn" else "C"
    anchors = rpn.anchors(maps)
    every = torch.cat(anchors)
    logits, deltas = rpn(maps)
    a_cell = rpn.cell_anchors.shape[1]
    proposals = most_proposals(config, anchors)
    entries = [
        *(
            entry("RPN", f"anchors of {letter}{n}", boxes, f"{a_cell} a cell")
            for n, boxes in zip(config.anchor_levels, anchors, strict=True)
        ),
        entry("RPN", "all anchors", every, "x1, y1, x2, y2"),
    ]
    what = "one logit an anchor"
    if config.rpn_objectness == "softmax":
        kinds = rpn.objectness.out_channels // a_cell
        shape = (1, len(every), kinds)
        entries.append(Entry("RPN", "class logits", shape, "background, object"))
        what = "the second logit less the first"
    best = f"the best after NMS at {config.rpn_nms_iou:g}, at most"
    return [
        *entries,
        entry("RPN", "objectness", torch.cat(logits, dim=1), what),
        entry("RPN", "box deltas", torch.cat(deltas, dim=1), "dx, dy, dw, dh"),
        Entry("RPN", "proposals", (proposals, 4), best),
    ], proposals


def most_proposals(config: ModelConfig, anchors: list[Tensor]) -> int:
    """As many as there are if NMS drops none."""
    counts = [len(boxes) for boxes in anchors]
    if config.rpn_levels_together:
        counts = [sum(counts)]
    entering = sum(min(config.rpn_pre_nms_test, count) for count in counts)
    return min(config.rpn_post_nms_test, entering)


def box_entries(head: BoxHead, maps: Maps, count: int | str) -> list[Entry]:
    """From the proposals to the detections."""
    config = head.config
    features = features_of(config, maps, count, config.box_pool)
    with recorded(layers_of(head.body)) as hidden:
        logits, deltas = head(features)
    if isinstance(head.body, Res5):
        hidden["mean"] = hidden["res5"].mean((2, 3))
    tensors = {roi_layer(config): (features, source(config))}
    tensors |= {name: (value, notes(name)) for name, value in hidden.items()}
    tensors["class logits"] = (logits, "background and K classes")
    tensors["box deltas"] = (deltas, "for each class")
    kept = f"n at most {config.max_detections}: score > {config.score_threshold:g}, NMS"
    labels = torch.ones(1, dtype=torch.int64)
    rows = Detections(torch.empty(1, 4), torch.empty(1), labels).rows_yx()
    return [
        *(
            Entry("box head", name, (count, *value.shape[1:]), note)
            for name, (value, note) in tensors.items()
        ),
        Entry("box head", "detections", (N, 4), kept),
        per_detection("box head", "rows", rows, "y1, x1, y2, x2, class, score"),
    ]


def mask_entries(
    model: MaskRCNN, head: MaskHead, maps: Maps, image_size: tuple[int, int]
) -> list[Entry]:
    """From the detections to masks in the image."""
    config, part = model.config, "mask head"
    features = features_of(config, maps, N, config.mask_pool)
    tensors = {roi_layer(config): (features, source(config))}
    if model.box_head is not None and isinstance(model.box_head.body, Res5):
        features = model.box_head.body(features)
        tensors["res5"] = (features, "the box head's")
    with recorded(layers_of(head.net)) as hidden:
        logits = head.net(features)
    tensors |= {name: (value, notes(name)) for name, value in hidden.items()}
    labels = torch.ones(len(features), dtype=torch.int64)
    chosen = head.probabilities(head(features, labels), labels)
    what = "a map for each class"
    if config.mask_class_agnostic:
        what = "one map for all classes"
    elif config.mask_loss == "softmax":
        what = "background and K classes compete for a pixel"
    own = "the one map" if config.mask_class_agnostic else "the detection's class"
    return [
        *(per_detection(part, name, *pair) for name, pair in tensors.items()),
        per_detection(part, "mask logits", logits, what),
        per_detection(part, "mask probabilities", chosen, own),
        Entry(part, "masks", (N, *image_size), "pasted into the image"),
    ]


def keypoint_entries(head: KeypointHead, maps: Maps) -> list[Entry]:
    """From the detections to the points of each."""
    config, part = head.config, "keypoint head"
    features = features_of(config, maps, N, config.keypoint_pool)
    with recorded(layers_of(head)) as hidden:
        logits = head(features)
    points = torch.empty(len(features), config.keypoints, 3)
    return [
        per_detection(part, roi_layer(config), features, source(config)),
        *(
            per_detection(part, *pair, "" if pair[0] == "deconv" else notes(pair[0]))
            for pair in hidden.items()
        ),
        per_detection(part, "heatmaps", logits, "twice as fine; a softmax over a map"),
        per_detection(part, "keypoints", points, "x, y, score"),
    ]


def features_of(config: ModelConfig, maps: Maps, count: int | str, size: int) -> Tensor:
    """What the RoI layer gives for so many boxes; one row for a number not known."""
    rows = count if isinstance(count, int) else 1
    return roi_features(config, maps, to_rois([torch.empty(rows, 4)]), size)


def roi_layer(config: ModelConfig) -> str:
    """Its name, and where it reads."""
    maps = "P2..P5" if config.features == "fpn" else config.features.upper()
    return f"{ROI_LAYERS[config.roi_layer]} of {maps}"


def source(config: ModelConfig) -> str:
    """Which of the maps a box reads."""
    return "a box's own level" if config.features == "fpn" else ""


def notes(layer: str) -> str:
    """What comes behind a hidden layer."""
    return {"mean": "over its cells"}.get(layer, "ReLU")


def per_detection(part: str, tensor: str, value: Tensor, note: str) -> Entry:
    """A tensor whose first axis is the detections."""
    return Entry(part, tensor, (N, *value.shape[1:]), note)


@dataclass(frozen=True)
class Parameters:
    """Numbers in one part of the model, all and those that are trained."""

    part: str
    total: int
    trained: int


def count_parameters(config: ModelConfig) -> list[Parameters]:
    """Part by part; frozen batch norm's statistics are no parameters."""
    with torch.device("meta"):
        model = MaskRCNN(config)
    return [
        Parameters(
            name,
            sum(p.numel() for p in part.parameters()),
            sum(p.numel() for p in part.parameters() if p.requires_grad),
        )
        for name, part in model.named_children()
    ]
