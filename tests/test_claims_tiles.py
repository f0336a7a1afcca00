"""Claim 24: tiles, and curves of mean IoU.

The tiles themselves are tested in ``test_tiles.py``.

Deliberate faults, and the test that caught each:

- a scene in another's place -> test_a_large_image_is_four_scenes
- tests on the images trained on -> test_nobody_is_trained_on_the_test_images
- the training's score written down for the test's -> the same
- every last tile left out -> test_a_tile_left_out_is_noticed
- a verdict that is read from nothing -> test_the_evidence_is_what_was_measured
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskrcnn_scratch.claims import claim24
from maskrcnn_scratch.claims.claim import Step, Table, borne_out
from maskrcnn_scratch.claims.claim24 import CLAIM, Tiles, cut_and_glued, least_covered
from maskrcnn_scratch.data import tiles as tiles_module
from maskrcnn_scratch.data.shapes import draw_scene
from maskrcnn_scratch.experiments.mask_branch import TEST_SEED, MaskScore
from maskrcnn_scratch.experiments.tiles import (
    LARGE,
    SIZE,
    Curve,
    TileScale,
    covered,
    draw_large,
    tiles_of,
    train_on_tiles,
)
from maskrcnn_scratch.structures import Detections


def test_a_large_image_is_four_scenes() -> None:
    scene = draw_large(3, 7)
    assert scene.pixels.shape == (LARGE, LARGE, 3)
    assert len(scene.masks) == len(scene.labels)
    first = 0
    for place, (top, left) in enumerate(((0, 0), (0, 128), (128, 0), (128, 128))):
        part = draw_scene(SIZE, np.random.default_rng([3, 7, place]))
        window = slice(top, top + 128), slice(left, left + 128)
        assert np.array_equal(scene.pixels[window], part.pixels)
        own = slice(first, first + len(part.masks))
        assert np.array_equal(scene.masks[own, *window], part.masks)
        assert scene.labels[own] == part.labels
        assert scene.masks[own].sum() == part.masks.sum()
        first += len(part.masks)


def test_perfect_and_blind_predictions() -> None:
    """Mean IoU 1 for the truth itself, 0 for nothing."""
    scene = draw_large(3, 0)
    masks = torch.from_numpy(scene.masks)
    n = len(masks)
    perfect = Detections(
        boxes=torch.zeros(n, 4),
        scores=torch.ones(n),
        labels=torch.tensor(scene.labels),
        masks=masks,
    )
    assert covered(lambda image: perfect, [scene]).per_object == 1
    nothing = perfect.select(torch.zeros(n, dtype=torch.bool))
    assert covered(lambda image: nothing, [scene]).per_object == 0


def test_nobody_is_trained_on_the_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """And every point of the curve is of both."""
    asked = []
    true = tiles_of

    def watched(seed: int, count: int) -> list[object]:
        asked.append((seed, count))
        return true(seed, count)[: 1 if seed == 5 else 3]  # type: ignore[return-value]

    def counted(branch: object, samples: list[object]) -> MaskScore:
        return MaskScore(len(samples) / 10, 0)

    monkeypatch.setattr("maskrcnn_scratch.experiments.tiles.tiles_of", watched)
    monkeypatch.setattr("maskrcnn_scratch.experiments.tiles.score", counted)
    curve = train_on_tiles(5, TileScale(1, 2, iterations=4, points=2))
    assert sorted(asked) == [(5, 1), (TEST_SEED, 2)]
    assert curve.iterations == [2, 4]
    assert curve.train == [0.1, 0.1]
    assert curve.test == [0.3, 0.3]


def test_every_pixel_is_in_a_tile() -> None:
    """2000 = 768 + 1024 + 208, so tiles begin at 0, 768 and 976; by hand."""
    assert tiles_module.tile_starts(2000, 1024, 256) == [0, 768, 976]
    assert tiles_module.tile_starts(3000, 1024, 256) == [0, 768, 1536, 1976]
    assert least_covered() == 1
    assert cut_and_glued() == (True, True)


def test_a_tile_left_out_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = tiles_module.tile_starts

    def without_the_last(size: int, tile: int, overlap: int) -> list[int]:
        return true(size, tile, overlap)[:-1]

    monkeypatch.setattr(tiles_module, "tile_starts", without_the_last)
    monkeypatch.setattr(claim24, "tile_starts", without_the_last)
    image_kept, _ = cut_and_glued()
    assert not image_kept
    assert least_covered() == 0
    assert not borne_out(CLAIM.evidence(replace(GOOD, image_kept=image_kept)))
    assert not borne_out(CLAIM.evidence(replace(GOOD, masks_kept=False)))
    assert not borne_out(CLAIM.evidence(replace(GOOD, least_covered=0)))


CURVE = Curve([10, 20, 30], train=[0.5, 0.7, 0.8], test=[0.5, 0.65, 0.66])
GOOD = Tiles(
    least_covered=1,
    image_kept=True,
    masks_kept=True,
    found={"whole": 0.3, "tiles": 0.8},
    curves=[CURVE],
)


def test_the_evidence_is_what_was_measured() -> None:
    """It holds of what is claimed, and of nothing in which a part fails."""

    def holds(told: Tiles) -> bool:
        return borne_out(CLAIM.evidence(told))

    assert holds(GOOD)
    assert not holds(replace(GOOD, found={"whole": 0.8, "tiles": 0.8}))
    below = replace(CURVE, train=[0.5, 0.6, 0.6])
    assert not holds(replace(GOOD, curves=[CURVE, below]))
    growing = replace(CURVE, test=[0.1, 0.2, 0.5])
    assert not holds(replace(GOOD, curves=[growing]))


def test_the_figures_of_the_claim_are_there() -> None:
    lines = list(CLAIM.evidence(GOOD))
    (table,) = (line for line in lines if isinstance(line, Table))
    assert table.rows[0][1:] == ("0.66", "0.60", "0.06")
    assert table.rows[1][1:] == ("0.80", "0.66", "0.14")
    steps = [line for line in lines if isinstance(line, Step)]
    assert "tiles of 1024" in steps[0].says
    assert steps[0].value == "12"
