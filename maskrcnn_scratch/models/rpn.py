"""Region Proposal Network (Ren et al. 2015, section 3, on FPN: Lin et al. 2017, 4.1).

For every anchor it says whether there is an object (one logit) and how to move the
anchor onto it (four numbers); the best survivors of NMS become the proposals.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.init import predictor
from maskrcnn_scratch.structures import Target


class RPN(nn.Module):
    """A 3x3 convolution shared by all levels, then two sibling 1x1 convolutions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        channels, anchors = config.fpn_channels, len(config.anchor_ratios)
        width = config.rpn_width or channels
        self.conv = predictor(nn.Conv2d(channels, width, 3, padding=1), 0.01)
        self.objectness = predictor(nn.Conv2d(width, anchors, 1), 0.01)
        self.deltas = predictor(nn.Conv2d(width, 4 * anchors, 1), 0.01)
        self.cell_anchors: Tensor
        cells = [
            ops.cell_anchors((size,), config.anchor_ratios, config.anchors_rounded)
            for size in config.anchor_sizes
        ]
        self.register_buffer("cell_anchors", torch.stack(cells), persistent=False)

    def forward(
        self, features: list[Float[Tensor, "n c _h _w"]]
    ) -> tuple[list[Float[Tensor, "n _a"]], list[Float[Tensor, "n _a 4"]]]:
        """Logits and box deltas of every level, in the anchors' order (H, W, A)."""
        logits, deltas = [], []
        for feature in features:
            hidden = self.conv(feature).relu_()
            logit = self.objectness(hidden).permute(0, 2, 3, 1)
            delta = self.deltas(hidden).permute(0, 2, 3, 1)
            logits.append(logit.flatten(1).float())
            deltas.append(delta.reshape(len(delta), -1, 4).float())
        return logits, deltas

    def anchors(self, features: list[Tensor]) -> list[Float[Tensor, "_a 4"]]:
        """The anchors of every level: boxes (x1, y1, x2, y2) in pixels of the batch."""
        grids = [(feature.shape[-2], feature.shape[-1]) for feature in features]
        return ops.pyramid_anchors(self.cell_anchors, self.config.strides, grids)

    @torch.no_grad()
    def propose(
        self,
        anchors: list[Float[Tensor, "_a 4"]],
        logits: list[Float[Tensor, "n _a"]],
        deltas: list[Float[Tensor, "n _a 4"]],
        image_sizes: list[tuple[int, int]],
    ) -> list[Float[Tensor, "_p 4"]]:
        """The proposals of each image, best first.

        The best ``rpn_pre_nms`` anchors of each level are moved by their deltas and
        clipped to the image; NMS runs within each level of each image; the best
        ``rpn_post_nms`` of an image remain.
        """
        config = self.config
        before = config.rpn_pre_nms_train if self.training else config.rpn_pre_nms_test
        after = config.rpn_post_nms_train if self.training else config.rpn_post_nms_test
        sizes = anchors[0].new_tensor(image_sizes)
        image = torch.arange(len(sizes), device=sizes.device)[:, None]
        boxes, scores, segments = [], [], []
        for level, (anchor, logit, delta) in enumerate(
            zip(anchors, logits, deltas, strict=True)
        ):
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
            boxes.append(box.flatten(0, 1))
            scores.append(score.flatten())
            segments.append((image * len(anchors) + level).expand_as(score).flatten())
        kept_boxes, kept_segments = self._suppress(
            torch.cat(boxes), torch.cat(scores), torch.cat(segments)
        )
        images = kept_segments // len(anchors)
        return [kept_boxes[images == n][:after] for n in range(len(image_sizes))]

    def _suppress(
        self,
        boxes: Float[Tensor, "b 4"],
        scores: Float[Tensor, " b"],
        segments: Int64[Tensor, " b"],
    ) -> tuple[Float[Tensor, "k 4"], Int64[Tensor, " k"]]:
        """Boxes and segments that are large enough and survive NMS, best first."""
        large = scores > -torch.inf
        boxes, scores, segments = boxes[large], scores[large], segments[large]
        kept = ops.batched_nms(boxes, scores, segments, self.config.rpn_nms_iou)
        return boxes[kept], segments[kept]

    def losses(
        self,
        anchors: list[Float[Tensor, "_a 4"]],
        logits: list[Float[Tensor, "n _a"]],
        deltas: list[Float[Tensor, "n _a 4"]],
        targets: list[Target],
    ) -> dict[str, Tensor]:
        """Equation 1 of Ren et al. over ``rpn_samples`` anchors an image.

        Objectness: the mean binary cross-entropy of all sampled anchors. Boxes:
        smooth-L1 of the positives, summed, over the number of sampled anchors.
        """
        config = self.config
        every_anchor = torch.cat(anchors)
        every_logit, every_delta = torch.cat(logits, dim=1), torch.cat(deltas, dim=1)
        chosen, wanted, moved, goals = [], [], [], []
        for image, target in enumerate(targets):
            objects = target.boxes[~target.crowd]
            matched = ops.match(
                objects,
                every_anchor,
                config.rpn_positive_iou,
                config.rpn_negative_iou,
                allow_low_quality=True,
            )
            positive, negative = ops.sample(
                matched, config.rpn_samples, config.rpn_positive_fraction
            )
            sampled = torch.cat([positive, negative])
            chosen.append(every_logit[image, sampled])
            wanted.append((matched[sampled] >= 0).to(every_logit.dtype))
            moved.append(every_delta[image, positive])
            goals.append(
                ops.encode_boxes(
                    every_anchor[positive],
                    objects[matched[positive]],
                    config.rpn_box_weights,
                )
            )
        count = max(sum(len(labels) for labels in wanted), 1)
        box = ops.smooth_l1_loss(
            torch.cat(moved), torch.cat(goals), config.rpn_box_beta
        )
        return {
            "rpn_objectness": ops.sigmoid_cross_entropy(
                torch.cat(chosen), torch.cat(wanted)
            ),
            "rpn_box": box / count,
        }
