"""Presets: as the published systems have it, compared completely, and read from TOML.

torchvision's values are read from its own objects where it is installed (pip install
torchvision); detectron2's and matterport's are listed under their own names.

Faults tried -> the tests that caught them:

- detectron2 with 2000 proposals in training, matterport's ratios the other way round:
  published settings
- matterport's RPN with 256 channels: its number of parameters
- C4 with 512 RoIs: the paper's rows
- a backbone that leaves ResNeXt's groups behind: backbones by name
- a docstring taken for the next field's: every field has a meaning of its own source
- a field left out of the comparison: differences are complete and symmetric
- the preset over the file's own keys: keys of a file override its preset
- one digit of a number printed: values that differ look different
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import tomllib
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.commands.anatomy import Backbone, in_words
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.models.differences import differences, meanings
from maskrcnn_scratch.models.presets import (
    DETECTRON2,
    MATTERPORT,
    NAMED,
    PAPER,
    PAPER_ROWS,
    PRESETS,
    TORCHVISION,
    TORCHVISION_V2,
    VARIANTS,
    preset,
)
from maskrcnn_scratch.models.variations import (
    BACKBONES,
    rpn_alone,
    with_backbone,
    with_c4,
    with_c5,
    with_keypoints,
)
from maskrcnn_scratch.training.config import ConfigError, config_to_toml, load_config

FIELDS = [field.name for field in fields(ModelConfig)]
names = st.sampled_from(sorted(NAMED))

needs_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None,
    reason="torchvision is not installed (pip install torchvision)",
)


def parameters(config: ModelConfig) -> int:
    """How many numbers are trained or could be."""
    with torch.device("meta"):
        return sum(p.numel() for p in MaskRCNN(config).parameters())


def background_rows(config: ModelConfig) -> int:
    """Outputs for the background that others have and ours have not, with biases."""
    boxes = 4 * (config.box_head_width + 1)
    masks = config.mask_head_width + 1 if config.mask_head != "none" else 0
    return boxes + masks


def test_the_five() -> None:
    assert list(PRESETS) == [
        "paper",
        "torchvision",
        "torchvision-v2",
        "detectron2",
        "matterport",
    ]
    assert PRESETS["paper"] == ModelConfig()
    with pytest.raises(FrozenInstanceError):
        PRESETS["paper"].depth = 101  # type: ignore[misc]


@pytest.mark.parametrize(
    ("config", "published"),
    [
        (TORCHVISION, 44_401_393),
        (with_backbone(TORCHVISION, "resnet101"), 63_341_297),
        (with_backbone(TORCHVISION, "resnext50-32x4d"), 43_858_161),
        (with_backbone(TORCHVISION, "resnext101-32x8d"), 107_485_937),
        (with_backbone(TORCHVISION, "resnext101-64x4d"), 102_149_873),
        (with_backbone(TORCHVISION, "resnet18"), 31_376_113),
        (TORCHVISION_V2, 46_359_409),
        (VARIANTS["torchvision-keypoints"], 59_137_258),
        (VARIANTS["torchvision-boxes"], 41_755_286),
    ],
)
def test_torchvision_s_numbers_of_parameters(
    config: ModelConfig, published: int
) -> None:
    assert parameters(config) == published - background_rows(config)


def test_matterport_s_number_of_parameters() -> None:
    """Keras's summary counts 64,158,584 for COCO, of which 111,488 are statistics.

    A convolution of its backbone has a bias too, and every norm has four numbers a
    channel; the heads' norms, which are part of the convolutions here, are two of 1024
    and four of 256 channels.
    """
    with torch.device("meta"):
        backbone = MaskRCNN(MATTERPORT).backbone
    means = (t for name, t in backbone.named_buffers() if name.endswith("mean"))
    channels, heads = sum(map(len, means)), 2 * 1024 + 4 * 256
    assert 2 * (channels + heads) == 111_488
    norms = 4 * (channels + heads)
    total = parameters(MATTERPORT) + norms + channels + background_rows(MATTERPORT)
    assert total == 64_158_584


@pytest.mark.parametrize("name", NAMED)
def test_every_preset_is_a_model_in_a_file_and_back(name: str, tmp_path: Path) -> None:
    config = preset(name)
    assert parameters(config) > 0
    path = tmp_path / "run.toml"
    path.write_text(f'[model]\npreset = "{name}"\n')
    run = load_config(path)
    assert run.model == config
    text = config_to_toml(run)
    path.write_text(text)
    assert load_config(path) == run
    # All fields are written, but for one that is none, and no preset any more.
    written = tomllib.loads(text)["model"]
    assert set(FIELDS) - written.keys() <= {"rpn_width"}
    assert "preset" not in written


def test_keys_of_a_file_override_its_preset(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[model]\ndepth = 101\npreset = "detectron2"\nnum_classes = 3\n')
    assert load_config(path).model == replace(DETECTRON2, depth=101, num_classes=3)
    changed = load_config(path, ["model.preset=matterport", "model.nms_iou=0.4"])
    assert changed.model == replace(MATTERPORT, num_classes=3, nms_iou=0.4)


def test_an_unknown_preset_is_refused_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[model]\npreset = "detektron"\n')
    message = "no preset 'detektron'; the nearest is 'detectron2'"
    with pytest.raises(ConfigError, match=f"run.toml: model.preset: {message}"):
        load_config(path)
    with pytest.raises(ConfigError, match=r"unknown setting model\.prest; .*preset"):
        load_config("shapes-tiny", ["model.prest=paper"])
    with pytest.raises(ConfigError, match=r"model: box_head res5 is the last stage"):
        load_config(path, ["model.preset=paper", "model.box_head=res5"])
    for words in (["--preset", "detektron"], ["--compare", "paper", "detektron"]):
        assert main(["anatomy", *words]) == 1
        assert capsys.readouterr().err == f"error: {message}\n"


def test_backbones_by_name() -> None:
    assert {str(backbone.value) for backbone in Backbone} == BACKBONES.keys()
    with pytest.raises(ValueError, match=r"no backbone 'resnet5'; .* 'resnet50'"):
        with_backbone(PAPER, "resnet5")
    # From any backbone to any other nothing of the first is left but the stride.
    for start in BACKBONES:
        for name in BACKBONES:
            config = with_backbone(with_backbone(PAPER, start), name)
            direct = with_backbone(PAPER, name)
            assert replace(config, stride_in_1x1=direct.stride_in_1x1) == direct


def test_the_paper_s_rows() -> None:
    """Section 3.1: what is different with C4, and what the tables vary."""
    c4 = preset("r50-c4")
    assert (c4.roi_samples, c4.rpn_post_nms_test) == (64, 300)
    assert len(c4.anchor_sizes) * len(c4.anchor_ratios) == 15
    assert c4.strides == (16,)
    assert (c4.box_pool // c4.res5_stride, c4.mask_size) == (7, 14)
    assert (PAPER.roi_samples, PAPER.rpn_post_nms_test, PAPER.mask_size) == (
        512,
        1000,
        28,
    )
    changed = {
        name: [one.field for one in differences(c4, preset(f"r50-c4-{name}"))]
        for name in ("softmax", "agnostic", "pool", "warp-mean", "align-max")
    }
    assert changed == {
        "softmax": ["mask_loss"],
        "agnostic": ["mask_class_agnostic"],
        "pool": ["roi_layer", "roi_reduce"],
        "warp-mean": ["roi_layer"],
        "align-max": ["roi_reduce"],
    }
    assert preset("r50-c5").strides == (32,)
    configs = [config for name, config in PAPER_ROWS.items() if name != "r50-fpn"]
    assert all(config != PAPER for config in configs)
    assert all(a != b for n, a in enumerate(configs) for b in configs[:n])


def test_vgg_is_faster_r_cnn_s() -> None:
    """Its classifier's two layers and RPN of 512 channels (Ren et al. 2015)."""
    config = preset("vgg16-c4-boxes")
    assert len(config.anchor_sizes) * len(config.anchor_ratios) == 9
    with torch.device("meta"):
        state = MaskRCNN(config).state_dict()
    assert state["box_head.body.fcs.0.weight"].shape == (4096, 512 * 7 * 7)
    assert state["box_head.body.fcs.1.weight"].shape == (4096, 4096)
    assert state["rpn.convs.0.weight"].shape == (512, 512, 3, 3)


@given(names, names)
def test_differences_are_complete_and_symmetric(first: str, second: str) -> None:
    a, b = preset(first), preset(second)
    found = differences(a, b)
    unequal = [name for name in FIELDS if getattr(a, name) != getattr(b, name)]
    assert [one.field for one in found] == unequal
    assert replace(a, **{one.field: one.second for one in found}) == b
    swapped = [(one.field, one.second, one.first) for one in differences(b, a)]
    assert swapped == [(one.field, one.first, one.second) for one in found]
    assert (found == []) == (a == b)


def test_every_field_has_a_meaning_of_its_own_source() -> None:
    said = meanings()
    assert list(said) == FIELDS
    source = Path(inspect.getfile(ModelConfig)).read_text("utf-8")
    text = " ".join(source.replace("``", "").split())
    for name, meaning in said.items():
        assert meaning.endswith("."), name
        # The docstring behind the field's own line, before any other field's.
        _, _, rest = text.partition(f" {name}: ")
        assert rest.partition('"""')[2].startswith(f'{meaning}"""'), name


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("torchvision", "detectron2"),
        ("detectron2", "torchvision"),
        ("matterport", "torchvision-v2"),
        ("paper", "r50-c4"),
    ],
)
def test_the_table_has_every_difference_and_nothing_else(
    first: str,
    second: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # a line a row
    assert main(["anatomy", "--compare", first, second]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    header, rule, *rows = [re.split(r"\s{2,}", line.strip()) for line in lines]
    assert header == ["field", first, second]
    assert set("".join(rule)) == {"\N{BOX DRAWINGS LIGHT HORIZONTAL}"}
    assert rows == [
        [one.field, in_words(one.first), in_words(one.second), one.meaning]
        for one in differences(preset(first), preset(second))
    ]


@given(names, names)
def test_values_that_differ_look_different(first: str, second: str) -> None:
    for one in differences(preset(first), preset(second)):
        assert in_words(one.first) != in_words(one.second)


def test_equal_presets_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["anatomy", "--compare", "paper", "r50-fpn"]) == 0
    out = capsys.readouterr().out
    assert out == "paper and r50-fpn are equal in every field\n"


# Under the names of detectron2's config: its defaults, and Base-RCNN-FPN.
DETECTRON2_SAYS: dict[str, Any] = {
    "MODEL.ROI_HEADS.NUM_CLASSES": (80, DETECTRON2.num_classes),
    "INPUT.MIN_SIZE_TEST": (800, DETECTRON2.image_short),
    "INPUT.MAX_SIZE_TEST": (1333, DETECTRON2.image_long),
    "MODEL.RESNETS.DEPTH": (50, DETECTRON2.depth),
    "MODEL.RESNETS.STRIDE_IN_1X1": (True, DETECTRON2.stride_in_1x1),
    "MODEL.RESNETS.NORM": ("frozenbn", DETECTRON2.norm.replace("_", "")),
    "MODEL.BACKBONE.FREEZE_AT": (2, DETECTRON2.frozen_stages),
    "MODEL.FPN.OUT_CHANNELS": (256, DETECTRON2.fpn_channels),
    "MODEL.ANCHOR_GENERATOR.SIZES": ((32, 64, 128, 256, 512), DETECTRON2.anchor_sizes),
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": ((0.5, 1, 2), DETECTRON2.anchor_ratios),
    "MODEL.PROPOSAL_GENERATOR.MIN_SIZE": (0, DETECTRON2.rpn_min_size),
    "MODEL.RPN.IOU_THRESHOLDS": (
        (0.3, 0.7),
        (DETECTRON2.rpn_negative_iou, DETECTRON2.rpn_positive_iou),
    ),
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": (256, DETECTRON2.rpn_samples),
    "MODEL.RPN.POSITIVE_FRACTION": (0.5, DETECTRON2.rpn_positive_fraction),
    "MODEL.RPN.BBOX_REG_WEIGHTS": ((1, 1, 1, 1), DETECTRON2.rpn_box_weights),
    "MODEL.RPN.SMOOTH_L1_BETA": (0, DETECTRON2.rpn_box_beta),
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": (2000, DETECTRON2.rpn_pre_nms_train),
    "MODEL.RPN.PRE_NMS_TOPK_TEST": (1000, DETECTRON2.rpn_pre_nms_test),
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": (1000, DETECTRON2.rpn_post_nms_train),
    "MODEL.RPN.POST_NMS_TOPK_TEST": (1000, DETECTRON2.rpn_post_nms_test),
    "MODEL.RPN.NMS_THRESH": (0.7, DETECTRON2.rpn_nms_iou),
    "MODEL.RPN.CONV_DIMS": ([-1], [DETECTRON2.rpn_width or -1]),
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": (512, DETECTRON2.roi_samples),
    "MODEL.ROI_HEADS.POSITIVE_FRACTION": (0.25, DETECTRON2.roi_positive_fraction),
    "MODEL.ROI_HEADS.IOU_THRESHOLDS": (0.5, DETECTRON2.roi_positive_iou),
    "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT": (True, DETECTRON2.roi_append_truth),
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": (0.05, DETECTRON2.score_threshold),
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": (0.5, DETECTRON2.nms_iou),
    "MODEL.ROI_BOX_HEAD.NUM_FC": (2, DETECTRON2.box_head_fcs),
    "MODEL.ROI_BOX_HEAD.FC_DIM": (1024, DETECTRON2.box_head_width),
    "MODEL.ROI_BOX_HEAD.NUM_CONV": (0, DETECTRON2.box_head_convs),
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": (7, DETECTRON2.box_pool),
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": (0, DETECTRON2.roi_sampling_ratio),
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": (
        "ROIAlignV2",
        "ROIAlignV2" if DETECTRON2.roi_aligned else "ROIAlign",
    ),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": ((10, 10, 5, 5), DETECTRON2.box_weights),
    "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": (0, DETECTRON2.box_beta),
    "MODEL.ROI_MASK_HEAD.NUM_CONV": (4, DETECTRON2.mask_head_convs),
    "MODEL.ROI_MASK_HEAD.CONV_DIM": (256, DETECTRON2.mask_head_width),
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": (14, DETECTRON2.mask_pool),
    "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": (False, DETECTRON2.mask_class_agnostic),
    "MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS": (
        (512,) * 8,
        (DETECTRON2.keypoint_head_width,) * DETECTRON2.keypoint_head_convs,
    ),
    "MODEL.ROI_KEYPOINT_HEAD.POOLER_RESOLUTION": (14, DETECTRON2.keypoint_pool),
    "TEST.DETECTIONS_PER_IMAGE": (100, DETECTRON2.max_detections),
}

# Under the names of matterport's Config, as its COCO model has it.
MATTERPORT_SAYS: dict[str, Any] = {
    "NUM_CLASSES": (81, MATTERPORT.num_classes + 1),
    "BACKBONE": ("resnet101", f"resnet{MATTERPORT.depth}"),
    "BACKBONE_STRIDES": ((4, 8, 16, 32, 64), MATTERPORT.strides),
    "FPN_CLASSIF_FC_LAYERS_SIZE": (1024, MATTERPORT.box_head_width),
    "TOP_DOWN_PYRAMID_SIZE": (256, MATTERPORT.fpn_channels),
    "RPN_ANCHOR_SCALES": ((32, 64, 128, 256, 512), MATTERPORT.anchor_sizes),
    "RPN_ANCHOR_RATIOS": (  # width over height
        (0.5, 1, 2),
        tuple(1 / ratio for ratio in MATTERPORT.anchor_ratios),
    ),
    "RPN_NMS_THRESHOLD": (0.7, MATTERPORT.rpn_nms_iou),
    "RPN_TRAIN_ANCHORS_PER_IMAGE": (256, MATTERPORT.rpn_samples),
    "PRE_NMS_LIMIT": (6000, MATTERPORT.rpn_pre_nms_test),
    "PRE_NMS_LIMIT in training": (6000, MATTERPORT.rpn_pre_nms_train),
    "POST_NMS_ROIS_TRAINING": (2000, MATTERPORT.rpn_post_nms_train),
    "POST_NMS_ROIS_INFERENCE": (1000, MATTERPORT.rpn_post_nms_test),
    "IMAGE_RESIZE_MODE": ("square", "square" if MATTERPORT.image_square else ""),
    "IMAGE_MIN_DIM": (800, MATTERPORT.image_short),
    "IMAGE_MAX_DIM": (1024, MATTERPORT.image_long),
    "MEAN_PIXEL": (
        (123.7, 116.8, 103.9),
        tuple(pytest.approx(255 * mean) for mean in MATTERPORT.pixel_mean),
    ),
    "TRAIN_ROIS_PER_IMAGE": (200, MATTERPORT.roi_samples),
    "ROI_POSITIVE_RATIO": (0.33, MATTERPORT.roi_positive_fraction),
    "POOL_SIZE": (7, MATTERPORT.box_pool),
    "MASK_POOL_SIZE": (14, MATTERPORT.mask_pool),
    "MASK_SHAPE": (28, MATTERPORT.mask_size),
    "RPN_BBOX_STD_DEV": (
        (0.1, 0.1, 0.2, 0.2),
        tuple(1 / weight for weight in MATTERPORT.rpn_box_weights),
    ),
    "BBOX_STD_DEV": (
        (0.1, 0.1, 0.2, 0.2),
        tuple(1 / weight for weight in MATTERPORT.box_weights),
    ),
    "DETECTION_MAX_INSTANCES": (100, MATTERPORT.max_detections),
    "DETECTION_MIN_CONFIDENCE": (0.7, MATTERPORT.score_threshold),
    "DETECTION_NMS_THRESHOLD": (0.3, MATTERPORT.nms_iou),
    "TRAIN_BN": (False, MATTERPORT.norm != "frozen_bn"),
}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [*DETECTRON2_SAYS.values(), *MATTERPORT_SAYS.values()],
    ids=[*DETECTRON2_SAYS, *MATTERPORT_SAYS],
)
def test_published_settings(theirs: Any, ours: Any) -> None:
    assert ours == theirs


def test_detectron2_s_other_models() -> None:
    """Base-RCNN-C4 and Base-Keypoint-RCNN-FPN."""
    c4, pose = VARIANTS["detectron2-c4"], VARIANTS["detectron2-keypoints"]
    assert (c4.rpn_pre_nms_train, c4.rpn_post_nms_train) == (12000, 2000)
    assert (c4.rpn_pre_nms_test, c4.rpn_post_nms_test) == (6000, 1000)
    assert (c4.roi_samples, c4.size_divisor) == (512, 1)
    assert (c4.box_pool, c4.res5_stride, c4.mask_head_convs) == (14, 2, 0)
    assert (pose.num_classes, pose.keypoints, pose.mask_head) == (1, 17, "none")
    assert (pose.rpn_post_nms_train, pose.box_beta) == (1500, 0.5)


def test_variations_keep_what_they_are_not_about() -> None:
    """Whatever system they vary."""
    for config in PRESETS.values():
        for varied in (with_c4(config), with_c5(config), with_keypoints(config)):
            for name in ("depth", "norm", "roi_layer", "box_beta", "level_rounding"):
                assert getattr(varied, name) == getattr(config, name)
        assert with_keypoints(config, masks=True).mask_head == config.mask_head
        alone = rpn_alone(with_keypoints(config, masks=True))
        parts = {name.split(".")[0] for name in tensor_names(alone)}
        assert parts == {"backbone", "fpn", "rpn"}


def tensor_names(config: ModelConfig) -> list[str]:
    """Of all tensors of the model."""
    with torch.device("meta"):
        return list(MaskRCNN(config).state_dict())


def torchvision_says() -> dict[str, Any]:
    """Fields as maskrcnn_resnet50_fpn has them with ImageNet's weights."""
    vision = importlib.import_module("torchvision")
    detection = vision.models.detection
    frozen = vision.ops.misc.FrozenBatchNorm2d
    trained = detection.backbone_utils._validate_trainable_layers(True, None, 5, 3)
    with torch.device("meta"):
        body = vision.models.resnet50(weights=None, norm_layer=frozen)
        extract = detection.backbone_utils._resnet_fpn_extractor
        model = detection.MaskRCNN(extract(body, trained), num_classes=91)
    images, rpn, heads = model.transform, model.rpn, model.roi_heads
    anchors, layer = rpn.anchor_generator, heads.box_roi_pool
    body = model.backbone.body
    return {
        "num_classes": heads.box_predictor.cls_score.out_features - 1,
        "image_short": images.min_size[-1],
        "image_long": images.max_size,
        "pixel_mean": tuple(images.image_mean),
        "pixel_std": tuple(images.image_std),
        "size_divisor": images.size_divisible,
        "depth": 2 + 3 * sum(len(body[f"layer{n}"]) for n in range(1, 5)),
        "stem_width": body.conv1.out_channels,
        "stride_in_1x1": body.layer2[0].conv1.stride == (2, 2),
        "norm": "frozen_bn" if isinstance(body.bn1, frozen) else "bn",
        "norm_eps": body.bn1.eps,
        "frozen_stages": 5 - trained,
        "fpn_channels": model.backbone.out_channels,
        "anchor_sizes": tuple(size for (size,) in anchors.sizes),
        "anchor_ratios": anchors.aspect_ratios[0],
        "anchors_rounded": bool(
            torch.equal(cell := anchors.generate_anchors((32,), (0.5,)), cell.round())
        ),
        "rpn_convs": len(rpn.head.conv),
        "rpn_positive_iou": rpn.proposal_matcher.high_threshold,
        "rpn_negative_iou": rpn.proposal_matcher.low_threshold,
        "rpn_samples": rpn.fg_bg_sampler.batch_size_per_image,
        "rpn_positive_fraction": rpn.fg_bg_sampler.positive_fraction,
        "rpn_box_weights": rpn.box_coder.weights,
        "rpn_box_beta": beta_in(type(rpn).compute_loss),
        "rpn_pre_nms_train": rpn._pre_nms_top_n["training"],
        "rpn_pre_nms_test": rpn._pre_nms_top_n["testing"],
        "rpn_nms_iou": rpn.nms_thresh,
        "rpn_post_nms_train": rpn._post_nms_top_n["training"],
        "rpn_post_nms_test": rpn._post_nms_top_n["testing"],
        "rpn_min_size": rpn.min_size,
        "level_k0": layer.canonical_level,
        "level_canonical": layer.canonical_scale,
        "roi_aligned": inspect.signature(vision.ops.roi_align)
        .parameters["aligned"]
        .default,
        "roi_sampling_ratio": layer.sampling_ratio,
        "roi_positive_iou": heads.proposal_matcher.high_threshold,
        "roi_samples": heads.fg_bg_sampler.batch_size_per_image,
        "roi_positive_fraction": heads.fg_bg_sampler.positive_fraction,
        "box_pool": layer.output_size[0],
        "box_head_width": heads.box_head.fc6.out_features,
        "box_head_fcs": len(list(heads.box_head.children())),
        "box_weights": heads.box_coder.weights,
        "box_beta": beta_in(detection.roi_heads.fastrcnn_loss),
        "mask_pool": heads.mask_roi_pool.output_size[0],
        "mask_head_convs": len(heads.mask_head),
        "mask_head_width": heads.mask_predictor.conv5_mask.out_channels,
        "score_threshold": heads.score_thresh,
        "nms_iou": heads.nms_thresh,
        "max_detections": heads.detections_per_img,
        "detection_min_size": number_in(
            type(heads).postprocess_detections, r"min_size=([\d.e-]+)"
        ),
    }


def beta_in(function: Any) -> float:
    """The beta of smooth-L1 that is written in the function."""
    (over,) = re.findall(r"beta=1 / (\d+)", inspect.getsource(function))
    return 1 / int(over)


def number_in(function: Any, pattern: str) -> float:
    """The one number that the pattern finds in the function's source."""
    (number,) = re.findall(pattern, inspect.getsource(function))
    return float(number)


@needs_torchvision
def test_torchvision_s_own_defaults() -> None:
    said = torchvision_says()
    assert said == {name: getattr(TORCHVISION, name) for name in said}
    # What its objects do not say; how it behaves there, other tests compare.
    silent = set(FIELDS) - said.keys()
    about_heads = {name for name in silent if name.startswith(("mask_", "keypoint"))}
    assert silent - about_heads == {
        *("image_square", "resize_filter", "resize_rounding", "pad_before_mean"),
        *("backbone", "groups", "width_per_group", "stem_pool", "features", "fpn_norm"),
        *("anchor_levels", "anchor_stride", "rpn", "rpn_width", "rpn_objectness"),
        *("rpn_loss_average", "rpn_levels_together", "level_rounding", "roi_layer"),
        *("roi_reduce", "roi_rounding", "roi_append_truth", "box_head", "res5_stride"),
        *("box_head_convs", "box_head_conv_width", "head_norm", "box_loss_average"),
        "one_class_per_roi",
    }


@needs_torchvision
def test_torchvision_s_second_version() -> None:
    """Where it is not the first: norms, convolutions, layers."""
    detection = importlib.import_module("torchvision").models.detection
    with torch.device("meta"):
        model = detection.maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None)
    heads = model.roi_heads
    assert len(model.rpn.head.conv) == TORCHVISION_V2.rpn_convs
    fcs = [part for part in heads.box_head if isinstance(part, torch.nn.Linear)]
    assert len(fcs) == TORCHVISION_V2.box_head_fcs
    assert fcs[0].out_features == TORCHVISION_V2.box_head_width
    convs = [part for part in heads.box_head if isinstance(part, torch.nn.Sequential)]
    assert len(convs) == TORCHVISION_V2.box_head_convs
    assert convs[0][0].out_channels == TORCHVISION_V2.box_head_conv_width
    for norm in (model.backbone.body.bn1, convs[0][1], heads.mask_head[0][1]):
        assert isinstance(norm, torch.nn.BatchNorm2d)
        assert norm.eps == TORCHVISION_V2.norm_eps
    assert isinstance(model.backbone.fpn.inner_blocks[0][1], torch.nn.BatchNorm2d)
    changed = {one.field for one in differences(TORCHVISION, TORCHVISION_V2)}
    assert changed == {
        *("norm", "fpn_norm", "head_norm"),
        *("rpn_convs", "box_head_convs", "box_head_fcs"),
    }


@needs_torchvision
def test_torchvision_s_keypoints() -> None:
    detection = importlib.import_module("torchvision").models.detection
    with torch.device("meta"):
        model = detection.keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    heads, config = model.roi_heads, VARIANTS["torchvision-keypoints"]
    convs = [part for part in heads.keypoint_head if isinstance(part, torch.nn.Conv2d)]
    assert len(convs) == config.keypoint_head_convs
    assert convs[0].out_channels == config.keypoint_head_width
    assert heads.keypoint_predictor.out_channels == config.keypoints
    assert heads.keypoint_roi_pool.output_size[0] == config.keypoint_pool
    assert heads.box_predictor.cls_score.out_features == config.num_classes + 1
