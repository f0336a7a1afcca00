"""Ends loops that do nothing that the recorder could count."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from maskrcnn_scratch.learning.recorder.state import Launch, Stop

PATIENCE = 5.0  # seconds of processor time without an access


@contextmanager
def watched(launch: Launch) -> Iterator[None]:
    """While the launch runs, another Python thread looks whether it gets on."""
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(launch, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def watch(launch: Launch, done: threading.Event) -> None:
    """Stop the thread that runs, once it has made no step for too long.

    Processor time is counted, so that a busy machine does not look like a loop.
    """
    since, before = time.process_time(), None
    while not done.wait(0.25):
        now = time.process_time()
        thread = launch.current if hasattr(launch, "current") else None
        place = (thread.number, thread.steps) if thread else None
        if place != before:
            since, before = now, place
        elif place and now - since > PATIENCE and not launch.stopped:
            launch.endless(f"{PATIENCE:g} seconds without reading or writing", None)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(launch.runs_in), ctypes.py_object(Stop)
            )
