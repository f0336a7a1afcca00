"""Before and after NMS: which boxes belong together, and the list of survivors.

Torch's operators sort; none of them waits for the GPU.
"""

from __future__ import annotations

from typing import Any

import torch
from numba import cuda
from torch import Tensor

from maskrcnn_scratch.cuda.compiled import kernel
from maskrcnn_scratch.cuda.launch import block_size, ceil_div, launch


def sorted_by_segment(
    scores: Tensor, segments: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor]:
    """(falling, second, stops), to bring the boxes of a segment together, best first.

    ``falling`` lists the boxes by falling score, equal ones in order, NaN last;
    ``second`` lists places in it, segment by segment (None if there is one segment);
    ``stops`` (n,) tells where in that order the segment of each box ends.
    """
    n = len(scores)
    falling = torch.sort(0 - scores, stable=True).indices  # 0 - x: no -0.0 below 0.0
    if segments is None:
        return falling, None, torch.full_like(falling, n)
    ordered, second = torch.sort(segments[falling], stable=True)
    return falling, second, torch.searchsorted(ordered, ordered, right=True)


def longest_segment(segments: Tensor) -> Tensor:
    """The size () of the largest segment, for a caller that can wait to know it."""
    if len(segments) == 0:
        return segments.new_zeros((), dtype=torch.int64)
    ordered = torch.sort(segments).values
    ends = torch.searchsorted(ordered, ordered, right=True)
    return (ends - torch.searchsorted(ordered, ordered)).max()


def kept_in_order(
    survives: Tensor, falling: Tensor, second: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Survivors in the order of ``falling``, -1 behind them, and their number."""
    if second is not None:
        survives = torch.empty_like(survives).scatter_(0, second, survives)
    places = torch.cumsum(survives, 0, dtype=torch.int64)
    kept = torch.full_like(falling, -1)
    threads = block_size(len(falling), 128)
    blocks = ceil_div(len(falling), threads)
    launch(compact_kernel, blocks, threads, survives, places, falling, kept)
    return kept, places[-1] if len(places) else places.sum()


@kernel
def compact_kernel(survives: Any, places: Any, falling: Any, kept: Any) -> None:
    """Each survivor to its place: one thread a box."""
    rank = cuda.grid(1)
    if rank < survives.shape[0] and survives[rank]:
        kept[places[rank] - 1] = falling[rank]
