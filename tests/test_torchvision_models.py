"""torchvision's models and ours, from an image of any size to what is found in it.

The same detections in the same order: boxes and scores to 1e-4, masks to 1e-3. Ours are
converted by the command from state dicts of torchvision's models with random weights,
most of them narrow behind the backbone.
``test_torchvision_stages`` says in which stage a difference begins.

Faults tried, and the test that caught each:
- boxes scaled back by one ratio for both sides -> test_the_same_is_found
- keypoints not scaled back -> the same
- v2's linear layer one number further, its norms' eps 0 -> test_the_full_models_fit
- keypoint layers numbered without their ReLUs -> the same
- rows for the background not added, added behind -> test_the_way_back, _there_and_back
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision_models import (
    converted,
    picture,
    predictor_of,
    randomise,
    small_converted,
    small_model,
    their_detections,
    torchvision,
)

from maskrcnn_scratch.inference import Predictor
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.models.presets import preset
from maskrcnn_scratch.structures import Detections
from maskrcnn_scratch.weights import from_torchvision
from maskrcnn_scratch.weights.convert import converted as filled
from maskrcnn_scratch.weights.convert import shapes_of
from maskrcnn_scratch.weights.published_file import PublishedFile
from maskrcnn_scratch.weights.torchvision_names import to_torchvision

SIZES = [(97, 130), (160, 200), (300, 419), (500, 211)]
"""One grows, one stays, two shrink; padded, none is a multiple of 64."""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("resnet50", "mask"),
        ("resnet50", "mask-v2"),
        ("resnet50", "keypoints"),
        ("resnet50", "boxes"),
        ("resnet18", "boxes-v2"),
        ("resnet101", "mask"),
        ("resnext50_32x4d", "mask"),
        ("resnet18", "mask"),
    ],
)
def test_the_same_is_found(tmp_path: Path, name: str, kind: str) -> None:
    """From the image to boxes, scores, masks and keypoints in its own frame."""
    theirs = small_model(name, kind)
    predictor = predictor_of(small_converted(theirs, tmp_path))
    for seed, size in enumerate(SIZES):
        found, expected = both(predictor, theirs, picture(size, seed))
        family = kind.partition("-")[0]
        assert (found.masks is None) == (family != "mask")
        assert (found.keypoints is None) == (family != "keypoints")
        assert_same(found, expected)


@pytest.mark.parametrize(
    "name",
    [
        "maskrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn_v2",
        "keypointrcnn_resnet50_fpn",
        "fasterrcnn_resnet50_fpn",
    ],
)
def test_the_full_models_find_the_same(tmp_path: Path, name: str) -> None:
    """As torchvision makes them, with fewer proposals and detections, to be quick."""
    few = {"box_detections_per_img": 20, "rpn_post_nms_top_n_test": 150}
    theirs = full_model(name, "cpu", min_size=320, max_size=480, **few).eval()
    randomise(theirs)
    ours = converted(
        theirs.state_dict(),
        tmp_path,
        image_short=320,
        image_long=480,
        max_detections=20,
        rpn_post_nms_test=150,
    )
    assert_same(*both(predictor_of(ours), theirs, picture((427, 640), 0)))


def both(
    predictor: Predictor, theirs: Any, image: Tensor
) -> tuple[Detections, dict[str, Tensor]]:
    """Ours and theirs."""
    (expected,) = their_detections(theirs, [image])
    return predictor(image), expected


def assert_same(found: Detections, expected: dict[str, Tensor]) -> None:
    """The same objects in the same order."""
    assert len(found) == len(expected["boxes"]) >= 20
    assert found.labels.tolist() == expected["labels"].tolist()
    assert_near(found.scores, expected["scores"])
    # In pixels; that far from 0 float32 itself is no finer than 3e-5.
    assert_near(found.boxes, expected["boxes"], rtol=1e-6)
    if found.masks is not None:
        assert_same_masks(found, expected)
    if found.keypoints is not None:
        assert_same_keypoints(found, expected)


def assert_near(
    found: Tensor, expected: Tensor, atol: float = 1e-4, rtol: float = 0
) -> None:
    """Numbers in the same places."""
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


def assert_same_masks(found: Detections, expected: dict[str, Tensor]) -> None:
    """28 x 28 maps, and what is pasted from them; a pixel that is at 1/2 may differ."""
    assert found.mask_probabilities is not None
    assert found.masks is not None
    assert expected["maps"].std() > 0.05
    assert_near(found.mask_probabilities, expected["maps"], atol=1e-3)
    pasted = expected["masks"][:, 0]
    doubtful = (pasted - 0.5).abs() < 1e-3
    assert doubtful.float().mean() < 0.01
    assert ((found.masks == (pasted >= 0.5)) | doubtful).all()


def assert_same_keypoints(found: Detections, expected: dict[str, Tensor]) -> None:
    """Places and logits."""
    assert found.keypoints is not None
    assert_near(found.keypoints[..., 2], expected["keypoints_scores"], atol=1e-3)
    places = expected["keypoints"][..., :2]
    assert_near(found.keypoints[..., :2], places, atol=1e-3, rtol=1e-6)


def test_some_images_at_once(tmp_path: Path) -> None:
    """Of different sizes, so that both are padded."""
    theirs = small_model("resnet18", "mask")
    ours = small_converted(theirs, tmp_path)
    images = [picture((160, 211), 1), picture((205, 160), 2)]
    with torch.no_grad():
        found = ours(images)
    for one, expected in zip(found, their_detections(theirs, images), strict=True):
        assert len(one) == len(expected["boxes"]) >= 20
        assert one.labels.tolist() == expected["labels"].tolist()
        assert_near(one.scores, expected["scores"])
        assert_near(one.boxes, expected["boxes"], rtol=1e-6)
        assert_near(one.mask_probabilities, expected["maps"], atol=1e-3)


FULL = {
    "maskrcnn_resnet50_fpn": ("torchvision", {"norm": "bn"}),
    "maskrcnn_resnet50_fpn_v2": ("torchvision-v2", {}),
    "keypointrcnn_resnet50_fpn": ("torchvision-keypoints", {"norm": "bn"}),
    "fasterrcnn_resnet50_fpn": ("torchvision-boxes", {"norm": "bn"}),
    "fasterrcnn_resnet50_fpn_v2": ("torchvision-v2", {"mask_head": "none"}),
}
"""Each with its preset, and what differs from it: norms are frozen where the backbone's
weights are given, and here none are."""


def full_model(name: str, device: str = "meta", **options: Any) -> Any:
    """By torchvision's own constructor; by default without numbers."""
    torch.manual_seed(0)
    with torch.device(device):
        make = getattr(torchvision.models.detection, name)
        return make(weights=None, weights_backbone=None, **options)


@pytest.mark.parametrize("name", FULL)
def test_the_full_models_fit(name: str) -> None:
    """Every name and shape; parameters but those of the background; the preset."""
    theirs = full_model(name)
    state = theirs.state_dict()
    plan = from_torchvision.plan(state)
    ours = filled(PublishedFile(Path(name), "", state, []), plan)
    assert {n: tuple(t.shape) for n, t in ours.items()} == shapes_of(plan.config)
    start, changes = FULL[name]
    assert vars(plan.config) == vars(preset(start)) | changes
    with torch.device("meta"):
        count = sum(p.numel() for p in MaskRCNN(plan.config).parameters())
    background = 4 * (plan.config.box_head_width + 1)
    if plan.config.mask_head == "fcn":
        background += plan.config.mask_head_width + 1
    assert count + background == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize("name", FULL)
def test_the_way_back(name: str) -> None:
    """torchvision's names for ours are those of its own model, tensor by tensor."""
    state = full_model(name).state_dict()
    config = from_torchvision.plan(state).config
    with torch.device("meta"):
        back = to_torchvision(MaskRCNN(config).state_dict(), config)
    assert {n: tuple(t.shape) for n, t in back.items()} == {
        n: tuple(t.shape) for n, t in state.items()
    }


def test_there_and_back(tmp_path: Path) -> None:
    """The same numbers, but for the background's, which nobody reads."""
    theirs = small_model("resnet18", "mask-v2")
    ours = small_converted(theirs, tmp_path)
    assert isinstance(ours.config, ModelConfig)
    back = to_torchvision(ours.state_dict(), ours.config)
    state = theirs.state_dict()
    for name, rows in (("box_predictor.bbox_pred", 4), ("mask_predictor.mask_fcn", 1)):
        for tensor in (t for n, t in state.items() if f"roi_heads.{name}" in n):
            tensor[:rows] = 0
    torch.testing.assert_close(back, dict(state), rtol=0, atol=0)
