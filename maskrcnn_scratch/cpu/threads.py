"""Threads for the compiled kernels.

The kernels are compiled with ``nogil=True`` and each call works on a part of its
output, so plain Python threads run them side by side. numba's own ``parallel=True`` is
not used, for three reasons: its OpenMP layer aborts in a forked process (a DataLoader
worker) once the parent has used it, its fallback layer must not be entered from two
threads (autograd runs the backward pass on one of its own), and it compiles each kernel
several times more slowly.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

Task = Callable[[], object]


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="maskrcnn_scratch")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork: begin anew
    os.register_at_fork(after_in_child=_pool.cache_clear)


def run(tasks: Sequence[Task], threads: int) -> None:
    """Run every task on ``threads`` threads; the first error is raised here."""
    if threads <= 1 or len(tasks) <= 1:
        for task in tasks:
            task()
        return
    for future in [_pool(threads).submit(task) for task in tasks]:
        future.result()


def parts(count: int, pieces: int) -> list[tuple[int, int]]:
    """Ranges (start, stop) that cut 0..count evenly; never an empty one."""
    pieces = min(pieces, count)
    return [(count * k // pieces, count * (k + 1) // pieces) for k in range(pieces)]
