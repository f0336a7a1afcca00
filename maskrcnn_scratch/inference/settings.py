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

    def __post_init__(self) -> None:
        """Refuse sizes and thresholds that no image can have, by name."""
        if self.min_size < 1 or self.max_size < 1:
            raise ValueError(
                f"min_size is {self.min_size} and max_size {self.max_size}; expected"
                " 1 or more each"
            )
        if not 0 < self.mask_threshold < 1:
            raise ValueError(
                f"mask_threshold is {self.mask_threshold}; expected between 0 and 1"
            )
