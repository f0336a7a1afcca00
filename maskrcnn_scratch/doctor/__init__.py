"""Whether this machine can do what the package is for, and what to do where it cannot.

Each check looks at one thing by using it. It imports what it looks at, so that a broken
library shows as a finding and not as a traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from maskrcnn_scratch.doctor.check import Check
from maskrcnn_scratch.doctor.libraries import check_extras, check_libraries
from maskrcnn_scratch.doctor.machine import (
    check_data,
    check_disk,
    check_python,
    check_threads,
)
from maskrcnn_scratch.doctor.trials import (
    check_gpu,
    check_numba,
    check_pycocotools,
    check_simulator,
    check_torch,
)

__all__ = ["Check", "examine"]


def examine(data: Path | None = None) -> Iterator[Check]:
    """All checks, as they are made; ``data`` is a COCO-format folder to look at too."""
    yield check_python()
    yield from check_libraries()
    yield from check_extras()
    yield check_numba()
    yield check_simulator()
    torch_works = check_torch()
    yield torch_works
    if torch_works.severity == "ok":
        yield from check_gpu()
    yield check_pycocotools()
    yield check_threads()
    yield check_disk(Path.cwd())
    if data is not None:
        yield check_data(data)
