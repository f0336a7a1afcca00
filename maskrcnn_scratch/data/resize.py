"""To which size an image is scaled, and how its pixels are read there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Filter = Literal["antialias", "bilinear"]
Rounding = Literal["nearest", "down"]


@dataclass(frozen=True, kw_only=True)
class ResizeRule:
    """The defaults are the paper's: shorter side 800 (section 3.1).

    Public code bounds the longer side by 1333.
    """

    short: int = 800
    """The shorter side, pixels."""
    long: int = 1333
    """Bound on the longer side."""
    square: bool = False
    """Scale up alone to reach ``short``, and down alone to respect ``long``."""
    filter: Filter = "antialias"
    """Average where an image shrinks, or read four pixels whatever the scale."""
    rounding: Rounding = "nearest"
    """Of the scaled sides, to whole pixels."""

    def __post_init__(self) -> None:
        """Refuse sizes that no image can have."""
        if self.short < 1 or self.long < 1:
            raise ValueError(
                f"an image's sides are to become {self.short} and at most {self.long}"
                " pixels; expected 1 or more each"
            )

    def size(self, old: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that an image of this (height, width) is scaled to."""
        scale = self.short / min(old)
        if self.square:
            scale = max(scale, 1.0)
        scale = min(scale, self.long / max(old))
        half = 0.5 if self.rounding == "nearest" else 0.0
        height, width = (max(1, int(side * scale + half)) for side in old)
        return height, width


PAPERS_RULE = ResizeRule()


def resize_image(
    image: Float[Tensor, "3 _h _w"], size: tuple[int, int], filter: Filter = "antialias"
) -> Float[Tensor, "3 height width"]:
    """Bilinear between pixel centres, at ``size`` (height, width)."""
    if (image.shape[1], image.shape[2]) == size:
        return image
    return F.interpolate(
        image[None],
        size,
        mode="bilinear",
        align_corners=False,
        antialias=filter == "antialias",
    )[0]
