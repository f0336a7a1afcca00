"""The panels of the box head's steps, and the counts that they return."""

from __future__ import annotations

import numpy as np
import pytest

from maskrcnn_scratch.figures.detection_steps import (
    draw_detected,
    draw_detection_steps,
)

IMAGE = np.zeros((20, 30, 3), np.uint8)
BOXES = np.array([[1.0, 2, 9, 12], [3, 4, 25, 18], [0, 0, 30, 20]])


def test_every_step_shows_its_boxes() -> None:
    steps = {"RoIs": BOXES, "after NMS": BOXES[[1, 0]]}
    figure, counts = draw_detection_steps(IMAGE, steps, ["star 0.9", "disc 0.8"])
    assert counts == {"RoIs": 3, "after NMS": 2}
    assert [axes.get_title() for axes in figure.axes] == ["RoIs: 3", "after NMS: 2"]
    for axes, boxes in zip(figure.axes, steps.values(), strict=True):
        drawn = [patch.get_bbox().extents.tolist() for patch in axes.patches]
        assert drawn == boxes.tolist()
        assert axes.get_ylim() == (20, 0)
        assert axes.get_xlim() == (0, 30)
    first, last = figure.axes
    assert (
        len(draw_detection_steps(IMAGE, {**steps, "last": BOXES[:0]}, [])[0].axes) == 3
    )
    assert not first.texts
    captions = {text.get_text(): text.get_position() for text in last.texts}
    assert captions.keys() == {"star 0.9", "disc 0.8"}
    for box, (x, y) in zip(BOXES[[1, 0]], captions.values(), strict=True):
        assert box[0] < x < box[2]
        assert box[1] < y < box[3]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="1 steps and 1 captions"):
        draw_detection_steps(IMAGE, {"RoIs": BOXES}, ["one"])
    with pytest.raises(ValueError, match="0 steps"):
        draw_detection_steps(IMAGE, {}, [])


def test_lists_side_by_side_mark_what_differs() -> None:
    scores, labels = np.array([0.9, 0.8, 0.7]), np.array([1, 2, 1])
    other_labels = np.array([1, 1, 1])
    figure = draw_detected((20, 30), (BOXES, scores, labels), (
        BOXES[:2], scores[:2], other_labels[:2],
    ))  # fmt: skip
    expected, got = figure.axes
    assert expected.get_title().startswith("expected: 3")
    assert got.get_title().startswith("got: 2")
    kinds = [[patch.get_gid() for patch in axes.patches] for axes in (expected, got)]
    assert kinds == [
        ["image", "shared", "alone", "alone"],
        ["image", "shared", "alone"],
    ]
    assert [text.get_text() for text in expected.texts] == [
        "1: 0.90", "2: 0.80", "1: 0.70",
    ]  # fmt: skip


def test_a_score_or_a_box_apart_is_another_detection() -> None:
    own = BOXES[:1], np.array([0.9]), np.array([1])
    for box, score in (
        (BOXES[:1], 0.8),
        (np.array([[1.0, 2, 9, 13]]), 0.9),
        (BOXES[:0], 0.9),
    ):
        other = box, np.full(len(box), score), np.ones(len(box))
        (_, kind) = (patch.get_gid() for patch in draw_detected(
            (20, 30), own, other).axes[0].patches)  # fmt: skip
        assert kind == "alone"
