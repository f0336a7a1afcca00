"""What a student is told of a kernel's faults, in a sentence and with a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.launch import draw_launch
from maskrcnn_scratch.figures.launch_numbers import MOST_CELLS
from maskrcnn_scratch.learning.recorder import Fault, Recording
from maskrcnn_scratch.learning.recorder.faults import (
    DIVERGENT_BARRIER,
    ENDLESS,
    ERROR,
    LOST_UPDATE,
    MIXED,
    NEGATIVE_INDEX,
    OUT_OF_RANGE,
    RACING_READ,
    RACING_WRITE,
    READ_ONLY,
    SAME_VALUE,
    UNINITIALISED,
)
from maskrcnn_scratch.learning.watched import Stumbled

ADVICE = {
    ENDLESS: "look for a loop that never ends",
    ERROR: "",
    OUT_OF_RANGE: "nothing stops a GPU there: it reads or overwrites something else",
    NEGATIVE_INDEX: "it reads or overwrites something else",
    READ_ONLY: "write to the output alone",
    DIVERGENT_BARRIER: (
        "every thread of a block must come to the same barrier, or a GPU may wait for "
        "ever"
    ),
    LOST_UPDATE: "cuda.atomic.add reads, adds and writes in one piece",
    MIXED: "update it by atomics alone, with a barrier before and after",
    RACING_WRITE: "which one stays is chance",
    RACING_READ: "whether the reader sees the old or the new value is chance",
    UNINITIALISED: "what stands there is chance",
    SAME_VALUE: "the value is the same, but each place should be one thread's",
}
"""What is told of a fault, the gravest first; the rest of the recorder's follow."""


def stumbled(made: Recording, names: Mapping[str, str]) -> Stumbled:
    """The gravest fault in a sentence, with a picture of the launch.

    ``names`` are the exercise's for those of the kernel's arguments; other arrays have
    whatever name a student gave them, by which misconceptions cannot be compared.
    """
    kinds = list(ADVICE)
    rank = {kind: place for place, kind in enumerate(kinds)}
    fault = min(made.faults, key=lambda one: rank.get(one.kind, len(kinds)))
    if fault.kind == ERROR and "NotImplementedError" in fault.message:
        return Stumbled("unsolved", "it is not solved yet")
    place = names.get(fault.array, ""), fault.index, fault.phase
    # How many updates are lost depends on how they are written down.
    count = 0 if fault.kind == LOST_UPDATE else fault.count
    detail = (*place, count, *sorted(made.kinds()))
    kind = "endless" if fault.kind == ENDLESS else fault.kind
    return Stumbled(kind, told(fault), picture(made), detail)


def picture(made: Recording) -> Callable[[], Figure] | None:
    """What draws the launch, if it is small enough."""
    shapes = (*made.shapes.values(), *made.shared_shapes.values())
    if not len(made.rows) or max(map(math.prod, shapes)) > MOST_CELLS:
        return None
    return lambda: draw_launch(made)[0]


def told(fault: Fault) -> str:
    """The recorder's words, with lines as a student counts them, and what they mean."""
    message = fault.message
    for line in fault.lines:
        message = message.replace(str(line), f"line {line.number}, `{line.source}`")
    if fault.kind == ERROR:
        return message.partition("; a GPU goes on")[0]
    advice = ADVICE.get(fault.kind)
    return f"{fault.kind}: {message}" + (f"; {advice}" if advice else "")


def unwritten(made: Recording, out: str) -> Stumbled:
    """Some of the output, or all of it, holds what it held before the launch."""
    done = {one.index for one in made.accesses() if one.array == out}
    every = [tuple(map(int, index)) for index in np.ndindex(made.shapes[out])]
    left = [index for index in every if index not in done]
    if len(left) == len(every):
        says = f"your kernel writes nothing to `{out}`"
    else:
        place = ", ".join(map(str, left[0]))
        says = (
            f"unwritten output: {len(left)} of {len(every)} elements of `{out}` "
            f"are never written, the first of them {out}[{place}]"
        )
    detail = left[0], len(left)
    return Stumbled("unwritten output", says, picture(made), detail)
