"""Masks: polygons and run lengths to bitmaps, training targets, pasting back.

A bitmap is [height, width]; the pixel in row i, column j covers
``[j, j + 1) x [i, i + 1)``, its centre is ``(j + 0.5, i + 0.5)``. Polygons and boxes
are in the same image pixels; ``size`` is (height, width).

Polygons are filled by the rule of COCO's own tools, bit for bit: the outline is drawn
as lattice lines on a grid five times finer than the pixels, and a pixel is inside when
the outline crosses its column above its centre an odd number of times. So outlines are
right to about a fifth of a pixel, a part that one outline covers twice is outside, and
separate polygons of one object unite.

Mask R-CNN says what the m x m target is ("the intersection between an RoI and its
associated ground-truth mask", section 3) and that a predicted mask "is then resized to
the RoI size, and binarized at a threshold of 0.5" (section 3.1). Where exactly pixels
are read, published systems answer differently: hence the two ways to paste.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from maskrcnn_scratch.reference.roi_align import axis_matrix, roi_align

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Integer, Shaped, UInt8

FINE = 5  # lattice steps in one pixel, as in COCO's tools


def polygons_to_mask(
    polygons: Sequence[Sequence[float]], size: tuple[int, int]
) -> UInt8[np.ndarray, "height width"]:
    """The union of closed polygons, each ``[x1, y1, x2, y2, ...]`` in image pixels.

    Raises ValueError where a polygon is not at least three x, y pairs.
    """
    mask = np.zeros(size, np.uint8)
    for number, polygon in enumerate(polygons):
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(
                f"polygon {number} has {len(polygon)} numbers; expected x, y pairs"
                " for at least 3 corners"
            )
        mask |= fill_polygon(polygon, size)
    return mask


def fill_polygon(
    polygon: Sequence[float], size: tuple[int, int]
) -> UInt8[np.ndarray, "height width"]:
    """The pixels whose centre lies within one closed polygon (even-odd rule).

    The centres of pixel column j lie on x = j + 1/2, between the fine columns 5j + 2
    and 5j + 3. Where the outline steps across, all that is further down the column
    changes between outside and inside. A closed outline crosses an even number of
    times, so one running count serves all columns, each ending as it began.
    """
    height, width = size
    crossings = np.zeros(width * height + 1, np.int64)
    for (u0, v0), (u1, v1) in pairwise(fine_outline(polygon)):
        if u0 == u1:
            continue
        column, off_centre = divmod(min(u0, u1) - FINE // 2, FINE)
        if off_centre or not 0 <= column < width:
            continue
        row = -((FINE // 2 - min(v0, v1)) // FINE)  # the first centre not above v
        crossings[column * height + min(max(row, 0), height)] += 1
    inside = np.cumsum(crossings[:-1]) % 2
    return inside.reshape(width, height).T.astype(np.uint8)


def fine_outline(polygon: Sequence[float]) -> list[tuple[int, int]]:
    """The closed outline as lattice points (u, v) = 5 (x, y), neighbours touching."""
    lattice = [int(FINE * c + 0.5) for c in polygon]
    corners = list(zip(lattice[0::2], lattice[1::2], strict=True))
    closed = [*corners, corners[0]]
    return [point for edge in pairwise(closed) for point in fine_line(*edge)]


def fine_line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Lattice points from start to end, one for each step along the longer axis.

    The line is the same in both directions, so two polygons that share an edge neither
    overlap along it nor leave a gap.
    """
    (u0, v0), (u1, v1) = start, end
    if abs(v1 - v0) > abs(u1 - u0):
        return [(u, v) for v, u in fine_line((v0, u0), (v1, u1))]
    if u0 > u1:
        return fine_line(end, start)[::-1]
    slope = (v1 - v0) / max(u1 - u0, 1)
    return [(u0 + t, int(v0 + slope * t + 0.5)) for t in range(u1 - u0 + 1)]


def mask_to_rle(mask: Shaped[np.ndarray, "height width"]) -> list[int]:
    """Run lengths, column by column, of zeros and ones in turn, zeros first."""
    counts = [0]
    value = False
    for pixel in mask.flatten(order="F") != 0:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def rle_to_mask(
    counts: Sequence[int] | str, size: tuple[int, int]
) -> UInt8[np.ndarray, "height width"]:
    """The bitmap of COCO run lengths, as a list or as COCO's compressed string.

    Raises ValueError where the runs do not add up to height x width.
    """
    runs = decompress_rle(counts) if isinstance(counts, str) else counts
    height, width = size
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise ValueError(
            f"run lengths add up to {sum(runs)} pixels; expected none below 0 and"
            f" {height} x {width} = {height * width} in all"
        )
    pixels = np.repeat(np.arange(len(runs)) % 2, runs)
    return pixels.reshape(width, height).T.astype(np.uint8)


def compress_rle(counts: Sequence[int]) -> str:
    """COCO's string: from the third run of its kind on, the change since the last.

    Each number is cut into groups of five bits, lowest first (as in LEB128, two's
    complement); a sixth bit says that more follow, and 48 makes it a readable letter.
    """
    text = ""
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            five_bits = value & 31
            value >>= 5
            more = value != (-1 if five_bits & 16 else 0)  # the sign is not yet clear
            text += chr(48 + five_bits + 32 * more)
    return text


def decompress_rle(text: str) -> list[int]:
    """The run lengths in COCO's compressed string; the inverse of compress_rle."""
    counts: list[int] = []
    value = shift = 0
    for place, letter in enumerate(text):
        code = ord(letter) - 48
        if not 0 <= code < 64:
            raise ValueError(f"letter {place} of a compressed RLE is {letter!r}")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("a compressed RLE ends in the middle of a number")
    return counts


def mask_targets(
    masks: Shaped[np.ndarray, "objects height width"],
    boxes: Float[np.ndarray, "n 4"],
    index: Integer[np.ndarray, " n"],
    size: int,
    rule: str = "soft",
) -> Float[np.ndarray, "n size size"]:
    """What the mask branch should predict: object ``index[k]``'s mask in RoI k.

    RoIAlign (aligned, as many samples as pixels) of the bitmap, [n, size, size] in
    0..1; ``rule`` "soft" keeps the share of each bin that is covered (torchvision),
    "threshold" makes it 0 or 1, 1 from one half on (detectron2). Section 3, "Training".
    """
    if rule not in ("soft", "threshold"):
        raise ValueError(f'rule is {rule!r}; expected "soft" or "threshold"')
    rois = np.concatenate([index[:, None].astype(np.float64), boxes], axis=1)
    features = masks[:, None].astype(np.float64)
    soft = roi_align(features, rois, (size, size), sampling_ratio=0, aligned=True)[:, 0]
    return soft if rule == "soft" else (soft >= 0.5).astype(np.float64)


def paste_probability(
    probability: Float[np.ndarray, "m m"],
    box: Float[np.ndarray, " 4"],
    size: tuple[int, int],
) -> Float[np.ndarray, "height width"]:
    """An m x m map stretched over its box, read at the centre of every pixel.

    Beyond the outermost cell centres the map fades to 0 over one cell, so it is half
    its value on the box's edge. A box without area pastes nothing. (detectron2)
    """
    m, (x1, y1, x2, y2) = len(probability), box
    if x2 <= x1 or y2 <= y1:
        return np.zeros(size)
    ringed = np.pad(probability, 1)
    rows = centres_in_cells(size[0], y1, y2 - y1, m)
    columns = centres_in_cells(size[1], x1, x2 - x1, m)
    return read_grid(ringed, rows + 1, columns + 1)


def paste_mask(
    probability: Float[np.ndarray, "m m"],
    box: Float[np.ndarray, " 4"],
    size: tuple[int, int],
    threshold: float = 0.5,
) -> Bool[np.ndarray, "height width"]:
    """The pixels where the map pasted at pixel centres reaches the threshold."""
    return paste_probability(probability, box, size) >= threshold


def paste_mask_legacy(
    probability: Float[np.ndarray, "m m"],
    box: Float[np.ndarray, " 4"],
    size: tuple[int, int],
    threshold: float = 0.5,
) -> Bool[np.ndarray, "height width"]:
    """The same as torchvision and the first detectron did it: see ``in_whole_pixels``.

    Masks are shifted by up to a pixel, which costs small objects.
    """
    return paste_mask(
        probability, in_whole_pixels(box, len(probability)), size, threshold
    )


def in_whole_pixels(box: Float[np.ndarray, " 4"], m: int) -> Float[np.ndarray, " 4"]:
    """Where torchvision puts a map of m x m cells whose box is ``box``.

    The map gets a ring of zeros, and the box grows with it by (m + 2) / m about the
    centre. Then its corners are cut to whole pixels and both ends count, so its width
    is x2 - x1 + 1. The map lies in it one cell of m + 2 away from each edge. A box that
    is inside out by a pixel or more has no area afterwards either.
    """
    low, high = box[:2], box[2:]
    middle, half = (low + high) / 2, (high - low) / 2 * ((m + 2) / m)
    start = np.trunc(middle - half)
    cell = (np.trunc(middle + half) - start + 1) / (m + 2)
    return np.concatenate([start + cell, start + cell * (m + 1)])


def centres_in_cells(
    pixels: int, start: float, length: float, cells: int
) -> Float[np.ndarray, " pixels"]:
    """Index coordinates of all pixel centres on an axis of cells over the length."""
    return (np.arange(pixels) + 0.5 - start) * cells / length - 0.5


def read_grid(
    grid: Float[np.ndarray, "h w"],
    ys: Float[np.ndarray, " rows"],
    xs: Float[np.ndarray, " columns"],
) -> Float[np.ndarray, "rows columns"]:
    """Bilinear reads at every (y, x), in index coordinates, as A_y grid A_x^T."""
    a_y = axis_matrix(grid.shape[0], tuple((float(y),) for y in ys))
    a_x = axis_matrix(grid.shape[1], tuple((float(x),) for x in xs))
    values: np.ndarray = a_y @ grid @ a_x.T
    return values
