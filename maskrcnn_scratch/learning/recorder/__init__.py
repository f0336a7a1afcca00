"""The recorder: runs an unchanged CUDA kernel in Python and tells all that it does.

    from maskrcnn_scratch.learning import recorder

    recording = recorder.record(kernel, blocks, threads, *arguments)
    print(recording)  # faults, reads and writes, coalescing, bank conflicts
    recorder.check(kernel, blocks, threads, *arguments)  # raises KernelFault

The threads of a launch run one at a time on arrays that carry values and log each read
and write by thread, block and phase (the barriers passed). What a GPU would leave to
chance, and numba's simulator hides, is told by name: races, lost updates, indices out
of range, divergent barriers, reads of memory that nobody wrote.

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
