"""What must work, tried out: compiling, simulating, the GPU, COCO's masks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

from maskrcnn_scratch.doctor.check import REINSTALL, Check, trial

SIMULATOR_SECONDS = 120

ADD_ONE = """
import numpy as np
from numba import cuda

@cuda.jit
def add_one(values):
    i = cuda.grid(1)
    if i < values.size:
        values[i] += 1

values = np.zeros(5)
add_one[2, 3](values)
assert (values == 1).all(), values
"""


def check_numba() -> Check:
    """Compile a loop and run it."""

    def total(n: int) -> int:
        result = 0
        for i in range(n):
            result += i
        return result

    def compile_and_run() -> str:
        from numba import njit

        compiled = cast(Callable[[int], int], njit(total))
        if compiled(10) != total(10):
            raise ValueError(f"0 + 1 + ... + 9 came out as {compiled(10)}")
        return "compiles"

    return trial("numba", compile_and_run)


def check_simulator() -> Check:
    """Run a CUDA kernel in numba's simulator, in a process of its own.

    The simulator replaces numba.cuda, so it must be chosen before the first import.
    """

    def simulate() -> str:
        done = subprocess.run(
            [sys.executable, "-c", ADD_ONE],
            env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
            capture_output=True,
            text=True,
            timeout=SIMULATOR_SECONDS,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it crashed"])[-1]
            raise RuntimeError(last)
        return "runs a kernel"

    advice = f"only lessons on kernels need it; {REINSTALL}"
    return trial("CUDA simulator", simulate, "warning", advice)


def check_torch() -> Check:
    """Multiply two matrices."""

    def multiply() -> str:
        import torch

        if (torch.ones(3, 4) @ torch.ones(4, 2)).sum() != 24:
            raise ValueError("a product of ones came out wrong")
        return "computes"

    return trial("torch", multiply)


def check_gpu() -> Iterator[Check]:
    """The GPU as torch and as numba see it; having none is no fault."""
    import torch

    if not torch.cuda.is_available():
        yield check_unseen_gpu()
        return
    device = torch.cuda.get_device_properties(0)
    memory = f"{device.total_memory / 2**30:.0f} GiB"
    built = f"torch for CUDA {torch.version.cuda}"
    yield Check("GPU", "ok", f"{device.name}, {memory}, {built}")
    yield check_numba_cuda()


def check_unseen_gpu() -> Check:
    """Torch sees no GPU: is there none, or is something wrong?"""
    import torch

    if shutil.which("nvidia-smi") is None:
        return Check("GPU", "ok", "none: everything runs on the CPU")
    if torch.version.cuda is None:
        advice = "install a torch that is built for CUDA (README: a machine with a GPU)"
        return Check("GPU", "warning", "this torch is built for the CPU alone", advice)
    advice = f"nvidia-smi shows the driver's CUDA; {torch.version.cuda} is needed"
    return Check("GPU", "warning", "torch does not see it", advice)


def check_numba_cuda() -> Check:
    """Whether numba can compile for the GPU that torch sees."""
    import torch

    def ask_numba() -> str:
        from numba import cuda

        device: Any = cuda.get_current_device()
        return str(device.name)

    extra = "cuda12" if str(torch.version.cuda).startswith("12.") else "cuda13"
    advice = f'python -m pip install -c constraints.txt -e ".[{extra}]"'
    return trial("GPU for numba", ask_numba, "warning", advice)


def check_pycocotools() -> Check:
    """Turn a mask into run lengths and measure it."""

    def measure() -> str:
        import numpy as np
        from pycocotools import mask as mask_utils

        diagonal = mask_utils.encode(np.eye(3, dtype=np.uint8, order="F"))
        area, box = mask_utils.area(diagonal), mask_utils.toBbox(diagonal).tolist()
        if (area, box) != (3, [0, 0, 3, 3]):
            raise ValueError(f"a diagonal of 3 pixels has area {area} and box {box}")
        return "encodes and measures"

    return trial("pycocotools", measure)
