"""Cases of boxes and masks: NMS, the matcher, mask targets, masks pasted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from maskrcnn_scratch import ops
from maskrcnn_scratch.benchmarks import inputs, peer
from maskrcnn_scratch.benchmarks.cases import Case, Pair, Sizes, Work

ANCHOR_SIZES = (32, 64, 128, 256, 512)
IOU = 0.7
SIDE = 28
"""Cells a side of a mask."""


def box_cases(sizes: Sizes) -> list[Case]:
    """All rows but those of the RoI layers."""
    height, width = sizes.image
    image = f"image {height}x{width}"
    cases = [
        Case(
            name=f"NMS, {count:,} {kind} boxes",
            shapes=f"{image}, IoU {IOU}",
            prepare=partial(one_segment, sizes, count, boxes),
            limits={"indices that differ": 0},
            cpu_target=target,
        )
        for count, target in zip(sizes.nms, (15, 25), strict=True)
        for kind, boxes in BOXES.items()
    ]
    levels = len(ANCHOR_SIZES)
    return [
        *cases,
        Case(
            name=f"NMS, batched, {levels} x {sizes.nms_a_level:,}",
            shapes=f"spread boxes, {image}, IoU {IOU}",
            prepare=partial(segments, sizes),
            limits={"indices that differ": 0},
            cpu_target=12,
            gpu_target=2,
        ),
        Case(
            name="matching anchors to objects",
            shapes=f"all anchors of an {image}, {sizes.objects} objects",
            prepare=partial(matching, sizes),
            limits={"labels that differ": 0},
        ),
        Case(
            name="mask targets",
            shapes=f"{sizes.mask_targets} RoIs, {image}, {SIDE}x{SIDE}",
            prepare=partial(targets, sizes),
            limits={"largest": 1e-3},
        ),
        Case(
            name="masks pasted and thresholded",
            shapes=f"{sizes.masks} of {SIDE}x{SIDE} into {height}x{width}",
            prepare=partial(pasting, sizes),
            cpu_target=15,
        ),
    ]


BOXES: dict[str, Callable[[int, tuple[int, int]], Tensor]] = {
    "spread": inputs.spread_boxes,
    "clustered": inputs.clustered_boxes,
}


def one_segment(
    sizes: Sizes,
    count: int,
    make_boxes: Callable[[int, tuple[int, int]], Tensor],
    device: torch.device,
) -> Pair:
    """NMS of boxes that all compete."""
    boxes = make_boxes(count, sizes.image).to(device)
    scores = inputs.scores(count, device)
    return Pair(
        ours=lambda: ops.nms(boxes, scores, IOU),
        theirs=lambda: only(peer.torchvision().ops.nms, boxes, scores, IOU),
        difference=partial(different_items, "indices that differ"),
        least_bytes=boxes.nbytes + scores.nbytes,
    )


def segments(sizes: Sizes, device: torch.device) -> Pair:
    """NMS within each of five levels."""
    count = len(ANCHOR_SIZES) * sizes.nms_a_level
    boxes = inputs.spread_boxes(count, sizes.image).to(device)
    scores = inputs.scores(count, device)
    level = (torch.arange(count) // sizes.nms_a_level).to(device)
    rest = (boxes, scores, level, IOU)
    return Pair(
        ours=lambda: ops.batched_nms(*rest),
        theirs=lambda: only(peer.torchvision().ops.batched_nms, *rest),
        difference=partial(different_items, "indices that differ"),
        least_bytes=boxes.nbytes + scores.nbytes + level.nbytes,
    )


def matching(sizes: Sizes, device: torch.device) -> Pair:
    """The RPN's: IoU of every anchor with every object, and the rule of 0.7 and 0.3."""
    height, width = sizes.image
    anchors = torch.cat(
        [
            ops.grid_anchors(
                ops.cell_anchors((size,), (0.5, 1, 2)).to(device),
                stride,
                (-(-height // stride), -(-width // stride)),
            )
            for size, stride in zip(ANCHOR_SIZES, (4, 8, 16, 32, 64), strict=True)
        ]
    )
    objects = inputs.spread_boxes(sizes.objects, sizes.image).to(device)

    def theirs() -> dict[str, Work]:
        vision = peer.torchvision()
        matcher = vision.models.detection._utils.Matcher(
            0.7, 0.3, allow_low_quality_matches=True
        )
        return only(lambda: matcher(vision.ops.box_iou(objects, anchors)))

    return Pair(
        ours=lambda: ops.match(objects, anchors, 0.7, 0.3, allow_low_quality=True),
        theirs=theirs,
        difference=partial(different_items, "labels that differ"),
        least_bytes=anchors.nbytes + 8 * len(anchors),
    )


def targets(sizes: Sizes, device: torch.device) -> Pair:
    """Each RoI's part of its object's mask; theirs needs the masks as floats."""
    boxes = inputs.spread_boxes(sizes.objects, sizes.image)
    masks = ellipses(boxes, sizes.image).to(device)
    which = torch.arange(sizes.mask_targets) % sizes.objects
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)[which]
    moves = torch.randn(len(which), 4, generator=inputs.generator())
    rois, which = (boxes[which] + 0.05 * sides * moves).to(device), which.to(device)

    def theirs() -> dict[str, Work]:
        layer = peer.torchvision().ops.roi_align
        indexed = torch.cat([which[:, None].float(), rois], dim=1)

        def work() -> Tensor:
            maps = masks[:, None].float()
            out: Tensor = layer(maps, indexed, SIDE, aligned=True)[:, 0]
            return out

        return only(work)

    return Pair(
        ours=lambda: ops.mask_targets(masks, rois, which, SIDE),
        theirs=theirs,
        difference=lambda a, b: {"largest": float((a - b).abs().max())},
        least_bytes=int(sides[:, :2].prod(dim=1).sum()) + 4 * len(rois) * SIDE**2,
    )


def ellipses(boxes: Tensor, image: tuple[int, int]) -> Tensor:
    """A mask for each box: the ellipse that fits in it."""
    x1, y1, x2, y2 = boxes[:, :, None, None].unbind(1)
    x = torch.arange(image[1]) + 0.5
    y = torch.arange(image[0])[:, None] + 0.5
    across = (2 * x - x1 - x2) / (x2 - x1)
    down = (2 * y - y1 - y2) / (y2 - y1)
    return (across**2 + down**2 <= 1).to(torch.uint8)


def pasting(sizes: Sizes, device: torch.device) -> Pair:
    """28 x 28 probabilities into the image, as booleans.

    The rules differ: torchvision enlarges boxes to whole pixels, so outlines differ by
    up to a pixel. The difference is told, and has no limit.
    """
    boxes = inputs.spread_boxes(sizes.masks, sizes.image).to(device)
    coarse = torch.rand(sizes.masks, 1, 4, 4, generator=inputs.generator())
    smooth = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic")
    maps = smooth.clamp(0, 1).to(device)

    def theirs() -> dict[str, Work]:
        heads = peer.torchvision().models.detection.roi_heads

        def work() -> Tensor:
            pasted: Tensor = heads.paste_masks_in_image(maps, boxes, sizes.image)
            return pasted[:, 0] >= 0.5

        return only(work)

    return Pair(
        ours=lambda: ops.paste_masks(maps[:, 0], boxes, sizes.image),
        theirs=theirs,
        difference=lambda a, b: {"part of set pixels": different_part(a, b)},
        least_bytes=len(boxes) * sizes.image[0] * sizes.image[1] + maps.nbytes,
    )


def only(function: Callable[..., object], *arguments: object) -> dict[str, Work]:
    """The one way in which torchvision does it."""
    return {"": partial(function, *arguments)}


def different_items(name: str, a: Tensor, b: Tensor) -> dict[str, float]:
    """How many are not the same; all, if there are more of one than of the other."""
    differ = max(len(a), len(b)) if len(a) != len(b) else int((a != b).sum())
    return {name: float(differ)}


def different_part(a: Tensor, b: Tensor) -> float:
    """Pixels in one mask alone, over those in either."""
    return float((a ^ b).sum() / (a | b).sum().clamp(min=1))
