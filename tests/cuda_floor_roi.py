"""The RoI layers of the CUDA floor, with reference/'s signatures.

Features go in as planes, seen channels last without a copy, so every law also holds for
strided maps. RoIs stay float64: kernels place them in float64 either way. Blocks have 4
threads instead of 32, for the simulator makes a thread of Python of each; kernels take
any number. ``cuda_examples_roi`` launches whole warps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from cuda_floor import DEVICE, to_array, to_tensor
from torch import Tensor

from maskrcnn_scratch.cuda import bilinear as bilinears
from maskrcnn_scratch.cuda import launch, roi_align, roi_bins, roi_pool, roi_warp
from maskrcnn_scratch.cuda.fpn_levels import fpn_levels

Function = Callable[..., Any]


@contextmanager
def small_launches() -> Iterator[None]:
    """Blocks of 4 threads, few of them; and threads that do not wait 5 ms in line."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with (
            mock.patch.object(launch, "WARP", 4),
            mock.patch.object(roi_bins, "BLOCKS", 4),
        ):
            yield
    finally:
        sys.setswitchinterval(interval)


def channels_last(planes: Any) -> Tensor:
    """(n, C, H, W) as a float32 view (n, H, W, C)."""
    tensor: Tensor = to_tensor(planes)
    return tensor.permute(0, 2, 3, 1)


def planes(tensor: Tensor) -> Any:
    """(n, H, W, C) as an array (n, C, H, W)."""
    return to_array(tensor.permute(0, 3, 1, 2))


def places(rois: Any) -> Tensor:
    return torch.from_numpy(rois.copy()).to(DEVICE)


def reading(layer: Function) -> Function:
    """A layer's forward."""

    def with_arrays(features: Any, rois: Any, *settings: Any) -> Any:
        with small_launches():
            return planes(layer(channels_last(features), places(rois), *settings))

    return with_arrays


def sending(layer: Function, **named: Any) -> Function:
    """A layer's backward."""

    def with_arrays(grad: Any, features: Any, rois: Any, *settings: Any) -> Any:
        maps = channels_last(features)
        with small_launches():
            out = layer(channels_last(grad), maps, places(rois), *settings, **named)
        return planes(out)

    return with_arrays


def without_size(layer: Function) -> Function:
    """RoIWarp's backward, whose reference takes the size that ``grad`` has anyway."""

    def with_arrays(
        grad: Any, features: Any, rois: Any, output_size: Any, *settings: Any
    ) -> Any:
        assert grad.shape[2:] == output_size
        return layer(grad, features, rois, *settings)

    return with_arrays


def pooling(layer: Function) -> Function:
    """RoIPool's forward, with the argmax."""

    def with_arrays(features: Any, rois: Any, *settings: Any) -> Any:
        with small_launches():
            out, argmax = layer(channels_last(features), places(rois), *settings)
        return planes(out), planes(argmax)

    return with_arrays


def pool_backward(deterministic: bool) -> Function:
    def with_arrays(grad: Any, argmax: Any, rois: Any, shape: Any) -> Any:
        images, channels, height, width = shape
        winners = to_tensor(argmax).permute(0, 2, 3, 1)
        last = images, height, width, channels
        with small_launches():
            return planes(
                roi_pool.roi_pool_backward(
                    channels_last(grad), winners, places(rois), last, deterministic
                )
            )

    return with_arrays


def read(kernel: Function) -> Function:
    """One value of a map of one channel."""

    def bilinear(feature_map: Any, y: float, x: float) -> float:
        points = torch.tensor([[y, x]], dtype=torch.float64, device=DEVICE)
        with small_launches():
            return float(kernel(to_tensor(feature_map)[:, :, None], points)[0, 0])

    return bilinear


def bilinear_grad(feature_map: Any, y: float, x: float) -> tuple[Any, float, float]:
    """Both ways to the gradient by the map: they must agree."""
    points = torch.tensor([[y, x]], dtype=torch.float64, device=DEVICE)
    arguments = torch.ones(1, 1, device=DEVICE), to_tensor(feature_map)[:, :, None]
    with small_launches():
        d_map, d_point = bilinears.bilinear_grad(*arguments, points)
        gathered, _ = bilinears.bilinear_grad(*arguments, points, deterministic=True)
    torch.testing.assert_close(gathered, d_map)
    return to_array(d_map[:, :, 0]), float(d_point[0, 0]), float(d_point[0, 1])


def levels_of(boxes: Any, *settings: Any, **named: Any) -> Any:
    with small_launches():
        return to_array(fpn_levels(places(boxes), *settings, **named))


def level_of(box: Any, *settings: Any, **named: Any) -> int:
    return int(levels_of(np.asarray(box, np.float64)[None], *settings, **named)[0])


COMPONENTS: dict[str, dict[str, Function]] = {
    "bilinear": {"bilinear": read(bilinears.bilinear), "bilinear_grad": bilinear_grad},
    "bilinear_naive": {
        "bilinear": read(bilinears.bilinear_naive),
        "bilinear_grad": bilinear_grad,
    },
    "fpn_levels": {"fpn_level": level_of, "fpn_levels": levels_of},
    "roi_pool": {
        "roi_pool": pooling(roi_pool.roi_pool),
        "roi_pool_backward": pool_backward(False),
    },
    "roi_pool_naive": {
        "roi_pool": pooling(roi_pool.roi_pool_naive),
        "roi_pool_backward": pool_backward(True),
    },
    "roi_warp": {
        "roi_warp": reading(roi_warp.roi_warp),
        "roi_warp_backward": without_size(sending(roi_warp.roi_warp_backward)),
    },
    "roi_align": {
        "roi_align": reading(roi_align.roi_align),
        "roi_align_backward": sending(roi_align.roi_align_backward),
    },
    "roi_align_naive": {
        "roi_align": reading(roi_align.roi_align_naive),
        "roi_align_backward": sending(roi_align.roi_align_backward_naive),
    },
}
