"""The picture of detections that take objects, and the matches that it returns."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.matches import STYLES, draw_matches
from maskrcnn_scratch.reference.average_precision import Annotation, Detection


def test_boxes_are_drawn_by_what_they_take() -> None:
    single, crowd = np.array([0.0, 0, 10, 10]), np.array([20.0, 0, 40, 10])
    objects = [Annotation(1, 1, single, 100), Annotation(1, 1, crowd, 200, crowd=True)]
    boxes = {
        0.5: np.array([0.0, 0, 10, 9]),  # too late: the object is taken
        0.9: np.array([0.0, 1, 10, 10]),
        0.7: np.array([22.0, 2, 30, 8]),  # in the crowd
    }
    detections = [Detection(1, 1, box, score) for score, box in boxes.items()]
    axes = Figure().subplots()
    assert draw_matches(axes, objects, detections, 0.5) == [0, 1, -1]
    drawn = {
        patch.get_gid(): (patch.get_bbox().extents.tolist(), patch)
        for patch in axes.patches
    }
    kinds = {"true positive": 0.9, "left out": 0.7, "false positive": 0.5}
    assert drawn["object"][0] == single.tolist()
    assert drawn["crowd"][0] == crowd.tolist()
    for kind, score in kinds.items():
        extents, patch = drawn[kind]
        assert extents == boxes[score].tolist()
        assert patch.get_linestyle() == STYLES[kind][1]
    scores = {(*text.get_position(), text.get_text()) for text in axes.texts}
    assert scores == {(*box[2:], f"{score:g}") for score, box in boxes.items()}
    legend = axes.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == drawn.keys()
    assert len(set(STYLES.values())) == 3


def test_the_threshold_decides() -> None:
    objects = [Annotation(1, 1, np.array([0.0, 0, 10, 10]), 100)]
    detections = [Detection(1, 1, np.array([0.0, 0, 10, 6]), 0.9)]
    matches = [
        draw_matches(Figure().subplots(), objects, detections, threshold)
        for threshold in (0.5, 0.7)
    ]
    assert matches == [[0], [-1]]


def test_a_single_object_comes_before_a_crowd() -> None:
    box = np.array([0.0, 0, 10, 10])
    crowd = Annotation(1, 1, box, 100, crowd=True)
    single = Annotation(1, 1, np.array([0.0, 0, 10, 8]), 80)
    detections = [Detection(1, 1, box, 0.9)]
    axes = Figure().subplots()
    assert draw_matches(axes, [crowd, single], detections, 0.5) == [1]
    assert axes.patches[-1].get_gid() == "true positive"
