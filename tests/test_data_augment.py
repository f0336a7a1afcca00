"""Random augmentation keeps samples sound, and is decided by its generator alone.

Faults tried -> the test that caught them:
- the bound on the longer side dropped, jitter off its ends
  -> test_sizes_stay_within_bounds
- jitter even in the size instead of its logarithm -> test_jitter_spans_its_range
- draws from the global generator -> test_one_generator_one_result
- flip with probability 1 - p, keypoints without their swap
  -> test_probabilities_zero_and_one
- objects without a pixel kept -> test_objects_lost_in_shrinking_are_dropped
- colours not clamped, crops beyond the border or of one side only
  -> test_what_comes_out_is_sound
- always the first size -> test_all_sizes_are_drawn
- always the top left crop -> test_crops_are_everywhere
- the rule's filter, rounding or square not passed on, or its sizes taken
  -> test_the_rule_says_how_the_transform_to_what
- crops left out of the largest side, or the jitter -> test_no_side_is_longer_than_said
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_data_transforms import (
    SWAP,
    assert_equal,
    empty_target,
    one_person,
    samples,
)

from maskrcnn_scratch.data import TrainTransform
from maskrcnn_scratch.data.augment import jitter_colors
from maskrcnn_scratch.data.coco import generator
from maskrcnn_scratch.data.resize import ResizeRule
from maskrcnn_scratch.data.transforms import (
    Sample,
    boxes_around,
    horizontal_flip,
    resize,
    vertical_flip,
)

WILD = TrainTransform(
    quarter_turns=True,
    vertical_flip=0.5,
    min_sizes=(8, 16, 24),
    max_size=30,
    scale_jitter=(0.5, 2),
    crop=14,
    color_jitter=0.4,
    keypoint_swap=SWAP,
)
CALM = TrainTransform(horizontal_flip=0, min_sizes=(6,), max_size=99)
seeds = st.integers(0, 1000)


def in_range(sample: Sample) -> Sample:
    image, target = sample
    return image / image.max(), target


@given(sample=samples(), seed=seeds)
def test_what_comes_out_is_sound(sample: Sample, seed: int) -> None:
    image, target = WILD(*in_range(sample), generator(seed))
    height, width = image.shape[1:]
    assert max(height, width) <= 14
    assert 0 <= image.min() <= image.max() <= 1
    assert target.masks.shape[1:] == image.shape[1:]
    assert target.masks.flatten(1).any(1).all()
    assert (target.boxes >= 0).all()
    assert (target.boxes <= torch.tensor([width, height] * 2) + 1e-4).all()
    assert (target.boxes - boxes_around(target.masks)).abs().le(0.5 + 1e-4).all()


@given(sample=samples(), seed=seeds)
def test_one_generator_one_result(sample: Sample, seed: int) -> None:
    first = WILD(*in_range(sample), generator(seed))
    torch.manual_seed(seed)
    assert_equal(WILD(*in_range(sample), generator(seed)), first)


def test_objects_lost_in_shrinking_are_dropped() -> None:
    """A line one pixel wide falls between the pixels of an image a quarter as large."""
    image, target = one_person()
    line = torch.zeros_like(target.masks)
    line[:, 0] = 1
    small = TrainTransform(horizontal_flip=0, min_sizes=(2,))
    assert len(small(image, replace(target, masks=line), generator(0))[1]) == 0
    assert len(small(image, target, generator(0))[1]) == 1


def test_objects_cropped_away_are_dropped_without_masks() -> None:
    """A box in the left half is out of most crops; no box without extent comes out."""
    image, target = one_person()
    left = replace(target, masks=None, boxes=torch.tensor([[0.0, 0, 2, 6]]))
    cutting = TrainTransform(horizontal_flip=0, min_sizes=(6,), crop=4)
    counts = set()
    for seed in range(30):
        _, cut = cutting(image, left, generator(seed))
        assert (cut.boxes[:, 2:] > cut.boxes[:, :2]).all()
        counts.add(len(cut))
    assert counts == {0, 1}


def test_crops_are_everywhere() -> None:
    """Each of the 5 x 3 places of a 4-pixel square in 8 x 6 pixels is drawn."""
    _, target = one_person()
    places = torch.arange(48.0).reshape(6, 8).expand(3, 6, 8)
    cutting = TrainTransform(horizontal_flip=0, min_sizes=(6,), crop=4)
    corners = {
        float(cutting(places, target, generator(seed))[0][0, 0, 0])
        for seed in range(200)
    }
    assert corners == {8.0 * top + left for top in range(3) for left in range(5)}


def test_generators_differ() -> None:
    seeds = [(1, epoch, index) for epoch in range(5) for index in range(5)]
    draws = {float(torch.rand((), generator=generator(*seed))) for seed in seeds}
    assert len(draws) == 25


@given(sample=samples(), seed=seeds)
def test_probabilities_zero_and_one(sample: Sample, seed: int) -> None:
    height, width = sample[0].shape[1:]
    same_size = min(height, width)
    still = TrainTransform(horizontal_flip=0, min_sizes=(same_size,))
    assert_equal(still(*sample, generator(seed)), sample)
    both = TrainTransform(
        horizontal_flip=1, vertical_flip=1, min_sizes=(same_size,), keypoint_swap=SWAP
    )
    expected = vertical_flip(*horizontal_flip(*sample, SWAP), SWAP)
    assert_equal(both(*sample, generator(seed)), expected)


def test_mirrored_people() -> None:
    mirror = TrainTransform(horizontal_flip=1, min_sizes=(6,), keypoint_swap=SWAP)
    _, target = mirror(*one_person(), generator(0))
    assert target.keypoints is not None
    assert target.keypoints[0, :, 2].tolist() == [2, 1, 0]


@given(seed=seeds)
def test_sizes_stay_within_bounds(seed: int) -> None:
    jittered = TrainTransform(min_sizes=(6, 12), max_size=14, scale_jitter=(0.5, 1.5))
    image, _ = jittered(*one_person(), generator(seed))
    assert min(image.shape[1:]) <= 18
    assert max(image.shape[1:]) <= 21


def test_jitter_spans_its_range() -> None:
    jittered = TrainTransform(min_sizes=(60,), scale_jitter=(0.5, 2))
    heights = [
        jittered(*one_person(), generator(seed))[0].shape[1] for seed in range(200)
    ]
    assert 30 <= min(heights) <= 33
    assert 115 <= max(heights) <= 120
    assert 0.4 < sum(height < 60 for height in heights) / 200 < 0.6


@pytest.mark.parametrize(
    "rule",
    [
        ResizeRule(filter="bilinear"),
        ResizeRule(rounding="down"),
        ResizeRule(short=5, long=9, square=True),
    ],
)
def test_the_rule_says_how_the_transform_to_what(rule: ResizeRule) -> None:
    """From 17 x 29 pixels; each of the rules differs from the others."""
    image, target = torch.rand(3, 17, 29), empty_target(17, 29)
    plain = TrainTransform(horizontal_flip=0, min_sizes=(11,), max_size=40)
    resized, _ = plain(image, target, generator(0), rule)
    expected, _ = resize(image, target, replace(rule, short=11, long=40))
    assert torch.equal(resized, expected)
    other, _ = plain(image, target, generator(0))
    assert other.shape != resized.shape or not torch.equal(other, resized)


@given(sample=samples(), seed=seeds, crop=st.none() | st.integers(4, 40))
def test_no_side_is_longer_than_said(
    sample: Sample, seed: int, crop: int | None
) -> None:
    wild = replace(WILD, crop=crop)
    image, _ = wild(*in_range(sample), generator(seed))
    assert max(image.shape[1:]) <= wild.largest_side
    assert wild.largest_side == min(60, crop or 60)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"horizontal_flip": -0.1}, "horizontal_flip is -0.1; expected 0 to 1"),
        ({"vertical_flip": 2}, "vertical_flip is 2; expected 0 to 1"),
        ({"color_jitter": math.nan}, "color_jitter is nan; expected 0 to 1"),
        ({"min_sizes": ()}, r"min_sizes are \[\]; expected some"),
        ({"min_sizes": (800, 0)}, r"min_sizes are \[800, 0\]"),
        ({"max_size": 0}, "max_size is 0; expected 1 or more"),
        ({"crop": 0}, "crop is 0; expected 1 or more"),
        (
            {"scale_jitter": (2.0, 1.0)},
            r"scale_jitter is \[2.0, 1.0\]; expected 0 < lo",
        ),
        ({"scale_jitter": (0.0, 1.0)}, "scale_jitter is"),
        (
            {"keypoint_swap": (0, 0)},
            r"keypoint_swap is \[0, 0\]; expected each of 0 to",
        ),
    ],
)
def test_values_that_mean_nothing_are_refused(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TrainTransform(**values)


def test_all_sizes_are_drawn() -> None:
    sized = TrainTransform(min_sizes=(6, 12, 18))
    heights = {sized(*one_person(), generator(s))[0].shape[1] for s in range(30)}
    assert heights == {6, 12, 18}


def test_no_jitter_is_the_same_color() -> None:
    image = torch.rand(3, 4, 5)
    assert torch.allclose(jitter_colors(image, 0.0, generator(0)), image, atol=1e-6)


def test_quarter_turns_show_all_eight() -> None:
    turning = TrainTransform(quarter_turns=True, vertical_flip=0.5, min_sizes=(2,))
    image = torch.arange(4.0).expand(3, 4).reshape(3, 2, 2)
    nothing = empty_target(2, 2)
    seen = {
        tuple(turning(image, nothing, generator(seed))[0][0].flatten().tolist())
        for seed in range(60)
    }
    assert len(seen) == 8
