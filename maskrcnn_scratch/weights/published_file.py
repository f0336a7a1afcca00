"""Weights that others published, in any of the four formats that they come in.

Which format it is, the file's first bytes say; no code from it is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from maskrcnn_scratch.weights.keras_file import read_keras_file
from maskrcnn_scratch.weights.pickle_file import read_pickle
from maskrcnn_scratch.weights.torch_file import read_torch_file

TORCH_BEFORE_ZIP = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""A pickle of the number 0x1950a86a20f9469cfc6c, which torch wrote first until 1.6."""

WRAPPERS = ("model", "state_dict", "blobs", "model_state")
"""Under which key training scripts keep the weights beside other things."""


@dataclass(frozen=True)
class PublishedFile:
    """The tensors of a file by their names in it."""

    path: Path
    format: str
    tensors: dict[str, Tensor]
    others: list[str]
    """Entries that are no tensors."""


def read_published(path: str | Path) -> PublishedFile:
    """Read a .pth, .pkl, .h5 or .safetensors file.

    Raises FileNotFoundError, or ValueError for anything but names and tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    kind = format_of(path)
    if kind == "HDF5":
        contents: Any = read_keras_file(path)
    elif kind == "safetensors":
        contents = read_safetensors(path)
    elif kind == "pickle":
        contents = read_pickle(path)
    else:
        contents = read_torch_file(path)
    named = state_dict_in(contents, path)
    tensors = {name: as_tensor(value) for name, value in named.items()}
    return PublishedFile(
        path,
        kind,
        {name: tensor for name, tensor in tensors.items() if tensor is not None},
        sorted(name for name, tensor in tensors.items() if tensor is None),
    )


def format_of(path: Path) -> str:
    """By the first bytes; a pickle of Python 2's first protocols by its suffix."""
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "HDF5"
    if start.startswith(b"PK\x03\x04"):
        return "torch zip"
    if start.startswith(TORCH_BEFORE_ZIP):
        return "torch before 1.6"
    if start[8:9] == b"{":
        return "safetensors"
    if start[:1] == b"\x80" or path.suffix in (".pkl", ".pickle"):
        return "pickle"
    raise ValueError(
        f"{path} is none of the files that are read: torch's .pth, a pickle (.pkl),"
        " HDF5 (.h5) or .safetensors"
    )


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors by name."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error


def state_dict_in(contents: Any, path: Path) -> dict[str, Any]:
    """The dict that holds the weights: the file's own, or the one under a wrapper."""
    if isinstance(contents, dict):
        inner = [contents[key] for key in WRAPPERS if key in contents]
        if inner and isinstance(inner[0], dict):
            contents = inner[0]
        if contents and all(isinstance(name, str) for name in contents):
            return dict(contents)
    raise ValueError(f"{path} holds no state dict; expected tensors by name")


def as_tensor(value: Any) -> Tensor | None:
    """A tensor that owns its numbers; None for what is none."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray):
        # Shapes survive: ascontiguousarray alone would give a scalar an axis.
        return torch.from_numpy(np.ascontiguousarray(value)).view(value.shape)
    return None
