"""What a training costs: counted operations and memory, against counts by hand.

Faults tried, and the test that caught each:
- the bias's gradient counted as a third -> test_the_cost_of_a_model
- all channels for those of a group -> test_convolutions_by_hand
- cells of the output for those of the input -> test_deconvolutions_by_hand
- weights counted as kept, pieces counted twice ->
  test_what_is_kept_counts_each_piece_once
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import tiny_config
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from maskrcnn_scratch.cli import main
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.training.cost import (
    Cost,
    Kept,
    convolution_backward,
    count_cost,
)

counts = st.integers(1, 4)


def operations(layer: nn.Module, size: int, by_image: bool) -> tuple[int, int]:
    """(forward, backward) of a layer on one image, as the cost counts them."""
    backward = {torch.ops.aten.convolution_backward: convolution_backward}
    weight = next(layer.parameters())
    channels = (
        weight.shape[0]
        if isinstance(layer, nn.ConvTranspose2d)
        else weight.shape[1] * layer.groups  # type: ignore[operator]
    )
    x = torch.zeros(1, channels, size, size, requires_grad=by_image)
    with FlopCounterMode(display=False, custom_mapping=backward) as counter:
        out = layer(x)
        forward = counter.get_total_flops()
        out.sum().backward()
    return forward, counter.get_total_flops() - forward


@given(counts, counts, counts, st.integers(1, 3), st.booleans())
def test_convolutions_by_hand(
    groups: int, channels: int, out: int, stride: int, by_image: bool
) -> None:
    """A product and a sum a tap, output and input channel of its group; the gradient by
    the weights takes as much, and that by the image, where it is wanted.
    """
    layer = nn.Conv2d(
        groups * channels, groups * out, 3, stride, groups=groups, bias=False
    )
    forward, backward = operations(layer, 7, by_image)
    cells = len(range(0, 5, stride)) ** 2
    assert forward == 2 * cells * 9 * channels * out * groups
    assert backward == forward * (1 + by_image)


@given(counts, counts)
def test_deconvolutions_by_hand(channels: int, out: int) -> None:
    """Each cell of the input becomes 2 x 2."""
    layer = nn.ConvTranspose2d(channels, out, 2, 2, bias=False)
    forward, backward = operations(layer, 5, True)
    assert forward == 2 * 25 * 4 * channels * out
    assert backward == 2 * forward


def test_what_is_kept_counts_each_piece_once() -> None:
    """The input of each product; a view is no second piece, weights are none at all."""
    layer = nn.Linear(8, 8)
    x = torch.zeros(4, 8)
    kept = Kept(layer)
    with torch.autograd.graph.saved_tensors_hooks(kept.add, lambda saved: saved):
        layer(layer(x) + layer(x.view(4, 8)))
    assert kept.bytes == 2 * 4 * 8 * 4  # x, and the sum that goes in at last


def test_the_cost_of_a_model() -> None:
    """On the meta device as with real numbers; frozen stages save their backward."""
    config = tiny_config().model
    found = count_cost(config, (64, 96))
    model = MaskRCNN(config).train()
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.forward < found.backward < 2 * found.forward
    frozen = count_cost(replace(config, frozen_stages=5), (64, 96))
    assert frozen.forward == found.forward
    assert frozen.backward < found.backward
    assert frozen.saved < found.saved
    four = count_cost(config, (128, 192))
    assert 1 < four.forward / found.forward < 4  # RoIs are as many
    assert 1 < four.saved / found.saved < 4


def test_hours_and_images() -> None:
    """10^12 operations an image, and 20 images, at 2 * 10^12 a second: 10 seconds."""
    found = Cost(parameters=1, forward=4 * 10**11, backward=6 * 10**11, saved=1)
    config = tiny_config(iterations=5, batch_size=4).train
    assert found.hours(config, tera=2) * 3600 == pytest.approx(10)
    assert found.hours(config, tera=2, gpus=8) * 3600 == pytest.approx(10 / 8)
    assert found.images_a_second(tera=2) == pytest.approx(2)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "shapes-tiny", "--tflops", "2", "--tflops", "7"]) == 0
    out = capsys.readouterr().out
    assert "1500 iterations of 4 images" in out
    assert out.count("images/s") == 1
    rows = [line.split()[1::2] for line in out.splitlines() if line.startswith("│ ")]
    speeds = [(row[0], row[1]) for row in rows if row[0].isdigit()]
    assert speeds == [("2", "1"), ("2", "8"), ("7", "1"), ("7", "8")]
