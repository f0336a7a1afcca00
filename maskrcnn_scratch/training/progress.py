"""How far training is: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

RECENT = 20  # iterations that the shown loss and the time left are taken over


class TrainingProgress:
    """Counts up from iteration ``first`` to ``total``."""

    def __init__(
        self, first: int, total: int, every: int, console: Console | None = None
    ) -> None:
        self.console = console or Console()
        self.total = total
        self.every = every
        self._losses: deque[float] = deque(maxlen=RECENT)
        self._times: deque[float] = deque([time.monotonic()], maxlen=RECENT + 1)
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}  {task.fields[text]}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, completed=first, text="")

    def advance(self, iteration: int, loss: float, rate: float) -> None:
        """One iteration is done."""
        self._losses.append(loss)
        self._times.append(time.monotonic())
        text = (
            f"loss {sum(self._losses) / len(self._losses):.3f}"
            f"  lr {rate:.2g}  left {self.time_left(iteration)}"
        )
        self._bar.update(self._task, completed=iteration, text=text)
        due = iteration % self.every == 0 or iteration == self.total
        if due and not self.console.is_terminal:
            # Written past rich, which wraps lines to a terminal's width.
            print(f"iteration {iteration}/{self.total}  {text}", file=self.console.file)

    def time_left(self, iteration: int) -> timedelta:
        """At the pace of the last iterations."""
        pace = (self._times[-1] - self._times[0]) / (len(self._times) - 1)
        return timedelta(seconds=round(pace * (self.total - iteration)))

    def say(self, text: str) -> None:
        """A line of text, above the bar where there is one."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
