"""Random augmentation of training samples, the same for the same generator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from maskrcnn_scratch.data.resize import PAPERS_RULE, ResizeRule
from maskrcnn_scratch.data.transforms import (
    Sample,
    crop,
    drop_empty,
    horizontal_flip,
    resize,
    transpose,
    vertical_flip,
)
from maskrcnn_scratch.structures import Target


@dataclass(frozen=True, kw_only=True)
class TrainTransform:
    """What happens to an image before training, in this order.

    The defaults are the paper's: shorter side 800, mirrored half of the time.
    """

    quarter_turns: bool = False
    """Transpose half of the time. With both flips: all eight turns and mirrorings,
    for images without an up, such as those of a microscope."""
    horizontal_flip: float = 0.5
    """Probability."""
    vertical_flip: float = 0.0
    """Probability."""
    min_sizes: tuple[int, ...] = (800,)
    """Shorter sides, one drawn each time."""
    max_size: int = 1333
    """Bound on the longer side."""
    scale_jitter: tuple[float, float] = (1.0, 1.0)
    """The drawn size times a factor between these, drawn evenly in the logarithm."""
    crop: int | None = None
    """Side of a square cut out at random, smaller where the image is."""
    color_jitter: float = 0.0
    """Brightness, contrast and saturation times 1 - c to 1 + c each."""
    keypoint_swap: tuple[int, ...] | None = None
    """What each keypoint becomes in the mirror: ``dataset.keypoint_swap``."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing, by name."""
        for fault in faults(self):
            raise ValueError(fault)

    def __call__(
        self,
        image: Float[Tensor, "3 _h _w"],
        target: Target,
        generator: torch.Generator,
        rule: ResizeRule = PAPERS_RULE,
    ) -> Sample:
        """``rule`` says how to resize; ``min_sizes`` and ``max_size`` to what."""
        if self.quarter_turns and uniform(generator) < 0.5:
            image, target = transpose(image, target, self.keypoint_swap)
        if uniform(generator) < self.horizontal_flip:
            image, target = horizontal_flip(image, target, self.keypoint_swap)
        if uniform(generator) < self.vertical_flip:
            image, target = vertical_flip(image, target, self.keypoint_swap)
        image, target = self.scale(image, target, generator, rule)
        if self.crop is not None:
            image, target = random_crop(image, target, self.crop, generator)
        if self.color_jitter:
            image = jitter_colors(image, self.color_jitter, generator)
        return image, drop_empty(target)

    def scale(
        self,
        image: Tensor,
        target: Target,
        generator: torch.Generator,
        rule: ResizeRule,
    ) -> Sample:
        """Resize to one of the shorter sides, times the jitter."""
        short = pick(self.min_sizes, generator)
        low, high = self.scale_jitter
        factor = low * (high / low) ** uniform(generator)
        short, long = (max(1, round(side * factor)) for side in (short, self.max_size))
        return resize(image, target, replace(rule, short=short, long=long))

    @property
    def largest_side(self) -> int:
        """No image comes out with a longer one."""
        longest = max(1, round(self.max_size * self.scale_jitter[1]))
        return longest if self.crop is None else min(longest, self.crop)


def faults(transform: TrainTransform) -> Iterator[str]:
    """A line for each value that means nothing."""
    for name in ("horizontal_flip", "vertical_flip", "color_jitter"):
        if not 0 <= getattr(transform, name) <= 1:
            yield f"{name} is {getattr(transform, name)}; expected 0 to 1"
    if not transform.min_sizes or min(transform.min_sizes) < 1:
        yield f"min_sizes are {list(transform.min_sizes)}; expected some, all 1 or more"
    for name in ("max_size", "crop"):
        value = getattr(transform, name)
        if value is not None and value < 1:
            yield f"{name} is {value}; expected 1 or more"
    low, high = transform.scale_jitter
    if not 0 < low <= high < math.inf:
        yield f"scale_jitter is [{low}, {high}]; expected 0 < low <= high"
    swap = transform.keypoint_swap
    if swap is not None and sorted(swap) != list(range(len(swap))):
        yield (
            f"keypoint_swap is {list(swap)}; expected each of 0 to {len(swap) - 1} once"
        )


def uniform(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    """One number in [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def pick(choices: Sequence[int], generator: torch.Generator) -> int:
    """One of the choices, evenly."""
    return choices[int(torch.randint(len(choices), (), generator=generator))]


def random_crop(
    image: Tensor, target: Target, side: int, generator: torch.Generator
) -> Sample:
    """Cut out ``side`` x ``side`` pixels anywhere inside."""
    top, left = (
        int(torch.randint(max(extent - side, 0) + 1, (), generator=generator))
        for extent in (image.shape[1], image.shape[2])
    )
    if side >= max(image.shape[1:]):
        return image, target
    return crop(image, target, top, left, side)


def jitter_colors(
    image: Float[Tensor, "3 height width"], strength: float, generator: torch.Generator
) -> Float[Tensor, "3 height width"]:
    """Brightness, contrast about the mean, saturation about grey, each at random."""
    brightness, contrast, saturation = (
        uniform(generator, 1 - strength, 1 + strength) for _ in range(3)
    )
    image = image * brightness
    image = image.mean() + (image - image.mean()) * contrast
    grey = image.mean(0)
    return (grey + (image - grey) * saturation).clamp(0, 1)
