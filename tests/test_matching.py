"""Laws of matching candidates (anchors, RoIs) to ground truth, and of sampling them.

Faults tried on the reference, and a test that caught each:
- > for >= at either threshold; ignored candidates made background ->
  test_thresholds_are_inclusive_above_and_exclusive_below
- ties to the last box -> test_of_tied_boxes_the_first_is_taken
- low-quality matches always, never, only of the first tied candidate, only above
  ``low``, only among negatives, or of boxes without overlap (torchvision) ->
  test_low_quality_matches_by_hand,
  test_low_quality_adds_the_best_candidates_of_every_box_and_no_others
- a best candidate goes to the box it is the best for ->
  test_the_best_candidate_of_a_box_keeps_its_own_box
- no ground truth matches box 0 -> test_without_ground_truth_everything_is_background
- argmax takes a NaN for the greatest -> test_a_nan_is_less_than_any_number
- matched > 0 for >= 0 -> test_samples_are_of_their_kind_distinct_and_ascending
- ignored ones drawn; rounding up; positives fill up; negatives do not; negatives in
  fixed proportion -> test_how_many_are_drawn
- drawn with replacement -> test_samples_are_of_their_kind_distinct_and_ascending
- the first ones taken -> test_each_candidate_has_the_same_chance (alone)
- a generator of its own -> test_equal_seeds_draw_equal_samples
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import strategies
from floors import Floor, floors
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch.reference import matching as reference
from maskrcnn_scratch.reference.boxes import box_iou
from maskrcnn_scratch.reference.matching import BACKGROUND, IGNORED

every_floor = pytest.mark.parametrize("floor", floors("matching", "match"), ids=str)
every_fused = pytest.mark.parametrize(
    "floor", floors("matching", "match_boxes"), ids=str
)
every_sampler = pytest.mark.parametrize("floor", floors("matching", "sample"), ids=str)
either_quality = pytest.mark.parametrize("low_quality", [False, True])


@st.composite
def ious(draw: st.DrawFn, least_gt: int = 0, most: int = 4) -> np.ndarray:
    """IoU (gt, candidates) in tenths, so with ties and values at the thresholds."""
    n_gt = draw(st.integers(least_gt, most))
    n_candidates = draw(st.integers(0, 6))
    count = n_gt * n_candidates
    tenths = draw(st.lists(st.integers(0, 10), min_size=count, max_size=count))
    return np.array(tenths, np.float64).reshape(n_gt, n_candidates) / 10


thresholds = st.sampled_from([(0.7, 0.3), (0.5, 0.5), (0.7, 0.7), (0.5, 0.0)])


# --- examples


@every_floor
def test_thresholds_are_inclusive_above_and_exclusive_below(floor: Floor) -> None:
    """>= 0.7 is positive, < 0.3 negative."""
    iou = np.array([[0.71, 0.7, 0.69, 0.3, 0.29, 0.0]])
    matched = [0, 0, IGNORED, IGNORED, BACKGROUND, BACKGROUND]
    assert floor.match(iou, 0.7, 0.3, False).tolist() == matched


@every_floor
def test_rois_are_positive_from_one_half_on(floor: Floor) -> None:
    """The paper: at least 0.5, not more than 0.5; none is ignored."""
    iou = np.array([[0.5, 0.49], [0.2, 0.48]])
    assert floor.match(iou, 0.5, 0.5, False).tolist() == [0, BACKGROUND]


@every_floor
def test_low_quality_matches_by_hand(floor: Floor) -> None:
    """Box 0 fits well; box 1 at best 0.2, twice; box 2 overlaps nothing."""
    iou = np.array([[0.8, 0.1, 0.0, 0.4], [0.0, 0.2, 0.2, 0.1], [0, 0, 0, 0]])
    strict = [0, BACKGROUND, BACKGROUND, IGNORED]
    assert floor.match(iou, 0.7, 0.3, False).tolist() == strict
    assert floor.match(iou, 0.7, 0.3, True).tolist() == [0, 1, 1, IGNORED]


@every_floor
def test_the_best_candidate_of_a_box_keeps_its_own_box(floor: Floor) -> None:
    """Candidate 0 is the best for box 1, but overlaps box 0 more: 1 gets nothing."""
    iou = np.array([[0.6, 0.65, 0.5], [0.4, 0.0, 0.0]])
    assert floor.match(iou, 0.7, 0.3, True).tolist() == [0, 0, IGNORED]


@every_floor
def test_of_tied_boxes_the_first_is_taken(floor: Floor) -> None:
    iou = np.array([[0.1, 0.1], [0.8, 0.2], [0.8, 0.2]])
    assert floor.match(iou, 0.7, 0.3, False).tolist() == [1, BACKGROUND]


@every_floor
@either_quality
def test_without_ground_truth_everything_is_background(
    floor: Floor, low_quality: bool
) -> None:
    for high, low in [(0.7, 0.3), (0.5, 0.0), (0.0, 0.0)]:
        matched = floor.match(np.zeros((0, 3)), high, low, low_quality)
        assert matched.tolist() == [BACKGROUND] * 3
    assert floor.match(np.zeros((2, 0)), 0.7, 0.3, low_quality).shape == (0,)


@every_floor
def test_a_nan_is_less_than_any_number(floor: Floor) -> None:
    """A broken box takes no candidate and spoils none of the others'."""
    iou = np.array([[math.nan] * 3, [0.8, 0.1, 0.0], [0.2, math.nan, 0.0]])
    matched = [1, BACKGROUND, BACKGROUND]
    assert floor.match(iou, 0.7, 0.3, False).tolist() == matched
    assert floor.match(iou, 0.7, 0.3, True).tolist() == matched


@every_floor
def test_crossed_thresholds_are_refused(floor: Floor) -> None:
    with pytest.raises(ValueError, match=r"low = 0\.7, high = 0\.3"):
        floor.match(np.zeros((1, 1)), 0.3, 0.7, False)


# --- laws of matching


@every_floor
@either_quality
@given(iou=ious(least_gt=1), limits=thresholds)
def test_a_match_is_the_box_of_greatest_iou(
    floor: Floor, low_quality: bool, iou: np.ndarray, limits: tuple[float, float]
) -> None:
    matched = floor.match(iou, *limits, low_quality)
    for candidate in np.flatnonzero(matched >= 0):
        own = matched[candidate]
        assert np.all(iou[:own, candidate] < iou[own, candidate])
        assert np.all(iou[own:, candidate] <= iou[own, candidate])


@every_floor
@given(iou=ious(least_gt=1), limits=thresholds)
def test_the_greatest_iou_decides_the_kind(
    floor: Floor, iou: np.ndarray, limits: tuple[float, float]
) -> None:
    high, low = limits
    best = iou.max(axis=0)
    matched = floor.match(iou, high, low, False)
    assert np.array_equal(matched >= 0, best >= high)
    assert np.array_equal(matched == IGNORED, (best >= low) & (best < high))
    assert np.array_equal(matched == BACKGROUND, best < low)


@every_floor
@given(iou=ious(least_gt=1), limits=thresholds)
def test_low_quality_adds_the_best_candidates_of_every_box_and_no_others(
    floor: Floor, iou: np.ndarray, limits: tuple[float, float]
) -> None:
    strict = floor.match(iou, *limits, False)
    loose = floor.match(iou, *limits, True)
    is_best = (iou == iou.max(axis=1, initial=0)[:, None]) & (iou > 0)
    added = is_best.any(axis=0)
    assert np.all(loose[added] >= 0)
    assert np.array_equal(loose[~added], strict[~added])


@every_floor
@either_quality
@given(iou=ious(), limits=thresholds, data=st.data())
def test_the_order_of_the_candidates_is_without_effect(
    floor: Floor,
    low_quality: bool,
    iou: np.ndarray,
    limits: tuple[float, float],
    data: st.DataObject,
) -> None:
    order = np.array(data.draw(st.permutations(range(iou.shape[1]))), np.int64)
    matched = floor.match(iou, *limits, low_quality)
    again = floor.match(iou[:, order], *limits, low_quality)
    assert np.array_equal(again, matched[order])


@every_floor
@either_quality
@given(iou=ious(), limits=thresholds)
def test_a_box_far_from_everything_changes_nothing(
    floor: Floor, low_quality: bool, iou: np.ndarray, limits: tuple[float, float]
) -> None:
    far = np.concatenate([iou, np.zeros((1, iou.shape[1]))])
    if len(iou) > 0:
        matched = floor.match(iou, *limits, low_quality)
        assert np.array_equal(floor.match(far, *limits, low_quality), matched)


# --- laws of sampling


@every_sampler
@pytest.mark.parametrize(
    ("positives", "negatives", "count", "fraction", "drawn"),
    [
        (1000, 9000, 256, 0.5, (128, 128)),  # the RPN
        (1000, 9000, 512, 0.25, (128, 384)),  # RoIs, 1 : 3
        (3, 9000, 256, 0.5, (3, 253)),  # negatives take the places
        (1000, 10, 256, 0.5, (128, 10)),  # positives do not
        (9, 9, 5, 0.5, (2, 3)),  # 2.5 is rounded down
        (9, 9, 5, 1.0, (5, 0)),
        (9, 9, 5, 0.0, (0, 5)),
        (9, 9, 0, 0.5, (0, 0)),
        (0, 0, 256, 0.5, (0, 0)),
    ],
)
def test_how_many_are_drawn(
    floor: Floor,
    rng: np.random.Generator,
    positives: int,
    negatives: int,
    count: int,
    fraction: float,
    drawn: tuple[int, int],
) -> None:
    matched = np.array([7] * positives + [BACKGROUND] * negatives + [IGNORED] * 50)
    chosen = floor.sample(matched.astype(np.int64), count, fraction, rng)
    assert tuple(map(len, chosen)) == drawn


@every_sampler
@given(
    matched=st.lists(st.integers(-2, 2), max_size=12),
    count=st.integers(0, 12),
    quarters=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_samples_are_of_their_kind_distinct_and_ascending(
    floor: Floor, matched: list[int], count: int, quarters: int, seed: int
) -> None:
    kinds = np.array(matched, np.int64)
    rng = np.random.default_rng(seed)
    positive, negative = floor.sample(kinds, count, quarters / 4, rng)
    assert np.all(kinds[positive] >= 0)
    assert np.all(kinds[negative] == BACKGROUND)
    assert np.all(np.diff(positive) > 0)
    assert np.all(np.diff(negative) > 0)
    assert len(positive) == min(count * quarters // 4, (kinds >= 0).sum())
    room = count - len(positive)
    assert len(negative) == min(room, (kinds == BACKGROUND).sum())


@every_sampler
def test_each_candidate_has_the_same_chance(floor: Floor) -> None:
    """2 of 8 positives and 4 of 16 negatives: each a quarter of 2000 times.

    500 with a standard deviation of sqrt(2000 x 1/4 x 3/4) = 19; within 5 of these.
    """
    matched = np.array([0, BACKGROUND, BACKGROUND] * 8)
    rng = np.random.default_rng(0)
    times = np.zeros(24)
    for _ in range(2000):
        for chosen in floor.sample(matched, 6, 1 / 3 + 1e-9, rng):
            times[chosen] += 1
    assert np.abs(times - 500).max() < 5 * 19


@every_sampler
def test_equal_seeds_draw_equal_samples(floor: Floor) -> None:
    matched = np.array([0, BACKGROUND] * 50)
    first, again, other = (
        np.concatenate(floor.sample(matched, 32, 0.5, np.random.default_rng(seed)))
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@every_sampler
@pytest.mark.parametrize(("count", "fraction"), [(-1, 0.5), (4, 1.5), (4, -0.5)])
def test_impossible_samples_are_refused(
    floor: Floor, rng: np.random.Generator, count: int, fraction: float
) -> None:
    with pytest.raises(ValueError, match=rf"not {count} and {fraction}"):
        floor.sample(np.array([0, BACKGROUND]), count, fraction, rng)


# --- other implementations


@every_floor
@either_quality
@given(iou=ious(), limits=thresholds)
def test_every_floor_matches_as_the_reference_says(
    floor: Floor, low_quality: bool, iou: np.ndarray, limits: tuple[float, float]
) -> None:
    matched = floor.match(iou, *limits, low_quality)
    assert np.array_equal(matched, reference.match(iou, *limits, low_quality))
    assert matched.dtype == np.int64


# --- from boxes, without a table of IoU


@st.composite
def crowds(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Ground truth and candidates: small whole boxes, so often equal, tied or apart."""
    whole = strategies.boxes(extent=6).map(np.floor)
    return draw(whole), draw(whole)


@every_fused
@either_quality
@given(crowd=crowds(), limits=thresholds)
def test_matching_boxes_is_matching_their_iou(
    floor: Floor,
    low_quality: bool,
    crowd: tuple[np.ndarray, np.ndarray],
    limits: tuple[float, float],
) -> None:
    matched = floor.match_boxes(*crowd, *limits, low_quality)
    expected = reference.match(box_iou(*crowd), *limits, low_quality)
    assert matched.tolist() == expected.tolist()
    assert matched.dtype == np.int64


@every_fused
def test_ties_between_boxes_and_between_candidates(floor: Floor) -> None:
    """Boxes 1 and 2 are equal: the first is taken. Box 0 has two halves: both match."""
    boxes = np.array([[10.0, 10, 14, 14], [0, 0, 4, 4], [0, 0, 4, 4]])
    halves = [[10, 10, 14, 12], [10, 12, 14, 14]]
    candidates = np.array(
        [[0, 0, 4, 4], [0, 0, 4, 2], *halves, [20, 20, 24, 24]], float
    )
    strict = floor.match_boxes(boxes, candidates, 0.7, 0.3, False)
    assert strict.tolist() == [1, IGNORED, IGNORED, IGNORED, BACKGROUND]
    loose = floor.match_boxes(boxes, candidates, 0.7, 0.3, True)
    assert loose.tolist() == [1, IGNORED, 0, 0, BACKGROUND]


@every_fused
@either_quality
def test_many_candidates_are_matched_as_the_reference_says(
    floor: Floor, rng: np.random.Generator, low_quality: bool
) -> None:
    """More than a block looks at, boxes and candidates; many are best for no box."""
    corners = rng.integers(0, 192, (1100, 2)) / 4
    sides = rng.integers(4, 160, (1100, 2)) / 4
    candidates = np.concatenate([corners, corners + sides], axis=1)
    boxes = candidates[rng.integers(0, 1100, 11)] + rng.integers(-2, 3, (11, 4)) / 2
    iou = np.stack([box_iou(boxes[[n]], candidates)[0] for n in range(11)])
    expected = reference.match(iou, 0.7, 0.3, low_quality)
    matched = floor.match_boxes(boxes, candidates, 0.7, 0.3, low_quality)
    assert matched.tolist() == expected.tolist()
    assert len(set(expected)) > 6


@every_fused
@either_quality
@pytest.mark.parametrize("place", range(4))
def test_a_broken_box_matches_nothing(
    floor: Floor, low_quality: bool, place: int
) -> None:
    """Of ground truth (so crowds are hidden) or of the candidates."""
    box = np.array([[0.0, 0, 4, 4]])
    broken = box.copy()
    broken[0, place] = math.nan
    boxes, candidates = np.concatenate([broken, box]), np.concatenate([box, broken])
    matched = floor.match_boxes(boxes, candidates, 0.5, 0.5, low_quality)
    assert matched.tolist() == [1, BACKGROUND]
    alone = floor.match_boxes(broken, candidates, 0.5, 0.5, low_quality)
    assert alone.tolist() == [BACKGROUND, BACKGROUND]


@every_fused
@either_quality
def test_without_boxes_there_is_no_match(floor: Floor, low_quality: bool) -> None:
    none, two = np.zeros((0, 4)), np.array([[0.0, 0, 2, 2], [1, 1, 3, 3]])
    for high, low in [(0.7, 0.3), (0.5, 0.0), (0.0, 0.0)]:
        matched = floor.match_boxes(none, two, high, low, low_quality)
        assert matched.tolist() == [BACKGROUND] * 2
    assert floor.match_boxes(two, none, 0.7, 0.3, low_quality).shape == (0,)
    with pytest.raises(ValueError, match=r"low = 0\.7, high = 0\.3"):
        floor.match_boxes(two, two, 0.3, 0.7, low_quality)


@either_quality
@given(iou=ious(least_gt=1), limits=thresholds)
def test_torchvision_matches_the_same(
    low_quality: bool, iou: np.ndarray, limits: tuple[float, float]
) -> None:
    """But for boxes without overlap: its low-quality rule gives them everything."""
    utils = pytest.importorskip("torchvision.models.detection._utils")
    from torch import from_numpy

    iou = iou[iou.any(axis=1)]
    if iou.size:
        theirs = utils.Matcher(*limits, low_quality)(from_numpy(iou))
        ours = reference.match(iou, *limits, low_quality)
        assert ours.tolist() == theirs.tolist()
