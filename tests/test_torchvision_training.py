"""Training: torchvision's losses and gradients and ours, from the same samples.

Both draw the same anchors and RoIs: their samplers are exchanged for one that takes
some by number, and ours is given torchvision's proposals, for where two are equally
good but for rounding, their order is chance. Layers compute in float64: in float32 a
ReLU is now and then on one side and off the other. Then every loss is equal to 1e-5 of
itself, and every parameter's gradient to 1e-4 of its length.

Faults tried, and the test that caught each:
- masks read half a pixel off, or cut at 1/2 -> test_losses_and_gradients[mask]
- the RPN's box loss over the positives, or with beta 1 -> [boxes]
- the box loss over the positives, or with beta 1 -> [boxes]
- keypoints rounded to the nearest bin -> [keypoints]
- the backbone's batch norms frozen -> [mask-v2]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision_models import converted, picture, small_model

from maskrcnn_scratch import ops
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.models.proposals import Proposals
from maskrcnn_scratch.ops.matching import BACKGROUND
from maskrcnn_scratch.structures import Target
from maskrcnn_scratch.weights.torchvision_names import to_torchvision

SIZES = [(160, 224), (192, 150)]
"""Two images of a batch, which both models take as they are."""

LOSSES = {
    "rpn_objectness": "loss_objectness",
    "rpn_box": "loss_rpn_box_reg",
    "class": "loss_classifier",
    "box": "loss_box_reg",
    "mask": "loss_mask",
    "keypoint": "loss_keypoint",
}
"""Our names and theirs."""


def some(candidates: Tensor, count: int) -> Tensor:
    """As many of the numbers, from everywhere and always the same."""
    return candidates[torch.argsort(candidates * 7919 % 10007, stable=True)[:count]]


def our_sampler(
    matched: Tensor, count: int, positive_fraction: float, generator: object = None
) -> ops.Sample:
    """In place of ``ops.sample``."""
    positive = some(
        torch.nonzero(matched >= 0).flatten(), int(count * positive_fraction)
    )
    negative = torch.nonzero(matched == BACKGROUND).flatten()
    rows = torch.cat([positive, some(negative, count - len(positive))])
    return ops.Sample(rows, torch.arange(len(rows)) < len(positive), rows >= 0)


class TheirSampler:
    """In place of ``BalancedPositiveNegativeSampler``."""

    def __init__(self, replaced: Any) -> None:
        self.count = replaced.batch_size_per_image
        self.quota = int(self.count * replaced.positive_fraction)

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        positives, negatives = [], []
        for label in labels:
            positive = some(torch.nonzero(label >= 1).flatten(), self.quota)
            negative = torch.nonzero(label == 0).flatten()
            negative = some(negative, self.count - len(positive))
            for rows, masks in ((positive, positives), (negative, negatives)):
                mask = torch.zeros_like(label, dtype=torch.uint8)
                mask[rows] = 1
                masks.append(mask)
        return positives, negatives


def random_target(number: int, size: tuple[int, int], classes: int) -> Target:
    """Five objects: ellipses, with keypoints in and around their boxes."""
    generator = torch.Generator().manual_seed(number)
    height, width = size
    corner = torch.rand(5, 2, generator=generator) * torch.tensor([width, height]) / 2
    side = 20 + torch.rand(5, 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + side], dim=1)
    y, x = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    centre, half = corner + side / 2, side / 2
    inside = ((x - centre[:, :1]) / half[:, :1])[:, None] ** 2 + (
        (y - centre[:, 1:]) / half[:, 1:]
    )[:, :, None] ** 2 < 1
    points = corner[:, None] + side[:, None] * (
        1.2 * torch.rand(5, 17, 2, generator=generator) - 0.1
    )
    visible = torch.randint(0, 3, (5, 17, 1), generator=generator).float()
    return Target(
        image_id=number,
        boxes=boxes,
        labels=torch.arange(5) % classes + 1,
        masks=inside.to(torch.uint8),
        crowd=torch.zeros(5, dtype=torch.bool),
        keypoints=torch.cat([points, visible], dim=2),
    )


def their_target(target: Target) -> dict[str, Tensor]:
    """As torchvision takes it."""
    return vars(target) | {"boxes": target.boxes.double()}


def replayed_proposals(
    theirs: Any, ours: MaskRCNN, monkeypatch: pytest.MonkeyPatch
) -> list[Tensor]:
    """Those of torchvision, rounded to float32, which from now on are ours too."""
    boxes: list[Tensor] = []

    def keep(_: object, __: object, out: Any) -> Any:
        boxes.extend(one.float() for one in out[0])
        return [one.double() for one in boxes], out[1]

    def propose(*_: object) -> list[Proposals]:
        return [Proposals(one, torch.ones(len(one))) for one in boxes]

    theirs.rpn.register_forward_hook(keep)
    monkeypatch.setattr(ours.rpn, "propose", propose)
    return boxes


@pytest.mark.parametrize("kind", ["mask", "keypoints", "boxes", "mask-v2"])
def test_losses_and_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Of every parameter there is."""
    theirs = small_model("resnet18", kind).train()
    ours = converted(
        theirs.state_dict(), tmp_path, "--norm-eps", "1e-5", frozen_stages=0
    ).train()
    ours.double()
    theirs.double()
    theirs.transform._skip_resize = True
    for part in (theirs.rpn, theirs.roi_heads):
        part.fg_bg_sampler = TheirSampler(part.fg_bg_sampler)
    monkeypatch.setattr(ops, "sample", our_sampler)
    images = [picture(size, n).double() for n, size in enumerate(SIZES)]
    classes = ours.config.num_classes
    targets = [random_target(n, size, classes) for n, size in enumerate(SIZES)]

    proposals = replayed_proposals(theirs, ours, monkeypatch)
    expected = theirs(images, [their_target(target) for target in targets])
    found = ours(images, targets)
    assert all(len(boxes) > 500 for boxes in proposals)
    assert {LOSSES[name] for name in found} == expected.keys()
    for name, loss in found.items():
        assert loss > 1e-3
        torch.testing.assert_close(
            loss.double(), expected[LOSSES[name]].double(), rtol=1e-5, atol=0
        )

    sum(found.values()).backward()
    sum(expected.values()).backward()
    gradients = to_torchvision(
        {name: parameter.grad for name, parameter in ours.named_parameters()},
        ours.config,
    )
    theirs_by_name = dict(theirs.named_parameters())
    assert gradients.keys() == theirs_by_name.keys()
    for name, gradient in gradients.items():
        expected_gradient = theirs_by_name[name].grad
        # Softmax over all places: what lifts them all alike changes nothing.
        least = 1e-2 if name.endswith("kps_score_lowres.bias") else 0
        length = expected_gradient.norm().clamp(min=least)
        assert length > 0, name
        assert (gradient - expected_gradient).norm() < 1e-4 * length, name
