"""Keypoint AP: OKS by hand, COCOeval's own figures, and what it must do.

Faults put in on purpose, and the first test that caught each:

- sigma for 2 sigma; hidden points left out; unlabelled ones counted; the root of the
  area for the area -> oks_by_hand
- the half pixel kept, or added -> written_results_are_pixel_indices
- 100 detections an image; COCO's sigmas for all; small objects -> figures_equal_...
- objects without points counted -> persons_without_points_do_not_count
- x for y -> figures_equal_plain_cocoeval
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console

from maskrcnn_scratch.data.annotations import at_pixel_centres
from maskrcnn_scratch.evaluation import (
    detections_to_coco,
    evaluate_coco,
    figures_table,
    per_class_table,
)
from maskrcnn_scratch.evaluation.keypoints import COCO_SIGMAS
from maskrcnn_scratch.reference.keypoints import object_keypoint_similarity
from maskrcnn_scratch.structures import Detections

Json = dict[str, Any]
IMAGES = [{"id": i, "height": 400, "width": 400} for i in (4, 9)]
POINTS = [f"point {i}" for i in range(17)]
PERSON = {"id": 1, "name": "person", "keypoints": POINTS}
SEEDS = st.integers(0, 10_000)


def person(number: int, image_id: int, keypoints: Any, area: float) -> Json:
    """An annotation; its box goes around the points."""
    flat = [float(value) for row in keypoints for value in row]
    x, y = np.array(flat[0::3]), np.array(flat[1::3])
    box = [float(v) for v in (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)]
    return {
        **{"id": number, "image_id": image_id, "category_id": 1, "iscrowd": 0},
        **{"bbox": box, "area": area, "keypoints": flat},
        "num_keypoints": sum(row[2] > 0 for row in keypoints),
    }


def ground_truth(seed: int, persons: int = 6, points: int = 17) -> Json:
    """Of all sizes; some points not labelled, some persons without any, some crowds."""
    rng = np.random.default_rng(seed)
    annotations = []
    for number in range(1, persons + 1):
        side = int(rng.choice([20, 60, 200]))
        rows = rng.integers(0, side, (points, 3)).astype(float)
        rows[:, 2] = rng.integers(0, 3, points) * (rng.integers(0, 5) > 0)
        entry = person(number, int(rng.choice([4, 9])), rows, side * side / 2)
        annotations.append(entry | {"iscrowd": int(rng.integers(0, 6) == 0)})
    categories = [{**PERSON, "keypoints": POINTS[:points]}]
    return {"images": IMAGES, "categories": categories, "annotations": annotations}


def found_in(truth: Json, seed: int, count: int) -> list[Json]:
    """Persons moved by parts of their size, and some points anywhere."""
    rng = np.random.default_rng(seed + 1)
    results = []
    for _ in range(count):
        model = rng.choice(truth["annotations"])
        points = np.array(model["keypoints"]).reshape(-1, 3)
        spread = math.sqrt(model["area"]) * rng.choice([0, 0.02, 0.1, 1])
        points[:, :2] += rng.normal(0, 1, points[:, :2].shape) * spread
        score = int(rng.integers(1, 6)) / 8
        entry = {"image_id": model["image_id"], "category_id": 1, "score": score}
        results.append({**entry, "keypoints": points.reshape(-1).tolist()})
    return results


def perfect(truth: Json) -> list[Json]:
    """Every labelled person, once."""
    return [
        {"image_id": a["image_id"], "category_id": 1, "score": 0.5}
        | {"keypoints": a["keypoints"]}
        for a in truth["annotations"]
        if a["num_keypoints"] and not a["iscrowd"]
    ]


def plain(truth: Json, results: list[Json], sigmas: Any) -> COCOeval:
    """COCOeval as its own demo runs it."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(truth)
        coco.createIndex()
        found = coco.loadRes(copy.deepcopy(results))
        evaluation = COCOeval(coco, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def test_coco_s_sigmas() -> None:
    assert COCOeval(iouType="keypoints").params.kpt_oks_sigmas == pytest.approx(
        COCO_SIGMAS
    )


def test_oks_by_hand() -> None:
    """Scale 10, sigma 0.1: a point 2 pixels off has exp(-4 / (2 100 0.04))."""
    truth = np.array([[5.0, 5, 2], [8, 1, 1], [90, 90, 0]])
    found = np.array([[5.0, 7], [8, 1], [0, 0]])
    sigmas = np.array([0.1, 0.3, 0.2])
    similarity = object_keypoint_similarity(found, truth, 100.0, sigmas)
    assert similarity == pytest.approx((math.exp(-0.5) + 1) / 2)
    assert object_keypoint_similarity(found, truth * [1, 1, 0], 100.0, sigmas) == 0


def test_ap_by_hand() -> None:
    """One nose, so far off that OKS is 0.72: found at five of the ten thresholds."""
    rows = np.zeros((17, 3))
    rows[0] = [50, 60, 2]
    truth = {"images": IMAGES, "categories": [PERSON]}
    truth["annotations"] = [person(1, 4, rows, 100.0**2)]
    distance = math.sqrt(-math.log(0.72) * 2 * 100**2 * (2 * 0.026) ** 2)
    (result,) = perfect(truth)
    moved = np.array(result["keypoints"])
    moved[1] += distance
    scores = evaluate_coco(
        truth, [result | {"keypoints": moved.tolist()}], ["keypoints"]
    )["keypoints"]
    assert scores.ap == pytest.approx(0.5)
    assert (scores.ap50, scores.ap75) == pytest.approx((1, 0))
    assert scores.figures["ar"] == pytest.approx(0.5)
    assert scores.figures["ap_medium"] == -1
    assert scores.figures["ap_large"] == pytest.approx(0.5)


@given(seed=SEEDS)
def test_oks_equals_pycocotools(seed: int) -> None:
    """For labelled persons; the others only tell what to leave out."""
    truth = ground_truth(seed)
    results = found_in(truth, seed, 4)
    if not results:
        return
    evaluation = plain(truth, results, COCO_SIGMAS)
    for (image_id, category_id), matrix in evaluation.ious.items():
        objects = evaluation._gts[image_id, category_id]
        found = sorted(
            evaluation._dts[image_id, category_id], key=lambda d: -d["score"]
        )
        for j, g in enumerate(objects):
            for i, d in enumerate(found):
                if g["num_keypoints"]:
                    similarity = object_keypoint_similarity(
                        np.array(d["keypoints"]).reshape(-1, 3)[:, :2],
                        np.array(g["keypoints"]).reshape(-1, 3),
                        g["area"],
                        np.array(COCO_SIGMAS),
                    )
                    assert matrix[i, j] == pytest.approx(similarity, abs=1e-9)


@given(seed=SEEDS, points=st.sampled_from([17, 3]))
def test_figures_equal_plain_cocoeval(seed: int, points: int) -> None:
    """All ten, with more than 20 detections in an image."""
    sigmas = None if points == 17 else [0.05, 0.1, 0.2]
    truth = ground_truth(seed, points=points)
    results = found_in(truth, seed, 60)
    scores = evaluate_coco(truth, results, ["keypoints"], keypoint_sigmas=sigmas)
    figures = scores["keypoints"].figures
    names = ["ap", "ap50", "ap75", "ap_medium", "ap_large"]
    names += [name.replace("ap", "ar") for name in names]
    assert sorted(figures) == sorted(names)
    expected = plain(truth, results, sigmas or COCO_SIGMAS).stats
    actual = [figures[name] for name in names]
    np.testing.assert_allclose(actual, expected, atol=1e-12)
    assert scores["keypoints"].max_detections == 20


@given(seed=SEEDS)
def test_the_truth_is_perfect_and_shifts_lower_it(seed: int) -> None:
    truth = ground_truth(seed)
    results = perfect(truth)
    if not results:
        return
    before = 1.0
    for part in (0.0, 0.1, 0.3, 3.0):
        shift = part * 200
        moved = copy.deepcopy(results)
        for result in moved:
            result["keypoints"][1::3] = [y + shift for y in result["keypoints"][1::3]]
        ap = evaluate_coco(truth, moved, ["keypoints"])["keypoints"].ap
        assert ap <= before
        before = ap
        if part == 0:
            assert ap == pytest.approx(1)
    assert before == 0


def test_persons_without_points_do_not_count() -> None:
    """Neither where they are missed nor where COCO's file leaves their points out."""
    truth = ground_truth(5)
    for annotation in truth["annotations"]:
        annotation["iscrowd"] = 0
    expected = evaluate_coco(truth, perfect(truth), ["keypoints"])["keypoints"]
    assert expected.ap == pytest.approx(1)
    bare = person(99, 4, np.zeros((17, 3)), 900.0)
    truth["annotations"].append(bare)
    assert evaluate_coco(truth, perfect(truth), ["keypoints"])["keypoints"].ap == 1
    results = found_in(ground_truth(5), 5, 9)
    figures = evaluate_coco(truth, results, ["keypoints"])["keypoints"].figures
    assert 0 < figures["ap50"] < 1
    del bare["keypoints"]
    for annotation in truth["annotations"]:
        del annotation["num_keypoints"]
    again = evaluate_coco(truth, results, ["keypoints"])["keypoints"].figures
    assert again == figures


def found(keypoints: torch.Tensor) -> Detections:
    count = len(keypoints)
    return Detections(
        boxes=torch.zeros(count, 4),
        scores=torch.linspace(0.9, 0.5, count),
        labels=torch.ones(count, dtype=torch.int64),
        keypoints=keypoints,
    )


def test_written_results_are_pixel_indices() -> None:
    """What is read from COCO, half a pixel more, is written as it was."""
    flat = [5, 7, 2, 0, 0, 0, 9, 8, 1]
    read = at_pixel_centres(np.array(flat, np.float32).reshape(1, 3, 3))
    assert read[0, 0].tolist() == [5.5, 7.5, 2]
    (result,) = detections_to_coco(found(torch.from_numpy(read)), 4, {1: 1})
    assert result["keypoints"][:3] == [5, 7, 2]
    assert result["keypoints"][6:] == [9, 8, 1]
    assert result["score"] == pytest.approx(0.9)
    assert "segmentation" not in result


def test_detections_that_are_the_truth_are_perfect() -> None:
    truth = ground_truth(8)
    results = []
    for annotation in truth["annotations"]:
        points = np.array(annotation["keypoints"], np.float32).reshape(1, 17, 3)
        person_found = found(torch.from_numpy(at_pixel_centres(points)))
        results += detections_to_coco(person_found, annotation["image_id"], {1: 1})
    scores = evaluate_coco(truth, results, ["bbox", "keypoints"])
    assert scores["keypoints"].ap50 == pytest.approx(1)
    assert scores["bbox"].ap == 0
    table = figures_table(scores)
    assert [column.header for column in table.columns] == ["figure", "box", "keypoint"]
    rows = dict(zip(*(list(table.columns[i].cells) for i in (0, 2)), strict=True))
    assert rows["ap_small"] == rows["ar_1"] == "-"
    assert rows["ap50"] == rows["ar50"] == "1.000"
    assert "100 box and 20 keypoint detections an image" in str(table.title)
    headers = [column.header for column in per_class_table(scores).columns]
    assert "keypoint\nAP75" in headers
    three = {**scores, "segm": scores["bbox"]}
    console = Console(width=80, file=io.StringIO())
    with console.capture() as capture:
        console.print(per_class_table(three))
    assert "…" not in capture.get()


@pytest.mark.parametrize(
    ("points", "sigmas", "message"),
    [
        (3, None, "objects have 3 keypoints, and COCO's sigmas are for its 17: give"),
        (3, [0.1, 0.1], r"keypoint_sigmas are \[0.1, 0.1\]; expected 3 numbers"),
        (3, [0.1, 0.1, 0.0], "expected 3 numbers above 0"),
    ],
)
def test_sigmas_have_to_fit(points: int, sigmas: Any, message: str) -> None:
    truth = ground_truth(1, points=points)
    with pytest.raises(ValueError, match=message):
        evaluate_coco(truth, [], ["keypoints"], keypoint_sigmas=sigmas)


def test_what_is_no_keypoints_is_refused() -> None:
    truth = ground_truth(1)
    (result,) = found_in(truth, 1, 1)
    for keypoints in ([1, 2, 3], [math.nan] * 51):
        with pytest.raises(ValueError, match=r"result 0 .*expected 51 finite numbers"):
            evaluate_coco(truth, [result | {"keypoints": keypoints}], ["keypoints"])
    truth["annotations"][0]["keypoints"] = [1, 2, 2]
    with pytest.raises(ValueError, match="annotation 1 has 3 values for keypoints; ex"):
        evaluate_coco(truth, [result], ["keypoints"])
    bare = {"images": IMAGES, "annotations": [], "categories": [{"id": 1, "name": "x"}]}
    with pytest.raises(ValueError, match="the ground truth has no keypoints"):
        evaluate_coco(bare, [], ["keypoints"])
