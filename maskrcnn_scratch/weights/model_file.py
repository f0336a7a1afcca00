"""A trained model in one file: weights, the run's config and the names of the classes.

The file is safetensors: tensors by name, and a header of strings that holds the rest as
JSON. Reading it runs no code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from maskrcnn_scratch.files import replacing_file
from maskrcnn_scratch.models import MaskRCNN, ModelConfig


@dataclass(frozen=True)
class ModelFile:
    """What a file of ours holds; label l is called ``class_names[l - 1]``."""

    tensors: dict[str, Tensor]
    config: dict[str, Any]
    class_names: list[str]


def write_model_file(
    path: str | Path, model: nn.Module, config: dict[str, Any], class_names: list[str]
) -> None:
    """Write all parameters and buffers; ``config`` is the run's, as JSON values."""
    tensors = {name: t.detach().contiguous() for name, t in model.state_dict().items()}
    write_tensors(path, tensors, config, class_names)


def write_tensors(
    path: str | Path,
    tensors: dict[str, Tensor],
    config: dict[str, Any],
    class_names: list[str],
) -> None:
    """Write contiguous tensors by our names: those of a model, or of a backbone."""
    header = {"config": json.dumps(config), "class_names": json.dumps(class_names)}
    with replacing_file(path) as draft:
        save_file(tensors, draft, header)


def read_model_file(path: str | Path) -> ModelFile:
    """Raises FileNotFoundError, or ValueError where the file is none of ours."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no model at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    if not {"config", "class_names"} <= header.keys():
        raise ValueError(
            f"{path} names no config and no classes in its header; expected a"
            " model.safetensors that training wrote"
        )
    return ModelFile(
        tensors, json.loads(header["config"]), json.loads(header["class_names"])
    )


def find_model(source: str | Path) -> Path:
    """The model file of a run's folder: the final one, else the newest checkpoint's.

    A file is taken as it is. Raises FileNotFoundError where there is none.
    """
    run = Path(source)
    if run.is_file():
        return run
    final = run / "model.safetensors"
    saved = run.glob("checkpoints/[0-9]*/model.safetensors")
    newest = max(saved, key=lambda path: int(path.parent.name), default=final)
    if not final.is_file() and newest == final:
        raise FileNotFoundError(
            f"{run} holds no trained model: no model.safetensors and no checkpoint"
        )
    return final if final.is_file() else newest


def build_model(file: ModelFile) -> MaskRCNN:
    """The model with its weights, in evaluation mode.

    Raises ValueError for a file that holds a backbone alone.
    """
    if all(name.startswith("backbone.") for name in file.tensors):
        raise ValueError(
            "the file holds a backbone alone: start a training from it, with"
            " train.initial_weights"
        )
    config = TypeAdapter(ModelConfig).validate_python(file.config["model"])
    model = MaskRCNN(config)
    model.load_state_dict(file.tensors)
    return model.eval()
