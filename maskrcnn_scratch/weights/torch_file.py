"""What torch.save wrote, read without running code from it."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch


def read_torch_file(path: Path) -> Any:
    """The contents, on the CPU: zip files and those from before torch 1.6.

    Raises ValueError where the file is broken, or holds anything but tensors and plain
    containers.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is no file of plain tensors: {cause(error)}"
        ) from error
    except (RuntimeError, EOFError) as error:
        reason = (str(error) or "it ends too early").splitlines()[0]
        raise ValueError(f"{path} is no file of plain tensors: {reason}") from error


def cause(error: pickle.UnpicklingError) -> str:
    """Torch's message without its advice to run the file's code."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named:
        return (
            f"it names {named[1]}, which tensors do not need; where you have the"
            " program that made it, save the model's state_dict alone"
        )
    told = re.search(r"WeightsUnpickler error: (.*)", str(error))
    return told[1] if told else str(error).splitlines()[0]
