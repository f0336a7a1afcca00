"""A run: a folder that holds everything about one training.

``config.toml`` (all settings, resolved), ``metrics.jsonl`` (a line an iteration),
``checkpoints/NNNNNN/`` (the newest two), ``best/`` if it is evaluated on the way, and
``model.safetensors`` once it is done. Of several processes number 0 writes it all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console

from maskrcnn_scratch.data import CocoDataset
from maskrcnn_scratch.files import replacing_file
from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.processes import anyone, rank
from maskrcnn_scratch.training.checkpoint import checkpoints
from maskrcnn_scratch.training.config import RunConfig, config_to_toml, load_config
from maskrcnn_scratch.training.folder import (
    check_folder,
    check_same_settings,
    claim,
    was_restarted,
)
from maskrcnn_scratch.training.initial_weights import load_initial_weights
from maskrcnn_scratch.training.interrupt import deferred_interrupt
from maskrcnn_scratch.training.loop import Report, fit
from maskrcnn_scratch.training.metrics import MetricsLog
from maskrcnn_scratch.training.prepare import (
    distributed,
    fit_to_classes,
    open_dataset,
    own_batches,
    plan_text,
    prepare_model,
)
from maskrcnn_scratch.training.progress import TrainingProgress
from maskrcnn_scratch.training.state import TrainingState
from maskrcnn_scratch.training.validation import Validation, open_validation
from maskrcnn_scratch.weights.model_file import write_model_file


def train(
    config: RunConfig,
    data_dir: str | Path,
    out_dir: str | Path,
    resume: bool = False,
    console: Console | None = None,
) -> Path:
    """Train on the images of ``data_dir`` and return the run's folder.

    With ``resume``, or when torchrun restarts it, the run in ``out_dir`` goes on from
    its newest checkpoint; on the CPU it ends with the very weights of a run that was
    never stopped. Trains on the GPU where there is one.

    Raises FileExistsError where ``out_dir`` holds anything and ``resume`` is False,
    FileNotFoundError where there is no run to resume, ConfigError for settings that
    do not fit the data or the run, TrainingDiverged, and KeyboardInterrupt after
    Ctrl-C, once a checkpoint is written.
    """
    out = Path(out_dir)
    restarted = was_restarted(out)
    if rank() == 0 and not restarted:
        check_folder(out, resume)
    dataset = open_dataset(config, data_dir)
    config = fit_to_classes(config, dataset.class_names)
    if (resume or restarted) and (out / "config.toml").is_file():
        check_same_settings(load_config(out / "config.toml"), config)
    validation = open_validation(config, data_dir, dataset.class_names, out)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    console = console or Console(quiet=rank() > 0)
    with repeatable(device):
        train_in(out, config, dataset, validation, device, console)
    return out


def train_in(
    out: Path,
    config: RunConfig,
    dataset: CocoDataset,
    validation: Validation | None,
    device: torch.device,
    console: Console,
) -> None:
    """Set everything up, or back up, in the run's folder; then the loop."""
    settings = config.train
    saved = checkpoints(out / "checkpoints")
    torch.manual_seed(settings.seed)
    model = MaskRCNN(config.model)
    if not saved and settings.initial_weights is not None:
        report = load_initial_weights(model, settings.initial_weights)
        say(console, report.text())
    prepare_model(model, config, device)
    state = TrainingState(settings, model, device)
    start = state.load(saved[-1]) if saved else 0
    header = (config.model_dump(mode="json"), dataset.class_names)
    batches = own_batches(config, dataset, start)
    say(console, plan_text(settings, len(dataset)))
    anyone(False)  # all have looked at the folder before process 0 writes to it
    with (
        journal(out, config, start, console) as write,
        deferred_interrupt() as interrupted,
    ):

        def after_step(iteration: int, values: dict[str, float]) -> None:
            state.after_step(iteration)
            if validation is not None and validation.is_due(iteration):
                with state.shown():
                    values = values | validation(model, header)
            write(iteration, values)
            stop, last = anyone(interrupted.is_set()), iteration == settings.iterations
            due = iteration % settings.checkpoint_every == 0 or last or stop
            if due and rank() == 0:
                state.save(out / "checkpoints", iteration, header)
            if stop and not last:
                anyone(False)  # it is saved before the first of us leaves
                raise KeyboardInterrupt(
                    f"stopped after iteration {iteration}, which is saved in {out};"
                    " --resume goes on from there"
                )

        trained = distributed(model, device)
        fit(
            settings, trained, state.optimizer, batches, after_step, start, state.scaler
        )
    if rank() == 0:
        with state.shown():
            write_model_file(out / "model.safetensors", model, *header)


@contextmanager
def journal(
    out: Path, config: RunConfig, start: int, console: Console
) -> Iterator[Report]:
    """What to tell of each iteration: it goes to files and to the console.

    In other processes than 0 to nobody.
    """
    if rank() > 0:
        yield lambda iteration, values: None
        return
    settings = config.train
    claim(out)
    with replacing_file(out / "config.toml") as draft:
        draft.write_text(config_to_toml(config), encoding="utf-8")
    with (
        MetricsLog(out / "metrics.jsonl", start, settings.tensorboard) as log,
        TrainingProgress(
            start, settings.iterations, settings.print_every, console
        ) as progress,
    ):

        def write(iteration: int, values: dict[str, float]) -> None:
            log.append(iteration, values)
            progress.advance(iteration, values["loss"], values["learning_rate"])

        yield write


def say(console: Console, text: str) -> None:
    """As it stands, however wide the terminal is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


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
