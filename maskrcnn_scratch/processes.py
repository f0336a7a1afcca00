"""The processes of one training or evaluation, as torchrun starts them.

``torchrun --nproc-per-node N -m maskrcnn_scratch train ...`` starts the command N
times and tells each by environment variables which one it is. Without torchrun there
is one process, number 0, and everything here is next to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from socket import gethostname
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

Item = TypeVar("Item")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others: process 0 computes AP and writes files
alone. A process that dies is noticed by torchrun, and at once."""


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes that torchrun started, and leave them at the end.

    Tensors on GPUs travel by NCCL, everything else by gloo. On a machine with GPUs
    each process takes one: "cuda" is its own from here on. Raises ValueError where
    there are more processes than GPUs.
    """
    launched = dist.is_available() and dist.is_torchelastic_launched()
    if not launched or int(os.environ["WORLD_SIZE"]) == 1:
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        own, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if own >= gpus:
            raise ValueError(
                f"torchrun started {os.environ['LOCAL_WORLD_SIZE']} processes here,"
                f" and there are {gpus} GPUs: --nproc-per-node may be {gpus} at most"
            )
        torch.cuda.set_device(own)
    store, own, count = next(rendezvous("env://", timeout=PATIENCE))
    # torchrun keeps its store over a restart, and what the dead processes wrote in it:
    # without a place of their own the new ones would look for those and wait.
    store = dist.PrefixStore(f"start {restarts()}", store)  # type: ignore[attr-defined]
    dist.init_process_group(
        backend, store=store, rank=own, world_size=count, timeout=PATIENCE
    )
    yield
    # Not after an error: the others may never come to where this one would wait.
    dist.destroy_process_group()


def rank() -> int:
    """The number of this process; 0 is the one that writes and prints."""
    joined = dist.is_available() and dist.is_initialized()
    return dist.get_rank() if joined else 0


def world_size() -> int:
    """How many processes there are."""
    joined = dist.is_available() and dist.is_initialized()
    return dist.get_world_size() if joined else 1


def launch_name() -> str | None:
    """The same in all processes that one torchrun starts and restarts; else None."""
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        return None
    return f"{os.environ['TORCHELASTIC_RUN_ID']} {gethostname()} {os.getppid()}"


def restarts() -> int:
    """How often torchrun has started the processes again after one of them failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def averaged(values: Tensor) -> Tensor:
    """The mean over all processes, the same in each."""
    if world_size() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def anyone(said: bool) -> bool:
    """Whether it is so in any process; all wait for each other here."""
    if world_size() == 1:
        return said
    answer = torch.tensor([float(said)])
    dist.all_reduce(answer)
    return bool(answer > 0)


def gathered(items: list[Item]) -> list[Item]:
    """The items of all processes, process by process; in others than 0 an empty list.

    They are pickled, and go from process to process alone.
    """
    if world_size() == 1:
        return items
    parts: list[list[Item]] = [[] for _ in range(world_size())]
    dist.gather_object(items, parts if rank() == 0 else None)
    return [item for part in parts for item in part]
