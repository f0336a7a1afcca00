"""Mask R-CNN (He et al. 2017): images -> backbone -> FPN -> RPN -> boxes -> masks."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskrcnn_scratch.models.box_head import BoxHead
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.fpn import FPN
from maskrcnn_scratch.models.keypoint_head import KeypointHead
from maskrcnn_scratch.models.mask_head import MaskHead
from maskrcnn_scratch.models.proposals import Proposals, one_pixel
from maskrcnn_scratch.models.resnet import ResNet
from maskrcnn_scratch.models.roi_features import Maps, roi_features, to_rois
from maskrcnn_scratch.models.rpn import RPN
from maskrcnn_scratch.models.sampling import (
    SampledRoIs,
    generators,
    joined,
    positives_of,
    sample_rois,
)
from maskrcnn_scratch.models.target_checks import checked_targets
from maskrcnn_scratch.models.terms import Term, averaged
from maskrcnn_scratch.models.vgg import VGG
from maskrcnn_scratch.structures import Detections, Target


class MaskRCNN(nn.Module):
    """The whole family: which parts there are, the config says.

    In training mode ``model(images, targets)`` returns the losses by name; in
    evaluation mode ``model(images)`` returns the detections of each image, boxes in the
    frame of the image given, masks as m x m probabilities over their boxes. A model
    without RPN takes its proposals from ``targets``, or as boxes in ``proposals``; one
    without heads returns its proposals, with the label 1.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = VGG(config) if config.backbone == "vgg" else ResNet(config)
        channels = self.backbone.out_channels[config.levels[-1] - 2]
        self.fpn: FPN | None = None
        if config.features == "fpn":
            channels = config.fpn_channels
            self.fpn = FPN(self.backbone.out_channels, channels, config.fpn_norm)
        self.rpn = RPN(config, channels) if config.rpn else None
        self.box_head: BoxHead | None = None
        self.mask_head: MaskHead | None = None
        self.keypoint_head: KeypointHead | None = None
        if config.box_head != "none":
            self.box_head = BoxHead(config, channels)
        if config.keypoints:
            self.keypoint_head = KeypointHead(config, channels)
        if config.mask_head != "none":
            if config.box_head == "res5" and self.box_head is not None:
                channels = self.box_head.body.width
            self.mask_head = MaskHead(config, channels)
        for name, values in (("mean", config.pixel_mean), ("std", config.pixel_std)):
            pixel = torch.tensor(values).view(3, 1, 1)
            self.register_buffer(f"pixel_{name}", pixel, persistent=False)

    def forward(
        self,
        images: list[Float[Tensor, "3 _h _w"]],
        targets: list[Target] | None = None,
        proposals: list[Float[Tensor, "_p 4"]] | None = None,
    ) -> dict[str, Tensor] | list[Detections]:
        if self.training:
            targets = checked_targets(images, targets, self.config)
        sizes = image_sizes(images)
        maps = self.feature_maps(self.batch(images))
        if targets is None or not self.training:
            return self.detect(maps, self.proposals(maps, sizes, proposals), sizes)
        return averaged(self.losses(maps, sizes, targets))

    def batch(self, images: list[Float[Tensor, "3 _h _w"]]) -> Float[Tensor, "n 3 h w"]:
        """Normalised images in one tensor, padded at the right and the bottom."""
        config = self.config
        longest = [max(image.shape[axis] for image in images) for axis in (1, 2)]
        if config.image_square:
            longest = [max(config.image_long, *longest)] * 2
        divisor = config.size_divisor
        height, width = (-(-side // divisor) * divisor for side in longest)
        batch = images[0].new_zeros(len(images), 3, height, width)
        if config.pad_before_mean:
            batch -= self.pixel_mean / self.pixel_std
        for slot, image in zip(batch, images, strict=True):
            normal = (image - self.pixel_mean) / self.pixel_std
            slot[:, : image.shape[1], : image.shape[2]] = normal
        return batch.contiguous(memory_format=torch.channels_last)

    def feature_maps(self, batch: Float[Tensor, "n 3 h w"]) -> Maps:
        """P2 to P6, or C4 or C5 alone, by level."""
        maps = self.backbone(batch)
        if self.fpn is not None:
            return dict(enumerate(self.fpn(maps), start=2))
        (level,) = self.config.levels
        return {level: maps[level - 2]}

    def proposals(
        self,
        maps: Maps,
        sizes: Float[Tensor, "n 2"],
        given: list[Float[Tensor, "_p 4"]] | None,
    ) -> list[Proposals]:
        """The RPN's own, or those that another model found."""
        if self.rpn is None:
            if given is None:
                raise ValueError(
                    "a model without RPN needs proposals for its images, on the"
                    " command line --proposals FILE"
                )
            return [as_proposals(boxes) for boxes in given]
        logits, deltas = self.rpn(maps)
        return self.rpn.propose(self.rpn.anchors(maps), logits, deltas, sizes)

    def losses(
        self, maps: Maps, sizes: Float[Tensor, "n 2"], targets: list[Target]
    ) -> dict[str, Term]:
        """Of the RPN, then of the heads on sampled RoIs."""
        terms: dict[str, Term] = {}
        draws = generators(targets)
        if self.rpn is None:
            proposals = self.proposals(maps, sizes, given_proposals(targets))
        else:
            anchors, (logits, deltas) = self.rpn.anchors(maps), self.rpn(maps)
            terms |= self.rpn.losses(anchors, logits, deltas, targets, draws)
            if self.box_head is None:
                return terms
            proposals = self.rpn.propose(anchors, logits, deltas, sizes)
        sampled = [
            sample_rois(self.config, *parts)
            for parts in zip(proposals, targets, draws, strict=True)
        ]
        return terms | self.head_losses(maps, sampled, targets)

    def head_losses(
        self, maps: Maps, sampled: list[SampledRoIs], targets: list[Target]
    ) -> dict[str, Term]:
        """Lcls and Lbox of all RoIs; Lmask and keypoints of the positive ones."""
        assert self.box_head is not None, "a model with heads has a box head"
        config = self.config
        rois = to_rois([one.boxes for one in sampled])
        hidden = self.box_head.body(roi_features(config, maps, rois, config.box_pool))
        terms = self.box_head.losses(*self.box_head.predict(hidden), joined(sampled))
        positives = [positives_of(config, one) for one in sampled]
        rois = to_rois([one.boxes for one in positives])
        labels = joined(positives).labels
        if self.mask_head is not None:
            if config.box_head == "res5":
                parts = torch.split(hidden, [len(one) for one in sampled])
                pairs = zip(parts, positives, strict=True)
                features = torch.cat([part[: len(one)] for part, one in pairs])
            else:
                features = roi_features(config, maps, rois, config.mask_pool)
            logits = self.mask_head(features, labels)
            terms |= self.mask_head.losses(logits, positives, targets)
        if self.keypoint_head is not None:
            features = roi_features(config, maps, rois, config.keypoint_pool)
            logits = self.keypoint_head(features)
            terms |= self.keypoint_head.losses(logits, positives, targets)
        return terms

    @torch.no_grad()
    def detect(
        self,
        maps: Maps,
        proposals: list[Proposals],
        sizes: Float[Tensor, "n 2"],
    ) -> list[Detections]:
        """Boxes first, then the masks of those boxes alone (section 3.1, inference)."""
        if self.box_head is None:
            return [as_detections(one) for one in proposals]
        config = self.config
        rois = to_rois([one.boxes for one in proposals])
        features = roi_features(config, maps, rois, config.box_pool)
        logits, deltas = self.box_head(features)
        filled = torch.cat([one.filled for one in proposals])
        logits[:, 1:] = torch.where(filled[:, None], logits[:, 1:], -torch.inf)
        found = self.box_head.detect(logits, deltas, rois, sizes)
        rois = to_rois([one.boxes for one in found])
        counts = [len(one) for one in found]
        if self.mask_head is not None:
            features = roi_features(config, maps, rois, config.mask_pool)
            if config.box_head == "res5":
                features = self.box_head.body(features)
            labels = torch.cat([one.labels for one in found])
            masks = self.mask_head.probabilities(
                self.mask_head(features, labels), labels
            )
            found = [
                replace(one, mask_probabilities=part)
                for one, part in zip(found, torch.split(masks, counts), strict=True)
            ]
        if self.keypoint_head is not None:
            features = roi_features(config, maps, rois, config.keypoint_pool)
            heatmaps = self.keypoint_head(features)
            points = self.keypoint_head.detect(heatmaps, rois[:, 1:])
            found = [
                replace(one, keypoints=part)
                for one, part in zip(found, torch.split(points, counts), strict=True)
            ]
        return found


def image_sizes(images: list[Float[Tensor, "3 _h _w"]]) -> Float[Tensor, "n 2"]:
    """(height, width) of each, on their device, without waiting for it."""
    sizes = torch.tensor([image.shape[1:] for image in images], dtype=torch.float32)
    device = images[0].device
    if device.type == "cuda":
        sizes = sizes.pin_memory()
    return sizes.to(device, non_blocking=True)


def given_proposals(targets: list[Target]) -> list[Float[Tensor, "_p 4"]]:
    """What another model found in the images, carried by their targets."""
    missing = [target.image_id for target in targets if target.proposals is None]
    if missing:
        raise ValueError(
            f"a model without RPN learns from proposals, which image {missing[0]} has"
            " not: make them with a model that has one"
        )
    return [target.proposals for target in targets if target.proposals is not None]


def as_proposals(boxes: Float[Tensor, "p 4"]) -> Proposals:
    """Boxes, best first, as proposals of equal scores; empty ones fill no slot."""
    large = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    return Proposals(
        torch.where(large[:, None], boxes, one_pixel(boxes)),
        torch.where(large, 0.0, -torch.inf),
    )


def as_detections(proposals: Proposals) -> Detections:
    """Proposals as objects of the one class there is; scores are probabilities."""
    filled = proposals.filled
    scores = proposals.scores[filled].sigmoid()
    labels = torch.ones(len(scores), dtype=torch.int64, device=scores.device)
    return Detections(proposals.boxes[filled], scores, labels)
