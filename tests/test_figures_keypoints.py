"""Pictures of keypoints: their numbers by hand, and what is on the axes against these.

Deliberate faults, and the test that caught each:

- (column, row) for (row, column); points that are not labelled drawn; hidden ones as
  visible ones; a bin as high as it is wide; a bin filled from the image's corner ->
  test_target_bins_by_hand
- one softmax over all maps; no maximum taken away -> test_maps_are_probabilities
- (y, x) for the ring; the map over the whole image; frames around panels without a map
  -> test_maps_stand_over_their_box
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.keypoints import draw_keypoint_maps, draw_target_bins

Array = np.ndarray[Any, np.dtype[Any]]

ROI = np.array([10.0, 20, 18, 60])  # 4 x 4 bins of 2 x 10 pixels
POINTS = np.array(
    [[11.0, 55, 2], [18, 20, 2], [15, 30, 1], [9, 40, 2], [14, 40, 0]]
)  # inside, in the upper right corner, hidden, outside, not labelled


def boxes_of(axes: Axes, gid: str) -> Array:
    found = [p.get_bbox().extents for p in axes.patches if p.get_gid() == gid]
    return np.array(found).reshape(-1, 4)


def test_target_bins_by_hand() -> None:
    axes = Figure().subplots()
    told = draw_target_bins(axes, POINTS, ROI, size=4)
    assert told.bins == ((3, 0), (0, 3), (1, 2), None, None)
    np.testing.assert_allclose(
        boxes_of(axes, "bin"), [[10, 50, 12, 60], [16, 20, 18, 30], [14, 30, 16, 40]]
    )
    np.testing.assert_array_equal(boxes_of(axes, "roi"), [ROI])
    dots = [line for line in axes.lines if line.get_gid() == "keypoint"]
    places = [(line.get_xdata()[0], line.get_ydata()[0]) for line in dots]
    assert places == [(11, 55), (18, 20), (15, 30), (9, 40)]
    assert [line.get_marker() for line in dots] == ["o", "o", "o", "x"]
    filled = [line.get_markerfacecolor() != "none" for line in dots[:3]]
    assert filled == [True, True, False]
    assert to_rgba(str(dots[3].get_markeredgecolor())) == to_rgba(palette.FAULT)
    assert [text.get_text() for text in axes.texts] == ["0", "1", "2", "3"]


def test_maps_are_probabilities() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 3, (2, 4, 4))
    logits[1] += 5000
    image = np.zeros((64, 64, 3), np.uint8)
    _, told = draw_keypoint_maps(image, logits, ROI, ["head", "foot"])
    np.testing.assert_allclose(told.probabilities.sum(axis=(1, 2)), 1)
    head = np.exp(logits[0]) / np.exp(logits[0]).sum()
    np.testing.assert_allclose(told.probabilities[0], head)


def test_maps_stand_over_their_box() -> None:
    logits = np.zeros((3, 4, 4))
    logits[0, 3, 0] = logits[1, 0, 2] = logits[2, 1, 1] = 2
    image = np.zeros((64, 40, 3), np.uint8)
    names = ["head", "hand", "foot"]
    figure, told = draw_keypoint_maps(image, logits, ROI, names, columns=2)
    score = np.exp(2) / (np.exp(2) + 15)
    expected = [[11, 55, score], [15, 25, score], [13, 35, score]]
    np.testing.assert_allclose(told.places, expected)
    for axes, (x, y, _), name, heat in zip(
        figure.axes[:3], told.places, names, told.probabilities, strict=True
    ):
        ground, shown = axes.images
        assert tuple(ground.get_extent()) == (0, 40, 64, 0)
        assert tuple(shown.get_extent()) == (10, 18, 60, 20)
        strength = np.asarray(shown.get_array())
        assert strength.argmax() == heat.argmax()
        assert strength.max() == 1
        (ring,) = (line for line in axes.lines if line.get_gid() == "place")
        assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (x, y)
        assert axes.get_title() == f"{name} {score:.2f}"
    assert not figure.axes[3].axison
