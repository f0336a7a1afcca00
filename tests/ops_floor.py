"""The ops floor seen through the reference's signatures: NumPy in, NumPy out.

Everything runs in float64, so the property suites apply to it as they stand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrcnn_scratch import ops
from maskrcnn_scratch.ops.formats import is_planar

Function = Callable[..., Any]


def tensors(function: Function) -> Function:
    """``function`` with arrays for its tensors, in its arguments and its result."""

    def with_arrays(*args: Any, **kwargs: Any) -> Any:
        return to_array(
            function(*map(to_tensor, args), **{k: to_tensor(kwargs[k]) for k in kwargs})
        )

    return with_arrays


def to_tensor(value: Any) -> Any:
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


def to_array(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(to_array, value))
    return value.detach().numpy() if isinstance(value, Tensor) else value


def channels_last(function: Function) -> Function:
    """``function`` with its maps and bins in the other memory format."""

    def with_maps(*args: Any, **kwargs: Any) -> Any:
        return function(*map(to_channels_last, args), **kwargs)

    return with_maps


def to_channels_last(value: Any) -> Any:
    """Maps (n, c, h, w), whose channels are innermost even where there is only one."""
    if not (isinstance(value, np.ndarray) and value.ndim == 4):
        return value
    last = np.ascontiguousarray(value.transpose(0, 2, 3, 1))
    return torch.from_numpy(last).permute(0, 3, 1, 2)


def with_gradient(loss: Function) -> Function:
    """A loss as (loss, gradient by its first argument)."""

    def loss_and_gradient(x: Any, *args: Any) -> Any:
        x = to_tensor(x).requires_grad_()
        value = loss(x, *map(to_tensor, args))
        (gradient,) = torch.autograd.grad(value, x)
        return float(value.detach()), to_array(gradient)

    return loss_and_gradient


def backward(layer: Function, grad: Any, features: Any, *args: Any) -> Any:
    """The gradient of a RoI layer by its features."""
    leaf = to_tensor(features).requires_grad_()
    out = layer(leaf, *map(to_tensor, args))
    return to_array(torch.autograd.grad(out, leaf, to_tensor(grad))[0])


def roi_align(
    features: Any,
    rois: Any,
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
    mode: str = "mean",
) -> Any:
    return tensors(ops.roi_align)(
        features, rois, output_size, spatial_scale, sampling_ratio, aligned, mode
    )


def roi_align_backward(
    grad: Any,
    features: Any,
    rois: Any,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
    mode: str = "mean",
) -> Any:
    settings = (grad.shape[2:], spatial_scale, sampling_ratio, aligned, mode)
    return backward(ops.roi_align, grad, features, rois, *settings)


def roi_warp_backward(grad: Any, features: Any, rois: Any, *settings: Any) -> Any:
    return backward(ops.roi_warp, grad, features, rois, *settings)


def roi_pool(
    features: Any,
    rois: Any,
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    rounding: str = "round",
) -> Any:
    """With the argmax, which the public operator keeps to itself."""
    ops.roi_pool(
        *map(to_tensor, (features, rois)), output_size, spatial_scale, rounding
    )
    operator = torch.ops.maskrcnn_scratch.roi_pool
    return tensors(operator)(features, rois, *output_size, spatial_scale, rounding)


def roi_pool_backward(grad: Any, argmax: Any, rois: Any, shape: Any) -> Any:
    operator = torch.ops.maskrcnn_scratch.roi_pool_backward
    grad = to_tensor(grad)
    return tensors(operator)(grad, argmax, rois, shape, is_planar(grad))


def pyramid_anchors(
    sizes: Any, ratios: Any, strides: Any, grid_sizes: Any, rounded: bool = False
) -> Any:
    cells = [ops.cell_anchors([size], ratios, rounded).double() for size in sizes]
    levels = ops.pyramid_anchors(torch.stack(cells), strides, grid_sizes)
    return [to_array(level) for level in levels]


def cell_anchors(sizes: Any, ratios: Any, rounded: bool = False) -> Any:
    return to_array(ops.cell_anchors(sizes, ratios, rounded).double())


def fpn_level(box: Any, *settings: Any, **named: Any) -> int:
    return int(tensors(ops.fpn_levels)(box[None], *settings, **named)[0])


def objectness_loss(logits: Any, labels: Any) -> Any:
    loss = with_gradient(ops.sigmoid_cross_entropy)
    return loss(logits, labels.astype(np.float64))


def sample(matched: Any, count: int, positive_fraction: float, rng: Any) -> Any:
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    matched = torch.as_tensor(matched)
    index, positive, valid = ops.sample(matched, count, positive_fraction, generator)
    # The law of the operator's order: positives, then negatives, then padding.
    rank = positive.int() + valid.int()
    assert (rank[1:] <= rank[:-1]).all()
    chosen = index[positive], index[valid & ~positive]
    return tuple(rows.sort().values.numpy() for rows in chosen)


def paste_mask(
    probability: Any,
    box: Any,
    size: tuple[int, int],
    threshold: float = 0.5,
    rule: str = "centres",
) -> Any:
    paste = tensors(ops.paste_masks)
    return paste(probability[None], box[None], size, threshold, rule)[0]


def keypoint_readout_resized(logits: Any, boxes: Any) -> Any:
    return tensors(ops.keypoint_readout)(logits, boxes, "resized")


COMPONENTS: dict[str, dict[str, Function]] = {
    "roi_align": {"roi_align": roi_align, "roi_align_backward": roi_align_backward},
    "roi_pool": {"roi_pool": roi_pool, "roi_pool_backward": roi_pool_backward},
    "roi_warp": {
        "roi_warp": tensors(ops.roi_warp),
        "roi_warp_backward": roi_warp_backward,
    },
    "boxes": {
        name: tensors(getattr(ops, name))
        for name in (
            *("box_area", "box_iou", "clip_boxes"),
            *("encode_boxes", "decode_boxes"),
        )
    },
    "anchors": {
        "cell_anchors": cell_anchors,
        "grid_anchors": tensors(ops.grid_anchors),
        "pyramid_anchors": pyramid_anchors,
    },
    "nms": {"nms": tensors(ops.nms), "segmented_nms": tensors(ops.batched_nms)},
    "fpn_levels": {"fpn_level": fpn_level, "fpn_levels": tensors(ops.fpn_levels)},
    "matching": {
        "match": tensors(ops.match_iou),
        "match_boxes": tensors(ops.match),
        "sample": sample,
    },
    "losses": {
        "softmax_cross_entropy": with_gradient(ops.softmax_cross_entropy),
        "smooth_l1": with_gradient(ops.smooth_l1_loss),
        "objectness_loss": objectness_loss,
        "mask_loss": with_gradient(ops.mask_loss),
        "softmax_mask_loss": with_gradient(ops.softmax_mask_loss),
    },
    "keypoints": {
        "keypoint_targets": tensors(ops.keypoint_targets),
        "keypoint_loss": with_gradient(ops.keypoint_loss),
        "keypoint_readout": tensors(ops.keypoint_readout),
        "keypoint_readout_resized": keypoint_readout_resized,
    },
    "masks": {
        "mask_targets": tensors(ops.mask_targets),
        "paste_mask": paste_mask,
        "paste_mask_legacy": partial(paste_mask, rule="integer"),
    },
}
for layer in ("roi_align", "roi_pool", "roi_warp"):
    COMPONENTS[f"{layer}_channels_last"] = {
        name: channels_last(function) for name, function in COMPONENTS[layer].items()
    }
