"""Masks: polygons and run lengths, training targets, pasting.

Faults put in on purpose, and the first test that caught each:

- corners cut, not rounded; floored below 0 -> polygons_equal_pycocotools
- crossing from the lower end -> polygons_equal_pycocotools
- crossing at the pixel's edge; row rounded down -> pixel_centres_clear_of_...
- rows or columns outside; not closed -> a_cut_leaves_neither_gap_nor_overlap
- polygons of one object cancel -> polygons_equal_pycocotools
- lines drawn in their own direction; steep along x -> fine_lines_are_connected_and_...
- runs row by row, ones first -> run_lengths_return_the_bitmap
- differences from the third number, to the one before -> run_lengths_equal_pycocotools
- sign ignored in packing or unpacking -> long_runs_equal_pycocotools
- target threshold above 1/2 -> targets_are_shares_and_the_threshold_is_one_half
- target half a pixel off -> targets_flip_and_turn_with_the_image
- target with one sample a bin -> targets_by_hand
- always the first object's mask -> each_box_reads_its_own_mask
- paste threshold strict -> the_threshold_is_reached_not_passed
- paste at pixel or cell corners, x for y, no ring, +1 -> paste_then_crop_returns_...
- boxes without area not left out -> paste_at_pixel_centres_equals_grid_sample
- legacy without +1, floored, rounded, not grown -> legacy_paste_equals_torchvision
- legacy corners in float64 of float32 boxes -> corners_are_cut_as_torchvision_cuts_them
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
import strategies
import torch
from floors import Floor, floors
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import sixteenths

from maskrcnn_scratch import ops
from maskrcnn_scratch.reference.masks import (
    compress_rle,
    decompress_rle,
    fill_polygon,
    fine_line,
    in_whole_pixels,
    mask_to_rle,
    paste_probability,
    polygons_to_mask,
    rle_to_mask,
)
from maskrcnn_scratch.reference.roi_align import roi_align_separable

Array = np.ndarray[Any, np.dtype[Any]]
Size = tuple[int, int]
Polygon = list[float]
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))
every_floor = pytest.mark.parametrize("floor", floors("masks"), ids=str)
legacy_floors = pytest.mark.parametrize(
    "floor", floors("masks", "paste_mask_legacy"), ids=str
)
REFERENCE = floors("masks")[0]


def corners(low: float = -3, high: float = 14) -> st.SearchStrategy[float]:
    """Coordinates on and off the pixel centres, in and around the image."""
    return st.one_of(sixteenths(low, high), st.floats(low, high, width=32))


@st.composite
def polygons(draw: st.DrawFn, fewest: int = 3, most: int = 6) -> Polygon:
    """Closed outlines, also ones that cross themselves."""
    count = 2 * draw(st.integers(fewest, most))
    return draw(st.lists(corners(), min_size=count, max_size=count))


@st.composite
def bitmaps(draw: st.DrawFn, largest: int = 8) -> Array:
    """uint8 bitmaps of any pattern."""
    size = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    pixels = st.lists(st.booleans(), min_size=size[0] * size[1])
    return np.array(draw(pixels)[: size[0] * size[1]], np.uint8).reshape(size)


@st.composite
def probability_maps(draw: st.DrawFn, largest: int = 6) -> Array:
    """m x m maps of sixteenths in 0..1."""
    m = draw(st.integers(1, largest))
    values = draw(st.lists(sixteenths(0, 1), min_size=m * m, max_size=m * m))
    return np.array(values).reshape(m, m)


# Polygons ---------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.lists(polygons(), max_size=3), SIZES)
@example([[2.5, 2.5, 2.5, 2.5, 2.5, 2.5]], (4, 4))
@example([[0.0, 0, 9, 0, 9, 9, 0, 9]], (4, 4))
def test_polygons_equal_pycocotools(outlines: list[Polygon], size: Size) -> None:
    """Bit for bit, united, in and around the image."""
    mask = polygons_to_mask(outlines, size)
    if outlines:
        runs = pycocotools.mask.frPyObjects(outlines, *size)
        expected = pycocotools.mask.merge(runs)["counts"].decode()
        assert compress_rle(mask_to_rle(mask)) == expected
    else:
        assert not mask.any()


def distance_to_outline(polygon: Polygon, point: Array) -> float:
    """From a point to the nearest edge."""
    ends = np.array(polygon).reshape(-1, 2)
    nearest = np.inf
    for start, end in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        along = end - start
        share = (point - start) @ along / max(along @ along, 1e-12)
        foot = start + np.clip(share, 0, 1) * along
        nearest = min(nearest, float(np.hypot(*(point - foot))))
    return nearest


def inside(polygon: Polygon, point: Array) -> bool:
    """The textbook rule: a ray from the point crosses the outline an odd number."""
    ends = np.array(polygon).reshape(-1, 2)
    crossings = 0
    for (x0, y0), (x1, y1) in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        if (y0 > point[1]) != (y1 > point[1]):
            crossings += point[0] < x0 + (point[1] - y0) / (y1 - y0) * (x1 - x0)
    return crossings % 2 == 1


@given(polygons(), SIZES)
def test_pixel_centres_clear_of_the_outline_follow_the_textbook(
    polygon: Polygon, size: Size
) -> None:
    """The lattice moves an outline by less than 0.3 pixels."""
    mask = fill_polygon(polygon, size)
    for row, column in np.ndindex(size):
        centre = np.array([column + 0.5, row + 0.5])
        if distance_to_outline(polygon, centre) > 0.3:
            assert mask[row, column] == inside(polygon, centre)


@given(polygons(fewest=4), SIZES, st.integers(2, 3))
def test_a_cut_leaves_neither_gap_nor_overlap(
    polygon: Polygon, size: Size, corner: int
) -> None:
    """Even-odd: the two parts along a diagonal add up to the whole, modulo 2."""
    corner = min(corner, len(polygon) // 2 - 2)
    first = polygon[: 2 * corner + 2]
    second = polygon[:2] + polygon[2 * corner :]
    parts = fill_polygon(first, size) ^ fill_polygon(second, size)
    np.testing.assert_array_equal(parts, fill_polygon(polygon, size))


@given(st.lists(corners(1, 9), min_size=6, max_size=10), st.integers(0, 3))
def test_polygons_move_by_whole_pixels(values: Polygon, shift: int) -> None:
    """Moving the outline moves the bitmap (sizes that hold both)."""
    polygon = np.round(values[: len(values) // 2 * 2], 4).tolist()
    polygon = (np.round(np.array(polygon) * 16) / 16).tolist()
    moved = [value + shift for value in polygon]
    still = fill_polygon(polygon, (10, 10))
    expected = np.pad(still, ((shift, 0), (shift, 0)))
    np.testing.assert_array_equal(fill_polygon(moved, expected.shape), expected)


@given(strategies.boxes(count=1, extent=12))
def test_a_box_of_whole_pixels_fills_just_those(boxes: Array) -> None:
    """The rectangle from x1 to x2 covers the columns x1 .. x2 - 1."""
    x1, y1, x2, y2 = boxes[0].round().astype(int)
    outline = np.array([x1, y1, x2, y1, x2, y2, x1, y2], np.float64).tolist()
    expected = np.zeros((12, 12), np.uint8)
    expected[y1:y2, x1:x2] = 1
    np.testing.assert_array_equal(fill_polygon(outline, (12, 12)), expected)


POINTS = st.tuples(st.integers(0, 30), st.integers(0, 30))


@given(POINTS, POINTS)
@example((0, 0), (22, 15))  # where rounding errors differ with the direction
def test_fine_lines_are_connected_and_the_same_both_ways(start: Any, end: Any) -> None:
    """From start to end in steps of at most one in either direction."""
    line = fine_line(start, end)
    assert line[0] == start
    assert line[-1] == end
    steps = np.abs(np.diff(np.array(line), axis=0))
    assert (steps <= 1).all()
    assert fine_line(end, start) == line[::-1]


@pytest.mark.parametrize("polygon", [[], [1.0, 2, 3, 4], [1.0, 2, 3, 4, 5, 6, 7]])
def test_what_is_no_polygon_is_refused(polygon: Polygon) -> None:
    """Four numbers would be read as a box by pycocotools."""
    with pytest.raises(ValueError, match=r"polygon 1 has \d numbers"):
        polygons_to_mask([[0.0, 0, 1, 0, 1, 1], polygon], (4, 4))


# Run lengths ------------------------------------------------------------------------


@given(bitmaps())
def test_run_lengths_return_the_bitmap(mask: Array) -> None:
    """As a list and as a string; odd runs add up to the area."""
    counts = mask_to_rle(mask)
    np.testing.assert_array_equal(rle_to_mask(counts, mask.shape), mask)
    text = compress_rle(counts)
    assert decompress_rle(text) == counts
    np.testing.assert_array_equal(rle_to_mask(text, mask.shape), mask)
    assert sum(counts[1::2]) == mask.sum()
    assert all(count > 0 for count in counts[1:])


@given(bitmaps())
def test_run_lengths_equal_pycocotools(mask: Array) -> None:
    """The string that encode writes, and what it makes of the list."""
    encoded = pycocotools.mask.encode(np.asfortranarray(mask))
    text = encoded["counts"].decode()
    counts = mask_to_rle(mask)
    assert compress_rle(counts) == text
    listed = {"counts": counts, "size": list(mask.shape)}
    runs = pycocotools.mask.frPyObjects(listed, *mask.shape)
    assert runs["counts"].decode() == text


@given(st.lists(st.integers(0, 1_000_000), min_size=1, max_size=8))
def test_long_runs_equal_pycocotools(counts: list[int]) -> None:
    """Several letters a number, and differences below 0."""
    rows = sum(counts)
    runs = pycocotools.mask.frPyObjects({"counts": counts, "size": [rows, 1]}, rows, 1)
    assert compress_rle(counts) == runs["counts"].decode()
    assert decompress_rle(compress_rle(counts)) == counts


def test_run_lengths_by_hand() -> None:
    """Columns first: 0 0 | 1 1 | 1 0 are runs of 2, 3 and 1."""
    mask = np.array([[0, 1, 1], [0, 1, 0]], np.uint8)
    assert mask_to_rle(mask) == [2, 3, 1]
    assert compress_rle([2, 3, 1]) == "231"
    assert mask_to_rle(1 - mask) == [0, 2, 3, 1]


@pytest.mark.parametrize("counts", [[3, 2], [], [8, -2], "231"])
def test_runs_that_do_not_fill_the_image_are_refused(counts: Any) -> None:
    """6 pixels, none less."""
    shape = (2, 2) if counts == "231" else (2, 3)
    with pytest.raises(ValueError, match="run lengths add up to"):
        rle_to_mask(counts, shape)


@pytest.mark.parametrize(("text", "fault"), [("2 1", "letter 1"), ("2Q", "middle")])
def test_letters_that_are_no_runs_are_refused(text: str, fault: str) -> None:
    """Instead of a bitmap of something else."""
    with pytest.raises(ValueError, match=fault):
        decompress_rle(text)


def test_real_annotations_equal_pycocotools(shared_data: Path) -> None:
    """Polygons and run lengths of COCO images of people, crowds among them."""
    folder = shared_data / "coco_person_small" / "annotations"
    data = json.loads(next(folder.glob("*val.json")).read_text())
    sizes = {item["id"]: (item["height"], item["width"]) for item in data["images"]}
    for item in data["annotations"][:20]:
        segmentation, size = item["segmentation"], sizes[item["image_id"]]
        runs = pycocotools.mask.frPyObjects(segmentation, *size)
        if isinstance(segmentation, list):
            runs = pycocotools.mask.merge(runs)
            mask = polygons_to_mask(segmentation, size)
        else:
            mask = rle_to_mask(segmentation["counts"], size)
        assert compress_rle(mask_to_rle(mask)) == runs["counts"].decode()


# Targets ----------------------------------------------------------------------------


@st.composite
def masks_and_boxes(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """Masks (g, 6, 6), boxes (n, 4) within, and the mask of each box."""
    pixels = st.lists(st.integers(0, 1), min_size=36, max_size=36)
    chosen = draw(st.lists(pixels, min_size=1, max_size=2))
    masks = np.array(chosen, np.uint8).reshape(-1, 6, 6)
    boxes = draw(strategies.boxes(extent=6, smallest=1 / 4))[:3]
    which = st.lists(st.integers(0, len(masks) - 1), min_size=3, max_size=3)
    return masks, boxes, np.array(draw(which), np.int64)[: len(boxes)]


@every_floor
@given(data=masks_and_boxes(), size=st.integers(1, 4))
def test_targets_are_shares_and_the_threshold_is_one_half(
    floor: Floor, data: tuple[Array, Array, Array], size: int
) -> None:
    """Soft targets of a mask and of its complement add up to 1."""
    masks, boxes, index = data
    soft = floor.mask_targets(masks, boxes, index, size)
    assert soft.shape == (len(boxes), size, size)
    assert ((soft >= 0) & (soft <= 1 + floor.tolerance)).all()
    rest = floor.mask_targets(1 - masks, boxes, index, size)
    floor.assert_close(soft + rest, np.ones(soft.shape))
    hard = floor.mask_targets(masks, boxes, index, size, "threshold")
    np.testing.assert_array_equal(hard, soft >= 0.5)


@every_floor
@given(data=masks_and_boxes(), size=st.integers(1, 4))
def test_each_box_reads_its_own_mask(
    floor: Floor, data: tuple[Array, Array, Array], size: int
) -> None:
    """All at once or one by one."""
    masks, boxes, index = data
    masks = np.concatenate([masks, 1 - masks])  # at least two, that differ
    index = index + len(masks) // 2
    together = floor.mask_targets(masks, boxes, index, size)
    for target, box, which in zip(together, boxes, index, strict=True):
        alone = floor.mask_targets(masks[[which]], box[None], np.array([0]), size)
        np.testing.assert_array_equal(target, alone[0])


@every_floor
@given(data=masks_and_boxes(), size=st.integers(1, 4))
def test_targets_flip_and_turn_with_the_image(
    floor: Floor, data: tuple[Array, Array, Array], size: int
) -> None:
    """Left for right, and x for y."""
    masks, boxes, index = data
    soft = floor.mask_targets(masks, boxes, index, size)
    flipped_boxes = boxes.copy()
    flipped_boxes[:, [0, 2]] = 6 - boxes[:, [2, 0]]
    flipped = floor.mask_targets(masks[..., ::-1].copy(), flipped_boxes, index, size)
    floor.assert_close(flipped[..., ::-1], soft)
    turned = masks.transpose(0, 2, 1).copy()
    across = floor.mask_targets(turned, boxes[:, [1, 0, 3, 2]], index, size)
    floor.assert_close(across.transpose(0, 2, 1), soft)


@every_floor
@given(data=masks_and_boxes(), size=st.integers(1, 4), shift=st.integers(1, 3))
def test_targets_move_with_the_image(
    floor: Floor, data: tuple[Array, Array, Array], size: int, shift: int
) -> None:
    """By whole pixels, with an edge that repeats the border as RoIAlign does."""
    masks, boxes, index = data
    moved = np.pad(masks, ((0, 0), (shift, 0), (shift, 0)), mode="edge")
    floor.assert_close(
        floor.mask_targets(moved, boxes + shift, index, size),
        floor.mask_targets(masks, boxes, index, size),
    )


@every_floor
@given(mask=bitmaps(), left=st.integers(0, 7), top=st.integers(0, 7))
def test_the_target_of_a_box_of_m_pixels_is_the_crop(
    floor: Floor, mask: Array, left: int, top: int
) -> None:
    """One sample in the centre of each pixel reads that pixel."""
    size = min(mask.shape[0] - top, mask.shape[1] - left)
    if size < 1:
        return
    box = np.array([[left, top, left + size, top + size]], np.float64)
    target = floor.mask_targets(mask[None], box, np.zeros(1, np.int64), size)[0]
    floor.assert_close(target, mask[top : top + size, left : left + size])


@every_floor
def test_targets_by_hand(floor: Floor) -> None:
    """A bin of two by two pixels, three of them covered: 3/4, or 1."""
    rows = [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    mask = np.array([rows], np.uint8)
    box, first = np.array([[0.0, 0, 4, 4]]), np.zeros(1, np.int64)
    soft = floor.mask_targets(mask, box, first, 2)[0]
    floor.assert_close(soft, [[0.75, 0], [0, 1]])
    hard = floor.mask_targets(mask, box, first, 2, "threshold")[0]
    np.testing.assert_array_equal(hard, [[1, 0], [0, 1]])
    line = np.array([[[1, 0, 0, 1, 0, 1]]], np.uint8)
    thirds = floor.mask_targets(line, np.array([[0.0, 0, 6, 1]]), first, 2)[0]
    floor.assert_close(thirds, [[1 / 3, 2 / 3]] * 2)
    if floor is REFERENCE:
        with pytest.raises(ValueError, match="rule is 'hard'"):
            floor.mask_targets(mask, box, first, 2, "hard")


@st.composite
def any_boxes(draw: st.DrawFn, extent: float = 8) -> Array:
    """Boxes (n, 4) of any kind: within, beyond, inside out, without area, not there."""
    coordinate = st.one_of(
        sixteenths(-4, extent + 4),
        st.integers(-2, round(extent) + 2).map(float),
        st.sampled_from([np.nan, -40.0, 40.0]),
    )
    row = st.tuples(*[coordinate] * 4)
    return np.array(draw(st.lists(row, max_size=2)), np.float64).reshape(-1, 4)


@every_floor
@given(bitmaps(), any_boxes(), st.integers(1, 5))
@example(np.ones((3, 70), np.uint8), np.array([[-1.0, -1, 71, 4]]), 1)
@example(np.ones((70, 3), np.uint8), np.array([[-1.0, -1, 4, 71]]), 1)
@example(np.ones((1, 1), np.uint8), np.array([[-0.5, 0, 1.5, 1]]), 2)
def test_targets_of_any_box_are_the_reference_s(
    floor: Floor, mask: Array, boxes: Array, size: int
) -> None:
    """Partly or wholly outside, inside out, without area, or no box at all."""
    masks = np.stack([mask, 1 - mask])
    index = np.arange(len(boxes)) % 2
    targets = floor.mask_targets(masks, boxes, index, size)
    floor.assert_close(targets, REFERENCE.mask_targets(masks, boxes, index, size))


@pytest.mark.parametrize("floor", floors("masks")[1:], ids=str)
def test_targets_of_a_box_far_wider_than_the_mask(floor: Floor) -> None:
    """Which the reference cannot read point by point: its separable form can."""
    mask = np.eye(6, dtype=np.uint8)[None]
    box = np.array([[-20_000.5, 1, 30_000, 5], [0, -1e5, 6, 1e4], [-1e30, 0, 1e30, 6]])
    targets = floor.mask_targets(mask, box, np.zeros(3, np.int64), 3)
    rois = np.concatenate([np.zeros((2, 1)), box[:2]], axis=1)
    expected = roi_align_separable(mask[None].astype(np.float64), rois, (3, 3))
    floor.assert_close(targets[:2], expected[:, 0])
    floor.assert_close(targets[2], np.zeros((3, 3)))


# Pasting ----------------------------------------------------------------------------

Paste = Callable[..., Array]


def pastes(floor: Floor) -> list[Paste]:
    """The floor's ways to paste."""
    names = ("paste_mask", "paste_mask_legacy")
    return [getattr(floor, name) for name in names if floor.has(name)]


@given(bitmaps(), st.integers(-3, 5), st.integers(-3, 5))
def test_paste_then_crop_returns_the_map(mask: Array, left: int, top: int) -> None:
    """A box of m x m whole pixels: each pixel centre reads one cell; 0 outside."""
    m = min(mask.shape)
    square = mask[:m, :m].astype(np.float64)
    box = np.array([left, top, left + m, top + m], np.float64)
    pasted = paste_probability(square, box, (14, 14))
    framed = np.zeros((30, 30))
    framed[8 + top : 8 + top + m, 8 + left : 8 + left + m] = square
    np.testing.assert_allclose(pasted, framed[8:22, 8:22], atol=1e-9)


@given(probability_maps(), strategies.boxes(count=1, extent=20), SIZES)
@example(np.ones((2, 2)), np.array([[6.5, 4, 6.5, 12]]), (8, 8))
def test_paste_at_pixel_centres_equals_grid_sample(
    probability: Array, boxes: Array, size: Size
) -> None:
    """Bilinear, align_corners=False, zeros outside; the box may leave the image."""
    x1, y1, x2, y2 = box = boxes[0] - 4
    pasted = paste_probability(probability, box, size)
    if x1 == x2 or y1 == y2:
        assert not pasted.any()
        return
    y = (torch.arange(size[0], dtype=torch.float64) + 0.5 - y1) / (y2 - y1) * 2 - 1
    x = (torch.arange(size[1], dtype=torch.float64) + 0.5 - x1) / (x2 - x1) * 2 - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2)
    read = torch.nn.functional.grid_sample(
        torch.tensor(probability)[None, None], grid[None], align_corners=False
    )
    np.testing.assert_allclose(pasted, read[0, 0].numpy(), atol=1e-9)


def torchvision_paste(probability: Array, box: Array, size: Size) -> Array:
    """torchvision's steps: pad, grow, cut to integers, resize, copy what is inside."""
    m = len(probability)
    grown = (box[2:] - box[:2]) * 0.5 * ((m + 2) / m)
    middle = (box[2:] + box[:2]) * 0.5
    left, top, right, bottom = np.concatenate([middle - grown, middle + grown]).astype(
        np.int64
    )
    resized = torch.nn.functional.interpolate(
        torch.nn.functional.pad(torch.tensor(probability), (1, 1, 1, 1))[None, None],
        size=(max(int(bottom - top + 1), 1), max(int(right - left + 1), 1)),
        mode="bilinear",
        align_corners=False,
    )[0, 0].numpy()
    canvas = np.zeros(size)
    for row, column in np.ndindex(resized.shape):
        if 0 <= top + row < size[0] and 0 <= left + column < size[1]:
            canvas[top + row, left + column] = resized[row, column]
    return canvas


@legacy_floors
@given(
    probability=probability_maps(),
    boxes=strategies.boxes(count=1, extent=20),
    size=SIZES,
    threshold=st.sampled_from([0.25, 0.5, 0.7]),
)
def test_legacy_paste_equals_torchvision(
    floor: Floor, probability: Array, boxes: Array, size: Size, threshold: float
) -> None:
    """But for values within rounding of the threshold."""
    box = boxes[0] - 4
    expected = torchvision_paste(probability, box, size)
    clear = np.abs(expected - threshold) > 1e-9
    pasted = floor.paste_mask_legacy(probability, box, size, threshold)
    np.testing.assert_array_equal(pasted[clear], (expected >= threshold)[clear])


@every_floor
@given(
    probability=probability_maps(),
    boxes=strategies.boxes(count=1, extent=20),
    threshold=sixteenths(1 / 16, 1),
)
def test_the_threshold_is_reached_not_passed(
    floor: Floor, probability: Array, boxes: Array, threshold: float
) -> None:
    """A pixel belongs to the mask from the threshold on."""
    pasted = paste_probability(probability, boxes[0], (20, 20))
    mask = floor.paste_mask(probability, boxes[0], (20, 20), threshold)
    assert_same_masks(mask, pasted >= threshold, clear(floor, pasted, threshold))
    full = np.full((2, 2), threshold)
    whole = np.array([0.0, 0, 20, 20])
    assert floor.paste_mask(full, whole, (20, 20), threshold)[5:15, 5:15].all()


def clear(floor: Floor, values: Array, threshold: float = 0.5) -> Array:
    """Where rounding, as the floor may do it, leaves a value on its side."""
    return np.abs(values - threshold) > (floor is not REFERENCE) * floor.tolerance


def assert_same_masks(mask: Array, expected: Array, where: Array) -> None:
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask[where], expected[where])


@every_floor
@given(probability_maps(), any_boxes(), SIZES, st.sampled_from([0.25, 0.5, 0.7]))
@example(np.ones((2, 2)), np.array([[-3.0, -7, 100, 50]]), (35, 67), 0.5)
@example(np.full((3, 3), 0.75), np.array([[0.0, 0, 1, 1]]), (1, 1), 0.5)
def test_masks_of_any_box_are_pasted_as_the_reference_does(
    floor: Floor, probability: Array, boxes: Array, size: Size, threshold: float
) -> None:
    """Partly or wholly outside, inside out, without area, or no box at all."""
    for box in boxes:
        values = paste_probability(probability, box, size)
        mask = floor.paste_mask(probability, box, size, threshold)
        where = clear(floor, values, threshold)
        assert_same_masks(mask, values >= threshold, where)
        if floor.has("paste_mask_legacy"):
            moved = in_whole_pixels(box, len(probability))
            values = paste_probability(probability, moved, size)
            mask = floor.paste_mask_legacy(probability, box, size, threshold)
            where = clear(floor, values, threshold)
            assert_same_masks(mask, values >= threshold, where)


@every_floor
@given(boxes=strategies.boxes(count=1, extent=20, smallest=1 / 16))
def test_a_full_map_fills_the_pixels_whose_centres_the_box_holds(
    floor: Floor, boxes: Array
) -> None:
    """The map falls to one half just at the box's edge (edges off the centres)."""
    x1, y1, x2, y2 = box = np.floor(boxes[0] * 4) / 4 + 1 / 16
    centres = np.arange(24) + 0.5
    rows, columns = (y1 < centres) & (centres < y2), (x1 < centres) & (centres < x2)
    mask = floor.paste_mask(np.ones((28, 28)), box, (24, 24))
    # Where both edges are near, the bilinear fall of the corner rounds it off.
    assert not mask[~(rows[:, None] & columns)].any()
    full = floor.paste_mask(np.ones((28, 28)), np.array([x1, -50, x2, 50]), (24, 24))
    np.testing.assert_array_equal(full[12], columns)


@every_floor
@given(
    probability=probability_maps(),
    boxes=strategies.boxes(count=1, extent=12),
    shift=st.integers(0, 3),
)
def test_pastes_move_by_whole_pixels(
    floor: Floor, probability: Array, boxes: Array, shift: int
) -> None:
    """Boxes away from the left and top, where int() would cut the other way."""
    box = boxes[0] + 13
    where = clear(floor, paste_probability(probability, box, (26, 26)))
    for paste in pastes(floor):
        still = paste(probability, box, (26, 26))
        moved = paste(probability, box + shift, (26 + shift, 26 + shift))
        assert_same_masks(moved[shift:, shift:], still, where)


@every_floor
@given(probability=probability_maps(), boxes=strategies.boxes(count=1, extent=12))
def test_pastes_turn_with_the_image(
    floor: Floor, probability: Array, boxes: Array
) -> None:
    """x for y."""
    box = boxes[0]
    where = clear(floor, paste_probability(probability, box, (14, 10)))
    for paste in pastes(floor):
        turned = paste(probability.T.copy(), box[[1, 0, 3, 2]], (10, 14))
        assert_same_masks(turned.T, paste(probability, box, (14, 10)), where)


@given(probability_maps(), strategies.boxes(count=1, extent=12))
def test_paste_at_pixel_centres_flips_with_the_image(
    probability: Array, boxes: Array
) -> None:
    """The legacy paste does not: int() always cuts towards the left and top."""
    x1, y1, x2, y2 = boxes[0]
    pasted = paste_probability(probability, boxes[0], (12, 12))
    mirrored = np.array([12 - x2, y1, 12 - x1, y2])
    flipped = paste_probability(probability[:, ::-1].copy(), mirrored, (12, 12))
    np.testing.assert_allclose(flipped[:, ::-1], pasted, atol=1e-9)


@every_floor
def test_the_two_pastes_by_hand(floor: Floor) -> None:
    """A full map in a box of 4 x 4 pixels: legacy covers 5 x 5.

    With m = 2 the box grows to 0 .. 8. Legacy counts both ends, 9 pixels for 4 cells:
    the map's two cover 2.25 .. 6.75 of them, one half pixel too far and too wide.
    """
    box, full = np.array([2.0, 2, 6, 6]), np.ones((2, 2))
    assert floor.paste_mask(full, box, (10, 10))[4].nonzero()[0].tolist() == [
        2,
        3,
        4,
        5,
    ]
    if floor.has("paste_mask_legacy"):
        legacy = floor.paste_mask_legacy(full, box, (10, 10))[4]
        assert legacy.nonzero()[0].tolist() == [2, 3, 4, 5, 6]


def test_a_map_in_whole_pixels_by_hand() -> None:
    """Grown to 0 .. 8, 9 pixels for 4 cells; below 0, int() cuts the other way."""
    box = np.array([2.0, -6, 6, -2])
    np.testing.assert_array_equal(in_whole_pixels(box, 2), [2.25, -5.75, 6.75, -1.25])
    box = np.array([2.4, -5.6, 6.4, -1.6])  # 0.4 .. 8.4 and -7.6 .. 0.4
    np.testing.assert_array_equal(in_whole_pixels(box, 2), [2.25, -5, 6.75, -1])


@legacy_floors
def test_a_box_inside_out_has_no_whole_pixels(floor: Floor) -> None:
    """By a pixel or more: within one, torchvision pastes that pixel."""
    full = np.ones((2, 2))
    for box in ([6.0, 2, 2, 6], [2.0, 6, 6, 2]):
        assert not floor.paste_mask_legacy(full, np.array(box), (9, 9)).any()


def test_corners_are_cut_as_torchvision_cuts_them(rng: np.random.Generator) -> None:
    """In float32 this box's map begins in row 0, in float64 it would in row -1."""
    maps = torch.tensor(rng.random((1, 28, 28)))
    box = torch.tensor([[32.375, 0.0625, 53.5625, 29.8125]])
    across, down = 24 / 30, 31 / 30  # of one cell: 31 .. 54 and 0 .. 30, both ends
    moved = torch.tensor([[31 + across, down, 31 + 29 * across, 29 * down]]).double()
    pasted = ops.paste_masks(maps, box, (40, 60), rule="integer")
    assert torch.equal(pasted, ops.paste_masks(maps, moved, (40, 60)))


def test_masks_are_pasted_as_torchvision_does(rng: np.random.Generator) -> None:
    """The masks at nine thresholds, so the probabilities too; boxes as models find."""
    pytest.importorskip("torchvision")
    heads = importlib.import_module("torchvision.models.detection.roi_heads")
    maps = torch.tensor(rng.random((30, 28, 28))).float()
    corners, sides = rng.uniform(-10, 80, (2, 30, 2))
    boxes = torch.tensor(np.concatenate([corners, corners + abs(sides)], axis=1))
    boxes = boxes.float().clamp(0, 90)
    values = heads.paste_masks_in_image(maps[:, None], boxes, (80, 90))[:, 0]
    for tenth in range(1, 10):
        threshold = tenth / 10
        pasted = ops.paste_masks(maps, boxes, (80, 90), threshold, "integer")
        where = (values - threshold).abs() > 1e-5
        assert torch.equal(pasted[where], (values >= threshold)[where])
        assert where.float().mean() > 0.999
