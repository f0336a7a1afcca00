"""Mask R-CNN's mask branch against FCIS's, on shapes that overlap (section 4.1).

The same backbone, the same layers (3x3 convolutions, a deconvolution, a 1x1), the same
images, boxes and order. Mask R-CNN takes features of the box and runs the layers on
them; FCIS runs the layers on the whole image, once, and assembles the box's mask from
what they say (``position_sensitive``). So a pixel's answer is made with the box in view
or without it, and the masks differ by nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maskrcnn_scratch.data.batches import collate
from maskrcnn_scratch.data.transforms import Sample
from maskrcnn_scratch.experiments.lesson_weights import lesson_config
from maskrcnn_scratch.experiments.mask_branch import (
    BATCH,
    TEST_SEED,
    MaskBranch,
    Scale,
    as_rois,
    given_boxes,
    moved,
    train_branch,
)
from maskrcnn_scratch.experiments.overlapping_pairs import generate_pairs
from maskrcnn_scratch.experiments.position_sensitive import assembled, part_of_bins
from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.mask_head import FullyConvolutional
from maskrcnn_scratch.models.roi_features import to_rois
from maskrcnn_scratch.ops import box_iou
from maskrcnn_scratch.structures import Target

SIZE = 96  # pixels a side
PARTS = 3  # along each side of a box: FCIS's k
OVERLAPPING = 0.2  # from this IoU of the two boxes on
MASK_RCNN, FCIS = "Mask R-CNN", "FCIS"

FULL = Scale(train_images=300, iterations=300, test_images=150)
QUICK = Scale(train_images=100, iterations=80, test_images=60)


def model_config() -> ModelConfig:
    """The lessons' narrow FPN, of which all boxes read P2, stride 4; 14 x 14 masks."""
    return replace(
        lesson_config("shapes").model,
        rpn=False,
        level_canonical=1e6,  # no box is large enough for P3
        mask_class_agnostic=True,
        mask_pool=7,
        mask_head_convs=4,
        mask_head_width=32,
    )


class PositionSensitive(MaskBranch):
    """FCIS's: the mask head's layers on the image, then the box from its parts."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        assert self.model.mask_head is not None
        maps = replace(config, mask_class_agnostic=False, num_classes=2 * PARTS**2)
        self.model.mask_head.net = FullyConvolutional(maps, config.fpn_channels)

    def score_maps(self, images: list[Tensor]) -> Float[Tensor, "images maps h w"]:
        """Inside of each part, then outside of each, over the images; stride 2."""
        model = self.model
        assert model.mask_head is not None
        maps: Tensor = model.mask_head.net(model.feature_maps(model.batch(images))[2])
        return maps

    def scores(
        self, images: list[Tensor], targets: list[Target]
    ) -> Float[Tensor, "rois 2 m m"]:
        """Inside and outside of every object's box."""
        rois = to_rois([given_boxes(target) for target in targets])
        size = self.model.config.mask_size
        return assembled(self.score_maps(images), rois, PARTS, size, 1 / 2)

    def logits(
        self, images: list[Tensor], targets: list[Target]
    ) -> Float[Tensor, "rois 1 m m"]:
        """The softmax of inside against outside is the sigmoid of their difference."""
        scores = self.scores(images, targets)
        return scores[:, :1] - scores[:, 1:]


@dataclass(frozen=True)
class Answers:
    """What a branch answers for all objects, in the bins of their boxes."""

    overlap: Float[np.ndarray, " objects"]
    """IoU of the object's box with the other's; 0 where it is alone."""
    found: Bool[np.ndarray, "objects m m"]
    true: Bool[np.ndarray, "objects m m"]
    shared: Bool[np.ndarray, "objects m m"]
    """Bins whose centre lies in the same part of both objects' boxes."""

    def mean_iou(self, of: Bool[np.ndarray, " objects"]) -> float:
        """Of these objects' masks."""
        both = (self.found & self.true).sum((1, 2))
        either = (self.found | self.true).sum((1, 2))
        return float((both / either.clip(1))[of].mean())

    def shared_error(self) -> float:
        """The part of the shared bins that are answered wrongly."""
        return float((self.found != self.true)[self.shared].mean())

    def false_edges(self) -> Float[np.ndarray, "2 2"]:
        """How often an edge is found where there is none, of pairs of neighbours.

        First row: neighbours in a row, so the edge is upright; second: in a column.
        First column: the two lie in different parts; second: in the same.
        """
        part = part_of_bins(PARTS, self.found.shape[1]).numpy()
        border = part[1:] != part[:-1]
        turned = self.found.swapaxes(1, 2), self.true.swapaxes(1, 2)
        return np.array(
            [
                [false[..., border].mean(), false[..., ~border].mean()]
                for found, true in ((self.found, self.true), turned)
                for false in (edges(found) & ~edges(true),)
            ]
        )


def edges(mask: Bool[np.ndarray, "objects m m"]) -> Bool[np.ndarray, "objects m n"]:
    """Where a bin differs from the next one in its row."""
    different: Bool[np.ndarray, "objects m n"] = mask[..., 1:] != mask[..., :-1]
    return different


@torch.no_grad()
def answers(branch: MaskBranch, samples: Sequence[Sample]) -> Answers:
    """For all objects of the images."""
    assert branch.model.mask_head is not None
    branch.eval()
    found, true, overlaps, shared = [], [], [], []
    for first in range(0, len(samples), BATCH):
        images, targets = collate(list(samples[first : first + BATCH]))
        logits = branch.logits(images, targets)
        found.append(logits[:, 0] >= 0)
        for target in targets:
            goals = branch.model.mask_head.goals(as_rois(target), target, logits)
            true.append(goals > 0.5)
            overlaps.append(overlap(target))
            shared.append(same_part(target, logits.shape[-1]))
    parts = (torch.cat(part).numpy() for part in (overlaps, found, true, shared))
    return Answers(*parts)


def overlap(target: Target) -> Float[Tensor, " objects"]:
    """IoU of each given box with the other."""
    iou = box_iou(given_boxes(target), given_boxes(target))
    return iou.fill_diagonal_(0).amax(dim=1)


def same_part(target: Target, size: int) -> Bool[Tensor, "objects size size"]:
    """Bins whose centre lies in the same part of the other object's box too."""
    boxes = given_boxes(target)
    if len(boxes) < 2:
        return torch.zeros(len(boxes), size, size, dtype=torch.bool)
    own = part_of_bins(PARTS, size)
    middles = (torch.arange(size) + 0.5) / size
    axes = []
    for first, last in ((1, 3), (0, 2)):
        start, extent = (
            boxes[:, first, None],
            (boxes[:, last] - boxes[:, first])[:, None],
        )
        places = start + middles * extent
        other = (places - start.flip(0)) / extent.flip(0) * PARTS
        axes.append(other.floor() == own)
    return axes[0][:, :, None] & axes[1][:, None, :]


@torch.no_grad()
def answer_change(branch: MaskBranch, samples: Sequence[Sample]) -> float:
    """By how much logits change, at most, when boxes move by one bin to the right.

    The same points of the image are read, in the same parts; only the box is another.
    """
    branch.eval()
    images, targets = collate(list(samples))
    here = branch.logits(images, targets)[:, 0]
    size = here.shape[-1]
    there = branch.logits(images, [one_bin_on(t, size) for t in targets])[:, 0]
    part = part_of_bins(PARTS, size)
    change = (here[:, :, 1:] - there[:, :, :-1])[:, :, part[1:] == part[:-1]]
    return float(change.abs().max())


def one_bin_on(target: Target, size: int) -> Target:
    """With boxes a ``size``-th of their width further to the right."""
    boxes = given_boxes(target)
    step = (boxes[:, 2:3] - boxes[:, :1]) / size
    return replace(target, proposals=boxes + step * boxes.new_tensor([1.0, 0, 1, 0]))


def test_pairs(count: int) -> list[Sample]:
    """Images that no run is trained on; the same boxes for every run."""
    rng = np.random.default_rng(TEST_SEED)
    return [moved(sample, rng) for sample in generate_pairs(count, SIZE, TEST_SEED)]


def train(name: str, seed: int, scale: Scale) -> MaskBranch:
    """Either branch; images, boxes, order depend on the seed alone."""
    samples = generate_pairs(scale.train_images, SIZE, seed)
    torch.manual_seed(seed)
    kind = PositionSensitive if name == FCIS else MaskBranch
    branch = kind(model_config())
    train_branch(branch, samples, scale.iterations, seed)
    return branch
