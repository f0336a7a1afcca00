"""Mask R-CNN (He et al. 2017): images -> backbone -> FPN -> RPN -> boxes -> masks."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskrcnn_scratch.models.box_head import BoxHead, sample_rois
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.fpn import FPN
from maskrcnn_scratch.models.mask_head import MaskHead
from maskrcnn_scratch.models.resnet import ResNet
from maskrcnn_scratch.models.roi_features import roi_features, to_rois
from maskrcnn_scratch.models.rpn import RPN
from maskrcnn_scratch.structures import Detections, Target


class MaskRCNN(nn.Module):
    """The whole model.

    In training mode ``model(images, targets)`` returns the five losses by name; in
    evaluation mode ``model(images)`` returns the detections of each image, boxes in the
    frame of the image given, masks as 28 x 28 probabilities over their boxes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = ResNet(config)
        self.fpn = FPN(self.backbone.out_channels, config.fpn_channels)
        self.rpn = RPN(config)
        self.box_head = BoxHead(config)
        self.mask_head = MaskHead(config)

    def forward(
        self,
        images: list[Float[Tensor, "3 _h _w"]],
        targets: list[Target] | None = None,
    ) -> dict[str, Tensor] | list[Detections]:
        sizes = [(image.shape[1], image.shape[2]) for image in images]
        pyramid = self.fpn(self.backbone(self.batch(images)))
        anchors = self.rpn.anchors(pyramid)
        objectness, deltas = self.rpn(pyramid)
        proposals = self.rpn.propose(anchors, objectness, deltas, sizes)
        if not self.training:
            return self.detect(pyramid[:4], proposals, sizes)
        if targets is None or len(targets) != len(images):
            raise ValueError(
                f"training needs a target for each of the {len(images)} images, "
                f"got {'none' if targets is None else len(targets)}"
            )
        return {
            **self.rpn.losses(anchors, objectness, deltas, targets),
            **self.head_losses(pyramid[:4], proposals, targets),
        }

    def batch(self, images: list[Float[Tensor, "3 _h _w"]]) -> Float[Tensor, "n 3 h w"]:
        """Normalised images in one tensor, zero-padded at the right and the bottom."""
        divisor = self.config.size_divisor
        height, width = (
            -(-max(image.shape[axis] for image in images) // divisor) * divisor
            for axis in (1, 2)
        )
        mean = images[0].new_tensor(self.config.pixel_mean).view(3, 1, 1)
        std = images[0].new_tensor(self.config.pixel_std).view(3, 1, 1)
        batch = images[0].new_zeros(len(images), 3, height, width)
        for slot, image in zip(batch, images, strict=True):
            slot[:, : image.shape[1], : image.shape[2]] = (image - mean) / std
        return batch.contiguous(memory_format=torch.channels_last)

    def head_losses(
        self,
        pyramid: list[Float[Tensor, "n c _h _w"]],
        proposals: list[Float[Tensor, "_p 4"]],
        targets: list[Target],
    ) -> dict[str, Tensor]:
        """Lcls, Lbox and Lmask on sampled RoIs; the mask's on the positive ones."""
        config = self.config
        sampled = sample_rois(config, proposals, targets)
        features = roi_features(config, pyramid, sampled.rois, config.box_pool)
        class_logits, deltas = self.box_head(features)
        positives = sampled.where(sampled.labels > 0)
        features = roi_features(config, pyramid, positives.rois, config.mask_pool)
        mask_logits = self.mask_head(features, positives.labels)
        return {
            **self.box_head.losses(class_logits, deltas, sampled),
            **self.mask_head.losses(mask_logits, positives, targets),
        }

    @torch.no_grad()
    def detect(
        self,
        pyramid: list[Float[Tensor, "n c _h _w"]],
        proposals: list[Float[Tensor, "_p 4"]],
        sizes: list[tuple[int, int]],
    ) -> list[Detections]:
        """Boxes first, then the masks of those boxes alone (section 3.1, inference)."""
        config = self.config
        rois = to_rois(proposals)
        features = roi_features(config, pyramid, rois, config.box_pool)
        class_logits, deltas = self.box_head(features)
        found = self.box_head.detect(class_logits, deltas, rois, sizes)
        rois = to_rois([one.boxes for one in found])
        features = roi_features(config, pyramid, rois, config.mask_pool)
        labels = torch.cat([one.labels for one in found])
        maps = self.mask_head(features, labels).sigmoid()
        parts = maps.split([len(one) for one in found])
        return [
            replace(one, mask_probabilities=part)
            for one, part in zip(found, parts, strict=True)
        ]
