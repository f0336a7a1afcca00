"""Keypoints and boxes without masks, from the model to pictures and files.

Faults put in on purpose, and the first test that caught each:

- keypoints left in the scaled frame; x by the ratio of y; scores scaled
  -> keypoints_come_back_to_the_image
- the half pixel not taken off; masks wanted for the table -> files_without_masks
- unlabelled points drawn; lines to them; hidden ones as visible
  -> the_picture_shows_what_is_labelled
- points of low score left out -> every_detected_point_is_drawn
- the skeleton counted from 1 -> the_skeleton_of_a_data_set
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_coco
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_training import tiny_config
from torch import Tensor, nn

from maskrcnn_scratch.data import CocoDataset
from maskrcnn_scratch.inference import Predictor, predict_files
from maskrcnn_scratch.inference.overlay import (
    SHOWN_SIDE,
    distinct_colors,
    draw_detections,
    draw_target,
)
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.structures import Detections, Target

SIZE = (SHOWN_SIDE, SHOWN_SIDE)  # shown as it is
GREY = torch.full((3, *SIZE), 0.7)


class Poser(MaskRCNN):
    """Finds the proposals, and two points: a box's corners; no masks."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.unused = nn.Parameter(torch.zeros(1))
        self.config = tiny_config().model

    def forward(
        self,
        images: list[Tensor],
        targets: list[Target] | None = None,
        proposals: list[Tensor] | None = None,
    ) -> list[Detections]:
        height, width = images[0].shape[1:]
        whole = torch.tensor([[0.0, 0, width, height]])
        boxes = whole if proposals is None else proposals[0]
        count = len(boxes)
        points = torch.cat([boxes.view(-1, 2, 2), torch.ones(count, 2, 1) / 4], dim=2)
        return [
            Detections(
                boxes=boxes,
                scores=torch.linspace(0.9, 0.1, count),
                labels=torch.ones(count, dtype=torch.int64),
                keypoints=points,
            )
        ]


@given(height=st.integers(20, 90), width=st.integers(20, 90))
def test_keypoints_come_back_to_the_image(height: int, width: int) -> None:
    """As boxes do, and proposals on their way there."""
    image = torch.rand(3, height, width)
    proposals = torch.tensor([[2.0, 3, 12, 17], [0, 0, 5, 5]])
    found = Predictor(Poser(), ["thing"])(image, 0.5, proposals)
    torch.testing.assert_close(found.boxes, proposals[:1])
    expected = torch.tensor([[[2, 3, 0.25], [12, 17, 0.25]]])
    torch.testing.assert_close(found.keypoints, expected)
    assert found.masks is None
    (whole,) = Predictor(Poser(), ["thing"])(image).boxes
    torch.testing.assert_close(whole, torch.tensor([0.0, 0, width, height]))


def test_files_without_masks(tmp_path: Path) -> None:
    grey = np.full((40, 60), 128, np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    out = predict_files(
        Predictor(Poser(), ["thing"]), [tmp_path / "a.png"], tmp_path / "o"
    )
    (result,) = json.loads((out / "results.json").read_text())
    assert result["keypoints"] == pytest.approx([-0.5, -0.5, 0.25, 59.5, 39.5, 0.25])
    assert "segmentation" not in result
    with (out / "objects.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["width"], row["mask_area"]) == ("60.0", "")


def target(points: list[list[float]]) -> Target:
    """One object over nearly the whole image."""
    return Target(
        image_id=1,
        boxes=torch.tensor([[1.0, 1, SHOWN_SIDE - 1, SHOWN_SIDE - 1]]),
        labels=torch.ones(1, dtype=torch.int64),
        masks=None,
        crowd=torch.zeros(1, dtype=torch.bool),
        keypoints=torch.tensor([points], dtype=torch.float32),
    )


def test_the_picture_shows_what_is_labelled() -> None:
    """Visible, hidden, not labelled; a line between the first two alone."""
    person = target([[100, 100, 2], [300, 200, 1], [0, 0, 0], [500, 80, 2]])
    skeleton = [(0, 1), (1, 2), (2, 3)]
    bare = np.asarray(draw_target(GREY, replace(person, keypoints=None), ["a"]))
    drawn = np.asarray(draw_target(GREY, person, ["a"], skeleton))
    (color,) = distinct_colors(1)
    assert tuple(drawn[100, 100]) == tuple(drawn[80, 500]) == color
    assert tuple(drawn[200, 300]) == (0, 0, 0)  # a ring
    assert tuple(drawn[200, 297]) == color
    assert tuple(drawn[150, 200]) == color  # half-way along the line
    changed = (drawn != bare).any(2)
    assert not changed[:60].any()  # neither a point nor a line at the corner
    assert not changed[:, 310:490].any()


def test_every_detected_point_is_drawn() -> None:
    """Their third number is a score, and may be small or, as a logit, below 0."""
    person = target([[100, 100, 0.001], [300, 200, 0], [400, 90, -3]])
    found = Detections(
        boxes=person.boxes,
        scores=torch.ones(1),
        labels=person.labels,
        keypoints=person.keypoints,
    )
    drawn = np.asarray(draw_detections(GREY, found, ["a"], [(0, 1)]))
    (color,) = distinct_colors(1)
    for x, y in ((100, 100), (300, 200), (400, 90), (200, 150)):
        assert tuple(drawn[y, x]) == color


def test_the_skeleton_of_a_data_set(tmp_path: Path) -> None:
    names = ["nose", "left_ear", "right_ear"]
    person = {"id": 2, "name": "person", "keypoints": names}
    annotation = tiny_coco.annotation(category_id=2)
    data = tiny_coco.contents(
        annotations=[annotation],
        categories=[{"id": 1, "name": "cup"}, {**person, "skeleton": [[1, 2], [3, 1]]}],
    )
    dataset = CocoDataset(tiny_coco.write(tmp_path, data), "train")
    assert dataset.skeleton == [(0, 1), (2, 0)]
    data["categories"][1]["skeleton"] = [[1, 4]]
    with pytest.raises(ValueError, match="skeleton of category person names other poi"):
        CocoDataset(tiny_coco.write(tmp_path, data), "train")
    data["categories"] = [person]
    assert CocoDataset(tiny_coco.write(tmp_path, data), "train").skeleton == []
