"""One object in COCO's words."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from pycocotools import mask as mask_utils


def annotation(
    mask: Bool[np.ndarray, "height width"] | UInt8[np.ndarray, "height width"],
    number: int,
    image_id: int,
    category_id: int,
    crowd: int = 0,
) -> dict[str, Any]:
    """Annotation ``number`` of a file: exact run lengths, their box [x, y, w, h].

    ``mask`` is 1 inside the object, and as large as the image.
    """
    rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "iscrowd": crowd,
        "area": int(mask.sum()),
        "bbox": mask_utils.toBbox(rle).tolist(),
        "segmentation": {**rle, "counts": rle["counts"].decode("ascii")},
    }
