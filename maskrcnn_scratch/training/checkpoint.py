"""Checkpoints that are there whole or not at all.

A checkpoint is a folder named after its iteration: ``model.safetensors`` (weights,
config, class names) and ``training.pt`` (the state of the optimiser, and of what
else changes: an average of the weights, a scaler). It is written
under a hidden name, forced to the disk and renamed into place, so a folder with a
number for a name is complete, whenever the process was killed. Of several processes
that train together, one writes and all read.

There is no state of random numbers to keep: what an iteration draws depends on the
seed and the iteration alone (see loop.py and data/batches.py).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from maskrcnn_scratch.files import force_to_disk
from maskrcnn_scratch.training.average import WeightAverage
from maskrcnn_scratch.weights.model_file import read_model_file, write_model_file

KEPT = 2
WEIGHTS = "model.safetensors"
STATE = "training.pt"

Others = dict[str, GradScaler | WeightAverage]
"""What else changes, by the names under which it is saved."""


def save_checkpoint(
    folder: Path,
    iteration: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: dict[str, Any],
    class_names: list[str],
    others: Others | None = None,
) -> Path:
    """Write ``folder/NNNNNN`` and drop all but the newest ``KEPT`` checkpoints.

    ``others`` are saved under their names.
    """
    place = folder / f"{iteration:06d}"
    if place.exists():
        return place
    folder.mkdir(parents=True, exist_ok=True)
    remove_drafts(folder)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
    write_model_file(draft / WEIGHTS, model, config, class_names)
    parts: dict[str, Any] = {"optimizer": optimizer, **(others or {})}
    state = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"iteration": iteration, **state}, draft / STATE)
    force_to_disk(draft / STATE)
    force_to_disk(draft)
    os.replace(draft, place)
    force_to_disk(folder)
    for old in checkpoints(folder)[:-KEPT]:
        # Renamed first: a removal that is cut short must not leave half a checkpoint.
        os.replace(old, folder / f".draft-{old.name}")
    remove_drafts(folder)
    return place


def checkpoints(folder: Path) -> list[Path]:
    """All complete checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    numbered = (path for path in folder.iterdir() if path.name.isdecimal())
    return sorted(numbered, key=lambda path: int(path.name))


def remove_drafts(folder: Path) -> None:
    """Remove what killed processes left."""
    for draft in folder.glob(".draft-*"):
        shutil.rmtree(draft)


def load_checkpoint(
    place: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    others: Others | None = None,
) -> int:
    """Put model, optimiser and ``others`` back as they were; returns the iteration."""
    model.load_state_dict(read_model_file(place / WEIGHTS).tensors)
    state = torch.load(place / STATE, map_location="cpu", weights_only=True)
    parts: dict[str, Any] = {"optimizer": optimizer, **(others or {})}
    for name, part in parts.items():
        part.load_state_dict(state[name])
    iteration: int = state["iteration"]
    return iteration
