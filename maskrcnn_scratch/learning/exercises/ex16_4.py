"""Exercise 16.4: tiles that cover a large image."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake


def tile_starts(size: int, tile: int, overlap: int) -> list[int]:
    """Where the tiles of one axis of an image begin, in pixels, from left to right.

    The image is ``size`` pixels long, a tile ``tile`` pixels; neighbours share
    ``overlap`` pixels or more, with 0 <= overlap < tile. The first tile begins at 0,
    each further one tile - overlap after the one before; the last is moved back so that
    it ends with the image. There are no more tiles than that takes. An image that is
    not longer than a tile has one, at 0.
    """
    starts = [0]
    while starts[-1] + tile < size:
        step = starts[-1] + tile - overlap
        starts.append(min(step, size - tile))
    return starts


@st.composite
def layouts(draw: st.DrawFn) -> Inputs:
    """Images shorter than a tile, just as long, and longer."""
    tile = draw(st.integers(1, 10))
    overlap = draw(st.integers(0, tile - 1))
    step = tile - overlap
    more = draw(st.integers(-tile + 1, 5 * step))
    return {"size": tile + more, "tile": tile, "overlap": overlap}


def starts_by_count(size: int, tile: int, overlap: int) -> list[int]:
    """From the number of tiles."""
    last, step = max(size - tile, 0), tile - overlap
    return [min(k * step, last) for k in range(1 + math.ceil(last / step))]


EXERCISE = Exercise(
    id="ex16_4",
    title="Tiles",
    objective="Cover a large image with overlapping tiles, its last pixels too.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `tile_starts(size, tile, overlap)` for one axis. Of an image one takes "
        "every pair of a start along y and one along x."
    ),
    hints=(
        "From tile to tile it is `tile - overlap` pixels.",
        "Another tile is needed as long as the last one ends before the image does: "
        "`starts[-1] + tile < size`.",
        "No tile may reach past the end, since all must have one size: "
        "`min(next_start, size - tile)`.",
    ),
    solution=tile_starts,
    laws=(
        Law("The starts are those of the layout.", layouts(), starts_by_count),
        Law(
            "Every pixel of the image is in a tile.",
            layouts(),
            expected=lambda size, tile, overlap: [True] * size,
            got=lambda f, size, tile, overlap: [
                any(start <= pixel < start + tile for start in f(size, tile, overlap))
                for pixel in range(size)
            ],
        ),
        Law(
            "Neighbours share at least the overlap.",
            layouts(),
            expected=lambda size, tile, overlap: True,
            got=lambda f, size, tile, overlap: bool(
                np.all(np.diff(f(size, tile, overlap)) <= tile - overlap)
            ),
        ),
    ),
    mistakes=(
        Mistake(
            "no overlap",
            "you went on by a whole tile; go on by tile - overlap.",
            {"tile - overlap": "tile"},
        ),
        Mistake(
            "past the end",
            "you let the last tile reach past the end of the image; move it back.",
            {"min(step, size - tile)": "step"},
        ),
        Mistake(
            "last pixels lost",
            "you left the last pixels out where the tiles do not fit exactly: one more "
            "tile, moved back, is needed.",
            {
                "    return starts": (
                    "    return [s for k, s in enumerate(starts)"
                    " if s == k * (tile - overlap)]"
                )
            },
        ),
        Mistake(
            "a tile too many",
            "you went on although the last tile ends with the image.",
            {
                "    return starts": (
                    "    return starts + [max(size - tile, 0)] * (size >= tile)"
                )
            },
        ),
        Mistake(
            "a start for each step",
            "you began a tile at every step up to the end of the image; stop where one "
            "reaches it.",
            "return list(range(0, size, tile - overlap))",
        ),
        Mistake(
            "step and overlap exchanged",
            "you went on by the overlap; go on by tile - overlap.",
            {
                "starts[-1] + tile - overlap": "starts[-1] + max(overlap, 1)",
            },
        ),
        Mistake(
            "small images",
            "you moved the tile of a small image to before its start, or left it out: "
            "it has one tile, at 0.",
            {"    return starts": "    return [min(s, size - tile) for s in starts]"},
        ),
        Mistake(
            "evenly spread",
            "you spread the tiles evenly; only the last is moved.",
            {
                "    return starts": (
                    "    last = max(size - tile, 0)\n"
                    "    count = len(starts)\n"
                    "    return [round(k * last / max(count - 1, 1)) "
                    "for k in range(count)]"
                )
            },
        ),
        Mistake(
            "half the overlap",
            "you took half of the overlap on each side of a tile; neighbours share all "
            "of it, so the step is tile - overlap.",
            {"tile - overlap": "tile - overlap // 2"},
        ),
        Mistake(
            "one pixel short",
            "you stopped one pixel early: compare the end of the last tile with the "
            "size of the image, not with its last pixel.",
            {"+ tile < size": "+ tile < size - 1"},
        ),
    ),
)
