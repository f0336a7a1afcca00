"""Times of several works, taken in turn so that a slow minute hits all of them.

Each round times every work once, every second round in the opposite order, and a ratio
is one of two times of the same round: what slows the whole machine cancels out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from maskrcnn_scratch.benchmarks.cases import Work

Timer = Callable[[Work, int], float]
"""Seconds that one of n calls takes."""

LEAST_ROUNDS, MOST_ROUNDS = 5, 25
BUDGET = 6.0  # seconds for a case, once it has its least rounds
LEAST_SAMPLE = 0.01  # seconds: shorter works are called several times a sample
WARM_UP = 1  # calls, and one that is timed to choose how many make a sample


@dataclass(frozen=True)
class Spread:
    """A median between its quartiles."""

    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Quartiles, interpolated between neighbours."""
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return Spread(float(low), float(median), float(high))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """How many times as long theirs took as ours, round by round."""
    return spread([b / a for a, b in zip(ours, theirs, strict=True)])


def paired_seconds(works: Mapping[str, Work], timer: Timer) -> dict[str, list[float]]:
    """Seconds a call, one for each round, of works that are warm."""
    times: dict[str, list[float]] = {name: [] for name in works}
    calls = {}
    for name, work in works.items():
        for _ in range(WARM_UP):
            work()
        calls[name] = max(1, round(LEAST_SAMPLE / timer(work, 1)))
    order = list(works)
    began = time.perf_counter()
    for done in range(MOST_ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - began > BUDGET:
            break
        for name in order:
            times[name].append(timer(works[name], calls[name]))
        order.reverse()
    return times


def seconds_on_cpu(work: Work, calls: int) -> float:
    """By the clock."""
    began = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - began) / calls


def seconds_on_gpu(work: Work, calls: int) -> float:
    """Between two events on the current stream: what a user waits for.

    A work that the host enqueues more slowly than the device runs it takes as long as
    the enqueueing.
    """
    start, stop = event(), event()
    torch.cuda.synchronize()
    start.record()
    for _ in range(calls):
        work()
    stop.record()
    stop.synchronize()
    return float(start.elapsed_time(stop)) / 1e3 / calls


def event() -> torch.cuda.Event:
    """One that keeps the time."""
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def launch_seconds(work: Work, calls: int) -> float:
    """How long the host is busy with a call, the device's work not awaited.

    Where the work itself waits for the device, this is all of its time.
    """
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(calls):
        work()
    seconds = (time.perf_counter() - began) / calls
    torch.cuda.synchronize()
    return seconds


def device_seconds(work: Work, calls: int) -> float:
    """How long the device is busy with a call, without waiting for the host.

    The device is held up until every call is enqueued, then runs them back to back.
    """
    start, stop = event(), event()
    held = min(2 * launch_seconds(work, calls) * calls, LONGEST_HOLD)  # with a margin
    torch.cuda._sleep(int(held * CYCLES_A_SECOND))  # type: ignore[no-untyped-call]
    start.record()
    for _ in range(calls):
        work()
    stop.record()
    stop.synchronize()
    return float(start.elapsed_time(stop)) / 1e3 / calls


LONGEST_HOLD = 0.5  # seconds: a work that waits for the device would hold it for ever
CYCLES_A_SECOND = 2e9  # of a GPU, about: it only has to be held up for long enough


def copy_bandwidth(device: torch.device, mebibytes: int = 512) -> float:
    """Bytes a second, read and written, of the device's own copy of a large tensor."""
    timer = seconds_on_cpu if device.type == "cpu" else seconds_on_gpu
    source = torch.ones(mebibytes << 18, device=device)
    target = torch.empty_like(source)
    seconds = [timer(lambda: target.copy_(source), 1) for _ in range(7)]
    return 2 * source.nbytes / spread(seconds[2:]).median
