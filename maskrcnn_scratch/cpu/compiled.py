"""How every kernel is compiled, and the type of what it works on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

Array = np.ndarray[Any, np.dtype[Any]]
Kernel = TypeVar("Kernel", bound=Callable[..., object])


def compiled(function: Kernel) -> Kernel:
    """Compiled at the first call with new types, and cached on disk.

    It runs without Python's global lock, so ``threads`` can run several side by side,
    and divides as NumPy does, without raising. No fastmath: coordinates and weights
    keep their exact order of operations.
    """
    kernel = njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast(Kernel, kernel)
