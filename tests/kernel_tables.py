"""What the rungs of the CUDA floor's ladders read and write; run as a script.

    python tests/kernel_tables.py [docs/kernels.md]

Every case runs by its naive kernel and by its fast one under the recorder, on the CPU,
and becomes a row of a table. The numbers are counts, the same on every machine; none of
them is a time. A second table tells the bytes that cannot be avoided in the sizes of
training and use. Prints both, or puts them in their places in the page that is named.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrcnn_scratch.cuda.keypoint_loss import (
    keypoint_loss,
    keypoint_loss_backward,
    keypoint_loss_naive,
)
from maskrcnn_scratch.cuda.keypoints import (
    keypoint_readout_resized,
    keypoint_readout_resized_naive,
)
from maskrcnn_scratch.cuda.losses import mask_loss, mask_loss_backward, mask_loss_naive
from maskrcnn_scratch.cuda.mask_paste import paste_masks, paste_masks_naive
from maskrcnn_scratch.cuda.mask_targets import mask_targets, mask_targets_naive
from maskrcnn_scratch.cuda.nms import segmented_nms
from maskrcnn_scratch.cuda.nms_naive import segmented_nms_naive
from maskrcnn_scratch.cuda.roi_align import (
    roi_align,
    roi_align_backward,
    roi_align_backward_naive,
    roi_align_naive,
)
from maskrcnn_scratch.cuda.roi_pool import roi_pool, roi_pool_naive
from maskrcnn_scratch.learning import recorder
from maskrcnn_scratch.learning.recorder.memory import GLOBAL
from maskrcnn_scratch.learning.recorder.races import ADDRESS, KIND
from maskrcnn_scratch.learning.recorder.state import READ


@dataclass(frozen=True)
class Cost:
    """Of all launches of one call, in global memory. A request is one of a warp."""

    launches: int
    threads: int
    barriers: int
    reads: int
    read_elements: int
    read_requests: int
    read_sectors: int
    write_requests: int
    write_sectors: int
    atomics: int


def cost_of(call: Callable[[], Any]) -> Cost:
    """What the kernels do that a call launches."""
    with recorder.recording() as made:
        call()
    lines = [one for r in made for one in r.instructions if one.space == GLOBAL]
    reads = [one for one in lines if one.kind == "read"]
    writes = [one for one in lines if one.kind == "write"]
    return Cost(
        launches=len(made),
        threads=sum(r.blocks.total * r.threads.total for r in made),
        barriers=max(r.barriers for r in made),
        reads=sum(one.accesses for one in reads),
        read_elements=sum(elements_read(r) for r in made),
        read_requests=sum(one.warps for one in reads),
        read_sectors=sum(one.sectors for one in reads),
        write_requests=sum(one.warps for one in writes),
        write_sectors=sum(one.sectors for one in writes),
        atomics=sum(one.accesses for one in lines if one.kind == "atomic"),
    )


def elements_read(recording: recorder.Recording) -> int:
    """How many different elements of global memory a launch reads."""
    log, memories = recording.rows, recording.memories
    addresses = np.unique(log[log[:, KIND] & 3 == READ, ADDRESS])
    starts = np.array([memory.address for memory in memories])
    owner = np.searchsorted(starts, addresses, side="right") - 1
    return sum(memories[k].space == GLOBAL for k in owner)


def rows() -> list[tuple[str, str, Cost]]:
    """Every case by every rung."""
    makers = roi_cases, box_cases, mask_cases, keypoint_cases
    return [
        (case, rung, cost_of(call))
        for cases in makers
        for case, rungs in cases().items()
        for rung, call in rungs.items()
    ]


Rungs = dict[str, Callable[[], Any]]


def roi_cases() -> dict[str, Rungs]:
    """A RoI of about 7 x 7 cells of a map of 12 x 12, 4 x 4 bins, 32 channels."""
    features, grad = torch.zeros(1, 12, 12, 32), torch.ones(1, 4, 4, 32)
    rois = torch.tensor([[0.0, 2.3, 3.1, 9.6, 10.2]])
    forward, backward = (features, rois, (4, 4), 1.0, 2), (grad, features, rois, 1.0, 2)
    return {
        "RoIAlign": {
            "naive": lambda: roi_align_naive(*forward),
            "fast": lambda: roi_align(*forward),
        },
        "RoIAlign, backward": {
            "naive": lambda: roi_align_backward_naive(*backward),
            "fast": lambda: roi_align_backward(*backward),
            "fast, deterministic": lambda: roi_align_backward(
                *backward, deterministic=True
            ),
        },
        "RoIPool": {
            "naive": lambda: roi_pool_naive(*forward[:4]),
            "fast": lambda: roi_pool(*forward[:4]),
        },
    }


def box_cases() -> dict[str, Rungs]:
    """100 boxes in one segment, none of which drops another."""
    corners = torch.stack([torch.arange(100.0) * 9, torch.zeros(100)], dim=1)
    boxes, scores = torch.cat([corners, corners + 8], dim=1), torch.arange(100.0)
    arguments = boxes, scores, torch.zeros(100, dtype=torch.int64), 0.5
    return {
        "NMS": {
            "naive": lambda: segmented_nms_naive(*arguments),
            "fast": lambda: segmented_nms(*arguments),
        }
    }


def mask_cases() -> dict[str, Rungs]:
    """An object of about 30 x 20 pixels; logits of 8 classes for 2 RoIs."""
    masks = torch.ones(1, 48, 64, dtype=torch.uint8)
    boxes, first = torch.tensor([[10.2, 11.7, 40.6, 31.4]]), torch.zeros(1).long()
    maps = torch.ones(1, 7, 7)
    logits, labels = torch.zeros(2, 8, 7, 7), torch.tensor([3, 5])
    goals, weights, one = torch.zeros(2, 7, 7), torch.ones(2), torch.ones(())
    targets, paste = (masks, boxes, first, 7), (maps, boxes, (48, 64))
    return {
        "mask targets": {
            "naive": lambda: mask_targets_naive(*targets),
            "fast": lambda: mask_targets(*targets),
        },
        "mask paste": {
            "naive": lambda: paste_masks_naive(*paste),
            "fast": lambda: paste_masks(*paste),
        },
        "mask loss and gradient": {
            "naive": lambda: mask_loss_naive(logits, labels, goals, weights),
            "fast": lambda: loss_and_gradient(logits, labels, goals, weights, one),
        },
    }


def keypoint_cases() -> dict[str, Rungs]:
    """Two points of a RoI of 40 x 30 pixels, maps of 14 x 14."""
    logits, box = torch.zeros(1, 2, 14, 14), torch.tensor([[10.2, 11.7, 50.1, 41.4]])
    arguments = logits, torch.tensor([[5, 77]]), torch.ones(1, 2, dtype=torch.bool)
    one = torch.ones(())

    def both() -> Tensor:
        _, stats, scale = keypoint_loss(*arguments)
        return keypoint_loss_backward(one, scale, stats, *arguments)

    return {
        "keypoint loss and gradient": {
            "naive": lambda: keypoint_loss_naive(*arguments),
            "fast": both,
        },
        "keypoints from resized maps": {
            "naive": lambda: keypoint_readout_resized_naive(logits, box),
            "fast": lambda: keypoint_readout_resized(logits, box),
        },
    }


def loss_and_gradient(
    logits: Tensor, labels: Tensor, goals: Tensor, weights: Tensor, grad: Tensor
) -> Tensor:
    """Forward and backward."""
    _, slopes, scale = mask_loss(logits, labels, goals, weights)
    classes = logits.shape[1]
    return mask_loss_backward(grad, scale, slopes, labels, classes, logits.dtype)


HEADER = (
    *("case", "rung", "launches", "threads", "reads a thread", "reads an element"),
    *("sectors a read", "sectors a write", "sectors in all", "atomics", "barriers"),
)


def table() -> str:
    """All rows as a table of Markdown."""
    lines: list[tuple[str, ...]] = [HEADER, ("---",) * 2 + ("--:",) * 9]
    lines += [(case, rung, *cells(cost)) for case, rung, cost in rows()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(cost: Cost) -> tuple[str, ...]:
    """A row's numbers."""
    return (
        str(cost.launches),
        f"{cost.threads:,}",
        ratio(cost.reads, cost.threads),
        ratio(cost.reads, cost.read_elements),
        ratio(cost.read_sectors, cost.read_requests),
        ratio(cost.write_sectors, cost.write_requests),
        f"{cost.read_sectors + cost.write_sectors:,}",
        f"{cost.atomics:,}",
        str(cost.barriers),
    )


def ratio(a: int, b: int) -> str:
    return f"{a / b:.1f}" if b else "-"


def least_table() -> str:
    """The bytes that each component must move at least, in sizes as they occur."""
    pyramid = sum(h * w for h, w in ((200, 272), (100, 136), (50, 68), (25, 34)))
    outputs, maps, pixels = 1000 * 7 * 7 * 256, pyramid * 256, 28 * 28
    points = 128 * 17 * 56 * 56
    least = {
        "RoIAlign, 1000 RoIs, 7 x 7, 256 channels, P2 to P5 of 800 x 1088": (
            *(4 * maps, 4 * outputs),
        ),
        "NMS, 5 levels of 2,000 boxes": (5 * 2000 * 16, 5 * 2000 * 2000 // 8),
        "mask targets, 256 RoIs of 100 x 100 pixels, 28 x 28": (
            *(256 * 100 * 100, 256 * pixels * 4),
        ),
        "mask paste, 100 maps of 28 x 28 into 800 x 1088": (
            *(100 * pixels * 4, 100 * 800 * 1088),
        ),
        "mask loss, 256 RoIs of 28 x 28, forward": (
            *(256 * pixels * 8, 256 * pixels * 4),
        ),
        "mask loss, backward to 1 map": (256 * pixels * 4, 256 * pixels * 4),
        "mask loss, backward to 80 maps": (256 * pixels * 4, 80 * 256 * pixels * 4),
        "keypoint loss, 128 RoIs of 17 maps of 56 x 56, forward": (points * 4, 0),
        "keypoint loss, backward": (points * 4, points * 4),
        "keypoints from resized maps, 100 persons": (100 * 17 * 56 * 56 * 4, 20_400),
    }
    lines = [("case, float32", "MB read", "MB written"), ("---", "--:", "--:")]
    for case, (read, written) in least.items():
        lines.append((case, f"{read / 1e6:.1f}", f"{written / 1e6:.1f}"))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def filled(page: str) -> str:
    """The page with the tables, each between its marks."""
    for name, text in (("counts", table()), ("least", least_table())):
        block = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        page, found = re.subn(block, rf"\g<1>{text}\n\g<2>", page, flags=re.DOTALL)
        assert found == 1, f"the page needs the mark {name} once"
    return page


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(filled(Path(name).read_text("utf-8")), "utf-8")
    if not sys.argv[1:]:
        print(table(), least_table(), sep="\n\n")
