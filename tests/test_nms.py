"""Laws of non-maximum suppression, of one list of boxes and by segment.

Faults tried on the reference, and a test that caught each:
- >= for >; a slack of 1e-6 -> test_an_iou_of_exactly_the_threshold_is_kept
- a dropped box drops others; only the first, or the last, kept box is looked at ->
  test_three_boxes_by_hand, test_no_two_kept_boxes_overlap_too_much
- kept unless IoU <= threshold, so a NaN drops ->
  test_a_box_with_a_nan_neither_drops_nor_is_dropped
- scores ascending, or not looked at -> test_three_boxes_by_hand
- ties to the higher index; an unstable sort ->
  test_kept_boxes_come_by_falling_score_each_once
- NaN scores first -> test_a_nan_score_is_the_worst_score
- the kept in index order -> test_the_order_of_the_boxes_is_without_effect
- segments ignored; scores of another segment; results in index order ->
  test_each_segment_is_as_if_it_were_alone
- segments taken for 0..2; the last one forgotten; places within the
  segment returned -> test_one_segment_is_plain_nms_and_segments_of_one_keep_all
- offsets instead of segments, in float32 ->
  test_segments_are_exact_where_float_offsets_are_not (alone)

Faults tried on the compiled floor's grid, and a test that caught each:
- larger, smaller, wider or higher boxes not looked for; the last column or row of cells
  left out -> test_no_two_kept_boxes_overlap_too_much,
  test_an_iou_of_exactly_the_threshold_is_kept
- the reach to the left or right forgotten, halved, or that of the box's own width;
  width for height; wide for high -> test_a_thousand_boxes_are_suppressed_as_one_by_one,
  test_many_boxes_are_suppressed_as_the_reference_says
- segments that share a place not told apart -> test_each_segment_is_as_if_it_were_alone
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import strategies
from floors import Floor, floors
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch.reference import nms as reference
from maskrcnn_scratch.reference.boxes import box_iou

every_floor = pytest.mark.parametrize("floor", floors("nms"), ids=str)
OPS = next(floor for floor in floors("nms") if floor.name == "ops")

thresholds = st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.7])
all_thresholds = st.sampled_from([0, 0.05, 1 / 16, 0.1, 0.25, 0.5, 0.7, 0.9, 1])
Scored = tuple[np.ndarray, np.ndarray]


@st.composite
def scored_boxes(draw: st.DrawFn, distinct: bool = False, most: int = 8) -> Scored:
    """Crowded boxes and scores in quarters, equal ones among them unless distinct."""
    n = draw(st.integers(0, most))
    boxes = draw(strategies.boxes(count=n, extent=4, smallest=1.0))
    if distinct:
        scores = draw(st.permutations(range(n)))
    else:
        scores = draw(st.lists(st.integers(-2, 2), min_size=n, max_size=n))
    return boxes, np.array(scores, np.float64) / 4


@st.composite
def segmented_boxes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crowded boxes, scores, and up to three segments of any number."""
    boxes, scores = draw(scored_boxes())
    n = len(boxes)
    segment = st.sampled_from([0, 3, 7])
    segments = draw(st.lists(segment, min_size=n, max_size=n))
    return boxes, scores, np.array(segments, np.int64)


@st.composite
def near_boxes(draw: st.DrawFn) -> np.ndarray:
    """Two boxes whose IoU is anything, of any size, shape and place.

    Each side of the second starts and ends up to three quarters of the side away, in
    64ths of it; the sides are powers of two, or a little less or more, and the place
    may be far from the origin on either side.
    """
    rows: list[list[float]] = [[], []]
    for _ in range(2):
        side = 2.0 ** draw(st.integers(-12, 12)) * draw(st.sampled_from([1, 0.99, 1.5]))
        start = side * draw(st.sampled_from([0, 1, -1, -0.25, 1000, -(2**20)]))
        shift, growth = draw(st.tuples(st.integers(-48, 48), st.integers(-48, 48)))
        rows[0] += [start, start + side]
        rows[1] += [start + shift / 64 * side, start + side + growth / 64 * side]
    return np.array(rows)[:, [0, 2, 1, 3]]


def crowd(rng: np.random.Generator, count: int, decades: float = 1.5) -> np.ndarray:
    """Boxes on, beside and far from each other, of sides over ``decades`` of ten."""
    centres = rng.normal(0, 100, (count, 2))
    sizes = 10 ** rng.uniform(2 - decades, 2, (count, 2))
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    again = boxes[rng.integers(0, count, count // 3)]
    moved = again + rng.normal(0, 4, again.shape)
    return np.concatenate([boxes[: count - len(moved)], moved])


def plain_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """The reference with whole rows for its inner loops, for many boxes."""
    x1, y1, x2, y2 = boxes.T
    area = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    order, kept = reference.by_falling_score(scores), []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        width = np.minimum(x2[best], x2[order]) - np.maximum(x1[best], x1[order])
        height = np.minimum(y2[best], y2[order]) - np.maximum(y1[best], y1[order])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        order = order[~(shared > threshold * (area[best] + area[order] - shared))]
    return kept


def beats(scores: np.ndarray, a: int, b: int) -> bool:
    """Whether box ``a`` comes before box ``b``: better score, or equal and first."""
    return bool((-scores[a], a) < (-scores[b], b))


# --- examples


@every_floor
def test_three_boxes_by_hand(floor: Floor) -> None:
    """IoU of neighbours is 6 / 10, of the outer two 1 / 3."""
    boxes = np.array([[0.0, 0, 8, 1], [2, 0, 10, 1], [4, 0, 12, 1]])
    scores = np.array([0.9, 0.8, 0.7])
    assert floor.nms(boxes, scores, 0.7).tolist() == [0, 1, 2]
    assert floor.nms(boxes, scores, 0.5).tolist() == [0, 2]  # 1 is gone: 2 is safe
    assert floor.nms(boxes, scores, 0.3).tolist() == [0]
    assert floor.nms(boxes, scores[::-1].copy(), 0.5).tolist() == [2, 0]


@every_floor
@pytest.mark.parametrize("tenths", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_an_iou_of_exactly_the_threshold_is_kept(floor: Floor, tenths: int) -> None:
    """Boxes of ``tenths`` pixels and of 10, the one inside the other."""
    boxes = np.array([[0.0, 0, 10, 1], [0, 0, tenths, 1]])
    scores = np.array([0.75, 0.5])
    assert floor.nms(boxes, scores, tenths / 10).tolist() == [0, 1]
    assert floor.nms(boxes, scores, tenths / 10 - 1e-6).tolist() == [0]


@every_floor
def test_of_equal_scores_the_lower_index_wins(floor: Floor) -> None:
    boxes, scores = np.array([[0.0, 0, 4, 4]] * 40), np.full(40, 0.5)
    assert floor.nms(boxes, scores, 0.5).tolist() == [0]
    assert floor.nms(boxes, scores, 1.0).tolist() == list(range(40))


@every_floor
def test_no_boxes_are_no_accident(floor: Floor) -> None:
    none = np.zeros((0, 4)), np.zeros(0)
    assert floor.nms(*none, 0.5).shape == (0,)
    assert floor.segmented_nms(*none, np.zeros(0, np.int64), 0.5).shape == (0,)


@every_floor
def test_a_nan_score_is_the_worst_score(floor: Floor) -> None:
    """A broken prediction must not suppress a sound one."""
    boxes = np.array([[0.0, 0, 4, 4], [0, 0, 4, 4], [8, 0, 9, 1]])
    scores = np.array([math.nan, -9.0, math.nan])
    assert floor.nms(boxes, scores, 0.5).tolist() == [1, 2]


@every_floor
@pytest.mark.parametrize("place", range(4))
def test_a_box_with_a_nan_neither_drops_nor_is_dropped(
    floor: Floor, place: int
) -> None:
    boxes = np.array([[0.0, 0, 4, 4]] * 4)
    boxes[1, place] = math.nan
    scores = np.array([0.25, 0.5, 0.75, 0.125])
    assert floor.nms(boxes, scores, 0.5).tolist() == [2, 1]


# --- laws


@every_floor
@given(scored=scored_boxes(), threshold=thresholds)
def test_kept_boxes_come_by_falling_score_each_once(
    floor: Floor, scored: Scored, threshold: float
) -> None:
    kept = floor.nms(*scored, threshold)
    assert all(beats(scored[1], a, b) for a, b in pairwise(kept))


@every_floor
@given(scored=scored_boxes(), threshold=thresholds)
def test_no_two_kept_boxes_overlap_too_much(
    floor: Floor, scored: Scored, threshold: float
) -> None:
    kept = floor.nms(*scored, threshold)
    iou = box_iou(scored[0][kept], scored[0][kept])
    assert np.all(iou[~np.eye(len(kept), dtype=bool)] <= threshold)


@every_floor
@given(scored=scored_boxes(), threshold=thresholds)
def test_every_dropped_box_has_a_better_witness_among_the_kept(
    floor: Floor, scored: Scored, threshold: float
) -> None:
    boxes, scores = scored
    kept = floor.nms(boxes, scores, threshold)
    iou = box_iou(boxes, boxes)
    for dropped in set(range(len(boxes))) - set(kept.tolist()):
        assert any(
            iou[dropped, witness] > threshold and beats(scores, witness, dropped)
            for witness in kept
        )


@every_floor
@given(scored=scored_boxes(), threshold=thresholds)
def test_a_second_pass_changes_nothing(
    floor: Floor, scored: Scored, threshold: float
) -> None:
    boxes, scores = scored
    kept = floor.nms(boxes, scores, threshold)
    again = floor.nms(boxes[kept], scores[kept], threshold)
    assert again.tolist() == list(range(len(kept)))


@every_floor
@given(scored=scored_boxes())
def test_threshold_1_keeps_every_box(floor: Floor, scored: Scored) -> None:
    assert len(floor.nms(*scored, 1.0)) == len(scored[0])


@every_floor
@given(scored=scored_boxes(distinct=True), threshold=thresholds, data=st.data())
def test_the_order_of_the_boxes_is_without_effect(
    floor: Floor, scored: Scored, threshold: float, data: st.DataObject
) -> None:
    """Where no two scores are equal."""
    boxes, scores = scored
    order = np.array(data.draw(st.permutations(range(len(boxes)))), np.int64)
    kept = floor.nms(boxes[order], scores[order], threshold)
    assert order[kept].tolist() == floor.nms(boxes, scores, threshold).tolist()


@every_floor
@given(scored=scored_boxes(), threshold=thresholds)
def test_only_the_order_of_the_scores_matters(
    floor: Floor, scored: Scored, threshold: float
) -> None:
    """Logits and probabilities give the same boxes."""
    boxes, scores = scored
    kept = floor.nms(boxes, scores, threshold)
    probabilities = 1 / (1 + np.exp(-scores))
    assert np.array_equal(kept, floor.nms(boxes, probabilities, threshold))


# --- by segment


@every_floor
@given(segmented=segmented_boxes(), threshold=thresholds)
def test_each_segment_is_as_if_it_were_alone(
    floor: Floor,
    segmented: tuple[np.ndarray, np.ndarray, np.ndarray],
    threshold: float,
) -> None:
    boxes, scores, segments = segmented
    kept = floor.segmented_nms(boxes, scores, segments, threshold)
    assert all(beats(scores, a, b) for a, b in pairwise(kept))
    for segment in (0, 3, 7):
        members = np.flatnonzero(segments == segment)
        alone = members[floor.nms(boxes[members], scores[members], threshold)]
        assert kept[segments[kept] == segment].tolist() == alone.tolist()


@every_floor
@given(scored=scored_boxes(), threshold=thresholds)
def test_one_segment_is_plain_nms_and_segments_of_one_keep_all(
    floor: Floor, scored: Scored, threshold: float
) -> None:
    boxes, scores = scored
    one, own = np.full(len(boxes), 5), np.arange(len(boxes))
    plain = floor.nms(boxes, scores, threshold)
    assert np.array_equal(floor.segmented_nms(boxes, scores, one, threshold), plain)
    assert len(floor.segmented_nms(boxes, scores, own, threshold)) == len(boxes)


@every_floor
def test_segments_are_exact_where_float_offsets_are_not(floor: Floor) -> None:
    """Two boxes of IoU 1/2 + 1/4096 in segment 1000, and one box of a large image.

    Moved by 1000 x (4096 + 1) pixels, float32 has quarter pixels left, the IoU comes
    out as exactly 1/2, and both boxes are kept.
    """
    boxes = np.array([[0, 0, 64, 1], [0, 0, 2049 / 64, 1], [0, 0, 4096, 4096]])
    scores, segments = np.array([0.75, 0.5, 0.25]), np.array([1000, 1000, 0])
    assert floor.segmented_nms(boxes, scores, segments, 0.5).tolist() == [0, 2]
    apart = np.float32(boxes + 4097 * segments[:, None])
    assert reference.nms(apart, scores, 0.5).tolist() == [0, 1, 2]


# --- other implementations


@every_floor
@given(segmented=segmented_boxes(), threshold=thresholds)
def test_every_floor_computes_what_the_reference_says(
    floor: Floor,
    segmented: tuple[np.ndarray, np.ndarray, np.ndarray],
    threshold: float,
) -> None:
    boxes, scores, segments = segmented
    assert np.array_equal(
        floor.nms(boxes, scores, threshold), reference.nms(boxes, scores, threshold)
    )
    assert np.array_equal(
        floor.segmented_nms(boxes, scores, segments, threshold),
        reference.segmented_nms(boxes, scores, segments, threshold),
    )


@every_floor
def test_many_boxes_are_suppressed_as_the_reference_says(
    floor: Floor, rng: np.random.Generator
) -> None:
    """Enough boxes for the blocks that a fast implementation works in."""
    corners = rng.integers(0, 256, (300, 2)) / 4
    sizes = rng.integers(16, 160, (300, 2)) / 4
    boxes = np.concatenate([corners, corners + sizes], axis=1)
    scores = rng.integers(0, 64, 300) / 64
    segments = rng.integers(0, 3, 300)
    kept = floor.segmented_nms(boxes, scores, segments, 0.5)
    expected = reference.segmented_nms(boxes, scores, segments, 0.5)
    assert 0 < len(kept) < 300
    assert kept.tolist() == expected.tolist()


@every_floor
@given(boxes=near_boxes(), threshold=all_thresholds)
def test_two_boxes_meet_wherever_they_are_and_whatever_their_size(
    floor: Floor, boxes: np.ndarray, threshold: float
) -> None:
    scores = np.array([0.5, 0.25])
    expected = reference.nms(boxes, scores, threshold).tolist()
    assert floor.nms(boxes, scores, threshold).tolist() == expected
    swapped = floor.nms(boxes[::-1].copy(), scores, threshold).tolist()
    assert len(swapped) == len(expected)


@pytest.mark.parametrize("threshold", [0, 0.05, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 1])
def test_a_thousand_boxes_are_suppressed_as_one_by_one(
    rng: np.random.Generator, threshold: float
) -> None:
    """On both ways of the compiled floor: grid, and below 1/16 all pairs."""
    boxes, scores = crowd(rng, 1000), rng.permutation(1000) / 1000
    kept = OPS.nms(boxes, scores, threshold)
    assert kept.tolist() == plain_nms(boxes, scores, threshold)
    assert len(kept) < 1000 or threshold == 1


@pytest.mark.parametrize("threshold", [0.05, 0.5])
def test_more_segments_than_places_in_a_table_do_not_meet(
    rng: np.random.Generator, threshold: float
) -> None:
    """500 segments of the same three boxes: many are filed in one place."""
    boxes = np.tile([[0.0, 0, 4, 4], [0, 0, 4, 5], [9, 9, 11, 10]], (500, 1))
    segments = np.repeat(rng.permutation(500) - 250, 3) * 10**9
    scores = np.tile([0.75, 0.5, 0.25], 500)
    kept = OPS.segmented_nms(boxes, scores, segments, threshold)
    assert sorted(kept) == [n for n in range(1500) if n % 3 != 1]


@given(segmented=segmented_boxes(), threshold=all_thresholds, most=st.integers(0, 9))
def test_the_best_survivors_are_the_first_of_all(
    segmented: tuple[np.ndarray, np.ndarray, np.ndarray], threshold: float, most: int
) -> None:
    kept = OPS.segmented_nms(*segmented, threshold)
    best = OPS.segmented_nms(*segmented, threshold, most)
    assert best.tolist() == kept[:most].tolist()


@every_floor
@pytest.mark.filterwarnings("ignore:.*invalid value:RuntimeWarning")  # inf - inf
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_boxes_without_a_proper_area_neither_drop_nor_are_dropped(
    floor: Floor, threshold: float
) -> None:
    """Flat, inside out, endless: each twice, and on top of a sound one."""
    inf = math.inf
    odd = [
        *([2, 2, 2, 6], [2, 2, 6, 2], [6, 6, 2, 2], [6, 2, 2, 6], [2, 6, 6, 2]),
        *([0, 0, inf, 8], [-inf, 0, 8, 8], [-inf, -inf, inf, inf], [inf, 0, inf, 8]),
    ]
    boxes = np.array([*odd, *odd, [0, 0, 8, 8]], np.float64)
    for scores in (np.arange(19.0), -np.arange(19.0)):
        assert sorted(floor.nms(boxes, scores, threshold)) == list(range(19))


@given(scored=scored_boxes(), threshold=all_thresholds)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_types_of_fewer_bits_are_read_exactly(
    dtype: str, scored: Scored, threshold: float
) -> None:
    """Coordinates in sixteenths and scores in quarters fit into all of them."""
    torch = pytest.importorskip("torch")
    from maskrcnn_scratch import ops

    small = [torch.from_numpy(array).to(getattr(torch, dtype)) for array in scored]
    expected = reference.nms(*scored, threshold).tolist()
    assert ops.nms(*small, threshold).tolist() == expected


@given(scored=scored_boxes(distinct=True), threshold=thresholds)
def test_torchvision_keeps_the_same(scored: Scored, threshold: float) -> None:
    """Scores are distinct: torchvision does not promise an order of equal ones."""
    ops = pytest.importorskip("torchvision.ops")
    from torch import from_numpy

    boxes, scores = scored
    theirs = ops.nms(from_numpy(boxes), from_numpy(scores), threshold)
    assert reference.nms(boxes, scores, threshold).tolist() == theirs.tolist()
