"""Ends loops that do nothing that the recorder could count."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from maskrcnn_scratch.learning.recorder.state import Launch, Stop

PATIENCE = 2.0  # seconds of processor time without an access
INTERVAL = 0.25  # seconds between two looks
IDLE = 20  # looks without a launch, after which the watcher goes


class Watcher:
    """One Python thread that looks after all launches: to start one costs much."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.launches: dict[Launch, tuple[float, tuple[int, int] | None]] = {}
        self.there = False

    def add(self, launch: Launch) -> None:
        """Look after a launch."""
        with self.lock:
            self.launches[launch] = time.process_time(), None
            if not self.there:
                self.there = True
                threading.Thread(target=self.run, daemon=True).start()

    def remove(self, launch: Launch) -> None:
        """It has ended."""
        with self.lock:
            del self.launches[launch]

    def run(self) -> None:
        """Look again and again, until there has been nothing to see for long."""
        idle = 0
        while idle < IDLE:
            time.sleep(INTERVAL)
            with self.lock:
                idle = 0 if self.launches else idle + 1
                for launch in self.launches:
                    self.look(launch)
                self.there = idle < IDLE

    def look(self, launch: Launch) -> None:
        """Stop the thread that runs, once it has made no step for too long.

        Processor time is counted, so that a busy machine does not look like a loop.
        """
        now = time.process_time()
        since, before = self.launches[launch]
        thread = launch.current if hasattr(launch, "current") else None
        place = (thread.number, thread.steps) if thread else None
        if place != before:
            self.launches[launch] = now, place
        elif place and now - since > PATIENCE and not launch.stopped:
            launch.endless(f"{PATIENCE:g} seconds without reading or writing", None)
            stop(launch)


WATCHER = Watcher()


@contextmanager
def watched(launch: Launch) -> Iterator[None]:
    """While the launch runs, another Python thread looks whether it gets on.

    Where the caller is interrupted, the Python thread that runs the kernel ends too.
    """
    WATCHER.add(launch)
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            stop(launch)
        raise
    finally:
        WATCHER.remove(launch)


def stop(launch: Launch) -> None:
    """End what the kernel is doing, in the Python thread that runs it."""
    if launch.runs_in != threading.get_ident():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(launch.runs_in), ctypes.py_object(Stop)
        )
