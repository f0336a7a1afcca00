"""Pictures of whole models: the walk through one, and ablations.

Deliberate faults, and the test that caught each:

- boxes half a pixel off -> test_the_walk_draws_what_it_tells
- rows for columns of a map -> test_the_walk_draws_what_it_tells
- the mean over seeds of another arm -> test_an_ablation_draws_what_it_tells
- pictures in columns instead of rows -> test_pictures_stand_under_their_titles
- runs joined by rank, not by seed -> test_an_ablation_draws_what_it_tells
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from maskrcnn_scratch.figures.ablation import draw_ablation
from maskrcnn_scratch.figures.model_walk import SHOWN_PROPOSALS, draw_model_walk
from maskrcnn_scratch.figures.pictures import draw_pictures


def walk(maps: dict[str, np.ndarray], proposals: int = 25) -> tuple:
    boxes = np.array([[float(n), 1, n + 4, 7] for n in range(proposals)])
    image = np.zeros((24, 40, 3))
    return draw_model_walk(
        *(image, maps, boxes, "star", boxes[2], np.eye(6), np.ones((24, 40), bool))
    )


def test_the_walk_draws_what_it_tells() -> None:
    values = np.zeros((2, 6, 10))
    values[:, 4, 7] = 3, 4
    figure, told = walk({"P2": values, "P3": values[:, :3, :5]})
    assert told.cells == {"P2": (6, 10), "P3": (3, 5)}
    assert told.proposals == SHOWN_PROPOSALS
    assert told.mask_size == (6, 6)
    axes = figure.axes
    assert axes[1].get_title() == "P2: 6 x 10 cells"
    shown = axes[1].get_images()[0].get_array()
    assert shown[4, 7] == 5
    assert shown.sum() == 5
    assert not axes[3].axison
    assert len(axes[4].lines) == SHOWN_PROPOSALS
    (line,) = axes[5].lines
    assert list(line.get_xdata()) == [1.5, 5.5, 5.5, 1.5, 1.5]
    assert list(line.get_ydata()) == [0.5, 0.5, 6.5, 6.5, 0.5]
    assert axes[5].get_xlim() == (-0.5, 39.5)


def test_a_walk_has_room_for_three_maps() -> None:
    with pytest.raises(ValueError, match="4 maps"):
        walk({f"P{n}": np.zeros((1, 2, 2)) for n in range(2, 6)})


def test_an_ablation_draws_what_it_tells() -> None:
    measured = {"align": [0.8, 0.6], "pool": [0.5, 0.55]}
    figure, told = draw_ablation(measured, {"align": 30.2, "pool": 26.9}, "Table 2c")
    assert told.means == pytest.approx({"align": 0.7, "pool": 0.525})
    assert told.paper == {"align": 30.2, "pool": 26.9}
    ours, theirs = figure.axes
    first, second, means = ours.lines
    assert list(first.get_xdata()) == [0.8, 0.5]
    assert list(second.get_xdata()) == [0.6, 0.55]
    assert list(first.get_ydata()) == [0, 1]
    assert list(means.get_xdata()) == pytest.approx([0.7, 0.525])
    assert [bar.get_width() for bar in theirs.patches] == [30.2, 26.9]
    assert [label.get_text() for label in ours.get_yticklabels()] == ["align", "pool"]
    assert ours.get_ylim()[0] > ours.get_ylim()[1]


def test_arms_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="arms measured are"):
        draw_ablation({"a": [1.0]}, {"b": 1.0}, "")
    with pytest.raises(ValueError, match="arms measured are"):
        draw_ablation({}, {}, "")


def test_pictures_stand_under_their_titles() -> None:
    pictures = [Image.new("RGB", (8, 8), (n, 0, 0)) for n in range(5)]
    figure = draw_pictures(pictures, [f"no. {n}" for n in range(5)], columns=3)
    assert len(figure.axes) == 6
    for number, axes in enumerate(figure.axes[:5]):
        assert axes.get_title() == f"no. {number}"
        assert axes.get_images()[0].get_array()[0, 0, 0] == number
    assert not figure.axes[5].get_images()
    with pytest.raises(ValueError, match="5 pictures and 4 titles"):
        draw_pictures(pictures, ["a"] * 4)
