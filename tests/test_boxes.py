"""Laws of boxes: area, overlap, clipping, encoding and decoding.

Faults tried on the reference, and a test that caught each:
- a width with + 1 -> test_area_and_iou_of_boxes_computed_by_hand
- the area of an inverted box negative, or positive -> test_empty_and_inverted_boxes_...
- boxes that are apart overlap by a negative area -> test_iou_is_a_symmetric_fraction
- the union counts the overlap twice -> test_iou_is_1_for_equal_boxes_and_no_others
- overlap over the smaller box -> test_area_and_iou_count_pixels
- IoU 1 for two empty boxes -> test_area_and_iou_count_pixels
- Python's min, or `union > 0`, swallows a NaN -> test_nan_goes_through
- clipping to (width, height), to size - 1, or only from above -> test_clipping_by_hand
- dx over the box's own width; dx and dy swapped; log2 for log; the ratio upside down;
  dy times the anchor's width; corners for centres -> test_deltas_computed_by_hand
- decoding adds w for w / 2 -> test_no_deltas_mean_no_move
- weights forgotten, or divided where they multiply -> test_decoding_undoes_encoding
- no clamp, a clamp at 125, before the weights, or from below too ->
  test_decoding_enlarges_up_to_62_5_times_and_shrinks_without_limit
- a box with one bad side passes for solid -> test_encoding_an_empty_box_says_which
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import strategies
from floors import Floor, floors
from hypothesis import assume, given
from hypothesis import strategies as st

from maskrcnn_scratch.reference import boxes as reference

every_floor = pytest.mark.parametrize("floor", floors("boxes", "decode_boxes"), ids=str)
every_iou = pytest.mark.parametrize("floor", floors("boxes", "box_iou"), ids=str)

ROI_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
weights = st.sampled_from([(1.0, 1.0, 1.0, 1.0), ROI_WEIGHTS, (1.0, 2.0, 4.0, 8.0)])
shifts = st.tuples(strategies.sixteenths(-64, 64), strategies.sixteenths(-64, 64))
solid_boxes = strategies.boxes(smallest=1 / 16)


@st.composite
def box_pairs(draw: st.DrawFn, smallest: float = 1 / 16) -> tuple[np.ndarray, ...]:
    """Two arrays of as many boxes."""
    n = draw(st.integers(0, 6))
    pair = strategies.boxes(count=n, smallest=smallest)
    return draw(pair), draw(pair)


def moved(boxes: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    return boxes + np.array([*shift, *shift])


def bitmap(box: np.ndarray, size: int = 32) -> np.ndarray:
    """The pixels of a box with whole coordinates."""
    x1, y1, x2, y2 = box.astype(int)
    pixels = np.zeros((size, size), bool)
    pixels[y1:y2, x1:x2] = True
    return pixels


# --- area and overlap


@every_iou
def test_area_and_iou_of_boxes_computed_by_hand(floor: Floor) -> None:
    a = np.array([[0, 0, 2, 2], [4, 1, 7, 3]], np.float64)
    b = np.array([[1, 1, 3, 3], [2, 0, 4, 2], [4, 1, 7, 2]], np.float64)
    floor.assert_close(floor.box_area(a), [4, 6])  # no + 1: three pixels are 3 wide
    floor.assert_close(floor.box_iou(a, b), [[1 / 7, 0, 0], [0, 0, 1 / 2]])


@every_iou
@given(boxes=strategies.boxes(count=4))
def test_area_and_iou_count_pixels(floor: Floor, boxes: np.ndarray) -> None:
    """Of boxes with whole coordinates a bitmap tells area and overlap."""
    boxes = np.floor(boxes)
    pixels = [bitmap(box) for box in boxes]
    floor.assert_close(floor.box_area(boxes), [p.sum() for p in pixels])
    iou = [[(p & q).sum() / max((p | q).sum(), 1) for q in pixels] for p in pixels]
    floor.assert_close(floor.box_iou(boxes, boxes), iou)


@every_iou
@given(pair=box_pairs(smallest=0.0))
def test_iou_is_a_symmetric_fraction(
    floor: Floor, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    iou = floor.box_iou(*pair)
    assert np.array_equal(iou, floor.box_iou(*reversed(pair)).T)
    assert np.all((iou >= 0) & (iou <= 1))


@every_iou
@given(pair=box_pairs())
def test_iou_is_1_for_equal_boxes_and_no_others(
    floor: Floor, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    boxes = np.concatenate(pair)
    equal = (boxes[:, None] == boxes[None]).all(axis=2)
    assert np.array_equal(floor.box_iou(boxes, boxes) == 1, equal)


@every_iou
@given(
    pair=box_pairs(smallest=0.0), shift=shifts, scale=st.sampled_from([0.25, 3.0, 64.0])
)
def test_iou_knows_neither_place_nor_scale(
    floor: Floor,
    pair: tuple[np.ndarray, np.ndarray],
    shift: tuple[float, float],
    scale: float,
) -> None:
    a, b = pair
    iou = floor.box_iou(a, b)
    floor.assert_close(floor.box_iou(moved(a, shift), moved(b, shift)), iou)
    floor.assert_close(floor.box_iou(scale * a, scale * b), iou)


@every_iou
def test_empty_and_inverted_boxes_have_no_area_and_no_overlap(floor: Floor) -> None:
    empty = np.array([[3, 3, 3, 3], [2, 2, 5, 2], [5, 1, 2, 4], [5, 4, 2, 1]], float)
    solid = np.array([[0, 0, 8, 8]], float)
    assert floor.box_area(empty).tolist() == [0, 0, 0, 0]
    assert not floor.box_iou(empty, np.concatenate([solid, empty])).any()


# --- clipping


@every_floor
def test_clipping_by_hand(floor: Floor) -> None:
    """(height, width) = (10, 20): x ends at 20, y at 10."""
    boxes = np.array([[-3, -4, 30, 40], [5, 5, 15, 15], [21, 2, 25, 4]], float)
    clipped = [[0, 0, 20, 10], [5, 5, 15, 10], [20, 2, 20, 4]]
    assert floor.clip_boxes(boxes, (10, 20)).tolist() == clipped


@every_floor
@given(
    boxes=strategies.boxes(extent=48),
    shift=shifts,
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_clipping_twice_is_clipping_once_and_loses_no_overlap(
    floor: Floor, boxes: np.ndarray, shift: tuple[float, float], size: tuple[int, int]
) -> None:
    boxes = moved(boxes, shift)
    clipped = floor.clip_boxes(boxes, size)
    assert np.array_equal(floor.clip_boxes(clipped, size), clipped)
    image = np.array([0.0, 0.0, size[1], size[0]])
    shared = [reference.intersection_area(box, image) for box in boxes]
    floor.assert_close(floor.box_area(clipped), shared)


# --- encoding and decoding


@every_floor
def test_deltas_computed_by_hand(floor: Floor) -> None:
    """An anchor 10 x 20 and a box 20 x 80, its centre 10 to the right and 30 down."""
    anchor = np.array([[0.0, 0, 10, 20]])
    box = np.array([[5.0, 0, 25, 80]])
    deltas = np.array([[1, 1.5, math.log(2), math.log(4)]])
    floor.assert_close(floor.encode_boxes(anchor, box), deltas)
    floor.assert_close(
        floor.encode_boxes(anchor, box, ROI_WEIGHTS),
        [[10, 15, 5 * math.log(2), 5 * math.log(4)]],
    )
    floor.assert_close(floor.decode_boxes(anchor, deltas), box)


@every_floor
@given(pair=box_pairs(smallest=1.0), weights=weights)
def test_decoding_undoes_encoding(
    floor: Floor,
    pair: tuple[np.ndarray, np.ndarray],
    weights: tuple[float, float, float, float],
) -> None:
    """Sides from 1 to 32 pixels: never beyond the clamp of 62.5."""
    anchors, boxes = pair
    deltas = floor.encode_boxes(anchors, boxes, weights)
    floor.assert_close(floor.decode_boxes(anchors, deltas, weights), boxes)
    floor.assert_close(deltas, floor.encode_boxes(anchors, boxes) * np.array(weights))


@every_floor
@given(boxes=solid_boxes)
def test_no_deltas_mean_no_move(floor: Floor, boxes: np.ndarray) -> None:
    still = np.zeros((len(boxes), 4))
    floor.assert_close(floor.encode_boxes(boxes, boxes), still)
    floor.assert_close(floor.decode_boxes(boxes, still), boxes)


@every_floor
@given(pair=box_pairs(smallest=1.0), shift=shifts, scale=st.sampled_from([0.5, 3.0]))
def test_deltas_know_neither_place_nor_scale(
    floor: Floor,
    pair: tuple[np.ndarray, np.ndarray],
    shift: tuple[float, float],
    scale: float,
) -> None:
    anchors, boxes = pair
    deltas = floor.encode_boxes(anchors, boxes)
    both = moved(anchors, shift), moved(boxes, shift)
    floor.assert_close(floor.encode_boxes(*both), deltas)
    floor.assert_close(floor.encode_boxes(scale * anchors, scale * boxes), deltas)


@every_floor
@given(
    boxes=strategies.boxes(count=1, smallest=1.0),
    growth=st.tuples(strategies.sixteenths(-8, 8), strategies.sixteenths(-8, 8)),
    weights=weights,
)
def test_decoding_enlarges_up_to_62_5_times_and_shrinks_without_limit(
    floor: Floor,
    boxes: np.ndarray,
    growth: tuple[float, float],
    weights: tuple[float, float, float, float],
) -> None:
    """``growth`` is the logarithm of the scale, before weights."""
    deltas = np.array([[0, 0, *growth]]) * np.array(weights)
    x1, y1, x2, y2 = floor.decode_boxes(boxes, deltas, weights)[0]
    sides = boxes[0, 2:] - boxes[0, :2]
    grown = np.minimum(np.exp(growth), 62.5) * sides
    floor.assert_close([x2 - x1, y2 - y1], grown)
    floor.assert_close([x1 + x2, y1 + y2], boxes[0, :2] + boxes[0, 2:])


@every_floor
def test_the_clamp_can_be_lifted(floor: Floor) -> None:
    box, deltas = np.array([[0.0, 0, 1, 1]]), np.array([[0, 0, math.log(100), 0]])
    wide = floor.decode_boxes(box, deltas, (1.0, 1.0, 1.0, 1.0), math.inf)
    floor.assert_close(wide, [[-49.5, 0, 50.5, 1]])


# --- no boxes, wrong boxes, other implementations


@every_floor
def test_no_boxes_are_no_accident(floor: Floor) -> None:
    none, two = np.zeros((0, 4)), np.array([[0.0, 0, 1, 1], [0, 0, 2, 2]])
    assert floor.box_area(none).shape == (0,)
    assert floor.box_iou(none, two).shape == (0, 2)
    assert floor.box_iou(two, none).shape == (2, 0)
    assert floor.clip_boxes(none, (4, 4)).shape == (0, 4)
    assert floor.encode_boxes(none, none).shape == (0, 4)
    assert floor.decode_boxes(none, none).shape == (0, 4)


def test_encoding_an_empty_box_says_which() -> None:
    solid, empty = (
        np.array([[0.0, 0, 2, 2]] * 2),
        np.array([[0.0, 0, 2, 2], [1, 2, 4, 2]]),
    )
    with pytest.raises(ValueError, match=r"^box 1 is \(1, 2, 4, 2\)"):
        reference.encode_boxes(solid, empty)
    with pytest.raises(ValueError, match=r"^reference box 1 "):
        reference.encode_boxes(empty, solid)


@every_iou
@pytest.mark.parametrize("place", range(4))
def test_the_iou_of_a_nan_is_one(floor: Floor, place: int) -> None:
    """Wherever it stands, and wherever the other box is."""
    others = np.array([[0.0, 0, 2, 2], [1, 1, 3, 3], [8, 8, 9, 9], [3, 3, 3, 3]])
    broken = others[:1].copy()
    broken[0, place] = math.nan
    assert np.isnan(floor.box_iou(broken, others)).all()
    assert np.isnan(floor.box_iou(others, broken)).all()


@every_iou
def test_iou_of_more_boxes_than_a_block_holds(
    floor: Floor, rng: np.random.Generator
) -> None:
    corners = rng.integers(0, 256, (70, 2)) / 4
    boxes = np.concatenate([corners, corners + rng.integers(1, 99, (70, 2))], axis=1)
    floor.assert_close(floor.box_iou(boxes[:37], boxes), table(boxes[:37], boxes))
    floor.assert_close(floor.box_iou(boxes, boxes[:3]), table(boxes, boxes[:3]))


def table(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU as a formula over arrays."""
    corner_1 = np.maximum(a[:, None, :2], b[:, :2])
    corner_2 = np.minimum(a[:, None, 2:], b[:, 2:])
    shared = np.maximum(corner_2 - corner_1, 0).prod(axis=2)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(axis=1) for x in (a, b))
    return shared / (area_a[:, None] + area_b - shared)


@every_floor
@pytest.mark.parametrize("place", range(4))
def test_nan_goes_through_every_step(floor: Floor, place: int) -> None:
    """One NaN coordinate, or delta, spoils its axis and no other."""
    box = np.array([[0.0, 0, 2, 2]])
    broken = box.copy()
    broken[0, place] = math.nan
    x, y = place % 2 == 0, place % 2 == 1
    assert np.isnan(floor.clip_boxes(broken, (1, 1)))[0, place]
    assert np.isnan(floor.clip_boxes(broken, (1, 1))).sum() == 1
    assert np.isnan(floor.decode_boxes(broken, box)).tolist() == [[x, y, x, y]]
    assert np.isnan(floor.decode_boxes(box, broken)).tolist() == [[x, y, x, y]]


@pytest.mark.parametrize("place", range(4))
def test_nan_goes_through(place: int) -> None:
    """One NaN coordinate makes everything NaN that is computed from it."""
    solid, broken = np.array([[0.0, 0, 2, 2]]), np.array([[0.0, 0, 2, 2]])
    broken[0, place] = math.nan
    of_x, of_y = place % 2 == 0, place % 2 == 1
    assert np.isnan(reference.box_area(broken)).all()
    assert np.isnan(reference.box_iou(broken, solid)).all()
    assert np.isnan(reference.box_iou(solid, broken)).all()
    assert math.isnan(reference.intersection_area(broken[0], solid[0]))
    assert math.isnan(reference.intersection_area(solid[0], broken[0]))
    deltas = reference.encode_boxes(solid, broken)
    assert np.isnan(deltas).tolist() == [[of_x, of_y, of_x, of_y]]
    boxes = reference.decode_boxes(solid, deltas)
    assert np.isnan(boxes).tolist() == [[of_x, of_y, of_x, of_y]]


@every_floor
@given(pair=box_pairs(), weights=weights)
def test_every_floor_computes_what_the_reference_says(
    floor: Floor,
    pair: tuple[np.ndarray, np.ndarray],
    weights: tuple[float, float, float, float],
) -> None:
    a, b = pair
    floor.assert_close(floor.box_iou(a, b), reference.box_iou(a, b))
    floor.assert_close(floor.clip_boxes(a, (9, 21)), reference.clip_boxes(a, (9, 21)))
    deltas = reference.encode_boxes(a, b, weights)
    floor.assert_close(floor.encode_boxes(a, b, weights), deltas)
    floor.assert_close(
        floor.decode_boxes(a, deltas, weights),
        reference.decode_boxes(a, deltas, weights),
    )


@given(pair=box_pairs(), weights=weights)
def test_torchvision_computes_the_same(
    pair: tuple[np.ndarray, np.ndarray], weights: tuple[float, float, float, float]
) -> None:
    ops = pytest.importorskip("torchvision.ops")
    from torch import from_numpy
    from torchvision.models.detection._utils import BoxCoder

    a, b = pair
    assume(len(a) > 0)
    coder = BoxCoder(weights)
    np.testing.assert_allclose(
        reference.box_iou(a, b), ops.box_iou(from_numpy(a), from_numpy(b))
    )
    deltas = coder.encode([from_numpy(b)], [from_numpy(a)])[0].numpy()
    np.testing.assert_allclose(reference.encode_boxes(a, b, weights), deltas, atol=1e-6)
    np.testing.assert_allclose(
        reference.decode_boxes(a, deltas, weights),
        coder.decode(from_numpy(deltas), [from_numpy(a)]).numpy()[:, 0],
        rtol=1e-5,
        atol=1e-4,
    )
