"""The mask head: a small fully convolutional network on each RoI (figure 4, right)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.box_head import SampledRoIs
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.init import predictor, relu_conv
from maskrcnn_scratch.structures import Target


class MaskHead(nn.Module):
    """3x3 convolutions, a 2x2 deconvolution, and one map for each class."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.mask_head_width
        self.convs = nn.ModuleList(
            relu_conv(width if index else config.fpn_channels, width, 3)
            for index in range(config.mask_head_convs)
        )
        self.deconv = nn.ConvTranspose2d(width, width, 2, stride=2)
        nn.init.kaiming_normal_(self.deconv.weight, mode="fan_out", nonlinearity="relu")
        self.mask_logits = predictor(nn.Conv2d(width, config.num_classes, 1), 0.001)

    def forward(
        self, features: Float[Tensor, "rois c p p"]
    ) -> Float[Tensor, "rois k 2*p 2*p"]:
        x = features
        for conv in self.convs:
            x = torch.relu(conv(x))
        x = torch.relu(self.deconv(x))
        logits: Tensor = self.mask_logits(x)
        return logits.float()

    def losses(
        self,
        logits: Float[Tensor, "positives k m m"],
        positives: SampledRoIs,
        targets: list[Target],
    ) -> dict[str, Tensor]:
        """Lmask: mean binary cross-entropy of the ground-truth class's map alone.

        A target is the part of the object's mask that lies in the RoI (section 3.1),
        so classes do not compete: the other K - 1 maps get no gradient.
        """
        wanted = [
            ops.mask_targets(
                target.masks,
                positives.rois[own, 1:],
                positives.objects[own],
                logits.shape[-1],
                rule=self.config.mask_target,
            )
            for image, target in enumerate(targets)
            if (own := positives.rois[:, 0] == image).any()
        ]
        goal = torch.cat([*wanted, logits.new_zeros(0, *logits.shape[2:])])
        return {"mask": ops.mask_loss(logits, positives.labels - 1, goal)}
