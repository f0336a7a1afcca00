"""Claim 26: position-sensitive maps, the pairs, what is measured, and the verdict.

Deliberate faults, and the test that caught each:

- the parts' rows and columns mixed up -> test_boxes_are_assembled_as_by_hand
- half a cell off -> test_boxes_are_assembled_as_by_hand
- scores that know the box -> test_boxes_with_a_pixel_in_the_same_part_hear_the_same
- the other box's own bins for its parts -> test_bins_in_the_same_part_by_hand
- edges that are true counted as false -> test_false_edges_by_hand
- a shape that hides all of the other -> test_pairs_can_be_seen
- a verdict that is read from nothing -> test_the_evidence_is_what_was_measured
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskrcnn_scratch.claims.claim import borne_out
from maskrcnn_scratch.claims.claim26 import CLAIM, Overlaps, Run
from maskrcnn_scratch.experiments import fcis
from maskrcnn_scratch.experiments.fcis import (
    FCIS,
    MASK_RCNN,
    Answers,
    PositionSensitive,
    answer_change,
    model_config,
    same_part,
    test_pairs,
)
from maskrcnn_scratch.experiments.mask_branch import MaskBranch
from maskrcnn_scratch.experiments.overlapping_pairs import (
    LEAST_VISIBLE,
    generate_pairs,
    pair_covers,
)
from maskrcnn_scratch.experiments.position_sensitive import (
    assembled,
    assembled_by_hand,
)
from maskrcnn_scratch.figures.fcis import Pair, draw_pair
from maskrcnn_scratch.structures import Target

test_pairs.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize(("parts", "size"), [(1, 4), (2, 6), (3, 14), (7, 14)])
def test_boxes_are_assembled_as_by_hand(parts: int, size: int) -> None:
    """Torch against loops in NumPy; also beyond the map's border."""
    rng = np.random.default_rng(parts)
    maps = rng.normal(size=(2, 2 * parts**2, 9, 11))
    boxes = np.array([[3.0, 2, 17, 15], [-4, 5.5, 9, 19], [0, 0, 22, 18]])
    rois = np.column_stack([[0, 1, 1], boxes])
    given = torch.tensor(maps).float(), torch.tensor(rois).float()
    got = assembled(*given, parts, size, 0.5)
    for one, image, box in zip(got.numpy(), (0, 1, 1), boxes, strict=True):
        for kind, own in enumerate(np.split(maps[image], 2)):
            expected = assembled_by_hand(own, box, parts, size, 0.5)
            np.testing.assert_allclose(one[kind], expected, atol=1e-5)


def test_a_part_is_copied_from_its_own_map() -> None:
    """Maps that are everywhere their own number."""
    maps = np.arange(9.0)[:, None, None] * np.ones((9, 8, 8))
    got = assembled_by_hand(maps, np.array([1.0, 1, 7, 7]), 3, 6, 1.0)
    parts = np.arange(9).reshape(3, 3)
    np.testing.assert_array_equal(got, parts.repeat(2, axis=0).repeat(2, axis=1))


def test_boxes_with_a_pixel_in_the_same_part_hear_the_same() -> None:
    """Whatever the weights are; and Mask R-CNN's branch tells the boxes apart."""
    torch.manual_seed(0)
    samples = test_pairs(4)
    branch = PositionSensitive(model_config())
    assert branch.model.mask_head is not None
    torch.nn.init.normal_(branch.model.mask_head.net.mask_logits.weight)
    assert answer_change(branch, samples) < 1e-3
    other = MaskBranch(model_config())
    assert other.model.mask_head is not None
    torch.nn.init.normal_(other.model.mask_head.net.mask_logits.weight)
    assert answer_change(other, samples) > 0.1


def test_scores_that_know_the_box_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    branch = PositionSensitive(model_config())
    assert branch.model.mask_head is not None
    torch.nn.init.normal_(branch.model.mask_head.net.mask_logits.weight)
    true = assembled

    def centred(*arguments: object) -> torch.Tensor:
        scores = true(*arguments)  # type: ignore[arg-type]
        return scores - scores.mean((2, 3), keepdim=True)

    monkeypatch.setattr(fcis, "assembled", centred)
    assert answer_change(branch, test_pairs(4)) > 1e-3


def test_bins_in_the_same_part_by_hand() -> None:
    """Two boxes of 6 x 6, one of them 1 further to the right, in parts of 2 x 2."""
    target = Target(
        image_id=1,
        boxes=torch.zeros(2, 4),
        labels=torch.ones(2, dtype=torch.int64),
        masks=None,
        crowd=torch.zeros(2, dtype=torch.bool),
        proposals=torch.tensor([[0.0, 0, 6, 6], [1, 0, 7, 6]]),
    )
    first, second = same_part(target, 6).numpy()
    # Of each part's two columns the left box shares the right one, and conversely.
    np.testing.assert_array_equal(first, np.tile([False, True], (6, 3)))
    np.testing.assert_array_equal(second, np.tile([True, False], (6, 3)))


def answered(found: np.ndarray, true: np.ndarray) -> Answers:
    """One object, all of whose bins are shared."""
    shared = np.ones((1, *found.shape), bool)
    return Answers(np.zeros(1), found[None], true[None], shared)


def test_false_edges_by_hand() -> None:
    """6 x 6 bins in 3 x 3 parts: borders are between 1 and 2, and 3 and 4."""
    true = np.zeros((6, 6), bool)
    true[:, 3:] = True  # an upright edge within the middle parts
    found = true.copy()
    found[:2] = True  # a level edge, left half, where parts meet
    told = answered(found, true)
    upright, level = told.false_edges()
    np.testing.assert_array_equal(upright, [0, 0])
    np.testing.assert_array_equal(level, [3 / (6 * 2), 0])
    assert told.shared_error() == 6 / 36
    assert told.mean_iou(np.array([True])) == 18 / 24


def test_pairs_can_be_seen() -> None:
    """Half of them alone; masks apart; of the hinder shape enough is visible."""
    samples = generate_pairs(40, 64, seed=3)
    again = generate_pairs(3, 64, seed=3)
    for (image, target), (other, same) in zip(samples[:3], again, strict=True):
        assert torch.equal(image, other)
        assert torch.equal(target.boxes, same.boxes)
    alone = 0
    for _, target in samples:
        assert target.masks is not None
        assert target.masks.sum(0).max() == 1
        assert len(target.labels.unique()) == 1
        alone += len(target) == 1
    assert 10 < alone < 30
    rng = np.random.default_rng(0)
    for _ in range(20):
        covers = [cover >= 0.5 for cover in pair_covers(1, 64, rng)]
        if len(covers) == 2:
            first, second = covers
            assert (first & ~second).sum() >= LEAST_VISIBLE * first.sum()


def run(lost: float, between: float, change: float, error: float) -> Run:
    """Of these figures; 0.05 false edges within parts."""
    edges = np.full((2, 2), 0.05)
    edges[:, 0] = between
    return Run(0.9, 0.9 - lost, error, edges, change)


PAIR = Pair(
    image=np.full((16, 16, 3), 200, np.uint8),
    boxes=np.array([[2.0, 2, 10, 12], [4, 4, 14, 14]]),
    true=np.ones((2, 6, 6), bool),
    found={MASK_RCNN: np.ones((2, 6, 6), bool), FCIS: np.zeros((2, 6, 6), bool)},
    assembled=np.zeros((2, 2, 6, 6)),
    maps=np.ones((2, 3, 3, 8, 8)),
)
OURS = [run(0.10, 0.04, 2.0, 0.2), run(0.11, 0.04, 2.0, 0.2)]
THEIRS = [run(0.15, 0.08, 0.0, 0.4), run(0.15, 0.08, 0.0, 0.4)]


def test_the_evidence_is_what_was_measured() -> None:
    """It holds of runs as they are claimed to be, and of none in which a part fails."""

    def holds(ours: list[Run], theirs: list[Run]) -> bool:
        runs = {MASK_RCNN: ours, FCIS: theirs}
        return borne_out(CLAIM.evidence(Overlaps(runs, PAIR)))

    assert holds(OURS, THEIRS)
    assert holds(OURS[:1], THEIRS[:1])
    assert not holds(THEIRS, OURS)
    assert not holds(OURS, OURS)
    good, other = THEIRS
    level = np.array([[0.08, 0.05], [0.05, 0.05]])
    for changed in (
        replace(good, pairs=0.82),
        replace(good, shared_error=0.1),
        replace(good, false_edges=level),
        replace(good, answer_change=0.5),
    ):
        assert not holds(OURS, [changed, other])
    assert not holds([replace(OURS[0], false_edges=good.false_edges)] * 2, THEIRS)


def test_the_picture_counts_what_is_wrong() -> None:
    figure, wrong = draw_pair(PAIR)
    assert wrong == {MASK_RCNN: [0, 0], FCIS: [36, 36]}
    titles = [axes.get_title() for axes in figure.axes]
    assert "FCIS: inside" in titles
    assert len(figure.axes) == 12 + 18
    alt = CLAIM.alt(Overlaps({}, PAIR))
    assert "(0 of Mask R-CNN, 72 of FCIS)" in alt
