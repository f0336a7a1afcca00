"""Cases of the RoI layers: RoIAlign over a pyramid and on one level, RoIPool.

torchvision's side is its MultiScaleRoIAlign, ``roi_align`` and ``roi_pool``, each with
NCHW and with channels-last features; ours is given channels-last ones, and in the cases
that are named so NCHW ones, from which it has to make NCHW results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from maskrcnn_scratch import ops
from maskrcnn_scratch.benchmarks import inputs, peer
from maskrcnn_scratch.benchmarks.cases import Case, Pair, Sizes, Work

Maps = list[Tensor]
Layer = Callable[[Maps], Tensor]
Direction = Callable[[Layer, Maps], Work]

LAYOUTS = {"NCHW": torch.contiguous_format, "channels-last": torch.channels_last}
STRIDE = 16
"""Of the one level of the cases without a pyramid, as res4's."""


@dataclass(frozen=True)
class Scene:
    """One layer, ours and theirs, with what both are given."""

    maps: Maps
    ours: Layer
    theirs: Callable[[], Layer]
    covered: int
    """Bytes of the features under some RoI."""


def roi_cases(sizes: Sizes) -> list[Case]:
    """All rows of the RoI layers."""
    cases: list[Case] = []
    for size, there, back in ((7, 10.0, 15.0), (14, 8.0, 25.0)):
        name = f"RoIAlign, P2 to P5, {size}x{size}"
        pyramid = partial(row, sizes, size, partial(pyramid_align, sizes, size))
        cases += [
            replace(pyramid(name, "forward", there), gpu_target=3.0, floor_target=2.5),
            replace(pyramid(name, "backward", back), gpu_target=3.0),
            pyramid(f"{name}, NCHW", "forward", 3.0, "NCHW"),
            pyramid(f"{name}, NCHW", "backward", 3.0, "NCHW"),
        ]
    align = partial(row, sizes, 7, partial(level_align, sizes, 7))
    pool = partial(row, sizes, 7, partial(level_pool, sizes, 7))
    name = f"RoIAlign, stride {STRIDE}, adaptive, 7x7"
    cases += [align(name, "forward", 15.0), align(name, "backward", 25.0)]
    name = f"RoIPool, stride {STRIDE}, 7x7"
    return [
        *cases,
        pool(name, "forward with argmax", 4.0),
        pool(name, "forward", 10.0),
        pool(name, "backward", None),
    ]


def row(
    sizes: Sizes,
    size: int,
    setting: Callable[[torch.device], Scene],
    name: str,
    way: str,
    target: float | None,
    layout: str = "channels-last",
) -> Case:
    """One layer in one direction, ours in that memory format."""
    height, width = sizes.image
    return Case(
        name=f"{name}, {way}",
        shapes=f"{sizes.rois} RoIs, {sizes.channels} channels, image {height}x{width},"
        f" out {size}x{size}",
        prepare=partial(pair, setting, WAYS[way], layout),
        limits={"relative": 2e-5},
        cpu_target=target,
    )


def pair(
    setting: Callable[[torch.device], Scene],
    way: Direction,
    layout: str,
    device: torch.device,
) -> Pair:
    """Both sides of one direction of a layer."""
    scene = setting(device)

    def ours(features: Maps) -> Tensor:
        return scene.ours(features).contiguous(memory_format=LAYOUTS[layout])

    def theirs() -> dict[str, Work]:
        layer = scene.theirs()
        return {name: way(layer, in_layout(scene.maps, name)) for name in LAYOUTS}

    def difference(ours: Maps, theirs: Maps) -> dict[str, float]:
        """Both place float32 RoIs in float32; in float64 RoIPool's bins are others."""
        return {"relative": largest_difference(ours, theirs)}

    with torch.no_grad():
        written = scene.ours(scene.maps).nbytes
    gradients = sum(feature.nbytes for feature in scene.maps)
    return Pair(
        ours=way(ours, in_layout(scene.maps, layout)),
        theirs=theirs,
        difference=difference,
        least_bytes=written + (gradients if way is backward else scene.covered),
    )


def in_layout(maps: Maps, layout: str) -> Maps:
    """Leaves of the graph, in one memory format."""
    return [
        feature.clone(memory_format=LAYOUTS[layout]).requires_grad_()
        for feature in maps
    ]


def forward(layer: Layer, maps: Maps) -> Work:
    """As in evaluation: no gradient is wanted."""

    def work() -> Maps:
        with torch.no_grad():
            return [layer(maps)]

    return work


def forward_with_graph(layer: Layer, maps: Maps) -> Work:
    """As in training: what the backward pass needs is kept."""
    return lambda: [layer(maps)]


def backward(layer: Layer, maps: Maps) -> Work:
    """The gradient by every map, given one by the output in the output's format."""
    out = layer(maps)
    random = torch.randn(out.shape, generator=inputs.generator())
    grad = torch.empty_like(out).copy_(random)
    return lambda: torch.autograd.grad(out, maps, grad, retain_graph=True)


WAYS: dict[str, Direction] = {
    "forward": forward,
    "forward with argmax": forward_with_graph,
    "backward": backward,
}


def largest_difference(ours: Maps, theirs: Maps) -> float:
    """Over the largest magnitude of a map."""
    with torch.no_grad():
        return max(
            float((a - b).abs().max() / b.abs().max())
            for a, b in zip(ours, theirs, strict=True)
        )


def pyramid_align(sizes: Sizes, size: int, device: torch.device) -> Scene:
    """All levels at once, the level rule included; sampling ratio 2."""
    maps = [inputs.feature_map(sizes, stride, device) for stride in inputs.STRIDES]
    boxes = inputs.spread_boxes(sizes.rois, sizes.image).to(device)
    rois = torch.nn.functional.pad(boxes, (1, 0))
    scales = [1 / stride for stride in inputs.STRIDES]
    rule = ops.LevelRule()

    def ours(features: Maps) -> Tensor:
        return ops.multiscale_roi_align(
            features, rois, rule, size, scales, sampling_ratio=2, aligned=False
        )

    def theirs() -> Layer:
        pool = peer.torchvision().ops.MultiScaleRoIAlign(list("2345"), size, 2)
        return lambda features: pool(
            dict(zip("2345", features, strict=True)),
            [boxes.to(features[0].dtype)],
            [sizes.image],
        )

    levels = ops.fpn_levels(boxes) - 2
    covered = [
        inputs.covered_bytes(feature, boxes[levels == level], stride)
        for level, (feature, stride) in enumerate(
            zip(maps, inputs.STRIDES, strict=True)
        )
    ]
    return Scene(maps, ours, theirs, sum(covered))


def level_align(sizes: Sizes, size: int, device: torch.device) -> Scene:
    """One level, as many samples a bin as it has cells a side (sampling ratio 0)."""
    feature, rois, covered = one_level(sizes, device)
    rest = (size, 1 / STRIDE, 0)

    def theirs() -> Layer:
        layer = peer.torchvision().ops.roi_align
        return lambda maps: layer(maps[0], rois.to(maps[0].dtype), *rest)

    return Scene(
        [feature], lambda maps: ops.roi_align(maps[0], rois, *rest), theirs, covered
    )


def level_pool(sizes: Sizes, size: int, device: torch.device) -> Scene:
    """RoIPool on one level."""
    feature, rois, covered = one_level(sizes, device)
    rest = (size, 1 / STRIDE)

    def theirs() -> Layer:
        layer = peer.torchvision().ops.roi_pool
        return lambda maps: layer(maps[0], rois.to(maps[0].dtype), *rest)

    return Scene(
        [feature], lambda maps: ops.roi_pool(maps[0], rois, *rest), theirs, covered
    )


def one_level(sizes: Sizes, device: torch.device) -> tuple[Tensor, Tensor, int]:
    """(a map of stride 16, RoIs, bytes of it that they cover)."""
    feature = inputs.feature_map(sizes, STRIDE, device)
    boxes = inputs.spread_boxes(sizes.rois, sizes.image)
    covered = inputs.covered_bytes(feature, boxes, STRIDE)
    return feature, torch.nn.functional.pad(boxes, (1, 0)).to(device), covered
