"""Stopping a function that does not return."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

AGAIN = 0.25  # seconds until the next try, where the function caught the first
PATIENCE = 4  # times the limit, for what waits or has little of a busy processor


class TookTooLong(BaseException):
    """Raised inside a function that ran longer than it may.

    No ``Exception``, so that ``except Exception`` in it does not catch this.
    """


def within(seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's value; TookTooLong, once the time is over.

    A function that had less than half of a processor gets PATIENCE times as long: the
    machine may be busy.

    In the main thread a signal does it, which also ends a sleep. Elsewhere, and on
    Windows, another thread raises it when the next line of Python runs. Neither can
    end a call of a compiled library that never comes back.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and hasattr(signal, "setitimer"):
        return by_signal(seconds, function, *arguments)
    return by_thread(seconds, function, *arguments)


def clock(seconds: float) -> Callable[[], bool]:
    """Says whether the time from now on is over."""
    began, used = time.monotonic(), time.process_time()

    def over() -> bool:
        waited = time.monotonic() - began
        if waited >= PATIENCE * seconds:
            return True
        return waited >= seconds and time.process_time() - used >= waited / 2

    return over


def by_signal(seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
    """Through an alarm that goes off again and again."""
    calls = 0
    tracing = sys.gettrace()
    over = clock(seconds)

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal calls
        if not over():
            return
        calls += 1
        if calls > 1:
            raise_at_each_line(frame)
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        return function(*arguments)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if calls > 1:
            sys.settrace(tracing)


def raise_at_each_line(frame: FrameType | None) -> None:
    """In what the function is doing: a bare ``except`` in a loop catches one raise.

    The line of the loop itself stands outside of its ``try``, and ends it.
    """

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            raise TookTooLong
        return trace

    sys.settrace(trace)
    while frame is not None and frame.f_code is not by_signal.__code__:
        frame.f_trace = trace
        frame = frame.f_back


def by_thread(seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
    """Through a thread that raises it in this one, again and again."""
    done = threading.Event()
    target = ctypes.c_ulong(threading.get_ident())
    over = clock(seconds)

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):
            wait = AGAIN
            if over():
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    target, ctypes.py_object(TookTooLong)
                )

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        return function(*arguments)
    finally:
        done.set()
        watcher.join()
