"""The mask head: a small fully convolutional network on each RoI (figure 4, right)."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.box_head import SampledRoIs
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.init import predictor, relu_conv
from maskrcnn_scratch.structures import Target


class MaskHead(nn.Module):
    """3x3 convolutions, a 2x2 deconvolution, and one map for each class.

    Of the K maps of an RoI only that of its class is ever read: the true class in
    training, the predicted one in inference (section 3). So no other is computed.
    """

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
        self, features: Float[Tensor, "rois c p p"], labels: Int64[Tensor, " rois"]
    ) -> Float[Tensor, "rois 2*p 2*p"]:
        """The logits of the map of each RoI's class, 1..K."""
        x = features
        for conv in self.convs:
            x = conv(x).relu_()
        return self.own_maps(x, labels)

    def own_maps(
        self, x: Float[Tensor, "rois c p p"], labels: Int64[Tensor, " rois"]
    ) -> Float[Tensor, "rois 2*p 2*p"]:
        """``mask_logits(relu(deconv(x)))``, of each RoI the map ``labels - 1``.

        Both layers are matrix products, much faster than as convolutions: the windows
        of a 2x2 deconvolution with stride 2 do not overlap, so each cell becomes 2x2
        finer ones by itself; and a 1x1 convolution sees one cell at a time.
        """
        deconv_bias = cast(Tensor, self.deconv.bias)
        logits_bias = cast(Tensor, self.mask_logits.bias)
        rois, channels, side, _ = x.shape
        cells = x.permute(0, 2, 3, 1).reshape(-1, channels)
        to_four = self.deconv.weight.permute(0, 2, 3, 1).flatten(1)
        fours = (cells @ to_four).add_(deconv_bias.repeat(4)).relu_()
        own = self.mask_logits.weight[labels - 1].flatten(1)
        logits = fours.view(rois, side**2 * 4, own.shape[1]) @ own[:, :, None]
        maps = logits.float().view(rois, side, side, 2, 2).transpose(2, 3)
        biases = logits_bias[labels - 1].view(-1, 1, 1)
        return maps.reshape(rois, 2 * side, 2 * side) + biases

    def losses(
        self,
        logits: Float[Tensor, "positives m m"],
        positives: SampledRoIs,
        targets: list[Target],
    ) -> dict[str, Tensor]:
        """Lmask: mean binary cross-entropy of the ground-truth class's map alone.

        Classes do not compete, for the other K - 1 maps get no gradient. A target is
        the part of the object's mask that lies in the RoI (section 3.1).
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
        goal = torch.cat([*wanted, logits.new_zeros(0, *logits.shape[1:])])
        only_map = torch.zeros_like(positives.labels)
        return {"mask": ops.mask_loss(logits[:, None], only_map, goal)}
