"""Runs the threads of a block, one at a time, in a chosen order.

A thread runs until it ends or waits: at a barrier of the block, or for lanes of its
warp. Kernels without either run in the caller's thread, one call after another; others
in one Python thread for each, of which a lock lets exactly one go on.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from maskrcnn_scratch.learning.recorder.faults import (
    DIVERGENT_BARRIER,
    DIVERGENT_WARP,
    NotRecordable,
)
from maskrcnn_scratch.learning.recorder.state import WARP, Launch, Stop, Thread, frames
from maskrcnn_scratch.learning.recorder.turns import ENDED, Order, Worker

NEW, READY, BARRIER, LANES = "new", "ready", "barrier", "lanes"


class Blocks:
    """The blocks of a launch."""

    def __init__(self, launch: Launch, order: Order) -> None:
        self.launch, self.order = launch, order
        self.hub = threading.Lock()
        self.workers: list[Worker] = []
        self.turns: list[Thread] = []  # who may run before anybody waits; last first
        self.error: BaseException | None = None
        self.answers: dict[int, Any] = {}
        self.body: Callable[[], None]

    def run(self, body: Callable[[], None], waits: bool) -> None:
        """Run every thread of every block; ``waits``: threads may wait for others."""
        self.body = body
        try:
            for block in self.order.of(self.launch.blocks.total):
                threads = self.launch.new_block(block)
                if waits:
                    self.run_together(threads)
                else:
                    for n in self.order.of(len(threads)):
                        self.run_alone(threads[n])
                if self.launch.stopped:
                    break
        finally:
            self.end_workers()
        if self.error:
            raise self.error

    def run_alone(self, thread: Thread) -> None:
        """From its first line to its last."""
        if self.launch.stopped:
            return
        self.launch.current, self.launch.runs_in = thread, threading.get_ident()
        try:
            with np.errstate(all="ignore"):
                self.body()
        except Stop:
            pass
        except NotRecordable:
            raise
        except Exception as error:
            self.launch.error(error)
        thread.state = ENDED

    def run_together(self, threads: Sequence[Thread]) -> None:
        """Until all have ended: let each go on, then see who may."""
        self.hub.acquire()
        while len(self.workers) < len(threads):
            self.workers.append(Worker(self))
        while not self.launch.stopped and self.error is None:
            turns = [t for n in self.order.of(len(threads)) if may_run(t := threads[n])]
            if not turns and all(thread.state == ENDED for thread in threads):
                break
            self.turns = turns[::-1]
            self.next_turn()
            self.hub.acquire()  # until the last of them has given its turn away
            if not self.turns:
                self.resolve(threads)
        self.hub.release()

    def next_turn(self) -> None:
        """Let the next thread go on, or else the loop that gives the turns."""
        if self.turns and not self.launch.stopped and self.error is None:
            thread = self.turns.pop()
            self.launch.current = thread
            worker = self.workers[thread.in_block]
            worker.thread = thread
            worker.go.release()
        else:
            self.hub.release()

    def end_workers(self) -> None:
        """Let every Python thread end; those that wait in a kernel give up."""
        for worker in self.workers:
            worker.ending = True
            worker.go.release()
        for worker in self.workers:
            worker.join()

    def barrier(self, kind: str, value: Any) -> list[Any]:
        """Wait for the block; returns what each thread gave."""
        thread = self.launch.current
        self.wait(thread, BARRIER, (kind, value))
        return list(self.answers[thread.number])

    def together(self, kind: str, mask: Any, value: Any) -> dict[int, Any]:
        """Wait for the lanes of a mask; returns what each of them gave."""
        thread = self.launch.current
        self.wait(thread, LANES, (kind, int(mask) & 0xFFFFFFFF, value))
        return dict(self.answers[thread.number])

    def shuffle(
        self, kind: str, mask: Any, value: Any, source: Callable[[int], int]
    ) -> Any:
        """The value of the lane that ``source`` tells for the own one."""
        thread = self.launch.current
        line = self.launch.kernel_line()
        values = self.together(kind, mask, value)
        lane = source(thread.lane)
        if lane not in values:
            message = (
                f"{self.launch.who(thread)} takes the value of lane {lane}, which does "
                f"not take part in {kind} at {line}"
            )
            lines = (line,) if line else ()
            self.launch.flag(DIVERGENT_WARP, message, thread, lines=lines)
            return value
        return values[lane]

    def wait(self, thread: Thread, state: str, request: Any) -> None:
        """Give the turn away until the others have come."""
        self.launch.step()
        if not self.workers:
            raise NotRecordable("a barrier that the kernel's code does not name")
        thread.state, thread.request = state, request
        thread.site = tuple(
            self.launch.site(frame)
            for frame in frames(sys._getframe(2))
            if frame.f_globals.get("__recorder__") is self.launch
        )
        self.workers[thread.in_block].give_way()

    def resolve(self, threads: Sequence[Thread]) -> None:
        """Let waiting threads go on, where all have come; flag where that cannot be."""
        waiting = [t for t in threads if t.state == LANES]
        groups: dict[Any, list[Thread]] = {}
        for thread in waiting:
            groups.setdefault((thread.warp, *thread.request[:2]), []).append(thread)
        complete = [
            (key, group)
            for key, group in groups.items()
            if [t for t in threads if t in group] == self.expected(threads, *key)
        ]
        if complete:
            for (_, kind, _), group in complete:
                self.answer_lanes(kind, group)
        elif waiting:
            for key, group in groups.items():
                self.flag_lanes(key, group, self.expected(threads, *key))
                self.answer_lanes(key[1], group)
        else:
            self.answer_barrier(threads)

    def expected(
        self, threads: Sequence[Thread], warp: int, kind: str, mask: int
    ) -> list[Thread]:
        """The threads of a warp that a mask names."""
        lanes = threads[warp * WARP : (warp + 1) * WARP]
        return [thread for thread in lanes if mask >> thread.lane & 1]

    def answer_lanes(self, kind: str, group: Sequence[Thread]) -> None:
        """Give everybody all values; syncwarp orders what they read and wrote."""
        values = {thread.lane: thread.request[2] for thread in group}
        if kind == "syncwarp":
            seen: dict[int, int] = {}
            for thread in group:
                thread.known[thread.lane] = thread.epoch
                for lane, epoch in thread.known.items():
                    seen[lane] = max(epoch, seen.get(lane, -1))
            for thread in group:
                thread.known = dict(seen)
                thread.advance(thread.phase, thread.epoch + 1)
                self.launch.known_after[thread.number, thread.moment] = thread.known
        for thread in group:
            self.answers[thread.number] = values
            thread.state = READY

    def answer_barrier(self, threads: Sequence[Thread]) -> None:
        """Begin the next phase, once all threads stand at the same barrier."""
        waiting = [thread for thread in threads if thread.state == BARRIER]
        if not waiting:
            return
        if len({thread.site for thread in waiting}) > 1 or len(waiting) < len(threads):
            self.flag_barrier(threads, waiting)
        self.launch.barriers += 1
        values = [thread.request[1] for thread in waiting]
        for thread in waiting:
            self.answers[thread.number] = values
            thread.known = {}
            thread.advance(thread.phase + 1, 0)
            thread.state = READY

    def flag_barrier(
        self, threads: Sequence[Thread], waiting: Sequence[Thread]
    ) -> None:
        """Some have ended, or stand at another barrier."""
        launch, first = self.launch, waiting[0]
        here = [thread for thread in waiting if thread.site == first.site]
        line = launch.sites.line(first.site[0])
        message = f"{launch.who(*here)} wait at {line}, but "
        ended = [thread for thread in threads if thread.state == ENDED]
        there = [thread for thread in waiting if thread.site != first.site]
        other = launch.sites.line((there or here)[0].site[0])
        reasons = []
        if ended:
            reasons.append(f"{launch.who(*ended)} ended without reaching it")
        if there:
            reasons.append(f"{launch.who(*there)} wait at {other}")
        lines = (line, other) if there else (line,)
        message += " and ".join(reasons)
        launch.flag(DIVERGENT_BARRIER, message, *waiting, *ended, lines=lines)

    def flag_lanes(
        self, key: Any, group: Sequence[Thread], expected: Sequence[Thread]
    ) -> None:
        """Lanes that a mask names have ended, or do something else."""
        launch, (_, _, mask) = self.launch, key
        line = launch.sites.line(group[0].site[0])
        missing = [thread for thread in expected if thread not in group]
        strangers = [thread for thread in group if thread not in expected]
        message = f"{launch.who(*group)} wait for the lanes {mask:#x} at {line}"
        if missing:
            states = {"ended" if t.state == ENDED else "elsewhere" for t in missing}
            message += f", but {launch.who(*missing)} did not come: {listed(states)}"
        if strangers:
            message += f"; the mask does not name {launch.who(*strangers)}"
        launch.flag(DIVERGENT_WARP, message, *group, *missing, lines=(line,))


def listed(states: set[str]) -> str:
    """In a fixed order."""
    return " or ".join(sorted(states))


def may_run(thread: Thread) -> bool:
    """Whether it waits for nobody."""
    return thread.state in (NEW, READY)
