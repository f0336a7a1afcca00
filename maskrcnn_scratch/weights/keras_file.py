"""Arrays from a Keras ``.h5`` file, by the names of its data sets alone.

HDF5 is a container of named arrays. Keras keeps a layer's under
``LAYER/.../LAYER/kernel:0``; here each is called ``LAYER/kernel``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_EXPANSION = 10
"""Bytes of numbers for each byte of file: weights hardly compress."""


def read_keras_file(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of numbers by name.

    Links to other files are not followed. Raises ValueError for a broken file, for data
    that lies outside it, and for arrays far larger than the file.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{path} is an HDF5 file, and h5py, which reads them, is not installed:"
            " pip install 'maskrcnn-scratch[h5]'"
        ) from error
    found: list[tuple[str, Any]] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
            found.append((name, item))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(note)
            require_plain(path, found)
            return by_layer(path, found)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path} is no readable HDF5 file: {error}") from error


def require_plain(path: Path, found: list[tuple[str, Any]]) -> None:
    """Refuse data sets that lie elsewhere, and claims beyond what the file can hold."""
    for name, dataset in found:
        if dataset.external or dataset.is_virtual:
            raise ValueError(f"{path}: {name} lies in another file, which is not read")
    claimed = sum(dataset.nbytes for _, dataset in found)
    if claimed > LARGEST_EXPANSION * path.stat().st_size:
        raise ValueError(
            f"{path}: its arrays claim {claimed:,} bytes, the file has"
            f" {path.stat().st_size:,}"
        )


def by_layer(path: Path, found: list[tuple[str, Any]]) -> dict[str, NDArray[Any]]:
    """``rpn_model/rpn_class_raw/kernel:0`` is called ``rpn_class_raw/kernel``."""
    arrays = {}
    for name, dataset in found:
        short = "/".join(name.split("/")[-2:]).removesuffix(":0")
        if short in arrays:
            raise ValueError(f"{path} has two arrays called {short}")
        arrays[short] = np.asarray(dataset)
    return arrays
