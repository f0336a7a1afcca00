"""torchvision's model and ours, stage by stage, each stage given torchvision's input.

So a difference names its stage. The weights are shared, random, and converted by the
command; models are in evaluation mode.

Faults tried, and the test that caught each:
- sides of scaled images rounded, antialiased pixels -> test_images
- padded to a multiple of 64 -> test_the_batch
- fixed strides, anchors not rounded -> test_anchors
- logits in the order (A, H, W) -> test_rpn
- fewer proposals, a smallest size of 30, IoU 0.65 -> test_proposals
- levels by 225 pixels, aligned RoIAlign -> test_roi_features
- the last rows dropped for the background's -> test_the_box_head
- box weights 10, 10, 10, 10, NMS at 0.45 -> test_detections
- masks of the class before -> test_the_mask_head
- pasted at pixel centres -> test_masks_in_the_image
- the best bin for the best pixel -> test_the_keypoint_head
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision_models import (
    picture,
    small_converted,
    small_model,
    torchvision,
)

from maskrcnn_scratch.data.resize import resize_image
from maskrcnn_scratch.inference.predict import scale_boxes
from maskrcnn_scratch.inference.settings import resize_rule
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.models.mask_rcnn import image_sizes
from maskrcnn_scratch.models.roi_features import roi_features, to_rois
from maskrcnn_scratch.ops import paste_masks

ORIGINALS = [(97, 130), (300, 419)]
"""Two images of a batch: one grows, one shrinks."""


@dataclass
class Stages:
    """Both models, and what torchvision's makes of two images, stage by stage."""

    theirs: Any
    ours: MaskRCNN
    originals: list[Tensor]
    batch: Any
    features: dict[str, Tensor]
    proposals: list[Tensor]
    detections: list[dict[str, Tensor]]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of the scaled images."""
        return [(height, width) for height, width in self.batch.image_sizes]

    @property
    def maps(self) -> dict[int, Tensor]:
        """torchvision's pyramid, as our heads take it."""
        return dict(enumerate(self.features.values(), start=2))


def stages_of(kind: str, folder: Any) -> Stages:
    """Of a model on ResNet-18."""
    theirs = small_model("resnet18", kind)
    ours = small_converted(theirs, folder)
    originals = [picture(size, seed) for seed, size in enumerate(ORIGINALS)]
    with torch.no_grad():
        batch, _ = theirs.transform(originals)
        features = theirs.backbone(batch.tensors)
        proposals, _ = theirs.rpn(batch, features)
        found, _ = theirs.roi_heads(features, proposals, batch.image_sizes)
    return Stages(theirs, ours, originals, batch, features, proposals, found)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """Of Mask R-CNN."""
    return stages_of("mask", tmp_path_factory.mktemp("mask"))


@pytest.fixture(autouse=True)
def _no_gradients() -> Any:
    with torch.no_grad():
        yield


def assert_near(found: Tensor, expected: Tensor, atol: float = 2e-5) -> None:
    """The same numbers in the same places, and not all alike."""
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=atol)


SHAPES = [*ORIGINALS, (160, 200), (160, 224), (500, 211), (333, 333), (37, 900), (2, 3)]


@pytest.mark.parametrize("size", SHAPES, ids=str)
def test_images(stages: Stages, size: tuple[int, int]) -> None:
    """Sizes exactly, pixels but for rounding, which comes before or after the mean."""
    image = picture(size, 3)
    expected, _ = stages.theirs.transform([image])
    rule = resize_rule(stages.ours.config)
    height, width = rule.size(size)
    assert expected.image_sizes == [(height, width)]
    scaled = resize_image(image, (height, width), rule.filter)
    normal = (scaled - stages.ours.pixel_mean) / stages.ours.pixel_std
    assert_near(normal, expected.tensors[0, :, :height, :width])


def test_the_batch(stages: Stages) -> None:
    """Both images in one tensor, zeros at the right and the bottom."""
    scaled = [
        torch.nn.functional.interpolate(image[None], size, mode="bilinear")[0]
        for image, size in zip(stages.originals, stages.sizes, strict=True)
    ]
    assert stages.sizes == [(160, 214), (160, 223)]
    assert_near(stages.ours.batch(scaled), stages.batch.tensors)


def test_feature_maps(stages: Stages) -> None:
    """C2 to C5 of the ResNet, then P2 to P6."""
    body = stages.theirs.backbone.body(stages.batch.tensors)
    for found, expected in zip(
        stages.ours.backbone(stages.batch.tensors), body.values(), strict=True
    ):
        assert_near(found, expected)
    maps = stages.ours.feature_maps(stages.batch.tensors)
    assert list(maps) == [2, 3, 4, 5, 6]
    for found, expected in zip(maps.values(), stages.features.values(), strict=True):
        assert_near(found, expected)


@pytest.mark.parametrize("size", [(160, 224), (32, 96), (800, 1344), (416, 352)])
def test_anchors(stages: Stages, size: tuple[int, int]) -> None:
    """Exactly; on P6 their distance is image // map, 61 of 800 pixels."""
    grids = [[-(-side // 2**level) for side in size] for level in (2, 3, 4, 5, 6)]
    maps = [torch.zeros(1, 1, *grid) for grid in grids]
    image = torchvision.models.detection.image_list.ImageList(
        torch.zeros(1, 3, *size), [size]
    )
    (expected,) = stages.theirs.rpn.anchor_generator(image, maps)
    found = stages.ours.rpn.anchors(dict(enumerate(maps, start=2)))
    torch.testing.assert_close(torch.cat(found), expected, rtol=0, atol=0)


def test_rpn(stages: Stages) -> None:
    """Logits and deltas in the order of the anchors."""
    from torchvision.models.detection.rpn import concat_box_prediction_layers

    heads = stages.theirs.rpn.head(list(stages.features.values()))
    expected = concat_box_prediction_layers(*heads)
    logits, deltas = stages.ours.rpn(stages.maps)
    assert_near(torch.cat(logits, 1).flatten(), expected[0].flatten())
    found = torch.cat(deltas, 1).flatten(0, 1)
    torch.testing.assert_close(found, expected[1], rtol=0, atol=1e-5)


def test_proposals(stages: Stages) -> None:
    """Decoded, clipped, the best of each level, after NMS, in the same order.

    Both are given torchvision's logits and deltas: 1e-4 pixels is rounding.
    """
    rpn, maps = stages.ours.rpn, stages.maps
    logits, deltas = stages.theirs.rpn.head(list(stages.features.values()))
    images = len(stages.originals)
    found = rpn.propose(
        rpn.anchors(maps),
        [logit.permute(0, 2, 3, 1).flatten(1) for logit in logits],
        [delta.permute(0, 2, 3, 1).reshape(images, -1, 4) for delta in deltas],
        torch.tensor(stages.sizes).float(),
    )
    for one, expected in zip(found, stages.proposals, strict=True):
        assert len(one.boxes) == len(expected) > 200
        torch.testing.assert_close(one.boxes, expected, rtol=1e-6, atol=1e-4)


def test_roi_features(stages: Stages) -> None:
    """Each from its level; 7 cells a side and 14."""
    heads = stages.theirs.roi_heads
    rois = to_rois(stages.proposals)
    for pool, size in ((heads.box_roi_pool, 7), (heads.mask_roi_pool, 14)):
        expected = pool(stages.features, stages.proposals, stages.sizes)
        found = roi_features(stages.ours.config, stages.maps, rois, size)
        assert_near(found, expected)


def test_the_box_head(stages: Stages) -> None:
    """Logits of all classes; boxes of all but the background."""
    heads = stages.theirs.roi_heads
    features = heads.box_roi_pool(stages.features, stages.proposals, stages.sizes)
    logits, deltas = heads.box_predictor(heads.box_head(features))
    found_logits, found_deltas = stages.ours.box_head(features)
    assert_near(found_logits, logits, atol=1e-4)
    assert_near(found_deltas, deltas.view(len(deltas), -1, 4)[:, 1:])


def test_detections(stages: Stages) -> None:
    """From the same logits and deltas: the same boxes in the same order."""
    heads = stages.theirs.roi_heads
    features = heads.box_roi_pool(stages.features, stages.proposals, stages.sizes)
    logits, deltas = heads.box_predictor(heads.box_head(features))
    found = stages.ours.box_head.detect(
        logits,
        deltas.view(len(deltas), -1, 4)[:, 1:],
        to_rois(stages.proposals),
        image_sizes([torch.zeros(3, *size) for size in stages.sizes]),
    )
    for one, expected in zip(found, stages.detections, strict=True):
        assert len(one) == len(expected["boxes"]) == 40
        assert one.labels.tolist() == expected["labels"].tolist()
        assert_near(one.scores, expected["scores"])
        torch.testing.assert_close(one.boxes, expected["boxes"], rtol=1e-6, atol=1e-4)


def test_the_mask_head(stages: Stages) -> None:
    """From the same features: probabilities of the detected class."""
    heads, head = stages.theirs.roi_heads, stages.ours.mask_head
    boxes = [one["boxes"] for one in stages.detections]
    features = heads.mask_roi_pool(stages.features, boxes, stages.sizes)
    labels = torch.cat([one["labels"] for one in stages.detections])
    found = head.probabilities(head(features, labels), labels)
    expected = torch.cat([one["masks"][:, 0] for one in stages.detections])
    assert_near(found, expected)


def test_masks_in_the_image(stages: Stages) -> None:
    """Boxes brought back to the original's frame, masks pasted there and cut at 1/2."""
    for one, seen, original in zip(
        stages.detections, stages.sizes, ORIGINALS, strict=True
    ):
        (expected,) = stages.theirs.transform.postprocess(
            [dict(one)], [seen], [original]
        )
        boxes = scale_boxes(one["boxes"], seen, original)
        torch.testing.assert_close(boxes, expected["boxes"], rtol=1e-6, atol=1e-4)
        pasted = expected["masks"][:, 0]
        found = paste_masks(one["masks"][:, 0], boxes, original, 0.5, "integer")
        doubtful = (pasted - 0.5).abs() < 1e-5
        assert 0.01 < found.float().mean() < 0.99
        assert ((found == (pasted >= 0.5)) | doubtful).all()


def test_the_keypoint_head(tmp_path: Any) -> None:
    """Maps from the same features; places and logits from the same maps."""
    stages = stages_of("keypoints", tmp_path)
    heads, head = stages.theirs.roi_heads, stages.ours.keypoint_head
    boxes = [one["boxes"] for one in stages.detections]
    features = heads.keypoint_roi_pool(stages.features, boxes, stages.sizes)
    maps = heads.keypoint_predictor(heads.keypoint_head(features))
    assert_near(head(features), maps)
    found = head.detect(maps, torch.cat(boxes))
    places = torch.cat([one["keypoints"] for one in stages.detections])[..., :2]
    logits = torch.cat([one["keypoints_scores"] for one in stages.detections])
    torch.testing.assert_close(found[..., :2], places, rtol=1e-6, atol=1e-4)
    assert_near(found[..., 2], logits, atol=1e-4)
