"""Whose turn it is: the order of threads, and the Python threads that they run in."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from maskrcnn_scratch.learning.recorder.state import Stop, Thread

if TYPE_CHECKING:
    from maskrcnn_scratch.learning.recorder.blocks import Blocks

ENDED = "ended"  # the state of a thread


class Order:
    """The order of blocks, and of threads in each phase."""

    def __init__(self, name: str, seed: int) -> None:
        if name not in ("forward", "reversed", "shuffled"):
            raise ValueError(f"order is {name!r}: forward, reversed or shuffled")
        self.name, self.random = name, random.Random(seed)

    def of(self, count: int) -> list[int]:
        """``count`` numbers in this order."""
        numbers = list(range(count))
        if self.name == "reversed":
            numbers.reverse()
        elif self.name == "shuffled":
            self.random.shuffle(numbers)
        return numbers


class Worker(threading.Thread):
    """A Python thread that runs one thread of each block."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__(daemon=True)
        self.blocks, self.ending = blocks, False
        self.thread: Thread
        self.go = threading.Lock()
        self.go.acquire()
        self.start()

    def run(self) -> None:
        """Wait for the turn, run the thread to its end, give the turn back."""
        while True:
            self.go.acquire()
            if self.ending:
                return
            try:
                self.blocks.run_alone(self.thread)
            except BaseException as error:  # told in the thread that records
                self.blocks.error = error
            self.thread.state = ENDED
            if self.ending:
                return
            self.blocks.next_turn()

    def give_way(self) -> None:
        """Let the others run until this thread's turn comes again."""
        self.blocks.next_turn()
        self.go.acquire()
        if self.ending:
            raise Stop
        self.blocks.launch.runs_in = self.ident or 0
