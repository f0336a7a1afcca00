"""Exercise 13.4: a block adds up."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numba import cuda

from maskrcnn_scratch.learning.exercise import Exercise, Inputs, Mistake
from maskrcnn_scratch.learning.kernel_checks import KernelCall, kernel_laws

THREADS = 8


def block_sums(values: np.ndarray, out: np.ndarray) -> None:
    """A CUDA kernel: ``out[b]`` is the sum of the values of block b, one a thread.

    Thread n of the grid has ``values[n]``, of (n,) float32. A block has THREADS
    threads, in one axis. Threads of the last block may have no value, and count as 0.

    The threads of a block meet in shared memory, behind barriers. ``out`` (blocks,)
    holds nothing before.
    """
    cells = cuda.shared.array(THREADS, np.float32)
    t, n = cuda.threadIdx.x, cuda.grid(1)
    cells[t] = values[n] if n < values.shape[0] else 0.0
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if t < half:
            cells[t] += cells[t + half]
        cuda.syncthreads()
        half //= 2
    if t == 0:
        out[cuda.blockIdx.x] = cells[0]


@st.composite
def lists_of_values(draw: st.DrawFn) -> Inputs:
    """Halves, for one block to three."""
    count = draw(st.integers(1, 3 * THREADS))
    halves = st.lists(st.integers(-9, 9).filter(bool), min_size=count, max_size=count)
    return {
        "values": np.array(draw(halves), np.float32) / 2,
        "blocks": -(-count // THREADS),
        "threads": THREADS,
    }


def call(values: np.ndarray, blocks: int, threads: int) -> KernelCall:
    """The launch."""
    arguments = {"values": values, "out": np.empty(blocks, np.float32)}
    return KernelCall(blocks, threads, arguments, "out")


def sums(values: np.ndarray, **grid: Any) -> np.ndarray:
    """A block's values at a time."""
    parts = range(0, len(values), THREADS)
    return np.array([values[k : k + THREADS].sum() for k in parts])


EXERCISE = Exercise(
    id="ex13_4",
    title="A block adds up",
    objective="Let the threads of a block add up in shared memory, behind barriers.",
    difficulty=3,
    minutes=30,
    task=(
        "Write the kernel `block_sums(values, out)`. One thread that adds up alone "
        "would need 7 steps for 8 values; a tree needs 3. Any correct way is accepted."
    ),
    hints=(
        "`cuda.shared.array(THREADS, np.float32)` makes an array that the block "
        "shares; each thread puts its value there, 0 where it has none. Then "
        "`cuda.syncthreads()`.",
        "Half of the threads add the other half's cells to their own: `cells[t] += "
        "cells[t + half]` where t < half. Then a quarter, and so on.",
        "All threads come to every barrier, those without work too: no `return` before "
        "it, and it does not stand under the `if`.",
        "In the end cells[0] has the sum, and thread 0 writes it to "
        "`out[cuda.blockIdx.x]`.",
    ),
    solution=block_sums,
    imports="import numpy as np\nfrom numba import cuda\n\nTHREADS = 8",
    laws=kernel_laws(
        "The recorder finds no fault, and each block's sum is right.",
        *(lists_of_values(), call, sums),
    ),
    mistakes=(
        Mistake(
            "no barrier before the sum",
            "you add up while other threads may not have put their values there: a "
            "barrier belongs between.",
            {"    cuda.syncthreads()\n    half": "    half"},
        ),
        Mistake(
            "no barrier between rounds",
            "you begin a round while others are still in the round before: each round "
            "needs a barrier.",
            {"        cuda.syncthreads()\n        half //= 2": "        half //= 2"},
        ),
        Mistake(
            "barrier under the condition",
            "your barrier stands under `if t < half`: the other threads never come to "
            "it. Move it out.",
            {
                "+ half]\n        cuda.syncthreads()": "+ half]\n"
                "            cuda.syncthreads()"
            },
        ),
        Mistake(
            "early return",
            "threads without a value return before the barrier, at which the others "
            "wait for them: let them put 0 instead.",
            {
                "cells[t] = values[n] if n < values.shape[0] else 0.0": "if n >= "
                "values.shape[0]:\n        return\n    cells[t] = values[n]"
            },
        ),
        Mistake(
            "no guard",
            "you let every thread read a value; the last block has more threads than "
            "there are values left.",
            {" if n < values.shape[0] else 0.0": ""},
        ),
        Mistake(
            "cells left empty",
            "you leave the cells of threads without a value as they are: shared memory "
            "holds no zeros at the start, but what was there.",
            {
                "cells[t] = values[n] if n < values.shape[0] else 0.0": "if n < "
                "values.shape[0]:\n        cells[t] = values[n]"
            },
        ),
        Mistake(
            "everybody writes",
            "you let all threads of the block write the sum: one is enough.",
            {"if t == 0:": "if True:"},
        ),
        Mistake(
            "a round too few",
            "you stop before the last round: half is 1 in it.",
            {"while half > 0": "while half > 1"},
        ),
        Mistake(
            "a thread too many",
            "you wrote `<=`: thread `half` takes part too, past the last cell in the "
            "first round, and while its own cell is read in those after it.",
            {"if t < half:": "if t <= half:"},
        ),
        Mistake(
            "neighbours",
            "you added the next cell, not the one `half` further: neighbours read and "
            "write each other's cells in one round.",
            {"cells[t + half]": "cells[t + 1]"},
        ),
        Mistake(
            "whole numbers",
            "your shared array has an integer type, which cuts off the fractions.",
            {
                "cuda.shared.array(THREADS, np.float32)": "cuda.shared.array(THREADS, "
                "np.int32)"
            },
        ),
        Mistake(
            "block forgotten",
            "you took the thread's number in its block for its number in the grid: "
            "every block adds up the first values.",
            {"cuda.grid(1)": "cuda.threadIdx.x"},
        ),
        Mistake(
            "one place for all",
            "every block writes to `out[0]`: block b has `out[b]`.",
            {"out[cuda.blockIdx.x]": "out[0]"},
        ),
        Mistake(
            "sum without shared memory",
            "you let all threads add to one number with `+=`: updates are lost, and "
            "the number holds nothing at the start.",
            """
            n = cuda.grid(1)
            if n < values.shape[0]:
                out[cuda.blockIdx.x] += values[n]
            """,
        ),
    ),
)
