"""torchvision's models with random weights, narrow ones, and ours converted from them.

No weights are downloaded. The yardstick is installed with
``python -m pip install torchvision`` (0.28 for torch 2.13) and is no dependency;
without it whatever imports this module skips.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.inference import Predictor
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.models.fold import fold_batch_norm
from maskrcnn_scratch.weights.model_file import (
    build_model,
    read_model_file,
    write_tensors,
)

NEEDED = "python -m pip install torchvision (0.28 for torch 2.13) runs these tests"
torchvision = pytest.importorskip("torchvision", reason=NEEDED)

SHORT, LONG = 160, 224
"""To what sides both models scale images."""

SPREAD = {
    "rpn.head.cls_logits": 1.5,
    "rpn.head.bbox_pred": 0.015,
    "roi_heads.box_predictor.cls_score": 2.0,
    "roi_heads.box_predictor.bbox_pred": 0.05,
    "roi_heads.mask_predictor.mask_fcn_logits": 2.0,
    "roi_heads.keypoint_predictor.kps_score_lowres": 2.0,
}
"""What predictors put out, as a standard deviation: enough for many detections."""


def picture(size: tuple[int, int], seed: int) -> Tensor:
    """Soft spots with some noise, RGB in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 12, 12, generator=generator)
    soft = F.interpolate(coarse, size, mode="bilinear", align_corners=False)[0]
    return 0.8 * soft + 0.2 * torch.rand(3, *size, generator=generator)


def backbone(name: str, eps: float = 1e-5, frozen: bool = True) -> nn.Module:
    """A torchvision ResNet of full depth; ResNet-101 has narrow bottlenecks."""
    from torchvision.models import resnet
    from torchvision.ops.misc import FrozenBatchNorm2d

    norm = partial(FrozenBatchNorm2d if frozen else nn.BatchNorm2d, eps=eps)
    if name == "resnet101":
        made: nn.Module = resnet.ResNet(
            resnet.Bottleneck, [3, 4, 23, 3], width_per_group=16, norm_layer=norm
        )
        return made
    made = getattr(resnet, name)(weights=None, norm_layer=norm)
    return made


def with_fpn(body: Any, channels: int, norm: type[nn.Module] | None = None) -> Any:
    """A pyramid of few channels."""
    from torchvision.models.detection.backbone_utils import BackboneWithFPN

    widths = [body.inplanes >> n for n in (3, 2, 1, 0)]
    layers = {f"layer{n + 1}": str(n) for n in range(4)}
    return BackboneWithFPN(body, layers, widths, channels, norm_layer=norm)


def small_model(
    name: str, kind: str = "mask", eps: float = 1e-5, unit: float = 1, **options: Any
) -> Any:
    """A torchvision model of that ``kind``, narrow behind the ResNet ``name``.

    Kinds: mask, boxes, keypoints; with -v2 norms are batch norms, and in FPN and heads
    too. ``unit`` is the size of what the backbone's convolutions put out.
    """
    from torchvision.models.detection import (
        FasterRCNN,
        KeypointRCNN,
        faster_rcnn,
        keypoint_rcnn,
        mask_rcnn,
        rpn,
    )
    from torchvision.models.detection import MaskRCNN as MaskRCNNOfTorchvision

    torch.manual_seed(0)
    family, _, v2 = kind.partition("-")
    norm = nn.BatchNorm2d if v2 else None
    body = with_fpn(backbone(name, eps, frozen=not v2), 16, norm)
    classes = 2 if family == "keypoints" else 6
    parts: dict[str, Any] = {
        "min_size": SHORT,
        "max_size": LONG,
        "box_head": faster_rcnn.TwoMLPHead(16 * 49, 32),
        "box_predictor": faster_rcnn.FastRCNNPredictor(32, classes),
        "box_detections_per_img": 40,
    }
    if v2:
        parts["rpn_head"] = rpn.RPNHead(16, 3, conv_depth=2)
        parts["box_head"] = faster_rcnn.FastRCNNConvFCHead(
            (16, 7, 7), [12] * 4, [32], norm_layer=norm
        )
    if family == "mask":
        parts["mask_head"] = mask_rcnn.MaskRCNNHeads(16, [12] * 4, 1, norm_layer=norm)
        parts["mask_predictor"] = mask_rcnn.MaskRCNNPredictor(12, 12, classes)
    if family == "keypoints":
        parts["keypoint_head"] = keypoint_rcnn.KeypointRCNNHeads(16, [12] * 8)
        parts["keypoint_predictor"] = keypoint_rcnn.KeypointRCNNPredictor(12, 17)
    makers = {"mask": MaskRCNNOfTorchvision, "keypoints": KeypointRCNN}
    model = makers.get(family, FasterRCNN)(body, **parts | options).eval()
    randomise(model, unit)
    return model


@torch.no_grad()
def randomise(model: Any, unit: float = 1) -> None:
    """Norms that normalise, and predictors that are sure of something.

    What no training did, one image does: layers see how large its numbers are. Without
    it all places look alike, and their differences are near rounding. Branches add
    little to their shortcuts, or rounding would grow from block to block.
    """
    for layer in model.backbone.body.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.mul_(unit)
    last = {id(getattr(b, "bn3", getattr(b, "bn2", None))) for b in model.modules()}
    for name, layer in model.named_modules():
        if hasattr(layer, "running_var"):
            settle(layer, 0.2 if id(layer) in last else 1.0)
        if name in SPREAD:
            widen(layer, SPREAD[name])
    model([picture((SHORT, SHORT), 99)])


def settle(norm: Any, gain: float) -> None:
    """Statistics near those of the norm's first input; any scale and shift."""

    def see(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        hook.remove()
        channels = inputs[0].transpose(0, 1).flatten(1)
        any_number = torch.empty_like(norm.running_var)
        off = channels.std(1) * any_number.normal_(0, 0.1)
        norm.running_mean.copy_(channels.mean(1) + off)
        norm.running_var.copy_(channels.var(1) * any_number.uniform_(0.7, 1.5))
        norm.weight.uniform_(0.8 * gain, 1.2 * gain)
        norm.bias.normal_(0, 0.1)

    hook = norm.register_forward_pre_hook(see)


def widen(layer: Any, spread: float) -> None:
    """Spread what the layer puts out around 0, channel by channel, by its first input.

    Else all places would look alike to it, for its own weights are all that is random.
    """

    def scale(_: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        hook.remove()
        channels = out.transpose(0, 1).flatten(1)
        centred = channels - channels.mean(1, keepdim=True)
        factor = spread / centred.std()
        layer.weight.mul_(factor)
        layer.bias.copy_((layer.bias - channels.mean(1)) * factor)
        return layer.forward(*inputs)  # type: ignore[no-any-return]

    hook = layer.register_forward_hook(scale)


def converted(
    state: dict[str, Tensor], folder: Path, *options: str, **changes: Any
) -> MaskRCNN:
    """Ours, from a file that the command made; fields of its config then changed."""
    path, out = folder / "theirs.pth", folder / "ours.safetensors"
    torch.save(state, path)
    words = ["weights", "convert", str(path), "--from", "torchvision"]
    assert main([*words, "--out", str(out), *options]) == 0
    file = read_model_file(out)
    file.config["model"] |= changes
    write_tensors(out, file.tensors, file.config, file.class_names)
    return build_model(read_model_file(out))


def small_converted(
    theirs: nn.Module, folder: Path, options: Sequence[str] = ("--norm-eps", "1e-5")
) -> MaskRCNN:
    """Ours with the weights of ``small_model``, for images of the same sizes."""
    changes = {"image_short": SHORT, "image_long": LONG, "max_detections": 40}
    return converted(theirs.state_dict(), folder, *options, **changes)


def predictor_of(model: MaskRCNN) -> Predictor:
    """As a file is loaded, on the CPU: norms folded, channels last."""
    fold_batch_norm(model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    names = [str(label) for label in range(model.config.num_classes)]
    return Predictor(model, names)


@torch.no_grad()
def their_detections(theirs: Any, images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
    """In the frames of the images; ``maps`` are masks before they are pasted."""
    maps: list[Tensor] = []

    def keep(_: nn.Module, __: object, out: Any) -> None:
        maps.extend(one["masks"][:, 0] for one in out[0] if "masks" in one)

    hook = theirs.roi_heads.register_forward_hook(keep)
    found: list[dict[str, Tensor]] = theirs(list(images))
    hook.remove()
    for one, own in zip(found, maps, strict=False):
        one["maps"] = own
    return found
