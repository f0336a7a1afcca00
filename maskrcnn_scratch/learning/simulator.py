"""numba's CUDA simulator, for one launch, in any process.

NUMBA_ENABLE_CUDASIM=1 makes every kernel of a process a simulated one, if it is set
before numba is imported. This runs a single one so, whatever the process is set to.
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any

import numpy as np
from numba.cuda.simulator import kernel as simulator
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
from numba.cuda.simulator.kernel import FakeCUDAKernel

from maskrcnn_scratch.learning.recorder.rebuild import (
    all_code,
    loaded_globals,
    members_of,
    python_function,
)


def simulate(kernel: Any, blocks: Any, threads: Any, *arguments: Any) -> None:
    """Run ``kernel[blocks, threads](*arguments)``, a Python thread for each thread.

    Arrays get the results. A pass is no evidence: threads start one after the other, an
    index below 0 counts from the end, and ``+=`` seldom meets another thread. What a
    kernel raises is raised here.
    """
    simulated = FakeCUDAKernel(in_own_scope(python_function(kernel), {}), device=False)
    simulated[blocks, threads](
        *(FakeCUDAArray(a) if isinstance(a, np.ndarray) else a for a in arguments)
    )


def in_own_scope(
    function: FunctionType, done: dict[FunctionType, FunctionType]
) -> FunctionType:
    """The function with globals of its own, in which numba's are simulated.

    The simulator itself exchanges ``cuda``, and knows neither its members by their own
    names nor device functions that were decorated outside of it.
    """
    if function in done:
        return done[function]
    scope = dict(function.__globals__)
    copy = FunctionType(
        function.__code__,
        scope,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    done[function] = copy
    members = members_of(sys.modules.get("numba.cuda"))
    for code in all_code(function.__code__):
        for name in loaded_globals(code) & scope.keys():
            value = scope[name]
            under = getattr(value, "py_func", value)
            path = members.get(id(value))
            if path is not None:
                scope[name] = Member(path)
            elif isinstance(under, FunctionType) and is_own(value, under, function):
                scope[name] = FakeCUDAKernel(in_own_scope(under, done), device=True)
    return copy


def is_own(value: Any, under: FunctionType, kernel: FunctionType) -> bool:
    """Whether it is a device function, or a plain one of the kernel's module."""
    if isinstance(value, FakeCUDAKernel):
        return False
    return value is not under or under.__globals__ is kernel.__globals__


class Member:
    """A member of ``cuda`` that was imported by its name, as ``threadIdx``."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self._path = path

    def _now(self) -> Any:
        found = simulator._get_kernel_context()
        for name in self._path:
            found = getattr(found, name)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now(), name)

    def __call__(self, *arguments: Any) -> Any:
        return self._now()(*arguments)
