"""Rebuilding a kernel's Python function with stand-ins for what a GPU would give it.

The byte code stays; globals and closure cells are replaced, and those of the device
functions that it calls, and so on.
"""

from __future__ import annotations

import builtins
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrcnn_scratch.learning.recorder.faults import NotRecordable, instructions_of
from maskrcnn_scratch.learning.recorder.numbers import Math, largest, smallest

BUILTINS = {
    **{
        name: getattr(builtins, name)
        for name in (
            *("abs", "bool", "complex", "divmod", "enumerate", "float", "int", "len"),
            *("pow", "print", "range", "round", "slice", "tuple", "zip"),
            *("isinstance", "type", "all", "any", "sum"),
            *("AssertionError", "ValueError", "IndexError", "NotImplementedError"),
            *("RuntimeError", "TypeError", "Exception"),
        )
    },
    "min": smallest,
    "max": largest,
}
"""What a kernel may call without importing it."""
CONSTANTS = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype)


def python_function(kernel: Any) -> FunctionType:
    """The function under ``@cuda.jit``, on a GPU, without one, and in the simulator."""
    function = getattr(kernel, "py_func", None) or getattr(kernel, "fn", None)
    if isinstance(function, FunctionType):
        return function
    if isinstance(kernel, FunctionType):
        return kernel
    raise NotRecordable(f"{kernel!r} is no kernel: decorate a function with @cuda.jit")


class Rebuilder:
    """Rebuilds functions, each once, with one stand-in for ``numba.cuda``."""

    def __init__(
        self, cuda: Any, owner: object, constant: Callable[[str, NDArray[Any]], Any]
    ) -> None:
        self.cuda, self.owner, self.constant = cuda, owner, constant
        self.done: dict[int, FunctionType] = {}
        self.names: set[str] = set()  # of all attributes and globals that code uses
        self.members = members_of(sys.modules.get("numba.cuda"))

    def function(self, function: FunctionType) -> FunctionType:
        """The same code with other globals and cells."""
        if id(function) in self.done:
            return self.done[id(function)]
        code = function.__code__
        cells = tuple(CellType() for _ in function.__closure__ or ())
        scope = {"__builtins__": BUILTINS, "__recorder__": self.owner}
        rebuilt = FunctionType(code, scope, function.__name__, None, cells)
        self.done[id(function)] = rebuilt  # now: it may call itself
        rebuilt.__defaults__ = function.__defaults__
        rebuilt.__kwdefaults__ = function.__kwdefaults__
        inner = list(all_code(code))
        self.names.update(*(one.co_names for one in inner))
        for name in {name for one in inner for name in loaded_globals(one)}:
            where = f"{function.__qualname__} uses {name}"
            if name in function.__globals__:
                scope[name] = self.value(function.__globals__[name], where)
            elif hasattr(builtins, name) and name not in BUILTINS:
                raise NotRecordable(f"{where}, which no kernel can call")
        for stand_in in [one for one in scope.values() if type(one) is ModuleStandIn]:
            stand_in.prepare(self.names)
        for mine, its in zip(cells, function.__closure__ or (), strict=True):
            try:
                content = its.cell_contents
            except ValueError:  # empty, as of a function that is defined later
                continue
            mine.cell_contents = self.value(content, f"{function.__qualname__} uses")
        return rebuilt

    def value(self, value: Any, where: str) -> Any:
        """What stands in for a global or a closure's variable."""
        if isinstance(value, ModuleType):
            return self.module(value)
        member = self.members.get(id(value))
        if member is not None:
            self.names.add(member[-1])
            return self.cuda.member(member)
        if isinstance(value, CONSTANTS) or is_numba_type(value):
            return value
        if isinstance(value, (tuple, list)):
            return tuple(self.value(entry, where) for entry in value)
        if isinstance(value, np.ndarray):
            return self.constant(where.split()[-1], value)
        under = getattr(value, "py_func", None) or getattr(value, "fn", value)
        source = str(getattr(under, "__module__", ""))
        if source == "numba.cuda.libdevice":
            return getattr(self.cuda.libdevice, under.__name__)
        if isinstance(under, FunctionType) and not source.startswith("numba."):
            return self.function(under)
        name = str(getattr(value, "__name__", ""))
        if getattr(math, name, None) is value:
            return getattr(Math(), name)
        if BUILTINS.get(name) is value or getattr(np, name, None) is value:
            return value
        kind = type(value).__name__
        raise NotRecordable(f"{where}, a {kind}, for which there is no stand-in")

    def module(self, module: ModuleType) -> Any:
        """numba's, math, NumPy, and modules that hold device functions."""
        if module is sys.modules.get("numba.cuda"):
            return self.cuda
        if module is math:
            return Math()
        if module is np:
            return np
        if id(module) in self.members:
            return self.cuda.member(self.members[id(module)])
        return ModuleStandIn(self, module)


class ModuleStandIn:
    """A module whose members are rebuilt when a kernel asks for them."""

    def __init__(self, rebuilder: Rebuilder, module: ModuleType) -> None:
        self._rebuilder, self._module = rebuilder, module

    def prepare(self, names: set[str]) -> None:
        """Rebuild the device functions of these names now, to know what they call."""
        for name in list(names):
            member = getattr(self._module, name, None)
            if hasattr(member, "py_func") or isinstance(member, FunctionType):
                self._rebuilder.value(member, f"the kernel uses {name}")

    def __getattr__(self, name: str) -> Any:
        where = f"the kernel uses {self._module.__name__}.{name}"
        return self._rebuilder.value(getattr(self._module, name), where)


@cache
def members_of(module: ModuleType | None) -> dict[int, tuple[str, ...]]:
    """``cuda_members`` of numba.cuda, where it is imported."""
    return dict(cuda_members(module)) if module else {}


def cuda_members(module: ModuleType) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The path in numba.cuda of each of its stubs, by identity.

    So a stub is known where a module imported it alone, as in
    ``from numba.cuda import syncthreads``. The simulator has none.
    """
    for name, value in vars(module).items():
        source = str(
            getattr(value, "__module__", None) or getattr(value, "__name__", "")
        )
        if not source.startswith("numba.cuda") or is_numba_type(value):
            continue
        if isinstance(value, ModuleType) and name not in ("libdevice", "cg"):
            continue
        yield id(value), (name,)
        if isinstance(value, type) and name in ("shared", "local", "const", "atomic"):
            for inner in vars(value):
                if not inner.startswith("_"):
                    yield id(getattr(value, inner)), (name, inner)


def is_numba_type(value: Any) -> bool:
    """float32 and its like: they convert a number when called."""
    classes = {one.__name__ for one in type(value).__mro__}
    return "Type" in classes and type(value).__module__.startswith("numba")


def all_code(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions within."""
    yield code
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from all_code(constant)


def loaded_globals(code: CodeType) -> set[str]:
    """The globals that the code reads."""
    names = set(code.co_names)
    if not names:
        return names
    loads = ("LOAD_GLOBAL", "LOAD_NAME")
    return {i.argval for i in instructions_of(code) if i.opname in loads}


def stored_name(code: CodeType, offset: int) -> str | None:
    """The variable that takes the result of a call at an offset."""
    later = (i for i in instructions_of(code) if i.offset > offset)
    for instruction in later:
        if instruction.opname.startswith("STORE_FAST"):
            value = instruction.argval
            return str(value[0] if isinstance(value, tuple) else value)
        if instruction.opname == "STORE_DEREF":
            return str(instruction.argval)
        if instruction.opname not in ("CACHE", "PRECALL", "CALL"):
            return None
    return None
