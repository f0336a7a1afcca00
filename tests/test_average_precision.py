"""COCO's average precision: equal to pycocotools, and the laws behind it.

Faults put in on purpose, and the first test that caught each:

- IoU strictly above the threshold -> equal_to_pycocotools
- no 1e-10 off a threshold of 1 -> a_perfect_overlap_reaches_a_threshold_of_one
- a crowd taken once -> detections_in_a_crowd_are_left_out
- an object taken again and again -> objects_as_their_own_detections_are_perfect
- of equal overlaps the first wins -> of_equal_overlaps_the_later_object_is_taken
- ignored objects compete with the others, or come first -> equal_to_pycocotools
- crowd IoU over the union -> detections_in_a_crowd_are_left_out
- area range open above, open below, of measured areas -> equal_to_pycocotools
- misses outside the area range count, hits do not -> equal_to_pycocotools
- an ignored object is a hit; counts in recall -> equal_to_pycocotools
- no limit of detections -> a_limit_keeps_the_best_of_each_class_and_image
- detections not sorted; ties reversed in or across images -> equal_to_pycocotools
- images not pooled by score -> a_false_alarm_below_all_others_is_free
- no envelope; recall strictly above the level -> equal_to_pycocotools
- 100 recall levels; 9 thresholds; AP75 at 0.70 -> equal_to_pycocotools
- widths with +1 -> equal_to_pycocotools
- overlap of distant boxes not cut at 0 -> a_false_alarm_below_all_others_is_free
- classes without objects count 0; classes mixed -> equal_to_pycocotools
- images with false alarms alone left out -> equal_to_pycocotools
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_scratch.reference.average_precision import (
    FIGURES,
    Annotation,
    Detection,
    average_precision,
    match_detections,
    precision_curve,
    region_area,
)

Array = np.ndarray[Any, np.dtype[Any]]
Data = tuple[list[Annotation], list[Detection]]

SIDE = 128  # bitmaps are SIDE x SIDE: room for COCO's large objects, above 96 x 96
CATEGORIES = (1, 3)
IMAGES = (2, 5)


# Generated data ---------------------------------------------------------------------


@st.composite
def box_regions(draw: st.DrawFn) -> Array:
    """Boxes on a coarse grid, so that overlaps, exact IoUs and ties are common."""
    x1, y1 = draw(st.sampled_from([0, 2, 8, 60])), draw(st.sampled_from([0, 2, 60]))
    width = draw(st.sampled_from([10, 20, 32, 40, 96, 100]))
    height = draw(st.sampled_from([width, 20, 100]))
    return np.array([x1, y1, x1 + width, y1 + height], np.float64)


@st.composite
def mask_regions(draw: st.DrawFn) -> Array:
    """A box as a bitmap, with a bite taken out of a corner, or empty."""
    x1, y1, x2, y2 = draw(box_regions()).astype(int)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y1:y2, x1:x2] = draw(st.integers(0, 9)) > 0
    bite = draw(st.sampled_from([0, 3, 12]))
    mask[y1 : y1 + bite, x1 : x1 + bite] = False
    return mask


@st.composite
def data_sets(draw: st.DrawFn, regions: st.SearchStrategy[Array]) -> Data:
    """Objects and detections; every other detection copies an object or its place."""
    place = st.tuples(st.sampled_from(IMAGES), st.sampled_from(CATEGORIES))
    annotations = []
    for _ in range(draw(st.integers(0, 7))):
        region = draw(regions)
        stated = st.sampled_from([region_area(region), 1024.0, 9216.0, 9217.0])
        crowd = draw(st.integers(0, 3)) == 0
        annotations.append(Annotation(*draw(place), region, draw(stated), crowd))
    detections = []
    for _ in range(draw(st.integers(0, 9))):
        image, category = draw(place)
        region = draw(regions)
        if annotations and draw(st.booleans()):
            model = draw(st.sampled_from(annotations))
            image, category = model.image, model.category
            region = model.region if draw(st.booleans()) else region
        score = draw(st.integers(1, 6)) / 8
        detections.append(Detection(image, category, region, score))
    return annotations, detections


# The oracle -------------------------------------------------------------------------


def coco_region(region: Array) -> dict[str, Any]:
    """A region as the fields of a COCO annotation or result."""
    if region.ndim == 2:
        packed = np.asfortranarray(region.astype(np.uint8))
        return {"segmentation": pycocotools.mask.encode(packed)}
    x1, y1, x2, y2 = region.tolist()
    return {"bbox": [x1, y1, x2 - x1, y2 - y1]}


def coco_object(dataset: dict[str, Any]) -> COCO:
    """A COCO object without a file."""
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def pycocotools_figures(
    data: Data, kind: str, limits: Sequence[int] = (1, 10, 100)
) -> Array:
    """The twelve figures of COCOeval (its third limit has to be 100)."""
    annotations, detections = data
    header = {
        "images": [{"id": i, "height": SIDE, "width": SIDE} for i in IMAGES],
        "categories": [{"id": i, "name": str(i)} for i in CATEGORIES],
    }
    truth = [
        {"id": number, "image_id": item.image, "category_id": item.category}
        | {"area": item.area, "iscrowd": int(item.crowd)}
        | coco_region(item.region)
        for number, item in enumerate(annotations, 1)
    ]
    found = [
        {"id": number, "image_id": item.image, "category_id": item.category}
        | {"area": region_area(item.region), "iscrowd": 0, "score": item.score}
        | coco_region(item.region)
        for number, item in enumerate(detections, 1)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            coco_object(header | {"annotations": truth}),
            coco_object(header | {"annotations": found}),
            kind,
        )
        evaluation.params.maxDets = list(limits)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize(
    ("kind", "regions"), [("bbox", box_regions()), ("segm", mask_regions())]
)
def test_equal_to_pycocotools(kind: str, regions: st.SearchStrategy[Array]) -> None:
    """All twelve figures: crowds, ties, several classes and images, empty sides."""

    @settings(max_examples=60)
    @given(data_sets(regions), st.sampled_from([(1, 10, 100), (1, 2, 100)]))
    def check(data: Data, limits: tuple[int, int, int]) -> None:
        figures = average_precision(*data, limits)
        assert tuple(figures) == FIGURES
        expected = pycocotools_figures(data, kind, limits)
        np.testing.assert_allclose(list(figures.values()), expected, atol=1e-9)

    check()


def test_of_equal_overlaps_the_later_object_is_taken() -> None:
    """As in pycocotools; here it leaves the second detection without an object."""
    objects = [np.array([left, 0, left + 10, 10.0]) for left in (8, 12)]
    between, right = np.array([10, 0, 20, 10.0]), np.array([14, 0, 24, 10.0])
    annotations = [Annotation(2, 1, region, 100.0) for region in objects]
    detections = [Detection(2, 1, between, 0.9), Detection(2, 1, right, 0.8)]
    figures = average_precision(annotations, detections)
    expected = pycocotools_figures((annotations, detections), "bbox")
    np.testing.assert_allclose(list(figures.values()), expected, atol=1e-9)
    iou = np.array([[0.6, 0.6], [0.1, 0.6]])
    nobody = np.zeros(2, bool)
    assert match_detections(iou, nobody, nobody, 0.5).tolist() == [1, -1]


# Laws -------------------------------------------------------------------------------


def counted(annotations: list[Annotation]) -> list[Annotation]:
    """The objects with an area, none of them a crowd."""
    objects = [replace(item, crowd=False) for item in annotations]
    return [item for item in objects if region_area(item.region) > 0]


@given(data_sets(mask_regions()))
def test_objects_as_their_own_detections_are_perfect(data: Data) -> None:
    """Finding just what is there scores 1, or -1 for areas without objects."""
    objects = counted(data[0])
    found = [Detection(item.image, item.category, item.region, 0.5) for item in objects]
    figures = average_precision(objects, found)
    assert all(figures[name] in (1, -1) for name in FIGURES if name != "ar_1")
    assert figures["ap"] == (1 if objects else -1)


@given(data_sets(box_regions()))
def test_nothing_found_scores_zero_and_nothing_there_minus_one(data: Data) -> None:
    """0 where there are objects that count, -1 where there are none."""
    figures = average_precision(data[0], [])
    there = any(not item.crowd for item in data[0])
    assert figures["ap"] == figures["ar"] == (0 if there else -1)
    assert set(average_precision([], data[1]).values()) == {-1}


@given(data_sets(box_regions()))
def test_only_the_order_of_the_scores_matters(data: Data) -> None:
    """Any rising function of the scores leaves every figure as it is."""
    annotations, detections = data
    bent = [replace(item, score=item.score**3 - 5) for item in detections]
    assert average_precision(annotations, bent) == average_precision(*data)


@given(data_sets(box_regions()), st.sampled_from(IMAGES))
def test_a_false_alarm_below_all_others_is_free(data: Data, image: int) -> None:
    """AP looks no further than the last recall gained."""
    annotations, detections = data
    region = np.array([200, 200, 220, 220.0])
    alarm = Detection(image, CATEGORIES[0], region, 0.0)
    assert average_precision(annotations, [*detections, alarm]) == (
        average_precision(*data)
    )


@given(data_sets(box_regions()), st.sampled_from(IMAGES))
def test_a_false_alarm_above_all_others_never_helps(data: Data, image: int) -> None:
    """Every AP falls or stays; so does every AR within a limit."""
    annotations, detections = data
    region = np.array([200, 200, 220, 220.0])
    alarm = Detection(image, CATEGORIES[0], region, 1.0)
    before = average_precision(*data)
    after = average_precision(annotations, [*detections, alarm])
    assert all(after[name] <= before[name] for name in FIGURES)


@given(data_sets(box_regions()), st.integers(1, 3))
def test_a_limit_keeps_the_best_of_each_class_and_image(data: Data, limit: int) -> None:
    """As if the others had never been reported."""
    annotations, detections = data
    kept: list[Detection] = []
    for item in sorted(detections, key=lambda item: -item.score):
        place = (item.image, item.category)
        kept += [item] * (
            sum((other.image, other.category) == place for other in kept) < limit
        )
    limited = average_precision(annotations, detections, (limit, limit, limit))
    assert limited == average_precision(annotations, kept, (limit, limit, 100))


def test_detections_in_a_crowd_are_left_out() -> None:
    """Any number of them, ranked first; the crowd itself need not be found."""
    apple, crowd = np.array([0, 0, 10, 10.0]), np.array([20, 0, 90, 80.0])
    annotations = [
        Annotation(2, 1, apple, 100.0),
        Annotation(2, 1, crowd, 5600.0, crowd=True),
    ]
    inside = [np.array([20 + 5 * i, 10, 30 + 5 * i, 20.0]) for i in range(6)]
    detections = [Detection(2, 1, region, 0.9) for region in inside]
    detections.append(Detection(2, 1, apple, 0.3))
    assert average_precision(annotations, detections)["ap"] == 1
    alone = average_precision(annotations[:1], detections)["ap"]
    assert alone == pytest.approx(1 / 7)


def test_by_hand_hit_miss_hit() -> None:
    """Two objects; the list hits, misses, hits: precision 1 up to recall 1/2, then 2/3.

    Levels 0.00 .. 0.50 are 51 of the 101.
    """
    curve, recall = precision_curve(np.array([True, False, True]), 2)
    assert recall == 1
    assert curve.mean() == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_by_hand_the_greedy_match_is_not_the_best_one() -> None:
    """The better-scored detection takes the object that the other needed."""
    iou = np.array([[0.8, 0.7], [0.6, 0.1]])
    nobody = np.zeros(2, bool)
    assert match_detections(iou, nobody, nobody, 0.5).tolist() == [0, -1]


def test_an_ignored_object_is_taken_only_where_no_other_will_do() -> None:
    """Even where it overlaps more; and once, unless it is a crowd."""
    iou = np.array([[0.6, 0.9], [0.4, 0.9], [0.4, 0.9]])
    ignored = np.array([False, True])
    crowd = np.array([False, True])
    assert match_detections(iou, ignored, crowd, 0.5).tolist() == [0, 1, 1]
    assert match_detections(iou, ignored, ~ignored & False, 0.5).tolist() == [0, 1, -1]


def test_a_perfect_overlap_reaches_a_threshold_of_one() -> None:
    """And an IoU of exactly the threshold is enough."""
    free = np.zeros(1, bool)
    assert match_detections(np.array([[1.0]]), free, free, 1.0).tolist() == [0]
    assert match_detections(np.array([[0.75]]), free, free, 0.75).tolist() == [0]
