"""Claims on masks, RoIAlign's gain, the pyramid, shapes and losses: 11 to 20.

Trainings are replaced by scores that are given: ``test_claims`` runs the real ones.

Deliberate faults, and the test that caught each:

- masks of another size, masks half a pixel off, a box branch that reads 14 x 14
  -> test_faulty_masks_are_seen
- the gain in per cent of RoIAlign's, masks' figures for boxes -> test_gains_by_hand
- a better RoIPool in one run of six -> test_one_run_that_contradicts_is_seen
- RoIWarp trained as well -> test_each_layer_is_trained_at_each_stride
- an activation, P6 from M5 or as a mean of P5's cells -> test_a_faulty_pyramid_is_seen
- bilinear upsampling -> test_bilinear_upsampling_is_seen
- 5x5 for 3x3, 128 channels -> test_other_convolutions_are_seen
- RoIs read from P6, or no anchors there -> test_faulty_readers_of_p6_are_seen
- k0 of 5, 256 for 224, P6 as the last level, rounding for flooring
  -> test_a_faulty_level_rule_is_seen
- a RoI of 24 x 224 on P4, one rule for both -> test_faulty_levels_are_seen
- a ratio more, two logits in torchvision, a loss of the wrong sign
  -> test_a_faulty_rpn_is_seen
- a class more, masks of 14, the background learned -> test_faulty_heads_are_seen
- a gradient of 1e-30 on other masks, a sum that forgets a loss, the sum over pixels
  -> test_a_faulty_mask_loss_is_seen
- softmax for the sigmoid -> test_competing_sigmoids_are_seen
- beta doubled, log to the base 2, another beta in a preset
  -> test_a_faulty_loss_is_seen
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from maskrcnn_scratch import ops
from maskrcnn_scratch.claims import (
    claim11,
    claim12,
    claim13,
    claim14,
    claim15,
    claim16,
    claim17,
    claim18,
    claim19,
    claim20,
    find,
    miniature,
)
from maskrcnn_scratch.claims.claim import borne_out
from maskrcnn_scratch.claims.shapes import shapes_of
from maskrcnn_scratch.experiments import ablations
from maskrcnn_scratch.experiments.mask_branch import MaskScore, Scale
from maskrcnn_scratch.figures import fpn_levels as level_figures
from maskrcnn_scratch.models import ModelConfig, fpn
from maskrcnn_scratch.models.fpn import FPN
from maskrcnn_scratch.models.presets import MATTERPORT, PAPER, PRESETS, preset
from maskrcnn_scratch.ops import mask_targets
from maskrcnn_scratch.reference import losses
from maskrcnn_scratch.reference.anchors import pyramid_anchors

Patch = pytest.MonkeyPatch


@functools.cache
def measured(number: int) -> Any:
    """Once for all tests."""
    return find(number).measure()


def bears_out(number: int, told: Any = None) -> bool:
    """Whether the evidence does, measured anew or as given."""
    claim = find(number)
    return borne_out(claim.evidence(claim.measure() if told is None else told))


# 11: m -------------------------------------------------------------------------------


def test_masks_by_hand() -> None:
    """A square of 14 pixels without its corner: three quarters of a cell of 2 x 2."""
    mask = np.zeros((claim11.SIDE, claim11.SIDE), bool)
    mask[20:34, 30:44] = True
    mask[20, 30] = False
    assert claim11.iou_of(mask, 7, "threshold") == 195 / 196
    assert claim11.iou_of(mask, 14, "threshold") == 1
    heads = measured(11).heads
    assert heads["C4"].logits == ("n", 80, 14, 14)
    assert heads["FPN"].logits == ("n", 80, 28, 28)
    assert {one.box[-2:] for one in heads.values()} == {(7, 7)}


def test_faulty_masks_are_seen(monkeypatch: Patch) -> None:
    def halved(name: str) -> ModelConfig:
        return replace(preset(name), **({"mask_pool": 7} if "fpn" in name else {}))

    with monkeypatch.context() as patch:
        patch.setattr(claim11, "preset", halved)
        assert not bears_out(11)

    def half_a_pixel_off(masks: Any, boxes: Any, *rest: Any, rule: Any) -> Any:
        return mask_targets(masks, boxes + 0.5, *rest, rule=rule)

    with monkeypatch.context() as patch:
        patch.setattr(ops, "mask_targets", half_a_pixel_off)
        assert not bears_out(11)
    seven = {("threshold", 7): 0.99, ("soft", 7): 0.99}
    told = measured(11)
    assert not bears_out(11, replace(told, iou=told.iou | seven))
    wide = replace(told.heads["FPN"], box=(1000, 256, 14, 14))
    assert not bears_out(11, replace(told, heads=told.heads | {"FPN": wide}))


# 12 and 13: RoIAlign against RoIPool -------------------------------------------------


def test_gains_by_hand() -> None:
    told = measured(12)
    found = {name: [round(gain.relative) for gain in row] for name, row in told.items()}
    assert found == {
        "masks, stride 16": [12, 5, 20],
        "masks, stride 32": [31, 11, 49],
        "boxes, stride 32": [21, 5, 35],
    }
    assert [round(gain.points, 1) for gain in told["masks, stride 32"]] == [
        *(7.3, 5.3, 10.5)
    ]


@pytest.mark.parametrize(
    "faulty",
    [
        {"RoIAlign": (30.9, 51.8, 33.1), "RoIPool": (23.6, 46.5, 21.6)},  # 53 %
        {"RoIAlign": (25.7, 51.8, 32.1), "RoIPool": (23.6, 46.5, 21.6)},  # 9 %
        {"RoIAlign": (33.9, 51.8, 32.1), "RoIPool": (23.6, 46.5, 21.6)},  # 44, not 31
    ],
)
def test_other_figures_of_the_paper_are_seen(
    faulty: dict[str, tuple[float, float, float]], monkeypatch: Patch
) -> None:
    def changed() -> ablations.Ablation:
        true = ablations.roi_layer_32()
        arms = tuple(replace(arm, paper=faulty[arm.name]) for arm in true.arms)
        return replace(true, arms=arms)

    monkeypatch.setattr(claim12, "roi_layer_32", changed)
    monkeypatch.setattr(claim13, "roi_layer_32", changed)
    monkeypatch.setattr(ablations, "train_and_score", given())
    assert not (bears_out(12) and bears_out(13))


Trainer = Callable[[ModelConfig, int, Scale], MaskScore]
IOU = {"align": 0.8, "warp": 0.7, "pool": 0.6}


def given(seen: list[tuple[Any, ...]] | None = None, **gains: float) -> Trainer:
    """Scores by RoI layer and mask loss; ``gains``, of ``pool2``: RoIPool, seed 2."""

    def score(config: ModelConfig, seed: int, scale: Scale) -> MaskScore:
        if seen is not None:
            seen.append((config.roi_layer, config.features, config.mask_loss, seed))
        iou = IOU[config.roi_layer] - 0.1 * (config.mask_loss == "softmax")
        iou += 0.01 * seed + gains.get(f"{config.roi_layer}{seed}", 0)
        return MaskScore(iou, iou / 2)

    return score


def test_each_layer_is_trained_at_each_stride(
    monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(ablations, "train_and_score", given(seen))
    with caplog.at_level("INFO", "maskrcnn_scratch.claims"):
        told = claim13.measure()
    wanted = {(layer, c, seed) for layer in ("align", "pool") for c in ("c4", "c5")
              for seed in (0, 1, 2)}  # fmt: skip
    assert {(layer, c, seed) for layer, c, _, seed in seen} == wanted
    assert len(seen) == len(caplog.records) == 12
    assert bears_out(13, told)
    for stride in (16, 32):
        assert told.ours(stride) == pytest.approx(0.2)
    assert told.points(32) == pytest.approx(7.3)
    assert told.relative(32) == pytest.approx(100 * 7.3 / 23.6)
    assert isinstance(claim13.draw(told), Figure)
    assert claim13.alt(told).count("at stride") == 2


def test_one_run_that_contradicts_is_seen(monkeypatch: Patch) -> None:
    monkeypatch.setattr(ablations, "train_and_score", given(pool2=0.3))
    assert not bears_out(13)


def test_a_quick_run_does_not_speak_of_stride_32(monkeypatch: Patch) -> None:
    monkeypatch.setattr(ablations, "train_and_score", given())
    told = claim13.measure(**claim13.CLAIM.quick)
    assert told.outcomes.keys() == {16}
    assert "in the full run alone" in [
        getattr(line, "value", "") for line in claim13.evidence(told)
    ]


def test_the_quick_scales_are_small() -> None:
    """Some seconds a run: 60 batches, or the 200 that softmax needs, and 40 images."""
    assert claim13.CLAIM.quick["scale"] == miniature.SECONDS
    assert miniature.SECONDS.iterations <= 60
    for scale in (miniature.SECONDS, claim19.CLAIM.quick["scale"]):
        assert scale.iterations <= 200
        assert scale.test_images <= 40


# 14: the pyramid ---------------------------------------------------------------------


def test_the_pyramid_by_hand() -> None:
    told = measured(14)
    assert told.stairs == ({0.0, 1.0}, {0.5})
    assert told.lateral == {(1, 256)}
    assert told.output == {(3, 256)}
    assert told.p6_from_p5 == 0 < told.p6_from_m5


class Activated(FPN):
    """With ReLU behind the 1x1."""

    def __init__(self, *sizes: Any) -> None:
        super().__init__(*sizes)
        for conv in self.lateral:
            conv.register_forward_hook(lambda _, __, out: out.relu())


class Wide(FPN):
    """With 5x5 for 3x3."""

    def __init__(self, in_channels: list[int], channels: int) -> None:
        super().__init__(in_channels, channels)
        self.output = nn.ModuleList(
            nn.Conv2d(channels, channels, 5, padding=2) for _ in in_channels
        )


class FromM5(FPN):
    """With P6 as one document has it."""

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [*super().forward(maps)[:-1], self.lateral[-1](maps[-1])[..., ::2, ::2]]


class Averaged(FPN):
    """With P6 as the mean of four cells of P5."""

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        pyramid = super().forward(maps)
        return [*pyramid[:-1], F.avg_pool2d(pyramid[-2], 2)]


@pytest.mark.parametrize("faulty", [Activated, FromM5, Averaged])
def test_a_faulty_pyramid_is_seen(faulty: type[FPN], monkeypatch: Patch) -> None:
    monkeypatch.setattr(claim14, "FPN", faulty)
    assert not bears_out(14)


def test_bilinear_upsampling_is_seen(monkeypatch: Patch) -> None:
    def bilinear(x: Tensor, size: Any, mode: str) -> Tensor:
        return F.interpolate(x, size=size, mode="bilinear")

    functions = SimpleNamespace(interpolate=bilinear, max_pool2d=F.max_pool2d)
    monkeypatch.setattr(fpn, "F", functions)
    assert not bears_out(14)


def test_other_convolutions_are_seen() -> None:
    told = measured(14)
    assert not bears_out(14, replace(told, output=claim14.kinds(Wide([1], 256).output)))
    few = claim14.kinds(FPN([1], 128).lateral)
    assert not bears_out(14, replace(told, lateral=few))


def test_faulty_readers_of_p6_are_seen(monkeypatch: Patch) -> None:
    def from_p6(config: Any, maps: Any, rois: Tensor, size: int) -> Tensor:
        coarsest: Tensor = maps[6]
        return coarsest

    with monkeypatch.context() as patch:
        patch.setattr(claim14, "roi_features", from_p6)
        assert not bears_out(14)
    without = replace(
        PAPER, anchor_levels=(2, 3, 4, 5), anchor_sizes=(32, 64, 128, 256)
    )
    monkeypatch.setattr(claim14, "PAPER", without)
    assert not bears_out(14)


# 15: the level -----------------------------------------------------------------------


def test_levels_by_hand() -> None:
    told = measured(15)
    for (w, h), level in zip(claim15.SIZES, told.levels["floor"], strict=True):
        assert level == min(
            max(math.floor(4 + math.log2(math.sqrt(w * h) / 224)), 2), 5
        )
    borders = told.rules["round"].borders
    assert borders == pytest.approx([112 * 2**n / math.sqrt(2) for n in (0, 1, 2)])


@pytest.mark.parametrize(
    "change",
    [{"k0": 5}, {"canonical": 256.0}, {"k_max": 6}, {"rounding": "round"}],
    ids=str,
)
def test_a_faulty_level_rule_is_seen(
    change: dict[str, Any], monkeypatch: Patch
) -> None:
    one, several = level_figures.fpn_level, level_figures.fpn_levels
    monkeypatch.setattr(
        level_figures, "fpn_level", lambda box, *a, **k: one(box, **(k | change))
    )
    monkeypatch.setattr(
        level_figures,
        "fpn_levels",
        lambda boxes, *a, **k: several(boxes, **(k | change)),
    )
    assert not bears_out(15)


@pytest.mark.parametrize("rule", ["floor", "round"])
def test_faulty_levels_are_seen(rule: str) -> None:
    told = measured(15)
    levels = list(told.levels[rule])
    levels[claim15.SIZES.index((24, 224))] = 4
    assert not bears_out(15, replace(told, levels=told.levels | {rule: tuple(levels)}))
    same = dict.fromkeys(told.rules, told.rules[rule])
    assert not bears_out(15, replace(told, rules=same))


@pytest.mark.parametrize("name", ["PAPER", "MATTERPORT"])
def test_the_other_rounding_of_a_preset_is_seen(name: str, monkeypatch: Patch) -> None:
    other = {"PAPER": MATTERPORT, "MATTERPORT": PAPER}
    monkeypatch.setattr(claim15, name, other[name])
    assert not bears_out(15)


# 16: anchors and objectness ----------------------------------------------------------


def test_anchors_and_probabilities_by_hand() -> None:
    told = measured(16)
    assert told.anchors == {n: 3 * (1024 // 2**n) ** 2 for n in range(2, 7)}
    sigmoid = 1 / (1 + np.exp(-told.difference))
    np.testing.assert_allclose(told.probability, sigmoid, rtol=1e-12)


def test_a_faulty_rpn_is_seen(monkeypatch: Patch) -> None:
    def four_ratios(sizes: Any, ratios: Any, *rest: Any) -> Any:
        return pyramid_anchors(sizes, (*ratios, 3.0), *rest)

    with monkeypatch.context() as patch:
        patch.setattr(claim16, "pyramid_anchors", four_ratios)
        assert not bears_out(16)
    told = measured(16)
    two = shapes_of(replace(PRESETS["torchvision"], rpn_objectness="softmax"), 1024)
    assert not bears_out(16, replace(told, shapes=told.shapes | {"torchvision": two}))
    right = losses.objectness_loss

    def turned(logits: Any, labels: Any) -> Any:
        return right(-logits, labels)

    monkeypatch.setattr(losses, "objectness_loss", turned)
    loss, slope = claim16.compared(told.pairs)
    assert not bears_out(16, replace(told, loss_apart=loss))
    assert not bears_out(16, replace(told, slope_apart=slope))


# 17: shapes of the heads -------------------------------------------------------------


def test_shapes_of_the_heads_by_hand() -> None:
    told = measured(17)
    assert told.shapes["box head", "class logits"] == (1000, 80 + 1)
    assert told.shapes["mask head", "mask logits"] == ("n", 80, 28, 28)
    assert len(told.counts) == claim17.IMAGES
    assert told.unlearned == 0


@pytest.mark.parametrize(
    "change",
    [
        {"num_classes": 81},
        {"mask_pool": 7},
        {"box_pool": 14},
        {"rpn_post_nms_test": 300},
        {"max_detections": 10},
    ],
    ids=str,
)
def test_faulty_heads_are_seen(change: dict[str, Any], monkeypatch: Patch) -> None:
    monkeypatch.setattr(claim17, "MATTERPORT", replace(MATTERPORT, **change))
    assert not bears_out(17)


def test_a_background_that_is_learned_is_seen(monkeypatch: Patch) -> None:
    def one_too_low(logits: Any, labels: Any, targets: Any) -> Any:
        return losses.mask_loss(logits, labels - 1, targets)

    monkeypatch.setattr(claim17, "mask_loss", one_too_low)
    assert not bears_out(17)


# 18: Lmask ---------------------------------------------------------------------------


def test_lmask_by_hand() -> None:
    zeros, ones = np.zeros((1, 2, 2)), np.ones((1, 2, 2))
    assert claim18.bce_by_hand(zeros, ones) == pytest.approx(math.log(2))
    assert claim18.bce_by_hand(ones, ones) == pytest.approx(math.log(1 + math.exp(-1)))
    told = measured(18)
    others, own = told.split()
    assert len(others) == 2 * 3
    assert len(own) == 2
    assert not others.any()
    assert (own != 0).all()


def leaking(*arguments: Any) -> Any:
    """A gradient on every mask, too small to matter."""
    loss, gradient = mask_loss(*arguments)
    return loss, gradient + 1e-30


def summed(logits: Any, labels: Any, targets: Any) -> Any:
    """The sum over pixels for the mean."""
    loss, gradient = mask_loss(logits, labels, targets)
    return loss * targets.size, gradient * targets.size


mask_loss = losses.mask_loss


@pytest.mark.parametrize(
    ("where", "name", "faulty"),
    [
        (losses, "mask_loss", leaking),
        (losses, "mask_loss", summed),
        (claim18, "sum_of", lambda parts: parts["class"] + parts["box"]),
    ],
    ids=["leaking", "summed", "forgotten"],
)
def test_a_faulty_mask_loss_is_seen(
    where: Any, name: str, faulty: Any, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(where, name, faulty)
    assert not bears_out(18)


def test_a_class_that_is_there_must_learn() -> None:
    told = measured(18)
    nothing = dict.fromkeys(told.classes, 0.0)
    assert not bears_out(18, replace(told, classes=nothing))
    everything = dict.fromkeys(told.classes, 1.0)
    assert told.present < told.classes.keys()
    assert not bears_out(18, replace(told, classes=everything))


# 19: softmax against sigmoid ---------------------------------------------------------


def test_the_pixel_by_hand(monkeypatch: Patch) -> None:
    monkeypatch.setattr(ablations, "train_and_score", given())
    told = claim19.measure()
    assert bears_out(19, told)
    own = math.exp(claim19.OWN)
    sigmoid = math.log(1 + 1 / own)
    np.testing.assert_allclose(told.pixel["sigmoid"][:, 0], sigmoid, rtol=1e-12)
    for other, row in zip(claim19.OTHERS, told.pixel["softmax"], strict=True):
        total = 1 + own + math.exp(other)
        expected = [math.log(total / own), own / total - 1, math.exp(other) / total]
        np.testing.assert_allclose(row, expected, rtol=1e-12)
    assert told.outcome.ious("sigmoid") == pytest.approx([0.8, 0.81, 0.82])
    assert told.outcome.ious("softmax") == pytest.approx([0.7, 0.71, 0.72])


def test_competing_sigmoids_are_seen(monkeypatch: Patch) -> None:
    monkeypatch.setattr(ablations, "train_and_score", given())
    monkeypatch.setattr(losses, "mask_loss", losses.softmax_mask_loss)
    assert not bears_out(19)


def test_a_better_softmax_is_seen(monkeypatch: Patch) -> None:
    monkeypatch.setattr(ablations, "train_and_score", given(align1=-1.0))
    assert bears_out(19)  # both arms of the seed are as much worse

    def turned(config: ModelConfig, seed: int, scale: Scale) -> MaskScore:
        return MaskScore(0.5 + 0.1 * (config.mask_loss == "softmax"), 0.5)

    monkeypatch.setattr(ablations, "train_and_score", turned)
    assert not bears_out(19)


# 20: Lcls and Lbox -------------------------------------------------------------------


def test_losses_by_hand() -> None:
    told = measured(20)
    assert told.smooth["1"].tolist() == [1.5, 0.5, 0.125, 0, 0.03125, 0.5, 2.5]
    assert told.smooth["0"].tolist() == [2, 1, 0.5, 0, 0.25, 1, 3]
    ninth = [
        2 - 1 / 18,
        1 - 1 / 18,
        0.5 - 1 / 18,
        0,
        0.25 - 1 / 18,
        1 - 1 / 18,
        3 - 1 / 18,
    ]
    np.testing.assert_allclose(told.smooth["1/9"], ninth, rtol=1e-12)
    assert told.switch["1"] == 1
    assert told.switch["1/9"] == 1 / 9
    total = sum(math.exp(logit) for logit in claim20.LOGITS[0])
    expected = [math.log(total) - logit for logit in claim20.LOGITS[0]]
    np.testing.assert_allclose(told.classes, expected, rtol=1e-12)


smooth_l1, cross_entropy = losses.smooth_l1, losses.softmax_cross_entropy


def doubled(x: Any, target: Any, beta: float) -> Any:
    """Another switch."""
    return smooth_l1(x, target, 2 * beta)


def in_bits(logits: Any, labels: Any) -> Any:
    """log to the base 2."""
    loss, gradient = cross_entropy(logits, labels)
    return loss / math.log(2), gradient


@pytest.mark.parametrize(
    ("where", "name", "faulty"),
    [
        (losses, "smooth_l1", doubled),
        (losses, "softmax_cross_entropy", in_bits),
        *(
            (
                claim20,
                "PRESETS",
                PRESETS | {system: replace(PRESETS[system], box_beta=2)},
            )
            for system in claim20.SYSTEMS
        ),
    ],
    ids=["beta", "base", *claim20.SYSTEMS],
)
def test_a_faulty_loss_is_seen(
    where: Any, name: str, faulty: Any, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(where, name, faulty)
    assert not bears_out(20)
