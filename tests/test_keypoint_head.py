"""The keypoint head: shapes, its loss over the points that count, and reading points.

Deliberate faults, and the test that caught each:

- a ReLU or the scaling by two forgotten, corners aligned, a deconvolution off by a
  cell -> test_logits_are_torchvision_s
- padding counted, or the loss divided by all points -> test_padding_changes_nothing
- the keypoints of another object -> test_each_roi_learns_the_points_of_its_object
- the config's rule to read points ignored -> test_what_was_learnt_is_found
- values looked at -> test_no_value_is_looked_at
"""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import import_module

import pytest
import torch
from torch import Tensor

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.keypoint_head import KeypointHead, keypoint_term
from maskrcnn_scratch.models.sampling import SampledRoIs
from maskrcnn_scratch.ops.keypoints import Readout
from maskrcnn_scratch.structures import Target

POINTS = 3
SMALL = ModelConfig(
    keypoints=POINTS, keypoint_pool=3, keypoint_head_convs=2, keypoint_head_width=8
)
BOXES = torch.tensor([[0.0, 0, 12, 12], [4, 4, 16, 28]])


@pytest.fixture(autouse=True)
def same_numbers_every_time() -> None:
    torch.manual_seed(0)


def target(boxes: Tensor, visible: int = 2) -> Target:
    """In each object's box three points on its diagonal."""
    shares = torch.tensor([0.2, 0.5, 0.9])[:, None]
    corners, sides = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
    points = corners + shares * sides
    flags = torch.full_like(points[..., :1], visible)
    return Target(
        image_id=5,
        boxes=boxes,
        labels=torch.ones(len(boxes), dtype=torch.int64),
        masks=None,
        crowd=torch.zeros(len(boxes), dtype=torch.bool),
        keypoints=torch.cat([points, flags], dim=2),
    )


def own_boxes(boxes: Tensor, valid: Tensor) -> SampledRoIs:
    """RoIs that are the objects' boxes."""
    objects = torch.arange(len(boxes), device=boxes.device)
    labels = torch.ones_like(objects)
    return SampledRoIs(boxes, labels, objects, boxes, valid)


def everything(boxes: Tensor) -> SampledRoIs:
    return own_boxes(boxes, torch.ones(len(boxes), dtype=torch.bool))


def test_the_paper_s_head() -> None:
    """Eight 3x3 convolutions of 512, then 17 maps of 56 x 56."""
    head = KeypointHead(ModelConfig(keypoints=17), 256).to("meta")
    convs = (256 + 7 * 512) * 512 * 9 + 8 * 512
    assert sum(p.numel() for p in head.parameters()) == convs + 512 * 17 * 16 + 17
    features = torch.zeros(2, 256, 14, 14, device="meta")
    assert head(features).shape == (2, 17, 56, 56)


def test_an_untrained_head_says_nothing_much() -> None:
    """Its loss is about that of flat maps, log 144."""
    head = KeypointHead(SMALL, 4)
    logits = head(torch.randn(2, 4, 3, 3))
    losses = head.losses(logits, [everything(BOXES)], [target(BOXES)])
    total, count = losses["keypoint"]
    assert logits.shape == (2, POINTS, 12, 12)
    assert count == 2 * POINTS
    assert (total / count).item() == pytest.approx(math.log(144), abs=2)


def test_logits_are_torchvision_s() -> None:
    """With the same weights."""
    pytest.importorskip("torchvision")
    keypoint_rcnn = import_module("torchvision.models.detection.keypoint_rcnn")
    theirs = torch.nn.Sequential(
        keypoint_rcnn.KeypointRCNNHeads(4, (8, 8)),
        keypoint_rcnn.KeypointRCNNPredictor(8, POINTS),
    )
    head = KeypointHead(SMALL, 4)
    for ours, other in zip(head.parameters(), theirs.parameters(), strict=True):
        ours.data.copy_(other)
    features = torch.randn(5, 4, 3, 3)
    torch.testing.assert_close(head(features), theirs(features))


def test_each_roi_learns_the_points_of_its_object() -> None:
    """Two images; the RoIs of the second name its objects the other way round."""
    first, second = target(BOXES[:1]), target(BOXES)
    turned = replace(everything(BOXES), objects=torch.tensor([1, 0]))
    logits = torch.randn(3, POINTS, 12, 12)
    found = KeypointHead(SMALL, 4).losses(
        logits, [everything(BOXES[:1]), turned], [first, second]
    )
    assert first.keypoints is not None
    assert second.keypoints is not None
    keypoints = torch.cat([first.keypoints, second.keypoints.flip(0)])
    boxes = torch.cat([BOXES[:1], BOXES])
    expected = keypoint_term(logits, boxes, keypoints, torch.ones(3).bool())
    assert found["keypoint"] == expected
    assert 0 < expected.number < 9  # some points lie outside the other's box


def test_padding_changes_nothing() -> None:
    """Whatever it holds; and a mean is over visible points alone."""
    keypoints = target(BOXES).keypoints
    assert keypoints is not None
    keypoints[0, 1, 2] = 0  # not labelled
    logits = torch.randn(2, POINTS, 12, 12, requires_grad=True)
    padded = torch.cat([logits, torch.full_like(logits, math.nan)])
    boxes = torch.cat([BOXES, torch.zeros(1, 4), BOXES[:1]])
    points = torch.cat([keypoints, torch.full_like(keypoints, math.nan)])
    points[3] = keypoints[0]
    valid = torch.tensor([True, True, False, False])
    total, count = keypoint_term(padded, boxes, points, valid)
    expected = keypoint_term(logits, BOXES, keypoints, valid[:2])
    assert count == expected.number == 2 * POINTS - 1
    torch.testing.assert_close(total, expected.total)
    (gradient,) = torch.autograd.grad(total, logits)
    (wanted,) = torch.autograd.grad(expected.total, logits)
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("boxes", [BOXES, BOXES[:0]])
def test_where_no_point_is_visible_the_loss_is_0(boxes: Tensor) -> None:
    """And the graph is there, so that a backward pass reaches every parameter."""
    head = KeypointHead(SMALL, 4)
    logits = head(torch.randn(len(boxes), 4, 3, 3))
    losses = head.losses(logits, [everything(boxes)], [target(boxes, visible=0)])
    total, count = losses["keypoint"]
    assert total == count == 0
    for gradient in torch.autograd.grad(total, list(head.parameters())):
        assert not gradient.any()


def test_objects_without_the_model_s_keypoints_are_refused() -> None:
    head, logits = KeypointHead(SMALL, 4), torch.zeros(2, POINTS, 12, 12)
    for keypoints, message in [
        (None, "image 5 have 0 keypoints, .* keypoints = 3"),
        (torch.zeros(2, 17, 3), "image 5 have 17 keypoints"),
    ]:
        wrong = replace(target(BOXES), keypoints=keypoints)
        with pytest.raises(ValueError, match=message):
            head.losses(logits, [everything(BOXES)], [wrong])


@pytest.mark.parametrize("rule", ["bin", "resized"])
def test_what_was_learnt_is_found(rule: Readout) -> None:
    """A head that learns two RoIs by heart finds their points, to about a bin."""
    config = replace(SMALL, keypoint_readout=rule)
    head, goal = KeypointHead(config, 4), target(BOXES)
    features = torch.randn(2, 4, 3, 3)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(100):
        losses = head.losses(head(features), [everything(BOXES)], [goal])
        loss = losses["keypoint"].total / losses["keypoint"].number
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    found = head.detect(head(features), BOXES)
    assert torch.equal(found, ops.keypoint_readout(head(features), BOXES, rule))
    assert goal.keypoints is not None
    bins = (BOXES[:, 2:] - BOXES[:, :2])[:, None] / 12
    distance = (found[..., :2] - goal.keypoints[..., :2]) / bins
    assert distance.abs().max() < 1.5
    assert found.shape == (2, POINTS, 3)
    assert not found.requires_grad


@pytest.mark.parametrize("rule", ["bin", "resized"])
def test_no_value_is_looked_at(rule: Readout) -> None:
    """The meta device has shapes alone: a look at a value there is an error."""
    config = replace(SMALL, keypoint_readout=rule)
    head, boxes = KeypointHead(config, 4).to("meta"), BOXES.to("meta")
    logits = head(torch.zeros(2, 4, 3, 3, device="meta"))
    valid = torch.ones(2, dtype=torch.bool, device="meta")
    goal = target(BOXES).to("meta")
    total, count = head.losses(logits, [own_boxes(boxes, valid)], [goal])["keypoint"]
    assert total.shape == count.shape == ()
    torch.autograd.backward(total)
    assert head.detect(logits, boxes).shape == (2, POINTS, 3)
