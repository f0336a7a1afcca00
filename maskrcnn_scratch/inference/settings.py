"""What is made of a trained model's output, and how images are shown to it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypedDict

from pydantic import TypeAdapter

from maskrcnn_scratch.data.resize import ResizeRule
from maskrcnn_scratch.models import ModelConfig


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """The default is the paper's."""

    mask_threshold: float = 0.5
    """A pixel belongs to the object from this probability on."""

    def __post_init__(self) -> None:
        """Refuse a threshold that no probability can cross, by name."""
        if not 0 < self.mask_threshold < 1:
            raise ValueError(
                f"mask_threshold is {self.mask_threshold}; expected between 0 and 1"
            )


def prediction_settings(saved: dict[str, Any]) -> PredictSettings:
    """From a model file's header.

    Raises ValueError for a setting that is none: a file of another version would
    otherwise be read, and find less than it did.
    """
    known = {field.name for field in fields(PredictSettings)}
    if saved.keys() - known:
        raise ValueError(
            "the model file is of another version: its settings"
            f" {', '.join(sorted(saved.keys() - known))} are not known"
        )
    return TypeAdapter(PredictSettings).validate_python(saved)


class Reads(TypedDict):
    """What a CocoDataset is asked for."""

    masks: bool
    keypoints: bool


def what_it_reads(config: ModelConfig) -> Reads:
    """The parts of a data set that the model learns from, or is measured by."""
    return {"masks": config.mask_head != "none", "keypoints": config.keypoints > 0}


def resize_rule(config: ModelConfig) -> ResizeRule:
    """How the model's images are scaled."""
    return ResizeRule(
        short=config.image_short,
        long=config.image_long,
        square=config.image_square,
        filter=config.resize_filter,
        rounding=config.resize_rounding,
    )
