"""Kernels of exercises: launched under the recorder, and in numba's simulator.

A kernel is a plain function, or one under ``@cuda.jit``. It needs no GPU, and numba's
simulator need not be asked for: the recorder runs the function in Python. What a GPU
would make of it beyond that, a compiler's complaints among them, is not checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import numpy as np
from hypothesis.strategies import SearchStrategy
from matplotlib.figure import Figure

from maskrcnn_scratch.figures.launch import draw_launch
from maskrcnn_scratch.figures.launch_numbers import MOST_CELLS
from maskrcnn_scratch.learning.compare import difference
from maskrcnn_scratch.learning.exercise import Function, Inputs, Law
from maskrcnn_scratch.learning.recorder import (
    Fault,
    NotRecordable,
    Recording,
    record,
    uninitialised,
)
from maskrcnn_scratch.learning.recorder.faults import (
    DIVERGENT_BARRIER,
    ENDLESS,
    ERROR,
    LOST_UPDATE,
    MIXED,
    NEGATIVE_INDEX,
    ORDER,
    OUT_OF_RANGE,
    RACING_READ,
    RACING_WRITE,
    READ_ONLY,
    SAME_VALUE,
    UNINITIALISED,
    instructions_of,
)
from maskrcnn_scratch.learning.recorder.orders import ORDERS
from maskrcnn_scratch.learning.recorder.rebuild import python_function
from maskrcnn_scratch.learning.simulator import simulate
from maskrcnn_scratch.learning.watched import Stumbled, Watched

SAMPLES = 32  # a launch takes milliseconds
STEPS = 2000  # of one thread: more than any launch of an exercise needs

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


@dataclass(frozen=True)
class KernelCall:
    """A launch of the student's kernel.

    Args:
        blocks, threads: the grid, (x, y) or a number.
        arguments: arrays and numbers by name, in the kernel's order; each launch gets
            copies, read-only but for ``out``.
        out: the array that the kernel fills.
        holds_zeros: ``out`` holds zeros before; else nothing, and all of it must be
            written.
    """

    blocks: Any
    threads: Any
    arguments: dict[str, Any]
    out: str
    holds_zeros: bool = False
    copies: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        copies = {k: np.copy(v) if is_array(v) else v for k, v in self.given()}
        object.__setattr__(self, "copies", copies)
        for name, value in copies.items():
            if is_array(value) and name != self.out:
                value.flags.writeable = False

    def given(self) -> list[tuple[str, Any]]:
        """The arguments by name."""
        return list(self.arguments.items())

    @property
    def result(self) -> Any:
        """The output, which the launch has filled."""
        return self.copies[self.out]


Call = Callable[..., KernelCall]
"""Makes the launch from a law's inputs."""


def kernel_laws(
    says: str, given: SearchStrategy[Inputs], call: Call, expected: Function
) -> tuple[Law, ...]:
    """The laws of a kernel: free of faults and right, in any order, in the simulator.

    ``expected`` computes from the inputs what ``out`` must hold.
    """
    orders = "Whatever the order of the threads, the result is the same."
    simulator = "numba's simulator, in which threads run at once, gives the same."
    return (
        Law(says, given, expected, recorded(call), examples=40, samples=SAMPLES),
        Law(orders, given, expected, in_any_order(call), examples=8, samples=SAMPLES),
        Law(simulator, given, expected, simulated(call), examples=4, samples=SAMPLES),
    )


def recorded(call: Call, order: str = ORDERS[0]) -> Function:
    """A law's ``got``: what the kernel writes, if the recorder finds no fault."""

    def got(function: Watched, **inputs: Any) -> Any:
        return watching(function, lambda: run(function.function, call(**inputs), order))

    return got


def in_any_order(call: Call) -> Function:
    """The same with threads backwards and shuffled, which must agree."""

    def got(function: Watched, **inputs: Any) -> Any:
        results = [recorded(call, order)(function, **inputs) for order in ORDERS[1:]]
        if difference(results[0], results[1], 1e-5) is not None:
            says = "your kernel's result depends on the order in which threads run"
            raise Stumbled(ORDER, says)
        return results[0]

    return got


def simulated(call: Call) -> Function:
    """What the kernel writes in numba's simulator."""

    def got(function: Watched, **inputs: Any) -> Any:
        return watching(function, lambda: simulated_run(function, call(**inputs)))

    return got


def simulated_run(function: Watched, call: KernelCall) -> Any:
    """Launch once in the simulator; returns the output."""
    arguments = call.copies.values()
    try:
        simulate(function.function, call.blocks, call.threads, *arguments)
    except Exception as error:
        says = f"numba's simulator raises {type(error).__name__}: {error}"
        raise Stumbled("simulator", says) from None
    return call.result


def watching(function: Watched, launch: Function) -> Any:
    """The launch's value; whatever else happens raises Stumbled."""
    watched = Watched(launch)
    try:
        return watched()
    finally:
        function.printed = watched.printed


def run(kernel: Any, call: KernelCall, order: str) -> Any:
    """Launch once under the recorder; returns the output."""
    marked = {} if call.holds_zeros else {call.out: uninitialised(call.result)}
    arguments = {**call.copies, **marked}.values()
    try:
        refuse_value(python_function(kernel))
        made = record(
            kernel, call.blocks, call.threads, *arguments, order=order, limit=STEPS
        )
    except NotRecordable as error:
        raise Stumbled("no kernel", f"this cannot run on a GPU: {error}") from None
    except TypeError as error:  # of the number of arguments
        raise Stumbled("no kernel", str(error)) from None
    if made.faults:
        raise stumbled(made, call)
    if made.unwritten.get(call.out):
        raise unwritten(made, call)
    return call.result


def refuse_value(function: FunctionType) -> None:
    """A kernel returns nothing, which numba's compiler insists on."""
    before = None
    for one in instructions_of(function.__code__):
        constant = one if one.opname == "RETURN_CONST" else before
        if one.opname in ("RETURN_VALUE", "RETURN_CONST"):
            assert constant is not None
            if not constant.opname.endswith("CONST") or constant.argval is not None:
                says = "a kernel returns nothing: it writes its results into an array"
                raise Stumbled("no kernel", says)
        before = one


def stumbled(made: Recording, call: KernelCall) -> Stumbled:
    """The gravest fault in a sentence, with a picture of the launch."""
    kinds = list(ADVICE)
    rank = {kind: place for place, kind in enumerate(kinds)}
    fault = min(made.faults, key=lambda one: rank.get(one.kind, len(kinds)))
    if fault.kind == ERROR and "NotImplementedError" in fault.message:
        return Stumbled("unsolved", "it is not solved yet")
    known = fault.array if fault.array in call.arguments else ""
    detail = (known, fault.index, fault.phase, fault.count)
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


def unwritten(made: Recording, call: KernelCall) -> Stumbled:
    """Some of the output, or all of it, holds what it held before the launch."""
    done = {one.index for one in made.accesses() if one.array == call.out}
    every = [tuple(map(int, index)) for index in np.ndindex(call.result.shape)]
    left = [index for index in every if index not in done]
    if len(left) == len(every):
        says = f"your kernel writes nothing to `{call.out}`"
    else:
        place = ", ".join(map(str, left[0]))
        says = (
            f"unwritten output: {len(left)} of {len(every)} elements of `{call.out}` "
            f"are never written, the first of them {call.out}[{place}]"
        )
    detail = left[0], len(left)
    return Stumbled("unwritten output", says, picture(made), detail)


def is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)
