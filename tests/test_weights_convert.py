"""Published files become ours: the same numbers in our places, or nothing at all.

The files are written by ``published_layouts`` from random models of ours in the
systems' own names and layouts; torchvision itself is compared with in
``test_weights_torchvision``.

Faults tried, and the test that caught each:
- layer and stage off by one, block letters from b -> test_*_comes_back
- lateral for output, deltas for objectness -> the same
- fc1 flattened (H, W, C), background last -> the same
- MSRA's variance 1 rather than 1 - eps -> test_msra_s_resnet_comes_back
- BGR left as it is, std not folded -> test_detectron2_s_pixels
- RGB and BGR swapped in pixel_mean -> test_a_file_s_own_pixel_statistics
- stopping at the first fault -> test_every_fault_is_named
- writing before checking -> the same
- unused tensors let pass -> the same
- a norm without statistics taken for a fault -> test_what_may_be_absent_is_not_missed
- other systems' files tried anyway -> test_the_wrong_system_is_named
"""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_layouts import (
    Published,
    as_tensors,
    random_model,
    to_detectron2,
    to_matterport,
    to_msra,
)
from torch.nn import functional as F

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.inference import Predictor
from maskrcnn_scratch.inference.found import dataset_labels, relabelled
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.models.presets import DETECTRON2, MATTERPORT, preset
from maskrcnn_scratch.models.variations import (
    rpn_alone,
    with_c4,
    with_vgg,
    without_masks,
)
from maskrcnn_scratch.structures import Detections
from maskrcnn_scratch.training.initial_weights import load_initial_weights
from maskrcnn_scratch.weights.coco_classes import (
    COCO_CLASSES,
    COCO_NAMES_BY_ID,
    class_names,
)
from maskrcnn_scratch.weights.convert import convert
from maskrcnn_scratch.weights.fit import Misfit
from maskrcnn_scratch.weights.model_file import build_model, read_model_file

SMALL = {
    "num_classes": 3,
    "stem_width": 4,
    "fpn_channels": 8,
    "box_head_width": 12,
    "mask_head_width": 6,
}
RESNEXT = {
    "depth": 50,
    "stem_width": 8,
    "groups": 2,
    "width_per_group": 32,
    "stride_in_1x1": False,
}
STD = (1.0, 1.0, 1.0)
RESNEXT_STD = (58.395, 57.120, 57.375)


def write_pickle(path: Path, published: Published) -> Path:
    """As detectron2's zoo does."""
    contents = {"model": published, "__author__": "somebody"}
    path.write_bytes(pickle.dumps(contents, 2))
    return path


def assert_same(found: dict[str, torch.Tensor], model: MaskRCNN) -> None:
    """All tensors, but for rounding."""
    torch.testing.assert_close(found, dict(model.state_dict()), rtol=1e-5, atol=1e-5)


C4 = with_c4(DETECTRON2)
KEYPOINTS = replace(preset("detectron2-keypoints"), keypoint_head_width=6)
ALONE = replace(rpn_alone(DETECTRON2), rpn_post_nms_test=2000)
C4_ALONE = replace(rpn_alone(C4), rpn_pre_nms_test=12000, rpn_post_nms_test=2000)
SYNC_BN = {
    "fpn_norm": "bn",
    "head_norm": "bn",
    "box_head_convs": 4,
    "box_head_conv_width": 6,
    "box_head_fcs": 1,
}


@pytest.mark.parametrize(
    ("base", "settings", "std", "title"),
    [
        (DETECTRON2, {"depth": 50}, STD, "Mask R-CNN, ResNet-50 FPN"),
        (DETECTRON2, {"depth": 101}, STD, "Mask R-CNN, ResNet-101 FPN"),
        (DETECTRON2, {"depth": 18}, STD, "Mask R-CNN, ResNet-18 FPN"),
        (DETECTRON2, RESNEXT, RESNEXT_STD, "Mask R-CNN, ResNeXt-50 2x32d FPN"),
        (DETECTRON2, SYNC_BN, STD, "Mask R-CNN, ResNet-50 FPN"),
        (C4, {"depth": 50}, STD, "Mask R-CNN, ResNet-50 C4"),
        (C4, {"depth": 101}, STD, "Mask R-CNN, ResNet-101 C4"),
        (without_masks(C4), {}, STD, "Faster R-CNN, ResNet-50 C4"),
        (without_masks(DETECTRON2), {}, STD, "Faster R-CNN, ResNet-50 FPN"),
        (
            replace(without_masks(DETECTRON2), rpn=False),
            {},
            STD,
            "Fast R-CNN without RPN, ResNet-50 FPN",
        ),
        (KEYPOINTS, {}, STD, "Keypoint R-CNN, ResNet-50 FPN"),
        (
            replace(KEYPOINTS, mask_head="fcn"),
            {},
            STD,
            "Mask R-CNN with keypoints, ResNet-50 FPN",
        ),
        (ALONE, {}, STD, "RPN, ResNet-50 FPN"),
        (C4_ALONE, {}, STD, "RPN, ResNet-50 C4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_detectron2_s_model_comes_back(
    tmp_path: Path,
    base: ModelConfig,
    settings: dict[str, Any],
    std: tuple[float, float, float],
    title: str,
) -> None:
    """Weights, and the config that its own training had."""
    classes = 3 if base.num_classes == 80 and base.box_head != "none" else 0
    config = replace(base, **told_by_a_file(base, SMALL | settings, classes))
    model = random_model(config)
    path = write_pickle(tmp_path / "model.pkl", to_detectron2(model, std))
    plan = convert(path, "detectron2", tmp_path / "ours.safetensors")
    file = read_model_file(tmp_path / "ours.safetensors")
    built = build_model(file)
    assert plan.title == f"detectron2's {title}"
    assert vars(built.config) == vars(config)
    assert_same(file.tensors, model)
    names = {1: ["person"], 3: ["class 1", "class 2", "class 3"], 80: ["object"]}
    assert file.class_names == names[config.num_classes]
    assert file.config["converted"]["from"] == "detectron2"


def told_by_a_file(
    base: ModelConfig, settings: dict[str, Any], classes: int
) -> dict[str, Any]:
    """Without the widths of parts that the model has not."""
    there = {
        "fpn_channels": base.features == "fpn",
        "box_head_width": base.box_head == "fc",
        "mask_head_width": base.mask_head == "fcn",
    }
    told = {name: value for name, value in settings.items() if there.get(name, True)}
    return told | {"num_classes": classes or base.num_classes}


@pytest.mark.parametrize(
    ("settings", "std"), [({"depth": 18}, STD), (RESNEXT, RESNEXT_STD)]
)
def test_detectron2_s_pixels(
    tmp_path: Path, settings: dict[str, int], std: tuple[float, float, float]
) -> None:
    """Its stem on BGR in 0..255 less the mean, over the std; ours on the image."""
    model = random_model(replace(DETECTRON2, **{**SMALL, **settings}))
    published = to_detectron2(model, std)
    published["backbone.bottom_up.stem.conv1.weight"] = (
        np.random.default_rng(1)
        .normal(size=published["backbone.bottom_up.stem.conv1.weight"].shape)
        .astype(np.float32)
    )
    path = write_pickle(tmp_path / "model.pkl", published)
    convert(path, "detectron2", tmp_path / "ours.safetensors")
    ours = build_model(read_model_file(tmp_path / "ours.safetensors"))
    image = torch.rand(3, 32, 64)
    mean = torch.tensor([103.530, 116.280, 123.675]).view(3, 1, 1)
    its_std = torch.tensor(std[::-1]).view(3, 1, 1)
    seen = (255 * image.flip(0) - mean) / its_std
    weight = torch.from_numpy(published["backbone.bottom_up.stem.conv1.weight"])
    expected = F.conv2d(seen[None], weight, stride=2, padding=3)
    found = ours.backbone.conv1(ours.batch([image]))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_a_file_s_own_pixel_statistics(tmp_path: Path) -> None:
    """Blue first, as the stem reads them; without them the published ones hold."""
    model = random_model(replace(DETECTRON2, **SMALL, depth=18))
    published = to_detectron2(model, (3.0, 2.0, 1.0))
    published["pixel_mean"] = np.float32([51, 102, 204]).reshape(3, 1, 1)
    published["pixel_std"] = np.float32([1, 2, 3]).reshape(3, 1, 1)
    published["proposal_generator.anchor_generator.cell_anchors.0"] = np.zeros((3, 4))
    path = write_pickle(tmp_path / "model.pkl", published)
    plan = convert(path, "detectron2", tmp_path / "ours.safetensors")
    assert plan.config.pixel_mean == pytest.approx((0.8, 0.4, 0.2))
    assert_same(read_model_file(tmp_path / "ours.safetensors").tensors, model)


@pytest.mark.parametrize("depth", [50, 101])
def test_matterport_s_model_comes_back(
    tmp_path: Path, rng: np.random.Generator, depth: int
) -> None:
    h5py = pytest.importorskip("h5py", reason="pip install 'maskrcnn-scratch[h5]'")
    config = replace(MATTERPORT, **SMALL, depth=depth, rpn_width=10)
    model = random_model(config)
    with h5py.File(tmp_path / "model.h5", "w") as file:
        for name, array in to_matterport(model, rng).items():
            layer = name.split("/")[0]
            group = "rpn_model" if layer.startswith("rpn") else layer
            file[f"{group}/{name}:0"] = array.astype(np.float32)
    out = tmp_path / "ours.safetensors"
    plan = convert(tmp_path / "model.h5", "matterport", out)
    file = read_model_file(out)
    assert build_model(file).config == config
    torch.testing.assert_close(
        file.tensors, dict(model.state_dict()), rtol=1e-4, atol=1e-4
    )
    assert plan.title == f"matterport's Mask R-CNN, ResNet-{depth} FPN"
    assert any("not equal" in note for note in plan.notes)


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("biased_stem", [True, False])
@pytest.mark.parametrize(
    "settings", [{"depth": 50}, RESNEXT], ids=["resnet", "resnext"]
)
def test_msra_s_resnet_comes_back(
    tmp_path: Path, settings: dict[str, int], biased_stem: bool, statistics: bool
) -> None:
    """As a backbone that a training starts from, which computes the same."""
    config = ModelConfig(**{**SMALL, **settings})
    model = random_model(config)
    published = to_msra(model, biased_stem, statistics)
    if "groups" in settings:
        per_channel = np.float32(RESNEXT_STD[::-1])[:, None, None]
        published["conv1_w"] = published["conv1_w"] * per_channel
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps(published, 2))
    plan = convert(path, "imagenet", tmp_path / "r50.safetensors")
    assert plan.backbone_only
    assert plan.config.stride_in_1x1 == config.stride_in_1x1
    start = MaskRCNN(config).eval()
    report = load_initial_weights(start, tmp_path / "r50.safetensors")
    assert (report.missing, report.unused, report.misshapen) == ([], [], [])
    assert report.differing == []
    image = model.batch([torch.rand(3, 64, 64)])
    for ours, expected in zip(
        start.backbone(image), model.backbone(image), strict=True
    ):
        assert expected.std() > 0
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)


def test_vgg_16_comes_back(tmp_path: Path) -> None:
    """As a backbone; its classifier is left out, and other depths are refused."""
    small = {"stem_width": 2, "box_head_width": 4, "mask_head": "none"}
    model = random_model(replace(with_vgg(ModelConfig()), **small))
    state = dict(model.backbone.state_dict())
    torch.save(state | {"classifier.0.weight": torch.ones(1)}, tmp_path / "vgg.pth")
    plan = convert(tmp_path / "vgg.pth", "imagenet", tmp_path / "vgg.safetensors")
    assert plan.title == "torchvision's VGG-16 for ImageNet"
    assert plan.config == replace(with_vgg(ModelConfig()), stem_width=2)
    start = MaskRCNN(model.config)
    report = load_initial_weights(start, tmp_path / "vgg.safetensors")
    assert (report.missing, report.unused, report.misshapen) == ([], [], [])
    assert report.differing == []
    found = start.backbone.state_dict()
    torch.testing.assert_close(dict(found), state, rtol=0, atol=0)
    last = state.pop("features.28.weight")
    torch.save(state, tmp_path / "vgg.pth")
    with pytest.raises(Misfit, match=r"missing \(1\):\n    features\.28\.weight"):
        convert(tmp_path / "vgg.pth", "imagenet", tmp_path / "vgg.safetensors")
    torch.save(state | {"features.15.weight": last}, tmp_path / "vgg13.pth")
    with pytest.raises(
        ValueError, match=r"a VGG network with weights in layers \[0, 2"
    ):
        convert(tmp_path / "vgg13.pth", "imagenet", tmp_path / "vgg13.safetensors")


def test_what_may_be_absent_is_not_missed(tmp_path: Path) -> None:
    """Scale and shift are enough for a norm: its lack of a mean is no fault."""
    published = to_msra(random_model(ModelConfig(**SMALL)), False, False)
    del published["res2_0_branch2a_bn_s"]
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps(published, 2))
    with pytest.raises(Misfit) as caught:
        convert(tmp_path / "R-50.pkl", "imagenet", tmp_path / "ours.safetensors")
    assert str(caught.value).splitlines()[1:] == [
        "  missing (3):",
        *(
            f"    res2_0_branch2a_bn_s (our backbone.layer1.0.bn1.{name})"
            for name in ("weight", "running_mean", "running_var")
        ),
    ]


def test_a_backbone_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To one who would predict with it, and to one whose model sees otherwise."""
    published = to_msra(random_model(ModelConfig(**SMALL)), False, False)
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps(published, 2))
    out = tmp_path / "r50.safetensors"
    words = ["weights", "convert", str(tmp_path / "R-50.pkl"), "--from", "imagenet"]
    assert main([*words, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"MSRA's ResNet-50 for ImageNet, backbone: written to {out}" in said
    assert "stride is on its 1x1" in said
    with pytest.raises(ValueError, match="a backbone alone: start a training from it"):
        Predictor.load(out)
    changes = {"stride_in_1x1": False, "stem_pool": "end", "norm_eps": 0.0}
    other = MaskRCNN(ModelConfig(**SMALL, **changes))
    report = load_initial_weights(other, out)
    assert report.text().splitlines()[1:] == [
        "  made for another model: stride_in_1x1 is True there and False here",
        "  made for another model: stem_pool is centred there and end here",
        "  made for another model: norm_eps is 1e-05 there and 0.0 here",
    ]


def small_detectron2() -> Published:
    model = random_model(replace(DETECTRON2, **SMALL, depth=18))
    return to_detectron2(model, STD)


def test_every_fault_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one message, grouped; and nothing is written."""
    published = small_detectron2()
    del published["backbone.fpn_lateral3.weight"]
    del published["backbone.bottom_up.res5.1.conv2.norm.running_var"]
    published["roi_heads.mask_head.mask_fcn2.weight"] = np.zeros((6, 6, 3))
    published["roi_heads.box_predictor.cls_score.weight"] = np.zeros((4, 13))
    published["roi_heads.extra.weight"] = np.zeros((2, 1))
    path = write_pickle(tmp_path / "model.pkl", published)
    out = tmp_path / "new" / "ours.safetensors"
    words = ["weights", "convert", str(path), "--from", "detectron2", "--out", str(out)]
    assert main(words) == 1
    expected = f"""error: {path}: the file does not fit detectron2's Mask R-CNN, \
ResNet-18 FPN with 3 classes:
  missing (2):
    backbone.bottom_up.res5.1.conv2.norm.running_var (our \
backbone.layer4.1.bn2.running_var)
    backbone.fpn_lateral3.weight (our fpn.lateral.1.weight)
  in the file and not used (1):
    roi_heads.extra.weight [2, 1]
  of another shape than expected (2):
    roi_heads.box_predictor.cls_score.weight (our box_head.class_logits.weight): \
[4, 13] gives [4, 13], expected [4, 12]
    roi_heads.mask_head.mask_fcn2.weight (our mask_head.net.convs.1.weight): \
[6, 6, 3], expected [6, 6, 3, 3]
"""
    assert capsys.readouterr().err == expected
    assert [found.name for found in tmp_path.iterdir()] == ["model.pkl"]


def test_tensors_that_share_their_numbers(tmp_path: Path) -> None:
    """As tied or sliced parameters do; in our file each has its own."""
    state = as_tensors(small_detectron2())
    shared = "backbone.bottom_up.res2.{}.conv2.weight"
    state[shared.format(1)] = state[shared.format(0)]
    torch.save(state, tmp_path / "model.pth")
    convert(tmp_path / "model.pth", "detectron2", tmp_path / "ours.safetensors")
    tensors = read_model_file(tmp_path / "ours.safetensors").tensors
    first, second = (tensors[f"backbone.layer1.{n}.conv2.weight"] for n in (0, 1))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_too_few_axes_are_a_wrong_shape(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Also where the layout cannot even be changed."""
    model = random_model(replace(MATTERPORT, **SMALL, depth=50))
    published = to_matterport(model, rng)
    published["fpn_c2p2/kernel"] = np.zeros((3, 4))
    published["rpn_bbox_pred/bias"] = np.zeros(5)
    path = write_pickle(tmp_path / "model.pkl", published)
    with pytest.raises(Misfit) as caught:
        convert(path, "matterport", tmp_path / "ours.safetensors")
    lines = str(caught.value).splitlines()
    assert lines[1:] == [
        "  of another shape than expected (2):",
        "    fpn_c2p2/kernel (our fpn.lateral.0.weight): [3, 4], from which"
        " [8, 16, 1, 1] cannot be made",
        "    rpn_bbox_pred/bias (our rpn.deltas.bias): [5], from which [12] cannot"
        " be made",
    ]


NAMES = {
    "torchvision": ["backbone.body.conv1.weight", "roi_heads.mask_predictor.x"],
    "detectron2": ["backbone.bottom_up.stem.conv1.weight", "roi_heads.mask_head.x"],
    "imagenet": ["layer1.0.conv1.weight", "features.0.weight"],
    "maskrcnn_scratch": ["backbone.layer1.0.conv1.weight"],
    "nobody": ["encoder.weight"],
}


@pytest.mark.parametrize(
    ("names", "system", "message"),
    [
        ("torchvision", "detectron2", "but of torchvision: --from torchvision"),
        ("detectron2", "imagenet", "but of detectron2: --from detectron2"),
        ("imagenet", "torchvision", "but of imagenet: --from imagenet"),
        ("maskrcnn_scratch", "imagenet", "but ours: there is nothing to convert"),
        (
            "nobody",
            "matterport",
            r"\(encoder.weight, ...\) are not those of matterport$",
        ),
    ],
)
def test_the_wrong_system_is_named(
    tmp_path: Path, names: str, system: str, message: str
) -> None:
    path = tmp_path / "model.pth"
    torch.save({name: torch.ones(1) for name in NAMES[names]}, path)
    with pytest.raises(ValueError, match=message):
        convert(path, system, tmp_path / "ours.safetensors")


@pytest.mark.parametrize(
    ("system", "name", "what"),
    [
        ("torchvision", "backbone.body.0.0.weight", "a MobileNet"),
        ("torchvision", "head.classification_head.x", "a single stage"),
        ("detectron2", "backbone.res5.0.conv1.weight", r"res5 .*\(DC5\)"),
        ("detectron2", "backbone.fpn_lateral2.norm.weight", "group norms"),
        ("detectron2", "roi_heads.box_head.0.fc1.weight", "a cascade"),
        ("detectron2", "sem_seg_head.predictor.weight", "semantic segmentation"),
        ("detectron2", "backbone.x.conv2_offset.weight", "deformable"),
        ("imagenet", "features.1.running_mean", "batch norms in a VGG"),
    ],
)
def test_what_ours_cannot_hold_is_refused_by_name(
    tmp_path: Path, system: str, name: str, what: str
) -> None:
    path = tmp_path / "model.pth"
    torch.save({n: torch.ones(1) for n in [*NAMES[system], name]}, path)
    with pytest.raises(ValueError, match=rf"this {system} model has .*{what}"):
        convert(path, system, tmp_path / "ours.safetensors")


def test_other_depths_are_refused(tmp_path: Path) -> None:
    published = small_detectron2()
    deep = "backbone.bottom_up.res4.{}.conv1.weight"
    more = {deep.format(block): np.zeros(1) for block in range(2, 36)}
    path = write_pickle(tmp_path / "model.pkl", published | more)
    with pytest.raises(
        ValueError, match=r"a ResNet with \(2, 2, 36, 2\) blocks of two"
    ):
        convert(path, "detectron2", tmp_path / "ours.safetensors")


def test_names_and_settings_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A converted file predicts under the names given."""
    path, out = tmp_path / "model.pth", tmp_path / "ours.safetensors"
    torch.save({"model": as_tensors(small_detectron2()), "iteration": 9}, path)
    words = ["weights", "convert", str(path), "--from", "detectron2", "--out", str(out)]
    assert main([*words, "--classes", "cat, dog"]) == 1
    assert "2 class names were given; the file has 3" in capsys.readouterr().err
    assert main([*words, "--norm-eps", "0"]) == 1
    assert "--norm-eps is for torchvision" in capsys.readouterr().err
    assert main([*words[:-1], "ours.bin"]) == 1
    assert "ends with .safetensors" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, "--classes", "cat, dog,hen"]) == 0
    said = capsys.readouterr().out
    assert "detectron2's Mask R-CNN, ResNet-18 FPN, 3 classes: written to" in said
    assert "- images are taken to be BGR" in said
    predictor = Predictor.load(out)
    assert predictor.class_names == ["cat", "dog", "hen"]
    config = predictor.model.config
    assert (config.image_short, config.image_long) == (800, 1333)
    header = read_model_file(out).config
    assert json.loads(json.dumps(header)) == header


def test_labels_that_no_class_has_are_left_out() -> None:
    """torchvision's label 13 is COCO's twelfth class; 12 is none."""
    labels = dataset_labels(COCO_NAMES_BY_ID, COCO_CLASSES)
    found = Detections(
        boxes=torch.arange(12.0).view(3, 4),
        scores=torch.tensor([0.9, 0.8, 0.7]),
        labels=torch.tensor([13, 12, 1]),
    )
    ours = relabelled(found, labels)
    assert ours.labels.tolist() == [12, 1]
    assert ours.scores.tolist() == found.scores[[0, 2]].tolist()
    assert ours.boxes.tolist() == found.boxes[[0, 2]].tolist()
    assert ours.masks is None
    assert labels[90] == 80
    assert dataset_labels(["cat", "dog"], ["cat", "dog"]).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="the model knows the classes cat, dog; the"):
        dataset_labels(["cat", "no class 2", "dog"], ["dog", "cat"])


def test_coco_s_names() -> None:
    assert len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80
    assert len(COCO_NAMES_BY_ID) == len(set(COCO_NAMES_BY_ID)) == 90
    by_id = dict(enumerate(COCO_NAMES_BY_ID, start=1))
    known = {1: "person", 11: "fire hydrant", 13: "stop sign", 27: "backpack"}
    known |= {44: "bottle", 67: "dining table", 70: "toilet", 90: "toothbrush"}
    assert {id: by_id[id] for id in known} == known
    assert by_id[12] == "no class 12"
    assert [n for n in COCO_NAMES_BY_ID if not n.startswith("no class")] == COCO_CLASSES
    assert class_names(80) == COCO_CLASSES
    assert class_names(90) == COCO_NAMES_BY_ID
    assert class_names(2) == ["class 1", "class 2"]
