"""Kernels of exercises: launched under the recorder, and in numba's simulator.

A kernel is a plain function, or one under ``@cuda.jit``. It needs no GPU, and numba's
simulator need not be asked for: the recorder runs the function in Python. What a GPU
would make of it beyond that, a compiler's complaints among them, is not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import numpy as np
from hypothesis.strategies import SearchStrategy

from maskrcnn_scratch.learning.compare import difference
from maskrcnn_scratch.learning.exercise import Function, Inputs, Law
from maskrcnn_scratch.learning.kernel_faults import stumbled, unwritten
from maskrcnn_scratch.learning.recorder import NotRecordable, record, uninitialised
from maskrcnn_scratch.learning.recorder.faults import ORDER, instructions_of
from maskrcnn_scratch.learning.recorder.orders import ORDERS
from maskrcnn_scratch.learning.recorder.rebuild import python_function
from maskrcnn_scratch.learning.simulator import simulate
from maskrcnn_scratch.learning.watched import Stumbled, Watched

SAMPLES = 32  # a launch takes milliseconds
STEPS = 2000  # of one thread: more than any launch of an exercise needs


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
        function = python_function(kernel)
        refuse_value(function)
        made = record(
            kernel, call.blocks, call.threads, *arguments, order=order, limit=STEPS
        )
    except NotRecordable as error:
        raise Stumbled("no kernel", f"this cannot run on a GPU: {error}") from None
    except TypeError as error:  # of the number of arguments
        raise Stumbled("no kernel", str(error)) from None
    names = dict(zip(function.__code__.co_varnames, call.arguments, strict=False))
    if made.faults:
        raise stumbled(made, names)
    for name, count in made.unwritten.items():
        if count:
            raise unwritten(made, name)
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


def is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)
