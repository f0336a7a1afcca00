"""Generated stick figures: keypoints where the figure is, and visible where it shows.

Deliberate faults, and the test that caught each:

- x for y of the keypoints -> test_points_outside_the_image_are_unlabelled
- hidden points as visible -> test_a_visible_point_lies_on_its_figure
- points outside the image kept -> test_points_outside_the_image_are_unlabelled
- left and right exchanged -> test_the_left_hand_is_at_the_right_of_who_faces_us
- image i depends on the count -> test_an_image_depends_on_its_number_alone
- a stick as an endless line -> test_a_stick_s_distance_by_hand
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskrcnn_scratch.data import stick_figures as sticks
from maskrcnn_scratch.data.transforms import boxes_around

SEEDS = st.integers(0, 10**6)
HEAD, NECK, HIP, LEFT_HAND, RIGHT_HAND, LEFT_FOOT, RIGHT_FOOT = range(7)


@settings(max_examples=30)
@given(seed=SEEDS, size=st.integers(64, 140))
def test_targets_are_whole(seed: int, size: int) -> None:
    [(image, target)] = sticks.generate_figures(1, size, seed)
    assert image.shape == (3, size, size)
    assert 1 <= len(target) <= sticks.MOST_FIGURES
    assert target.masks is not None
    assert target.keypoints is not None
    assert target.masks.sum(0).max() == 1
    assert torch.equal(target.boxes, boxes_around(target.masks))
    assert set(target.labels.tolist()) == {1}
    points = len(sticks.KEYPOINT_NAMES)
    assert target.keypoints.shape == (len(target), points, 3)
    assert ((target.keypoints[..., 2] > 0).sum(1) >= sticks.LEAST_INSIDE).all()


def labelled(scene: sticks.Figures, visibility: float) -> list[tuple[int, int, int]]:
    """(figure, row, column) of the points with this visibility."""
    return [
        (figure, int(y), int(x))
        for figure, points in enumerate(scene.keypoints)
        for x, y, v in points
        if v == visibility
    ]


@settings(max_examples=30)
@given(seed=SEEDS)
def test_a_visible_point_lies_on_its_figure(seed: int) -> None:
    scene = sticks.draw_figures(96, np.random.default_rng(seed))
    for figure, row, column in labelled(scene, sticks.VISIBLE):
        assert scene.masks[figure, row, column]


@settings(max_examples=30)
@given(seed=SEEDS)
def test_hidden_points_lie_under_a_nearer_figure(seed: int) -> None:
    scene = sticks.draw_figures(96, np.random.default_rng(seed))
    for figure, row, column in labelled(scene, sticks.HIDDEN):
        assert scene.masks[figure + 1 :, row, column].any()


def test_all_kinds_of_points_occur() -> None:
    seen = [sticks.draw_figures(96, np.random.default_rng(n)) for n in range(60)]
    values = np.concatenate([scene.keypoints[..., 2].ravel() for scene in seen])
    for visibility in (sticks.UNLABELLED, sticks.HIDDEN, sticks.VISIBLE):
        assert (values == visibility).mean() > 0.01


def test_points_outside_the_image_are_unlabelled() -> None:
    mask = np.ones((10, 10), np.bool_)
    mask[4, 2] = False
    pose = np.array([[2.5, 4.5], [4.5, 2.5], [10.0, 3.0], [-0.25, 5.0]])
    told = sticks.with_visibility(pose, mask)
    expected = [[2.5, 4.5, 1], [4.5, 2.5, 2], [0, 0, 0], [0, 0, 0]]
    assert told.tolist() == expected


@given(seed=SEEDS)
def test_the_left_hand_is_at_the_right_of_who_faces_us(seed: int) -> None:
    """And so is the left foot: on the other side of the body's axis, at all leans."""
    pose, height = sticks.draw_pose(128, np.random.default_rng(seed))
    axis_x, axis_y = pose[HIP] - pose[NECK]
    for left, right in ((LEFT_HAND, RIGHT_HAND), (LEFT_FOOT, RIGHT_FOOT)):
        sides = [
            axis_y * (pose[end] - pose[NECK])[0] - axis_x * (pose[end] - pose[NECK])[1]
            for end in (left, right)
        ]
        assert sides[0] > 0 > sides[1]
    assert np.linalg.norm(pose[NECK] - pose[HEAD]) == pytest.approx(
        sticks.NECK * height
    )
    assert pose[HEAD, 1] < pose[HIP, 1]  # upright: the head is above the hip


def test_a_stick_s_distance_by_hand() -> None:
    """From points of a grid to the stick from (1, 1) to (3, 1)."""
    samples = np.array([0.0, 2.0, 5.0])
    squared = sticks.squared_distance(samples, np.array([1.0, 1.0]), np.array([3.0, 1]))
    assert squared.tolist() == [[2, 1, 5], [2, 1, 5], [17, 16, 20]]


def test_an_image_depends_on_its_number_alone() -> None:
    few, many = (sticks.generate_figures(n, 64, seed=4) for n in (2, 4))
    for (image, target), (same, again) in zip(few, many[:2], strict=True):
        assert torch.equal(image, same)
        assert torch.equal(target.keypoints, again.keypoints)
        assert target.image_id == again.image_id
    assert not torch.equal(many[0][0], many[1][0])
    assert not torch.equal(few[0][0], sticks.generate_figures(1, 64, seed=5)[0][0])


def test_small_images_are_refused() -> None:
    with pytest.raises(ValueError, match="size is 40 pixels"):
        sticks.generate_figures(1, 40)
