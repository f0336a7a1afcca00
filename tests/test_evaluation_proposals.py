"""Average recall of proposals: by hand, as the reference has it, as pycocotools has it.

Faults put in on purpose, and the first test that caught each:

- two objects for one proposal; the limit off by one; recall at one threshold
  -> recall_by_hand
- classes looked at; crowds counted -> recall_equals_pycocotools
- the first of equal overlaps -> the_later_of_equal_overlaps_is_taken
- sizes of all objects -> recall_by_hand; borders -> sizes_on_the_border_...
- images without proposals left out -> images_without_proposals_count
"""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from maskrcnn_scratch.evaluation import average_recall
from maskrcnn_scratch.reference import average_recall as reference
from maskrcnn_scratch.reference.average_precision import Annotation, Detection

Json = dict[str, Any]
IMAGES = [{"id": i, "height": 300, "width": 300} for i in (4, 9)]
CATEGORIES = [{"id": i, "name": str(i)} for i in (1, 2)]
AREAS = ("small", "medium", "large")
SEEDS = st.integers(0, 10_000)


def entry(number: int, image_id: int, box: list[int], **changes: Any) -> Json:
    """An object; box is [x, y, width, height]."""
    return {
        **{"id": number, "image_id": image_id, "category_id": 1, "iscrowd": 0},
        **{"bbox": box, "area": box[2] * box[3], **changes},
    }


def with_objects(annotations: list[Json]) -> Json:
    return {"images": IMAGES, "categories": CATEGORIES, "annotations": annotations}


def corners(boxes: list[list[int]]) -> Tensor:
    """[x, y, width, height] to xyxy."""
    rows = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
    return torch.cat([rows[:, :2], rows[:, :2] + rows[:, 2:]], dim=1)


def test_recall_by_hand() -> None:
    """One object at IoU 0.8, seven of ten thresholds; a second hit finds it taken."""
    truth = with_objects([entry(1, 4, [0, 0, 10, 10]), entry(2, 9, [0, 0, 50, 50])])
    proposals = {
        4: corners([[0, 0, 10, 8], [0, 0, 10, 6]]),
        9: corners([[200, 0, 9, 9], [0, 0, 50, 50]]),
    }
    figures = average_recall(truth, proposals, limits=(1, 2))
    assert figures == pytest.approx(
        {
            "ar_1": 0.7 / 2,
            "ar_2": (0.7 + 1) / 2,
            "ar_2_small": 0.7,
            "ar_2_medium": 1.0,
            "ar_2_large": -1.0,
        }
    )


def test_the_later_of_equal_overlaps_is_taken() -> None:
    """So the first object is left for a proposal that reaches no other."""
    truth = with_objects([entry(1, 4, [0, 0, 10, 10]), entry(2, 4, [0, 2, 10, 10])])
    proposals = {4: corners([[0, 1, 10, 10], [0, 0, 10, 6]])}  # IoU 9/11 twice; 0.6
    figures = average_recall(truth, proposals, limits=(2,))
    assert figures["ar_2"] == pytest.approx((0.7 + 0.3) / 2)
    recall = plain(truth, proposals, [2]).eval["recall"]
    assert figures["ar_2"] == pytest.approx(recall[:, 0, 0, 0].mean())


def test_sizes_on_the_border_belong_to_both() -> None:
    """As in pycocotools: 32 x 32 pixels are small and medium."""
    truth = with_objects([entry(1, 4, [0, 0, 32, 32])])
    figures = average_recall(truth, {4: corners([[0, 0, 32, 32]])}, limits=(1,))
    assert figures["ar_1_small"] == figures["ar_1_medium"] == 1
    assert figures["ar_1_large"] == -1


def scene(seed: int, proposals: int) -> tuple[Json, dict[int, Tensor]]:
    """Objects of two classes and all sizes, crowds, and boxes near them; many ties."""
    rng = np.random.default_rng(seed)
    annotations = []
    for number in range(1, 9):
        box = [int(v) for v in (*rng.integers(0, 9, 2), *rng.choice([8, 40, 120], 2))]
        annotations.append(
            entry(
                number,
                int(rng.choice([4, 9])),
                box,
                category_id=int(rng.integers(1, 3)),
                iscrowd=int(rng.integers(0, 5) == 0),
            )
        )
    found: dict[int, list[list[int]]] = {4: [], 9: []}
    for _ in range(proposals):
        model = rng.choice(annotations)
        moved = np.array(model["bbox"]) + rng.integers(-2, 3, 4)
        found[model["image_id"]].append([int(v) for v in moved])
    return with_objects(annotations), {i: corners(rows) for i, rows in found.items()}


def plain(truth: Json, proposals: dict[int, Tensor], limits: list[int]) -> COCOeval:
    """pycocotools, without a look at classes; scores fall along each list."""
    results = []
    for image_id, boxes in proposals.items():
        for rank, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            box = [x1, y1, x2 - x1, y2 - y1]
            result = {"image_id": image_id, "category_id": 1, "bbox": box}
            results.append({**result, "score": 1 - rank / 1000})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(truth)
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = limits
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


@given(seed=SEEDS, first=st.integers(1, 6))
def test_recall_equals_pycocotools(seed: int, first: int) -> None:
    truth, proposals = scene(seed, 24)
    figures = average_recall(truth, proposals, limits=(first, 12))
    recall = plain(truth, proposals, [first, 12]).eval["recall"]  # [T, K, A, M]
    expected = {
        f"ar_{first}": recall[:, 0, 0, 0],
        "ar_12": recall[:, 0, 0, 1],
        **{f"ar_12_{name}": recall[:, 0, 1 + i, 1] for i, name in enumerate(AREAS)},
    }
    means = {name: values.mean() for name, values in expected.items()}
    assert figures == pytest.approx(means, abs=1e-12)


@given(seed=SEEDS, limit=st.integers(1, 9))
def test_recall_equals_the_reference(seed: int, limit: int) -> None:
    truth, proposals = scene(seed, 16)
    annotations = [
        Annotation(
            a["image_id"],
            a["category_id"],
            corners([a["bbox"]])[0].numpy().astype(np.float64),
            a["area"],
            bool(a["iscrowd"]),
        )
        for a in truth["annotations"]
    ]
    detections = [
        Detection(image_id, 5, box.numpy().astype(np.float64), -rank)
        for image_id, boxes in proposals.items()
        for rank, box in enumerate(boxes)
    ]
    figures = average_recall(truth, proposals, limits=(limit,))
    for area, name in (("all", ""), *((area, f"_{area}") for area in AREAS)):
        expected = reference.average_recall(annotations, detections, limit, area)
        assert figures[f"ar_{limit}{name}"] == pytest.approx(expected, abs=1e-12)


def test_images_without_proposals_count() -> None:
    truth = with_objects([entry(1, 4, [0, 0, 10, 10]), entry(2, 9, [0, 0, 50, 50])])
    whole = {4: corners([[0, 0, 10, 10]])}
    assert average_recall(truth, whole)["ar_100"] == pytest.approx(0.5)
    empty = whole | {9: torch.zeros(0, 4)}
    assert average_recall(truth, empty) == average_recall(truth, whole)


def test_more_proposals_find_no_less() -> None:
    truth, proposals = scene(7, 40)
    figures = average_recall(truth, proposals, limits=(1, 2, 4, 8, 16))
    values = [figures[f"ar_{limit}"] for limit in (1, 2, 4, 8, 16)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_proposals_of_other_images_are_refused() -> None:
    truth = with_objects([entry(1, 4, [0, 0, 10, 10])])
    with pytest.raises(ValueError, match="image ids that the ground truth does not: 5"):
        average_recall(truth, {5: torch.zeros(0, 4)})
