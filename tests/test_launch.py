"""Launches of the CUDA floor: what a kernel is given, and 16-bit numbers inside it.

Deliberate faults, and the test that caught each:

- bfloat16 cut off instead of rounded -> test_bfloat16_rounds_as_torch_does
- ties of bfloat16 rounded up -> test_bfloat16_rounds_as_torch_does
- strides in elements instead of bytes -> test_numba_gets_shape_strides_and_address
- a transposed tensor declared contiguous -> test_numba_gets_shape_strides_and_address
- an empty grid launched -> test_an_empty_grid_is_no_work
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numba import cuda

from maskrcnn_scratch.cuda import launch
from maskrcnn_scratch.cuda.compiled import kernel
from maskrcnn_scratch.cuda.numbers import assign, to_float32

DEVICE = "cpu" if launch.SIMULATED else "cuda"


@kernel
def convert(source: Any, target: Any) -> None:
    """One thread copies all, through float32."""
    for i in range(source.shape[0]):
        assign(target, i, to_float32(source[i]))


def converted(source: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """``source`` brought to ``dtype`` by the kernel."""
    target = torch.empty(source.shape, dtype=dtype, device=DEVICE)
    launch.launch(convert, 1, 1, source.to(DEVICE), target)
    return target.cpu()


TIES = [1.00390625, 1.01171875, -1.00390625, 65280.0, 3.3895314e38, 1e-45]


@given(st.lists(st.floats(width=32) | st.sampled_from(TIES), min_size=1, max_size=20))
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_bfloat16_rounds_as_torch_does(values: list[float]) -> None:
    numbers = torch.tensor(values, dtype=torch.float32)
    result = converted(numbers, torch.bfloat16)
    torch.testing.assert_close(
        result, numbers.to(torch.bfloat16), rtol=0, atol=0, equal_nan=True
    )
    back = converted(result, torch.float32)
    torch.testing.assert_close(back, result.float(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_type_of_features_is_read(dtype: torch.dtype) -> None:
    numbers = torch.tensor([0.1, -2.5, 1000.0, 0.0]).to(dtype)
    assert torch.equal(converted(numbers, torch.float32), numbers.float())


@kernel
def add_levels(maps: Any, levels: Any, out: Any) -> None:
    """out[i] = maps[levels[i]][i, 0], plus i."""
    i = cuda.grid(1)
    if i < out.shape[0]:
        out[i] = maps[levels[i]][i, 0] + np.float32(i)


def test_tuples_and_views_are_not_copied() -> None:
    maps = torch.arange(12.0, device=DEVICE).view(2, 3, 2).transpose(1, 2)
    levels = torch.tensor([1, 0], device=DEVICE)
    buffer = torch.zeros(4, device=DEVICE)
    launch.launch(add_levels, 1, 32, tuple(maps), levels, buffer[::2])
    assert buffer.tolist() == [6, 0, 2, 0]


def test_an_empty_grid_is_no_work() -> None:
    nothing = torch.empty(0, 1, device=DEVICE)
    out = torch.empty(0, device=DEVICE)
    for blocks in (0, (0, 1), (3, 0)):
        launch.launch(add_levels, blocks, 32, (nothing,), out.long(), out)


def test_a_runner_can_take_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(launch, "runner", lambda *launched: seen.append(launched))
    launch.launch(convert, 3, (4, 5), 6)
    assert seen == [(convert, 3, (4, 5), (6,))]


WITHOUT_SIMULATOR = """
import torch
from numba.cuda import types
from numba.cuda.dispatcher import _Kernel
from numba.cuda.typing.typeof import Purpose, typeof
from maskrcnn_scratch.cuda.launch import TensorArgument, as_argument, launch

tensor = torch.zeros(2, 3, dtype=torch.float16)
for view, layout in ((tensor, "C"), (tensor.T, "A"), (tensor[:, 1:], "A")):
    argument = as_argument(view)
    kind = typeof(argument, Purpose.argument)
    assert kind == types.Array(types.float16, 2, layout), kind
    packed = []
    kernel = _Kernel.__new__(_Kernel)
    kernel.extensions = []
    kernel._prepare_args(kind, argument, 0, [], packed)
    strides = [2 * stride for stride in view.stride()]
    expected = [0, 0, view.numel(), 2, view.data_ptr(), *view.shape, *strides]
    assert packed == expected, (packed, expected)
pair = as_argument((tensor, tensor.view(torch.bfloat16)))
kinds = [str(typeof(one, Purpose.argument).dtype) for one in pair]
assert kinds == ["float16", "uint16"]
try:
    launch(None, 1, 1, tensor)
except ValueError as error:
    assert "not on cpu" in str(error) and "NUMBA_ENABLE_CUDASIM=1" in str(error)
else:
    raise AssertionError("a CPU tensor was launched")
"""


def test_numba_gets_shape_strides_and_address() -> None:
    """Outside the simulator, but short of the launch itself, which needs a GPU."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SIMULATOR],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
