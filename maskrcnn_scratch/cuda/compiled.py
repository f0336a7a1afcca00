"""How kernels and the functions they call are compiled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import cuda

from maskrcnn_scratch.cpu.compiled import forget_stale_kernels


def kernel(function: Callable[..., None]) -> Any:
    """``@cuda.jit``: compiled at the first launch with new types, cached on disk."""
    return cuda.jit(function, cache=True)


def device(function: Callable[..., Any]) -> Any:
    """``@cuda.jit(device=True)``: a function that kernels call, inlined into them."""
    return cuda.jit(function, device=True)


forget_stale_kernels(Path(__file__).parent)
