"""What test_distributed.py runs in each of two processes; torchrun starts them.

``two_processes.py JOB DATA OUT``: process 0 leaves what came of it in OUT.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tiny_training import tiny_config
from torch import Tensor

from maskrcnn_scratch import processes
from maskrcnn_scratch.cli import main
from maskrcnn_scratch.data import CocoDataset, make_loader
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.training import run
from maskrcnn_scratch.training.config import RunConfig
from maskrcnn_scratch.training.loop import add_gradients, make_scaler
from maskrcnn_scratch.training.prepare import distributed, own_share

Result = tuple[dict[str, Tensor], dict[str, Tensor]]


def gradients(config: RunConfig, data: Path) -> Result:
    """(losses, gradients by name) of the first batch, this process's part of it."""
    torch.manual_seed(0)
    model = MaskRCNN(replace(config.model, num_classes=4)).train()
    dataset = CocoDataset(data, "train")
    share = own_share(config.train)
    batch = next(iter(make_loader(dataset, config.train.batch_size, share=share)))
    device = torch.device("cpu")
    trained = distributed(model, device)
    scaler = make_scaler(config.train, device)
    losses = add_gradients(config.train, trained, scaler, batch, 1)
    means = {name: processes.averaged(loss) for name, loss in losses.items()}
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return means, found


def talk(out: Path) -> None:
    """The small operations."""
    own = processes.rank()
    answers = {
        "averaged": processes.averaged(torch.tensor([own, 2.0 * own])).tolist(),
        "anyone": [processes.anyone(own == 1), processes.anyone(False)],
        "gathered": processes.gathered([(own, "a"), (own, "b")][: own + 1]),
    }
    torch.save(answers, out / f"talk-{own}.pt")


class Dying(MaskRCNN):
    """Process 1 kills itself in iteration 6 of its first life."""

    steps = 0

    def forward(self, *arguments: Any, **named: Any) -> Any:
        Dying.steps += self.training
        first = processes.restarts() == 0 and processes.rank() == 1
        if first and Dying.steps == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(*arguments, **named)


def train(data: str, out: str) -> int:
    """By the command line, as users do, but with a model that dies."""
    run.MaskRCNN = Dying  # type: ignore[misc]
    return main(["train", f"{out}.toml", "--data", data, "--out", out])


if __name__ == "__main__":
    job, data, out = sys.argv[1:]
    if job == "train":
        sys.exit(train(data, out))
    with processes.process_group():
        found = gradients(tiny_config(batch_size=4), Path(data))
        if processes.rank() == 0:
            torch.save(found, Path(out) / "gradients.pt")
        talk(Path(out))
