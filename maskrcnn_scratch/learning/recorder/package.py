"""Recording the launches that the package itself makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from maskrcnn_scratch.learning.recorder.faults import Fault, KernelFault
from maskrcnn_scratch.learning.recorder.orders import ORDERS
from maskrcnn_scratch.learning.recorder.recording import Recording
from maskrcnn_scratch.learning.recorder.run import Size, Uninitialised, record

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def recording(order: str = "forward", **options: Any) -> Iterator[list[Recording]]:
    """Record every launch of the package's kernels within; none reaches a GPU.

    Yields the list that the recordings are added to. Tensors that torch.empty and its
    like make within are known to hold nothing until a kernel, or torch, has written
    them. Options are those of ``record``.
    """
    from maskrcnn_scratch.cuda import launch

    made: list[Recording] = []
    empty = EmptyTensors()

    def runner(kernel: Any, blocks: Size, threads: Size, arguments: Any) -> None:
        given = [empty.marked(argument, launch.as_array) for argument in arguments]
        made.append(record(kernel, blocks, threads, *given, order=order, **options))

    before, launch.runner = launch.runner, runner
    try:
        with empty.watched():
            yield made
    finally:
        launch.runner = before


def check_launches(run: Callable[[], Any]) -> list[Recording]:
    """Raise KernelFault unless every launch that ``run()`` makes is free of faults.

    It runs once with the threads of all launches forward, once reversed, once shuffled.
    Returns the recordings of the first. What ``run`` computes is its caller's to check.
    """
    by_order = {}
    for order in ORDERS:
        with recording(order) as by_order[order]:
            run()
    faults: dict[tuple[object, ...], Fault] = {}
    kernels = []
    for one in (one for made in by_order.values() for one in made):
        for fault in one.faults:
            faults.setdefault((one.kernel, fault.kind, fault.array, fault.lines), fault)
            kernels.append(one.kernel)
    if faults:
        raise KernelFault(", ".join(dict.fromkeys(kernels)), list(faults.values()))
    return by_order[ORDERS[0]]


@dataclass
class Empty:
    """A tensor that was made empty; ``written`` tells of each byte of its storage."""

    tensor: Tensor  # kept, so that its memory is not given to another one
    version: int  # torch counts its own writes
    written: NDArray[np.bool_]


@dataclass
class EmptyTensors:
    """Tensors that torch has never written, by the address of their storage."""

    known: dict[int, Empty] = field(default_factory=dict)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note what torch's functions make empty."""
        import torch

        places: list[tuple[Any, str]] = [(torch.Tensor, "new_empty")]
        places += [(torch, name) for name in ("empty", "empty_like", "empty_strided")]
        before = [(owner, name, getattr(owner, name)) for owner, name in places]
        for owner, name, function in before:
            setattr(owner, name, self.noting(function))
        try:
            yield
        finally:
            for owner, name, function in before:
                setattr(owner, name, function)

    def noting(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The function, which tells what it makes."""

        def made(*arguments: Any, **options: Any) -> Tensor:
            tensor = function(*arguments, **options)
            if tensor.device.type == "cpu" and not tensor.is_inference():
                storage = tensor.untyped_storage()
                written = np.zeros(storage.nbytes(), np.bool_)
                self.known[storage.data_ptr()] = Empty(tensor, tensor._version, written)
            return tensor

        return made

    def marked(self, argument: Any, as_array: Callable[[Any], Any]) -> Any:
        """A launch's argument as an array, marked where nobody has written it."""
        if isinstance(argument, tuple):
            return tuple(self.marked(part, as_array) for part in argument)
        array = as_array(argument)
        if not isinstance(array, np.ndarray) or isinstance(argument, np.ndarray):
            return array
        start = argument.untyped_storage().data_ptr()
        empty = self.known.get(start)
        if empty is None or empty.version != argument._version or not array.size:
            self.known.pop(start, None)
            return array
        first, last = byte_bounds(array)
        return Uninitialised(array, empty.written[first - start : last - start])
