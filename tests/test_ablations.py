"""The ablations in miniature: the machinery, not the outcome.

Deliberate faults, and the test that caught each:

- an arm with a second field changed -> test_arms_differ_in_one_field
- arms of one seed see other images or boxes
  -> test_arms_of_a_seed_share_all_but_the_arm
- random numbers that no seed sets -> test_the_same_seed_gives_the_same_score
- test images among those trained on -> test_test_images_are_trained_on_by_nobody
- boxes moved twice as far, or out of the image -> test_boxes_are_moved_a_little
- standard error without the root of n -> test_paired_difference_by_hand
- masks pasted at the true boxes -> test_perfect_logits_give_nearly_perfect_masks
- features read, or targets cut, at the true boxes
  -> test_features_and_targets_are_those_of_the_given_boxes
- the trained backbone not loaded -> test_a_run_starts_from_the_lesson_s_backbone
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.commands.ablation import Name
from maskrcnn_scratch.data import generate_shapes
from maskrcnn_scratch.data.batches import collate
from maskrcnn_scratch.experiments import ablations, mask_branch
from maskrcnn_scratch.experiments.ablations import EXPERIMENTS, Ablation
from maskrcnn_scratch.experiments.lesson_weights import SEED
from maskrcnn_scratch.experiments.mask_branch import (
    JITTER,
    MaskBranch,
    MaskScore,
    Scale,
    endless_batches,
    moved,
    train_and_score,
)
from maskrcnn_scratch.ops import mask_targets
from maskrcnn_scratch.weights.lesson import lesson_model

TINY = Scale(train_images=3, iterations=2, test_images=2)
Experiment = Callable[[], Ablation]
each = pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda one: one.__name__)


@each
def test_arms_differ_in_one_field(experiment: Experiment) -> None:
    """Each from the first; and all names are different."""
    arms = experiment().arms
    first = asdict(arms[0].config)
    for arm in arms[1:]:
        other = asdict(arm.config)
        assert sum(first[name] != other[name] for name in first) == 1
        assert arm.paper[0] < arms[0].paper[0]
    assert len({arm.name for arm in arms}) == len(arms) >= 2


def test_the_command_knows_every_experiment() -> None:
    assert [name.value for name in Name] == [one().name for one in EXPERIMENTS]
    assert [name.name for name in Name] == [one.__name__ for one in EXPERIMENTS]


@each
def test_every_arm_trains(experiment: Experiment) -> None:
    outcome = ablations.run(experiment(), 1, TINY)
    for arm in outcome.ablation.arms:
        (score,) = outcome.scores[arm.name]
        assert 0 <= score.mean_iou < 1
        assert 0 <= score.strict <= 1
        assert outcome.ious(arm.name) == [score.mean_iou]
        assert outcome.strict(arm.name) == [score.strict]


def test_the_same_seed_gives_the_same_score() -> None:
    config = ablations.base_model()
    torch.manual_seed(5)
    first = train_and_score(config, 1, TINY)
    torch.manual_seed(6)
    assert train_and_score(config, 1, TINY) == first
    assert train_and_score(config, 2, TINY) != first


def test_arms_of_a_seed_share_all_but_the_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images, boxes and the weights of layers that both have."""
    seen: list[tuple[list[torch.Tensor], dict[str, torch.Tensor]]] = []

    def look(
        settings: object,
        branch: MaskBranch,
        optimizer: object,
        batches: object,
        **_: object,
    ) -> None:
        images, targets = next(batches)  # type: ignore[call-overload]
        boxes = [mask_branch.given_boxes(target) for target in targets]
        seen.append(([*images, *boxes], branch.model.mask_head.state_dict()))

    monkeypatch.setattr(mask_branch, "fit", look)
    for arm in ablations.roi_layer().arms:
        train_and_score(arm.config, 4, TINY)
    (inputs, weights), *others = seen
    assert len(others) == 2
    for other_inputs, other_weights in others:
        assert all(map(torch.equal, inputs, other_inputs))
        assert weights.keys() == other_weights.keys()
        assert all(torch.equal(weights[name], other_weights[name]) for name in weights)


def test_a_run_starts_from_the_lesson_s_backbone() -> None:
    trained, _ = lesson_model("shapes")
    start = trained.backbone.state_dict()
    for experiment in (ablations.roi_layer, ablations.roi_layer_32):
        own = MaskBranch(experiment().arms[0].config).model.backbone.state_dict()
        assert all(torch.equal(start[name], own[name]) for name in own)
    fresh = MaskBranch(ablations.base_model(), trained=False).model.backbone
    assert not torch.equal(start["conv1.weight"], fresh.conv1.weight)
    config = ablations.base_model()
    scores = [train_and_score(config, 0, TINY, trained) for trained in (True, False)]
    assert scores[0] != scores[1]


def test_test_images_are_trained_on_by_nobody() -> None:
    assert mask_branch.TEST_SEED != SEED
    assert mask_branch.TEST_SEED not in range(1000)
    first, second = (mask_branch.test_samples(3) for _ in range(2))
    for (image, target), (again, same) in zip(first, second, strict=True):
        assert torch.equal(image, again)
        assert torch.equal(target.proposals, same.proposals)


def test_boxes_are_moved_a_little() -> None:
    rng = np.random.default_rng(0)
    steps = []
    for sample in generate_shapes(40, seed=3):
        _, target = moved(sample, rng)
        extent = (target.boxes[:, 2:] - target.boxes[:, :2]).repeat(1, 2)
        steps.append((target.proposals - target.boxes) / extent)
        assert target.proposals.min() >= 0
        assert target.proposals.max() <= 128
    everything = torch.cat(steps)
    assert everything.abs().max() <= JITTER + 1e-6
    assert (everything > 0.8 * JITTER).any(dim=0).all()
    assert (everything < -0.8 * JITTER).any(dim=0).all()


def test_batches_are_moved_anew() -> None:
    [sample] = generate_shapes(1, seed=3)
    batches = endless_batches([sample], seed=0)
    boxes = [next(batches)[1][0].proposals for _ in range(2)]
    assert not torch.equal(*boxes)
    assert torch.equal(boxes[0], next(endless_batches([sample], 0))[1][0].proposals)


def test_perfect_logits_give_nearly_perfect_masks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With targets for logits, what is lost is the grid's part alone: 14 x 14 cells.

    Boxes that are a good deal larger than the objects: masks pasted anywhere else than
    into them would be of the wrong size.
    """
    images, targets = collate(generate_shapes(6, seed=9))
    wide = torch.tensor([-0.25, -0.25, 0.25, 0.25])
    boxes = [
        t.boxes + (t.boxes[:, 2:] - t.boxes[:, :2]).repeat(1, 2) * wide for t in targets
    ]
    targets = [replace(t, proposals=b) for t, b in zip(targets, boxes, strict=True)]
    branch = MaskBranch(ablations.base_model()).eval()
    goals = torch.cat(
        [
            mask_targets(t.masks, t.proposals, torch.arange(len(t)), 14, rule="soft")
            for t in targets
        ]
    )
    monkeypatch.setattr(
        branch, "logits", lambda images, targets: torch.logit(goals, 1e-4)[:, None]
    )
    ious = branch.ious(images, targets)
    assert len(ious) == sum(len(t) for t in targets)
    assert ious.mean() > 0.88
    assert ious.min() > 0.7


def test_features_and_targets_are_those_of_the_given_boxes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, targets = collate(generate_shapes(2, seed=9))
    near = [replace(t, proposals=t.boxes) for t in targets]
    far = [replace(t, proposals=t.boxes + 9) for t in targets]
    branch = MaskBranch(ablations.base_model()).eval()
    logits = [branch.logits(images, some).detach() for some in (near, far)]
    assert not torch.equal(*logits)
    fixed = torch.linspace(-2, 2, 14).expand_as(logits[0])
    monkeypatch.setattr(branch, "logits", lambda images, targets: fixed)
    losses = [branch(images, some)["mask"] for some in (near, far)]
    assert not torch.isclose(*losses)


def test_paired_difference_by_hand() -> None:
    """Differences 1, 2, 6: mean 3, deviation sqrt(7), error sqrt(7 / 3)."""
    mean, error = ablations.paired_difference([2, 4, 9], [1, 2, 3])
    assert mean == 3
    assert error == pytest.approx(math.sqrt(7 / 3))
    mean, error = ablations.paired_difference([2.0], [1.0])
    assert mean == 1
    assert math.isnan(error)


def test_the_command_tells_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the scores of the arms replaced by known ones."""
    scores = {"align": 0.8, "warp": 0.7, "pool": 0.6}

    def known(config: object, seed: int, scale: Scale) -> MaskScore:
        assert scale == mask_branch.QUICK
        return MaskScore(scores[config.roi_layer] + seed / 100, 0.5)  # type: ignore[attr-defined]

    monkeypatch.setattr(ablations, "train_and_score", known)
    picture = tmp_path / "layers.png"
    arguments = ["ablation", "roi-layer", "--seeds", "2", "--quick"]
    assert main([*arguments, "--figure", str(picture)]) == 0
    out = capsys.readouterr().out
    for words in ("0.805", "0.705", "0.100 ± 0.000", "0.200 ± 0.000", "26.9", "3.3"):
        assert words in out
    assert picture.is_file()
    assert main([*arguments, "--figure", "layers.txt"]) == 1


def test_the_base_is_of_tables_2b_and_2c() -> None:
    """Stride 16, masks of 14 x 14, one map for each of the four shapes."""
    base = ablations.base_model()
    assert (base.features, base.levels, base.mask_size) == ("c4", (4,), 14)
    assert base.num_classes == 4
    assert replace(base, roi_reduce="mean") == ablations.roi_reduce().arms[0].config
