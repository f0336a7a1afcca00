"""What a benchmark case is, and the sizes that all cases share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

Work = Callable[[], Any]
"""One call of what is measured; what it returns is compared."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The shapes of all cases; the defaults are those of the published tables."""

    image: tuple[int, int] = (800, 1088)
    """(height, width) of the image that the pyramid is of, and of evaluation."""
    channels: int = 256
    rois: int = 1000
    nms: tuple[int, ...] = (4_000, 12_000)
    """Boxes of the cases with one segment."""
    nms_a_level: int = 2_000
    """Boxes of each of five levels, in the batched case."""
    objects: int = 8
    """Ground-truth boxes an image, for the matcher and for training."""
    masks: int = 100
    """Masks that are pasted, detections that evaluation finds."""
    mask_targets: int = 256
    """Positive RoIs of a training batch."""
    train_image: tuple[int, int] = (512, 512)
    train_images: int = 2


@dataclass(frozen=True)
class Pair:
    """Both sides of a case on the same inputs."""

    ours: Work
    theirs: Callable[[], Mapping[str, Work]]
    """Makes the other library's ways to do the same, by name. It alone imports it."""
    difference: Callable[[Any, Any], dict[str, float]]
    """How far what ours returned is from what theirs did, by what is compared."""
    least_bytes: int = 0
    """Bytes that must be read and written at least; 0 where nobody counted them."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of a table."""

    name: str
    shapes: str
    prepare: Callable[[torch.device], Pair]
    """Makes the inputs, on that device."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """The largest ``difference`` allowed; what is not named here has no limit."""
    cpu_target: float | None = None
    """At least this many times as fast, on 2 CPU cores."""
    gpu_target: float | None = None
    floor_target: float | None = None
    """On a GPU at most this many times what moving ``least_bytes`` takes."""

    def target(self, device: torch.device) -> float | None:
        """How many times as fast it must be on that device."""
        return self.cpu_target if device.type == "cpu" else self.gpu_target
