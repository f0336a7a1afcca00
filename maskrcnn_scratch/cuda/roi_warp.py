"""RoIWarp: corners rounded to whole cells as RoIPool's, then read as RoIAlign reads.

Multi-task Network Cascades (Dai et al., 2016), section 4; every rule is spelled out in
``reference.roi_warp``. The kernels are RoIAlign's, told to place RoIs in another way.
Features are (images, height, width, channels), RoIs (n, 5) = (image index, x1, y1, x2,
y2) in image pixels.
"""

from __future__ import annotations

from torch import Tensor

from maskrcnn_scratch.cuda.roi_bins import places, read_bins, spread_bins
from maskrcnn_scratch.cuda.taps import WARPED


def roi_warp(
    features: Tensor,
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
    mode: str = "mean",
) -> Tensor:
    """Each RoI as a grid of bins: (n, out_h, out_w, channels), of their type."""
    where = places(rois, [spatial_scale], None, (), sampling_ratio, WARPED)
    return read_bins([features], where, output_size, mode)


def roi_warp_backward(
    grad: Tensor,
    features: Tensor,
    rois: Tensor,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
    mode: str = "mean",
    deterministic: bool = False,
) -> Tensor:
    """The gradient by the features, of their type, given ``grad`` by the output."""
    where = places(rois, [spatial_scale], None, (), sampling_ratio, WARPED)
    return spread_bins(grad, [features], where, mode, deterministic)[0]
