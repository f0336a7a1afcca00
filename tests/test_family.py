"""The whole family: what can be combined trains and detects, what cannot is refused.

Every model here is tiny and sees images of 64 pixels.

Faults tried -> the tests that caught them:

- objectness as the object's logit alone, or with the sign turned: two logits with a
  softmax are their difference with a sigmoid
- rpn_levels_together without effect: levels together compete
- class-agnostic masks read at the class's place: features and heads
- RoIPool always rounding, RoIAlign always averaging: RoI layers read each RoI's own
  level
- masks without res5 in detection: features and RoI layers
- no check of group norms, of res5 with an MLP, of nothing to train, of rising levels:
  nonsense is refused by name
- x first in the rows of y first: rows of y first
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import boxes, rois_within
from torch import Tensor

from maskrcnn_scratch import ops
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.models.anatomy import anatomy
from maskrcnn_scratch.models.config_checks import check_model
from maskrcnn_scratch.models.mask_head import MaskHead
from maskrcnn_scratch.models.presets import NAMED, preset
from maskrcnn_scratch.models.proposals import Proposals
from maskrcnn_scratch.models.roi_features import Maps, roi_features
from maskrcnn_scratch.models.rpn import RPN
from maskrcnn_scratch.models.sampling import SampledRoIs
from maskrcnn_scratch.models.terms import averaged
from maskrcnn_scratch.models.variations import with_c4, with_c5, with_vgg
from maskrcnn_scratch.reference.fpn_levels import fpn_level
from maskrcnn_scratch.reference.nms import nms as reference_nms
from maskrcnn_scratch.structures import Detections, Target

TINY: dict[str, Any] = {
    "num_classes": 3,
    "depth": 18,
    "stem_width": 8,
    "norm": "gn",
    "frozen_stages": 0,
    "fpn_channels": 16,
    "rpn_width": 16,
    "anchor_sizes": (8, 16, 32, 48, 64),
    "level_canonical": 32,
    "rpn_samples": 64,
    "rpn_pre_nms_train": 100,
    "rpn_pre_nms_test": 60,
    "rpn_post_nms_train": 60,
    "rpn_post_nms_test": 30,
    "roi_samples": 24,
    "box_head_conv_width": 16,
    "box_head_width": 24,
    "mask_head_width": 16,
    "mask_head_fc_width": 16,
    "keypoint_head_convs": 2,
    "keypoint_head_width": 16,
    "score_threshold": 0.0,  # random weights are sure of nothing
    "detection_min_size": 0.0,
    "max_detections": 5,
}
FPN = ModelConfig(**TINY, mask_head_convs=1)
C4 = replace(with_c4(FPN), **TINY)
VGG = {"backbone": "vgg", "depth": 16, "stem_width": 4}

FEATURES = {
    "fpn": FPN,
    "fpn without p6": replace(
        FPN, anchor_levels=(2, 3, 4, 5), anchor_sizes=(8, 16, 32, 64)
    ),
    "c4 with res5": C4,
    "c4 with res5 kept": replace(C4, res5_stride=1, box_pool=7, mask_pool=7),
    "c4 with fc": replace(C4, box_head="fc", box_pool=7, mask_head_convs=1),
    "c5": replace(with_c5(FPN), **TINY),
    "vgg c4": replace(with_vgg(FPN), **{**TINY, **VGG}),
    "vgg fpn": replace(FPN, **VGG),
}
ROI_LAYERS: dict[str, dict[str, Any]] = {
    "align": {},
    "align max": {"roi_reduce": "max"},
    "align legacy adaptive": {"roi_aligned": False, "roi_sampling_ratio": 0},
    "pool": {"roi_layer": "pool", "roi_reduce": "max"},
    "pool floor": {"roi_layer": "pool", "roi_reduce": "max", "roi_rounding": "floor"},
    "warp": {"roi_layer": "warp"},
    "warp max": {"roi_layer": "warp", "roi_reduce": "max"},
    "corners": {"roi_layer": "corners", "level_rounding": "round"},
}
HEADS: dict[str, dict[str, Any]] = {
    "softmax masks": {"mask_loss": "softmax"},
    "agnostic masks": {"mask_class_agnostic": True},
    "fewer cells": {"mask_pool": 7, "box_pool": 7, "res5_stride": 1},
    "boxes": {"mask_head": "none"},
    "keypoints": {"mask_head": "none", "keypoints": 4},
    "mlp": {"mask_head": "mlp"},
    "agnostic mlp": {"mask_head": "mlp", "mask_class_agnostic": True},
    "softmax mlp": {"mask_head": "mlp", "mask_loss": "softmax"},
    "convs in the box head": {"box_head_convs": 2, "head_norm": "gn"},
    "rpn alone": {"box_head": "none", "mask_head": "none"},
    "given proposals": {"rpn": False, "keypoints": 4},
    "softmax objectness": {"rpn_objectness": "softmax", "rpn_levels_together": True},
}
BOTTLENECK = {"depth": 50, "stem_width": 16}
BACKBONES: dict[str, dict[str, Any]] = {
    "resnet34": {"depth": 34},
    "resnet50": BOTTLENECK,
    "resnet50 stride in 3x3": {**BOTTLENECK, "stride_in_1x1": False, "norm": "bn"},
    "resnet101": {"depth": 101},
    "frozen": {"norm": "frozen_bn", "frozen_stages": 2},
    "resnext50-32x4d": {**BOTTLENECK, "groups": 32, "width_per_group": 4},
    "resnext50-64x4d": {**BOTTLENECK, "groups": 64, "width_per_group": 4},
    "resnext50-32x8d": {**BOTTLENECK, "groups": 32, "width_per_group": 8},
    "pool at the end": {"stem_pool": "end", "fpn_norm": "gn", "norm_eps": 1e-3},
}


def scene(config: ModelConfig) -> tuple[list[Tensor], list[Target]]:
    """Two images: two objects, and none."""
    torch.manual_seed(0)
    boxes = torch.tensor([[6.0, 8, 30, 28], [20, 16, 60, 56]])
    masks = torch.zeros(2, 64, 64, dtype=torch.uint8)
    masks[0, 8:28, 6:30], masks[1, 16:56, 20:60] = 1, 1
    points = torch.tensor([[10.0, 12, 2], [25, 20, 2], [28, 26, 1], [0, 0, 0]])
    given = torch.cat([boxes + 1, torch.tensor([[0.0, 0, 64, 64], [40, 2, 60, 12]])])
    target = Target(
        image_id=1,
        boxes=boxes,
        labels=torch.tensor([1, 3]),
        masks=masks if config.mask_head != "none" else None,
        crowd=torch.zeros(2, dtype=torch.bool),
        keypoints=points.repeat(2, 1, 1) if config.keypoints else None,
        proposals=None if config.rpn else given,
    )
    nothing = target.select(torch.zeros(0, dtype=torch.int64))
    return [torch.rand(3, 64, 64), torch.rand(3, 48, 60)], [target, nothing]


def expected_losses(config: ModelConfig) -> set[str]:
    """One for each thing that is learnt."""
    return {
        *(("rpn_objectness", "rpn_box") if config.rpn else ()),
        *(("class", "box") if config.box_head != "none" else ()),
        *(("mask",) if config.mask_head != "none" else ()),
        *(("keypoint",) if config.keypoints else ()),
    }


def trains_and_detects(config: ModelConfig) -> None:
    """Losses are finite, every part gets a gradient, detections have all fields."""
    images, targets = scene(config)
    model = MaskRCNN(config).train()
    losses = model(images, targets)
    assert isinstance(losses, dict)
    assert losses.keys() == expected_losses(config)
    assert all(loss > 0 and loss.isfinite() for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    for part, module in model.named_children():
        trained = [p for p in module.parameters() if p.requires_grad]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in trained), (
            part
        )
        assert any(p.grad is not None and p.grad.any() for p in trained), part
    given = None if config.rpn else [torch.tensor([[4.0, 6, 40, 30]])] * 2
    for image, found in zip(images, model.eval()(images, proposals=given), strict=True):
        assert isinstance(found, Detections)
        n = len(found)
        assert n > 0
        assert (found.boxes >= 0).all()
        assert (found.boxes[:, 2] <= image.shape[2]).all()
        assert (found.boxes[:, 3] <= image.shape[1]).all()
        shape = (n, config.mask_size, config.mask_size)
        masks, points = found.mask_probabilities, found.keypoints
        assert (masks is None) == (config.mask_head == "none")
        assert masks is None or (masks.shape == shape and (masks >= 0).all())
        assert (points is None) == (config.keypoints == 0)
        assert points is None or points.shape == (n, config.keypoints, 3)


@pytest.mark.parametrize("layer", ROI_LAYERS)
@pytest.mark.parametrize("features", FEATURES)
def test_features_and_roi_layers(features: str, layer: str) -> None:
    """With masks and keypoints together."""
    trains_and_detects(replace(FEATURES[features], keypoints=4, **ROI_LAYERS[layer]))


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("features", FEATURES)
def test_features_and_heads(features: str, heads: str) -> None:
    config, changes = FEATURES[features], HEADS[heads]
    if config.box_head == "res5" and changes.get("mask_head") == "mlp":
        with pytest.raises(ValueError, match="mlp has no place behind res5"):
            replace(config, **changes)
        return
    trains_and_detects(replace(config, **changes))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("features", ["fpn", "c4 with res5 kept", "c5"])
def test_features_and_backbones(features: str, backbone: str) -> None:
    trains_and_detects(replace(FEATURES[features], **BACKBONES[backbone]))


@pytest.mark.parametrize("name", NAMED)
def test_every_preset_s_conventions_work(name: str) -> None:
    """All that is no size stays as the preset has it."""
    config = preset(name)
    changes = {**TINY, "size_divisor": 32, "image_long": 64}
    if config.backbone == "vgg":
        changes |= VGG
    if config.groups > 1:
        changes |= BOTTLENECK
    del changes["rpn_width"], changes["detection_min_size"], changes["norm"]
    changes["mask_head_convs"] = min(1, config.mask_head_convs)
    if config.keypoints:
        del changes["num_classes"]
    config = replace(config, **changes, image_short=32)
    images, targets = scene(config)
    targets = [
        replace(one, labels=one.labels.clamp(max=config.num_classes)) for one in targets
    ]
    if config.keypoints:
        targets = [
            replace(one, keypoints=torch.full((len(one), 17, 3), 20.0))
            for one in targets
        ]
    model = MaskRCNN(config)
    losses = model(images, targets)
    assert isinstance(losses, dict)
    assert losses.keys() == expected_losses(config)
    torch.stack(list(losses.values())).sum().backward()
    assert all(isinstance(found, Detections) for found in model.eval()(images))


REFUSED: list[tuple[dict[str, Any], str]] = [
    # Maps and anchors
    ({"features": "c4"}, r"anchor_levels are \[2, 3, 4, 5, 6\], but .* have C4 alone"),
    ({"features": "c4", "anchor_levels": (4, 6)}, r"anchor_levels .* C4 alone"),
    ({"features": "c5", "anchor_levels": (4,)}, r"anchor_levels .* C5 alone"),
    ({"anchor_levels": (3, 4, 5, 6, 7)}, r"anchor_levels .* have P2 to P6 alone"),
    ({"anchor_levels": (6, 5, 4, 3, 2)}, "rising"),
    ({"anchor_levels": (2, 2, 3, 4, 5)}, "rising"),
    ({"anchor_levels": (), "anchor_sizes": ()}, "anchor_levels"),
    ({"anchor_sizes": (32, 64)}, "anchor_sizes names 2 sizes for 5 anchor_levels"),
    ({"anchor_ratios": ()}, "anchor_sizes and anchor_ratios must not be empty"),
    ({"anchor_sizes": (0, 1, 2, 3, 4)}, "anchor_sizes must be more than 0"),
    ({"anchor_ratios": (-1.0,)}, "anchor_ratios must be more than 0"),
    # Backbones
    ({"depth": 16}, "backbone resnet has no depth 16: expected 18, 34, 50 or 101"),
    ({"backbone": "vgg"}, "backbone vgg has no depth 50: expected 16"),
    ({"depth": 18, "groups": 32}, "depth 18 has no bottlenecks, so groups must be 1"),
    ({"depth": 34, "width_per_group": 4}, "depth 34 .* width_per_group must be 64"),
    ({"stem_width": 8, "width_per_group": 4}, "leaves a bottleneck's 3x3 no channel"),
    ({"norm": "gn", "stem_width": 3}, "norm gn cannot divide 3 channels"),
    ({"norm": "gn", "stem_width": 36}, "norm gn cannot divide 144 channels"),
    ({"fpn_norm": "gn", "fpn_channels": 130}, "fpn_norm gn cannot divide 130"),
    ({"head_norm": "gn", "mask_head_width": 130}, "head_norm gn .* 130 channels"),
    ({"frozen_stages": 6}, "frozen_stages must be at most 5 with features fpn"),
    ({"c4": {"frozen_stages": 5}}, "frozen_stages must be at most 4 with features c4"),
    (
        {"vgg": {"features": "c5", "anchor_levels": (5,)}},
        "VGG-16 has no map of stride 32",
    ),
    ({"vgg": {"size_divisor": 1}}, "size_divisor must be a multiple of 16, not 1"),
    # RoI layers
    ({"roi_layer": "pool"}, "RoIPool .* roi_reduce must be max"),
    ({"roi_rounding": "floor"}, "roi_rounding floor is RoIPool's: roi_layer align"),
    ({"roi_layer": "corners", "roi_reduce": "max"}, "corners reads one point a bin"),
    ({"roi_layer": "corners", "keypoint_pool": 1}, "corners needs .* of 2 or more"),
    # Heads
    ({"box_head": "res5"}, "box_head res5 is the last stage .* with features fpn"),
    ({"vgg": {"box_head": "res5"}}, "box_head res5 .* not of vgg with features c4"),
    ({"c4": {"mask_head": "mlp"}}, "mask_head mlp has no place behind res5"),
    ({"c4": {"mask_pool": 7}}, "mask_pool 7 must be box_pool 14"),
    ({"c4": {"mask_pool": 7, "box_pool": 7}}, "halves its RoIs: box_pool 7 is odd"),
    ({"box_head": "none"}, "without box_head there are no boxes for mask_head"),
    (
        {"box_head": "none", "mask_head": "none", "keypoints": 17},
        "without box_head there are no boxes for mask_head or keypoints",
    ),
    ({"rpn": False, "box_head": "none", "mask_head": "none"}, "nothing to train"),
    ({"mask_loss": "softmax", "mask_class_agnostic": True}, "only one"),
    # Numbers
    ({"rpn_negative_iou": 0.8}, "rpn_negative_iou 0.8 is above rpn_positive_iou 0.7"),
    ({"rpn_positive_iou": 1.5}, "rpn_positive_iou must be from 0 to 1, not 1.5"),
    ({"roi_positive_iou": 0.0}, "roi_positive_iou must be more than 0"),
    ({"nms_iou": -0.1}, "nms_iou must be from 0 to 1"),
    ({"roi_samples": 3}, "roi_positive_fraction 0.25 of roi_samples 3 is no positive"),
    ({"rpn_positive_fraction": 0.0}, "rpn_positive_fraction 0 of rpn_samples 256"),
    ({"rpn_post_nms_test": 0}, "rpn_post_nms_test must be at least 1"),
    ({"rpn_width": 0}, "rpn_width must be at least 1, not 0"),
    ({"box_beta": -1.0}, "box_beta must be at least 0"),
    ({"pixel_std": (1.0, 1.0, 0.0)}, "pixel_std must be more than 0"),
    ({"box_weights": (10.0, 10.0, 0.0, 5.0)}, "box_weights must be more than 0"),
    ({"keypoints": -1}, "keypoints must be at least 0"),
]


@pytest.mark.parametrize(
    ("changes", "message"), REFUSED, ids=[str(changes) for changes, _ in REFUSED]
)
def test_nonsense_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    start = ModelConfig()
    for kind, variation in (("c4", with_c4), ("vgg", with_vgg)):
        if kind in changes:
            start, changes = variation(start), changes[kind]
    with pytest.raises(ValueError, match=message) as caught:
        replace(start, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "known"),
    [
        ("features", "c3", "fpn, c4, c5"),
        ("depth", 20, "16, 18, 34, 50, 101"),
        ("mask_head", "linear", "fcn, mlp, none"),
    ],
)
def test_an_unknown_kind_is_refused(field: str, value: Any, known: str) -> None:
    config = ModelConfig()
    object.__setattr__(config, field, value)  # past the tests' own check of types
    with pytest.raises(
        ValueError, match=f"{field} must be one of {known}, not {value}"
    ):
        check_model(config)


SWITCHES: dict[str, list[Any]] = {
    "backbone": ["resnet", "vgg"],
    "depth": [16, 18, 50],
    "groups": [1, 2],
    "features": ["fpn", "c4", "c5"],
    "anchor_levels": [(2, 3, 4, 5, 6), (4,), (5,)],
    "rpn": [True, False],
    "rpn_objectness": ["sigmoid", "softmax"],
    "roi_layer": ["align", "pool", "warp", "corners"],
    "roi_reduce": ["mean", "max"],
    "box_head": ["fc", "res5", "none"],
    "mask_head": ["fcn", "mlp", "none"],
    "mask_loss": ["sigmoid", "softmax"],
    "mask_class_agnostic": [False, True],
    "keypoints": [0, 4],
    "box_pool": [7, 14],
    "norm": ["gn", "bn"],
}
SMALL = {key: value for key, value in TINY.items() if key not in ("depth", "norm")}


@settings(max_examples=100)
@given(st.fixed_dictionaries({k: st.sampled_from(v) for k, v in SWITCHES.items()}))
def test_a_config_is_refused_or_a_model(switches: dict[str, Any]) -> None:
    """Whatever the checks let through runs from image to masks, keypoints and all."""
    if switches["box_head"] == "res5":
        switches |= {"mask_pool": switches["box_pool"], "res5_stride": 1}
    try:
        config = ModelConfig(**{**SMALL, **switches})
    except ValueError as error:
        quarrel = str(error)
        assert any(name in quarrel for name in SWITCHES) or "RoIPool" in quarrel
        return
    parts = {entry.part for entry in anatomy(config, (64, 64))}
    assert ("mask head" in parts) == (config.mask_head != "none")
    assert ("RPN" in parts) == config.rpn


# Laws between members of the family


def pyramid(channels: int = 16) -> Maps:
    """Random P2 to P6 of an image of 64 pixels."""
    torch.manual_seed(1)
    return {n: torch.randn(1, channels, 64 >> n, 64 >> n) for n in range(2, 7)}


def rpn_like(config: ModelConfig, other: RPN) -> RPN:
    """An RPN of ``config`` with the weights of another, whose logits it sums up."""
    rpn = RPN(config, 16)
    state = other.state_dict()
    for name in ("objectness.weight", "objectness.bias"):
        state[name] = state[name][1::2] - state[name][0::2]
    rpn.load_state_dict(state)
    return rpn


def test_two_logits_with_a_softmax_are_their_difference_with_a_sigmoid() -> None:
    """The same losses, the first a cross-entropy over two; the same proposals."""
    everything = replace(FPN, rpn_samples=10**6)
    two = RPN(replace(everything, rpn_objectness="softmax"), 16)
    torch.nn.init.normal_(two.objectness.weight)
    one = rpn_like(everything, two)
    maps = pyramid()
    anchors = one.anchors(maps)
    predictions = two(maps)
    for a, b in zip(one(maps)[0], predictions[0], strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    _, (target, _) = scene(FPN)
    losses = averaged(two.losses(anchors, *predictions, [target], [None]))
    expected = averaged(one.losses(anchors, *one(maps), [target], [None]))
    torch.testing.assert_close(losses, expected)
    raw = [two.objectness(two.convs[0](maps[n]).relu())[0] for n in range(2, 7)]
    pairs = torch.cat([x.permute(1, 2, 0).reshape(-1, 2) for x in raw])
    matched = ops.match(target.boxes, torch.cat(anchors), 0.7, 0.3, True)
    drawn = matched != ops.matching.IGNORED
    by_hand = torch.nn.functional.cross_entropy(
        pairs[drawn], (matched >= 0).long()[drawn]
    )
    torch.testing.assert_close(losses["rpn_objectness"], by_hand)
    sizes = torch.tensor([[64.0, 64]])
    (found,) = two.propose(anchors, *predictions, sizes)
    (alike,) = one.propose(anchors, *one(maps), sizes)
    assert len(found.boxes) > 5
    torch.testing.assert_close(found.boxes, alike.boxes, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.scores, alike.scores, atol=1e-4, rtol=1e-4)


def proposals_of(config: ModelConfig) -> tuple[Proposals, Tensor, Tensor]:
    """Of random logits and no deltas; with all anchors and logits."""
    rpn = RPN(config, 16).eval()
    anchors = rpn.anchors(pyramid())
    torch.manual_seed(2)
    logits = [torch.randn(1, len(boxes)) for boxes in anchors]
    deltas = [torch.zeros(1, len(boxes), 4) for boxes in anchors]
    (found,) = rpn.propose(anchors, logits, deltas, torch.tensor([[64.0, 64]]))
    return found, torch.cat(anchors), torch.cat(logits, 1)[0]


@pytest.mark.parametrize("before", [5, 60, 300])
def test_levels_together_compete_for_places_and_in_nms(before: int) -> None:
    """The best of all levels, then NMS over them, by the reference."""
    config = replace(FPN, rpn_levels_together=True, rpn_pre_nms_test=before)
    found, anchors, logits = proposals_of(config)
    best = logits.argsort(descending=True)[:before]
    boxes = ops.clip_boxes(anchors[best], (64, 64))
    kept = reference_nms(boxes.double().numpy(), logits[best].numpy(), 0.7)
    kept = kept[: config.rpn_post_nms_test]
    torch.testing.assert_close(found.boxes, boxes[torch.as_tensor(kept)])
    apart, _, _ = proposals_of(replace(config, rpn_levels_together=False))
    if before == 5:  # from each of the levels
        assert len(apart.boxes) > len(found.boxes)


def test_levels_apart_keep_equal_boxes() -> None:
    """An anchor on two levels is one proposal or two."""
    twice = replace(FPN, anchor_sizes=(16, 16, 32, 48, 64), rpn_post_nms_test=1000)
    for together in (False, True):
        config = replace(twice, rpn_levels_together=together, rpn_pre_nms_test=1000)
        found, _, _ = proposals_of(config)
        _, counts = found.boxes.unique(dim=0, return_counts=True)
        assert (counts.max() == 1) == together


@pytest.mark.parametrize("kind", ["fcn", "mlp"])
def test_one_map_for_all_classes_is_many_equal_ones(kind: Any) -> None:
    """The same loss, masks, and gradient of the features."""
    many = MaskHead(replace(FPN, mask_head=kind), 16)
    one = MaskHead(replace(FPN, mask_head=kind, mask_class_agnostic=True), 16)
    last = many.net.mask_logits
    torch.nn.init.normal_(last.weight)
    state = many.state_dict()
    rows = len(last.weight) // 3
    for name in ("net.mask_logits.weight", "net.mask_logits.bias"):
        first = state[name][:rows]
        state[name].copy_(torch.cat([first] * 3))
        one.state_dict()[name].copy_(first)
    for name, tensor in one.state_dict().items():
        if "mask_logits" not in name:
            tensor.copy_(state[name])
    _, targets = scene(FPN)
    labels = torch.tensor([1, 3])
    boxes = targets[0].boxes
    truth = torch.ones(2, dtype=torch.bool)
    sampled = SampledRoIs(boxes, labels, torch.arange(2), boxes, truth)
    outcomes = []
    for head in (many, one):
        features = torch.linspace(-1, 1, 2 * 16 * 14**2).view(2, 16, 14, 14)
        features.requires_grad_()
        logits = head(features, labels)
        loss = averaged(head.losses(logits, [sampled], targets[:1]))["mask"]
        (slope,) = torch.autograd.grad(loss, features)
        outcomes.append((loss, head.probabilities(logits, labels), slope))
    torch.testing.assert_close(outcomes[0], outcomes[1])
    assert outcomes[0][2].any()


def one_by_one(config: ModelConfig, maps: Maps, rois: Tensor, size: int) -> Tensor:
    """Each RoI alone, from the map of its level by the reference's rule."""
    rows = []
    for roi in rois:
        box = roi[1:].double().numpy()
        level = fpn_level(box, 4, config.level_canonical, 2, 5, config.level_rounding)
        one: tuple[Any, ...] = (maps[level], roi[None], (size, size), 2.0**-level)
        ratio, mode = config.roi_sampling_ratio, config.roi_reduce
        if config.roi_layer == "align":
            rows.append(ops.roi_align(*one, ratio, config.roi_aligned, mode))
        elif config.roi_layer == "pool":
            rows.append(ops.roi_pool(*one, rounding=config.roi_rounding))
        else:
            rows.append(ops.roi_warp(*one, sampling_ratio=ratio, mode=mode))
    return torch.cat(rows)


@pytest.mark.parametrize("layer", [name for name in ROI_LAYERS if name != "corners"])
@settings(max_examples=15)
@given(rois=rois_within(64, 64, smallest=1), down=st.booleans())
def test_roi_layers_read_each_roi_s_own_level(
    layer: str, rois: Any, down: bool
) -> None:
    """Features and their gradient are those of the operator on that level alone."""
    assume(len(rois) > 0)
    changes = ROI_LAYERS[layer] | {"level_rounding": "floor" if down else "round"}
    config = replace(FPN, **changes)
    boxes = torch.from_numpy(rois).float()
    results = []
    for read in (roi_features, one_by_one):
        maps = {n: m.requires_grad_() for n, m in pyramid(2).items()}
        out = read(config, maps, boxes, 3)
        weights = torch.linspace(-1, 1, out.numel()).view(out.shape)
        used = [maps[level] for level in range(2, 6)]
        slopes = torch.autograd.grad((out * weights).sum(), used, allow_unused=True)
        filled = [
            torch.zeros_like(m) if slope is None else slope
            for m, slope in zip(used, slopes, strict=True)
        ]
        results.append((out, filled))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("features", ["c4", "c5"])
def test_a_single_map_is_every_roi_s_level(features: str) -> None:
    """However large or small the RoI is."""
    config = {"c4": with_c4(ModelConfig()), "c5": with_c5(ModelConfig())}[features]
    level = config.levels[0]
    torch.manual_seed(3)
    maps = {level: torch.randn(1, 2, 640 >> level, 640 >> level)}
    rois = torch.tensor(
        [[0.0, 10, 10, 20, 20], [0, 0, 0, 640, 640], [0, 64, 0, 300, 99]]
    )
    expected = ops.roi_align(maps[level], rois, 7, 2.0**-level, 2, aligned=True)
    torch.testing.assert_close(roi_features(config, maps, rois, 7), expected)


@given(boxes(extent=64))
def test_rows_of_y_first(drawn: Any) -> None:
    """[y1, x1, y2, x2, class, score], as the third seed prints detections."""
    n = len(drawn)
    found = Detections(
        torch.from_numpy(drawn).float(),
        torch.linspace(1, 0.5, n),
        torch.arange(1, n + 1),
    )
    rows = found.rows_yx().numpy()
    assert rows.shape == (n, 6)
    np.testing.assert_array_equal(rows[:, [1, 0, 3, 2]], found.boxes.numpy())
    np.testing.assert_array_equal(rows[:, 4], found.labels.numpy())
    np.testing.assert_array_equal(rows[:, 5], found.scores.numpy())
