"""What a kernel gets for ``numba.cuda``."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from maskrcnn_scratch.learning.recorder.arrays import RecordingArray
from maskrcnn_scratch.learning.recorder.atomics import Atomic
from maskrcnn_scratch.learning.recorder.blocks import Blocks
from maskrcnn_scratch.learning.recorder.faults import NotRecordable
from maskrcnn_scratch.learning.recorder.libdevice import LibDevice
from maskrcnn_scratch.learning.recorder.state import WARP, Dim3, Launch
from maskrcnn_scratch.learning.recorder.storage import Storage

ALL_LANES = 0xFFFFFFFF


class Namespace:
    """Members of numba.cuda; any other is refused by its name."""

    def __init__(self, name: str, **members: Any) -> None:
        self.__dict__.update(members)
        self._name = name

    def __getattr__(self, name: str) -> Any:
        raise NotRecordable(f"{self._name}.{name} has no stand-in in the recorder")


class Cuda(Namespace):
    """Stands in for ``numba.cuda`` while one launch is recorded."""

    def __init__(self, launch: Launch, storage: Storage, blocks: Blocks) -> None:
        super().__init__("cuda", warpsize=WARP)
        self._launch, self._blocks = launch, blocks
        self.blockDim, self.gridDim = launch.threads, launch.blocks
        self.shared = Namespace("cuda.shared", array=storage.shared)
        self.local = Namespace("cuda.local", array=storage.local)
        self.const = Namespace("cuda.const", array_like=lambda array: array)
        self.atomic = Atomic(launch)
        self.libdevice = LibDevice()
        for name in ("ldca", "ldcg", "ldcs", "ldlu", "ldcv"):
            setattr(self, name, load)
        for name in ("stcg", "stcs", "stwb", "stwt"):
            setattr(self, name, store)

    def member(self, path: tuple[str, ...]) -> Any:
        """What stands in for a member that a module imported by its name.

        The indices of a thread differ from one to the next, so their values cannot.
        """
        if path in (("threadIdx",), ("blockIdx",)):
            return Index(self._launch, path[0])
        if path == ("laneid",):
            raise NotRecordable("laneid is imported by name: use cuda.laneid")
        found: Any = self
        for name in path:
            found = getattr(found, name)
        return found

    @property
    def threadIdx(self) -> Dim3:
        """Of the thread that runs now."""
        return self._launch.current.threadIdx

    @property
    def blockIdx(self) -> Dim3:
        """Of its block."""
        return self._launch.current.blockIdx

    @property
    def laneid(self) -> int:
        """The thread's lane in its warp."""
        return self._launch.current.lane

    def grid(self, axes: int) -> Any:
        """The thread's index in the launch."""
        if axes == 1:
            thread = self._launch.current
            return thread.blockIdx.x * self.blockDim.x + thread.threadIdx.x
        pairs = zip(self.blockIdx, self.blockDim, self.threadIdx, strict=True)
        return tuple(block * size + thread for block, size, thread in pairs)[:axes]

    def gridsize(self, axes: int) -> Any:
        """How many threads the launch has."""
        sizes = tuple(a * b for a, b in zip(self.gridDim, self.blockDim, strict=True))
        return sizes[0] if axes == 1 else sizes[:axes]

    def syncthreads(self) -> None:
        """Wait for all threads of the block."""
        self._blocks.barrier("syncthreads", 0)

    def syncthreads_count(self, predicate: Any) -> int:
        """The same; how many of them say yes."""
        return sum(self._blocks.barrier("syncthreads_count", bool(predicate)))

    def syncthreads_and(self, predicate: Any) -> int:
        """The same; whether all say yes."""
        return int(all(self._blocks.barrier("syncthreads_and", bool(predicate))))

    def syncthreads_or(self, predicate: Any) -> int:
        """The same; whether any says yes."""
        return int(any(self._blocks.barrier("syncthreads_or", bool(predicate))))

    def syncwarp(self, mask: int = ALL_LANES) -> None:
        """Wait for lanes of the warp, and see what they wrote."""
        self._blocks.together("syncwarp", mask, None)

    def shfl_sync(self, mask: int, value: Any, lane: int) -> Any:
        """The value of another lane."""
        return self._blocks.shuffle("shfl_sync", mask, value, lambda own: lane % WARP)

    def shfl_up_sync(self, mask: int, value: Any, delta: int) -> Any:
        """The value of the lane ``delta`` before, if there is one."""
        return self._blocks.shuffle(
            "shfl_up_sync",
            mask,
            value,
            lambda own: own - delta if own >= delta else own,
        )

    def shfl_down_sync(self, mask: int, value: Any, delta: int) -> Any:
        """The value of the lane ``delta`` behind, if there is one."""
        return self._blocks.shuffle(
            "shfl_down_sync",
            mask,
            value,
            lambda own: own + delta if own + delta < WARP else own,
        )

    def shfl_xor_sync(self, mask: int, value: Any, lanes: int) -> Any:
        """The value of the lane whose number differs in these bits."""
        return self._blocks.shuffle(
            "shfl_xor_sync", mask, value, lambda own: own ^ lanes
        )

    def ballot_sync(self, mask: int, predicate: Any) -> np.uint32:
        """A bit for each lane that says yes."""
        votes = self._blocks.together("ballot_sync", mask, bool(predicate))
        return np.uint32(sum(1 << lane for lane, vote in votes.items() if vote))

    def all_sync(self, mask: int, predicate: Any) -> bool:
        """Whether all lanes say yes."""
        return all(self._blocks.together("all_sync", mask, bool(predicate)).values())

    def any_sync(self, mask: int, predicate: Any) -> bool:
        """Whether any lane says yes."""
        return any(self._blocks.together("any_sync", mask, bool(predicate)).values())

    def eq_sync(self, mask: int, predicate: Any) -> bool:
        """Whether all lanes say the same."""
        votes = self._blocks.together("eq_sync", mask, bool(predicate))
        return len(set(votes.values())) == 1

    def match_any_sync(self, mask: int, value: Any) -> np.uint32:
        """The lanes that have the same value."""
        values = self._blocks.together("match_any_sync", mask, value)
        return np.uint32(sum(1 << lane for lane, v in values.items() if v == value))

    def match_all_sync(self, mask: int, value: Any) -> tuple[np.uint32, bool]:
        """The mask and True where all lanes have the same value, else 0 and False."""
        values = self._blocks.together("match_all_sync", mask, value)
        same = len(set(values.values())) == 1
        return np.uint32(mask if same else 0), same

    def threadfence(self) -> None:
        """Orders memory, but makes nobody wait: it hides no race here."""

    threadfence_block = threadfence_system = threadfence

    def nanosleep(self, nanoseconds: int) -> None:
        """No time passes."""

    def popc(self, x: Any) -> int:
        """How many bits are set."""
        return bits(x)[0].bit_count()

    def clz(self, x: Any) -> int:
        """How many zeros stand before the first set bit."""
        value, width = bits(x)
        return width - value.bit_length()

    def ffs(self, x: Any) -> int:
        """The place of the last set bit, from 1; 0 where there is none."""
        value, _ = bits(x)
        return (value & -value).bit_length()

    def brev(self, x: Any) -> Any:
        """The bits in reverse."""
        value, width = bits(x)
        turned = int(f"{value:0{width}b}"[::-1], 2)
        return np.uint64(turned) if width == 64 else np.uint32(turned)

    def selp(self, predicate: Any, yes: Any, no: Any) -> Any:
        """One of two values."""
        return yes if predicate else no

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c, rounded once: float32 through float64, which holds a product."""
        if isinstance(a, np.float32):
            return np.float32(np.float64(a) * np.float64(b) + np.float64(c))
        return a * b + c

    def cbrt(self, x: Any) -> Any:
        """The cube root."""
        return np.cbrt(x)


class Index:
    """Stands in for threadIdx or blockIdx, whichever thread runs."""

    def __init__(self, launch: Launch, name: str) -> None:
        self._launch, self._name = launch, name

    def __getattr__(self, axis: str) -> Any:
        return getattr(getattr(self._launch.current, self._name), axis)


def bits(x: Any) -> tuple[int, int]:
    """An integer's bits without sign, and how many it has: 64 unless its type says."""
    width = 32 if isinstance(x, (np.int32, np.uint32, np.int16, np.uint16)) else 64
    return int(x) & ((1 << width) - 1), width


def load(array: RecordingArray, index: Any) -> Any:
    """A read with a hint to the cache."""
    return array.read(index, array.launch.site(sys._getframe(1)))


def store(array: RecordingArray, index: Any, value: Any) -> None:
    """A write with a hint to the cache."""
    array.write(index, value, array.launch.site(sys._getframe(1)))
