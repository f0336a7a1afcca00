"""What the RoI layers' memory formats and types promise, on the compiled floor.

The layers' own laws run over both memory formats in float64, in their suites. Here:
the formats agree to the last bit, for any number of threads and in bfloat16; float32
lands where published layers land; and nothing is kept or computed that nobody needs.

Faults tried -> the tests that caught them:

- bins of an NCHW block written as those of the first; a block's scratch not cleared:
  formats and threads agree to the last bit
- whole numbers that turn float32 bins to float64: RoIPool divides bins in their type
- winners sought under no_grad: RoIPool looks for winners only where ...
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from maskrcnn_scratch import ops
from maskrcnn_scratch.cpu.layouts import BLOCK
from maskrcnn_scratch.cpu.numbers import HALF, narrow, widen
from maskrcnn_scratch.cpu.roi_align import roi_align as align_arrays
from maskrcnn_scratch.cpu.roi_pool import cells_of_bins, roi_pool

Layer = Callable[[Tensor, Tensor], Tensor]
LAYERS: dict[str, Layer] = {
    "align": lambda x, rois: ops.roi_align(x, rois, (2, 3), 0.5, 2, True),
    "align adaptive": lambda x, rois: ops.roi_align(x, rois, 3, 0.5, 0),
    "align max": lambda x, rois: ops.roi_align(x, rois, 2, 0.5, 2, True, "max"),
    "warp": lambda x, rois: ops.roi_warp(x, rois, (3, 2), 0.5),
    "pool": lambda x, rois: ops.roi_pool(x, rois, (2, 3), 0.5),
    "pyramid": lambda x, rois: ops.multiscale_roi_align(
        [x, x[..., 1:, ::2]], rois, torch.arange(len(rois)) % 2, 2, [0.5, 0.25]
    ),
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
CHANNELS = 2 * BLOCK + 3
"""Two whole blocks of an NCHW map, and a part of one."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def features() -> Tensor:
    return torch.randn(2, CHANNELS, 9, 11, generator=seeded())


@pytest.fixture
def rois() -> Tensor:
    """Some large, some small, some inside out, some beyond the border; two images."""
    corners = torch.rand(40, 4, generator=seeded(1)) * 26 - 2
    corners[::2, 2:] = corners[::2, :2] + corners[::2, 2:].abs() / 4
    images = torch.randint(0, 2, (40, 1), generator=seeded(2))
    return torch.cat([images, corners], dim=1)


@pytest.fixture
def restore_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def through(
    layer: Layer, features: Tensor, rois: Tensor, memory_format: torch.memory_format
) -> tuple[Tensor, Tensor]:
    """The layer's output, and the gradient by the features of a sum with signs."""
    leaf = features.clone(memory_format=memory_format).requires_grad_()
    out = layer(leaf, rois)
    weights = torch.randn(out.shape, generator=seeded(3)).to(out.dtype)
    (gradient,) = torch.autograd.grad((out * weights).sum(), leaf)
    return out, gradient


@pytest.mark.usefixtures("restore_threads")
@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_formats_and_threads_agree_to_the_last_bit(
    layer: Layer, dtype: torch.dtype, features: Tensor, rois: Tensor
) -> None:
    features = features.to(dtype)
    results = []
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        for given in (torch.contiguous_format, torch.channels_last):
            out, gradient = through(layer, features, rois, given)
            assert out.is_contiguous(memory_format=given)
            assert gradient.is_contiguous(memory_format=given)
            results.append((out, gradient))
    for out, gradient in results[1:]:
        assert torch.equal(out, results[0][0])
        assert torch.equal(gradient, results[0][1])


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - {"pyramid"}))
def test_bfloat16_is_float32_rounded_once(
    name: str, features: Tensor, rois: Tensor
) -> None:
    """Not at each sum: the gradient of many RoIs would lose most of its digits."""
    layer, half = LAYERS[name], features.bfloat16()
    for given in (torch.contiguous_format, torch.channels_last):
        out, gradient = through(layer, half, rois, given)
        leaf = half.float().clone(memory_format=given).requires_grad_()
        wanted = layer(leaf, rois)
        assert torch.equal(out, wanted.bfloat16())
        weights = torch.randn(out.shape, generator=seeded(3)).bfloat16()
        (wanted_gradient,) = torch.autograd.grad(wanted, leaf, weights.float())
        assert torch.equal(gradient, wanted_gradient.bfloat16())


NUMBERS = torch.tensor(
    [
        *(0.0, -0.0, 1.0, 1.00390625, 1.01171875, -1.01171875, 0.1, math.pi, 255.5),
        *(3.3895314e38, 3.4e38, 1e-40, -1e-45, math.inf, -math.inf, math.nan),
    ]
)


def test_a_bfloat16_s_bits_are_rounded_as_torch_rounds() -> None:
    """1 + 1/256 and 1 + 3/256 lie half-way: to the even neighbour, down and up."""
    expected = NUMBERS.bfloat16()
    one_cell = np.array([[0, 0, 0, 1, 1.0]], np.float32)
    maps = expected.view(torch.int16).numpy().view(HALF).reshape(1, 1, 1, -1)
    unchanged = align_arrays(
        [maps], one_cell, np.zeros(1, np.int64), (1, 1), [1.0], 1, True, "mean"
    )
    assert_same(unchanged, expected)  # the compiled functions, through a layer
    target = np.empty(0, HALF)
    bits = np.array([narrow(number, target) for number in NUMBERS.numpy()], HALF)
    assert_same(bits, expected)
    wide = torch.tensor([float(widen(number)) for number in bits])
    torch.testing.assert_close(wide, expected.float(), equal_nan=True, rtol=0, atol=0)


def assert_same(bits: Any, expected: Tensor) -> None:
    """The numbers that bfloat16 bits stand for, NaN for NaN."""
    found = torch.from_numpy(bits.ravel().view(np.int16)).view(torch.bfloat16)
    torch.testing.assert_close(found, expected, equal_nan=True, rtol=0, atol=0)


def test_a_mean_of_bfloat16_is_rounded_to_even() -> None:
    """Half-way between two cells, of neighbouring bfloat16: no bfloat16 is there."""
    maps = torch.tensor([[1.0, 1.0078125], [1.0078125, 1.015625]])
    maps = maps.reshape(1, 2, 1, 2).bfloat16()
    out = ops.roi_align(maps, torch.tensor([[0.0, 0, 0, 2, 1]]), 1, 1.0, 1, True)
    assert out.dtype == torch.bfloat16
    assert out.flatten().tolist() == [1.0, 1.015625]


# Where RoIs land in float32


def test_roi_pool_divides_bins_in_the_rois_own_type() -> None:
    """7 * (29 / 7) is 29 in float32 and above 29 in float64, which makes a cell more.

    Published layers compute in the features' type, so float32 it is for float32.
    """
    for dtype, last in ((np.float32, 29), (np.float64, 30)):
        start, end = np.zeros(1, dtype), np.full(1, 28, dtype)
        cells = cells_of_bins(start, end, 7, 40, "round")
        assert cells[0, -1].tolist() == [24, last], dtype
        end = np.full(1, 3, dtype)  # 3 * (4 / 6) is 2 in both, but not if types mix
        assert cells_of_bins(start, end, 6, 40, "round")[0, 2].tolist() == [1, 2], dtype


def test_float32_points_are_computed_in_float32() -> None:
    """x1 * scale - 1/2 + (k + 1/2) * size, rounded at every step, picks these cells."""
    ramp = torch.arange(4096.0).reshape(1, 1, 1, -1)
    x1, x2 = np.float32(1234.567), np.float32(2345.678)
    rois = torch.tensor([[0, x1, 0, x2, 1]])
    out = ops.roi_align(ramp, rois, (1, 3), 1.0, 1, True)
    half = np.float32(0.5)
    start = x1 - half
    size = ((x2 - half) - start) / np.float32(3)
    points = [start + np.float32(k) * size + half * size for k in range(3)]
    below = [np.float32(int(point)) for point in points]
    share = [point - low for point, low in zip(points, below, strict=True)]
    one = np.float32(1)
    wanted = [
        (one - part) * low + part * (low + one)
        for part, low in zip(share, below, strict=True)
    ]
    assert out.flatten().tolist() == [float(value) for value in wanted]


@pytest.mark.parametrize("given", [torch.contiguous_format, torch.channels_last])
def test_float32_layers_equal_torchvision_s(given: torch.memory_format) -> None:
    theirs = pytest.importorskip("torchvision.ops")
    features = torch.randn(2, 40, 50, 68, generator=seeded())
    corners = torch.rand(60, 2, generator=seeded(1)) * torch.tensor([1000.0, 700])
    sides = 10 ** (torch.rand(60, 2, generator=seeded(2)) * 2 + 0.8)
    images = torch.randint(0, 2, (60, 1), generator=seeded(3))
    rois = torch.cat([images, corners, corners + sides], dim=1)
    for name, settings in (
        *(("roi_align", (7, 1 / 16, ratio, True)) for ratio in (0, 2)),
        *(("roi_align", ((3, 14), 1 / 16, ratio, False)) for ratio in (0, 3)),
        ("roi_pool", (7, 1 / 16)),
    ):

        def ours(
            x: Tensor, rois: Tensor, name: str = name, rest: Any = settings
        ) -> Any:
            return getattr(ops, name)(x, rois, *rest)

        def published(
            x: Tensor, rois: Tensor, name: str = name, rest: Any = settings
        ) -> Any:
            return getattr(theirs, name)(x, rois, *rest)

        found = through(ours, features, rois, given)
        wanted = through(published, features, rois, torch.contiguous_format)
        for a, b in zip(found, wanted, strict=True):
            assert (a - b).abs().max() <= 2e-6 * b.abs().max(), (name, settings)


# Nothing that nobody needs


class Called(TorchDispatchMode):
    """The names of this package's operators as they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func.namespace == "maskrcnn_scratch":
            self.names.append(func.name().split("::")[1])
        return func(*args, **(kwargs or {}))


def test_roi_pool_looks_for_winners_only_where_a_gradient_may_come(
    features: Tensor, rois: Tensor
) -> None:
    leaf = features.clone().requires_grad_()
    with Called() as called:
        with torch.no_grad():
            plain = LAYERS["pool"](leaf, rois)
        frozen = LAYERS["pool"](features, rois)
        trained = LAYERS["pool"](leaf, rois)
    assert called.names == ["roi_pool_maxima", "roi_pool_maxima", "roi_pool"]
    assert torch.equal(plain, trained)
    assert torch.equal(frozen, trained)


def test_roi_pool_without_winners_writes_none(features: Tensor, rois: Tensor) -> None:
    maps, places = features.numpy(), rois.numpy()
    for rounding in ("round", "floor"):
        rest = (maps, places, (2, 3), 0.5, rounding, 2, True)
        out, argmax = roi_pool(*rest)
        alone, nothing = roi_pool(*rest, with_argmax=False)
        assert argmax is not None
        assert nothing is None
        np.testing.assert_array_equal(alone, out)


@pytest.mark.parametrize("name", ["align", "warp", "pool", "pyramid"])
def test_no_map_is_kept_for_the_backward_pass(
    name: str, features: Tensor, rois: Tensor
) -> None:
    """Means need the RoIs alone, RoIPool its winners; only "max" reads maps again."""
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    leaf = features.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        LAYERS[name](leaf, rois)
    assert kept
    assert all(tensor.shape[-2:] != features.shape[-2:] for tensor in kept)
