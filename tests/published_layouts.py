"""Our model's weights as other systems would publish them.

Written from the systems' own names and layouts, without the package's tables, so that
converting them back tests those.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.models.norms import FrozenBatchNorm2d
from maskrcnn_scratch.models.resnet import BLOCKS

Published = dict[str, np.ndarray]

STATISTICS = ("weight", "bias", "running_mean", "running_var")


def random_model(config: ModelConfig) -> MaskRCNN:
    """A model whose norms and biases all do something."""
    torch.manual_seed(0)
    model = MaskRCNN(config).eval()
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                tensor.normal_()
            module.running_var.uniform_(0.5, 2)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter)
    return model


def convolutions(depth: int) -> list[tuple[int, int, str, str]]:
    """(stage 2..5, block, our convolution, our norm) of every block."""
    count = 3 if depth >= 50 else 2
    found = []
    for stage, blocks in enumerate(BLOCKS[depth], start=2):
        for block in range(blocks):
            for n in range(1, count + 1):
                found.append((stage, block, f"conv{n}", f"bn{n}"))
            if block == 0 and (stage > 2 or depth >= 50):
                found.append((stage, block, "downsample.0", "downsample.1"))
    return found


def to_detectron2(model: MaskRCNN, std: tuple[float, float, float]) -> Published:
    """As detectron2's zoo has it; ``std`` is what pixels (R, G, B) are divided by.

    Models with an FPN have ``bottom_up`` in their backbone's names, and C4 its res5 in
    the heads.
    """
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    out: Published = {}
    pyramid = model.config.features == "fpn"
    bottom = "backbone.bottom_up" if pyramid else "backbone"

    def norm(theirs: str, ours: str) -> None:
        for name in STATISTICS:
            out[f"{theirs}.norm.{name}"] = state[f"{ours}.{name}"]

    def layer(theirs: str, ours: str) -> None:
        """Alone, or with a norm behind it and no bias."""
        if f"{ours}.0.weight" in state:
            out[f"{theirs}.weight"] = state[f"{ours}.0.weight"]
            norm(theirs, f"{ours}.1")
            return
        out[f"{theirs}.weight"] = state[f"{ours}.weight"]
        out[f"{theirs}.bias"] = state[f"{ours}.bias"]

    stem = f"{bottom}.stem.conv1"
    per_channel = np.array(std) / (255 * np.array(model.config.pixel_std))
    rgb = state["backbone.conv1.weight"] * per_channel[:, None, None]
    out[f"{stem}.weight"] = rgb[:, ::-1].astype(np.float32)
    norm(stem, "backbone.bn1")
    for stage, block, conv, bn in convolutions(model.config.depth):
        ours, theirs = f"backbone.layer{stage - 1}.", f"{bottom}.res{stage}."
        if stage == 5 and not pyramid:
            ours, theirs = "box_head.body.blocks.", "roi_heads.res5."
        if f"{ours}{block}.{conv}.weight" not in state:
            continue  # the res5 of an RPN
        short = "shortcut" if conv == "downsample.0" else conv
        out[f"{theirs}{block}.{short}.weight"] = state[f"{ours}{block}.{conv}.weight"]
        norm(f"{theirs}{block}.{short}", f"{ours}{block}.{bn}")
    for level in (2, 3, 4, 5) if pyramid else ():
        layer(f"backbone.fpn_lateral{level}", f"fpn.lateral.{level - 2}")
        layer(f"backbone.fpn_output{level}", f"fpn.output.{level - 2}")
    if model.rpn is not None:
        layer("proposal_generator.rpn_head.conv", "rpn.convs.0")
        layer("proposal_generator.rpn_head.objectness_logits", "rpn.objectness")
        layer("proposal_generator.rpn_head.anchor_deltas", "rpn.deltas")
    if model.box_head is None:
        return out
    for n in range(4):
        if f"box_head.body.convs.{n}.0.weight" in state:
            layer(f"roi_heads.box_head.conv{n + 1}", f"box_head.body.convs.{n}")
        if f"box_head.body.fcs.{n}.weight" in state:
            layer(f"roi_heads.box_head.fc{n + 1}", f"box_head.body.fcs.{n}")
    for kind in ("weight", "bias"):  # the background is the last class
        logits = state[f"box_head.class_logits.{kind}"]
        out[f"roi_heads.box_predictor.cls_score.{kind}"] = np.concatenate(
            [logits[1:], logits[:1]]
        )
    layer("roi_heads.box_predictor.bbox_pred", "box_head.deltas")
    if model.mask_head is not None:
        for n in (1, 2, 3, 4) if pyramid else ():
            layer(f"roi_heads.mask_head.mask_fcn{n}", f"mask_head.net.convs.{n - 1}")
        layer("roi_heads.mask_head.deconv", "mask_head.net.deconv")
        layer("roi_heads.mask_head.predictor", "mask_head.net.mask_logits")
    if model.keypoint_head is not None:
        for n in range(1, 9):
            layer(
                f"roi_heads.keypoint_head.conv_fcn{n}", f"keypoint_head.convs.{n - 1}"
            )
        layer("roi_heads.keypoint_head.score_lowres", "keypoint_head.deconv")
    return out


def to_msra(model: MaskRCNN, biased_stem: bool, statistics: bool) -> Published:
    """The backbone as Caffe's pickles have it, with a classifier.

    Norms are scale and shift; with ``statistics`` they have mean and variance as well.
    ``biased_stem`` gives the first convolution a bias of 1.
    """
    state = {name: t.numpy() for name, t in model.backbone.state_dict().items()}
    per_channel = 255 * np.array(model.config.pixel_std)[:, None, None]
    stem = state["conv1.weight"] / per_channel
    out: Published = {
        "conv1_w": stem[:, ::-1].astype(np.float32),
        "fc1000_w": np.zeros((1000, 8), np.float32),
        "fc1000_b": np.zeros(1000, np.float32),
    }
    if biased_stem:
        out["conv1_b"] = np.ones(len(stem), np.float32)

    def norm(theirs: str, ours: str, bias: float) -> None:
        weight, shift, mean, variance = (state[f"{ours}.{name}"] for name in STATISTICS)
        if statistics:
            out[f"{theirs}_s"], out[f"{theirs}_b"] = weight, shift
            out[f"{theirs}_rm"], out[f"{theirs}_riv"] = mean + bias, variance
            return
        scale = weight / np.sqrt(variance + model.config.norm_eps)
        out[f"{theirs}_s"], out[f"{theirs}_b"] = scale, shift - scale * (mean + bias)

    norm("res_conv1_bn", "bn1", float(biased_stem))
    for stage, block, conv, bn in convolutions(model.config.depth):
        branch = "branch1" if bn == "downsample.1" else f"branch2{' abc'[int(bn[2])]}"
        theirs, ours = f"res{stage}_{block}_{branch}", f"layer{stage - 1}.{block}."
        out[f"{theirs}_w"] = state[f"{ours}{conv}.weight"]
        norm(f"{theirs}_bn", ours + bn, 0)
    return out


def to_matterport(model: MaskRCNN, rng: np.random.Generator) -> Published:
    """As Keras stores it: every convolution has a bias, and the heads have norms."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    out: Published = {}

    def hwio(weight: np.ndarray) -> np.ndarray:
        return np.moveaxis(weight, (0, 1), (3, 2))

    def backbone(conv: str, norm: str, ours_conv: str, ours_norm: str) -> None:
        weight = state[f"{ours_conv}.weight"]
        bias = rng.normal(size=len(weight))
        out[f"{conv}/kernel"], out[f"{conv}/bias"] = hwio(weight), bias
        out[f"{norm}/gamma"] = state[f"{ours_norm}.weight"]
        out[f"{norm}/beta"] = state[f"{ours_norm}.bias"]
        out[f"{norm}/moving_mean"] = state[f"{ours_norm}.running_mean"] + bias
        out[f"{norm}/moving_variance"] = state[f"{ours_norm}.running_var"]

    def layer(theirs: str, ours: str, rows: np.ndarray | None = None) -> None:
        """``rows`` gives our row for each of theirs; -1 is one that nobody reads."""
        weight, bias = state[f"{ours}.weight"], state[f"{ours}.bias"]
        if rows is not None:
            weight = np.concatenate([weight, np.full_like(weight[:1], 9)])[rows]
            bias = np.append(bias, 9)[rows]
        kernel = hwio(weight) if weight.ndim == 4 else weight.T
        out[f"{theirs}/kernel"], out[f"{theirs}/bias"] = kernel, bias

    def with_norm(theirs: str, norm: str, ours: str, side: int) -> None:
        weight, bias = state[f"{ours}.weight"], state[f"{ours}.bias"]
        if weight.ndim == 2:
            weight = weight.reshape(len(weight), -1, side, side)
        gamma, beta, mean = rng.uniform(0.5, 2, (3, len(weight)))
        variance = rng.uniform(0.5, 2, len(weight))
        scale = gamma / np.sqrt(variance + 1e-3)
        out[f"{theirs}/kernel"] = hwio(weight / scale[:, None, None, None])
        out[f"{theirs}/bias"] = (bias - beta) / scale + mean
        out[f"{norm}/gamma"], out[f"{norm}/beta"] = gamma, beta
        out[f"{norm}/moving_mean"], out[f"{norm}/moving_variance"] = mean, variance

    backbone("conv1", "bn_conv1", "backbone.conv1", "backbone.bn1")
    per_channel = 255 * np.array(model.config.pixel_std)
    out["conv1/kernel"] = out["conv1/kernel"] / per_channel[:, None]
    for stage, block, conv, bn in convolutions(model.config.depth):
        letter = "abcdefghijklmnopqrstuvw"[block]
        branch = "1" if bn == "downsample.1" else f"2{' abc'[int(bn[2])]}"
        theirs = f"{stage}{letter}_branch{branch}"
        ours = f"backbone.layer{stage - 1}.{block}."
        backbone(f"res{theirs}", f"bn{theirs}", ours + conv, ours + bn)
    for n in (2, 3, 4, 5):
        layer(f"fpn_c{n}p{n}", f"fpn.lateral.{n - 2}")
        layer(f"fpn_p{n}", f"fpn.output.{n - 2}")
    anchors = 3
    swap = np.array([1, 0, 3, 2])
    layer("rpn_conv_shared", "rpn.convs.0")
    layer(
        "rpn_bbox_pred", "rpn.deltas", (4 * np.arange(anchors)[:, None] + swap).ravel()
    )
    layer("rpn_class_raw", "rpn.objectness")  # (background, object) of each anchor
    with_norm("mrcnn_class_conv1", "mrcnn_class_bn1", "box_head.body.fcs.0", 7)
    with_norm("mrcnn_class_conv2", "mrcnn_class_bn2", "box_head.body.fcs.1", 1)
    layer("mrcnn_class_logits", "box_head.class_logits")
    classes = model.config.num_classes
    boxes = (4 * np.arange(classes)[:, None] + swap).ravel()
    layer("mrcnn_bbox_fc", "box_head.deltas", np.append([-1] * 4, boxes))
    for n in (1, 2, 3, 4):
        with_norm(
            f"mrcnn_mask_conv{n}",
            f"mrcnn_mask_bn{n}",
            f"mask_head.net.convs.{n - 1}",
            3,
        )
    layer("mrcnn_mask_deconv", "mask_head.net.deconv")  # stored [h, w, out, in]
    layer("mrcnn_mask", "mask_head.net.mask_logits", np.arange(-1, classes))
    return out


def as_tensors(published: Published) -> dict[str, Tensor]:
    """The same as torch has it."""
    return {name: torch.from_numpy(array.copy()) for name, array in published.items()}
