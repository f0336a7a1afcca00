"""The small trained models that lessons open with; they come with the package.

Each was trained by ``maskrcnn-scratch weights lesson NAME`` on generated images alone
(``experiments.lesson_weights`` says how); tensors are stored in 16 bits.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

from maskrcnn_scratch.models import MaskRCNN
from maskrcnn_scratch.weights.model_file import build_model, read_model_file

LessonName = Literal["shapes", "figures"]


def lesson_file(name: LessonName) -> Path:
    """Where the weights stand: 16-bit safetensors with config and class names."""
    folder = resources.files("maskrcnn_scratch") / "weights" / "lessons"
    return Path(str(folder / f"{name}.safetensors"))


def lesson_model(name: LessonName) -> tuple[MaskRCNN, list[str]]:
    """The model in evaluation mode, float32, and the names of its classes.

    "shapes": masks of ``data.shapes``; "figures": masks and keypoints of
    ``data.stick_figures``. Both see images of 128 x 128 pixels. No generated image of
    another seed than ``experiments.lesson_weights.SEED`` was in the training.
    """
    file = read_model_file(lesson_file(name))
    return build_model(file), file.class_names
