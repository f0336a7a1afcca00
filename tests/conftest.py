"""What every test shares: shape annotations checked at run time, seeds, data paths."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import pkgutil
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import settings
from typecheck import checked

# Without a GPU, CUDA kernels run in numba's simulator. It must be asked for before
# numba is imported.
if not torch.cuda.is_available():
    os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")

# One thread a process: pytest-xdist brings the processes, and torch's threads wait for
# each other by spinning, which on a busy machine makes them many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Shape annotations such as Float[Tensor, "rois 4"] are checked in every call that the
# tests make. cpu/ and cuda/ hold compiled code, which takes no Python wrappers.
CHECKED = ["structures", "ops", "models", "data", "evaluation", "weights", "inference"]
CHECKED += ["training"]
jaxtyping.install_import_hook(
    [f"maskrcnn_scratch.{floor}" for floor in CHECKED], "typecheck.checked"
)

settings.register_profile(
    "tests", deadline=None, derandomize=True, database=None, max_examples=40
)
settings.load_profile("tests")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def check_shapes_in_reference() -> None:
    """Check the reference's annotations too.

    The reference imports NumPy alone, so its modules name jaxtyping's types only under
    TYPE_CHECKING: here the names are put in place and every function is wrapped.
    """
    import maskrcnn_scratch.reference as package

    modules: list[ModuleType] = [
        importlib.import_module(f"{package.__name__}.{info.name}")
        for info in pkgutil.iter_modules(package.__path__)
    ]
    wrapped: dict[object, object] = {}
    for module in modules:
        for name in ("Bool", "Float", "Int", "Integer", "Shaped", "UInt8"):
            vars(module).setdefault(name, getattr(jaxtyping, name))
        for function in list(vars(module).values()):
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                check = jaxtyping.jaxtyped(typechecker=checked)(function)
                wrapped[function] = functools.wraps(function)(check)
    for module in modules:
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and value in wrapped:
                setattr(module, name, wrapped[value])


check_shapes_in_reference()


SIMULATED_EXAMPLES = 12
"""Of each property on the simulator, where a launch takes 0.1 s; 40 elsewhere."""


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run fewer of hypothesis's examples where the floor is slow.

    Settings belong to a test, whatever its parameters, so they are exchanged for the
    time of a call. (Were hypothesis to rename the attribute, all examples would run.)
    """
    callspec = getattr(pyfuncitem, "callspec", None)
    floor = callspec.params.get("floor") if callspec else None
    test, name = pyfuncitem.obj, "_hypothesis_internal_use_settings"
    usual = getattr(test, name, None)
    if usual is None or not str(floor).startswith("cuda-simulator"):
        return (yield)
    setattr(test, name, settings(usual, max_examples=SIMULATED_EXAMPLES))
    try:
        return (yield)
    finally:
        setattr(test, name, usual)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with the same seed in every test."""
    return np.random.default_rng(0)


@pytest.fixture
def shared_data() -> Path:
    """The folder of real images; the test skips where it is not there."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real images at {SHARED_DATA}")
    return SHARED_DATA


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which floors the property suites have run over, and how many tests each."""
    passed = terminalreporter.stats.get("passed", [])
    ids = [report.nodeid.partition("[")[2] for report in passed]
    names = ("reference", "ops", "cuda-simulator", "cuda-gpu")
    counts = {name: sum(name in parameters for parameters in ids) for name in names}
    exercised = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    terminalreporter.write_line(f"floors exercised (tests): {exercised or 'none'}")
