"""A run: a folder that holds everything about one training.

``config.toml`` (all settings, resolved), ``metrics.jsonl`` (a line an iteration),
``checkpoints/NNNNNN/`` (the newest two) and, once it is done, ``model.safetensors``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from maskrcnn_scratch.data import CocoDataset, make_loader
from maskrcnn_scratch.files import replacing_file
from maskrcnn_scratch.inference.settings import resize_rule
from maskrcnn_scratch.models import MaskRCNN, ModelConfig
from maskrcnn_scratch.training.checkpoint import (
    checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from maskrcnn_scratch.training.config import (
    ConfigError,
    RunConfig,
    config_to_toml,
    load_config,
)
from maskrcnn_scratch.training.initial_weights import load_initial_weights
from maskrcnn_scratch.training.interrupt import deferred_interrupt
from maskrcnn_scratch.training.loop import fit, make_optimizer
from maskrcnn_scratch.training.metrics import MetricsLog
from maskrcnn_scratch.training.progress import TrainingProgress
from maskrcnn_scratch.weights.model_file import (
    build_model,
    find_model,
    read_model_file,
    write_model_file,
)

# Settings that a resumed run may change: none alters what the other iterations do.
CHANGEABLE = {
    "data.workers",
    "data.cache",
    "train.iterations",
    "train.checkpoint_every",
    "train.print_every",
    "train.tensorboard",
}


def train(
    config: RunConfig,
    data_dir: str | Path,
    out_dir: str | Path,
    resume: bool = False,
    console: Console | None = None,
) -> Path:
    """Train on the images of ``data_dir`` and return the run's folder.

    With ``resume`` the run in ``out_dir`` goes on from its newest checkpoint; on the
    CPU it ends with the very weights of a run that was never stopped. Trains on the
    GPU where there is one.

    Raises FileExistsError where ``out_dir`` holds anything and ``resume`` is False,
    FileNotFoundError where there is no run to resume, ConfigError for settings that
    do not fit the data or the run, TrainingDiverged, and KeyboardInterrupt after
    Ctrl-C, once a checkpoint is written.
    """
    out = Path(out_dir)
    check_folder(out, resume)
    dataset = open_dataset(config, data_dir)
    config = fit_to_classes(config, dataset.class_names)
    if resume:
        check_same_settings(load_config(out / "config.toml"), config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with repeatable(device):
        train_in(out, config, dataset, device, console or Console())
    return out


def train_in(
    out: Path,
    config: RunConfig,
    dataset: CocoDataset,
    device: torch.device,
    console: Console,
) -> None:
    """Set everything up, or back up, in the run's folder; then the loop."""
    settings = config.train
    torch.manual_seed(settings.seed)
    model = MaskRCNN(config.model)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(settings, model)
    header: tuple[dict[str, Any], list[str]] = (
        config.model_dump(mode="json"),
        dataset.class_names,
    )
    saved = checkpoints(out / "checkpoints")
    start = load_checkpoint(saved[-1], model, optimizer) if saved else 0
    if not saved and settings.initial_weights is not None:
        report = load_initial_weights(model, settings.initial_weights)
        console.print(report.text(), highlight=False, markup=False, soft_wrap=True)
    with (
        MetricsLog(out / "metrics.jsonl", start, settings.tensorboard) as log,
        TrainingProgress(
            start, settings.iterations, settings.print_every, console
        ) as progress,
        deferred_interrupt() as interrupted,
    ):
        with replacing_file(out / "config.toml") as draft:
            draft.write_text(config_to_toml(config), encoding="utf-8")

        def report_iteration(iteration: int, values: dict[str, float]) -> None:
            log.append(iteration, values)
            progress.advance(iteration, values["loss"], values["learning_rate"])
            last = iteration == settings.iterations
            due = iteration % settings.checkpoint_every == 0
            if due or last or interrupted.is_set():
                save_checkpoint(
                    out / "checkpoints", iteration, model, optimizer, *header
                )
            if interrupted.is_set() and not last:
                raise KeyboardInterrupt(
                    f"stopped after iteration {iteration}, which is saved in {out};"
                    " --resume goes on from there"
                )

        loader = make_loader(
            dataset,
            settings.batch_size,
            seed=settings.seed,
            start=start,
            workers=config.data.workers,
        )
        fit(settings, model, optimizer, iter(loader), report_iteration, start)
    write_model_file(out / "model.safetensors", model, *header)


def check_folder(out: Path, resume: bool) -> None:
    """A new run wants a new or empty folder, a resumed one its own."""
    if resume and not (out / "config.toml").is_file():
        raise FileNotFoundError(f"{out} holds no run to resume: it has no config.toml")
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        held = "holds a run" if (out / "config.toml").is_file() else "is not empty"
        raise FileExistsError(
            f"{out} {held}; choose another folder, or --resume to go on with a run"
        )


def open_dataset(config: RunConfig, data_dir: str | Path) -> CocoDataset:
    """The images to train on, augmented."""
    dataset = CocoDataset(
        data_dir,
        config.data.train_split,
        seed=config.train.seed,
        cache=config.data.cache,
    )
    transform = config.data.transform
    side = config.model.image_long
    if config.model.image_square and transform.largest_side > side:
        raise ConfigError(
            f"data.transform gives images of up to {transform.largest_side} pixels, but"
            f" model.image_square pads to model.image_long = {side}: choose"
            " data.transform.max_size (times scale_jitter) accordingly"
        )
    transform = replace(
        transform, keypoint_swap=transform.keypoint_swap or dataset.keypoint_swap
    )
    dataset.transform = partial(transform, rule=resize_rule(config.model))
    return dataset


def fit_to_classes(config: RunConfig, class_names: list[str]) -> RunConfig:
    """``model.num_classes`` is the data's; another one, if set, is a mistake."""
    wanted, found = config.model.num_classes, len(class_names)
    if wanted not in (ModelConfig().num_classes, found):
        raise ConfigError(
            f"model.num_classes is {wanted}, but the data has {found} classes"
            f" ({', '.join(class_names)}); leave the setting out"
        )
    model = replace(config.model, num_classes=found)
    return config.model_copy(update={"model": model})


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


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """On the CPU, equal seeds give equal runs to the last bit.

    On a GPU the deterministic variants are slow or missing, so speed comes first there.
    """
    before = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(device.type == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def load_run(run_dir: str | Path) -> tuple[MaskRCNN, RunConfig, list[str]]:
    """(model in evaluation mode, config, class names) of a run, done or not.

    Without ``model.safetensors`` it is the newest checkpoint's.
    """
    file = read_model_file(find_model(run_dir))
    return build_model(file), RunConfig.model_validate(file.config), file.class_names
