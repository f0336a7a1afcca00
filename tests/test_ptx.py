"""Every kernel of the CUDA floor compiles for real GPUs, though there is none here.

The simulator runs kernels as Python and sees no types; the compiler does. Each compute
capability is compiled in a process of its own, for this one may be in the simulator.

Deliberate faults, and the test that caught each:

- a kernel that assigns a float to an integer index -> test_kernels_compile
- a kernel that no example launches -> the same
- the product of two sides added without ``abs`` -> the same, by
  check_overlaps_are_rounded_as_in_the_reference
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("ptx.py")
CAPABILITIES = ["75", "80", "90", "100"]

pytestmark = pytest.mark.skipif(
    find_spec("nvidia") is None or find_spec("nvidia.cu13") is None,
    reason='no compiler: python -m pip install -c constraints.txt -e ".[ptx]"',
)


def report(capability: str) -> dict[str, Any]:
    """What ``ptx.py`` prints for one compute capability."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    environment["PYTHONPATH"] = str(SCRIPT.parent)
    done = subprocess.run(
        [sys.executable, SCRIPT, capability],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_kernels_compile(capability: str) -> None:
    """One test a capability, for to compile all takes a minute of the processor."""
    result = report(capability)
    assert result["errors"] == []
    assert len(result["kernels"]) >= 20
    assert result["not launched"] == [], "kernels that no example launches"
    for name, resources in result["resources"].items():
        assert resources["registers"] <= 255, name
        assert resources["spilled"] == 0, f"{name} spills {resources['spilled']} bytes"
    check_overlaps_are_rounded_as_in_the_reference(result["fused"])


def check_overlaps_are_rounded_as_in_the_reference(fused: dict[str, int]) -> None:
    """Where IoUs are compared, no product is added before it is rounded."""
    modules = ("nms.", "nms_naive.", "matching.", "boxes.iou")
    overlaps = {name: n for name, n in fused.items() if name.startswith(modules)}
    assert len(overlaps) >= 7
    assert set(overlaps.values()) == {0}, overlaps
