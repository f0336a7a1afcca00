"""crop_and_resize: one read a bin, the outer ones at the RoI's first and last pixel.

TensorFlow's ``tf.image.crop_and_resize``, which implementations of Mask R-CNN have used
in place of RoIAlign (matterport's among them, at one read a bin). It speaks of boxes as
fractions: pixel p of an image of W pixels, counted from 0, is p / (W - 1), and so is
cell c of a map of V cells c / (V - 1): the outer pixels fall on the outer cells.

RoIAlign with one sample a bin reads at the bins' centres. Here the reads of a row are
spread so that the first and the last lie on the RoI's border, half a bin further out,
and a map's cells lie a little off their places: by up to half a stride at its ends.

Features are (images, channels, height, width), RoIs (n, 5) = (image index, x1, y1, x2,
y2) in image pixels, whose last pixel is x2 - 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maskrcnn_scratch.reference.bilinear import bilinear
from maskrcnn_scratch.reference.roi_steps import image_of

if TYPE_CHECKING:
    from jaxtyping import Float


def points(
    first: float, last: float, pixels: int, cells: int, count: int
) -> Float[np.ndarray, " count"]:
    """Where ``count`` reads from pixel ``first`` to ``last`` fall, in cells.

    ``pixels`` and ``cells`` are the sizes of the image and of its map along this axis,
    2 or more, as ``count`` is.
    """
    return np.linspace(first, last, count) / (pixels - 1) * (cells - 1)


def crop_and_resize(
    features: Float[np.ndarray, "images channels height width"],
    rois: Float[np.ndarray, "rois 5"],
    output_size: tuple[int, int],
    image_size: tuple[int, int],
) -> Float[np.ndarray, "rois channels out_h out_w"]:
    """Each RoI of an image of ``image_size`` (height, width) as a grid of reads.

    A read outside the map is 0.
    """
    images, channels, height, width = features.shape
    out = np.zeros((len(rois), channels, *output_size))
    for r, roi in enumerate(rois):
        _, x1, y1, x2, y2 = roi
        rows = points(y1, y2 - 1, image_size[0], height, output_size[0])
        columns = points(x1, x2 - 1, image_size[1], width, output_size[1])
        for channel, feature_map in enumerate(features[image_of(roi, images)]):
            for i, y in enumerate(rows):
                for j, x in enumerate(columns):
                    if 0 <= y <= height - 1 and 0 <= x <= width - 1:
                        out[r, channel, i, j] = bilinear(feature_map, y, x)
    return out
