"""One small call of every function of the CUDA floor, for whole-floor checks.

An example takes a device and the features' type, and returns what the function
returned. The examples run in the simulator, are compiled to PTX, and pass the
recorder; on a GPU they run there. Between them they launch every kernel.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Example = Callable[[str, torch.dtype], Any]

FEATURE_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def examples() -> dict[str, Example]:
    """All examples by name; the modules cuda_examples_*.py hold them in EXAMPLES."""
    found: dict[str, Example] = {}
    for path in sorted(Path(__file__).parent.glob("cuda_examples_*.py")):
        found |= importlib.import_module(path.stem).EXAMPLES
    return found
