"""The CUDA floor seen through the reference's signatures: what its adaptors share.

The kernels run in numba's simulator where there is no GPU, and on the GPU where there
is one (conftest decides, before numba is imported). Everything is float32 here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrcnn_scratch.cuda.launch import SIMULATED

DEVICE = "cpu" if SIMULATED else "cuda"
NAME = "cuda-simulator" if SIMULATED else "cuda-gpu"


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
