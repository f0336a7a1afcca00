"""The whole model: it learns, it copes with every kind of batch, and it repeats."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_models import SMALL, target
from torch import Tensor

from maskrcnn_scratch.models import MaskRCNN, proposals, sampling
from maskrcnn_scratch.structures import Detections, Target

LOSSES = {"rpn_objectness", "rpn_box", "class", "box", "mask"}


def scene(size: int = 64) -> tuple[Tensor, Target]:
    """A bright square and a dark bar on grey, classes 1 and 2."""
    boxes = [[8.0, 8, 32, 32], [12, 40, 60, 52]]
    truth = target(boxes, [1, 2], size)
    image = torch.full((3, size, size), 0.5)
    image[:, truth.masks[0] > 0] = 0.9
    image[:, truth.masks[1] > 0] = 0.1
    return image, truth


def losses_of(
    model: MaskRCNN, images: list[Tensor], targets: list[Target]
) -> dict[str, Tensor]:
    losses = model(images, targets)
    assert isinstance(losses, dict)
    return losses


def test_one_batch_is_learnt_by_heart() -> None:
    """The loss of one fixed batch goes to near zero, and the detections are right."""
    torch.manual_seed(0)
    model = MaskRCNN(SMALL).train()
    image, truth = scene()
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(220):
        losses = losses_of(model, [image], [truth])
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    assert set(losses) == LOSSES
    for name, loss in losses.items():
        assert loss < 0.1, name
    (found,) = model.eval()([image])
    assert isinstance(found, Detections)
    assert found.labels[:2].sort().values.tolist() == [1, 2]
    best = found.boxes[:2][found.labels[:2].argsort()]
    torch.testing.assert_close(best, truth.boxes, atol=1.5, rtol=0)
    assert found.mask_probabilities is not None
    assert found.mask_probabilities[:2, 7:21, 7:21].min() > 0.5


def test_images_of_different_sizes_share_a_batch() -> None:
    torch.manual_seed(0)
    model = MaskRCNN(SMALL)
    image, truth = scene()
    wide = torch.rand(3, 40, 90)
    losses = losses_of(model, [image, wide], [truth, target([], [], 90)])
    assert all(loss.isfinite() for loss in losses.values())
    found = model.eval()([image, wide])
    assert len(found) == 2
    assert isinstance(found[1], Detections)
    assert (found[1].boxes[:, 3] <= 40).all()


def test_padding_does_not_change_what_is_found() -> None:
    """An image in a batch with a larger one meets zeros at its border, nothing else."""
    torch.manual_seed(0)
    model = MaskRCNN(replace(SMALL, score_threshold=0.0, max_detections=5)).eval()
    image, _ = scene()
    batch = model.batch([image, torch.rand(3, 96, 128)])
    assert batch.shape == (2, 3, 96, 128)
    alone = model.batch([image])
    assert torch.equal(batch[0, :, :64, :64], alone[0])
    assert batch[0, :, 64:].abs().sum() == 0


def test_images_without_objects_train() -> None:
    """No positives: the box and mask losses are zero, and every gradient is finite."""
    torch.manual_seed(0)
    model = MaskRCNN(SMALL)
    image, _ = scene()
    losses = losses_of(model, [image, image], [target([], []), target([], [])])
    assert losses["box"] == losses["mask"] == losses["rpn_box"] == 0
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_zero_proposals_are_no_accident() -> None:
    """With every proposal too small, evaluation finds nothing and training goes on."""
    torch.manual_seed(0)
    model = MaskRCNN(replace(SMALL, rpn_min_size=1e6))
    image, truth = scene()
    losses = losses_of(model, [image], [truth])  # the objects' own boxes remain
    assert losses["mask"] > 0
    losses = losses_of(model, [image], [target([], [])])  # not one RoI
    torch.stack(list(losses.values())).sum().backward()
    assert all(loss.isfinite() for loss in losses.values())
    (found,) = model.eval()([image])
    assert isinstance(found, Detections)
    assert len(found) == 0
    assert found.mask_probabilities is not None
    assert found.mask_probabilities.shape == (0, 28, 28)


def test_equal_seeds_give_equal_losses() -> None:
    image, truth = scene()

    def run() -> dict[str, float]:
        torch.manual_seed(3)
        losses = losses_of(MaskRCNN(SMALL), [image], [truth])
        return {name: loss.item() for name, loss in losses.items()}

    assert run() == run()


def test_bfloat16_autocast_keeps_boxes_in_float32() -> None:
    torch.manual_seed(0)
    model = MaskRCNN(SMALL)
    image, truth = scene()
    with torch.autocast("cpu", torch.bfloat16):
        losses = losses_of(model, [image], [truth])
        (found,) = model.eval()([image])
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    assert isinstance(found, Detections)
    assert found.boxes.dtype == torch.float32


def test_nothing_waits_for_a_gpu() -> None:
    """From images to losses and back no step depends on a value.

    On the meta device there are none: whatever looks at one fails there, as it would
    make the host wait for a GPU.
    """
    with torch.device("meta"):
        model = MaskRCNN(SMALL)
        images = [torch.empty(3, 64, 64), torch.empty(3, 50, 90)]
        targets = [
            Target(
                image_id=n,
                boxes=torch.empty(n, 4),
                labels=torch.empty(n, dtype=torch.int64),
                masks=torch.empty(n, 64, 64, dtype=torch.uint8),
                crowd=torch.empty(n, dtype=torch.bool),
            )
            for n in (2, 0)
        ]
        losses = losses_of(model, images, targets)
        torch.stack(list(losses.values())).sum().backward()
        assert set(losses) == LOSSES
        assert model.eval().rpn is not None
        maps = model.feature_maps(model.batch(images))
        proposals = model.proposals(maps, torch.empty(2, 2), None)
    assert [len(one.boxes) for one in proposals] == [SMALL.rpn_post_nms_test] * 2


FAMILY = {
    "fpn": SMALL,
    "c4": replace(
        SMALL,
        features="c4",
        anchor_levels=(4,),
        box_head="res5",
        box_pool=14,
        mask_head_convs=0,
    ),
    "pose": replace(SMALL, keypoints=3, keypoint_head_convs=1, keypoint_head_width=8),
}


@pytest.mark.parametrize("name", FAMILY)
def test_empty_slots_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU lists have a fixed length and empty slots behind; the losses, gradients
    and detections are those of the CPU's lists, which have none."""
    torch.manual_seed(0)
    config = replace(FAMILY[name], rpn_samples=10**6, roi_samples=10**6)
    model = MaskRCNN(config)
    image, truth = scene()
    truth = replace(
        truth, keypoints=torch.tensor([[[9.0, 9, 2], [30, 20, 1], [50, 50, 2]]] * 2)
    )
    batch = [image, torch.rand(3, 48, 64)], [truth, target([], [])]

    def gradients() -> dict[str, Tensor]:
        model.zero_grad()
        losses = losses_of(model, *batch)
        torch.stack(list(losses.values())).sum().backward()
        found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        return {**found, **losses}

    expected = gradients()
    (detected, _) = model.eval()(batch[0])
    for module in (proposals, sampling):
        monkeypatch.setattr(module, "values_can_be_checked", lambda _: False)
    (padded, _) = model(batch[0])
    found = gradients() if model.train() else {}
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-6, msg=key)
    torch.testing.assert_close(padded.boxes, detected.boxes)
    torch.testing.assert_close(padded.scores, detected.scores)
    assert padded.mask_probabilities.shape == detected.mask_probabilities.shape


def test_training_without_targets_says_so() -> None:
    with pytest.raises(ValueError, match="a target for each of the 1 images, got none"):
        MaskRCNN(SMALL)([torch.zeros(3, 64, 64)])
