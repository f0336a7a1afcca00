"""Region Proposal Network (Ren et al. 2015, section 3, on FPN: Lin et al. 2017, 4.1).

For every anchor it says whether there is an object (one logit) and how to move the
anchor onto it (four numbers); the best survivors of NMS become the proposals.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.init import predictor
from maskrcnn_scratch.models.proposals import Proposals, best_proposals, segments
from maskrcnn_scratch.models.roi_features import Maps
from maskrcnn_scratch.models.sampling import objects_to_learn
from maskrcnn_scratch.models.terms import Term
from maskrcnn_scratch.structures import Target


class RPN(nn.Module):
    """3x3 convolutions shared by all levels, then two sibling 1x1 convolutions."""

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        width = config.rpn_width or channels
        self.convs = nn.ModuleList(
            predictor(
                nn.Conv2d(width if index else channels, width, 3, padding=1), 0.01
            )
            for index in range(config.rpn_convs)
        )
        self.cell_anchors: Tensor
        self.register_buffer("cell_anchors", cell_anchors(config), persistent=False)
        anchors = self.cell_anchors.shape[1]
        kinds = 2 if config.rpn_objectness == "softmax" else 1
        self.objectness = predictor(nn.Conv2d(width, kinds * anchors, 1), 0.01)
        self.deltas = predictor(nn.Conv2d(width, 4 * anchors, 1), 0.01)

    def forward(
        self, maps: Maps
    ) -> tuple[list[Float[Tensor, "n _a"]], list[Float[Tensor, "n _a 4"]]]:
        """Logits and box deltas of every level, in the anchors' order (H, W, A).

        Of two logits an anchor (background, object) the difference: its sigmoid is
        their softmax.
        """
        logits, deltas = [], []
        for level in self.config.anchor_levels:
            x = maps[level]
            for conv in self.convs:
                x = conv(x).relu_()
            logit = self.objectness(x).permute(0, 2, 3, 1).float()
            delta = self.deltas(x).permute(0, 2, 3, 1)
            if self.config.rpn_objectness == "softmax":
                logit = logit[..., 1::2] - logit[..., 0::2]
            logits.append(logit.flatten(1))
            deltas.append(delta.reshape(len(delta), -1, 4).float())
        return logits, deltas

    def anchors(self, maps: Maps) -> list[Float[Tensor, "_a 4"]]:
        """The anchors of every level: boxes (x1, y1, x2, y2) in pixels of the batch."""
        config = self.config
        grids = [
            (maps[n].shape[-2], maps[n].shape[-1]) for n in self.config.anchor_levels
        ]
        if config.anchor_stride == "fixed":
            return ops.pyramid_anchors(self.cell_anchors, config.strides, grids)
        finest = config.anchor_levels[0]
        height, width = (side * 2**finest for side in grids[0])
        return [
            ops.grid_anchors(cell, (height // rows, width // columns), (rows, columns))
            for cell, (rows, columns) in zip(self.cell_anchors, grids, strict=True)
        ]

    @torch.no_grad()
    def propose(
        self,
        anchors: list[Float[Tensor, "_a 4"]],
        logits: list[Float[Tensor, "n _a"]],
        deltas: list[Float[Tensor, "n _a 4"]],
        sizes: Float[Tensor, "n 2"],
    ) -> list[Proposals]:
        """The proposals of each image, of ``sizes`` (height, width).

        The best ``rpn_pre_nms`` anchors of each level are moved by their deltas and
        clipped to the image; NMS runs within each level of each image; the best
        ``rpn_post_nms`` of an image remain. With ``rpn_levels_together`` all levels are
        one.
        """
        config = self.config
        before = config.rpn_pre_nms_train if self.training else config.rpn_pre_nms_test
        after = config.rpn_post_nms_train if self.training else config.rpn_post_nms_test
        if config.rpn_levels_together:
            anchors, logits = [torch.cat(anchors)], [torch.cat(logits, dim=1)]
            deltas = [torch.cat(deltas, dim=1)]
        boxes: list[Tensor] = []
        scores: list[Tensor] = []
        for anchor, logit, delta in zip(anchors, logits, deltas, strict=True):
            best, index = logit.topk(min(before, logit.shape[1]))
            box, score = ops.decode_proposals(
                anchor,
                delta,
                best,
                index,
                sizes,
                config.rpn_box_weights,
                config.rpn_min_size,
            )
            # One part for each image and level: they do not meet in NMS.
            boxes.extend(box.unbind())
            scores.extend(score.unbind())
        score = torch.cat(scores)
        survive = ops.nms_survivors(
            torch.cat(boxes), score, segments(boxes), config.rpn_nms_iou, before
        )
        survivors = torch.where(survive, score, -torch.inf)
        scores = list(torch.split(survivors, [len(box) for box in boxes]))
        images = len(sizes)
        return [
            best_proposals(
                torch.cat(boxes[image::images]),
                torch.cat(scores[image::images]),
                after,
            )
            for image in range(images)
        ]

    def losses(
        self,
        anchors: list[Float[Tensor, "_a 4"]],
        logits: list[Float[Tensor, "n _a"]],
        deltas: list[Float[Tensor, "n _a 4"]],
        targets: list[Target],
        generators: list[torch.Generator | None],
    ) -> dict[str, Term]:
        """Equation 1 of Ren et al. over ``rpn_samples`` anchors an image.

        Objectness: the mean binary cross-entropy of all sampled anchors. Boxes:
        smooth-L1 of the positives, summed, over the number of sampled anchors.
        """
        config = self.config
        every_anchor = torch.cat(anchors)
        every_logit, every_delta = torch.cat(logits, dim=1), torch.cat(deltas, dim=1)
        drawn: list[ops.Sample] = []
        goals = []
        for target, generator in zip(targets, generators, strict=True):
            matched = ops.match(
                objects_to_learn(target),
                every_anchor,
                config.rpn_positive_iou,
                config.rpn_negative_iou,
                allow_low_quality=True,
            )
            sample = ops.sample(
                matched, config.rpn_samples, config.rpn_positive_fraction, generator
            )
            anchor = every_anchor[sample.rows]
            if len(target):
                own = target.boxes[matched[sample.rows].clamp(min=0)]
                own = torch.where(sample.positive[:, None], own, anchor)
            else:
                own = anchor
            goals.append(ops.encode_boxes(anchor, own, config.rpn_box_weights))
            drawn.append(sample)
        logit = torch.cat([x[s.rows] for x, s in zip(every_logit, drawn, strict=True)])
        delta = torch.cat([x[s.rows] for x, s in zip(every_delta, drawn, strict=True)])
        positive = torch.cat([sample.positive for sample in drawn]).float()
        valid = torch.cat([sample.valid for sample in drawn]).float()
        count = valid.sum()
        objectness = ops.sigmoid_cross_entropy(logit, positive, valid) * count
        box = ops.smooth_l1_loss(delta, torch.cat(goals), config.rpn_box_beta, positive)
        box_count = count
        if config.rpn_loss_average == "nominal":
            count = torch.full_like(count, config.rpn_samples * len(targets))
            box_count = count
        elif config.rpn_loss_average == "positives":
            box_count = 4 * positive.sum()
        return {
            "rpn_objectness": Term(objectness, count),
            "rpn_box": Term(box, box_count),
        }


def cell_anchors(config: ModelConfig) -> Float[Tensor, "levels anchors 4"]:
    """Those of a cell: of a pyramid one size a level, of a single map all sizes."""
    sizes = config.anchor_sizes
    by_level = [(size,) for size in sizes] if config.features == "fpn" else [sizes]
    ratios, rounded = config.anchor_ratios, config.anchors_rounded
    return torch.stack([ops.cell_anchors(of, ratios, rounded) for of in by_level])
