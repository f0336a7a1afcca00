"""Every tensor of the model from image to masks, with its shape.

The real model runs on torch's meta device: tensors there have a shape and no values,
so any backbone and any image size take a moment and no memory. What depends on values
(NMS, the score threshold) is taken at its limit: all proposals, n detections.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.mask_rcnn import MaskRCNN
from maskrcnn_scratch.models.roi_features import roi_features, to_rois

N = "n"  # detections in an image, at most ``max_detections``

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Entry:
    """One tensor on the way through ``part`` of the model."""

    part: str
    tensor: str
    shape: Shape
    note: str = ""


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
        maps = model.backbone(batch)
        pyramid = model.fpn(maps)
        return [
            entry("image", "image", image, "RGB in 0..1"),
            entry("image", "batch", batch, "normalised, zero-padded"),
            *(
                entry("backbone", f"C{n}", c, f"stride {2**n}")
                for n, c in enumerate(maps, 2)
            ),
            *(
                entry("FPN", f"P{n}", p, f"stride {stride}")
                for n, (p, stride) in enumerate(
                    zip(pyramid, config.strides, strict=True), 2
                )
            ),
            *rpn_entries(model, pyramid),
            *box_entries(model, pyramid),
            *mask_entries(model, pyramid, image_size),
        ]


def rpn_entries(model: MaskRCNN, pyramid: list[Tensor]) -> list[Entry]:
    """From P2..P6 to the proposals."""
    config = model.config
    anchors = model.rpn.anchors(pyramid)
    logits, deltas = model.rpn(pyramid)
    a_cell = len(config.anchor_ratios)
    return [
        *(
            entry("RPN", f"anchors of P{n}", boxes, f"{a_cell} a cell")
            for n, boxes in enumerate(anchors, 2)
        ),
        entry("RPN", "all anchors", torch.cat(anchors), "x1, y1, x2, y2"),
        entry("RPN", "objectness", torch.cat(logits, dim=1), "one logit an anchor"),
        entry("RPN", "box deltas", torch.cat(deltas, dim=1), "dx, dy, dw, dh"),
        Entry(
            "RPN",
            "proposals",
            (most_proposals(config, anchors), 4),
            f"the best after NMS at {config.rpn_nms_iou:g}, at most",
        ),
    ]


def most_proposals(config: ModelConfig, anchors: list[Tensor]) -> int:
    """As many as there are if NMS drops none."""
    entering = sum(min(config.rpn_pre_nms_test, len(boxes)) for boxes in anchors)
    return min(config.rpn_post_nms_test, entering)


def box_entries(model: MaskRCNN, pyramid: list[Tensor]) -> list[Entry]:
    """From the proposals to the detections."""
    config = model.config
    count = most_proposals(config, model.rpn.anchors(pyramid))
    rois = to_rois([torch.empty(count, 4)])
    features = roi_features(config, pyramid[:4], rois, config.box_pool)
    head = model.box_head
    with recorded({"fc1": head.fc1, "fc2": head.fc2}) as hidden:
        logits, deltas = head(features)
    kept = f"n at most {config.max_detections}: score > {config.score_threshold:g}, NMS"
    return [
        entry("box head", "RoIAlign of P2..P5", features, "a proposal's own level"),
        *(entry("box head", name, value, "ReLU") for name, value in hidden.items()),
        entry("box head", "class logits", logits, "background and K classes"),
        entry("box head", "box deltas", deltas, "for each class"),
        Entry("box head", "detections", (N, 4), kept),
    ]


def mask_entries(
    model: MaskRCNN, pyramid: list[Tensor], image_size: tuple[int, int]
) -> list[Entry]:
    """From the detections to masks in the image."""
    config, head = model.config, model.mask_head
    rois = to_rois([torch.empty(config.max_detections, 4)])
    features = roi_features(config, pyramid[:4], rois, config.mask_pool)
    layers = {f"conv{n}": conv for n, conv in enumerate(head.convs, 1)}
    with recorded(layers) as hidden:
        head(features, torch.ones(len(rois), dtype=torch.int64))
    hidden["deconv"] = head.deconv(hidden[f"conv{len(layers)}"])
    logits = head.mask_logits(hidden["deconv"])
    return [
        per_detection("RoIAlign of P2..P5", features, "a detection's own level"),
        *(per_detection(name, value, "ReLU") for name, value in hidden.items()),
        per_detection("mask logits", logits, "a map for each class"),
        per_detection("mask probabilities", logits[:, 0], "the detection's class"),
        Entry("mask head", "masks", (N, *image_size), "pasted into the image"),
    ]


def per_detection(tensor: str, value: Tensor, note: str) -> Entry:
    """A tensor of the mask head, whose first axis is the detections."""
    return Entry("mask head", tensor, (N, *value.shape[1:]), note)


def entry(part: str, tensor: str, value: Tensor, note: str = "") -> Entry:
    """A tensor as it is."""
    return Entry(part, tensor, tuple(value.shape), note)


@contextmanager
def recorded(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """What each of the layers puts out inside the block, by name."""
    outputs: dict[str, Any] = {}
    with ExitStack() as hooks:
        for name, layer in layers.items():

            def keep(_: nn.Module, __: object, out: Any, name: str = name) -> None:
                outputs[name] = out

            hooks.callback(layer.register_forward_hook(keep).remove)
        yield outputs


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
