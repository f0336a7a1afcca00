"""The settings of a run: TOML in, checked records out.

A config has the sections ``model``, ``data`` (with ``data.transform``), ``train`` and
``evaluate``. What a file leaves out takes the default written here, which is the
paper's; with ``preset = "detectron2"`` in ``model``, that system's. ``KEY=VALUE``
overrides name a setting by its dotted key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from maskrcnn_scratch.data import TrainTransform
from maskrcnn_scratch.inference.settings import PredictSettings
from maskrcnn_scratch.models import ModelConfig
from maskrcnn_scratch.models.presets import preset
from maskrcnn_scratch.training.toml import (
    nearest,
    override,
    parse_toml,
    to_toml,
)

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]


class ConfigError(ValueError):
    """A setting is unknown or wrong; the message is one plain line."""


class Section(BaseModel):
    """Fixed once made; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(Section):
    """Which images, and what happens to them on the way to the model."""

    train_split: str = "train"
    val_split: str = "val"
    """For ``train.evaluate_every``."""
    proposals: str | None = None
    """What another model found in the images to train on: for models without RPN."""
    val_proposals: str | None = None
    """The same of ``val_split``."""
    most_proposals: Positive = 2000
    """The best of them in each image, in training and evaluation."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Processes that read images; 0 reads them in the training process."""
    cache: bool = False
    """Keep decoded images in memory: for data sets that fit."""
    transform: TrainTransform = TrainTransform()


class TrainConfig(Section):
    """Optimiser and schedule. Defaults: the paper's, for 16 images a batch."""

    iterations: Positive = 160_000
    """Steps of the optimiser, each of one batch."""
    batch_size: Positive = 16
    """Images a step, over all processes and micro-batches."""
    accumulate: Positive = 1
    """Micro-batches that a process takes one after the other for one step: less memory,
    the same batch."""
    seed: Annotated[int, Field(ge=0)] = 0
    initial_weights: str | None = None
    """A model.safetensors of ours, or a ResNet's .pth with torchvision's names."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """The paper's SGD with momentum, or AdamW (Loshchilov and Hutter 2019), which gets
    further in a short training from random weights."""
    learning_rate: NotNegative = 0.02
    """For batches of ``reference_batch`` images."""
    reference_batch: Positive = 16
    """With another ``batch_size``, n times as large, the rate is n times as high (SGD:
    Goyal et al. 2017) or sqrt(n) times (AdamW: Malladi et al. 2022)."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD."""
    weight_decay: NotNegative = 1e-4
    """On every parameter, as in the paper."""
    warmup_iterations: Annotated[int, Field(ge=0)] = 500
    """Over these the rate rises in a line from ``warmup_factor`` to all of it."""
    warmup_factor: Annotated[float, Field(ge=0, le=1)] = 0.001
    schedule: Literal["steps", "cosine"] = "steps"
    steps: tuple[Positive, ...] = (120_000,)
    """Schedule "steps": after each of these the rate is ``step_factor`` times less."""
    step_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    clip_norm: NotNegative = 0.0
    """Bound on the norm of the whole gradient; 0 is none."""
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    """bf16 and fp16 compute convolutions and matrix products in 16 bits (autocast);
    fp16 scales the loss, so that small gradients do not become 0."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Evaluate and keep, as the run's model, the exponential moving average of the
    weights: this much of the old one stays at each step (0.999, say). 0 is none."""
    sync_batch_norm: bool = False
    """Statistics of ``norm = "bn"`` over the batches of all processes; needs GPUs."""
    compile: bool = False
    """Compile the backbone (torch.compile): minutes at the start, faster steps."""

    evaluate_every: Annotated[int, Field(ge=0)] = 0
    """Iterations from one evaluation on ``data.val_split`` to the next; the best model
    so far stands in the run's folder ``best``. 0 is never."""
    checkpoint_every: Positive = 1000
    """Iterations from one checkpoint to the next."""
    print_every: Positive = 20
    """Iterations from one line to the next, where the output is no terminal."""
    tensorboard: bool = False

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> TrainConfig:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size is {self.batch_size}, which accumulate ="
                f" {self.accumulate} does not divide into equal micro-batches"
            )
        return self


class RunConfig(Section):
    """All settings of one run."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    evaluate: PredictSettings = PredictSettings()


def preset_names() -> list[str]:
    """The configs that come with the package."""
    folder = resources.files("maskrcnn_scratch") / "configs"
    return sorted(
        item.name.removesuffix(".toml")
        for item in folder.iterdir()
        if item.name.endswith(".toml")
    )


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a TOML file or a preset by name; each override is ``KEY=VALUE``.

    Raises ConfigError that says what is wrong, where, and what was expected.
    """
    text, name = read_source(source)
    try:
        settings = parse_toml(text)
        for item in overrides:
            override(settings, item)
        fill_preset(settings)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    return check_config(settings, name)


def read_source(source: str | Path) -> tuple[str, str]:
    """(text, name) of a file, or of a preset."""
    if str(source) in preset_names():
        packaged = resources.files("maskrcnn_scratch") / "configs" / f"{source}.toml"
        return packaged.read_text(encoding="utf-8"), str(source)
    path = Path(source)
    if path.is_file():
        return path.read_text(encoding="utf-8"), str(path)
    names = preset_names()
    raise ConfigError(
        f"no config {str(source)!r}: no such file, and the presets are"
        f" {', '.join(names)}; did you mean {nearest(str(source), names)}?"
    )


def fill_preset(settings: dict[str, Any]) -> None:
    """Put in place what ``preset`` in the section ``model`` stands for.

    The section's other keys override it. Raises ValueError for an unknown preset.
    """
    model = settings.get("model")
    if isinstance(model, dict) and "preset" in model:
        name = model.pop("preset")
        try:
            settings["model"] = asdict(preset(str(name))) | model
        except ValueError as error:
            raise ValueError(f"model.preset: {error}") from error


def check_config(settings: dict[str, Any], name: str) -> RunConfig:
    """Settings as read to checked ones; ``name`` is where they come from."""
    try:
        # JSON's strict mode is TOML's notion of types: an array for a tuple, an integer
        # for a float, but no text for a number.
        return RunConfig.model_validate_json(
            json.dumps(settings, default=str), strict=True
        )
    except ValidationError as error:
        raise ConfigError(f"{name}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors()[0]
    key = ".".join(part for part in map(str, first["loc"]) if not part.isdigit())
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown setting {key}; the nearest is {nearest(key, setting_names())}"
    if first["type"] == "missing":
        return f"{key} has too few values: {json.dumps(first['input'])}"
    if first["type"] == "value_error":
        return f"{key}: {first['msg'].removeprefix('Value error, ')}"
    message = first["msg"].removeprefix("Input ")
    if not isinstance(first["input"], dict):
        message += f", not {json.dumps(first['input'])}"
    return f"{key} {message}"


def setting_names() -> list[str]:
    """The dotted key of every setting, and of every section."""
    settings = RunConfig().model_dump()
    names = ["model.preset"]
    pending = [(name, value) for name, value in settings.items()]
    while pending:
        name, value = pending.pop()
        names.append(name)
        if isinstance(value, dict):
            pending += [(f"{name}.{key}", inner) for key, inner in value.items()]
    return sorted(names)


def config_to_toml(config: RunConfig) -> str:
    """Every setting; reads back as the same config."""
    return to_toml(config.model_dump(mode="json", exclude_none=True))
