"""Decoding, clipping and filtering in one: the same as the three steps one by one.

Deliberate faults, and the test that caught each:

- an image clipped by another's size -> test_proposals_are_decoded_clipped_and_filtered
- height for width in clipping -> test_proposals_are_decoded_clipped_and_filtered
- >= for > in the size filter -> test_a_side_of_exactly_the_least_size_is_too_small
- the score threshold included -> test_detections_are_decoded_clipped_and_filtered
"""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_scratch import ops
from maskrcnn_scratch.reference import boxes as reference

WEIGHTS = (10.0, 10.0, 5.0, 5.0)
SIZES = torch.tensor([[30.0, 50.0], [60.0, 20.0]])


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Boxes within and around 60 pixels."""
    corner = rng.uniform(-10, 50, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(1, 30, (count, 2))], axis=1)


@given(st.integers(0, 1000), st.integers(0, 6), st.sampled_from([0.0, 5.0, 20.0]))
def test_proposals_are_decoded_clipped_and_filtered(
    seed: int, count: int, min_size: float
) -> None:
    rng = np.random.default_rng(seed)
    anchors, deltas = random_boxes(rng, 8), rng.normal(0, 2, (2, 8, 4))
    index, scores = rng.integers(0, 8, (2, count)), rng.normal(size=(2, count))
    boxes, kept = ops.decode_proposals(
        *map(torch.from_numpy, (anchors, deltas, scores, index)),
        SIZES.double(),
        WEIGHTS,
        min_size,
    )
    for image, (height, width) in enumerate(((30, 50), (60, 20))):
        chosen = index[image]
        expected = reference.clip_boxes(
            reference.decode_boxes(anchors[chosen], deltas[image, chosen], WEIGHTS),
            (height, width),
        )
        np.testing.assert_allclose(boxes[image], expected, atol=1e-9)
        sides = expected[:, 2:] - expected[:, :2]
        large = (sides > min_size).all(axis=1)
        expected_scores = np.where(large, scores[image], -np.inf)
        np.testing.assert_array_equal(kept[image], expected_scores)


def test_a_side_of_exactly_the_least_size_is_too_small() -> None:
    anchors = torch.tensor([[0.0, 0.0, 4.0, 8.0], [0.0, 0.0, 5.0, 8.0]])
    scores, index = torch.tensor([[1.0, 2.0]]), torch.tensor([[0, 1]])
    _, kept = ops.decode_proposals(
        anchors, torch.zeros(1, 2, 4), scores, index, SIZES[:1], min_size=4.0
    )
    assert kept.tolist() == [[-torch.inf, 2.0]]


@given(st.integers(0, 1000), st.integers(0, 6))
def test_detections_are_decoded_clipped_and_filtered(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, deltas = random_boxes(rng, count), rng.normal(0, 2, (count, 3, 4))
    scores = rng.integers(0, 5, (count, 3)) / 4
    image = rng.integers(0, 2, count)
    rois = np.concatenate([image[:, None], boxes], axis=1)
    inputs = map(torch.from_numpy, (rois, deltas, scores))
    found, kept = ops.decode_detections(*inputs, SIZES.double(), 0.5, WEIGHTS)
    np.testing.assert_array_equal(kept, np.where(scores > 0.5, scores, -np.inf))
    for r, k in zip(*np.nonzero(scores > 0.5), strict=True):
        height, width = ((30, 50), (60, 20))[image[r]]
        decoded = reference.decode_boxes(
            boxes[r : r + 1], deltas[r : r + 1, k], WEIGHTS
        )
        expected = reference.clip_boxes(decoded, (height, width))[0]
        np.testing.assert_allclose(found[r, k], expected, atol=1e-9)
