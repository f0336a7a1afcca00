"""How images are shown to a trained model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """The defaults are the paper's."""

    min_size: int = 800
    """The shorter side that images are scaled to."""
    max_size: int = 1333
    """Bound on the longer side."""
    mask_threshold: float = 0.5
    """A pixel belongs to the object from this probability on."""
