"""Exercise 13.1: a thread for each pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numba import cuda

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Mistake
from maskrcnn_scratch.learning.kernel_checks import KernelCall, kernel_laws


def normalise(image: np.ndarray, mean: float, scale: float, out: np.ndarray) -> None:
    """A CUDA kernel: ``out[y, x] = (image[y, x] - mean) * scale``, a thread a pixel.

    It is launched with blocks of two axes, of any size. The x of blocks and threads
    runs along the columns of ``image`` (height, width), the y along its rows. The grid
    covers the image, and blocks at its right and lower edge may stand out.

    ``out`` has the image's shape. It holds nothing before, and all of it is written.
    """
    x, y = cuda.grid(2)
    if x < image.shape[1] and y < image.shape[0]:
        out[y, x] = (image[y, x] - mean) * scale


@st.composite
def counted_maps(draw: st.DrawFn, largest: int = 5) -> np.ndarray:
    """1, 2, 3, ... in any order: what lands in a wrong place is seen."""
    height, width = draw(st.integers(2, largest)), draw(st.integers(2, largest))
    values = draw(st.permutations(range(1, height * width + 1)))
    return np.array(values, np.float32).reshape(height, width)


@st.composite
def images_and_grids(draw: st.DrawFn) -> Inputs:
    """A small image, and a grid that covers it."""
    image = draw(counted_maps())
    height, width = image.shape
    threads = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    return {
        "image": image,
        "mean": float(draw(st.integers(-3, 3))),
        "scale": draw(st.sampled_from([2.0, 1.0, 0.5, -1.0])),
        "blocks": (-(-width // threads[0]), -(-height // threads[1])),
        "threads": threads,
    }


def call(
    image: np.ndarray, mean: float, scale: float, blocks: Any, threads: Any
) -> KernelCall:
    """The launch."""
    arguments = {"image": image, "mean": mean, "scale": scale}
    arguments["out"] = np.empty_like(image)
    return KernelCall(blocks, threads, arguments, "out")


def normalised(
    image: np.ndarray, mean: float, scale: float, blocks: Any, threads: Any
) -> np.ndarray:
    """The formula, of all pixels at once."""
    return np.asarray((image - mean) * scale)


IMPORTS = "import numpy as np\nfrom numba import cuda"
GUARD = "if x < image.shape[1] and y < image.shape[0]:"

EXERCISE = Exercise(
    id="ex13_1",
    title="A thread for each pixel",
    objective="Find a thread's pixel, and keep the threads that have none away.",
    difficulty=1,
    minutes=15,
    task=(
        "Write the kernel `normalise(image, mean, scale, out)`, the first thing that "
        "a detector does with a picture. A kernel is a plain function here; "
        "`@cuda.jit` may stand above it. It is run by the recorder, in a grid of "
        "blocks of two axes, so no GPU is needed."
    ),
    hints=(
        "Thread t of block b, of B threads a block, is number b * B + t of its axis. "
        "`cuda.grid(2)` gives both axes at once: x first, then y.",
        "The grid is made of whole blocks, so some threads stand beyond the image: "
        "compare x with the width and y with the height before you read.",
        "The first index of an array is the row: `out[y, x]`.",
    ),
    solution=normalise,
    imports=IMPORTS,
    laws=kernel_laws(
        "The recorder finds no fault, and each pixel is (image - mean) * scale.",
        *(images_and_grids(), call, normalised),
    ),
    mistakes=(
        Mistake(
            "no guard",
            "you let every thread read and write; those of the last blocks that stand "
            "beyond the image must do nothing.",
            {GUARD: "if True:"},
        ),
        Mistake(
            "guard one too far",
            "you wrote `<=` where `<` is meant: of n columns the last is n - 1.",
            {GUARD: "if x <= image.shape[1] and y <= image.shape[0]:"},
        ),
        Mistake(
            "guard of the other axis",
            "you compared x with the height and y with the width: shape is (height, "
            "width), so its first entry belongs to y.",
            {GUARD: "if x < image.shape[0] and y < image.shape[1]:"},
        ),
        Mistake(
            "guard of one axis",
            "you guarded x alone: blocks also stand out at the lower edge.",
            {GUARD: "if x < image.shape[1]:"},
        ),
        Mistake(
            "x for y",
            "you took the first number of `cuda.grid(2)` for the row: it is x, the "
            "column, along which neighbouring threads lie.",
            {"x, y = cuda.grid(2)": "y, x = cuda.grid(2)"},
        ),
        Mistake(
            "block forgotten",
            "you took the thread's place in its block for its place in the grid: add "
            "the block's number times the block's size.",
            {"x, y = cuda.grid(2)": "x = cuda.threadIdx.x\n    y = cuda.threadIdx.y"},
        ),
        Mistake(
            "size of the other axis",
            "you multiplied the block's number with the size of the other axis: x goes "
            "with blockDim.x, y with blockDim.y.",
            {
                "x, y = cuda.grid(2)": "x = cuda.blockIdx.x * cuda.blockDim.y "
                "+ cuda.threadIdx.x\n"
                "    y = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.y"
            },
        ),
        Mistake(
            "counted from one",
            "you count threads from 1: they count from 0, so the first row and column "
            "stay unwritten.",
            {"x, y = cuda.grid(2)": "x, y = cuda.grid(2)\n    x, y = x + 1, y + 1"},
        ),
        Mistake(
            "last row and column",
            "you stop before the last row and column: indices go up to the size minus "
            "1, so compare with the size itself.",
            {GUARD: "if x < image.shape[1] - 1 and y < image.shape[0] - 1:"},
        ),
        Mistake(
            "added to nothing",
            "you wrote `+=` into an array that holds nothing yet: set it with `=`.",
            {"out[y, x] = ": "out[y, x] += "},
        ),
        Mistake(
            "transposed",
            "you wrote to `out[x, y]`: the first index of an array is the row, y.",
            {"out[y, x] =": "out[x, y] ="},
        ),
        Mistake(
            "order of the formula",
            "you scaled first and subtracted the mean after it.",
            {"(image[y, x] - mean) * scale": "image[y, x] * scale - mean"},
        ),
        Mistake(
            "written into the input",
            "you wrote the result into `image`, which is read-only: it goes to `out`.",
            {"out[y, x] = ": "image[y, x] = "},
        ),
    ),
)
