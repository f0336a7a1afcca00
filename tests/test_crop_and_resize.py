"""crop_and_resize, and the model's layer of that kind (``roi_layer = "corners"``).

Faults tried -> the tests that caught them:

- the last point at x2, not at the last pixel x2 - 1: the whole image is the whole map,
  the model's layer is the reference
- W pixels on V cells, not W - 1 on V - 1: the whole image, a ramp of pixels
- bin centres as RoIAlign has them: the outer reads lie on the corners
- x and y swapped: a ramp of pixels, the model's layer
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import Array, rois_within

from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.roi_features import roi_features
from maskrcnn_scratch.reference.bilinear import bilinear
from maskrcnn_scratch.reference.crop_and_resize import crop_and_resize
from maskrcnn_scratch.reference.fpn_levels import fpn_level

sizes = st.integers(2, 6)


@given(sizes, sizes, st.integers(1, 4))
def test_the_whole_image_is_the_whole_map(height: int, width: int, stride: int) -> None:
    """At as many points as cells, whatever the stride."""
    features = np.random.default_rng(0).normal(size=(1, 2, height, width))
    pixels = (height * stride, width * stride)
    rois = np.array([[0.0, 0, 0, pixels[1], pixels[0]]])
    out = crop_and_resize(features, rois, (height, width), pixels)
    np.testing.assert_allclose(out, features, atol=1e-12)


@given(rois_within(24, 32, smallest=1), st.sampled_from([2, 3, 7]))
def test_a_ramp_of_pixels(rois: Array, count: int) -> None:
    """Of a map that holds its cells' own pixels, the points' pixels come back."""
    height, width = 6, 8
    x = np.linspace(0, 31, width)
    y = np.linspace(0, 23, height)
    ramp = np.stack([np.tile(x, (height, 1)), np.tile(y[:, None], (1, width))])[None]
    out = crop_and_resize(ramp, rois, (count, count + 1), (24, 32))
    for (xs, ys), (_, x1, y1, x2, y2) in zip(out, rois, strict=True):
        np.testing.assert_allclose(xs[0], np.linspace(x1, x2 - 1, count + 1), atol=1e-9)
        np.testing.assert_allclose(ys[:, 0], np.linspace(y1, y2 - 1, count), atol=1e-9)


@given(rois_within(24, 32, smallest=1))
def test_the_outer_reads_lie_on_the_corners(rois: Array) -> None:
    features = np.random.default_rng(1).normal(size=(1, 1, 6, 8))
    out = crop_and_resize(features, rois, (3, 2), (24, 32))
    for grid, (_, x1, y1, x2, y2) in zip(out, rois, strict=True):
        for i, y in ((0, y1), (2, y2 - 1)):
            for j, x in ((0, x1), (1, x2 - 1)):
                expected = bilinear(features[0, 0], y * 5 / 23, x * 7 / 31)
                assert grid[0, i, j] == pytest.approx(expected, abs=1e-9)


def test_reads_outside_the_map_are_0() -> None:
    out = crop_and_resize(
        np.ones((1, 1, 4, 4)), np.array([[0.0, -9, 0, 41, 16]]), (2, 3), (16, 16)
    )
    np.testing.assert_array_equal(out[0, 0], [[0, 0, 0], [0, 0, 0]])
    inside = crop_and_resize(
        np.ones((1, 1, 4, 4)), np.array([[0.0, 0, 0, 31, 16]]), (2, 3), (16, 16)
    )
    np.testing.assert_array_equal(inside[0, 0], [[1, 1, 0], [1, 1, 0]])


@given(rois_within(64, 96, smallest=1), st.sampled_from([2, 7]), st.booleans())
def test_the_model_s_layer_is_the_reference(rois: Array, size: int, two: bool) -> None:
    """Each RoI on the level that fits it, of an image or of two."""
    config = ModelConfig(
        roi_layer="corners", level_canonical=32, level_rounding="round"
    )
    rng = np.random.default_rng(2)
    maps = {
        level: rng.normal(size=(2, 3, 64 >> level, 96 >> level)).astype(np.float32)
        for level in range(2, 6)
    }
    rois[:, 0] = np.arange(len(rois)) % (1 + two)
    found = roi_features(
        config,
        {level: torch.from_numpy(values) for level, values in maps.items()},
        torch.from_numpy(rois.astype(np.float32)),
        size,
    ).numpy()
    assert found.shape == (len(rois), 3, size, size)
    for grid, roi in zip(found, rois, strict=True):
        level = fpn_level(roi[1:], 4, 32, 2, 5, "round")
        expected = crop_and_resize(
            maps[level].astype(np.float64), roi[None], (size, size), (64, 96)
        )[0]
        np.testing.assert_allclose(grid, expected, atol=2e-4)
