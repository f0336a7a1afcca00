"""Exercise 13.5: which box drops which, as bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numba import cuda

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Mistake
from maskrcnn_scratch.learning.kernel_checks import KernelCall, kernel_laws
from maskrcnn_scratch.reference.boxes import box_iou

BITS = 8


def overlap_bits(boxes: np.ndarray, threshold: float, bits: np.ndarray) -> None:
    """A CUDA kernel: which later boxes overlap with a box by more than ``threshold``.

    ``boxes`` (n, 4) are float32 xyxy in image pixels, the best score first. Bit k of
    ``bits[i, w]`` is 1 where j = BITS * w + k is the number of a box with j > i and
    IoU(i, j) > threshold; all other bits are 0.

    The grid has two axes and covers ``bits`` (n, words), int32: x runs along the words,
    y along the boxes i. ``bits`` holds nothing before.
    """
    w, i = cuda.grid(2)
    n = boxes.shape[0]
    if i >= n or w >= bits.shape[1]:
        return
    x1, y1, x2, y2 = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
    word = 0
    for k in range(BITS):
        j = BITS * w + k
        if i < j < n:
            width = min(x2, boxes[j, 2]) - max(x1, boxes[j, 0])
            height = min(y2, boxes[j, 3]) - max(y1, boxes[j, 1])
            shared = max(width, 0) * max(height, 0)
            other = (boxes[j, 2] - boxes[j, 0]) * (boxes[j, 3] - boxes[j, 1])
            union = (x2 - x1) * (y2 - y1) + other - shared
            if shared > threshold * union:
                word |= 1 << k
    bits[i, w] = word


@st.composite
def boxes_and_grids(draw: st.DrawFn) -> Inputs:
    """Boxes that often overlap, of whole pixels, and a grid."""
    count = draw(st.integers(2, BITS + 3))
    places = st.tuples(*(st.integers(0, 3) for _ in range(2)))
    sides = st.tuples(*(st.integers(1, 4) for _ in range(2)))
    rows = []
    for _ in range(count):
        (x, y), (width, height) = draw(places), draw(sides)
        rows.append((x, y, x + width, y + height))
    threads = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    words = -(-count // BITS)
    return {
        "boxes": np.array(rows, np.float32),
        "threshold": draw(st.sampled_from([0.5, 0.25])),
        "blocks": (-(-words // threads[0]), -(-count // threads[1])),
        "threads": threads,
    }


def call(boxes: np.ndarray, threshold: float, blocks: Any, threads: Any) -> KernelCall:
    """The launch."""
    bits = np.empty((len(boxes), -(-len(boxes) // BITS)), np.int32)
    arguments = {"boxes": boxes, "threshold": threshold, "bits": bits}
    return KernelCall(blocks, threads, arguments, "bits")


def bits_of(boxes: np.ndarray, threshold: float, **grid: Any) -> np.ndarray:
    """From the matrix of the specification's IoU."""
    n = len(boxes)
    drops = np.triu(box_iou(boxes, boxes) > threshold, k=1)
    words = np.zeros((n, -(-n // BITS) * BITS), np.int64)
    words[:, :n] = drops
    return np.asarray((words.reshape(n, -1, BITS) << np.arange(BITS)).sum(axis=2))


PAIR = "if i < j < n:"

EXERCISE = Exercise(
    id="ex13_5",
    title="Which box drops which",
    objective="Compare all pairs of boxes in parallel, and pack the answers into bits.",
    difficulty=3,
    minutes=30,
    task=(
        "NMS is a chain: whether a box drops others depends on whether it was dropped. "
        "But who *would* drop whom is a question for each pair alone. Write the kernel "
        "`overlap_bits(boxes, threshold, bits)` that answers it for BITS pairs a "
        "thread. (The package's own kernel does 64.)"
    ),
    hints=(
        "`w, i = cuda.grid(2)`: a thread has one word of one box's row. Threads with "
        "i >= n or w >= the number of words have none.",
        "It looks at the boxes j = BITS * w + k, k from 0 to BITS - 1, and skips those "
        "with j <= i and with j >= n.",
        "Collect the bits in a plain variable, `word |= 1 << k`, and write it once.",
        "shared = max(width, 0) * max(height, 0) with width = min(x2) - max(x1); union "
        "= area + area - shared; the bit is 1 where shared > threshold * union.",
    ),
    solution=overlap_bits,
    imports="import numpy as np\nfrom numba import cuda\n\nBITS = 8",
    laws=kernel_laws(
        "The recorder finds no fault, and the bits are those of the specification's "
        "IoU.",
        *(boxes_and_grids(), call, bits_of),
    ),
    mistakes=(
        Mistake(
            "drops itself",
            "you compared a box with itself, which overlaps fully: only later boxes, "
            "j > i.",
            {PAIR: "if i <= j < n:"},
        ),
        Mistake(
            "drops the better ones",
            "you let a box drop those before it, which have better scores: only later "
            "boxes, j > i.",
            {PAIR: "if j != i and j < n:"},
        ),
        Mistake(
            "past the last box",
            "you read boxes past the last one: the last word has more bits than there "
            "are boxes left.",
            {PAIR: "if i < j:"},
        ),
        Mistake(
            "no guard",
            "you let threads beyond the last box or word go on.",
            {"if i >= n or w >= bits.shape[1]:": "if False:"},
        ),
        Mistake(
            "guard of one axis",
            "you guarded the boxes alone: the grid also covers more than the words.",
            {"if i >= n or w >= bits.shape[1]:": "if i >= n:"},
        ),
        Mistake(
            "x for y",
            "you took x for the box and y for the word: the grid's x runs along words.",
            {"w, i = cuda.grid(2)": "i, w = cuda.grid(2)"},
        ),
        Mistake(
            "wrong stride",
            "your words overlap: word w begins at box BITS * w.",
            {"j = BITS * w + k": "j = w + k"},
        ),
        Mistake(
            "bits backwards",
            "you counted bits from the left: bit k is 1 << k.",
            {"1 << k": "1 << (BITS - 1 - k)"},
        ),
        Mistake(
            "last bit alone",
            "you set the word with `=`, so only the last bit stays: `|=`.",
            {"word |= 1 << k": "word = 1 << k"},
        ),
        Mistake(
            "inclusive end",
            "you added 1 to widths and heights: a box from x1 to x2 is x2 - x1 wide.",
            {
                "min(x2, boxes[j, 2]) - max(x1, boxes[j, 0])": "min(x2, boxes[j, 2]) "
                "- max(x1, boxes[j, 0]) + 1",
                "min(y2, boxes[j, 3]) - max(y1, boxes[j, 1])": "min(y2, boxes[j, 3]) "
                "- max(y1, boxes[j, 1]) + 1",
                "(boxes[j, 2] - boxes[j, 0]) * (boxes[j, 3] - boxes[j, 1])": "(boxes"
                "[j, 2] - boxes[j, 0] + 1) * (boxes[j, 3] - boxes[j, 1] + 1)",
                "(x2 - x1) * (y2 - y1)": "(x2 - x1 + 1) * (y2 - y1 + 1)",
            },
        ),
        Mistake(
            "negative sides",
            "you multiplied two negative sides of boxes that do not meet: a side is at "
            "least 0.",
            {"max(width, 0) * max(height, 0)": "width * height"},
        ),
        Mistake(
            "shared counted twice",
            "you forgot to subtract the shared area from the sum of the two.",
            {" + other - shared": " + other"},
        ),
        Mistake(
            "not strict",
            "you wrote `>=`: an IoU of exactly the threshold drops nothing.",
            {"shared > threshold": "shared >= threshold"},
        ),
        Mistake(
            "own area alone",
            "you divided by the area of box i alone: IoU divides by the union.",
            {" + other - shared": ""},
        ),
        Mistake(
            "added to nothing",
            "you wrote `|=` into an array that holds nothing yet: set it with `=`.",
            {"bits[i, w] = word": "bits[i, w] |= word"},
        ),
    ),
)
