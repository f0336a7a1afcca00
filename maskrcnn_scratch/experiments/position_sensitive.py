"""Position-sensitive score maps (FCIS: Li et al., CVPR 2017, section 3).

A box is divided into k x k parts, and every part has a score map of its own over the
whole image: "how much does this pixel look like the upper left part of an object?" The
box's scores are assembled by copying each part from its map. There are two such sets:
inside an object, and outside of it though within its box.

Nothing is computed in the box. So what a pixel answers depends on the part it lies in,
and on nothing else of the box: two boxes that have it in the same part hear the same.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskrcnn_scratch.ops import roi_align
from maskrcnn_scratch.reference.bilinear import bilinear


def assembled_by_hand(
    maps: Float[np.ndarray, "parts*parts height width"],
    box: Float[np.ndarray, " 4"],
    parts: int,
    size: int,
    spatial_scale: float,
) -> Float[np.ndarray, "size size"]:
    """One set of maps, assembled for one box xyxy in image pixels, bin by bin.

    Part (p, q) of the box, counted from the top left, reads map ``p * parts + q``, at
    the centre of each of its bins. FCIS copies whole cells; bilinear values leave the
    quantisation out, which is another matter.
    """
    x1, y1, x2, y2 = box
    out = np.zeros((size, size))
    for i, j in np.ndindex(out.shape):
        y = y1 + (i + 0.5) * (y2 - y1) / size
        x = x1 + (j + 0.5) * (x2 - x1) / size
        part = (i * parts // size) * parts + j * parts // size
        cell_y, cell_x = y * spatial_scale - 0.5, x * spatial_scale - 0.5
        out[i, j] = bilinear(maps[part], cell_y, cell_x)
    return out


def assembled(
    maps: Float[Tensor, "images channels height width"],
    rois: Float[Tensor, "rois 5"],
    parts: int,
    size: int,
    spatial_scale: float,
) -> Float[Tensor, "rois 2 size size"]:
    """Inside and outside scores of all RoIs, in ``size`` x ``size`` bins.

    ``maps`` are the 2 ``parts``^2 score maps, those for inside first. RoIAlign with one
    sample a bin reads all of them, and of each bin that of its own part is kept.
    """
    read = roi_align(maps, rois, size, spatial_scale, sampling_ratio=1, aligned=True)
    part = part_of_bins(parts, size)
    own = (part[:, None] * parts + part).expand(len(rois), 2, 1, size, size)
    sets = read.reshape(len(rois), 2, parts**2, size, size)
    return sets.gather(2, own)[:, :, 0]


def part_of_bins(parts: int, size: int) -> Int64[Tensor, " size"]:
    """The part, 0..parts - 1, of each bin along a side."""
    return torch.arange(size) * parts // size
