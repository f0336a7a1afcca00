"""Exercise 16.2: a mask as run lengths."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from hypothesis import strategies as st

from maskrcnn_scratch.data.annotations import decode_masks, to_rle
from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Law, Mistake


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's run lengths of a mask, uncompressed: the list ``counts``.

    ``mask`` is bool of the shape (height, width). Its pixels are read down the columns,
    the first column first. The counts are the lengths of the runs of equal pixels, of
    zeros and ones in turn, **beginning with zeros**: where the first pixel is set, the
    first count is 0. They add up to height * width, and no other count is 0.
    """
    counts, inside = [0], False
    for pixel in mask.T.ravel():
        if bool(pixel) != inside:
            counts.append(0)
            inside = not inside
        counts[-1] += 1
    return counts


@st.composite
def masks(draw: st.DrawFn) -> Inputs:
    """A mask of up to 4 x 4 pixels, full and empty ones among them."""
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    count = height * width
    pixels = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return {"mask": np.array(pixels, bool).reshape(height, width)}


def runs_of(mask: np.ndarray) -> list[int]:
    """The lengths of the groups of equal pixels."""
    groups = [(value, len(list(run))) for value, run in groupby(mask.T.ravel())]
    before = [0] if groups[0][0] else []
    return before + [length for _, length in groups]


def decoded(mask: np.ndarray, counts: list[int]) -> np.ndarray:
    """What COCO's own tool reads out of the counts."""
    counts = [int(count) for count in counts]
    if min(counts) < 0 or sum(counts) != mask.size:  # it would read past their end
        raise ValueError(f"the counts add up to {sum(counts)}, not to {mask.size}")
    rle = to_rle({"size": list(mask.shape), "counts": counts}, mask.shape)
    return np.asarray(decode_masks([rle], mask.shape)[0]).astype(bool)


EXERCISE = Exercise(
    id="ex16_2",
    title="Run lengths",
    objective="Write a mask in the form that COCO stores.",
    difficulty=2,
    minutes=15,
    task=(
        "Write `run_lengths(mask)`. The annotation then is "
        '`{"size": [height, width], "counts": run_lengths(mask)}`.'
    ),
    hints=(
        "`mask.T.ravel()` reads down the columns; `mask.ravel()` reads along the rows.",
        "Go through the pixels and count. Whenever a pixel differs from the one "
        "before, a new run begins.",
        "Start with `counts = [0]`, as if a zero came before the first pixel. If the "
        "first pixel is set, a new run begins at once, and that 0 stays.",
    ),
    solution=run_lengths,
    laws=(
        Law("The counts are the lengths of the runs.", masks(), runs_of),
        Law(
            "COCO's own tool reads the mask out of them.",
            masks(),
            expected=lambda mask: mask,
            got=lambda f, mask: decoded(mask, list(f(mask))),
        ),
    ),
    mistakes=(
        Mistake(
            "along the rows",
            "you read along the rows; COCO reads down the columns.",
            {"mask.T.ravel()": "mask.ravel()"},
        ),
        Mistake(
            "begins with ones",
            "you began with whatever run comes first; the first count is that of "
            "zeros, and is 0 where the first pixel is set.",
            {"    return counts": "    return counts[1:] if not counts[0] else counts"},
        ),
        Mistake(
            "ones and zeros exchanged",
            "you began with the ones: the first count is that of zeros.",
            {"[0], False": "[0], True"},
        ),
        Mistake(
            "a 0 always",
            "you put a 0 in front always; it belongs there only where the first pixel "
            "is set.",
            {"    return counts": "    return [0, *counts] if counts[0] else counts"},
        ),
        Mistake(
            "last run lost",
            "you lost the last run: it ends with the mask, not with a change.",
            {"    return counts": "    return counts[:-1]"},
        ),
        Mistake(
            "last zeros lost",
            "you left out zeros at the end; the counts add up to all pixels.",
            {"    return counts": "    return counts if inside else counts[:-1]"},
        ),
        Mistake(
            "a 0 at the end",
            "you closed the list with a run of no zeros; no count but the first is 0.",
            {"    return counts": "    return [*counts, 0] if inside else counts"},
        ),
        Mistake(
            "starts and lengths",
            "you wrote pairs of start and length of the ones; COCO's counts are "
            "lengths alone, of zeros and ones in turn.",
            {
                "    return counts": (
                    "    starts = [0, *np.cumsum(counts).tolist()]\n"
                    "    pairs = zip(starts[1::2], counts[1::2])\n"
                    "    return [number for pair in pairs for number in pair]"
                )
            },
        ),
        Mistake(
            "places of the changes",
            "you wrote where the runs end; the counts are their lengths.",
            {"    return counts": "    return np.cumsum(counts).tolist()"},
        ),
        Mistake(
            "column by column",
            "you began a new run in each column; a run goes on in the next.",
            {
                "    for pixel in mask.T.ravel():\n": (
                    "    for number, pixel in enumerate(mask.T.ravel()):\n"
                    "        if number and number % len(mask) == 0:\n"
                    "            counts.append(0)\n"
                    "            inside = bool(pixel)\n"
                )
            },
        ),
        Mistake(
            "runs of ones",
            "you wrote the runs of ones alone; those of zeros stand between them.",
            {"    return counts": "    return counts[1::2]"},
        ),
    ),
)
