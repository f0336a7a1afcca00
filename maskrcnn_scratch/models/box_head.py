"""The box head: what is in an RoI, and where exactly (Lin et al. 2017, section 4.2).

Also its two neighbours: choosing the RoIs to learn from, and turning predictions into
detections.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.init import predictor
from maskrcnn_scratch.models.roi_features import to_rois
from maskrcnn_scratch.structures import Detections, Target


@dataclass(frozen=True)
class SampledRoIs:
    """RoIs to learn from, those of all images in one list."""

    rois: Float[Tensor, "rois 5"]
    labels: Int64[Tensor, " rois"]
    """The class, 1..K, or 0 for the background."""
    objects: Int64[Tensor, " rois"]
    """The matched object's index in its image's target; meaningless for background."""
    goals: Float[Tensor, "rois 4"]
    """The matched object's box; the RoI itself for background."""

    def where(self, chosen: Bool[Tensor, " rois"]) -> SampledRoIs:
        """Those RoIs that ``chosen`` marks."""
        return SampledRoIs(
            self.rois[chosen],
            self.labels[chosen],
            self.objects[chosen],
            self.goals[chosen],
        )


@torch.no_grad()
def sample_rois(
    config: ModelConfig, proposals: list[Float[Tensor, "_p 4"]], targets: list[Target]
) -> SampledRoIs:
    """``roi_samples`` RoIs an image, a quarter of them positive where there are enough.

    An RoI is positive when its IoU with an object is at least ``roi_positive_iou``
    (section 3.1). The objects' own boxes join the proposals, so that there are
    positives from the first iteration on.
    """
    boxes, labels, objects, goals = [], [], [], []
    for proposed, target in zip(proposals, targets, strict=True):
        known = torch.nonzero(~target.crowd).flatten()
        known_boxes = target.boxes[known]
        candidates = torch.cat([proposed, known_boxes])
        iou = config.roi_positive_iou
        matched = ops.match(known_boxes, candidates, iou, iou, allow_low_quality=False)
        positive, negative = ops.sample(
            matched, config.roi_samples, config.roi_positive_fraction
        )
        chosen = candidates[torch.cat([positive, negative])]
        boxes.append(chosen)
        objects.append(
            torch.cat([known[matched[positive]], torch.zeros_like(negative)])
        )
        labels.append(
            torch.cat(
                [target.labels[known[matched[positive]]], torch.zeros_like(negative)]
            )
        )
        goals.append(
            torch.cat([known_boxes[matched[positive]], chosen[len(positive) :]])
        )
    return SampledRoIs(
        to_rois(boxes), torch.cat(labels), torch.cat(objects), torch.cat(goals)
    )


class BoxHead(nn.Module):
    """Two fully connected layers, then class logits and a box for every class."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.box_head_width
        self.fc1 = nn.Linear(config.fpn_channels * config.box_pool**2, width)
        self.fc2 = nn.Linear(width, width)
        for layer in (self.fc1, self.fc2):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)
        self.class_logits = predictor(nn.Linear(width, config.num_classes + 1), 0.01)
        self.deltas = predictor(nn.Linear(width, 4 * config.num_classes), 0.001)

    def forward(
        self, features: Float[Tensor, "rois c p p"]
    ) -> tuple[Float[Tensor, "rois classes"], Float[Tensor, "rois k 4"]]:
        """Logits of the background and the K classes; box deltas of the K classes."""
        hidden = self.fc1(features.flatten(1)).relu_()
        hidden = self.fc2(hidden).relu_()
        deltas = self.deltas(hidden).view(len(hidden), self.config.num_classes, 4)
        return self.class_logits(hidden).float(), deltas.float()

    def losses(
        self,
        logits: Float[Tensor, "rois classes"],
        deltas: Float[Tensor, "rois k 4"],
        sampled: SampledRoIs,
    ) -> dict[str, Tensor]:
        """Lcls and Lbox of Girshick 2015, section 2.3.

        Lbox takes the ground-truth class's box of the positive RoIs, summed over them
        and divided by the number of all sampled RoIs.
        """
        config = self.config
        is_positive = sampled.labels > 0
        positives = sampled.where(is_positive)
        goals = ops.encode_boxes(
            positives.rois[:, 1:], positives.goals, config.box_weights
        )
        predicted = deltas[is_positive, positives.labels - 1]
        box = ops.smooth_l1_loss(predicted, goals, config.box_beta)
        return {
            "class": ops.softmax_cross_entropy(logits, sampled.labels),
            "box": box / max(len(sampled.labels), 1),
        }

    @torch.no_grad()
    def detect(
        self,
        logits: Float[Tensor, "rois classes"],
        deltas: Float[Tensor, "rois k 4"],
        rois: Float[Tensor, "rois 5"],
        image_sizes: list[tuple[int, int]],
    ) -> list[Detections]:
        """The ``max_detections`` best boxes an image, after NMS within each class."""
        config = self.config
        boxes, scores = ops.decode_detections(
            rois,
            deltas,
            logits.softmax(dim=1)[:, 1:],
            rois.new_tensor(image_sizes).view(-1, 2),
            config.score_threshold,
            config.box_weights,
        )
        roi, label = torch.nonzero(scores > -torch.inf, as_tuple=True)
        boxes, scores, image = boxes[roi, label], scores[roi, label], rois[roi, 0]
        found = []
        for number in range(len(image_sizes)):
            own = torch.nonzero(image == number).flatten()
            box, score, own_label = boxes[own], scores[own], label[own]
            kept = ops.batched_nms(
                box, score, own_label, config.nms_iou, config.max_detections
            )
            found.append(Detections(box[kept], score[kept], own_label[kept] + 1))
        return found
