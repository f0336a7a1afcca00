"""How every kernel of this floor is launched: torch tensors in, nothing copied.

``launch(kernel, blocks, threads, *arguments)`` is ``kernel[blocks, threads](...)`` on
torch's current stream. Arguments are tensors, tuples of tensors, and plain numbers.

numba would find out a tensor's type and address anew in every launch, through DLPack,
which takes longer than many kernels run. ``TensorArgument`` hands both over ready-made.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numba import config, cuda
from numba.cuda.args import ArgHint
from torch import Tensor

SIMULATED = bool(config.ENABLE_CUDASIM)
"""Whether kernels run in numba's simulator, on CPU tensors."""

WARP = 32

Runner = Callable[[Any, int | tuple[int, ...], int | tuple[int, ...], Any], None]


def launch(
    kernel: Any,
    blocks: int | tuple[int, ...],
    threads: int | tuple[int, ...],
    *arguments: Any,
) -> None:
    """Run ``kernel`` on a grid of ``blocks`` of ``threads``; an empty grid is no work.

    Returns at once: the GPU works through its stream in order.
    """
    if blocks == 0 or (isinstance(blocks, tuple) and 0 in blocks):
        return
    runner(kernel, blocks, threads, arguments)


def ceil_div(a: int, b: int) -> int:
    """How many pieces of ``b`` cover ``a``."""
    return -(-a // b)


def block_size(work: int, most: int = 256) -> int:
    """Threads of a block that shares out ``work``: whole warps, no more than needed."""
    return min(WARP * max(1, ceil_div(work, WARP)), most)


def on_gpu(
    kernel: Any,
    blocks: int | tuple[int, ...],
    threads: int | tuple[int, ...],
    arguments: Any,
) -> None:
    """Launch on the device of the first tensor, on torch's current stream there."""
    device = first_tensor(arguments).device
    if device.type != "cuda":
        raise ValueError(
            f"a CUDA kernel needs tensors on a GPU, not on {device}; to run it without "
            "one, set NUMBA_ENABLE_CUDASIM=1 before numba is imported"
        )
    with torch.cuda.device(device):
        stream = torch.cuda.current_stream().cuda_stream
        configured = configuration(kernel, blocks, threads, stream, device.index)
        configured(*(as_argument(argument) for argument in arguments))


def in_simulator(
    kernel: Any,
    blocks: int | tuple[int, ...],
    threads: int | tuple[int, ...],
    arguments: Any,
) -> None:
    """Launch in numba's simulator: each thread is Python code, on the CPU's memory.

    Arrays pass for device memory: others the simulator copies there and back, and
    refuses those with gaps.
    """
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    arrays = [as_array(argument) for argument in arguments]
    kernel[blocks, threads](
        *(FakeCUDAArray(a) if isinstance(a, np.ndarray) else a for a in arrays)
    )


runner: Runner = in_simulator if SIMULATED else on_gpu
"""What ``launch`` calls; a recorder of launches takes its place."""


@lru_cache(maxsize=1024)
def configuration(
    kernel: Any,
    blocks: int | tuple[int, ...],
    threads: int | tuple[int, ...],
    stream: int,
    device: int,
) -> Any:
    """``kernel[blocks, threads, stream]``, made once: it costs as much as a launch."""
    with warnings.catch_warnings():  # small grids are meant
        warnings.simplefilter("ignore")
        return kernel[blocks, threads, cuda.external_stream(stream)]


def first_tensor(arguments: Any) -> Tensor:
    """The first tensor among the arguments, or within a tuple of them."""
    for argument in arguments:
        if isinstance(argument, Tensor):
            return argument
        if isinstance(argument, tuple):
            return first_tensor(argument)
    raise ValueError("a launch needs a tensor among its arguments")


def as_array(argument: Any) -> Any:
    """The argument with arrays for its tensors, on the tensors' own (CPU) memory.

    bfloat16, which NumPy has not, becomes its bits in uint16, as on the GPU.
    """
    if isinstance(argument, Tensor):
        return bits_of(argument.detach()).numpy()
    if isinstance(argument, tuple):
        return tuple(as_array(entry) for entry in argument)
    return argument


def as_argument(argument: Any) -> Any:
    """The argument as numba's launch takes it."""
    if isinstance(argument, Tensor):
        return TensorArgument(bits_of(argument.detach()))
    if isinstance(argument, tuple) and any(isinstance(a, Tensor) for a in argument):
        # Of one type all, so that a kernel may choose among them as it runs.
        contiguous = all(tensor.is_contiguous() for tensor in argument)
        return tuple(TensorArgument(bits_of(a.detach()), contiguous) for a in argument)
    return argument


def bits_of(tensor: Tensor) -> Tensor:
    """bfloat16 as uint16, anything else as it is; see ``numbers``."""
    return tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor


@lru_cache(maxsize=256)
def array_type(dtype: np.dtype[Any], ndim: int, contiguous: bool) -> Any:
    """numba's type of an array: "C" where rows stand one after the other, else "A"."""
    from numba.cuda.np.numpy_support import from_dtype  # the simulator has it not

    return cuda.types.Array(from_dtype(dtype), ndim, "C" if contiguous else "A")


@lru_cache
def numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """The NumPy type of the same name: torch.float32 is float32 there."""
    return np.dtype(str(dtype).removeprefix("torch."))


class TensorArgument(ArgHint):  # type: ignore[misc]
    """A tensor on a GPU in the form that numba's launch brings every array into."""

    def __init__(self, tensor: Tensor, contiguous: bool | None = None) -> None:
        self.value = tensor
        self.ptr = tensor.data_ptr()
        self.shape = tuple(tensor.shape)
        self.size = tensor.numel()
        self.dtype = numpy_dtype(tensor.dtype)
        if contiguous is None:
            contiguous = tensor.is_contiguous()
        self._numba_type_ = array_type(self.dtype, tensor.ndim, contiguous)
        self._layout = Layout(tensor.stride(), self.dtype.itemsize, contiguous)

    def to_device(self, retr: list[Any], stream: Any = 0) -> TensorArgument:
        """It is there already."""
        return self


class Layout:
    """Strides in bytes, as numba asks for them."""

    is_contiguous_f = False

    def __init__(self, strides: Any, itemsize: int, contiguous: bool) -> None:
        self.strides_in_bytes = tuple(stride * itemsize for stride in strides)
        self.is_contiguous_c = contiguous
        self.is_contiguous_any = contiguous
