"""How every kernel is compiled, and the type of what it works on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

FOLDER = Path(__file__).parent
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


def forget_stale_kernels(folder: Path) -> None:
    """Drop what numba cached before the newest change to the sources in ``folder``.

    numba compares a cached kernel with the file it was written in alone, not with those
    of the functions it calls; after an edit to one of those it would run old code.
    """
    newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
    for index in (folder / "__pycache__").glob("*.nbi"):
        with suppress(OSError):  # read-only, or another process was quicker
            if index.stat().st_mtime < newest:
                index.unlink()


forget_stale_kernels(FOLDER)
