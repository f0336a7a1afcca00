"""Run a notebook's cells from the top, in a kernel of its own."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from threading import Event
from typing import Any

from maskrcnn_scratch.learning.notebooks.outputs import BadCell, BadNotebook
from maskrcnn_scratch.learning.notebooks.source import Cell, Notebook, course_library

PATIENCE = 5
"""Times the limit, until a notebook is ended: the machine may be busy otherwise."""
PROCESSOR: Cell = {
    "cell_type": "code",
    "id": "processor",
    "metadata": {},
    "source": "print(__import__('time').process_time())",
    "outputs": [],
    "execution_count": None,
}
"""A last cell, which asks for the kernel's seconds, and is taken away again."""


class Stopped(Exception):
    """The build ends before this notebook does."""


def executed(notebook: Notebook, limit: float, stop: Event) -> tuple[Notebook, float]:
    """The notebook with its outputs, and the seconds that it took.

    The kernel is the running Python's. It starts in an empty folder of its own, and
    without the user's start-up files, so that nothing beside the notebook matters. The
    seconds are those of the clock or of the processor, whichever are fewer: what else
    the machine does counts neither.

    Args:
        notebook: its cells, without outputs; left as it is.
        limit: seconds for all cells together.
        stop: when set, the notebook ends after the cell that is running.

    Raises:
        BadNotebook: a cell raises or ends the kernel, or the notebook exceeds the limit
            or leaves files behind (hidden ones, which are caches, are allowed).
        Stopped: it was stopped.
    """
    cells = [*notebook["cells"], PROCESSOR]
    node = course_library("nbformat").from_dict({**notebook, "cells": cells})
    running: list[Cell] = [node.cells[0]]
    started = time.perf_counter()

    def begins(cell: Cell, cell_index: int) -> None:
        running[0] = cell
        if stop.is_set():
            raise Stopped

    def seconds_left(_: Cell) -> int:
        return max(1, round(PATIENCE * limit - (time.perf_counter() - started)))

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as ipy:
        client = notebook_client(node, begins, seconds_left)
        try:
            environment = {**os.environ, "MPLBACKEND": "", "IPYTHONDIR": ipy}
            asyncio.run(
                client.async_execute(cwd=folder, env=environment, cleanup_kc=True)
            )
        except Exception as error:
            if (why := explanation(error)) is None:
                raise
            raise BadCell(running[0], why) from error
        if left := [name for name in os.listdir(folder) if name[0] != "."]:
            raise BadNotebook(f"it leaves behind {', '.join(left)}")
    processor = float(node.cells.pop()["outputs"][0]["text"])
    seconds = min(processor, time.perf_counter() - started)
    if seconds > limit:
        raise BadNotebook(f"it takes {seconds:.0f} seconds, more than {limit:.0f}")
    return node, seconds


def notebook_client(node: Any, begins: Any, seconds_left: Any) -> Any:
    """nbclient's, with the kernel of the running Python, not one of the same name."""
    nbclient = course_library("nbclient")
    jupyter = course_library("jupyter_client")
    specs = course_library("jupyter_client.kernelspec").KernelSpecManager(
        kernel_dirs=[]
    )
    return nbclient.NotebookClient(
        node,
        km=jupyter.AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs),
        extra_arguments=["--log-level=ERROR"],  # it warns of its own sockets
        timeout_func=seconds_left,
        on_cell_start=begins,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    )


def explanation(error: Exception) -> str | None:
    """What went wrong in a cell; None where the fault is not a cell's."""
    failures = course_library("nbclient.exceptions")
    if isinstance(error, failures.CellExecutionError):
        return f"{error.ename}: {error.evalue}"
    if isinstance(error, failures.CellTimeoutError):
        return "the notebook is not done in time"
    if isinstance(error, failures.DeadKernelError):
        return "its kernel died"
    return None
