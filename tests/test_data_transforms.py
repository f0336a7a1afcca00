"""Image, boxes, masks and keypoints stay on one another.

Faults tried -> the test that caught them:
- box mirrored at w - 1 instead of w -> test_mirroring_twice_changes_nothing
- box corners mirrored without exchanging them, masks not mirrored
  -> test_mirrored_boxes_fit_mirrored_masks
- keypoint mirrored at w - 1 -> test_keypoints_stay_on_their_pixel
- image flipped along the other axis -> test_image_and_masks_are_mirrored_alike
- no averaging where the image shrinks -> test_shrinking_averages
- left and right not swapped, unlabelled points moved -> test_mirror_names_and_zeros
- mask rows floor(i old / new), without the half pixel -> test_resized_boxes_fit_...
- boxes' x scaled by the ratio of y -> test_resized_boxes_fit_...; keypoints'
  -> test_enlarging_keeps_keypoints_on_their_pixel
- size rounded down, longer side unbounded -> test_sizes_after_resizing
- corners of the image aligned -> test_a_ramp_stays_a_ramp
- crop keeps the boxes' old frame, or keypoints' -> test_a_crop_is_a_window
- the crop's far border counted as inside
  -> test_a_keypoint_on_the_crops_border_is_outside
- proposals left where they were, or cropped-away ones kept
  -> test_proposals_move_like_boxes
- boxes without masks not cut to the crop, or in the old frame
  -> test_masks_change_nothing_else
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import sixteenths

from maskrcnn_scratch.data.resize import ResizeRule
from maskrcnn_scratch.data.transforms import (
    Sample,
    boxes_around,
    crop,
    drop_empty,
    horizontal_flip,
    resize,
    resize_to,
    transpose,
    vertical_flip,
)
from maskrcnn_scratch.structures import Target

Move = Callable[[Sample], Sample]
Mirror = Callable[..., Sample]
MIRRORS = [horizontal_flip, vertical_flip, transpose]
SWAP = (0, 2, 1)  # nose, left hand, right hand


@st.composite
def samples(draw: st.DrawFn, largest: int = 12) -> Sample:
    """Rectangles with tight boxes; each object's keypoint 0 lies on its mask."""
    height, width = draw(st.integers(2, largest)), draw(st.integers(2, largest))
    count = draw(st.integers(0, 3))
    masks = torch.zeros(count, height, width, dtype=torch.uint8)
    keypoints = torch.zeros(count, 3, 3)
    for mask, points in zip(masks, keypoints, strict=True):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        bottom = draw(st.integers(top + 1, height))
        right = draw(st.integers(left + 1, width))
        mask[top:bottom, left:right] = 1
        points[0] = torch.tensor([left + 0.5, bottom - 0.5, 2])
        if draw(st.booleans()):
            x, y = draw(sixteenths(0, width)), draw(sixteenths(0, height))
            points[1] = torch.tensor([x, y, 1])
    image = torch.arange(3.0 * height * width).reshape(3, height, width)
    return image, Target(
        image_id=7,
        boxes=boxes_around(masks),
        labels=torch.arange(1, count + 1),
        masks=masks,
        crowd=torch.zeros(count, dtype=torch.bool),
        keypoints=keypoints,
    )


def moves() -> st.SearchStrategy[Move]:
    """Any of the transforms, with its values drawn."""
    mirrors = st.sampled_from(MIRRORS).map(lambda mirror: lambda s: mirror(*s, SWAP))
    sizes = st.tuples(st.integers(2, 30), st.integers(2, 30))
    resizes = sizes.map(lambda size: lambda sample: resize_to(*sample, size))
    windows = st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(1, 8))
    crops = windows.map(lambda window: lambda sample: crop(*sample, *window))
    return st.one_of(mirrors, resizes, crops)


def assert_equal(one: Sample, other: Sample) -> None:
    assert torch.equal(one[0], other[0])
    for field in ("boxes", "labels", "masks", "crowd", "keypoints"):
        assert torch.equal(getattr(one[1], field), getattr(other[1], field)), field


def assert_on_masks(target: Target) -> None:
    """Keypoint 0 of every object lies on one of its mask's pixels."""
    assert target.keypoints is not None
    for mask, (x, y, _) in zip(target.masks, target.keypoints[:, 0], strict=True):
        assert mask[int(y), int(x)] == 1


@pytest.mark.parametrize("mirror", MIRRORS)
@given(sample=samples())
def test_mirroring_twice_changes_nothing(mirror: Mirror, sample: Sample) -> None:
    assert_equal(mirror(*mirror(*sample, SWAP), SWAP), sample)


@pytest.mark.parametrize("mirror", MIRRORS)
@given(sample=samples())
def test_image_and_masks_are_mirrored_alike(mirror: Mirror, sample: Sample) -> None:
    """An image that shows its masks still does."""
    _, target = sample
    image, mirrored = mirror(target.masks.sum(0).expand(3, -1, -1).float(), target)
    assert torch.equal(image[0], mirrored.masks.sum(0).float())


@pytest.mark.parametrize("mirror", MIRRORS)
@given(sample=samples())
def test_mirrored_boxes_fit_mirrored_masks(mirror: Mirror, sample: Sample) -> None:
    _, target = mirror(*sample)
    assert torch.equal(target.boxes, boxes_around(target.masks))


@pytest.mark.parametrize("mirror", MIRRORS)
@given(sample=samples())
def test_keypoints_stay_on_their_pixel(mirror: Mirror, sample: Sample) -> None:
    _, target = mirror(*sample)
    assert_on_masks(target)


@given(sample=samples())
def test_quarter_turns_add_up(sample: Sample) -> None:
    turned = sample
    for _ in range(4):
        turned = horizontal_flip(*transpose(*turned, SWAP), SWAP)
    assert_equal(turned, sample)


def without_masks(sample: Sample) -> Sample:
    return sample[0], replace(sample[1], masks=None)


@given(sample=samples(), move=moves())
def test_masks_change_nothing_else(sample: Sample, move: Move) -> None:
    """These masks fill their boxes, so boxes alone tell the same."""
    image, target = move(sample)
    alone_image, alone = move(without_masks(sample))
    assert torch.equal(alone_image, image)
    assert alone.masks is None
    assert_equal((image, replace(alone, masks=target.masks)), (image, target))


@given(sample=samples(), move=moves())
def test_proposals_move_like_boxes(sample: Sample, move: Move) -> None:
    """Proposals that are the objects' boxes are so afterwards."""
    image, target = without_masks(sample)
    _, moved = move((image, replace(target, proposals=target.boxes)))
    assert moved.proposals is not None
    assert torch.equal(moved.proposals, moved.boxes)


@given(sample=samples(), move=moves())
def test_proposals_are_no_objects(sample: Sample, move: Move) -> None:
    """Which objects there are is nothing to them."""
    image, target = sample
    boxes = torch.tensor([[0.0, 0, 1, 1]])
    _, moved = move((image, replace(target, proposals=boxes)))
    nothing = target.select(torch.zeros(len(target), dtype=torch.bool))
    _, alone = move((image, replace(nothing, proposals=boxes)))
    assert moved.proposals is not None
    assert alone.proposals is not None
    assert torch.equal(moved.proposals, alone.proposals)


def one_person() -> Sample:
    points = torch.tensor([[[4.5, 2.5, 2], [0, 0, 0], [1.25, 3, 1]]])
    masks = torch.ones(1, 6, 8, dtype=torch.uint8)
    return torch.zeros(3, 6, 8), Target(
        image_id=1,
        boxes=torch.tensor([[1.5, 2, 7, 5]]),
        labels=torch.tensor([1]),
        masks=masks,
        crowd=torch.tensor([False]),
        keypoints=points,
    )


def test_mirror_names_and_zeros() -> None:
    _, target = horizontal_flip(*one_person(), SWAP)
    assert target.boxes.tolist() == [[1, 2, 6.5, 5]]
    assert target.keypoints is not None
    # The right hand is a left one now; the left, not labelled, stays at zero.
    expected = [[3.5, 2.5, 2], [6.75, 3, 1], [0, 0, 0]]
    assert target.keypoints[0].tolist() == expected


@given(sample=samples(), height=st.integers(1, 30), width=st.integers(1, 30))
def test_resized_boxes_fit_resized_masks(
    sample: Sample, height: int, width: int
) -> None:
    """A mask's edge lies at a pixel's edge, so half a pixel off at most."""
    _, target = resize_to(*sample, (height, width))
    target = drop_empty(target)
    assert target.masks.shape[1:] == (height, width)
    assert (target.boxes - boxes_around(target.masks)).abs().le(0.5 + 1e-4).all()


@given(sample=samples(), height=st.integers(12, 40), width=st.integers(12, 40))
def test_enlarging_keeps_keypoints_on_their_pixel(
    sample: Sample, height: int, width: int
) -> None:
    _, target = resize_to(*sample, (height, width))
    assert_on_masks(target)


@given(sample=samples(), factor=st.integers(1, 4))
def test_enlarging_by_a_whole_number_is_undone(sample: Sample, factor: int) -> None:
    height, width = sample[0].shape[1:]
    _, large = resize_to(*sample, (factor * height, factor * width))
    assert torch.equal(large.masks[:, ::factor, ::factor], sample[1].masks)
    assert torch.equal(large.boxes, factor * sample[1].boxes)
    assert large.masks.sum() == factor**2 * sample[1].masks.sum()


@given(old=st.integers(4, 20), new=st.integers(4, 60))
def test_a_ramp_stays_a_ramp(old: int, new: int) -> None:
    """Pixel i holds the x of its centre, before and after, but for the border."""
    assume(new >= old)
    image = (torch.arange(old) + 0.5).expand(3, 2, old)
    resized, _ = resize_to(image, empty_target(2, old), (2, new))
    expected = ((torch.arange(new) + 0.5) * old / new).clamp(0.5, old - 0.5)
    assert torch.allclose(resized[0, 0], expected, atol=1e-4)


def empty_target(height: int, width: int) -> Target:
    return Target(
        image_id=1,
        boxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.int64),
        masks=torch.zeros(0, height, width, dtype=torch.uint8),
        crowd=torch.zeros(0, dtype=torch.bool),
    )


@pytest.mark.parametrize("column", range(8, 16))
def test_shrinking_averages(column: int) -> None:
    """No pixel is skipped: a bright line keeps its share of the light."""
    image = torch.zeros(3, 32, 32)
    image[:, :, column] = 1
    averaging = ResizeRule(short=4, long=4)
    resized, _ = resize(image, empty_target(32, 32), averaging)
    assert float(resized.mean()) == pytest.approx(1 / 32, rel=0.1)


def test_a_keypoint_on_the_crops_border_is_outside() -> None:
    """The window's pixels end before it."""
    _, target = crop(*one_person(), top=0, left=0, side=4)
    assert target.keypoints is not None
    assert target.keypoints[0].tolist() == [[0, 0, 0], [0, 0, 0], [1.25, 3, 1]]
    image, person = one_person()
    assert person.keypoints is not None
    at_border = replace(person, keypoints=torch.tensor([[[4.0, 1, 2], [1, 4, 2]]]))
    _, target = crop(image, at_border, top=0, left=0, side=4)
    assert target.keypoints is not None
    assert not target.keypoints.any()


@given(
    sample=samples(),
    top=st.integers(0, 6),
    left=st.integers(0, 6),
    side=st.integers(1, 8),
)
def test_a_crop_is_a_window(sample: Sample, top: int, left: int, side: int) -> None:
    image, target = sample
    assume(top < image.shape[1] and left < image.shape[2])
    small, cut = crop(*sample, top, left, side)
    rows, columns = slice(top, top + side), slice(left, left + side)
    assert torch.equal(small, image[:, rows, columns])
    kept = target.masks[:, rows, columns].flatten(1).any(1).bool()
    assert torch.equal(cut.masks, target.masks[kept][:, rows, columns])
    assert torch.equal(cut.labels, target.labels[kept])
    assert torch.equal(cut.boxes, boxes_around(cut.masks))
    assert target.keypoints is not None
    assert cut.keypoints is not None
    for before, after in zip(
        target.keypoints[kept].view(-1, 3), cut.keypoints.view(-1, 3), strict=True
    ):
        x, y, v = (before - torch.tensor([left, top, 0])).tolist()
        inside = v > 0 and 0 <= x < small.shape[2] and 0 <= y < small.shape[1]
        assert after.tolist() == ([x, y, v] if inside else [0, 0, 0])


def test_objects_without_a_pixel_are_dropped() -> None:
    _, target = one_person()
    assert len(drop_empty(target)) == 1
    assert len(drop_empty(replace(target, masks=torch.zeros_like(target.masks)))) == 0


@given(mask=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1))
def test_boxes_around_is_the_least_box(mask: list[list[bool]]) -> None:
    assume(any(any(row) for row in mask))
    filled = np.array(mask)
    rows, columns = np.nonzero(filled)
    box = boxes_around(torch.from_numpy(filled[None].astype(np.uint8)))[0]
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert box.tolist() == expected
