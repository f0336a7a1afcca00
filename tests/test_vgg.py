"""VGG-16 as a backbone.

Deliberate faults, and the test that caught each:

- pooling before C2 is read, or a stage too few -> test_maps_are_the_published_net_s
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.vgg import VGG


def config(width: int = 4, frozen: int = 0) -> ModelConfig:
    return ModelConfig(backbone="vgg", depth=16, stem_width=width, frozen_stages=frozen)


def test_shapes_and_counts() -> None:
    """14,714,688 parameters, as published less the classifier; strides 4 to 32."""
    backbone = VGG(config(width=64))
    assert sum(p.numel() for p in backbone.parameters()) == 14_714_688
    maps = VGG(config())(torch.zeros(2, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [
        (2, 16, 16, 24),
        (2, 32, 8, 12),
        (2, 32, 4, 6),
        (2, 32, 2, 3),
    ]
    assert backbone.out_channels == [256, 512, 512, 512]
    assert VGG(config()).out_channels == [m.shape[1] for m in maps]


@pytest.mark.parametrize("frozen", range(6))
def test_frozen_stages_are_conv1_to_conv_n(frozen: int) -> None:
    """Each stage's convolutions, and no others."""
    backbone = VGG(config(frozen=frozen))
    trained = [
        layer.weight.requires_grad
        for layer in backbone.features
        if isinstance(layer, nn.Conv2d)
    ]
    stages = (1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5)
    assert trained == [stage > frozen for stage in stages]


def test_gradients_reach_every_stage_that_is_trained() -> None:
    """In-place ReLUs must not overwrite what the gradient needs."""
    backbone = VGG(config(frozen=2))
    maps = backbone(torch.rand(1, 3, 32, 32))
    loss = torch.stack([m.sum() for m in maps]).sum()
    trained = [p for p in backbone.parameters() if p.requires_grad]
    assert len(trained) == 2 * 9
    for gradient in torch.autograd.grad(loss, trained):  # raises for one not reached
        assert gradient.isfinite().all()


def test_maps_are_the_published_net_s() -> None:
    """torchvision's vgg16 with the same weights: conv3_3, conv4_3, conv5_3, pool5."""
    models = pytest.importorskip("torchvision").models
    peer, ours = models.vgg16(weights=None), VGG(config(width=64))
    missing = ours.load_state_dict(peer.state_dict(), strict=False)
    assert not missing.missing_keys
    assert all(key.startswith("classifier.") for key in missing.unexpected_keys)
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        maps = ours(images)
        for found, layers in zip(maps, (16, 23, 30, 31), strict=True):
            torch.testing.assert_close(found, peer.features[:layers](images))
