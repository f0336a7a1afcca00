"""Claims 2 to 10 and 30, on RoI layers and reading between cells.

The figures are worked by hand or by other arithmetic; then the part of ``reference/``
that a claim leans on is broken, and its evidence must turn against the verdict.

Deliberate faults in the claims, and the test that caught each:

- claim 2 cuts into six bins, claim 3 takes the legacy points
  -> test_665_pixels_at_stride_32
- claim 4 divides by the RoI's size in place of the bin's -> test_samples_of_a_ramp
- claim 4 lets any gap pass, or one of the other sign
  -> test_evidence_notices_a_gap_in_training
- claim 5 pools rows with channels, or gives cells for pixels
  -> test_fourteen_by_fourteen
- claim 5 leaves the half pixel out of its moved boxes, or counts 25 cells in place of
  24 steps -> test_moved_boxes_read_at_the_centres
- claim 6 forgets the 2 of sinc(k b / 2), or the half pixel of its map, or divides by
  the wave's height -> test_errors_on_waves
- claim 7 counts one axis alone, or only RoIs from 0 -> test_counts_of_reads
- claim 8 takes corners for borders, or leaves the stride out
  -> test_shares_of_the_quantisations
- claim 8 lets any share pass -> test_evidence_notices_a_broken_part
- claim 9 takes the end for the start, or the aligned layer for the legacy one
  -> test_borders_moved
- claim 10 rounds shared borders to the nearest -> test_eight_cells_into_seven_bins
- claim 30 interpolates in one order twice -> test_both_orders
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from maskrcnn_scratch.claims import (
    claim04,
    claim05,
    claim06,
    claim08,
    claim10,
    claim30,
    find,
)
from maskrcnn_scratch.claims.claim import borne_out
from maskrcnn_scratch.experiments.ablations import Ablation, Outcome, roi_reduce
from maskrcnn_scratch.experiments.mask_branch import MaskScore, Scale
from maskrcnn_scratch.reference import roi_align, roi_pool
from maskrcnn_scratch.reference.roi_steps import Span


def measured(number: int) -> Any:
    return find(number).measure()


def holds(number: int) -> bool:
    """Whether the evidence, computed now, bears the verdict out."""
    claim = find(number)
    return borne_out(claim.evidence(claim.measure()))


# 2 and 3: 665 pixels at stride 32


def test_665_pixels_at_stride_32() -> None:
    layers = measured(2).layers
    floored = [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14)]
    assert list(layers["RoIPool floor"].bins) == floored
    real = [(0, 4), (3, 7), (6, 10), (9, 13), (12, 16), (15, 19), (18, 22)]
    assert list(layers["RoIPool round"].bins) == real
    align = measured(3)
    # Quarters of a bin of 2.96875 cells have centres at 1/4 and 3/4 of it.
    places = (0.7421875 - 0.5, 2.2265625 - 0.5)
    assert align.steps.points(0, 0) == [(y, x) for y in places for x in places]


# 4: the largest of four, or their mean


def fake_training(gap: float) -> Callable[..., Outcome]:
    """Outcomes in which the mean's masks are better by ``gap``."""

    def trained(ablation: Ablation, seeds: int, scale: Scale) -> Outcome:
        assert [arm.name for arm in ablation.arms] == ["mean", "max"]
        assert scale.iterations > 0
        scores = {
            "mean": [MaskScore(0.7 + gap, 0.5)] * seeds,
            "max": [MaskScore(0.7, 0.5)] * seeds,
        }
        return Outcome(ablation, scores)

    return trained


def test_samples_of_a_ramp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest of points at 1/4 and 3/4 of a bin is a quarter bin too high."""
    monkeypatch.setattr(claim04, "trained", fake_training(0.001))
    told = measured(4)
    assert told.leans["mean"].shape == (claim04.ROIS, 7)
    np.testing.assert_allclose(told.leans["mean"], 0, atol=1e-12)
    np.testing.assert_allclose(told.leans["max"], 0.25, atol=1e-12)
    assert [arm.paper[0] for arm in roi_reduce().arms] == [30.3, 30.2]
    assert holds(4)


@pytest.mark.parametrize("gap", [0.05, -0.05])
def test_evidence_notices_a_gap_in_training(
    gap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim04, "trained", fake_training(gap))
    assert not holds(4)


def test_evidence_notices_a_system_with_the_maximum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claim04, "trained", fake_training(0.0))
    real = claim04.preset
    monkeypatch.setattr(
        claim04, "preset", lambda name: replace(real(name), roi_reduce="max")
    )
    assert not holds(4)


# 5: 14 x 14, then 7 x 7


def test_fourteen_by_fourteen() -> None:
    told = measured(5)
    first, last = claim05.outwards(told)
    assert first == (0.7421875 - 0.5) * 32  # 0 pixels are 0 cells
    # The last pixel, 664, is cell 664 * 24 / 799; the last point 13.5 / 14 of the RoI.
    assert np.isclose(last, (664 * 24 / 799 - (13.5 / 14 * 665 / 32 - 0.5)) * 32)
    fine = np.arange(196.0).reshape(1, 1, 14, 14)
    # The first block holds 0, 1, 14, 15, and the last 180, 181, 194, 195.
    assert claim05.pooled(fine)[0, 0].flat[[0, -1]].tolist() == [7.5, 187.5]
    assert claim05.pooled(fine, "max")[0, 0].flat[[0, -1]].tolist() == [15, 195]


def test_moved_boxes_read_at_the_centres() -> None:
    box = np.array([[0.0, 100, 200, 380, 620]])
    _, x1, y1, x2, y2 = claim05.moved(box)[0]
    scale = 24 / 799
    for start, end, first, last in ((100, 380, x1, x2), (200, 620, y1, y2)):
        centres = start + (np.arange(14) + 0.5) * (end - start) / 14
        reads = np.linspace(first, last - 1, 14) * scale
        np.testing.assert_allclose((reads + 0.5) * 32, centres, atol=1e-9)


# 6: one point or four


def wave_error(length: float, side: float, samples: int) -> float:
    """What theory gives, root mean square over directions, of the wave's.

    Reading between cells takes the wave down by 1 - k^2 / 12 on average over an axis.
    """
    angle = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    k = 2 * np.pi / length
    along = [k * np.cos(angle), k * np.sin(angle)]
    mean, read = np.ones(1000), np.ones(1000)
    for part in along:
        mean *= np.sinc(part * side / 2 / np.pi)
        offsets = ((np.arange(samples) + 0.5) / samples - 0.5) * side
        read *= np.cos(part[:, None] * offsets).mean(1) * (1 - part**2 / 12)
    return float(np.sqrt(np.mean((read - mean) ** 2)))


@pytest.mark.parametrize(("length", "side"), [(8, 4), (16, 4), (32, 4)])
def test_errors_on_waves(length: int, side: int) -> None:
    one, four = claim06.of_waves(np.random.default_rng(0), length, side)
    assert np.isclose(one, wave_error(length, side, 1), rtol=0.15)
    assert np.isclose(four, wave_error(length, side, 2), rtol=0.35, atol=0.002)


# 7: how many features are read


def test_counts_of_reads() -> None:
    """5 cells in bins of 1 2 2 1 2 2 1; 8 in bins of 2; 15 in bins of 3."""
    told = measured(7)
    assert told["RoIPool round"][64] == (11**2, 11**2)
    assert told["RoIPool round"][112] == (14**2, 14**2)
    assert told["RoIPool round"][224] == (21**2, 21**2)
    # 104 pixels are 7 or 8 cells, depending on where they begin.
    assert told["RoIPool round"][104] == (7**2, 14**2)
    assert told["RoIPool floor"][224] == (14**2, 14**2)
    assert set(told["RoIAlign"].values()) == {(196, 196)}


# 8: the share of each quantisation


def test_shares_of_the_quantisations() -> None:
    told = claim08.measure(seed=3)
    rng = np.random.default_rng(3)
    sides = rng.uniform(64, 448, claim08.ROIS)
    starts = rng.uniform(0, 800 - sides)
    bins = np.arange(7) + 0.5
    true = starts[:, None] + bins / 7 * sides[:, None]
    first, last = starts // 16, (starts + sides) // 16
    even = 16 * (first[:, None] + bins / 7 * (last - first)[:, None])
    used = 16 * (first[:, None] + bins * ((last - first) // 7)[:, None].clip(1))
    np.testing.assert_allclose(told["floor"].corners, even - true, atol=1e-9)
    np.testing.assert_allclose(told["floor"].borders, used - even, atol=1e-9)
    first, last = np.floor(starts / 16 + 0.5), np.floor((starts + sides) / 16 + 0.5) + 1
    even = 16 * (first[:, None] + bins / 7 * (last - first)[:, None])
    np.testing.assert_allclose(told["round"].corners, even - true, atol=1e-9)
    size = (last - first)[:, None] / 7
    used = (np.floor((bins - 0.5) * size) + np.ceil((bins + 0.5) * size)) / 2
    used = 16 * (first[:, None] + used)
    np.testing.assert_allclose(told["round"].both, used - true, atol=1e-9)


# 9: how far a border moves


def test_borders_moved() -> None:
    for stride, moved in measured(9).items():
        cells = moved.x / stride
        floored = stride * (np.floor(cells) - cells)
        assert np.array_equal(moved.by["RoIPool floor"], floored)
        rounded = stride * (np.floor(cells + 0.5) - cells)
        assert np.array_equal(moved.by["RoIPool round"], rounded)
        assert not moved.by["RoIAlign"].any()
        np.testing.assert_allclose(moved.legacy, stride / 2)


# 10: 8 cells into 7 bins


def test_eight_cells_into_seven_bins() -> None:
    bins = {
        name: [list(cells) for cells in steps.points]
        for name, steps in measured(10).layers.items()
    }
    alone = [[0], [1], [2], [3], [4], [5]]
    assert bins[claim10.SHARED] == [*alone, [6, 7]]
    assert bins[claim10.FLOOR] == [*alone, [6]]
    pairs = [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 6], [6, 7]]
    assert bins[claim10.LAYER] == pairs


# 30: in x, then in y


def test_both_orders() -> None:
    told = measured(30)
    assert told.x_first == (3, 7, 4)  # (2 + 4) / 2, (8 + 6) / 2, a quarter of the way
    assert told.y_first == (3.5, 4.5, 4)
    assert 0 < told.same < claim30.READS  # some differ in the last bit
    ramp = 10.0 * np.arange(3)[:, None] + np.arange(4)
    assert claim30.two_steps(ramp, 1.25, 2.5) == (12.5, 22.5, 15)
    assert claim30.two_steps(ramp.T, 2.5, 1.25) == (14.5, 15.5, 15)


# Evidence is computed: it turns when what it leans on is broken


def parts(roi: Span, count: int) -> tuple[Span, ...]:
    """Bins that nobody made whole."""
    return roi.parts(count)


REAL_POINTS = roi_align.axis_points


def legacy_points(*args: Any) -> Any:
    """Without the half pixel."""
    return REAL_POINTS(*args[:3], aligned=False)


def corner_points(roi: Span, count: int, samples: int, aligned: bool = True) -> Any:
    """From the start of each bin on, in place of the centres of its parts."""
    size = roi.size / count
    return tuple(
        tuple(roi.start - 0.5 + (k + s / samples) * size for s in range(samples))
        for k in range(count)
    )


def first_sample(values: list[float], mode: str) -> list[float]:
    """Neither mean nor maximum."""
    return [1.0] + [0.0] * (len(values) - 1)


def nearest(feature_map: np.ndarray, y: float, x: float) -> float:
    """The nearest cell, without interpolation."""
    return float(feature_map[round(y), round(x)])


def centres(first: float, last: float, pixels: int, cells: int, count: int) -> Any:
    """crop_and_resize as RoIAlign reads."""
    size = (last + 1 - first) / count
    return (first + (np.arange(count) + 0.5) * size) / (pixels / cells) - 0.5


REFERENCE = "maskrcnn_scratch.reference"
CLAIMS = "maskrcnn_scratch.claims"


@pytest.mark.parametrize(
    ("number", "part", "broken"),
    [
        (2, f"{REFERENCE}.roi_pool.whole_cell_bins", parts),
        (2, f"{REFERENCE}.roi_pool.overlapping_bins", roi_pool.whole_cell_bins),
        (3, f"{REFERENCE}.roi_align.axis_points", legacy_points),
        (3, f"{REFERENCE}.roi_align.axis_points", corner_points),
        (3, f"{REFERENCE}.roi_align.bilinear", nearest),
        (4, f"{REFERENCE}.roi_align.axis_points", legacy_points),
        (4, f"{REFERENCE}.roi_align.sample_weights", first_sample),
        (5, f"{REFERENCE}.roi_align.axis_points", legacy_points),
        (5, f"{REFERENCE}.roi_align.sample_weights", first_sample),
        (5, f"{REFERENCE}.crop_and_resize.points", centres),
        (6, f"{REFERENCE}.roi_align.axis_points", corner_points),
        (6, f"{REFERENCE}.roi_align.axis_points", legacy_points),
        (7, f"{REFERENCE}.roi_pool.overlapping_bins", roi_pool.whole_cell_bins),
        (8, f"{REFERENCE}.roi_pool.overlapping_bins", parts),
        (8, f"{REFERENCE}.roi_pool.overlapping_bins", roi_pool.whole_cell_bins),
        (8, f"{REFERENCE}.roi_pool.whole_cell_bins", roi_pool.overlapping_bins),
        (8, f"{REFERENCE}.roi_align.axis_points", legacy_points),
        (9, f"{REFERENCE}.roi_pool.round_half_away", np.floor),
        (9, "maskrcnn_scratch.figures.misalignment.roi_align_steps",
         lambda *args, aligned=True: roi_pool.roi_pool_steps(*args[:3])),
        (10, f"{CLAIMS}.claim10.overlapping_bins", roi_pool.whole_cell_bins),
        (10, f"{CLAIMS}.claim10.whole_cell_bins", roi_pool.overlapping_bins),
        (30, f"{CLAIMS}.claim30.bilinear", nearest),
    ],
)  # fmt: skip
def test_evidence_notices_a_broken_part(
    number: int, part: str, broken: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim04, "trained", fake_training(0.0))
    monkeypatch.setattr(claim06, "of_trained", lambda: {})
    monkeypatch.setattr(part, broken)
    assert not holds(number)
