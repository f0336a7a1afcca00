"""The box head: what is in an RoI, and where exactly (Lin et al. 2017, section 4.2).

Also what comes after it: turning predictions into detections.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.init import predictor, relu_conv, relu_linear
from maskrcnn_scratch.models.resnet import stage
from maskrcnn_scratch.models.sampling import SampledRoIs
from maskrcnn_scratch.models.terms import Term
from maskrcnn_scratch.structures import Detections


class FullyConnected(nn.Module):
    """3x3 convolutions, none in the paper, then fully connected layers."""

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        for _ in range(config.box_head_convs):
            width = config.box_head_conv_width
            self.convs.append(relu_conv(channels, width, 3, config.head_norm))
            channels = width
        self.fcs = nn.ModuleList()
        length = channels * config.box_pool**2
        for _ in range(config.box_head_fcs):
            self.fcs.append(relu_linear(length, config.box_head_width))
            length = config.box_head_width
        self.width = length

    def forward(self, x: Float[Tensor, "rois c p p"]) -> Float[Tensor, "rois width"]:
        for conv in self.convs:
            x = conv(x).relu_()
        x = x.flatten(1)
        for fc in self.fcs:
            x = fc(x).relu_()
        return x


class Res5(nn.Module):
    """The last stage of the ResNet, on each RoI (He et al. 2017, figure 4 left)."""

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        self.blocks, self.width = stage(config, 5, channels, config.res5_stride)

    def forward(
        self, x: Float[Tensor, "rois c p p"]
    ) -> Float[Tensor, "rois width q q"]:
        out: Tensor = self.blocks(x)
        return out


class BoxHead(nn.Module):
    """A body, then class logits and a box for every class."""

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        body = Res5 if config.box_head == "res5" else FullyConnected
        self.body = body(config, channels)
        width = self.body.width
        self.class_logits = predictor(nn.Linear(width, config.num_classes + 1), 0.01)
        self.deltas = predictor(nn.Linear(width, 4 * config.num_classes), 0.001)

    def forward(
        self, features: Float[Tensor, "rois c p p"]
    ) -> tuple[Float[Tensor, "rois classes"], Float[Tensor, "rois k 4"]]:
        """Logits of the background and the K classes; box deltas of the K classes."""
        return self.predict(self.body(features))

    def predict(
        self, hidden: Float[Tensor, "rois width *places"]
    ) -> tuple[Float[Tensor, "rois classes"], Float[Tensor, "rois k 4"]]:
        """From what the body made; of a map the mean over its cells."""
        hidden = hidden.flatten(2).mean(dim=2) if hidden.dim() > 2 else hidden
        deltas = self.deltas(hidden).view(len(hidden), self.config.num_classes, 4)
        return self.class_logits(hidden).float(), deltas.float()

    def losses(
        self,
        logits: Float[Tensor, "rois classes"],
        deltas: Float[Tensor, "rois k 4"],
        sampled: SampledRoIs,
    ) -> dict[str, Term]:
        """Lcls and Lbox of Girshick 2015, section 2.3.

        Lbox takes the ground-truth class's box of the positive RoIs, summed over them
        and divided by the number of all sampled RoIs.
        """
        config = self.config
        valid, positive = sampled.valid.float(), sampled.positive.float()
        count = valid.sum()
        classes = ops.softmax_cross_entropy(logits, sampled.labels, valid) * count
        goals = ops.encode_boxes(sampled.boxes, sampled.goals, config.box_weights)
        rows = torch.arange(len(deltas), device=deltas.device)
        own = deltas[rows, (sampled.labels - 1).clamp(min=0)]
        box = ops.smooth_l1_loss(own, goals, config.box_beta, positive)
        per_positive = config.box_loss_average == "positives"
        return {
            "class": Term(classes, count),
            "box": Term(box, 4 * positive.sum() if per_positive else count),
        }

    @torch.no_grad()
    def detect(
        self,
        logits: Float[Tensor, "rois classes"],
        deltas: Float[Tensor, "rois k 4"],
        rois: Float[Tensor, "rois 5"],
        sizes: Float[Tensor, "images 2"],
    ) -> list[Detections]:
        """The ``max_detections`` best boxes an image, after NMS within each class."""
        config = self.config
        probability = logits.softmax(dim=1)
        if config.one_class_per_roi:
            likeliest = probability.amax(dim=1, keepdim=True)
            probability = torch.where(probability == likeliest, probability, 0)
        boxes, scores = ops.decode_detections(
            rois,
            deltas,
            probability[:, 1:],
            sizes,
            config.score_threshold,
            config.box_weights,
        )
        roi, label = torch.nonzero(scores > -torch.inf, as_tuple=True)
        boxes, scores, image = boxes[roi, label], scores[roi, label], rois[roi, 0]
        large = (boxes[:, 2:] - boxes[:, :2] >= config.detection_min_size).all(1)
        found = []
        for number in range(len(sizes)):
            own = torch.nonzero((image == number) & large).flatten()
            box, score, own_label = boxes[own], scores[own], label[own]
            kept = ops.batched_nms(
                box, score, own_label, config.nms_iou, config.max_detections
            )
            found.append(Detections(box[kept], score[kept], own_label[kept] + 1))
        return found
