"""The most memory that one call holds at a time, beyond what was there before it.

On a GPU torch counts its own allocations. On the CPU it is the process's resident
memory, as Linux counts it: after a warm call everything freed is given back to the
system, the highest mark is set back, and after one more call it is read. So buffers
that a library keeps for its next call are not counted, for either side.
"""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from pathlib import Path

import torch

from maskrcnn_scratch.benchmarks.cases import Work


def peak_bytes(work: Work, device: torch.device) -> int | None:
    """For a work that is warm; None where this system does not tell."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    if sys.platform != "linux":
        return None
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark starts anew
    before = resident_bytes("VmRSS")
    result = work()
    peak = resident_bytes("VmHWM")
    del result
    return max(peak - before, 0)


def resident_bytes(field: str) -> int:
    """VmRSS, what is resident now, or VmHWM, the most since the mark was set."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"the system tells no {field}")
    return int(found[1]) * 1024
