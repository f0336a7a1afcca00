"""Claims on training, test time, uses, sizes and limits: 21 to 23, 25, 27 to 29.

Deliberate faults, and the test that caught each:

- positive only where the IoU is more than 0.5 -> test_exactly_one_half_is_positive
- the learning rate falls one iteration early, RoIs drawn 1 : 1
  -> test_a_faulty_recipe_is_seen
- one detection too few, the mask cut at 0.4, the next class's mask
  -> test_faulty_test_time_is_seen
- keypoints counted as near at any distance -> test_points_count_as_near_or_not
- cells that overlap in the masks -> test_cells_are_drawn_as_said
- a training that trains nothing -> test_without_a_training_no_cells_are_found
- one class too many -> test_one_class_more_is_seen
- a convolution missing in VGG-16 -> test_a_missing_layer_is_seen
- RoIAlign without the half pixel, anchors of 10 : 1, masks four times as fine
  -> test_a_faulty_limit_is_seen
- shifts to the left not counted, boxes half as wide -> test_the_limits_by_mathematics
- the mask read without the half pixel, its box a pixel short
  -> test_a_perfect_mask_is_the_target_of_the_paper
- parameters without biases -> test_the_heads_by_hand
- boxes before and after NMS exchanged -> test_boxes_get_fewer_step_by_step
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from maskrcnn_scratch.claims import (
    claim21,
    claim22,
    claim23,
    claim25,
    claim27,
    claim29,
    find,
)
from maskrcnn_scratch.claims.cells import MOST, SIZE, generate_cells
from maskrcnn_scratch.claims.claim import borne_out
from maskrcnn_scratch.data.stick_figures import generate_figures
from maskrcnn_scratch.figures.misalignment import follow
from maskrcnn_scratch.models import vgg
from maskrcnn_scratch.models.presets import PAPER, preset
from maskrcnn_scratch.ops import paste_masks
from maskrcnn_scratch.reference.masks import mask_targets, paste_mask
from maskrcnn_scratch.reference.matching import match
from maskrcnn_scratch.structures import Detections
from maskrcnn_scratch.training.schedule import learning_rate


@functools.cache
def measured(number: int) -> Any:
    """Once for all tests."""
    return find(number).measure()


def bears_out(number: int, **changed: Any) -> bool:
    """Whether the evidence does, measured anew, or as it was but for some fields."""
    claim = find(number)
    told = replace(measured(number), **changed) if changed else claim.measure()
    return borne_out(claim.evidence(told))


# 21: positives -----------------------------------------------------------------------


def test_exactly_one_half_is_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    told = measured(21)
    assert told.iou.tolist() == [63 / 128, 1 / 2, 65 / 128]
    assert (told.matched >= 0).tolist() == [False, True, True]
    assert told.gradients == {"Lcls": 1.0, "Lbox": 0.0}  # both logits by 1/2

    def above(iou: np.ndarray, high: float, low: float, ties: bool) -> np.ndarray:
        return match(iou, np.nextafter(high, 1), np.nextafter(low, 1), ties)

    monkeypatch.setattr(claim21, "match", above)
    assert not bears_out(21)


@pytest.mark.parametrize("iou", [0.4, 0.6])
def test_another_threshold_of_the_model_is_seen(
    iou: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim21, "PAPER", replace(PAPER, roi_positive_iou=iou))
    assert not bears_out(21)


# 22: the recipe ----------------------------------------------------------------------


def test_the_recipe_by_hand() -> None:
    told = measured(22)
    assert told.rois == {"r50-c4": (16, 48), "r50-fpn": (128, 384)}
    assert told.anchors == {"r50-c4": (1, 15), "r50-fpn": (5, 3)}
    assert told.resized == (800, round(640 * 800 / 480))
    # The warm-up begins at a thousandth and ends with its 500th iteration.
    assert told.rates[1] == pytest.approx(0.02 / 1000)
    assert told.rates[500] == pytest.approx(0.02 * (0.001 + 0.999 * 499 / 500))
    assert told.resnext_rate == pytest.approx(0.02 / 2)


def early(config: Any, iteration: int) -> float:
    """The rate of the next iteration."""
    return learning_rate(config, iteration + 1)


def as_many(name: str) -> Any:
    """The preset with half of its RoIs positive."""
    return replace(preset(name), roi_positive_fraction=0.5)


def few_anchors(name: str) -> Any:
    """The preset without its tall anchors."""
    return replace(preset(name), anchor_ratios=(0.5, 1.0))


@pytest.mark.parametrize(
    ("part", "faulty"),
    [("learning_rate", early), ("preset", as_many), ("preset", few_anchors)],
)
def test_a_faulty_recipe_is_seen(
    part: str, faulty: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim22, part, faulty)
    assert not bears_out(22)


# 23: test time -----------------------------------------------------------------------


def test_boxes_get_fewer_step_by_step() -> None:
    """And each step's are among those of the step before."""
    told = measured(23)
    proposals, sure, left, best = (told.boxes[step] for step in claim23.STEPS)
    assert len(proposals) == 1000
    assert len(best) == told.mask_rois == 100
    for few, many in ((best, left), (left, sure)):
        assert len(few) < len(many)
        assert {tuple(box) for box in few} <= {tuple(box) for box in many}


def test_faulty_test_time_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def generous(maps: Any, boxes: Any, size: Any, threshold: float) -> Any:
        return paste_masks(maps, boxes, size, threshold - 0.1)

    box = torch.tensor([[10.0, 12.0, 40.0, 52.0]]).repeat(claim23.COMPARED, 1)
    # From left to right the map rises from 0 to 1, so every threshold cuts elsewhere.
    ramp = torch.linspace(0, 1, 28).repeat(claim23.COMPARED, 28, 1)
    scores, labels = torch.ones(len(box)), torch.ones(len(box), dtype=torch.int64)
    found = Detections(box, scores, labels, ramp)
    assert claim23.differing_pixels(found, (64, 64)) == 0
    monkeypatch.setattr(claim23, "paste_masks", generous)
    differing = claim23.differing_pixels(found, (64, 64))
    assert differing > 0
    assert bears_out(23, mask_rois=100)
    assert not bears_out(23, differing=differing)
    assert not bears_out(23, own_class=measured(23).other_class)
    monkeypatch.setattr(claim23, "PAPER", replace(PAPER, max_detections=99))
    assert not bears_out(23)


def test_a_map_is_compared_with_its_class() -> None:
    maps = torch.tensor([0.1, 0.4, 0.8]).view(1, 3, 1, 1)
    one = torch.zeros(1, 4), torch.ones(1), torch.tensor([2])
    found = Detections(*one, maps[:, 1])
    assert claim23.difference(found, maps, 0) == 0
    assert claim23.difference(found, maps, 1) == pytest.approx(0.4)


# 25: people and cells ----------------------------------------------------------------


def test_cells_are_drawn_as_said() -> None:
    samples = generate_cells(6, seed=3)
    assert torch.equal(samples[2][0], generate_cells(3, seed=3)[2][0])
    assert not torch.equal(samples[0][0], generate_cells(1, seed=4)[0][0])
    for image, target in samples:
        assert image.shape == (3, SIZE, SIZE)
        assert torch.equal(image[0], image[1])  # grey
        assert 1 <= len(target) <= MOST
        assert target.masks is not None
        assert target.masks.sum(0).max() == 1  # no pixel is two cells'
        ground = target.masks.sum(0) == 0
        for mask in target.masks.bool():
            assert image[0][mask].mean() > 1.5 * image[0][ground].mean()


def perfect(samples: Any, shift: float = 0.0) -> list[Detections]:
    """The ground truth as detections, points moved to the right.

    ``shift`` is in parts of each box's longer side.
    """
    found = []
    for _, target in samples:
        points = target.keypoints.clone()
        sides = (target.boxes[:, 2:] - target.boxes[:, :2]).amax(dim=1)
        points[..., 0] += shift * sides[:, None]
        found.append(
            Detections(
                target.boxes,
                torch.ones(len(target)),
                target.labels,
                masks=target.masks.bool(),
                keypoints=points,
            )
        )
    return found


def test_points_count_as_near_or_not() -> None:
    samples = generate_figures(4, SIZE, 5)
    people = sum(len(target) for _, target in samples)
    near, guessed, found = claim25.keypoint_shares(samples, perfect(samples, 0.09))
    assert (near, found) == (1.0, people)
    assert 0 < guessed < 0.5
    assert claim25.keypoint_shares(samples, perfect(samples, 0.11))[0] == 0.0
    assert claim25.mask_ap(samples, perfect(samples))["ap"] == pytest.approx(1)


def test_a_target_is_one_hot() -> None:
    """The first figure's head: the bin of its place in its box."""
    size, ones, off = claim25.one_hot_target(56, generate_figures(1, SIZE, 5)[0])
    assert (size, ones) == (56, 1)
    assert off < 1e-12


def test_without_a_training_no_cells_are_found() -> None:
    claim = find(25)
    told = claim.measure(iterations=1, images=5)
    assert told.cells_ap["ap50"] < 0.2
    assert told.fields == ["keypoints"]
    assert not borne_out(claim.evidence(told))
    # All else holds: what fails is the cells alone.
    assert borne_out(claim.evidence(replace(told, cells_ap={**told.people_ap})))


# 27: mask heads ----------------------------------------------------------------------


def test_the_heads_by_hand() -> None:
    told = measured(27)
    conv, deconv, last = 256 * 256 * 9 + 256, 256 * 256 * 4 + 256, 256 * 80 + 80
    fully = 14 * 14 * 256 * 1024 + 1024
    hidden, pixels = 1024 * 1024 + 1024, (1024 + 1) * 80 * 28 * 28
    by_hand = {
        "FCN": 4 * conv + deconv + last,
        "MLP, 2 hidden layers": fully + hidden + pixels,
        "MLP, 3 hidden layers": fully + 2 * hidden + pixels,
    }
    assert {head: told.total(head) for head in claim27.HEADS} == by_hand
    assert told.formula == by_hand


def test_one_class_more_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        claim27, "preset", lambda name: replace(preset(name), num_classes=81)
    )
    assert not bears_out(27)


# 28: backbones -----------------------------------------------------------------------


def test_the_backbones_by_hand() -> None:
    told = measured(28)
    widths = [3, 64, 64, 128, 128, *[256] * 3, *[512] * 6]
    assert told["VGG-16"].kept == sum(9 * i * o + o for i, o in pairwise(widths))
    assert told["VGG-16"].left_out == 25089 * 4096 + 4097 * 4096 + 4097 * 1000
    assert told["ResNet-101"].left_out == 2049 * 1000
    assert told["ResNet-101"].maps[-1] == (2048, 7, 7)
    assert told["VGG-16"].maps[-1] == (512, 7, 7)


def test_a_missing_layer_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vgg, "STAGES", ((1, 2), (2, 2), (4, 3), (8, 3), (8, 2)))
    assert not bears_out(28)


# 29: layers and roads ----------------------------------------------------------------


def test_the_limits_by_mathematics() -> None:
    """Of all boxes with width = 2 height, none has more IoU with a box of 10 : 1.

    A box k times as wide as the long one, within its width, has the IoU
    k / (1 + 5 k^2 - k), greatest for k = 1 / sqrt(5).
    """
    told = measured(29)
    bound = 1 / (2 * math.sqrt(5) - 1)
    iou, _ = told.best[10]
    assert 0.95 * bound < iou <= bound < 0.3
    # RoIPool rounds 37 / 16 and 337 / 16 to 2 and 21, and counts the last cell in.
    steps = told.layers.layers["RoIPool round"]
    assert (steps.quantised.start, steps.quantised.end) == (2, 22)
    assert told.off("RoIAlign") == pytest.approx(0, abs=1e-12)
    # Floored, its bins have 2 cells from 2 on: the last is about 15, too far left.
    last = (37 + 300 * 6.5 / 7) / 16
    assert told.off("RoIPool floor") == pytest.approx((last - 15) * 16)


def test_a_perfect_mask_is_the_target_of_the_paper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the bounding box of the mask, cut at one half, pasted by the reference."""
    monkeypatch.setattr(claim29, "SIDE", 32)
    rows, columns = np.mgrid[0:32, 0:32]
    mask = (rows >= 3) & (columns >= 5) & (rows + 2 * columns < 60)
    assert PAPER.mask_target == "threshold"
    box, first = np.array([[5.0, 3.0, 29.0, 32.0]]), np.zeros(1, np.int64)
    (target,) = mask_targets(mask[None], box, first, 7, PAPER.mask_target)
    pasted = paste_mask(target, box[0], (32, 32))
    told = claim29.through_cells(mask, 7)
    assert (told.pasted == pasted).all()
    assert told.iou == (pasted & mask).sum() / (pasted | mask).sum()


def test_a_mask_with_a_cell_for_each_pixel_loses_nothing() -> None:
    road = claim29.draw_objects()["winding road"][:, :200]
    crop = np.zeros((claim29.SIDE, claim29.SIDE), bool)
    crop[12:212, 12:212] = road[12:212, :200]
    crop[12, 12] = crop[211, 211] = True  # so that its box has 200 x 200 pixels
    assert claim29.through_cells(crop, 200).iou == 1
    assert claim29.through_cells(crop, 100).iou < 1


def test_the_disc_and_the_roads_are_as_large_as_said() -> None:
    objects = claim29.draw_objects()
    length, width = claim29.LENGTH, claim29.WIDTH
    assert objects["disc"].sum() == pytest.approx(math.pi * length**2 / 4, rel=0.01)
    ends = math.pi * width**2 / 4
    straight = (length - width) * width + ends
    assert objects["straight road"].sum() == pytest.approx(straight, rel=0.02)
    for mask in objects.values():
        columns = np.flatnonzero(mask.any(0))
        assert columns[-1] + 1 - columns[0] == length


def legacy(*args: Any, **named: Any) -> Any:
    """RoIAlign without the half pixel in RoIAlign's place."""
    told = follow(*args, **named)
    layers = told.layers | {"RoIAlign": told.layers["RoIAlign legacy"]}
    return replace(told, layers=layers)


@pytest.mark.parametrize(
    ("part", "faulty"),
    [
        ("follow", legacy),
        ("PAPER", replace(PAPER, anchor_ratios=(0.1, 1.0, 10.0))),
        ("PAPER", replace(PAPER, mask_pool=56)),
    ],
)
def test_a_faulty_limit_is_seen(
    part: str, faulty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim29, part, faulty)
    monkeypatch.setattr(claim29, "FINER", 2)  # else 448 cells a side
    assert not bears_out(29)
