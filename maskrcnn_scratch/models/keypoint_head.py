"""The keypoint head: human pose, a map for each point (He et al. 2017, section 5)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.init import relu_conv, zero_bias
from maskrcnn_scratch.models.sampling import SampledRoIs
from maskrcnn_scratch.models.terms import Term
from maskrcnn_scratch.structures import Target


class KeypointHead(nn.Module):
    """3x3 convolutions, a 4x4 deconvolution to the maps, and bilinear scaling by two.

    14 x 14 cells of features become maps of 56 x 56 bins, for "a relatively high
    resolution output is required for keypoint-level localization accuracy". Boxes and
    keypoints are in pixels of the image.
    """

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        width = config.keypoint_head_width
        self.convs = nn.ModuleList()
        for _ in range(config.keypoint_head_convs):
            self.convs.append(relu_conv(channels, width, 3))
            channels = width
        deconv = nn.ConvTranspose2d(channels, config.keypoints, 4, stride=2, padding=1)
        nn.init.kaiming_normal_(deconv.weight, mode="fan_out", nonlinearity="relu")
        self.deconv = zero_bias(deconv)

    def forward(
        self, features: Float[Tensor, "rois c p p"]
    ) -> Float[Tensor, "rois points m m"]:
        """The logits of every point's map, m = 4 p bins a side, in float32."""
        x = features
        for conv in self.convs:
            x = conv(x).relu_()
        # Each map in one piece from here on: what follows goes over whole maps.
        maps = self.deconv(x).float().contiguous()
        return interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)

    def losses(
        self,
        logits: Float[Tensor, "positives points m m"],
        positives: list[SampledRoIs],
        targets: list[Target],
    ) -> dict[str, Term]:
        """Over the visible points of the RoIs' objects; see ``keypoint_term``."""
        keypoints = [
            self.goals(one, target)
            for one, target in zip(positives, targets, strict=True)
        ]
        boxes = torch.cat([one.boxes for one in positives])
        valid = torch.cat([one.valid for one in positives])
        return {"keypoint": keypoint_term(logits, boxes, torch.cat(keypoints), valid)}

    def goals(
        self, positives: SampledRoIs, target: Target
    ) -> Float[Tensor, "positives points 3"]:
        """The keypoints of the objects of one image's RoIs."""
        points = self.config.keypoints
        if len(target) == 0:
            return positives.boxes.new_zeros(len(positives), points, 3)
        if target.keypoints is None or target.keypoints.shape[1] != points:
            has = 0 if target.keypoints is None else target.keypoints.shape[1]
            raise ValueError(
                f"the objects of image {target.image_id} have {has} keypoints, but the"
                f" model has keypoints = {points}"
            )
        return target.keypoints[positives.objects]

    @torch.no_grad()
    def detect(
        self, logits: Float[Tensor, "n points m m"], boxes: Float[Tensor, "n 4"]
    ) -> Float[Tensor, "n points 3"]:
        """(x, y, score) of each point of the detections, by ``keypoint_readout``."""
        return ops.keypoint_readout(logits, boxes, self.config.keypoint_readout)


def keypoint_term(
    logits: Float[Tensor, "n points m m"],
    boxes: Float[Tensor, "n 4"],
    keypoints: Float[Tensor, "n points 3"],
    valid: Bool[Tensor, " n"],
) -> Term:
    """-log softmax(map)[bin], over the labelled keypoints that lie in their RoI.

    Those of RoIs that are not ``valid`` do not count. Without any the loss is 0, and
    still part of the graph. No value is looked at, so a GPU is not waited for.
    """
    index, visible = ops.keypoint_targets(keypoints, boxes, logits.shape[-1])
    visible = visible & valid[:, None]
    number = visible.sum().float()
    return Term(ops.keypoint_loss(logits, index, visible) * number, number)
