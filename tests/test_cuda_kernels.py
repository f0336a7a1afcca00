"""Every kernel of the CUDA floor under the recorder: no race, no stray index.

The property suites say that results are right; here every example of ``cuda_examples``
runs with its threads forward, reversed and shuffled, all accesses watched, and its
outputs full of NaN before (so that what nobody wrote shows).

Deliberate faults, and the test that caught each:

- a barrier left out of a kernel with shared memory -> test_kernels_pass_the_recorder
- ``+=`` for an atomic add in a backward kernel -> test_kernels_pass_the_recorder
- an output left unwritten where a RoI is empty -> test_kernels_pass_the_recorder
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cuda_examples
import pytest
import torch
from torch import Tensor

from maskrcnn_scratch.cuda import launch
from maskrcnn_scratch.learning import recorder

EXAMPLES = cuda_examples.examples()
pytestmark = pytest.mark.skipif(
    not launch.SIMULATED, reason="the kernels run on the GPU here; see test_gpu.py"
)


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """``torch.empty`` gives NaN, or the greatest integer, instead of leftovers."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def tensors_in(result: Any) -> list[Tensor]:
    """The tensors of an example's result, in order."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, (tuple, list)):
        return [tensor for entry in result for tensor in tensors_in(entry)]
    return []


def recorded(name: str, dtype: torch.dtype, order: str) -> list[Tensor]:
    """What an example returns when all its launches pass the recorder."""
    with poisoned_memory(), recorder.recording(order) as recordings:
        result = EXAMPLES[name]("cpu", dtype)
    assert recordings, f"{name} launches nothing"
    for recording in recordings:
        recording.check()
    return tensors_in(result)


@pytest.mark.parametrize("name", EXAMPLES)
def test_kernels_pass_the_recorder(name: str) -> None:
    forward = recorded(name, torch.float32, "forward")
    plain = tensors_in(EXAMPLES[name]("cpu", torch.float32))
    assert forward
    for order in ("reversed", "shuffled"):
        other = recorded(name, torch.float32, order)
        for one, two in zip(forward, other, strict=True):
            torch.testing.assert_close(one, two, equal_nan=True)
    for one, two in zip(forward, plain, strict=True):
        torch.testing.assert_close(one, two, equal_nan=True)


@pytest.mark.parametrize("dtype", cuda_examples.FEATURE_TYPES[1:], ids=str)
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_type_passes_the_recorder(name: str, dtype: torch.dtype) -> None:
    for tensor in recorded(name, dtype, "forward"):
        assert tensor.device.type == "cpu"
