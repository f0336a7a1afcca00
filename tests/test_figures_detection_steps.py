"""The panels of the box head's steps, and the counts that they return."""

from __future__ import annotations

import numpy as np
import pytest

from maskrcnn_scratch.figures.detection_steps import draw_detection_steps

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
