"""How much two boxes overlap: what NMS, matching and ``box_iou`` ask for every pair.

IoU is computed in float64 as in ``reference.boxes``, operation for operation, so a
comparison with a threshold, or of one IoU with another, comes out as it does there.
float64 is dear on most GPUs (1/32 or 1/64 of float32's rate), so the functions here
come to it last: most pairs share nothing, which comparing corners tells exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from maskrcnn_scratch.cuda.compiled import device

NOTHING = np.float64(0)
MARGIN = np.float32(1e-5)
TINY = np.float32(1e-35)


@device
def side(low: Any, high: Any) -> Any:
    """Length from ``low`` to ``high``, at least 0; NaN if one of them is."""
    length = np.float64(high) - np.float64(low)
    return NOTHING if length < NOTHING else length


@device
def rectangle(width: Any, height: Any) -> Any:
    """Area of a rectangle, its sides at least 0.

    The compiler may fuse a * b + c into one instruction with one rounding, where the
    reference rounds twice. ``abs``, which changes nothing here, keeps the two apart.
    """
    return abs(width * height)


@device
def area(boxes: Any, n: Any) -> Any:
    """Area of one box in square pixels, 0 for an empty one; NaN if a corner is."""
    width = side(boxes[n, 0], boxes[n, 2])
    return rectangle(width, side(boxes[n, 1], boxes[n, 3]))


@device
def iou(a: Any, n: Any, b: Any, m: Any) -> Any:
    """IoU of box ``n`` of ``a`` and box ``m`` of ``b``; NaN if either holds one."""
    width = side(max(a[n, 0], b[m, 0]), min(a[n, 2], b[m, 2]))
    height = side(max(a[n, 1], b[m, 1]), min(a[n, 3], b[m, 3]))
    shared = rectangle(width, height)
    union = area(a, n) + area(b, m) - shared
    return shared / union if union != NOTHING else NOTHING


@device
def iou_if_any(a: Any, n: Any, b: Any, m: Any) -> Any:
    """``iou``, spared where the boxes share no point; there 0, NaN or not."""
    if min(a[n, 2], b[m, 2]) <= max(a[n, 0], b[m, 0]):
        return NOTHING
    if min(a[n, 3], b[m, 3]) <= max(a[n, 1], b[m, 1]):
        return NOTHING
    return iou(a, n, b, m)


@device
def iou_exceeds(a: Any, n: Any, b: Any, m: Any, threshold: Any) -> Any:
    """Whether ``iou`` is greater than ``threshold`` (at least 0), by way of float32.

    Shared area and union are off by less than 2e-6 of the union there (sides are
    rounded once, areas twice, the union three times), so whatever is MARGIN away from
    the threshold is decided. One pair in 50,000 is not and takes float64, as do areas
    too small or too large for float32, and NaN, which is greater than nothing.
    """
    width = min(a[n, 2], b[m, 2]) - max(a[n, 0], b[m, 0])
    if not width > 0:
        return False
    height = min(a[n, 3], b[m, 3]) - max(a[n, 1], b[m, 1])
    if not height > 0:
        return False
    shared = np.float32(width) * np.float32(height)
    area_a = np.float32(a[n, 2] - a[n, 0]) * np.float32(a[n, 3] - a[n, 1])
    area_b = np.float32(b[m, 2] - b[m, 0]) * np.float32(b[m, 3] - b[m, 1])
    union = area_a + area_b - shared
    excess = shared - np.float32(threshold) * union
    doubt = MARGIN * union + TINY
    if excess > doubt:
        return True
    if excess < -doubt:
        return False
    return iou(a, n, b, m) > threshold
