"""Evaluation: COCO's figures, tables, curves and mean IoU of results.

Faults put in on purpose, and the first test that caught each:

- the limit not passed on -> an_image_with_more_than_a_hundred_objects_needs_a_...
- results numbered from 0; box areas for masks; -1 in means -> figures_equal_plain_...
- large areas all; AP75 at 0.70 -> figures_equal_plain_cocoeval
- curves at the first limit; class AP at no threshold; crowds counted; classes in the
  order of the file -> class_figures_average_to_the_whole
- prints let through; annotations completed in place -> evaluation_prints_nothing_...
- annotations numbered from 0; ids kept -> an_image_with_more_than_a_hundred_objects_...
- area of the box before the mask's; never of the box -> fields_that_are_missing_...
- ids, sizes, short polygons, NaN not looked at -> what_would_score_zero_in_silence_...
- corners for sizes; labels for ids; bytes; masks turned -> detections_become_results
- mIoU: threshold strict; first, not best; crowds; by image; classes mixed; objects or
  images left out -> mean_iou_equals_the_count_of_pixels
- -1 printed; columns swapped -> the_table_of_classes
- -1 in the curves; no objects -> the_curves_hold_..., curves_without_any_object_...
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.table import Table

from maskrcnn_scratch.evaluation import (
    Scores,
    detections_to_coco,
    evaluate_coco,
    figures_table,
    mean_iou,
    per_class_table,
    pr_curves_figure,
)
from maskrcnn_scratch.reference.average_precision import (
    FIGURES,
    Annotation,
    Detection,
    average_precision,
)
from maskrcnn_scratch.reference.masks import polygons_to_mask, rle_to_mask
from maskrcnn_scratch.structures import Detections

Array = np.ndarray[Any, np.dtype[Any]]
Json = dict[str, Any]

HEIGHT, WIDTH = 110, 130
CATEGORIES = [{"id": 7, "name": "pear"}, {"id": 3, "name": "apple"}]
IMAGES = [{"id": i, "height": HEIGHT, "width": WIDTH} for i in (12, 5)]
SEEDS = st.integers(0, 10_000)


# Generated data ---------------------------------------------------------------------


def rectangle(rng: np.random.Generator) -> list[int]:
    """x, y, width, height of whole pixels, of all of COCO's sizes."""
    width, height = (int(side) for side in rng.choice([9, 20, 40, 100], 2))
    return [int(rng.integers(0, 6)), int(rng.integers(0, 6)), width, height]


def outline(box: list[int]) -> list[float]:
    """Half a box, as a triangle: small where its box is medium."""
    x, y, width, height = (float(value) for value in box)
    return [x, y, x + width, y, x, y + height]


def encoded(mask: Array) -> Json:
    """Compressed run lengths as they stand in a JSON file."""
    rle = pycocotools.mask.encode(np.asfortranarray(mask, np.uint8))
    return {**rle, "counts": rle["counts"].decode()}


@functools.cache
def bitmap(*box: int) -> Array:
    """The pixels of ``outline``."""
    return polygons_to_mask([outline(list(box))], (HEIGHT, WIDTH))


def place(rng: np.random.Generator) -> Json:
    """An image and a class."""
    image, category = rng.choice([12, 5]), rng.choice([3, 7])
    return {"image_id": int(image), "category_id": int(category)}


def ground_truth(seed: int, objects: int = 6) -> Json:
    """Objects, some of them crowds, as polygons and run lengths."""
    rng = np.random.default_rng(seed)
    annotations = []
    for number in range(1, objects + 1):
        box = rectangle(rng)
        crowd = int(rng.integers(0, 4) == 0)
        mask = encoded(bitmap(*box)) if crowd else [outline(box)]
        area = float(bitmap(*box).sum())
        entry = {"id": number, "bbox": box, "iscrowd": crowd, "area": area}
        annotations.append({**entry, "segmentation": mask, **place(rng)})
    return {"images": IMAGES, "categories": CATEGORIES, "annotations": annotations}


def found_in(truth: Json, seed: int, count: int = 9) -> list[Json]:
    """Results: some where an object is, some elsewhere; equal scores among them."""
    rng = np.random.default_rng(seed + 1)
    results = []
    for _ in range(count):
        where, box = place(rng), rectangle(rng)
        if truth["annotations"] and rng.integers(0, 3):
            model = rng.choice(truth["annotations"])
            where = {name: model[name] for name in where}
            shift = rng.integers(-2, 3, 4) * (rng.integers(0, 3) > 0)
            box = [max(0, int(v)) for v in np.array(model["bbox"]) + shift]
        score = int(rng.integers(1, 6)) / 8
        mask = encoded(bitmap(*box))
        results.append({**where, "bbox": box, "score": score, "segmentation": mask})
    return results


def plain_figures(truth: Json, results: list[Json], kind: str) -> Array:
    """COCOeval as its own demo runs it, with masks alone for "segm"."""
    entries = copy.deepcopy(results)
    if kind == "segm":
        for entry in entries:
            del entry["bbox"]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(truth)
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(entries), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.asarray(evaluation.stats)


@pytest.fixture
def truth() -> Json:
    """One set of objects."""
    return ground_truth(3)


@pytest.fixture
def results(truth: Json) -> list[Json]:
    """Detections of them."""
    return found_in(truth, 3)


# Figures ----------------------------------------------------------------------------


@given(SEEDS)
def test_figures_equal_plain_cocoeval(seed: int) -> None:
    """All twelve, for boxes and masks, with the limit that COCOeval knows."""
    truth = ground_truth(seed)
    results = found_in(truth, seed)
    scores = evaluate_coco(truth, results)
    assert list(scores) == ["bbox", "segm"]
    for kind, values in scores.items():
        figures = list(values.figures.values())
        expected = plain_figures(truth, results, kind)
        np.testing.assert_allclose(figures, expected, atol=1e-12)


@settings(max_examples=15)
@given(SEEDS, st.integers(1, 4))
def test_figures_with_other_limits_equal_the_reference(seed: int, most: int) -> None:
    """Where COCOeval.summarize would print -1."""
    truth = ground_truth(seed)
    results = found_in(truth, seed, count=12)
    objects = [
        Annotation(a["image_id"], a["category_id"], bitmap(*a["bbox"]), a["area"])
        for a in truth["annotations"]
    ]
    found = [
        Detection(r["image_id"], r["category_id"], bitmap(*r["bbox"]), r["score"])
        for r in results
    ]
    for annotation in truth["annotations"]:
        annotation["iscrowd"] = 0
    scores = evaluate_coco(truth, results, ["segm"], max_detections=most)["segm"]
    expected = average_precision(objects, found, (1, most, most))
    assert scores.figures == pytest.approx(expected, abs=1e-9)


def test_an_image_with_more_than_a_hundred_objects_needs_a_higher_limit() -> None:
    """150 objects, all found: AP 1 with a limit of 200, about 2/3 with 100."""
    boxes = [[8 * (i % 15), 8 * (i // 15), 6, 6] for i in range(150)]
    where = {"image_id": 5, "category_id": 3}
    annotations = [{"id": i, "bbox": box, **where} for i, box in enumerate(boxes)]
    truth = {"images": IMAGES, "categories": CATEGORIES, "annotations": annotations}
    results = [{"bbox": box, "score": 0.5, **where} for box in boxes]
    high = evaluate_coco(truth, results, ["bbox"], max_detections=200)["bbox"]
    low = evaluate_coco(truth, results, ["bbox"])["bbox"]
    assert high.ap == high.figures["ar"] == 1
    assert high.max_detections == 200
    assert low.ap == pytest.approx(67 / 101)  # recall stops at 0.667


@given(SEEDS)
def test_class_figures_average_to_the_whole(seed: int) -> None:
    """Over the classes that have objects; in the order of the category ids."""
    truth = ground_truth(seed, objects=3)
    scores = evaluate_coco(truth, found_in(truth, seed), ["segm"])["segm"]
    assert scores.class_names == ("apple", "pear")
    counted = [a["category_id"] for a in truth["annotations"] if not a["iscrowd"]]
    assert scores.objects == (counted.count(3), counted.count(7))
    for iou, whole in [(None, scores.ap), (0.5, scores.ap50), (0.75, scores.ap75)]:
        by_class = scores.class_ap(iou)
        assert [ap >= 0 for ap in by_class] == [n > 0 for n in scores.objects]
        known = [ap for ap in by_class if ap >= 0]
        assert whole == pytest.approx(np.mean(known) if known else -1)


def test_no_results_score_zero_and_no_objects_minus_one(results: list[Json]) -> None:
    """Neither is a crash."""
    truth = ground_truth(3)
    for scores in evaluate_coco(truth, []).values():
        assert scores.ap == scores.figures["ar"] == 0
    truth["annotations"] = []
    for scores in evaluate_coco(truth, results).values():
        assert set(scores.figures.values()) == {-1}


def test_evaluation_prints_nothing_and_changes_nothing(
    truth: Json, results: list[Json], capfd: pytest.CaptureFixture[str]
) -> None:
    """pycocotools does both."""
    before = copy.deepcopy((truth, results))
    evaluate_coco(truth, results)
    mean_iou(truth, results)
    assert capfd.readouterr() == ("", "")
    assert (truth, results) == before


def test_objects_dicts_and_files_are_the_same_to_it(
    truth: Json, results: list[Json], tmp_path: Path
) -> None:
    """A COCO object, a dict, a path; results as a list or a path."""
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "truth.json"))
    expected = evaluate_coco(truth, results)["segm"].figures
    assert evaluate_coco(coco, results)["segm"].figures == expected
    files = tmp_path / "truth.json", tmp_path / "results.json"
    assert evaluate_coco(*files)["segm"].figures == expected
    assert evaluate_coco(str(files[0]), str(files[1]))["segm"].figures == expected


def test_fields_that_are_missing_follow_from_the_others(
    truth: Json, results: list[Json]
) -> None:
    """Area and box from the mask, no crowd; ids may repeat or be 0."""
    for annotation in truth["annotations"]:
        extent = pycocotools.mask.toBbox(encoded(bitmap(*annotation["bbox"])))
        annotation |= {"iscrowd": 0, "bbox": extent.tolist()}
    expected = evaluate_coco(truth, results)
    bare = copy.deepcopy(truth)
    for annotation in bare["annotations"]:
        del annotation["iscrowd"], annotation["area"], annotation["bbox"]
        annotation["id"] = 0
    for kind, scores in evaluate_coco(bare, results).items():
        assert scores.figures == expected[kind].figures
    assert evaluate_coco(bare, results, ["bbox"])["bbox"].ap == expected["bbox"].ap
    for annotation, whole in zip(
        bare["annotations"], truth["annotations"], strict=True
    ):
        del annotation["segmentation"]
        annotation["bbox"] = whole["bbox"]
        whole["area"] = whole["bbox"][2] * whole["bbox"][3]
    boxes, expected = (
        evaluate_coco(data, results, ["bbox"])["bbox"].figures for data in (bare, truth)
    )
    assert boxes == expected
    assert boxes["ap_small"] >= 0


# Refusals ---------------------------------------------------------------------------


def spoil(change: Callable[[Json, list[Json]], Any], kinds: str, message: str) -> Any:
    """One fault: what it does to ground truth and results, and what is said."""
    return pytest.param(change, kinds, message, id=message)


@pytest.mark.parametrize(
    ("change", "kinds", "message"),
    [
        spoil(
            lambda t, r: r[2].update(image_id=99), "bbox", "image ids .*: 99; it has"
        ),
        spoil(
            lambda t, r: r[2].update(category_id=1), "bbox", "category ids .*: 1; it"
        ),
        spoil(lambda t, r: r[2].pop("score"), "bbox", "result 2 has no score"),
        spoil(lambda t, r: r[2].pop("bbox"), "bbox", "result 2 has no bbox"),
        spoil(lambda t, r: r[2].pop("segmentation"), "segm", "no segmentation"),
        spoil(lambda t, r: r[2].update(score=float("nan")), "bbox", "the score nan"),
        spoil(
            lambda t, r: r[2].update(segmentation=[[0, 0, 9, 0, 9, 9]]),
            "segm",
            "result 2: its segmentation is a list",
        ),
        spoil(
            lambda t, r: r[2].update(segmentation=encoded(np.zeros((9, 9)))),
            "segm",
            r"result 2 of image \d+: its run lengths are for .*\[9, 9\]",
        ),
        spoil(
            lambda t, r: r[2].update(segmentation={"size": [110, 130], "counts": "1"}),
            "segm",
            "run lengths cover 1 pixels",
        ),
        spoil(lambda t, r: t.pop("categories"), "bbox", "has no categories"),
        spoil(
            lambda t, r: t["annotations"][1].update(image_id=99),
            "bbox",
            "annotation 2 is of image 99, not listed",
        ),
        spoil(
            lambda t, r: t["annotations"][1].pop("segmentation"),
            "segm",
            "annotation 2 has no mask",
        ),
        spoil(
            lambda t, r: t["annotations"][1].update(segmentation=[[1, 2, 3, 4]]),
            "segm",
            "annotation 2 has no mask",
        ),
        spoil(
            lambda t, r: t["annotations"][1].update(segmentation=encoded(np.eye(3))),
            "segm",
            "annotation 2: its run lengths are for",
        ),
        spoil(
            lambda t, r: [t["annotations"][1].pop(n) for n in ("bbox", "segmentation")],
            "bbox",
            "annotation 2 has neither",
        ),
        spoil(lambda t, r: None, "mask", "kinds are .'mask'."),
    ],
)
def test_what_would_score_zero_in_silence_is_refused(
    change: Callable[[Json, list[Json]], Any],
    kinds: str,
    message: str,
    truth: Json,
    results: list[Json],
) -> None:
    """With the place, what was wrong and what was expected."""
    change(truth, results)
    with pytest.raises(ValueError, match=message):
        evaluate_coco(truth, results, [kinds])


def test_many_unknown_ids_are_summed_up(truth: Json, results: list[Json]) -> None:
    """Five of them and a count."""
    for number, result in enumerate(results):
        result["image_id"] = 100 + number
    with pytest.raises(ValueError, match="100, 101, 102, 103, 104 and 4 more"):
        evaluate_coco(truth, results)
    with pytest.raises(ValueError, match="max_detections 0"):
        evaluate_coco(truth, results, max_detections=0)


def test_a_results_file_has_to_hold_a_list(truth: Json, tmp_path: Path) -> None:
    """Not, say, a ground truth."""
    path = tmp_path / "results.json"
    path.write_text(json.dumps(truth))
    with pytest.raises(ValueError, match="results are a dict; expected a list"):
        evaluate_coco(truth, path)


# Detections -------------------------------------------------------------------------


def detections(masks: bool = True) -> Detections:
    """Two detections in an image of 4 x 5 pixels."""
    pasted = torch.zeros(2, 4, 5, dtype=torch.bool)
    pasted[0, 1:3, 2:5] = True
    pasted[1, 0, 0] = True
    return Detections(
        boxes=torch.tensor([[2.0, 1.0, 5.0, 3.0], [0.0, 0.0, 1.5, 1.0]]),
        scores=torch.tensor([0.75, 0.5]),
        labels=torch.tensor([2, 1]),
        masks=pasted if masks else None,
    )


def test_detections_become_results() -> None:
    """Width and height for corners, category ids for labels, masks as text."""
    found = detections_to_coco(detections(), 12, {1: 3, 2: 7})
    assert json.loads(json.dumps(found)) == found
    masks = [entry.pop("segmentation") for entry in found]
    where = {"image_id": 12}
    assert found == [
        {"category_id": 7, "bbox": [2.0, 1.0, 3.0, 2.0], "score": 0.75, **where},
        {"category_id": 3, "bbox": [0.0, 0.0, 1.5, 1.0], "score": 0.5, **where},
    ]
    expected = detections().masks
    assert expected is not None
    for rle, mask in zip(masks, expected.numpy(), strict=True):
        np.testing.assert_array_equal(rle_to_mask(rle["counts"], (4, 5)), mask)
    bare = detections_to_coco(detections(masks=False), 12, {1: 3, 2: 7})
    assert bare == found
    none = detections().boxes[:0], torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    assert detections_to_coco(Detections(*none), 12, {}) == []


def test_a_label_without_category_is_refused() -> None:
    """By its number."""
    with pytest.raises(ValueError, match="no category ids for 2 among"):
        detections_to_coco(detections(), 12, {1: 3})


def test_detections_as_their_own_ground_truth_are_perfect() -> None:
    """From records to figures."""
    found = detections_to_coco(detections(), 12, {1: 3, 2: 7})
    annotations = [{"id": i, **entry} for i, entry in enumerate(found)]
    images = [{"id": 12, "height": 4, "width": 5}]
    truth = {"images": images, "categories": CATEGORIES, "annotations": annotations}
    for scores in evaluate_coco(truth, found).values():
        assert scores.ap == pytest.approx(1)
    assert mean_iou(truth, found).per_object == 1


# Mean IoU ---------------------------------------------------------------------------


@given(SEEDS, st.sampled_from([0.125, 0.375, 0.5]))
def test_mean_iou_equals_the_count_of_pixels(seed: int, threshold: float) -> None:
    """Straight from the bitmaps, with no run lengths."""
    truth = ground_truth(seed)
    results = found_in(truth, seed)

    def masks(entries: list[Json], image: int, category: int) -> Array:
        kept = [
            bitmap(*entry["bbox"])
            for entry in entries
            if (entry["image_id"], entry["category_id"]) == (image, category)
        ]
        return np.array(kept, bool).reshape(-1, HEIGHT, WIDTH)

    objects = [a for a in truth["annotations"] if not a["iscrowd"]]
    crowds = [a for a in truth["annotations"] if a["iscrowd"]]
    strong = [r for r in results if r["score"] >= threshold]
    best, per_class = [], {}
    for category in CATEGORIES:
        both = either = 0
        for image in (5, 12):
            true = masks(objects, image, category["id"])
            claimed = masks(strong, image, category["id"])
            outside = ~masks(crowds, image, category["id"]).any(axis=0)
            both += (true.any(axis=0) & claimed.any(axis=0) & outside).sum()
            either += ((true.any(axis=0) | claimed.any(axis=0)) & outside).sum()
            for mask in true:
                overlap = [(mask & c).sum() / (mask | c).sum() for c in claimed]
                best.append(max(overlap, default=0.0))
        per_class[category["name"]] = both / either if either else -1.0
    score = mean_iou(truth, results, threshold)
    assert score.per_object == pytest.approx(np.mean(best) if best else -1)
    assert score.per_class == pytest.approx(per_class)
    known = [iou for iou in per_class.values() if iou >= 0]
    assert score.classes == pytest.approx(np.mean(known) if known else -1)


# Tables and curves ------------------------------------------------------------------


@pytest.fixture
def scores(truth: Json, results: list[Json]) -> dict[str, Scores]:
    """Of both kinds, and a class without objects."""
    truth["categories"] = [*CATEGORIES, {"id": 9, "name": "quince"}]
    return evaluate_coco(truth, results, max_detections=50)


def text_of(table: Table) -> list[list[str]]:
    """The cells of a table as it is printed, lines without cells left out."""
    console = Console(width=200, file=io.StringIO())
    with console.capture() as capture:
        console.print(table)
    lines = [line.replace("┃", "│") for line in capture.get().splitlines()]
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in lines
        if "│" in line
    ]


def test_the_table_of_classes(scores: dict[str, Scores]) -> None:
    """A row a class, a dash without objects, and all of them."""
    kinds, bars, *rows = text_of(per_class_table(scores))
    assert kinds[2:] == ["box"] * 3 + ["mask"] * 3
    assert bars == ["class", "objects", *["AP", "AP50", "AP75"] * 2]
    assert [row[0] for row in rows] == ["apple", "pear", "quince", "all"]
    assert rows[2][1:] == ["0", *["-"] * 6]
    box, mask = scores["bbox"], scores["segm"]
    assert rows[3][1] == str(sum(box.objects))
    totals = [box.ap, box.ap50, box.ap75, mask.ap, mask.ap50, mask.ap75]
    assert rows[3][2:] == [f"{value:.3f}" for value in totals]
    by_threshold = np.broadcast_to(np.arange(10)[:, None, None] / 10, (10, 101, 3))
    stairs = {"segm": replace(mask, precision=by_threshold)}
    assert text_of(per_class_table(stairs))[2][2:] == ["0.450", "0.000", "0.500"]
    assert per_class_table(scores).title == "up to 50 detections an image and class"


def test_the_table_of_figures(scores: dict[str, Scores]) -> None:
    """Twelve rows, in COCO's order."""
    header, *rows = text_of(figures_table({"segm": scores["segm"]}))
    assert header == ["figure", "mask"]
    assert tuple(row[0] for row in rows) == FIGURES
    assert rows[0][1] == f"{scores['segm'].ap:.3f}"


def test_the_curves_hold_the_average_precision(
    scores: dict[str, Scores], tmp_path: Path
) -> None:
    """The mean of all curves is AP, of the first AP50; precision never rises."""
    path = tmp_path / "curves.png"
    curves = pr_curves_figure(scores, path)
    with Image.open(path) as picture:
        assert picture.size == (1320, 528)
    for kind, values in curves.items():
        assert values.shape == (10, 101)
        assert values.mean() == pytest.approx(scores[kind].ap)
        assert values[0].mean() == pytest.approx(scores[kind].ap50)
        assert (np.diff(values, axis=1) <= 0).all()


def test_curves_without_any_object_are_flat(
    results: list[Json], tmp_path: Path
) -> None:
    """And still drawn."""
    truth = {**ground_truth(3), "annotations": []}
    scores = evaluate_coco(truth, results, ["bbox"])
    curves = pr_curves_figure(scores, tmp_path / "curves.svg")
    assert not curves["bbox"].any()
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")
