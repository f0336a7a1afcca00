"""The CUDA floor seen through the reference's signatures: what its adaptors share.

The kernels run in numba's simulator where there is no GPU, and on the GPU where there
is one (conftest decides, before numba is imported). Everything is float32 here.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrcnn_scratch.cuda.launch import SIMULATED

DEVICE = "cpu" if SIMULATED else "cuda"
NAME = "cuda-simulator" if SIMULATED else "cuda-gpu"

allocating = threading.Lock()


def shared_array(shared: Any, shape: Any, dtype: Any) -> Any:
    """One array for all threads of a block, known by the line that asks for it."""
    caller = sys._getframe(1)
    line = caller.f_code.co_filename, caller.f_lineno
    with allocating:
        if line not in shared._allocations:
            shared._allocations[line] = np.empty(shape, dtype)
        return shared._allocations[line]


if SIMULATED:
    # The simulator's own does the same without a lock: two threads may each make an
    # array, and one of them goes on alone. It happens, and the results are wrong.
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    FakeCUDAShared.array = shared_array


def to_tensor(value: Any, dtype: torch.dtype | None = None) -> Any:
    """An array as a tensor where the kernels run, real numbers as float32."""
    if not isinstance(value, np.ndarray):
        return value
    if dtype is None and value.dtype == np.float64:
        dtype = torch.float32
    return torch.from_numpy(value.copy()).to(DEVICE, dtype)


def to_array(value: Any) -> Any:
    """A result back on the CPU, as NumPy."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(to_array, value))
    return value.cpu().numpy() if isinstance(value, Tensor) else value
