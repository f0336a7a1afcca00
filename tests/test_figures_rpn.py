"""Pictures of the RPN's training and of its proposals.

Their numbers against values by hand, and what is on the axes against these.

Deliberate faults, and the test that caught each:

- without low-quality matches; a higher threshold; ignored and negative exchanged ->
  test_matching_by_hand
- kinds not looked at; anchors not cut at the image; width for height ->
  test_matching_draws_its_kinds
- the sum of IoUs for the greatest; more than enough for at least enough ->
  test_proposals_by_hand
- found objects dashed, the others not; width for height of the picture ->
  test_proposals_draw_what_they_tell
- one box for all; boxes that are no numbers set the limits ->
  test_two_lists_stand_in_their_panels
- 1/4 read as 1; the loss for the slope -> test_smooth_l1_by_hand
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from maskrcnn_scratch.figures import palette
from maskrcnn_scratch.figures.matching import draw_matching
from maskrcnn_scratch.figures.proposals import draw_proposals, draw_two_lists
from maskrcnn_scratch.figures.smooth_l1 import draw_smooth_l1

Array = np.ndarray[Any, np.dtype[Any]]

OBJECTS = np.array([[0.0, 0, 10, 10], [20, 20, 30, 30]])
ANCHORS = np.array(
    [
        [0.0, 0, 10, 8],  # 0.8 of object 0
        [0, 0, 10, 5],  # 0.5 of it
        [0, 0, 5, 2],  # 0.1
        [20, 20, 24, 30],  # 0.4 of object 1, and so has the next
        [26, 20, 30, 30],
        [40, 40, 50, 50],
    ]
)


def new_axes() -> Axes:
    return Figure().subplots()


def boxes_of(axes: Axes, gid: str) -> Array:
    """The rectangles of a kind, as x1, y1, x2, y2."""
    found = [p.get_bbox().extents for p in axes.patches if p.get_gid() == gid]
    return np.array(found).reshape(-1, 4)


def test_matching_by_hand() -> None:
    told = draw_matching(new_axes(), (60, 60), OBJECTS, ANCHORS)
    np.testing.assert_allclose(
        told.iou, [[0.8, 0.5, 0.1, 0, 0, 0], [0, 0, 0, 0.4, 0.4, 0]]
    )
    assert told.matched.tolist() == [0, -2, -1, 1, 1, -1]
    assert told.of_kind("positive").tolist() == [0, 3, 4]
    assert told.of_kind("ignored").tolist() == [1]
    assert told.of_kind("negative").tolist() == [2, 5]
    strict = draw_matching(new_axes(), (60, 60), OBJECTS, ANCHORS, high=0.5, low=0.05)
    assert strict.matched.tolist() == [0, 0, -2, 1, 1, -1]


def test_matching_draws_its_kinds() -> None:
    axes = new_axes()
    told = draw_matching(axes, (60, 40), OBJECTS, ANCHORS)
    np.testing.assert_array_equal(boxes_of(axes, "object"), OBJECTS)
    for kind in ("positive", "ignored", "negative"):
        np.testing.assert_array_equal(boxes_of(axes, kind), ANCHORS[told.of_kind(kind)])
    anchors = [p for p in axes.patches if p.get_gid() in ("positive", "negative")]
    assert all(patch.get_clip_on() for patch in anchors)
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 40), (60, 0))
    legend = axes.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["2 negative", "1 ignored", "3 positive"]

    axes = new_axes()
    draw_matching(axes, (60, 60), OBJECTS, ANCHORS, kinds=["ignored"])
    assert len(boxes_of(axes, "ignored")) == 1
    assert len(boxes_of(axes, "positive")) == len(boxes_of(axes, "negative")) == 0


@pytest.fixture
def picture() -> Array:
    return np.full((40, 60, 3), 100, np.uint8)


def test_proposals_by_hand(picture: Array) -> None:
    proposals = np.array([[0.0, 0, 10, 5], [0, 0, 5, 5], [20, 20, 24, 30]])
    told = draw_proposals(new_axes(), picture, OBJECTS, proposals)
    np.testing.assert_allclose(told.iou, [0.5, 0.4])
    assert told.found == (0,)
    assert draw_proposals(new_axes(), picture, OBJECTS, proposals, 0.4).found == (0, 1)
    nothing = draw_proposals(new_axes(), picture, OBJECTS, proposals[:0])
    assert nothing.iou.tolist() == [0, 0]
    assert nothing.found == ()


def test_proposals_draw_what_they_tell(picture: Array) -> None:
    axes = new_axes()
    draw_proposals(axes, picture, OBJECTS, ANCHORS[:3])
    np.testing.assert_array_equal(boxes_of(axes, "proposal"), ANCHORS[:3])
    np.testing.assert_array_equal(boxes_of(axes, "object"), OBJECTS)
    lines = [p.get_linestyle() for p in axes.patches if p.get_gid() == "object"]
    assert lines == ["-", "--"]
    assert axes.get_title() == "3 proposals hold 1 of 2 objects"
    (image,) = axes.images
    assert tuple(image.get_extent()) == (0, 60, 40, 0)
    pale = np.asarray(image.get_array())
    assert 100 < pale.min() == pale.max() < 255


def test_two_lists_stand_in_their_panels() -> None:
    strange = np.array([[0.0, 0, 4, 4], [np.nan, 0, 1, 1]])
    figure = draw_two_lists((40, 60), OBJECTS, strange)
    left, right = figure.axes
    np.testing.assert_array_equal(boxes_of(left, "box"), OBJECTS)
    np.testing.assert_array_equal(boxes_of(right, "box")[0], strange[0])
    assert [text.get_text() for text in left.texts] == ["0", "1"]
    assert (left.get_title(), right.get_title()) == ("expected", "got")
    assert left.get_xlim() == right.get_xlim() == (-1, 61)
    assert left.get_ylim() == (41, -1)
    for axes in (left, right):
        (whole,) = (p for p in axes.patches if p.get_gid() == "image")
        assert isinstance(whole, Rectangle)
        assert (whole.get_width(), whole.get_height()) == (60, 40)


def test_smooth_l1_by_hand() -> None:
    losses, slopes = Figure().subplots(1, 2)
    told = draw_smooth_l1(losses, slopes, ("2", "1/4", "0"))
    assert list(told.loss) == list(told.slope) == [2, 0.25, 0]
    one, half, zero = (int(np.flatnonzero(told.d == d)[0]) for d in (1, -0.5, 0))
    assert [told.loss[beta][one] for beta in told.loss] == [0.25, 0.875, 1]
    assert [told.loss[beta][half] for beta in told.loss] == [0.0625, 0.375, 0.5]
    assert [told.slope[beta][half] for beta in told.slope] == [-0.25, -1, -1]
    assert [told.loss[beta][zero] for beta in told.loss] == [0, 0, 0]
    for axes, curves in ((losses, told.loss), (slopes, told.slope)):
        for line, beta in zip(axes.lines, curves, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), told.d)
            np.testing.assert_array_equal(line.get_ydata(), curves[beta])
    assert to_rgba(str(losses.lines[0].get_color())) == to_rgba(palette.ROI)
    assert losses.lines[1].get_label() == "beta = 1/4"
