"""Backbone and mask head alone, on boxes that are given: a training of seconds.

The boxes are those of the objects, moved a little at random, as proposals are. So what
differs between two configs is the masks' doing: no proposal is missed, no class is
mistaken, and all arms of an experiment see the same images, boxes and order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from maskrcnn_scratch.data import generate_shapes
from maskrcnn_scratch.data.batches import collate
from maskrcnn_scratch.data.transforms import Sample
from maskrcnn_scratch.experiments.lesson_weights import SIZE
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.models.roi_features import roi_features, to_rois
from maskrcnn_scratch.models.sampling import SampledRoIs
from maskrcnn_scratch.models.terms import averaged
from maskrcnn_scratch.ops import paste_masks
from maskrcnn_scratch.structures import Target
from maskrcnn_scratch.training.config import TrainConfig
from maskrcnn_scratch.training.loop import Batch, Report, fit, make_optimizer
from maskrcnn_scratch.training.run import repeatable
from maskrcnn_scratch.weights.lesson import lesson_model

JITTER = 0.05
"""A box's sides move by at most this part of its width or height."""

BATCH = 8  # images
TEST_SEED = 1_000_000  # of the images that all seeds are tested on
STRICT = 0.75  # the IoU of AP75


@dataclass(frozen=True)
class Scale:
    """How large a run is."""

    train_images: int
    iterations: int
    test_images: int


FULL = Scale(train_images=400, iterations=400, test_images=200)
QUICK = Scale(train_images=200, iterations=100, test_images=60)
"""For a lesson: about four seconds a run."""


@dataclass(frozen=True)
class MaskScore:
    """How good the masks of all test objects are, 0 to 1."""

    mean_iou: float
    strict: float
    """The part of the objects with a mask IoU of at least 0.75."""


class MaskBranch(nn.Module):
    """The part of a Mask R-CNN that makes masks; boxes come with the targets.

    With ``trained`` its backbone starts from that of the lessons' model, which was
    trained with RoIAlign; otherwise from random weights.
    """

    def __init__(self, config: ModelConfig, trained: bool = True) -> None:
        super().__init__()
        self.model = MaskRCNN(config)
        if trained:
            start = lesson_model("shapes")[0].backbone.state_dict()
            own = self.model.backbone.state_dict()
            self.model.backbone.load_state_dict({name: start[name] for name in own})

    def forward(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """{"mask": Lmask} over all objects."""
        logits = self.logits(images, targets)
        assert self.model.mask_head is not None
        rois = [as_rois(target) for target in targets]
        return averaged(self.model.mask_head.losses(logits, rois, targets))

    def logits(
        self, images: list[Tensor], targets: list[Target]
    ) -> Float[Tensor, "rois k m m"]:
        """Of every object's box, in the order of the images."""
        model = self.model
        assert model.mask_head is not None
        maps = model.feature_maps(model.batch(images))
        rois = to_rois([given_boxes(target) for target in targets])
        features = roi_features(model.config, maps, rois, model.config.mask_pool)
        logits: Tensor = model.mask_head(features, all_labels(targets))
        return logits

    @torch.no_grad()
    def ious(
        self, images: list[Tensor], targets: list[Target]
    ) -> Float[Tensor, " objects"]:
        """Of every object's mask, pasted into its image, with the true one."""
        assert self.model.mask_head is not None
        logits = self.logits(images, targets)
        maps = self.model.mask_head.probabilities(logits, all_labels(targets))
        parts = torch.split(maps, [len(target) for target in targets])
        found = []
        for part, target in zip(parts, targets, strict=True):
            masks = paste_masks(part, given_boxes(target), (SIZE, SIZE))
            found.append(mask_iou(masks, target))
        return torch.cat(found)


def as_rois(target: Target) -> SampledRoIs:
    """Every object's given box, as a positive RoI."""
    everyone = torch.arange(len(target))
    return SampledRoIs(
        boxes=given_boxes(target),
        labels=target.labels,
        objects=everyone,
        goals=target.boxes,
        valid=everyone >= 0,
    )


def given_boxes(target: Target) -> Float[Tensor, "objects 4"]:
    """The moved boxes, one for each object."""
    assert target.proposals is not None
    return target.proposals


def all_labels(targets: list[Target]) -> Int64[Tensor, " objects"]:
    """Of all images in one list."""
    return torch.cat([target.labels for target in targets])


def mask_iou(masks: Tensor, target: Target) -> Float[Tensor, " objects"]:
    """Pixels in both over pixels in either, object by object."""
    assert target.masks is not None
    true = target.masks.bool()
    both, either = (masks & true).sum((1, 2)), (masks | true).sum((1, 2))
    return both / either


def moved(sample: Sample, rng: np.random.Generator) -> Sample:
    """With a box near each object's as its proposal, within the image."""
    image, target = sample
    extent = (target.boxes[:, 2:] - target.boxes[:, :2]).repeat(1, 2)
    steps = rng.uniform(-JITTER, JITTER, target.boxes.shape).astype(np.float32)
    boxes = (target.boxes + torch.from_numpy(steps) * extent).clamp(0, image.shape[2])
    return image, replace(target, proposals=boxes)


def endless_batches(samples: Sequence[Sample], seed: int) -> Iterator[Batch]:
    """Images drawn at random, their boxes moved anew each time."""
    rng = np.random.default_rng(seed)
    while True:
        drawn = rng.integers(len(samples), size=BATCH)
        yield collate([moved(samples[index], rng) for index in drawn])


def train_and_score(
    config: ModelConfig, seed: int, scale: Scale, trained: bool = True
) -> MaskScore:
    """One run: images, boxes, order and new layers depend on the seed alone.

    The same seed gives the same score to the last bit. ``trained`` is the backbone's.
    """
    samples = generate_shapes(scale.train_images, SIZE, seed)
    torch.manual_seed(seed)
    branch = MaskBranch(config, trained)
    train_branch(branch, samples, scale.iterations, seed)
    with repeatable(torch.device("cpu")):
        return score(branch, test_samples(scale.test_images))


def train_branch(
    branch: MaskBranch,
    samples: Sequence[Sample],
    iterations: int,
    seed: int,
    report: Report = lambda iteration, values: None,
) -> None:
    """Train on images in an order that depends on the seed alone. In place."""
    settings = train_settings(iterations, seed)
    with repeatable(torch.device("cpu")):
        fit(
            settings,
            branch,
            make_optimizer(settings, branch),
            endless_batches(samples, seed),
            report=report,
        )


def train_settings(iterations: int, seed: int) -> TrainConfig:
    """AdamW with a short warm-up and half a cosine, alike for every arm."""
    return TrainConfig(
        iterations=iterations,
        batch_size=BATCH,
        reference_batch=BATCH,
        seed=seed,
        optimizer="adamw",
        learning_rate=0.002,
        weight_decay=0.05,
        warmup_iterations=20,
        schedule="cosine",
        clip_norm=5.0,
    )


def test_samples(count: int) -> list[Sample]:
    """Images that no run is trained on; the same boxes for every run."""
    rng = np.random.default_rng(TEST_SEED)
    return [moved(sample, rng) for sample in generate_shapes(count, SIZE, TEST_SEED)]


def score(branch: MaskBranch, samples: Sequence[Sample]) -> MaskScore:
    """Over all objects of the images."""
    branch.eval()
    ious = []
    for first in range(0, len(samples), BATCH):
        ious.append(branch.ious(*collate(list(samples[first : first + BATCH]))))
    everything = torch.cat(ious)
    return MaskScore(
        float(everything.mean()), float((everything >= STRICT).float().mean())
    )
