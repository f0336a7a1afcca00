"""NMS, boxes, matching and anchors of the CUDA floor, with reference/'s signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cuda_floor import to_array, to_tensor

from maskrcnn_scratch.cuda import nms

Function = Callable[..., Any]


def cut(suppress: Function) -> Function:
    """NMS as (boxes, scores, ...) -> the survivors alone."""

    def with_arrays(*args: Any, **kwargs: Any) -> Any:
        kept, count = suppress(*map(to_tensor, args), **kwargs)
        assert (kept[count:] == -1).all()
        return to_array(kept[:count])

    return with_arrays


COMPONENTS: dict[str, dict[str, Function]] = {
    "nms": {"nms": cut(nms.nms), "segmented_nms": cut(nms.segmented_nms)},
}
