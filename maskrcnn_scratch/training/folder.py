"""A run's folder: may a training write there, or go on there?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maskrcnn_scratch.files import replacing_file
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.processes import launch_name, restarts
from maskrcnn_scratch.training.config import ConfigError, RunConfig
from maskrcnn_scratch.weights.model_file import (
    build_model,
    find_model,
    read_model_file,
)

LAUNCH = ".torchrun"  # names the torchrun that started the run

# Settings that a resumed run may change: none alters what the other iterations do.
CHANGEABLE = {
    "data.workers",
    "data.cache",
    "data.val_split",
    "train.iterations",
    "train.evaluate_every",
    "train.checkpoint_every",
    "train.print_every",
    "train.tensorboard",
}


def check_folder(out: Path, resume: bool) -> None:
    """A new run wants a new or empty folder, a resumed one its own."""
    if resume and not (out / "config.toml").is_file():
        raise FileNotFoundError(f"{out} holds no run to resume: it has no config.toml")
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        held = "holds a run" if (out / "config.toml").is_file() else "is not empty"
        raise FileExistsError(
            f"{out} {held}; choose another folder, or --resume to go on with a run"
        )


def claim(out: Path) -> None:
    """Note which torchrun started the run, for the processes that it may restart."""
    name = launch_name()
    if name is not None:
        with replacing_file(out / LAUNCH) as draft:
            draft.write_text(name, encoding="utf-8")


def was_restarted(out: Path) -> bool:
    """Whether torchrun has started this very run before, and now starts it again.

    A run of another launch is none to go on with unasked: a command that refuses it is
    started again too.
    """
    note = out / LAUNCH
    if restarts() == 0 or not note.is_file():
        return False
    return note.read_text(encoding="utf-8") == launch_name()


def check_same_settings(old: RunConfig, new: RunConfig) -> None:
    """A resumed run goes on with the settings that it began with."""
    before, after = flat(old.model_dump()), flat(new.model_dump())
    for key in sorted(before.keys() - CHANGEABLE):
        if before[key] != after[key]:
            raise ConfigError(
                f"the run was started with {key} = {before[key]}, not {after[key]};"
                " resume it with its own settings or start a new run"
            )


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections to dotted keys."""
    items: dict[str, Any] = {}
    for key, value in table.items():
        inner = isinstance(value, dict)
        items |= flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return items


def load_run(run_dir: str | Path) -> tuple[MaskRCNN, RunConfig, list[str]]:
    """(model in evaluation mode, config, class names) of a run, done or not.

    Without ``model.safetensors`` it is the newest checkpoint's.
    """
    file = read_model_file(find_model(run_dir))
    return build_model(file), RunConfig.model_validate(file.config), file.class_names
