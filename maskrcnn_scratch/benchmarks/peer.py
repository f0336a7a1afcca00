"""The other library. It is no dependency: only benchmarks import it, and only here."""

from __future__ import annotations

import importlib
from types import ModuleType


def torchvision() -> ModuleType:
    """torchvision, with its models and operators.

    Raises ValueError where it is not installed.
    """
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        raise ValueError(
            "--against torchvision needs torchvision, which is no dependency of this"
            " package: install the release that goes with your torch"
            " (pip install torchvision, 0.28 for torch 2.13), or leave --against out"
        ) from error
