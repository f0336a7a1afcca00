"""VGG-16 (Simonyan and Zisserman 2015, configuration D): image -> C2, C3, C4, C5.

The backbone of Fast and Faster R-CNN, which read conv5_3 (C4, stride 16). Module names
are torchvision's ``vgg16``, so its ImageNet weights load as they are.
"""

from __future__ import annotations

from itertools import accumulate, pairwise

from jaxtyping import Float
from torch import Tensor, nn

from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.init import relu_conv

STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""conv1 to conv5: width in units of ``stem_width``, and number of 3x3 convolutions."""


class VGG(nn.Module):
    """The convolutional part, without batch norm.

    C2 is conv3_3, C3 conv4_3, C4 conv5_3 and C5 the last pooling; conv1 and conv2 are
    finer than any map that heads read. Pooling drops a last odd row or column, so pad
    images to a multiple of 32. ``frozen_stages`` n are conv1 to conv<n>: Fast and
    Faster R-CNN keep conv1 and conv2.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.features = nn.Sequential()
        channels = 3
        for times, convs in STAGES:
            width = times * config.stem_width
            for _ in range(convs):
                self.features.append(relu_conv(channels, width, 3))
                self.features.append(nn.ReLU(inplace=True))
                channels = width
            self.features.append(nn.MaxPool2d(2))
        self.out_channels = [times * config.stem_width for times in (4, 8, 8, 8)]
        self.frozen = self.stages()[: config.frozen_stages]
        for part in self.frozen:
            part.requires_grad_(False)

    def stages(self) -> list[nn.Module]:
        """conv1; the others, each after the pooling of the one before; the last."""
        pools = accumulate(2 * convs + 1 for _, convs in STAGES)
        bounds = [0, *(pool - 1 for pool in pools), len(self.features)]
        return [self.features[start:stop] for start, stop in pairwise(bounds)]

    def forward(
        self, images: Float[Tensor, "n 3 h w"]
    ) -> list[Float[Tensor, "n c y x"]]:
        conv1, conv2, *stages = self.stages()
        x = conv2(conv1(images))
        maps = []
        for stage in stages:
            x = stage(x)
            maps.append(x)
        return maps
