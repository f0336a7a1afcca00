"""Compile every kernel of the package to PTX, without a GPU; run as a script.

    python tests/ptx.py [compute capability, such as 90, ...]

Calls every example of ``cuda_examples`` with launches that compile instead of running:
what the simulator never sees, types above all, is checked so. Prints JSON: for each
kernel and compute capability the number of argument types it was compiled for, and the
errors, and how often float64 is multiplied and added in one instruction, with one
rounding. Where ``ptxas`` is at hand it assembles each, and the most registers a thread
and bytes spilled are told.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cuda_examples
import torch
from cuda.pathfinder import find_nvidia_binary_utility
from numba import cuda
from numba.cuda import dispatcher
from numba.cuda.typing.typeof import Purpose, typeof

import maskrcnn_scratch.cuda
from maskrcnn_scratch.cuda import launch

CAPABILITIES = ("75", "80", "90", "100")


class Device:
    """What numba asks of a GPU while it compiles a function that a kernel calls."""

    compute_capability = (7, 5)


def every_kernel() -> dict[str, Any]:
    """The package's kernels by name (functions that only kernels call are left out)."""
    found = {}
    for info in pkgutil.iter_modules(maskrcnn_scratch.cuda.__path__):
        module = importlib.import_module(f"maskrcnn_scratch.cuda.{info.name}")
        for name, value in vars(module).items():
            if is_kernel(value) and value.py_func.__module__ == module.__name__:
                found[f"{info.name}.{name}"] = value
    return found


def is_kernel(value: Any) -> bool:
    """Whether it is launched, in the simulator or compiled."""
    if hasattr(value, "targetoptions"):
        return not value.targetoptions.get("device", False)
    return hasattr(value, "grid_dim") and not value._device


def launches() -> dict[tuple[str, tuple[Any, ...]], Any]:
    """Every kernel with the argument types of every launch of the examples."""
    names = {id(kernel): name for name, kernel in every_kernel().items()}
    found: dict[tuple[str, tuple[Any, ...]], Any] = {}

    def collect(kernel: Any, blocks: Any, threads: Any, arguments: Any) -> None:
        values = [launch.as_argument(argument) for argument in arguments]
        types = tuple(typeof(value, Purpose.argument) for value in values)
        found[names[id(kernel)], types] = kernel

    launch.runner = collect
    for example in cuda_examples.examples().values():
        for dtype in cuda_examples.FEATURE_TYPES:
            example("cpu", dtype)
    return found


def compiled(kernel: Any, types: tuple[Any, ...], capability: str) -> str:
    """The kernel's PTX."""
    Device.compute_capability = (int(capability[:-1]), int(capability[-1]))
    ptx, _ = cuda.compile_ptx(kernel.py_func, types, cc=Device.compute_capability)
    return str(ptx)


def resources(ptxas: str, ptx: str, capability: str) -> dict[str, int]:
    """Registers a thread and bytes spilled, as ptxas reports them."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx)
        command = [ptxas, f"-arch=sm_{capability}", "-v", source, "-o", "/dev/null"]
        report = subprocess.run(command, capture_output=True, text=True, check=True)
    numbers = {"registers": r"Used (\d+) registers", "spilled": r"(\d+) bytes spill st"}
    return {
        name: max(map(int, re.findall(pattern, report.stderr)), default=0)
        for name, pattern in numbers.items()
    }


def main(capabilities: tuple[str, ...]) -> dict[str, Any]:
    """Compile all; what came out and what failed."""
    dispatcher.get_current_device = Device
    report: dict[str, Any] = {"kernels": {}, "errors": [], "resources": {}, "fused": {}}
    report["not launched"] = sorted(every_kernel())
    ptxas = find_nvidia_binary_utility("ptxas")
    for (name, types), kernel in launches().items():
        if name in report["not launched"]:
            report["not launched"].remove(name)
        for capability in capabilities:
            try:
                ptx = compiled(kernel, types, capability)
            except Exception as error:
                report["errors"].append(f"{name}{types} for {capability}: {error}")
                continue
            fused = report["fused"].get(name, 0) + ptx.count("fma.rn.f64")
            report["fused"][name] = fused
            counts = report["kernels"].setdefault(name, {})
            counts[capability] = counts.get(capability, 0) + 1
            if ptxas:
                worst = report["resources"].setdefault(f"{name} {capability}", {})
                for resource, number in resources(ptxas, ptx, capability).items():
                    worst[resource] = max(number, worst.get(resource, 0))
    return report


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(main(tuple(sys.argv[1:]) or CAPABILITIES), indent=1))
