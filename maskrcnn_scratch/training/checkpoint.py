"""Checkpoints that are there whole or not at all.

A checkpoint is a folder named after its iteration: ``model.safetensors`` (weights,
config, class names) and ``training.pt`` (the optimiser's state). It is written
under a hidden name, forced to the disk and renamed into place, so a folder with a
number for a name is complete, whenever the process was killed.

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

from maskrcnn_scratch.files import force_to_disk
from maskrcnn_scratch.weights.model_file import read_model_file, write_model_file

KEPT = 2
WEIGHTS = "model.safetensors"
STATE = "training.pt"


def save_checkpoint(
    folder: Path,
    iteration: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: dict[str, Any],
    class_names: list[str],
) -> Path:
    """Write ``folder/NNNNNN`` and drop all but the newest ``KEPT`` checkpoints."""
    place = folder / f"{iteration:06d}"
    if place.exists():
        return place
    folder.mkdir(parents=True, exist_ok=True)
    remove_drafts(folder)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
    write_model_file(draft / WEIGHTS, model, config, class_names)
    state = {"iteration": iteration, "optimizer": optimizer.state_dict()}
    torch.save(state, draft / STATE)
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
    place: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    """Put model and optimiser back as they were; returns the iteration."""
    model.load_state_dict(read_model_file(place / WEIGHTS).tensors)
    state = torch.load(place / STATE, map_location="cpu", weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    iteration: int = state["iteration"]
    return iteration
