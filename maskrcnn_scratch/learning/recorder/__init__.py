"""The recorder: runs an unchanged CUDA kernel in Python and tells all that it does.

    from maskrcnn_scratch.learning import recorder

    recording = recorder.record(kernel, blocks, threads, *arguments)
    print(recording)  # faults, reads and writes, coalescing, bank conflicts
    recorder.check(kernel, blocks, threads, *arguments)  # raises KernelFault

The threads of a launch run one at a time on arrays that carry values and log each read
and write by thread, block and phase (the barriers passed). What a GPU would leave to
chance, and numba's simulator hides, is told by name, whatever the order of threads:

- "unsynchronised read", "write race": threads of a block touch a cell in one phase, or
  threads of different blocks at any time, and one of them writes it
- "same-value write": the same, but all write one value (``check`` may allow it)
- "lost update": threads read a cell and write it back, without an atomic
- "mixed access": atomics of some threads, plain reads or writes of others
- "out of range", "negative index", "write to read-only"
- "uninitialised read": of shared, local, or ``uninitialised`` memory
- "divergent barrier", "divergent warp": not all threads, or lanes of a mask, come
- "endless loop", "error" (what Python raises and a GPU does not)
- "order dependence": another order of threads gives another result

Nothing orders blocks here, not even a fence and a counter, with which a GPU's last
block may know that it is the last. Lanes are ordered by syncwarp, not by shuffles and
votes. Two things are computed otherwise than on a GPU: ``0.5 * x`` stays float32 for a
float32 x, and a product of int32(...) and its like stays in 32 bits. (numba takes a
negative index from the end, as Python does, C++ does not: either way it is a fault.)

Works without a GPU, in a plain process and in numba's simulator.
"""

from __future__ import annotations

from maskrcnn_scratch.learning.recorder.faults import Fault, KernelFault, NotRecordable
from maskrcnn_scratch.learning.recorder.orders import check, record_orders
from maskrcnn_scratch.learning.recorder.package import check_launches, recording
from maskrcnn_scratch.learning.recorder.recording import Access, Recording
from maskrcnn_scratch.learning.recorder.run import record, uninitialised

__all__ = [
    "Access",
    "Fault",
    "KernelFault",
    "NotRecordable",
    "Recording",
    "check",
    "check_launches",
    "record",
    "record_orders",
    "recording",
    "uninitialised",
]
