"""What a training costs, counted: operations and memory of one image, no GPU needed.

The model runs on torch's meta device, where tensors have shapes and no values. torch
counts the multiplications and additions of convolutions and matrix products, two for
each pair; what is left out (RoIAlign, NMS, norms, ReLU) computes little and moves
memory instead. Sampled anchors and RoIs fill their lists whatever is in the image, so
the counts hold for every image of the size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.structures import Target
from maskrcnn_scratch.training.config import TrainConfig


@dataclass(frozen=True)
class Cost:
    """Of one training image."""

    parameters: int
    forward: int
    """Floating-point operations."""
    backward: int
    saved: int
    """Bytes that the forward pass keeps for the backward pass, in float32."""

    @property
    def operations(self) -> int:
        """Of both passes."""
        return self.forward + self.backward

    def hours(self, config: TrainConfig, tera: float, gpus: int = 1) -> float:
        """Of the whole training, at ``tera`` * 10^12 operations a second and GPU."""
        images = config.iterations * config.batch_size
        return images * self.operations / (tera * 1e12 * gpus) / 3600

    def images_a_second(self, tera: float, gpus: int = 1) -> float:
        """Trained on, at ``tera`` * 10^12 operations a second and GPU."""
        return tera * 1e12 * gpus / self.operations


def count_cost(config: ModelConfig, size: tuple[int, int] | None = None) -> Cost:
    """Of an image of ``size`` (height, width); a landscape of the config's, if None."""
    height, width = size or (config.image_short, config.image_long)
    with torch.device("meta"):
        model = MaskRCNN(config).train()
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        image, target = torch.zeros(3, height, width), a_target(config, height, width)
    counter = FlopCounterMode(
        display=False,
        custom_mapping={torch.ops.aten.convolution_backward: convolution_backward},
    )
    kept = Kept(model)
    with counter:
        with torch.autograd.graph.saved_tensors_hooks(kept.add, lambda saved: saved):
            losses: dict[str, Tensor] = model([image], [target])
        forward = counter.get_total_flops()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    return Cost(
        parameters=sum(p.numel() for p in model.parameters()),
        forward=forward,
        backward=counter.get_total_flops() - forward,
        saved=kept.bytes,
    )


def convolution_backward(
    grad: Sequence[int],
    x: Sequence[int],
    weight: Sequence[int],
    *others: Any,
    **named: Any,
) -> int:
    """Operations of a convolution's gradients, by x and by weight as far as wanted.

    Each takes as many as the forward pass. torch's own count forgets the groups of
    ResNeXt. Arguments are shapes; those of ``aten.convolution_backward`` in its order.
    """
    transposed, wanted = others[4], others[7]
    cells = x if transposed else grad
    return 2 * math.prod(cells) * math.prod(weight[1:]) * int(sum(wanted[:2]))


def a_target(config: ModelConfig, height: int, width: int) -> Target:
    """One object; how many there are does not change the cost."""
    return Target(
        image_id=1,
        boxes=torch.zeros(1, 4),
        labels=torch.ones(1, dtype=torch.int64),
        masks=torch.zeros(1, height, width, dtype=torch.uint8),
        crowd=torch.zeros(1, dtype=torch.bool),
        keypoints=torch.zeros(1, config.keypoints, 3) if config.keypoints else None,
        proposals=None if config.rpn else torch.zeros(config.rpn_post_nms_train, 4),
    )


class Kept:
    """Adds up the memory of tensors, each piece once, without the model's own."""

    def __init__(self, model: nn.Module) -> None:
        self.bytes = 0
        self._known = {piece(t): t for t in model.state_dict().values()}

    def add(self, tensor: Tensor) -> Tensor:
        """Remember the tensor's memory; held on to, so that no other takes its name."""
        if piece(tensor) not in self._known:
            self._known[piece(tensor)] = tensor
            self.bytes += tensor.untyped_storage().nbytes()
        return tensor


def piece(tensor: Tensor) -> int:
    """Which piece of memory the tensor lies in."""
    return int(tensor.untyped_storage()._cdata)
