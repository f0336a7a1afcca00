"""The mask head: a small network on each RoI (He et al. 2017, figure 4, right).

Two kinds: fully convolutional, and the fully connected rival of Table 2e. Each gives
maps for the K classes (one for all where ``mask_class_agnostic``; K + 1 that compete
for each pixel where ``mask_loss`` is softmax).
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from maskrcnn_scratch import ops
from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.init import predictor, relu_conv, relu_linear
from maskrcnn_scratch.models.sampling import SampledRoIs
from maskrcnn_scratch.models.terms import Term
from maskrcnn_scratch.structures import Target


def map_count(config: ModelConfig) -> int:
    """How many maps an RoI has."""
    if config.mask_class_agnostic:
        return 1
    return config.num_classes + (config.mask_loss == "softmax")


class FullyConvolutional(nn.Module):
    """3x3 convolutions, a 2x2 deconvolution, and a 1x1 convolution to the maps."""

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        width = config.mask_head_width
        self.convs = nn.ModuleList()
        for _ in range(config.mask_head_convs):
            self.convs.append(relu_conv(channels, width, 3, config.head_norm))
            channels = width
        self.deconv = nn.ConvTranspose2d(channels, width, 2, stride=2)
        nn.init.kaiming_normal_(self.deconv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(cast(Tensor, self.deconv.bias))
        self.mask_logits = predictor(nn.Conv2d(width, map_count(config), 1), 0.001)

    def hidden(self, x: Float[Tensor, "rois c p p"]) -> Float[Tensor, "rois w p p"]:
        """Behind the 3x3 convolutions."""
        for conv in self.convs:
            x = conv(x).relu_()
        return x

    def forward(self, x: Float[Tensor, "rois c p p"]) -> Float[Tensor, "rois k m m"]:
        """The logits of all maps."""
        out: Tensor = self.mask_logits(self.deconv(self.hidden(x)).relu_())
        return out.float()

    def chosen(
        self, x: Float[Tensor, "rois c p p"], maps: Int64[Tensor, " rois"]
    ) -> Float[Tensor, "rois m m"]:
        """``forward``, but of each RoI the one map that ``maps`` names, 0..K-1.

        The last two layers are matrix products, much faster than as convolutions: the
        windows of a 2x2 deconvolution with stride 2 do not overlap, so each cell
        becomes 2x2 finer ones by itself; and a 1x1 convolution sees one cell at a time.
        """
        x = self.hidden(x)
        deconv_bias = cast(Tensor, self.deconv.bias)
        logits_bias = cast(Tensor, self.mask_logits.bias)
        rois, channels, side, _ = x.shape
        cells = x.permute(0, 2, 3, 1).reshape(-1, channels)
        to_four = self.deconv.weight.permute(0, 2, 3, 1).flatten(1)
        fours = (cells @ to_four).add_(deconv_bias.repeat(4)).relu_()
        own = self.mask_logits.weight[maps].flatten(1)
        logits = fours.view(rois, side**2 * 4, own.shape[1]) @ own[:, :, None]
        own_maps = logits.float().view(rois, side, side, 2, 2).transpose(2, 3)
        biases = logits_bias[maps].view(-1, 1, 1)
        return own_maps.reshape(rois, 2 * side, 2 * side) + biases


class MLP(nn.Module):
    """Fully connected layers, the last one to every pixel of every map."""

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        self.size = config.mask_size
        self.fcs = nn.ModuleList()
        length = channels * config.mask_pool**2
        for _ in range(config.mask_head_fcs):
            self.fcs.append(relu_linear(length, config.mask_head_fc_width))
            length = config.mask_head_fc_width
        pixels = map_count(config) * self.size**2
        self.mask_logits = predictor(nn.Linear(length, pixels), 0.001)

    def forward(self, x: Float[Tensor, "rois c p p"]) -> Float[Tensor, "rois k m m"]:
        """The logits of all maps."""
        x = x.flatten(1)
        for fc in self.fcs:
            x = fc(x).relu_()
        logits: Tensor = self.mask_logits(x)
        return logits.view(len(x), -1, self.size, self.size).float()

    def chosen(
        self, x: Float[Tensor, "rois c p p"], maps: Int64[Tensor, " rois"]
    ) -> Float[Tensor, "rois m m"]:
        """``forward``, but of each RoI the one map that ``maps`` names, 0..K-1."""
        own: Tensor = self(x)[torch.arange(len(x), device=x.device), maps]
        return own


class MaskHead(nn.Module):
    """A network and its loss.

    With a sigmoid, of the K maps of an RoI only that of its class is ever read: the
    true class in training, the predicted one in inference (section 3). So no other is
    computed, and ``forward`` gives one map an RoI; with softmax it gives all.
    """

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        kind = MLP if config.mask_head == "mlp" else FullyConvolutional
        self.net = kind(config, channels)

    def forward(
        self, features: Float[Tensor, "rois c p p"], labels: Int64[Tensor, " rois"]
    ) -> Float[Tensor, "rois k m m"]:
        """The logits of the maps that count for RoIs of these ``labels``, 1..K."""
        if self.config.mask_loss == "softmax":
            out: Tensor = self.net(features)
            return out
        if self.config.mask_class_agnostic:
            maps = torch.zeros_like(labels)
        else:
            maps = (labels - 1).clamp(min=0)  # padding has the label 0
        return self.net.chosen(features, maps)[:, None]

    def probabilities(
        self, logits: Float[Tensor, "rois k m m"], labels: Int64[Tensor, " rois"]
    ) -> Float[Tensor, "rois m m"]:
        """Of each RoI its class's map, as probabilities."""
        if self.config.mask_loss == "sigmoid":
            return logits[:, 0].sigmoid()
        rows = torch.arange(len(labels), device=labels.device)
        return logits.softmax(dim=1)[rows, labels]

    def losses(
        self,
        logits: Float[Tensor, "positives k m m"],
        positives: list[SampledRoIs],
        targets: list[Target],
    ) -> dict[str, Term]:
        """Lmask: mean binary cross-entropy of the ground-truth class's map alone.

        Classes do not compete, for the other K - 1 maps get no gradient; with softmax
        they do (Table 2b). A target is the part of the object's mask that lies in the
        RoI (section 3.1).
        """
        goal = torch.cat(
            [
                self.goals(one, target, logits)
                for one, target in zip(positives, targets, strict=True)
            ]
        )
        labels = torch.cat([one.labels for one in positives])
        weights = torch.cat([one.valid for one in positives]).float()
        if self.config.mask_loss == "softmax":
            classes = (labels - 1).clamp(min=0)
            loss = ops.softmax_mask_loss(logits, classes, goal, weights)
        else:
            loss = ops.mask_loss(logits, torch.zeros_like(labels), goal, weights)
        count = weights.sum()
        return {"mask": Term(loss * count, count)}

    def goals(
        self, positives: SampledRoIs, target: Target, logits: Tensor
    ) -> Float[Tensor, "positives m m"]:
        """What the maps of one image should be."""
        size = logits.shape[-1]
        if len(target) == 0 or len(positives) == 0:
            return logits.new_zeros(len(positives), size, size)
        if target.masks is None:
            raise ValueError(
                f"image {target.image_id} has no masks, which mask_head"
                f" {self.config.mask_head} learns from; without masks set it to none"
            )
        return ops.mask_targets(
            target.masks,
            boxes_to_read(self.config, positives.boxes),
            positives.objects,
            size,
            rule=self.config.mask_target,
        )


def boxes_to_read(
    config: ModelConfig, boxes: Float[Tensor, "n 4"]
) -> Float[Tensor, "n 4"]:
    """Where masks are read: by the same half-pixel rule as the features.

    Without it, as in torchvision, half a pixel further, and over a pixel at least.
    """
    if config.roi_aligned:
        return boxes
    first = boxes[:, :2] + 0.5
    return torch.cat([first, first + (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)], dim=1)
