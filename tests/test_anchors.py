"""Laws of anchors: the shapes at one cell, their order, their places on the grid.

Faults tried on the reference, and a test that caught each:
- ratio as width over height; no square root; width left alone; corner at the origin;
  a box that ends at w - 1 -> test_anchors_of_32_pixels_by_hand
- floor for round; the side rounded and not the corner; never rounded ->
  test_rounded_anchors_are_those_of_torchvision
- halves away from zero, or up -> test_halves_round_to_the_even_pixel (alone)
- ratios outer, sizes inner; always rounded ->
  test_anchors_are_centred_and_have_the_area_and_ratio_asked_for
- x and y swapped; only one corner moved; anchors at cell centres; order (A, h, w) ->
  test_a_grid_by_hand
- order (w, h, A); grid size as (w, h); a column too many ->
  test_anchor_a_of_cell_i_j_stands_at_the_cell_s_upper_left_corner
- every size on every level -> test_a_1024_image_has_261888_anchors
- the pyramid forgets `rounded` -> test_each_level_has_its_own_size_and_stride
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import strategies
from floors import Floor, floors
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch.reference import anchors as reference

every_floor = pytest.mark.parametrize(
    "floor", floors("anchors", "cell_anchors"), ids=str
)
every_grid = pytest.mark.parametrize(
    "floor", floors("anchors", "grid_anchors"), ids=str
)
every_pyramid = pytest.mark.parametrize(
    "floor", floors("anchors", "pyramid_anchors"), ids=str
)

PAPER_SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)
PAPER_RATIOS = (0.5, 1.0, 2.0)

sizes = st.lists(strategies.sixteenths(1, 64), min_size=1, max_size=3)
ratios = st.lists(strategies.sixteenths(1 / 4, 4), min_size=1, max_size=3)
grids = st.tuples(st.integers(0, 4), st.integers(0, 4))
strides = st.sampled_from([4, 8, 16, 32, 64])


def sides(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(widths, heights)."""
    return boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]


# --- the anchors of one cell


@every_floor
def test_anchors_of_32_pixels_by_hand(floor: Floor) -> None:
    """Ratio is height over width: 0.5 is a lying box, 45.25 x 22.63."""
    long, short = 32 * math.sqrt(2) / 2, 32 / math.sqrt(2) / 2
    table = [
        [-long, -short, long, short],
        [-16, -16, 16, 16],
        [-short, -long, short, long],
    ]
    floor.assert_close(floor.cell_anchors([32.0], PAPER_RATIOS), table)


@every_floor
def test_rounded_anchors_are_those_of_torchvision(floor: Floor) -> None:
    """The table behind its published weights, less its symmetric half."""
    table = [
        [(23, 11), (16, 16), (11, 23)],
        [(45, 23), (32, 32), (23, 45)],
        [(91, 45), (64, 64), (45, 91)],
        [(181, 91), (128, 128), (91, 181)],
        [(362, 181), (256, 256), (181, 362)],
    ]
    for size, rows in zip(PAPER_SIZES, table, strict=True):
        boxes = [[-x, -y, x, y] for x, y in rows]
        assert floor.cell_anchors([size], PAPER_RATIOS, True).tolist() == boxes


@every_floor
def test_halves_round_to_the_even_pixel(floor: Floor) -> None:
    boxes = [[-16, -16, 16, 16], [-18, -18, 18, 18]]
    assert floor.cell_anchors([33.0, 35.0], [1.0], True).tolist() == boxes


@every_floor
@given(sizes=sizes, ratios=ratios)
def test_anchors_are_centred_and_have_the_area_and_ratio_asked_for(
    floor: Floor, sizes: list[float], ratios: list[float]
) -> None:
    cell = floor.cell_anchors(sizes, ratios)
    asked = [(size, ratio) for size in sizes for ratio in ratios]  # ratio inner
    width, height = sides(cell)
    floor.assert_close(cell[:, :2] + cell[:, 2:], np.zeros((len(asked), 2)))
    floor.assert_close(width * height, [size**2 for size, _ in asked])
    floor.assert_close(height / width, [ratio for _, ratio in asked])


@every_floor
@given(sizes=sizes, ratios=ratios)
def test_a_reciprocal_ratio_lays_the_anchor_on_its_side(
    floor: Floor, sizes: list[float], ratios: list[float]
) -> None:
    standing = floor.cell_anchors(sizes, ratios)
    lying = floor.cell_anchors(sizes, [1 / ratio for ratio in ratios])
    floor.assert_close(lying, standing[:, [1, 0, 3, 2]])


@every_floor
@given(sizes=sizes, ratios=ratios)
def test_rounding_moves_no_corner_by_more_than_half_a_pixel(
    floor: Floor, sizes: list[float], ratios: list[float]
) -> None:
    exact = floor.cell_anchors(sizes, ratios)
    rounded = floor.cell_anchors(sizes, ratios, True)
    assert np.array_equal(rounded, np.trunc(rounded))
    assert np.abs(rounded - exact).max() <= 0.5 + 64 * floor.tolerance


# --- the grid


@every_grid
def test_a_grid_by_hand(floor: Floor) -> None:
    """1 x 2 cells of 16 pixels: the anchors of a cell together, cells in a row."""
    cell = np.array([[-8.0, -4, 8, 4], [-4, -8, 4, 8]])
    assert floor.grid_anchors(cell, 16, (1, 2)).tolist() == [
        [-8, -4, 8, 4],
        [-4, -8, 4, 8],
        [8, -4, 24, 4],
        [12, -8, 20, 8],
    ]


@every_grid
@given(sizes=sizes, ratios=ratios, stride=strides, grid=grids)
def test_anchor_a_of_cell_i_j_stands_at_the_cell_s_upper_left_corner(
    floor: Floor,
    sizes: list[float],
    ratios: list[float],
    stride: int,
    grid: tuple[int, int],
) -> None:
    """Place (i w + j) A + a of the list holds cell anchor a moved by (j, i) strides."""
    height, width = grid
    cell = reference.cell_anchors(sizes, ratios)
    anchors = floor.grid_anchors(cell, stride, grid)
    assert anchors.shape == (height * width * len(cell), 4)
    for place, anchor in enumerate(anchors):
        position, a = divmod(place, len(cell))
        i, j = divmod(position, width)
        shift = np.array([j, i, j, i]) * stride
        floor.assert_close(anchor, cell[a] + shift)


@every_grid
@given(sizes=sizes, ratios=ratios, stride=strides, grid=grids)
def test_a_larger_map_repeats_the_smaller_moved_by_a_stride(
    floor: Floor,
    sizes: list[float],
    ratios: list[float],
    stride: int,
    grid: tuple[int, int],
) -> None:
    height, width = grid
    cell = reference.cell_anchors(sizes, ratios)
    small = floor.grid_anchors(cell, stride, grid).reshape(height, width, len(cell), 4)
    large = floor.grid_anchors(cell, stride, (height + 1, width + 1))
    large = large.reshape(height + 1, width + 1, len(cell), 4)
    floor.assert_close(large[:height, :width], small)
    floor.assert_close(large[:height, 1:], small + np.array([stride, 0] * 2))
    floor.assert_close(large[1:, :width], small + np.array([0, stride] * 2))


# --- the pyramid


@every_pyramid
def test_a_1024_image_has_261888_anchors(floor: Floor) -> None:
    """3 (256^2 + 128^2 + 64^2 + 32^2 + 16^2), the figure of the second seed."""
    if floor.name == "cuda-simulator":
        pytest.skip("a million threads")
    strides = (4, 8, 16, 32, 64)
    grids = [(1024 // stride, 1024 // stride) for stride in strides]
    levels = floor.pyramid_anchors(PAPER_SIZES, PAPER_RATIOS, strides, grids)
    assert [len(level) for level in levels] == [196_608, 49_152, 12_288, 3_072, 768]
    assert sum(len(level) for level in levels) == 261_888


@every_pyramid
@given(ratios=ratios, grids=st.lists(grids, min_size=2, max_size=2))
def test_each_level_has_its_own_size_and_stride(
    floor: Floor, ratios: list[float], grids: list[tuple[int, int]]
) -> None:
    levels = floor.pyramid_anchors((8.0, 32.0), ratios, (4, 16), grids, True)
    for level, size, stride, grid in zip(levels, (8, 32), (4, 16), grids, strict=True):
        cell = reference.cell_anchors([size], ratios, True)
        assert np.array_equal(level, reference.grid_anchors(cell, stride, grid))


def test_a_level_without_a_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        reference.pyramid_anchors(PAPER_SIZES, PAPER_RATIOS, (4, 8), [(2, 2)] * 5)


# --- other implementations


@every_grid
@given(sizes=sizes, ratios=ratios, stride=strides, grid=grids)
def test_every_floor_computes_what_the_reference_says(
    floor: Floor,
    sizes: list[float],
    ratios: list[float],
    stride: int,
    grid: tuple[int, int],
) -> None:
    cell = reference.cell_anchors(sizes, ratios)
    if floor.has("cell_anchors"):
        floor.assert_close(floor.cell_anchors(sizes, ratios), cell)
    expected = reference.grid_anchors(cell, stride, grid)
    floor.assert_close(floor.grid_anchors(cell, stride, grid), expected)


def test_torchvision_has_the_same_anchors() -> None:
    pytest.importorskip("torchvision")
    import torch
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.image_list import ImageList

    strides = (4, 8, 16, 32, 64)
    grids = [(128 // stride, 192 // stride) for stride in strides]
    levels = reference.pyramid_anchors(PAPER_SIZES, PAPER_RATIOS, strides, grids, True)

    images = ImageList(torch.zeros(1, 3, 128, 192), [(128, 192)])
    generate = AnchorGenerator([(size,) for size in PAPER_SIZES], [PAPER_RATIOS] * 5)
    (theirs,) = generate(images, [torch.zeros(1, 1, *grid) for grid in grids])
    np.testing.assert_array_equal(np.concatenate(levels), theirs)
