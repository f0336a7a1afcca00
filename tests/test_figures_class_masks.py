"""The pictures of one mask for each class, and the numbers that they return."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.class_masks import draw_class_maps, draw_competition


def test_only_softmax_lets_another_class_in() -> None:
    axes = Figure().subplots()
    told = draw_competition(axes, own=1.5)
    np.testing.assert_allclose(told.sigmoid, np.log(1 + np.exp(-1.5)))
    away = np.exp(0 - 1.5) + np.exp(told.other - 1.5)
    np.testing.assert_allclose(told.softmax, np.log(1 + away))
    softmax, sigmoid = axes.lines
    np.testing.assert_array_equal(softmax.get_ydata(), told.softmax)
    np.testing.assert_array_equal(sigmoid.get_ydata(), told.sigmoid)
    assert softmax.get_color() != sigmoid.get_color()


def test_each_class_has_a_map_and_the_predicted_ones_are_framed() -> None:
    maps = np.zeros((2, 3, 4, 4))
    maps[0, 1] = 0.5
    maps[1, 2, :1] = 0.9
    boxes = np.array([[1.0, 2, 5, 8], [0, 0, 10, 6]])
    image = np.zeros((10, 12, 3), np.uint8)
    figure, told = draw_class_maps(image, boxes, maps, [2, 3], ["a", "b", "c"])
    np.testing.assert_array_equal(told.shares, [[0, 1, 0], [0, 0, 0.25]])
    panels = np.array(figure.axes).reshape(2, 4)
    assert [axes.get_title() for axes in panels[0]] == ["the RoI", "a", "b", "c"]
    framed = [[axes.get_gid() == "chosen" for axes in row[1:]] for row in panels]
    assert framed == [[False, True, False], [False, False, True]]
    frames = {
        axes.get_gid(): axes.spines["top"].get_linewidth()
        for axes in panels[:, 1:].flatten()
    }
    assert frames["chosen"] > 2 * frames["other"]
    for row, own, box in zip(panels, maps, boxes, strict=True):
        (roi,) = row[0].patches
        x1, y1, x2, y2 = box
        assert roi.get_bbox().extents.tolist() == [x1, y1, x2, y2]
        left, right = row[0].get_xlim()
        assert left < x1 < x2 < right
        for axes, values in zip(row[1:], own, strict=True):
            np.testing.assert_array_equal(axes.images[0].get_array(), values)


def test_no_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="no objects"):
        draw_class_maps(
            np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4)), np.zeros((0, 1, 2, 2)),
            [], ["a"],
        )  # fmt: skip
